//! Lines of standard input.

use std::io::BufRead as _;

use tokio::sync::mpsc;

/// Lines that were typed and not read yet.
const WAITING: usize = 16;

/// Lines as they are typed; closed at the end of the input. The thread that reads them ends with the process: a read of a
/// terminal cannot be taken back.
pub(super) fn lines() -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}
