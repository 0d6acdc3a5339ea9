//! Sidecars and runtimes as processes of their own, killed when dropped.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

/// A running process; killed when dropped.
pub struct Running(Child);

impl Running {
    /// The process id.
    pub fn pid(&self) -> Option<u32> {
        self.0.id()
    }

    /// Ends it with SIGKILL, and waits until it has ended.
    ///
    /// # Errors
    /// When that cannot be done.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.0.kill().await?)
    }
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("benches is in the repository").to_owned()
}

/// `BENCH_DIR`, else the temporary directory: what it is on decides what a commit costs.
pub fn place() -> PathBuf {
    std::env::var_os("BENCH_DIR").map_or_else(|| Path::new("/tmp").to_owned(), PathBuf::from)
}

/// Starts the Python runtime on a handler of `benches/handlers.py`.
///
/// # Errors
/// When Python cannot be started.
pub fn python(socket_dir: &Path, handler: &str, extra: &[(&str, &str)]) -> Result<Running> {
    let path = format!("{}:{}", root().join("runtime-py/src").display(), root().join("benches").display());
    let mut command = Command::new("python3");
    command.args(["-m", "asya_runtime"]).env("PYTHONPATH", path).env("ASYA_HANDLER", handler);
    command.env("ASYA_SOCKET_DIR", socket_dir).env("ASYA_LOG_LEVEL", "WARNING").envs(extra.iter().copied());
    start(command, "python3 -m asya_runtime")
}

/// Starts a runtime that speaks the one-shot protocol only.
///
/// # Errors
/// When Python cannot be started.
pub fn one_shot(socket_dir: &Path) -> Result<Running> {
    let mut command = Command::new("python3");
    command.arg(root().join("benches/oneshot.py")).env("PYTHONPATH", root().join("runtime-py/src"));
    command.env("ASYA_HANDLER", "handlers.echo").env("ASYA_SOCKET_DIR", socket_dir);
    start(command, "benches/oneshot.py")
}

/// Starts `asya-sidecar` (the one beside this benchmark) for an actor on the broker under test.
///
/// # Errors
/// When it is not built.
pub fn sidecar(actor: &str, socket_dir: &Path, extra: &[(&str, &str)]) -> Result<Running> {
    let mut command = Command::new(beside("asya-sidecar")?);
    command
        .env("ASYA_ACTOR_NAME", actor)
        .env("ASYA_TRANSPORT", "rabbitmq")
        .env("ASYA_SOCKET_DIR", socket_dir);
    command.env("ASYA_RABBITMQ_URL", std::env::var("ASYA_TEST_RABBITMQ_URL")?);
    command.env("ASYA_METRICS_ADDR", "127.0.0.1:0").env("ASYA_LOG_LEVEL", "warn").envs(extra.iter().copied());
    start(command, "asya-sidecar")
}

/// Starts another program of this package.
///
/// # Errors
/// When it is not built.
pub fn own(name: &str, args: &[&str]) -> Result<Running> {
    let mut command = Command::new(beside(name)?);
    command.args(args);
    start(command, name)
}

/// A test is one directory below what it tests.
fn beside(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let folder = own.parent().filter(|folder| !folder.ends_with("deps")).or(own.ancestors().nth(2));
    let path = folder.context("a program is in a directory")?.join(name);
    anyhow::ensure!(path.exists(), "{} is not built: cargo build --release --workspace", path.display());
    Ok(path)
}

/// Another program beside this benchmark, not started yet.
///
/// # Errors
/// When it is not built.
pub fn program(name: &str) -> Result<Command> {
    Ok(Command::new(beside(name)?))
}

/// Starts a program.
///
/// # Errors
/// When it cannot be started.
pub fn start(mut command: Command, name: &str) -> Result<Running> {
    Ok(Running(command.kill_on_drop(true).spawn().with_context(|| format!("starting {name}"))?))
}
