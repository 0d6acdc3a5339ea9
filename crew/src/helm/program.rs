//! One run of `helm`: an argument list, never a shell; a folder that is its only place to write; an end for certain.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    sync::oneshot,
};

use super::settings::Settings;
use crate::{
    actor::ActError,
    kube::consent::refused::{Refused, Stop},
};

/// How long a look may take.
pub(super) const LOOK: Duration = Duration::from_secs(30);
/// How long helm gets to write down that it was interrupted, before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// Most that is read of what helm says.
const MOST: u64 = 16 * 1024 * 1024;
/// Most that is read of its errors.
const MOST_ERRORS: u64 = 64 * 1024;
/// Variables that helm gets of this process: where programs are, the way to the API server and out of the cluster, and whom to trust.
const INHERITED: [&str; 11] = [
    "PATH",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
    "https_proxy",
    "http_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// What helm says when it cannot reach the API server.
const UNREACHABLE: &str = "cluster unreachable";

/// The program.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    folder: PathBuf,
    kubeconfig: Option<PathBuf>,
}

/// A folder for the runs of one envelope. It goes with them.
#[derive(Debug)]
pub(super) struct Room(TempDir);

/// Why a run gave nothing.
#[derive(Debug)]
pub(super) enum Failed {
    /// Helm says no.
    Said(String),
    /// It did not end in time, and was ended.
    Late(Duration),
    /// It said too much, and was ended.
    TooMuch,
    /// It cannot be run.
    Unable(String),
}

impl Failed {
    /// As a sentence, without these secrets.
    pub(super) fn sentence(&self, secrets: &[String]) -> String {
        match self {
            Self::Said(said) => {
                let said = super::values::without(said, secrets);
                crate::kube::consent::shown::sentence(said.trim().trim_start_matches("Error: "))
            }
            Self::Late(time) => format!("helm did not end within {time:?}"),
            Self::TooMuch => format!("helm said more than {} MiB", MOST / 1024 / 1024),
            Self::Unable(why) => why.clone(),
        }
    }

    /// What follows from it for an envelope of which nothing was done yet.
    pub(super) fn stop(&self, doing: &str, secrets: &[String]) -> Stop {
        let reason = self.sentence(secrets);
        match self {
            Self::Unable(_) => Stop::Later(ActError::Cluster { doing: doing.to_owned(), reason }),
            Self::Said(said) if said.contains(UNREACHABLE) => {
                Stop::Later(ActError::Cluster { doing: doing.to_owned(), reason })
            }
            _ => Stop::Refused(Refused(format!("{doing}: {reason}"))),
        }
    }
}

impl Room {
    /// A file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Values as a file, which is how helm gets them: nothing in them is read as anything but data.
    pub(super) fn keep(&self, values: &Value) -> Result<PathBuf, Stop> {
        let path = self.file("values.json");
        std::fs::write(&path, values.to_string())
            .map_err(|source| ActError::File { path: path.display().to_string(), source })?;
        Ok(path)
    }
}

impl Program {
    pub(super) fn new(settings: &Settings) -> Self {
        let Settings { program, folder, kubeconfig, .. } = settings;
        Self { path: program.clone(), folder: folder.clone(), kubeconfig: kubeconfig.clone() }
    }

    /// A new folder.
    pub(super) fn room(&self) -> Result<Room, Stop> {
        let made = tempfile::Builder::new().prefix("helm-").tempdir_in(&self.folder);
        let room =
            made.map_err(|source| ActError::File { path: self.folder.display().to_string(), source })?;
        Ok(Room(room))
    }

    /// Runs it; what it says on success. Whoever no longer waits has ended it, with its whole process group.
    pub(super) async fn run(
        &self,
        room: &Room,
        arguments: &[String],
        time: Duration,
    ) -> Result<String, Failed> {
        let mut child = self
            .command(room.0.path(), arguments)
            .spawn()
            .map_err(|error| Failed::Unable(format!("{} cannot be run: {error}", self.path.display())))?;
        let (waits, mut left) = oneshot::channel::<()>();
        // In a task of its own: it sees to the end of the process when nobody waits any more.
        let run = tokio::spawn(async move {
            let work = watch(&mut child);
            let done = tokio::select! {
                done = tokio::time::timeout(time, work) => done.unwrap_or(Err(Failed::Late(time))),
                _ = &mut left => Err(Failed::Late(time)),
            };
            if !matches!(done, Ok(_) | Err(Failed::Said(_))) {
                end(&mut child).await;
            }
            done
        });
        let done = run.await.unwrap_or_else(|error| Err(Failed::Unable(error.to_string())));
        drop(waits);
        done
    }

    fn command(&self, home: &Path, arguments: &[String]) -> Command {
        let mut command = Command::new(&self.path);
        command.args(arguments).current_dir(home).env_clear();
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(kubeconfig) = &self.kubeconfig {
            command.env("KUBECONFIG", kubeconfig);
        }
        command
            .env("HOME", home)
            .env("TMPDIR", home)
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"))
            .env("HELM_PLUGINS", home.join("plugins"))
            .env("HELM_NO_PLUGINS", "1")
            .env("HELM_DRIVER", "secret")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // The task that sees to its end may be gone with this process.
            .kill_on_drop(true)
            .process_group(0);
        command
    }
}

/// What a process says until its end.
async fn watch(child: &mut Child) -> Result<String, Failed> {
    let (out, errors) = (child.stdout.take(), child.stderr.take());
    let (said, errors) = tokio::join!(read(out, MOST), read(errors, MOST_ERRORS));
    let said = said.ok_or(Failed::TooMuch)?;
    let status = child.wait().await.map_err(|error| Failed::Unable(error.to_string()))?;
    if status.success() {
        return Ok(said);
    }
    let errors = errors.unwrap_or_default();
    Err(Failed::Said(if errors.trim().is_empty() { status.to_string() } else { errors }))
}

/// All of a stream; none: there is more than that.
async fn read(stream: Option<impl AsyncRead + Unpin>, most: u64) -> Option<String> {
    let mut bytes = Vec::new();
    let mut stream = stream?;
    let read = (&mut stream).take(most).read_to_end(&mut bytes).await;
    // Who writes more is not kept waiting: it is ended by its status, or by whoever sees that this is none.
    let more =
        read.is_ok() && tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.is_ok_and(|more| more > 0);
    (!more).then(|| String::from_utf8_lossy(&bytes).into_owned())
}

/// Ends a process and all that it started.
async fn end(child: &mut Child) {
    let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) else {
        return;
    };
    let _ = kill_process_group(group, Signal::TERM);
    let _ = tokio::time::timeout(GRACE, child.wait()).await;
    let _ = kill_process_group(group, Signal::KILL);
    let _ = child.wait().await;
}
