//! A server that is a program: started without a shell, with an environment made anew; ended with all that it started.

use std::{process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::{hidden::Hidden, settings::Start};

/// How long a program gets to end by itself when nothing is said to it any more.
const GRACE: Duration = Duration::from_secs(2);
/// Longest line of its standard error that is logged, in bytes.
const LINE: usize = 1024;
/// Most that is kept of one until it is logged: more than can hide a secret at the cut.
const READ: usize = 8 * LINE;

/// A program that runs. Dropped, it is killed with its whole process group.
#[derive(Debug)]
pub(super) struct Program(Child);

/// What is read of a program and written to it.
pub(super) type Ends = (ChildStdout, ChildStdin);

impl Program {
    /// Starts it; what it writes to its standard error is logged, without what is hidden.
    ///
    /// # Errors
    /// A sentence: it cannot be run.
    pub(super) fn start(start: &Start, hidden: &Hidden) -> Result<(Self, Ends), String> {
        let name = &start.program;
        let mut command = Command::new(name);
        command
            .args(&start.arguments)
            .env_clear()
            .envs(start.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0);
        let mut child = command.spawn().map_err(|error| format!("{name} cannot be run: {error}"))?;
        if let Some(errors) = child.stderr.take() {
            tokio::spawn(told(errors, hidden.clone()));
        }
        match (child.stdout.take(), child.stdin.take()) {
            (Some(out), Some(into)) => Ok((Self(child), (out, into))),
            _ => Err(format!("{name} has no standard input and output")),
        }
    }

    /// Lets it end by itself, for what it reads has ended; then it is ended, and what it started.
    pub(super) async fn end(mut self) {
        let group = self.group();
        let _ = tokio::time::timeout(GRACE, self.0.wait()).await;
        kill(group);
    }

    /// Its process group, as long as nobody has waited for its end.
    fn group(&self) -> Option<Pid> {
        self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        kill(self.group());
    }
}

fn kill(group: Option<Pid>) {
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
}

/// Logs what a program complains about, line by line; of a long line its beginning.
async fn told(errors: impl AsyncRead + Unpin, hidden: Hidden) {
    let (mut errors, mut line) = (BufReader::new(errors), Vec::new());
    let log = |line: &mut Vec<u8>| {
        if !line.is_empty() {
            let (text, _) = hidden.beginning(&String::from_utf8_lossy(line), LINE);
            tracing::info!(text = text.trim_end(), "the MCP server's program says");
            line.clear();
        }
    };
    while let Ok(byte) = errors.read_u8().await {
        match byte {
            b'\n' => log(&mut line),
            byte if line.len() < READ => line.push(byte),
            _ => {}
        }
    }
    log(&mut line);
}
