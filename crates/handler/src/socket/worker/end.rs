//! When a worker is gone: its last words, and what becomes of what it left.

use std::{io, time::Duration};

use tokio::time::Instant;

use super::{Connection, Gone};
use crate::{
    Code, Fault,
    socket::{
        dispatch::{Job, MAX_DEATHS},
        flight::Flight,
    },
};

/// How long answers are still read after the supervisor has gone: what a worker wrote before it died is in the socket.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Connection {
    /// Reads what the worker wrote before it was gone.
    pub(super) async fn last_words(&mut self, gone: Gone) -> Gone {
        if self.closed_at.is_some() {
            return gone;
        }
        // Whoever is dead has written everything; a lost runtime may still be at it.
        let until = Instant::now() + LAST_WORDS;
        loop {
            if let Some(blocked) = self.blocked.take() {
                let unblocked = blocked.await;
                if let Some(cut) = self.unblock(unblocked) {
                    return cut;
                }
                continue;
            }
            match self.decoder.fill(|room| self.stream.try_read_buf(room)) {
                Ok(0) => return gone,
                Ok(_) => {
                    if let Some(cut) = self.decode() {
                        return cut;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if gone != Gone::Lost || self.flights.is_empty() {
                        return gone;
                    }
                    let readable = tokio::time::timeout_at(until, self.stream.readable()).await;
                    if !matches!(readable, Ok(Ok(()))) {
                        return gone;
                    }
                }
                Err(_) => return gone,
            }
        }
    }

    /// Ends what the worker has left, or gives it back.
    pub(super) fn finish(mut self, gone: Gone) {
        let worker = self.info.id;
        tracing::debug!(worker, ?gone, unanswered = self.flights.len(), "worker is gone");
        let flights = self.flights.take_all();
        let together = flights.len() > 1;
        let mut again = Vec::new();
        for flight in flights {
            again.extend(self.judge(flight, &gone, together));
        }
        // Out of the dispatcher first, so that nothing comes back to this worker.
        let untouched = self.runtime.dispatcher.remove_worker(worker);
        let inbox = std::mem::take(&mut self.inbox);
        self.runtime.dispatcher.resubmit(again.into_iter().chain(inbox).chain(untouched));
    }

    /// What becomes of one request that a worker has left; it is returned if it is to run again.
    fn judge(&self, mut flight: Flight, gone: &Gone, together: bool) -> Option<Job> {
        let batch = self.runtime.hello.batch_max > 1;
        if flight.is_stopping() && !(batch && together) {
            flight.time_out();
            return None;
        }
        let mut job = flight.job?;
        match gone {
            Gone::Lost => {
                job.fail(Code::Connection, Fault::Infrastructure, "the runtime went away");
                return None;
            }
            Gone::Retired => {}
            // One item of a batch hung, nobody knows which: each gets a call of its own.
            Gone::Killed => job.solo |= batch && together,
            Gone::Died(how) => {
                job.deaths += 1;
                job.solo = true;
                if job.deaths >= MAX_DEATHS {
                    let deaths = job.deaths;
                    job.fail(
                        Code::WorkerDied,
                        Fault::Final,
                        format!(
                            "the worker process died {deaths} times while it handled this message: {how}"
                        ),
                    );
                    return None;
                }
            }
        }
        if job.yielded {
            // Its items are on their way: only the sidecar can run it again, under the same numbers.
            if job.deaths > 0 {
                self.runtime.dispatcher.remember(&job.request.envelope.id, job.deaths);
            }
            job.fail(
                Code::WorkerDied,
                Fault::Infrastructure,
                "the worker was gone before the generator ended",
            );
            return None;
        }
        Some(job)
    }
}
