//! Payloads as files: `<directory>/<owner>/<sha256>`, each written beside, synced and renamed.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::store::{Key, PayloadStore, Swept};

/// Ending of a file that is being written. A process that was killed leaves it behind, for the sweep.
const UNFINISHED: &str = "new";

/// A directory of payloads, shared by processes of one machine or by a network file system.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    address: String,
}

impl Directory {
    pub(crate) fn open(path: &Path) -> Result<Self, String> {
        private(path).map_err(|error| format!("directory {}: {error}", path.display()))?;
        Ok(Self { path: path.to_owned(), address: format!("file://{}", path.display()) })
    }

    /// Runs what blocks, where it may.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || work(&path)).await;
        let address = &self.address;
        done.map_err(|error| format!("{address}: {error}"))?.map_err(|error| format!("{address}: {error}"))
    }
}

/// Makes a directory that others do not read.
fn private(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[async_trait]
impl PayloadStore for Directory {
    async fn put(&self, key: &Key, payload: Bytes) -> Result<(), String> {
        let key = key.clone();
        self.blocking(move |root| {
            let folder = root.join(&key.owner);
            match write(&folder, &key.name, &payload) {
                // A sweep took the empty folder away between the two steps.
                Err(error) if error.kind() == ErrorKind::NotFound => write(&folder, &key.name, &payload),
                written => written,
            }
        })
        .await
    }

    async fn get(&self, key: &Key, size: usize) -> Result<Option<Bytes>, String> {
        let key = key.clone();
        self.blocking(move |root| {
            let file = match File::open(root.join(&key.owner).join(&key.name)) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                file => file?,
            };
            let mut bytes = Vec::with_capacity(size.saturating_add(1));
            file.take(size as u64 + 1).read_to_end(&mut bytes)?;
            Ok(Some(bytes.into()))
        })
        .await
    }

    async fn sweep(&self, before: SystemTime) -> Result<Swept, String> {
        self.blocking(move |root| sweep(root, before)).await
    }

    fn address(&self) -> &str {
        &self.address
    }
}

fn write(folder: &Path, name: &str, payload: &[u8]) -> io::Result<()> {
    static WRITES: AtomicU64 = AtomicU64::new(0);
    private(folder)?;
    // Two processes may write the same at once, and sidecars in containers of their own have the same process id.
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
    let write = WRITES.fetch_add(1, Ordering::Relaxed);
    let beside = folder.join(format!("{name}.{}-{now}-{write}.{UNFINISHED}", std::process::id()));
    let written = File::create_new(&beside).and_then(|mut file| {
        file.write_all(payload)?;
        file.sync_all()
    });
    let done = written.and_then(|()| fs::rename(&beside, folder.join(name)));
    if done.is_err() {
        drop(fs::remove_file(&beside));
    }
    done
}

fn sweep(root: &Path, before: SystemTime) -> io::Result<Swept> {
    let mut swept = Swept::default();
    for folder in fs::read_dir(root)? {
        let folder = folder?.path();
        if !folder.is_dir() {
            continue;
        }
        for file in fs::read_dir(&folder)? {
            let file = file?;
            // One that another sweep removed meanwhile is gone, which is what was wanted.
            let Ok(about) = file.metadata() else { continue };
            if !about.is_file() || !ours(&file.path()) {
                continue;
            }
            if about.modified()? >= before {
                swept.kept += 1;
                continue;
            }
            match fs::remove_file(file.path()) {
                Ok(()) => {
                    swept.removed += 1;
                    swept.bytes += about.len();
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        // Only an empty one goes.
        drop(fs::remove_dir(&folder));
    }
    Ok(swept)
}

/// Whatever else lies in the directory is not touched.
fn ours(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let digest = name.split('.').next().unwrap_or_default();
    let hex = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    hex && (name.len() == 64 || name.ends_with(&format!(".{UNFINISHED}")))
}
