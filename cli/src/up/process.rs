//! One runtime process: started, listened to, started anew when it dies, ended.

use std::{
    collections::VecDeque,
    fmt,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, BufReader},
    process::{Child, Command},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    guard::Guard,
    logs::{LONGEST_LINE, Logs},
    plan::Python,
};

/// First pause before a runtime that died is started again.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A runtime that lived this long is not in a loop of dying.
const STABLE: Duration = Duration::from_secs(30);
/// How long a runtime may take to end after SIGTERM: nothing runs in it any more.
const PATIENCE: Duration = Duration::from_secs(5);
/// Lines kept to say why a runtime died.
const LAST_LINES: usize = 20;

/// What is known about a runtime process.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    /// Deaths in a row.
    pub(crate) deaths: AtomicU32,
    /// Why it died last.
    pub(crate) reason: Mutex<Option<String>>,
}

/// Why a runtime ended.
#[derive(Debug)]
struct Death {
    how: String,
    /// The last line it wrote.
    said: Option<String>,
}

impl Death {
    fn silent(how: String) -> Self {
        Self { how, said: None }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.how)?;
        self.said.as_ref().map_or(Ok(()), |said| write!(f, ": {said}"))
    }
}

/// A runtime process and everything needed to start it.
pub(crate) struct Process {
    pub(crate) actor: Arc<str>,
    pub(crate) python: Python,
    /// Its sockets.
    pub(crate) directory: PathBuf,
    pub(crate) logs: Logs,
    pub(crate) guard: Arc<Guard>,
    pub(crate) vitals: Arc<Vitals>,
    /// Ends it at once.
    pub(crate) kill: CancellationToken,
}

impl Process {
    /// Keeps the runtime running until `stop`, then ends it.
    pub(crate) async fn keep(self, stop: CancellationToken) {
        loop {
            let started = Instant::now();
            let reason = tokio::select! {
                biased;
                reason = self.once(&stop) => reason,
            };
            let Some(reason) = reason else { break };
            if started.elapsed() > STABLE {
                self.vitals.deaths.store(0, Relaxed);
            }
            let deaths = self.vitals.deaths.fetch_add(1, Relaxed) + 1;
            let pause = FIRST_PAUSE.saturating_mul(1 << deaths.min(10).saturating_sub(1)).min(LONGEST_PAUSE);
            // The last line of what it said was shown when it was said.
            let said = reason
                .said
                .as_ref()
                .map_or_else(|| reason.how.clone(), |_| format!("{} after this", reason.how));
            self.logs.error(Some(&self.actor), format!("{said}; starting it again in {pause:?}"));
            let reason = reason.to_string();
            *self.vitals.reason.lock().expect("no panic while a reason is stored") = Some(reason);
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        // Nothing reads it any more; what cannot be removed goes with its parent.
        let _ = std::fs::remove_dir_all(&self.directory);
    }

    /// One life. Why it ended; `None` when it was told to.
    async fn once(&self, stop: &CancellationToken) -> Option<Death> {
        if let Err(error) = fresh(&self.directory) {
            return Some(Death::silent(format!("socket directory {}: {error}", self.directory.display())));
        }
        let mut child = match self.command().spawn() {
            Ok(child) => child,
            Err(error) => {
                let executable = self.python.executable.display();
                return Some(Death::silent(format!(
                    "cannot start {executable}: {error}; set spec.workload.pythonExecutable or install Python 3.10 or newer"
                )));
            }
        };
        let pid = child.id().expect("a child that was not waited for has an id");
        self.guard.add(pid);
        let last = Arc::new(Mutex::new(VecDeque::new()));
        let readers = [
            self.pump(child.stdout.take().expect("standard output is piped"), &last),
            self.pump(child.stderr.take().expect("standard error is piped"), &last),
        ];
        let status = tokio::select! {
            status = child.wait() => Some(status),
            () = stop.cancelled() => None,
        };
        let Some(status) = status else {
            self.end(&mut child, pid).await;
            self.guard.remove(pid);
            return None;
        };
        self.guard.remove(pid);
        for reader in readers {
            // A forked grandchild may hold the pipe open; its lines are not waited for.
            let _ = tokio::time::timeout(Duration::from_millis(200), reader).await;
        }
        let last = last.lock().expect("no panic while lines are kept");
        Some(died(status.ok(), last.iter().map(String::as_str)))
    }

    fn command(&self) -> Command {
        let Python { executable, runtime, directory, environment } = &self.python;
        let mut command = Command::new(executable);
        command
            .args(runtime.arguments())
            .env("PYTHONUNBUFFERED", "1")
            .env("ASYA_ACTOR_NAME", &*self.actor)
            .envs(environment)
            .env("PYTHONPATH", runtime.python_path(directory))
            .env("ASYA_SOCKET_DIR", &self.directory)
            .env_remove("ASYA_SOCKET_NAME")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        command
    }

    fn pump(
        &self,
        pipe: impl AsyncRead + Unpin + Send + 'static,
        last: &Arc<Mutex<VecDeque<String>>>,
    ) -> tokio::task::JoinHandle<()> {
        let (logs, actor, last) = (self.logs.clone(), Arc::clone(&self.actor), Arc::clone(last));
        tokio::spawn(async move {
            let mut pipe = BufReader::with_capacity(LONGEST_LINE, pipe);
            let mut line = Vec::new();
            while read_line(&mut pipe, &mut line).await {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                {
                    let mut last = last.lock().expect("no panic while lines are kept");
                    last.truncate(LAST_LINES);
                    last.push_front(text.clone());
                }
                logs.output(&actor, text).await;
            }
        })
    }

    /// SIGTERM, so that the runtime ends its workers; SIGKILL when that takes too long.
    async fn end(&self, child: &mut Child, pid: u32) {
        let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return };
        let _ = kill_process(pid, Signal::TERM);
        tokio::select! {
            result = tokio::time::timeout(PATIENCE, child.wait()) => if result.is_ok() { return },
            () = self.kill.cancelled() => {}
        }
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = child.wait().await;
    }
}

/// Makes the directory, empty.
fn fresh(directory: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(directory)
}

/// Reads up to the next line feed, or as much as fits into a line; false at the end.
async fn read_line(pipe: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> bool {
    line.clear();
    loop {
        let Ok(buffer) = pipe.fill_buf().await else { return !line.is_empty() };
        if buffer.is_empty() {
            return !line.is_empty();
        }
        let (taken, ends) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(at) => (at + 1, true),
            None => (buffer.len(), false),
        };
        line.extend_from_slice(&buffer[..taken]);
        pipe.consume(taken);
        if ends || line.len() >= LONGEST_LINE {
            return true;
        }
    }
}

/// Says how a runtime died, with the last line that is not blank: of a traceback that is the exception.
fn died<'a>(status: Option<ExitStatus>, mut newest_first: impl Iterator<Item = &'a str>) -> Death {
    let how = status.map_or_else(|| "in an unknown way".to_owned(), |status| status.to_string());
    let said = newest_first.find(|line| !line.trim().is_empty()).map(|line| line.trim().to_owned());
    Death { how: format!("the runtime ended ({how})"), said }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_without_end_is_cut_into_pieces() {
        let text = [b"a\n".as_slice(), &[b'x'; 3 * LONGEST_LINE], b"\nb"].concat();
        let mut pipe = BufReader::with_capacity(LONGEST_LINE, &text[..]);
        let (mut line, mut lengths) = (Vec::new(), Vec::new());
        while read_line(&mut pipe, &mut line).await {
            lengths.push(line.len());
        }
        assert_eq!(lengths.first(), Some(&2));
        assert_eq!(lengths.last(), Some(&1));
        assert!(lengths.iter().all(|length| *length <= 2 * LONGEST_LINE), "{lengths:?}");
        assert_eq!(lengths.iter().sum::<usize>(), text.len());
    }

    #[test]
    fn the_reason_is_the_last_line() {
        let reason = died(None, ["", "ValueError: x", "Traceback"].into_iter()).to_string();
        assert!(reason.ends_with(": ValueError: x"), "{reason}");
    }
}
