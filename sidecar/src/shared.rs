//! What all deliveries of one engine share.

use std::sync::{Arc, Mutex, atomic::AtomicUsize};

use asya_handler::{Budget, Handler};
use asya_telemetry::ActorMetrics;
use asya_transport::Transport;
use tokio_util::sync::CancellationToken;

use crate::{
    EngineConfig, Observers, Stats, credit::Credit, failure::reason_label, permits::Permits, runs::Runs,
    settle::Account,
};

/// What all deliveries of one engine share.
pub(crate) struct Shared {
    pub(crate) config: Arc<EngineConfig>,
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) observers: Observers,
    pub(crate) stats: Arc<Stats>,
    pub(crate) metrics: Option<ActorMetrics>,
    pub(crate) runs: Runs,
    /// Deliveries that may be in hand.
    pub(crate) credit: Permits,
    /// Requests that may be in the handler.
    pub(crate) slots: Permits,
    /// Requests that are in the handler.
    pub(crate) handling: AtomicUsize,
    /// Deliveries that wait for a missing queue.
    pub(crate) waiting: AtomicUsize,
    /// Memory for redeemed payloads.
    pub(crate) redeeming: Budget,
    /// What was learnt about sizes and times.
    pub(crate) learnt: Mutex<Credit>,
    /// Nothing new begins.
    pub(crate) draining: CancellationToken,
    /// What runs is given up.
    pub(crate) abort: CancellationToken,
}

impl Shared {
    pub(crate) fn learn(&self, note: impl FnOnce(&mut Credit)) {
        note(&mut self.learnt.lock().expect("no code panics while it learns"));
    }

    /// Counts how a delivery ended.
    pub(crate) fn count(&self, account: &Account) {
        let metrics = self.metrics.as_ref();
        match account {
            Account::Succeeded(status) => {
                self.stats.count_succeeded();
                metrics.inspect(|metrics| metrics.processed(status));
            }
            Account::Dropped => {
                self.stats.count_dropped();
                metrics.inspect(|metrics| metrics.processed("dropped"));
            }
            Account::Cancelled => {
                self.stats.count_dropped();
                metrics.inspect(|metrics| metrics.processed("cancelled"));
            }
            Account::Absorbed => {
                self.stats.count_succeeded();
                metrics.inspect(|metrics| metrics.processed("success"));
            }
            Account::Failed(code) => {
                self.stats.count_failed();
                metrics.inspect(|metrics| metrics.failed(reason_label(code)));
            }
            Account::Dead(code) => {
                self.stats.count_dead_lettered();
                metrics.inspect(|metrics| {
                    metrics.failed(reason_label(code));
                    metrics.dead_lettered();
                });
            }
            Account::Retried(reason) => {
                self.stats.count_retried();
                metrics.inspect(|metrics| metrics.retried(reason));
            }
            Account::Joined => {
                self.stats.count_joined();
                metrics.inspect(|metrics| metrics.joined());
            }
            Account::Released => {}
        }
    }
}
