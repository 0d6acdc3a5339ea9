//! Replicas of an actor as processes: a runtime and its sidecar, to be killed and started again.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is in the repository").to_owned()
}

/// A program of the workspace, built in the same profile as this one.
///
/// # Errors
/// When it is not built.
pub fn program(name: &str) -> Result<PathBuf> {
    let this = std::env::current_exe()?;
    let folder = this.parent().context("a program is in a folder")?;
    // Tests are in target/PROFILE/deps.
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let path = folder.join(name);
    anyhow::ensure!(path.exists(), "{} is not built: cargo build --workspace", path.display());
    Ok(path)
}

/// One replica of an actor: a Python runtime and a sidecar on a socket directory of their own.
pub struct Replica {
    actor: String,
    environment: Vec<(String, String)>,
    sockets: TempDir,
    runtime: Child,
    sidecar: Child,
}

impl Replica {
    /// Starts both.
    ///
    /// # Errors
    /// When a program is missing.
    pub fn start(actor: &str, environment: &[(&str, &str)]) -> Result<Self> {
        let sockets = tempfile::Builder::new().prefix("asya").tempdir_in("/tmp")?;
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Ok(Self {
            runtime: runtime(sockets.path(), &environment)?,
            sidecar: sidecar(actor, sockets.path(), &environment)?,
            actor: actor.to_owned(),
            environment,
            sockets,
        })
    }

    /// Kills the sidecar without warning and starts another.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn kill_sidecar(&mut self) -> Result<()> {
        self.sidecar.kill().await?;
        self.sidecar = sidecar(&self.actor, self.sockets.path(), &self.environment)?;
        Ok(())
    }

    /// Kills the runtime's supervisor without warning and starts another.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn kill_runtime(&mut self) -> Result<()> {
        self.runtime.kill().await?;
        self.runtime = runtime(self.sockets.path(), &self.environment)?;
        Ok(())
    }

    /// Kills one of the runtime's workers without warning; replacing it is the supervisor's work. False when there was
    /// none to kill.
    ///
    /// # Errors
    /// When the process table cannot be read.
    pub fn kill_worker(&self) -> Result<bool> {
        let Some(supervisor) = self.runtime.id() else { return Ok(false) };
        let children = std::fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children"))?;
        let worker =
            children.split_whitespace().next().and_then(|pid| pid.parse().ok()).and_then(Pid::from_raw);
        Ok(worker.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok()))
    }
}

fn runtime(sockets: &Path, environment: &[(String, String)]) -> Result<Child> {
    let path = format!("{}:{}", root().join("runtime-py/src").display(), root().join("benches").display());
    let mut command = Command::new("python3");
    command.args(["-m", "asya_runtime"]).env("PYTHONPATH", path).env("ASYA_SOCKET_DIR", sockets);
    command.env("ASYA_HANDLER", "handlers.echo").env("ASYA_LOG_LEVEL", "ERROR");
    spawn(command, environment)
}

fn sidecar(actor: &str, sockets: &Path, environment: &[(String, String)]) -> Result<Child> {
    let mut command = Command::new(program("asya-sidecar")?);
    command.env("ASYA_ACTOR_NAME", actor).env("ASYA_SOCKET_DIR", sockets);
    command.env("ASYA_METRICS_ADDR", "127.0.0.1:0").env("ASYA_LOG_LEVEL", "error");
    spawn(command, environment)
}

fn spawn(mut command: Command, environment: &[(String, String)]) -> Result<Child> {
    let child = command.envs(environment.iter().map(|(n, v)| (n, v))).kill_on_drop(true).spawn();
    child.with_context(|| format!("starting {:?}", command.as_std().get_program()))
}
