//! Tells one sink what its outbox holds, in order, as fast as the sink allows.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use asya_store::Store;
use asya_telemetry::ActorMetrics;
use jiff::{SignedDuration, Timestamp};

use super::{
    body::Body,
    delivery::{Delivery, Sent},
    outbox::{self, Entry},
    sink::Sink,
};
use crate::actor::ActError;

/// How often an outbox is looked at.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// The first pause after a failure; each one more doubles it.
const PAUSE: Duration = Duration::from_secs(2);
/// No longer, so that a sink that is back is told soon.
const LONGEST: Duration = Duration::from_secs(300);
/// Longest pause that a sink may ask for: more is a mistake.
const LONGEST_TOLD: Duration = Duration::from_secs(3600);

/// Who tells one sink.
pub(super) struct Sender {
    store: Arc<dyn Store>,
    sink: Sink,
    delivery: Delivery,
    /// By whom sinks are claimed: this process.
    by: u64,
    metrics: Option<ActorMetrics>,
    /// Nothing is sent before.
    not_before: Option<Instant>,
    /// Tries in a row that failed.
    failed: u32,
    /// Entries that are told one by one, because the sink refused them together.
    singles: usize,
}

impl Sender {
    /// # Errors
    /// A sentence: certificates that cannot be read.
    pub(super) fn new(store: Arc<dyn Store>, sink: Sink, by: u64) -> Result<Self, String> {
        let delivery = Delivery::new(sink.clone())?;
        Ok(Self { store, sink, delivery, by, metrics: None, not_before: None, failed: 0, singles: 0 })
    }

    pub(super) fn count_by(&mut self, metrics: Option<ActorMetrics>) {
        self.metrics = metrics;
    }

    /// Tells for ever. Cancel safe: what was told and not noted is told again.
    pub(super) async fn run(mut self) {
        loop {
            let pause = match self.turn(Timestamp::now()).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(sink = self.sink.name, %error, "the outbox cannot be read, trying again");
                    EVERY
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Tells one message, if one is due; says how long nothing is to be done.
    pub(super) async fn turn(&mut self, now: Timestamp) -> Result<Duration, ActError> {
        if let Some(wait) = self.not_before.and_then(|at| at.checked_duration_since(Instant::now()))
            && !wait.is_zero()
        {
            return Ok(wait.min(EVERY));
        }
        let most = if self.singles > 0 { 1 } else { self.sink.most };
        let entries = outbox::oldest(&*self.store, &self.sink.name, most).await?;
        let Some(first) = entries.first() else { return Ok(EVERY) };
        // Waits for more of them, unless it is late already.
        let age = Duration::try_from(now.duration_since(first.at)).unwrap_or_default();
        let window = if self.failed > 0 || self.singles > 0 { Duration::ZERO } else { self.sink.window };
        if entries.len() < most && age < window {
            return Ok((window - age).min(EVERY));
        }
        let Some(claimed) = outbox::claim(&*self.store, &self.sink, self.by).await? else {
            return Ok(EVERY);
        };
        let sent = match Body::new(&self.sink, &entries) {
            Ok(body) => self.delivery.send(&body).await,
            Err(why) => Sent::Later { after: None, why },
        };
        match sent {
            Sent::Done => {
                // Fewer than there may be: nothing more waits.
                let release = (entries.len() < most).then_some(claimed);
                outbox::remove(&*self.store, &entries, release).await?;
                self.singles = self.singles.saturating_sub(entries.len());
                if self.failed > 0 {
                    tracing::info!(sink = self.sink.name, "the sink is told again");
                }
                self.failed = 0;
                self.count("sent");
                self.pause(self.sink.pace);
                Ok(self.sink.pace.min(EVERY))
            }
            Sent::Refused(why) if entries.len() > 1 => {
                tracing::warn!(
                    sink = self.sink.name,
                    why,
                    "the sink refuses a message; its findings are told one by one"
                );
                self.count("retried");
                self.singles = entries.len();
                self.pause(self.sink.pace);
                Ok(self.sink.pace.min(EVERY))
            }
            Sent::Refused(why) => {
                self.singles = self.singles.saturating_sub(1);
                self.dead(&entries, &why).await?;
                Ok(Duration::ZERO)
            }
            Sent::Later { after, why } => {
                self.failed = self.failed.saturating_add(1);
                self.count("retried");
                let doubled = PAUSE.saturating_mul(2_u32.saturating_pow(self.failed - 1)).min(LONGEST);
                // Told to wait, it waits; at least as long as after any failure.
                let pause = after.map_or(doubled, |after| after.min(LONGEST_TOLD).max(PAUSE.min(doubled)));
                tracing::warn!(
                    sink = self.sink.name,
                    failed = self.failed,
                    why,
                    ?pause,
                    "not told, trying again"
                );
                self.pause(pause);
                let give_up = SignedDuration::try_from(self.sink.give_up).unwrap_or(SignedDuration::MAX);
                let old = |entry: &Entry| now.duration_since(entry.at) > give_up;
                let dead: Vec<_> = entries.into_iter().filter(old).collect();
                if !dead.is_empty() {
                    self.dead(&dead, &why).await?;
                }
                Ok(pause.min(EVERY))
            }
        }
    }

    /// Gives up.
    async fn dead(&self, entries: &[Entry], why: &str) -> Result<(), ActError> {
        for entry in entries {
            self.count("dead");
            tracing::error!(
                sink = self.sink.name,
                object = %entry.told.transition.finding.object,
                change = entry.news.as_str(),
                written = %entry.at,
                why,
                "never told: the sink does not take it"
            );
        }
        outbox::remove(&*self.store, entries, None).await
    }

    fn pause(&mut self, pause: Duration) {
        self.not_before = Instant::now().checked_add(pause);
    }

    fn count(&self, result: &'static str) {
        if let Some(metrics) = &self.metrics {
            metrics.notified(&self.sink.name, result);
        }
    }
}
