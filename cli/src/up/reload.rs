//! Watching the files of actors.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use notify::{EventKind, RecursiveMode, Watcher as _};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

/// Editors write a file in several steps; a change is taken up when nothing has happened for this long.
const QUIET: Duration = Duration::from_millis(300);
/// Changes that may wait; more of them mean the same.
const BUFFERED: usize = 256;

/// Watches directories; dropping it ends that.
pub(crate) struct Watch {
    _watcher: notify::RecommendedWatcher,
    changes: mpsc::Receiver<PathBuf>,
    /// A change that waits for the files to be quiet, and until when.
    pending: Option<(PathBuf, Instant)>,
}

impl Watch {
    /// Watches these directories and what is below them.
    ///
    /// # Errors
    /// Those of the system's file notification.
    pub(crate) fn start(directories: impl IntoIterator<Item = PathBuf>) -> anyhow::Result<Self> {
        let (sender, changes) = mpsc::channel(BUFFERED);
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if matches!(event.kind, EventKind::Access(_)) {
                return;
            }
            for path in event.paths.into_iter().filter(|path| matters(path)) {
                // When there is no room, enough changes wait already.
                let _ = sender.try_send(path);
            }
        })
        .context("watching files")?;
        let mut watched: Vec<PathBuf> = Vec::new();
        for directory in directories {
            if !watched.contains(&directory) {
                let watching = watcher.watch(&directory, RecursiveMode::Recursive);
                watching.with_context(|| format!("watching {}", directory.display()))?;
                watched.push(directory);
            }
        }
        Ok(Self { _watcher: watcher, changes, pending: None })
    }

    /// The next change, once the files are quiet. Cancel safe: what has been seen is kept for the next call.
    pub(crate) async fn changed(&mut self) -> PathBuf {
        loop {
            let quiet = self.pending.as_ref().map(|(_, quiet)| *quiet);
            tokio::select! {
                biased;
                change = self.changes.recv() => match change {
                    Some(path) => self.pending = Some((path, Instant::now() + QUIET)),
                    None => std::future::pending().await,
                },
                () = async { match quiet {
                    Some(quiet) => sleep_until(quiet).await,
                    None => std::future::pending().await,
                } } => {
                    if let Some((path, _)) = self.pending.take() {
                        return path;
                    }
                }
            }
        }
    }
}

/// True for sources, manifests and `.env`; not for what running actors write.
fn matters(path: &Path) -> bool {
    let hidden = path.components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part == "__pycache__" || part == ".asya" || part == ".git" || part == ".venv"
    });
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let kind = path.extension().unwrap_or_default().to_string_lossy();
    !hidden && (name == ".env" || matches!(&*kind, "py" | "yaml" | "yml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_that_make_a_difference_count() {
        assert!(["a/h.py", "a/x.yaml", "a/.env"].iter().all(|path| matters(Path::new(path))));
        assert!(
            !["a/__pycache__/h.py", ".asya/queue.db", "a/h.pyc", "a/out.html"]
                .iter()
                .any(|path| matters(Path::new(path)))
        );
    }

    #[tokio::test]
    async fn a_written_file_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let mut watch = Watch::start([directory.path().to_owned()]).unwrap();
        std::fs::write(directory.path().join("h.py"), "x = 1").unwrap();
        let changed = async {
            // The caller has other things to do meanwhile.
            loop {
                if let Ok(path) = tokio::time::timeout(QUIET / 3, watch.changed()).await {
                    return path;
                }
            }
        };
        let changed = tokio::time::timeout(Duration::from_secs(10), changed).await.unwrap();
        assert!(changed.ends_with("h.py"));
    }
}
