//! A small process that outlives `asya up` when that is killed, and ends the runtimes it would leave behind.
//!
//! It reads `+PID` and `-PID` lines from its standard input. When that ends, whatever the reason, it ends the process
//! groups that are still listed.

use std::{
    collections::HashSet,
    io::{self, BufRead as _, Write as _},
    process::{Child, Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group, test_kill_process};

use crate::exit;

/// How long a runtime may take to end its workers before it is killed.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked at meanwhile.
const PERIOD: Duration = Duration::from_millis(50);

/// The guard's process, seen from `asya up`.
pub(crate) struct Guard {
    child: Mutex<Option<Child>>,
}

impl Guard {
    /// Starts it, in a process group of its own, so that Ctrl-C does not reach it.
    ///
    /// # Errors
    /// Those of starting a process.
    pub(crate) fn start() -> io::Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let child = Command::new(std::env::current_exe()?)
            .arg("__guard")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Self { child: Mutex::new(Some(child)) })
    }

    /// This process is to end with us.
    pub(crate) fn add(&self, pid: u32) {
        self.tell('+', pid);
    }

    /// This process has ended.
    pub(crate) fn remove(&self, pid: u32) {
        self.tell('-', pid);
    }

    fn tell(&self, sign: char, pid: u32) {
        let mut child = self.child.lock().expect("no panic while the guard is told");
        if let Some(stdin) = child.as_mut().and_then(|child| child.stdin.as_mut()) {
            // A guard that somebody killed guards nothing; the work goes on.
            let _ = writeln!(stdin, "{sign}{pid}");
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.lock().expect("no panic while the guard is told").take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// The guard's own side.
pub(crate) fn serve() -> u8 {
    let mut listed = HashSet::new();
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        let Some(pid) = line.get(1..).and_then(|digits| digits.parse::<i32>().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        if line.starts_with('+') {
            listed.insert(pid)
        } else {
            listed.remove(&pid)
        };
    }
    for pid in &listed {
        // To the supervisor only: it knows its workers, which are process groups of their own.
        let _ = kill_process(*pid, Signal::TERM);
    }
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until && listed.iter().any(|pid| test_kill_process(*pid).is_ok()) {
        thread::sleep(PERIOD);
    }
    for pid in listed {
        let _ = kill_process_group(pid, Signal::KILL);
    }
    exit::OK
}
