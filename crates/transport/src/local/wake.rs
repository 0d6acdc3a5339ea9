//! Telling consumers that there is work: those of this process directly, those of other processes by a datagram.
//!
//! Each process has a socket in a directory beside the queue file, named by a rule that every process comes to by
//! itself. A commit sends one datagram to each of the others, with the names of the queues that changed. Datagrams may
//! be lost: consumers look at their queues every few seconds anyway.

use std::{
    collections::HashMap,
    fs, io,
    os::unix::{ffi::OsStrExt as _, fs::DirBuilderExt as _, net::UnixDatagram},
    path::{Path, PathBuf},
    process,
    sync::{Arc, Mutex, Weak},
    time::{Duration, SystemTime},
};

use asya_envelope::Queue;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Longest path of a socket that every system takes, in bytes.
const MAX_SOCKET_PATH: usize = 100;
/// Longest name of a socket within its directory: process id, dash, eight digits.
const MAX_SOCKET_NAME: usize = 24;
/// Longest datagram; if more queues have changed than fit, an empty one says "any of them".
const MAX_DATAGRAM: usize = 4096;
/// After this many datagrams in a row some may have found the socket full: any queue may have changed.
const MANY: usize = 8;
/// A directory changed more recently than this may change again without its time telling.
const UNSETTLED: Duration = Duration::from_millis(100);

/// Who waits for which queue.
pub(super) struct Wakes {
    waiting: Mutex<HashMap<Queue, Vec<Weak<Notify>>>>,
    /// The way to other processes; `None` if it could not be made, and then they look every few seconds.
    peers: Option<Peers>,
}

/// The sockets of other processes.
struct Peers {
    directory: PathBuf,
    own: PathBuf,
    socket: UnixDatagram,
    /// When the directory was read, its modification time then, and who was there.
    known: Mutex<(Option<SystemTime>, Vec<PathBuf>)>,
}

impl Wakes {
    /// Makes this process's socket.
    pub(super) fn open(file: &Path) -> Arc<Self> {
        let peers = Peers::open(directory(file));
        if let Err(error) = &peers {
            tracing::warn!(%error, file = %file.display(), "no socket for wake-ups from other processes");
        }
        Arc::new(Self { waiting: Mutex::default(), peers: peers.ok() })
    }

    /// What is notified when this queue has changed. Kept for as long as the caller keeps it.
    pub(super) fn register(&self, queue: &Queue) -> Arc<Notify> {
        let notify = Arc::new(Notify::new());
        let mut waiting = self.waiting.lock().expect("no panic while the map is locked");
        waiting.entry(queue.clone()).or_default().push(Arc::downgrade(&notify));
        notify
    }

    /// Wakes everybody who waits for one of these queues.
    pub(super) fn wake(&self, queues: &mut Vec<Queue>) {
        if queues.is_empty() {
            return;
        }
        queues.sort_unstable();
        queues.dedup();
        for queue in queues.iter() {
            self.wake_here(queue);
        }
        if let Some(peers) = &self.peers {
            let names: Vec<_> = queues.iter().map(Queue::as_str).collect();
            let text = names.join("\n");
            peers.send(if text.len() <= MAX_DATAGRAM { text.as_bytes() } else { &[] });
        }
    }

    fn wake_here(&self, queue: &Queue) {
        let mut waiting = self.waiting.lock().expect("no panic while the map is locked");
        if let Some(consumers) = waiting.get_mut(queue) {
            consumers.retain(|consumer| {
                consumer.upgrade().is_some_and(|notify| {
                    notify.notify_one();
                    true
                })
            });
            if consumers.is_empty() {
                waiting.remove(queue);
            }
        }
    }

    fn wake_all(&self) {
        let waiting = self.waiting.lock().expect("no panic while the map is locked");
        waiting.values().flatten().filter_map(Weak::upgrade).for_each(|notify| notify.notify_one());
    }

    /// Passes on what other processes send, until the client is closed.
    pub(super) async fn listen(self: Arc<Self>, closed: CancellationToken) {
        let Some(peers) = &self.peers else { return };
        let socket = match peers.socket.try_clone().and_then(tokio::net::UnixDatagram::from_std) {
            Ok(socket) => socket,
            Err(error) => return tracing::warn!(%error, "no wake-ups from other processes"),
        };
        let mut buffer = vec![0; MAX_DATAGRAM];
        loop {
            tokio::select! {
                () = closed.cancelled() => return,
                ready = socket.readable() => if ready.is_err() { return },
            }
            let mut received = 0;
            while let Ok(length) = socket.try_recv(&mut buffer) {
                received += 1;
                match std::str::from_utf8(&buffer[..length]) {
                    Ok(names) if !names.is_empty() => {
                        names.split('\n').for_each(|name| self.wake_here(&Queue::named(name)));
                    }
                    _ => self.wake_all(),
                }
            }
            if received >= MANY {
                self.wake_all();
            }
        }
    }
}

impl Peers {
    fn open(directory: PathBuf) -> io::Result<Self> {
        let own = directory.join(format!("{}-{:08x}", process::id(), super::random() & 0xffff_ffff));
        let bind = || {
            // Only for this user: whoever can write here can wake, and nothing else.
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
            UnixDatagram::bind(&own)
        };
        // Twice: the last client of the file may be removing the directory at this moment.
        let socket = bind().or_else(|_| bind())?;
        socket.set_nonblocking(true)?;
        Ok(Self { directory, own, socket, known: Mutex::default() })
    }

    fn send(&self, datagram: &[u8]) {
        for peer in self.others() {
            match self.socket.send_to(datagram, &peer) {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) =>
                {
                    // Its process is gone. Removing changes the directory's time, so that it is read again.
                    let _ = fs::remove_file(&peer);
                }
                // Full: it has enough to wake up for.
                _ => {}
            }
        }
    }

    /// The sockets of the others; the directory is read again only when it has changed.
    fn others(&self) -> Vec<PathBuf> {
        let changed = fs::metadata(&self.directory).and_then(|metadata| metadata.modified()).ok();
        let mut known = self.known.lock().expect("no panic while the list is locked");
        if changed.is_none() || known.0 != changed {
            known.1 = fs::read_dir(&self.directory)
                .into_iter()
                .flatten()
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| *path != self.own)
                .collect();
            let settled = changed.filter(|changed| changed.elapsed().is_ok_and(|age| age > UNSETTLED));
            known.0 = settled;
        }
        known.1.clone()
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.own);
        // Succeeds for the last one only.
        let _ = fs::remove_dir(&self.directory);
    }
}

/// The directory of the sockets: beside the file, or if that path is too long for a socket a short one in the
/// temporary directory, named by a hash of the file's path.
fn directory(file: &Path) -> PathBuf {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".wake");
    if beside.len() + 1 + MAX_SOCKET_NAME <= MAX_SOCKET_PATH {
        return beside.into();
    }
    // FNV-1a, spelled out: processes of different builds must come to the same name.
    let hash = file.as_os_str().as_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    std::env::temp_dir().join(format!("asya-wake-{hash:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_path_has_its_sockets_in_a_short_one() {
        assert_eq!(directory(Path::new("/data/queues.db")), Path::new("/data/queues.db.wake"));
        let long = PathBuf::from(format!("/data/{}/queues.db", "deep/".repeat(30)));
        let short = directory(&long);
        assert!(short.starts_with(std::env::temp_dir()));
        assert_eq!(short, directory(&long));
        assert_ne!(short, directory(&long.with_extension("other")));
    }

    #[tokio::test]
    async fn a_wake_reaches_another_client_and_the_socket_of_a_dead_one_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("q");
        let (here, there) = (Wakes::open(&file), Wakes::open(&file));
        let sockets = super::directory(&file);
        // A socket whose process was killed: the file stays, nobody listens.
        drop(UnixDatagram::bind(sockets.join("1-dead")).unwrap());
        let queue = Queue::named("asya-a");
        let (woken, other) = (there.register(&queue), there.register(&Queue::named("asya-b")));
        let closed = CancellationToken::new();
        let listening = tokio::spawn(Arc::clone(&there).listen(closed.clone()));
        here.wake(&mut vec![queue]);
        tokio::time::timeout(Duration::from_secs(5), woken.notified()).await.unwrap();
        assert!(!sockets.join("1-dead").exists());
        assert!(tokio::time::timeout(Duration::from_millis(50), other.notified()).await.is_err());
        closed.cancel();
        listening.await.unwrap();
        drop((here, there));
        assert!(!sockets.exists());
    }
}
