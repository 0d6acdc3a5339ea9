//! Lines of standard input.

use std::{io::BufRead as _, time::Instant};

use tokio::sync::mpsc;

/// Lines that were typed and not read yet.
const WAITING: usize = 16;

/// A line, and when it was ended.
pub(super) struct Line {
    pub(super) text: String,
    pub(super) at: Instant,
}

/// Lines as they are typed; closed at the end of the input. The thread that reads them ends with the process: a read of a
/// terminal cannot be taken back.
pub(super) fn lines() -> mpsc::Receiver<Line> {
    let (sender, lines) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        for text in std::io::stdin().lock().lines() {
            let Ok(text) = text else { return };
            if sender.blocking_send(Line { text, at: Instant::now() }).is_err() {
                return;
            }
        }
    });
    lines
}
