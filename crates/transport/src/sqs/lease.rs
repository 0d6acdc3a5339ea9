//! The visibility heartbeat: every message that is held, waiting or in work, is renewed at half its visibility timeout.
//!
//! A lease ends before its message is deleted or hidden for another time, so that no renewal overtakes either.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use asya_envelope::Queue;
use futures::future::join_all;
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

use super::{Core, config::MAX_VISIBILITY, failure::Failure, requests::Hide};

/// Kept free below the 12 hours, for the clocks of both sides.
const CLOCK_SLACK: Duration = Duration::from_secs(30);

/// The messages of one consumer.
pub(super) struct Leases {
    core: Arc<Core>,
    queue: Queue,
    visibility: Duration,
    held: Mutex<HashMap<u64, Arc<Lease>>>,
    last_key: AtomicU64,
    closing: AtomicBool,
    changed: Notify,
}

/// One message's time with us.
#[derive(Debug)]
pub(super) struct Lease {
    key: u64,
    pub receipt: String,
    received: Instant,
    times: Mutex<Times>,
    /// Held by a renewal on the wire; closed by the end of the lease.
    turn: Semaphore,
}

#[derive(Debug)]
struct Times {
    expires: Instant,
    renew: Instant,
    lost: Option<String>,
}

impl Leases {
    /// Starts the heartbeat; it ends after [`Leases::close`], with the last lease.
    pub(super) fn start(core: &Arc<Core>, queue: Queue) -> Arc<Self> {
        let leases = Arc::new(Self {
            core: Arc::clone(core),
            queue,
            visibility: core.service.config.visibility(),
            held: Mutex::default(),
            last_key: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            changed: Notify::new(),
        });
        core.tasks.spawn_on(Arc::clone(&leases).beat(), &core.runtime);
        leases
    }

    /// A message received by a request that was sent at `asked`.
    pub(super) fn begin(&self, receipt: String, asked: Instant) -> Arc<Lease> {
        let key = self.last_key.fetch_add(1, Ordering::Relaxed);
        let times =
            Times { expires: asked + self.visibility, renew: asked + self.visibility / 2, lost: None };
        let lease = Arc::new(Lease {
            key,
            receipt,
            received: asked,
            times: Mutex::new(times),
            turn: Semaphore::new(1),
        });
        let first = {
            let mut held = self.held();
            held.insert(key, Arc::clone(&lease));
            held.len() == 1
        };
        // The others are renewed before this one.
        if first {
            self.changed.notify_one();
        }
        lease
    }

    /// No renewal happens after this: waits for the one on the wire.
    pub(super) async fn end(&self, lease: &Lease) {
        self.forget(lease);
        let _ = lease.turn.acquire().await;
        lease.turn.close();
    }

    /// Stops renewing a message that is not ours any more.
    pub(super) fn forget(&self, lease: &Lease) {
        let last = {
            let mut held = self.held();
            held.remove(&lease.key);
            held.is_empty()
        };
        if last {
            self.changed.notify_one();
        }
    }

    /// No new leases will begin.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    async fn beat(self: Arc<Self>) {
        loop {
            let leases: Vec<_> = self.held().values().cloned().collect();
            if leases.is_empty() && self.closing.load(Ordering::Acquire) {
                return;
            }
            let next = leases.iter().map(|lease| lease.times().renew).min();
            let due = async {
                match next {
                    Some(next) => tokio::time::sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => self.renew(leases).await,
                () = self.changed.notified() => {}
            }
        }
    }

    /// Renews those that are due, and those that soon will be: they travel in the same requests.
    async fn renew(&self, leases: Vec<Arc<Lease>>) {
        let soon = Instant::now() + self.visibility / 10;
        let due = leases.into_iter().filter(|lease| lease.times().renew <= soon);
        join_all(due.map(|lease| self.renew_one(lease))).await;
    }

    async fn renew_one(&self, lease: Arc<Lease>) {
        // Being settled just now: nothing to renew.
        let Ok(_turn) = lease.turn.try_acquire() else { return };
        let asked = Instant::now();
        let period = renewal(self.visibility, asked.duration_since(lease.received));
        if period.is_zero() {
            return self.lose(&lease, "it was held for 12 hours, the most that sqs permits".to_owned());
        }
        let hide = Hide { receipt: lease.receipt.clone(), period };
        match self.core.hide(&self.queue, hide).await {
            Ok(()) => {
                let mut times = lease.times();
                times.expires = asked + period;
                times.renew = asked + period / 2;
            }
            Err(Failure::Again(reason) | Failure::Denied(reason)) => {
                tracing::warn!(queue = %self.queue, reason, "a message could not be renewed; trying again");
                lease.times().renew = Instant::now() + self.visibility / 10;
            }
            Err(failure) => {
                self.lose(&lease, failure.settling(&self.queue).to_string());
            }
        }
    }

    fn lose(&self, lease: &Lease, reason: String) {
        tracing::warn!(queue = %self.queue, reason, "a message was lost while it was held; sqs delivers it again");
        lease.times().lost = Some(reason);
        self.forget(lease);
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Lease>>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lease {
    /// Why the message is not ours any more, if it is not.
    pub(super) fn lost(&self) -> Option<String> {
        let times = self.times();
        if let Some(reason) = &times.lost {
            return Some(reason.clone());
        }
        (times.expires <= Instant::now()).then(|| "its visibility timeout has passed".to_owned())
    }

    /// How long the message may still be hidden: SQS counts 12 hours from the receive on.
    pub(super) fn longest_hide(&self) -> Duration {
        MAX_VISIBILITY.saturating_sub(self.received.elapsed() + CLOCK_SLACK)
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For how long to renew a message that has been held for `held`: the visibility timeout, within the 12 hours that SQS
/// counts from the receive on. Zero when they are over.
fn renewal(visibility: Duration, held: Duration) -> Duration {
    let left = MAX_VISIBILITY.saturating_sub(held + CLOCK_SLACK);
    Duration::from_secs(visibility.min(left).as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewals_stay_within_twelve_hours_of_the_receive() {
        let hour = Duration::from_secs(3600);
        assert_eq!(renewal(hour, Duration::ZERO), hour);
        assert_eq!(renewal(hour, 11 * hour), hour - CLOCK_SLACK);
        assert_eq!(renewal(hour, 12 * hour), Duration::ZERO);
        assert_eq!(renewal(hour, 13 * hour), Duration::ZERO);
    }
}
