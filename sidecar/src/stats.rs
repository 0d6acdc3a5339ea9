//! Counters of one engine, cheap to read at any time.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// What one engine has done since it started. Each number only grows, except [`Stats::in_flight`].
#[derive(Debug, Default)]
pub struct Stats {
    received: AtomicU64,
    succeeded: AtomicU64,
    failed: AtomicU64,
    retried: AtomicU64,
    dead_lettered: AtomicU64,
    dropped: AtomicU64,
    joined: AtomicU64,
    in_flight: AtomicU64,
    handled: AtomicU64,
    handler_nanos: AtomicU64,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident / $count:ident),+ $(,)?) => {$(
        $(#[$doc])*
        pub fn $name(&self) -> u64 {
            self.$name.load(Relaxed)
        }
        pub(crate) fn $count(&self) {
            self.$name.fetch_add(1, Relaxed);
        }
    )+};
}

impl Stats {
    counters! {
        /// Deliveries that arrived, redeliveries included.
        received / count_received,
        /// Deliveries whose envelope went on, or ended here as it should.
        succeeded / count_succeeded,
        /// Deliveries whose envelope went to the error end.
        failed / count_failed,
        /// Deliveries put back to be tried again.
        retried / count_retried,
        /// Deliveries whose untouched message went to the dead-letter queue.
        dead_lettered / count_dead_lettered,
        /// Deliveries that the handler dropped.
        dropped / count_dropped,
        /// Redelivered copies that joined a run which was still going on or just finished.
        joined / count_joined,
    }

    /// Deliveries in hand now.
    pub fn in_flight(&self) -> u64 {
        self.in_flight.load(Relaxed)
    }

    /// Runs of the handler that have ended.
    pub fn handled(&self) -> u64 {
        self.handled.load(Relaxed)
    }

    /// Time spent in the handler, all runs together.
    pub fn handler_time(&self) -> Duration {
        Duration::from_nanos(self.handler_nanos.load(Relaxed))
    }

    pub(crate) fn count_handled(&self, took: Duration) {
        self.handled.fetch_add(1, Relaxed);
        self.handler_nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(crate) fn enter(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    pub(crate) fn leave(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }
}
