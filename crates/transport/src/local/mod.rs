//! The embedded transport: queues in one SQLite file, for one machine, with no server.
//!
//! | file | holds |
//! |---|---|
//! | `mod.rs` | [`Local`]: opening, and the transport's seam |
//! | `options.rs` | [`LocalOptions`] and their defaults |
//! | `schema.rs` | the file: tables, version, and what can be wrong with it |
//! | `rows.rs` | what happens to rows, as functions of a connection and a time |
//! | `writer.rs` | the one writing thread: group commit |
//! | `consumer.rs` | taking messages ahead, within credit |
//! | `hold.rs` | a message in hand: settling, renewing its lease |
//! | `wake.rs` | telling consumers, also of other processes, that there is work |
//! | `status.rs` | health |
//! | `queues.rs`, `dead.rs`, `store.rs` | the other seams on the same file |
//!
//! Every change is made by one thread per process, which puts everything that waits into one transaction. A settled
//! delivery's successors, its records and its removal are one change: on one machine each happens exactly once.
//!
//! The invariant: **a message is changed only by who holds its current lease**, so that a holder that was thought dead
//! cannot settle what somebody else has in hand.

mod consumer;
mod dead;
mod hold;
#[cfg(test)]
mod model;
mod options;
mod queues;
mod rows;
mod schema;
mod status;
mod store;
mod wake;
mod writer;

use std::{
    collections::HashMap,
    num::NonZeroU16,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use asya_envelope::Queue;
use asya_store::Store;
use futures::future::BoxFuture;
use rusqlite::Connection;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use options::{DEFAULT_BUSY_TIMEOUT, DEFAULT_LEASE, LocalOptions, Synchronous};

use crate::{Consumer, Health, Lease, MAX_DELAY, Outgoing, Transport, TransportError};
use hold::Held;
use status::Status;
use wake::Wakes;
use writer::{Fault, Writer};

/// Queues in one SQLite file. Cheap to share; all clones of the `Arc` use one writing thread.
///
/// Any number of processes may open the same file. Time is the machine's clock, since they share it through the file:
/// if it is set forward, leases end early and messages are delivered again.
pub struct Local {
    core: Arc<Core>,
}

/// What consumers, deliveries and tasks share.
struct Core {
    path: PathBuf,
    options: LocalOptions,
    writer: Writer,
    reader: Arc<Mutex<Connection>>,
    wakes: Arc<Wakes>,
    status: Arc<Status>,
    /// Every message in hand, by the token of its lease.
    held: Mutex<HashMap<i64, Held>>,
    /// Tokens of leases: from a random start, so that no two clients of a file give the same.
    next_token: AtomicI64,
    /// Cancelled when the client is closed or dropped.
    closed: CancellationToken,
}

impl Local {
    /// Opens the file, or makes it. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`TransportError::Misconfigured`] with the path and the next step: no such directory, no right to write, not a
    /// queue file, damaged, or made by a newer version.
    pub fn open(path: &Path, options: LocalOptions) -> Result<Arc<Self>, TransportError> {
        let connection = schema::open(path, &options)?;
        let reader = schema::open_reader(path, &options)?;
        // The file exists now, so that every process comes to the same name for it.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let status = Arc::new(Status::default());
        let wakes = Wakes::open(&path);
        let writer = Writer::start(connection, options.busy_timeout, Arc::clone(&wakes), Arc::clone(&status));
        let core = Arc::new(Core {
            path,
            options,
            writer,
            reader: Arc::new(Mutex::new(reader)),
            wakes,
            status,
            held: Mutex::default(),
            next_token: AtomicI64::new(random()),
            closed: CancellationToken::new(),
        });
        tokio::spawn(Arc::clone(&core.wakes).listen(core.closed.clone()));
        tokio::spawn(hold::renew(Arc::downgrade(&core), core.closed.clone()));
        Ok(Arc::new(Self { core }))
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.core.path
    }

    /// Records in the same file, written by the same thread.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::new(store::LocalStore::new(Arc::clone(&self.core)))
    }

    /// Stops this client at once, as if its process had ended: what was not committed is not done, and messages in
    /// hand are delivered again when their leases end, to whoever else has the file open. An orderly end settles its
    /// deliveries first and needs no call.
    pub async fn close(&self) {
        self.core.closed.cancel();
        self.core.writer.stop().await;
    }
}

impl Core {
    fn held(&self) -> MutexGuard<'_, HashMap<i64, Held>> {
        self.held.lock().expect("no panic while the map is locked")
    }

    /// `count` tokens that no lease has had; the first of them.
    fn tokens(&self, count: usize) -> i64 {
        self.next_token.fetch_add(i64::try_from(count).expect("counts are small"), Ordering::Relaxed)
    }

    /// Refuses what is over the limit.
    fn check_size(&self, message: &Outgoing) -> Result<(), TransportError> {
        let (size, limit) = (message.body.len(), self.options.max_message);
        if size > limit {
            return Err(TransportError::TooLarge { queue: message.queue.clone(), size, limit });
        }
        Ok(())
    }

    /// Reads on the reading connection, where blocking is allowed.
    async fn read<T, F>(&self, work: F) -> Result<T, TransportError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    {
        if self.closed.is_cancelled() {
            return Err(Fault::Stopped.into());
        }
        let reader = Arc::clone(&self.reader);
        let read = move || {
            let connection = reader.lock().map_err(|_| Fault::Broken("a reader panicked".to_owned()))?;
            work(&connection)
        };
        let result = tokio::task::spawn_blocking(read).await;
        result.map_err(|error| TransportError::Unavailable(error.to_string()))?.map_err(TransportError::from)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}

impl Transport for Local {
    fn consume(
        &self,
        queue: &Queue,
        credit: NonZeroU16,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, TransportError>> {
        let consumer = consumer::LocalConsumer::start(&self.core, queue.clone(), credit);
        Box::pin(async move { Ok(Box::new(consumer) as Box<dyn Consumer>) })
    }

    fn publish(
        &self,
        message: Outgoing,
        delay: Option<Duration>,
    ) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(async move {
            self.core.check_size(&message)?;
            let publish = self.core.writer.run(move |connection, touched| {
                let now = now();
                rows::publish(connection, &message, now, now + micros(delay.unwrap_or_default()))?;
                touched.push(message.queue);
                Ok(())
            });
            Ok(publish.await?)
        })
    }

    fn lease(&self) -> Lease {
        Lease::Renewable(self.core.options.lease)
    }

    fn max_message(&self) -> Option<usize> {
        Some(self.core.options.max_message)
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.core.status.watch()
    }
}

/// The time as the file has it: microseconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// A delay as the file has it, capped at [`MAX_DELAY`] and rounded up.
fn micros(delay: Duration) -> i64 {
    let micros = delay.min(MAX_DELAY).as_nanos().div_ceil(1000);
    i64::try_from(micros).expect("MAX_DELAY fits")
}

/// The file's time for people.
fn system_time(micros: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(micros.max(0).cast_unsigned())
}

/// A random positive number with room to count up.
fn random() -> i64 {
    let (_, low) = uuid::Uuid::now_v7().as_u64_pair();
    // The upper two bits of the low half are the variant and not random; the shift drops the sign and leaves room.
    ((low << 2) >> 3).cast_signed()
}
