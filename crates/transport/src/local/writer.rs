//! The one writing thread of a client: group commit.
//!
//! Everything that waits goes into one transaction, each job inside a savepoint, so that one that fails does not fail
//! the others. Callers are answered after the commit.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use asya_envelope::Queue;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::{status::Status, wake::Wakes};
use crate::{TransportError, Unsettled};

/// Jobs that may wait for the thread; whoever comes later waits to hand theirs over.
const WAITING: usize = 1024;
/// Jobs of one transaction; bounds how long the first of them waits for the last, and other processes for us.
const BATCH: usize = 512;
/// First pause while another process writes: its transaction takes about as long. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_micros(100);
/// Longest of these pauses. SQLite's own waiting goes up to a tenth of a second, and whoever has waited for that long is
/// overtaken by everybody who comes.
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

/// Why a job was not done.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// The seam's own errors.
    Transport(TransportError),
    /// A record had moved on.
    Conflict(String),
    /// The lease is somebody else's by now.
    Lost,
    /// The client was closed.
    Stopped,
    /// SQLite failed.
    Broken(String),
}

/// The queues that a job changed: whoever waits on them is woken after the commit.
pub(super) type Touched = Vec<Queue>;

type Done<T> = Result<T, Fault>;

/// The way to the thread. It ends when this is dropped and everything handed over is done.
pub(super) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
    stopped: Arc<AtomicBool>,
}

/// A piece of work for one transaction.
trait Job: Send {
    /// Does it; false if it failed and must be undone.
    fn run(&mut self, connection: &Connection, touched: &mut Touched) -> bool;
    /// Answers the caller, once it is known whether the transaction was committed.
    fn answer(self: Box<Self>, failed: Option<&str>);
}

struct Work<T, F> {
    work: Option<F>,
    result: Option<Done<T>>,
    caller: Option<oneshot::Sender<Done<T>>>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: FnOnce(&Connection, &mut Touched) -> Done<T> + Send,
{
    fn run(&mut self, connection: &Connection, touched: &mut Touched) -> bool {
        let result = self.work.take().map(|work| work(connection, touched));
        let done = matches!(result, Some(Ok(_)));
        self.result = result;
        done
    }

    fn answer(mut self: Box<Self>, failed: Option<&str>) {
        let Some(caller) = self.caller.take() else { return };
        let result = match (failed, self.result.take()) {
            // Its own error says more than that of a transaction that failed with it.
            (_, Some(Err(fault))) => Err(fault),
            (Some(reason), _) => Err(Fault::Broken(reason.to_owned())),
            (None, result) => result.unwrap_or(Err(Fault::Stopped)),
        };
        // A caller that has gone does not want to know.
        let _ = caller.send(result);
    }
}

impl Writer {
    /// `patience`: how long another process may write before what waits here fails.
    pub(super) fn start(
        connection: Connection,
        patience: Duration,
        wakes: Arc<Wakes>,
        status: Arc<Status>,
    ) -> Self {
        let (jobs, receiver) = mpsc::channel(WAITING);
        let stopped = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stopped);
        thread::Builder::new()
            .name("asya-local".to_owned())
            .spawn(move || write(&connection, patience, receiver, &seen, &wakes, &status))
            .expect("a thread can be started");
        Self { jobs, stopped }
    }

    /// Does `work` in a transaction and answers after the commit. If the future is dropped, the work is done all the
    /// same once it has been handed over.
    pub(super) async fn run<T, F>(&self, work: F) -> Done<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection, &mut Touched) -> Done<T> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let job = Work { work: Some(work), result: None, caller: Some(caller) };
        self.jobs.send(Box::new(job)).await.map_err(|_| Fault::Stopped)?;
        answer.await.unwrap_or(Err(Fault::Stopped))
    }

    /// Has `work` done without waiting for it; false if too much waits already.
    pub(super) fn try_run<F>(&self, work: F) -> bool
    where
        F: FnOnce(&Connection, &mut Touched) -> Done<()> + Send + 'static,
    {
        self.jobs.try_send(Box::new(Work { work: Some(work), result: None, caller: None })).is_ok()
    }

    /// Ends the thread; what waits is not done. Returns when the last transaction is over.
    pub(super) async fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        // Wakes the thread if it waits for a job.
        let _ = self.run(|_, _| Ok(())).await;
        self.jobs.closed().await;
    }
}

fn write(
    connection: &Connection,
    patience: Duration,
    mut jobs: mpsc::Receiver<Box<dyn Job>>,
    stopped: &AtomicBool,
    wakes: &Wakes,
    status: &Status,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let mut touched = Touched::new();
    // It is waited here, by shorter pauses.
    if let Err(error) = connection.busy_timeout(Duration::ZERO) {
        tracing::warn!(%error, "waiting for other processes takes longer than it must");
    }
    loop {
        let first = jobs.blocking_recv();
        let Some(first) = first.filter(|_| !stopped.load(Ordering::Acquire)) else { return };
        batch.push(first);
        while batch.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        let failed =
            transact(connection, patience, &mut batch, &mut touched).err().map(|error| error.to_string());
        if let Some(reason) = &failed {
            tracing::warn!(reason, jobs = batch.len(), "transaction on the queue file failed");
            touched.clear();
        }
        status.transaction(failed.as_deref());
        for job in batch.drain(..) {
            job.answer(failed.as_deref());
        }
        wakes.wake(&mut touched);
        touched.clear();
    }
}

fn transact(
    connection: &Connection,
    patience: Duration,
    batch: &mut [Box<dyn Job>],
    touched: &mut Touched,
) -> rusqlite::Result<()> {
    let transaction = begin(connection, patience)?;
    for job in batch {
        let before = touched.len();
        transaction.prepare_cached("SAVEPOINT job")?.execute([])?;
        if !job.run(&transaction, touched) {
            touched.truncate(before);
            // After a full disk or the like SQLite has undone the whole transaction by itself; then this fails, and
            // with it every job of the batch, as it must.
            transaction.prepare_cached("ROLLBACK TO job")?.execute([])?;
        }
        transaction.prepare_cached("RELEASE job")?.execute([])?;
    }
    transaction.commit()
}

/// Begins as soon as no other process writes.
fn begin(connection: &Connection, patience: Duration) -> rusqlite::Result<Transaction<'_>> {
    let (began, mut pause) = (Instant::now(), FIRST_PAUSE);
    loop {
        // Immediate: a transaction that begins by reading could not wait for a writer of another process.
        match Transaction::new_unchecked(connection, TransactionBehavior::Immediate) {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && began.elapsed() < patience =>
            {
                thread::sleep(pause);
                pause = LONGEST_PAUSE.min(pause * 2);
            }
            begun => return begun,
        }
    }
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

impl From<TransportError> for Fault {
    fn from(error: TransportError) -> Self {
        Self::Transport(error)
    }
}

impl From<Fault> for TransportError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Transport(error) => error,
            Fault::Stopped => Self::Unavailable("the queue file was closed".to_owned()),
            Fault::Broken(reason) | Fault::Conflict(reason) => Self::Unavailable(reason),
            Fault::Lost => Self::Unavailable("the lease has ended".to_owned()),
        }
    }
}

impl From<Fault> for Unsettled {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Conflict(record) => Self::Conflict(record),
            Fault::Lost => Self::Lost("its lease ended and the message was delivered again".to_owned()),
            Fault::Stopped => Self::Lost("the queue file was closed".to_owned()),
            other => Self::Publish(other.into()),
        }
    }
}
