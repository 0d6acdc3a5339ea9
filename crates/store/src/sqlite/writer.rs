//! The one writing thread of a file: group commit.
//!
//! Everything that waits goes into one transaction, each job inside a savepoint, so that one that fails does not undo
//! the others. Callers are answered, and watchers told, after the commit.

use std::{sync::Arc, thread};

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use super::session::Session;
use crate::{StoreError, envelopes::hub::Hub};

/// Jobs that may wait for the thread; whoever comes later waits to hand theirs over.
const WAITING: usize = 1024;
/// Jobs of one transaction; bounds how long the first of them waits for the last.
const BATCH: usize = 256;

/// The way to the thread. It ends when this is dropped and everything handed over is done.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: mpsc::Sender<Box<dyn Job>>,
    hub: Arc<Hub>,
}

/// A piece of work for one transaction.
trait Job: Send {
    /// Does it; false if it failed and must be undone.
    fn run(&mut self, connection: &Connection) -> bool;
    /// Answers the caller, once it is known whether the transaction was committed.
    fn answer(self: Box<Self>, failed: Option<&Failure>);
}

/// Why a whole transaction failed.
struct Failure {
    full: bool,
    reason: String,
}

struct Work<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    changed: Vec<String>,
    hub: Arc<Hub>,
    caller: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Work<T, F>
where
    T: Send,
    F: FnOnce(&mut Session<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, connection: &Connection) -> bool {
        let result = self.work.take().map(|work| work(&mut Session::new(connection, &mut self.changed)));
        let done = matches!(result, Some(Ok(_)));
        self.result = result;
        done
    }

    fn answer(self: Box<Self>, failed: Option<&Failure>) {
        let result = match (failed, self.result) {
            // Its own error says more than that of a transaction that failed with it.
            (_, Some(Err(error))) => Err(error),
            (None, Some(result)) => {
                self.hub.changed(self.changed.iter().map(String::as_str));
                result
            }
            (Some(Failure { full: true, reason }), _) => Err(StoreError::Full(reason.clone())),
            (Some(failure), _) => Err(StoreError::Unavailable(failure.reason.clone())),
            (None, None) => Err(stopped()),
        };
        // A caller that has gone does not want to know.
        let _ = self.caller.send(result);
    }
}

impl Writer {
    pub(super) fn start(connection: Connection, hub: Arc<Hub>) -> Self {
        let (jobs, receiver) = mpsc::channel(WAITING);
        thread::Builder::new()
            .name("asya-store".to_owned())
            .spawn(move || write(connection, receiver))
            .expect("a thread can be started");
        Self { jobs, hub }
    }

    /// Does `work` in a transaction, tells watchers what it changed, and answers. If the future is dropped, the work is
    /// done all the same once it has been handed over.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Session<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let (caller, answer) = oneshot::channel();
        let (work, hub) = (Some(work), self.hub.clone());
        let job = Work { work, result: None, changed: Vec::new(), hub, caller };
        self.jobs.send(Box::new(job)).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the writing thread has stopped".to_owned())
}

fn write(mut connection: Connection, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = jobs.blocking_recv() {
        batch.push(first);
        while batch.len() < BATCH
            && let Ok(job) = jobs.try_recv()
        {
            batch.push(job);
        }
        let failed = transact(&mut connection, &mut batch).err().map(|error| Failure {
            full: error.sqlite_error_code() == Some(ErrorCode::DiskFull),
            reason: error.to_string(),
        });
        if let Some(failure) = &failed {
            tracing::warn!(
                reason = failure.reason,
                jobs = batch.len(),
                "transaction on the store's file failed"
            );
        }
        for job in batch.drain(..) {
            job.answer(failed.as_ref());
        }
    }
}

fn transact(connection: &mut Connection, batch: &mut [Box<dyn Job>]) -> rusqlite::Result<()> {
    // Immediate: a transaction that begins by reading could not wait for a writer of another process.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for job in batch {
        transaction.prepare_cached("SAVEPOINT job")?.execute([])?;
        if !job.run(&transaction) {
            // After a full disk or the like SQLite has undone the whole transaction by itself; then this fails, and
            // with it every job of the batch, as it must.
            transaction.prepare_cached("ROLLBACK TO job")?.execute([])?;
        }
        transaction.prepare_cached("RELEASE job")?.execute([])?;
    }
    transaction.commit()
}
