//! Requests that a worker has and has not answered: their clocks, and what becomes of them.
//!
//! | state | event | next |
//! |---|---|---|
//! | running | answered | gone, ended as answered |
//! | running | its clock runs out | stopping, CANCEL sent |
//! | running | nobody waits for it, or its reply is too large (ended) | stopping, CANCEL sent |
//! | stopping | answered, or the worker is gone | gone, ended as answered or as timeout, unless it has ended |
//! | stopping | patience runs out | lost, KILL sent, ended as timeout, unless it has ended |
//! | lost | the worker is gone, or patience runs out again | gone; the worker is given up |

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use super::dispatch::Job;
use crate::{Code, End, Failure, Fault, message::WorkerKind};

/// How long the supervisor may take to end a request or a worker: its own second of mercy, and time to be scheduled.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// A clock that runs longer than this never runs out; keeps sums of instants from overflowing.
pub(super) const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3600);

/// One request at the worker.
#[derive(Debug)]
pub(super) struct Flight {
    /// `None` when it has ended for the sidecar, and only the worker is not done with it.
    pub(super) job: Option<Job>,
    /// When its clock started.
    since: Instant,
    /// Bytes of its replies so far.
    pub(super) received: usize,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running,
    Stopping { until: Instant },
    Lost { until: Instant },
}

/// What must be done about time that has passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// Tell the supervisor to end this request.
    Cancel(u64),
    /// Tell the supervisor to kill the worker.
    Kill,
    /// The worker cannot be saved, and nobody says that it is gone: go on without it.
    GiveUp,
}

/// All requests at one worker, by their id on the connection, oldest first.
#[derive(Debug)]
pub(super) struct Flights {
    all: BTreeMap<u64, Flight>,
    kind: WorkerKind,
    next_id: u64,
    /// Nothing is due before it; may be earlier than what is due next.
    wake_at: Option<Instant>,
}

impl Flights {
    pub(super) fn new(kind: WorkerKind) -> Self {
        Self { all: BTreeMap::new(), kind, next_id: 1, wake_at: None }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.wake_at
    }

    /// When the clock of the oldest request started.
    pub(super) fn head_since(&self) -> Option<Instant> {
        self.all.first_key_value().map(|(_, flight)| flight.since)
    }

    /// The id that the next request gets.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Adds a request under [`Flights::next_id`].
    pub(super) fn add(&mut self, job: Job, now: Instant) {
        let flight = Flight { job: Some(job), since: now, received: 0, state: State::Running };
        if self.kind == WorkerKind::Async || self.all.is_empty() {
            self.wake_by(now + flight.limit());
        }
        self.all.insert(self.next_id, flight);
        self.next_id += 1;
    }

    pub(super) fn get_mut(&mut self, id: u64) -> Option<&mut Flight> {
        self.all.get_mut(&id)
    }

    /// Takes an answered request out; the clock of the one behind it starts.
    pub(super) fn remove(&mut self, id: u64, now: Instant) -> Option<Flight> {
        let was_head = self.all.first_key_value().is_some_and(|(first, _)| *first == id);
        let flight = self.all.remove(&id)?;
        if was_head && self.kind == WorkerKind::Sync {
            let next = self.all.first_entry().map(|mut head| {
                head.get_mut().since = now;
                now + head.get().limit()
            });
            if let Some(at) = next {
                self.wake_by(at);
            }
        }
        Some(flight)
    }

    /// Begins to stop a request that has ended for the sidecar. False if it was not running.
    pub(super) fn stop(&mut self, id: u64, now: Instant) -> bool {
        let Some(flight) = self.all.get_mut(&id) else { return false };
        if flight.state != State::Running {
            return false;
        }
        flight.state = State::Stopping { until: now + PATIENCE };
        self.wake_by(now + PATIENCE);
        true
    }

    /// Requests that run although nobody waits for them any more; their jobs are dropped.
    pub(super) fn abandoned(&mut self) -> Vec<u64> {
        let mut found = Vec::new();
        for (id, flight) in &mut self.all {
            if flight.job.as_ref().is_some_and(|job| job.sender.is_cancelled()) {
                flight.job = None;
                found.push(*id);
            }
        }
        found
    }

    /// Looks at the clocks.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Due> {
        let mut due = Vec::new();
        self.wake_at = None;
        let kind = self.kind;
        let mut wake: Option<Instant> = None;
        for (index, (id, flight)) in self.all.iter_mut().enumerate() {
            let at = match flight.state {
                // Behind the first request of a sync worker no clock runs.
                State::Running if kind == WorkerKind::Sync && index > 0 => continue,
                State::Running => {
                    let limit = flight.since + flight.limit();
                    if limit > now {
                        limit
                    } else {
                        flight.state = State::Stopping { until: now + PATIENCE };
                        due.push(Due::Cancel(*id));
                        now + PATIENCE
                    }
                }
                State::Stopping { until } | State::Lost { until } if until > now => until,
                State::Stopping { .. } => {
                    flight.time_out();
                    flight.state = State::Lost { until: now + PATIENCE };
                    due.push(Due::Kill);
                    now + PATIENCE
                }
                State::Lost { .. } => {
                    due.push(Due::GiveUp);
                    continue;
                }
            };
            wake = Some(wake.map_or(at, |earlier| earlier.min(at)));
        }
        self.wake_at = wake;
        due
    }

    /// The sidecar itself held the worker's replies back for `pause`: no clock ran.
    pub(super) fn shift(&mut self, pause: Duration) {
        for flight in self.all.values_mut() {
            flight.since += pause;
        }
    }

    /// Takes everything out, because the worker is gone.
    pub(super) fn take_all(&mut self) -> Vec<Flight> {
        self.wake_at = None;
        std::mem::take(&mut self.all).into_values().collect()
    }

    fn wake_by(&mut self, at: Instant) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }
}

impl Flight {
    /// True when its time ran out or nobody waits for it: the worker was killed because of it.
    pub(super) fn is_stopping(&self) -> bool {
        self.state != State::Running
    }

    /// Ends the request as timed out, unless it has ended.
    pub(super) fn time_out(&mut self) {
        if let Some(job) = self.job.take() {
            let limit = job_timeout(&job);
            job.end(timed_out(limit));
        }
    }

    fn limit(&self) -> Duration {
        // What has ended for the sidecar no longer has a limit of its own; stopping it has.
        self.job.as_ref().map_or(PATIENCE, job_timeout).min(NEVER)
    }
}

fn job_timeout(job: &Job) -> Duration {
    job.request.timeout
}

/// The end of a request whose time ran out.
pub(super) fn timed_out(limit: Duration) -> End {
    let message = format!("the handler took longer than {limit:?}");
    End::Failed(Failure::new(Code::Timeout, Fault::Handler, message))
}
