//! Tells one sink what its outbox holds, in order, as fast as the sink allows.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use asya_store::Store;
use asya_telemetry::ActorMetrics;
use jiff::Timestamp;

use super::{
    batch::Told,
    body::Body,
    delivery::{Delivery, Sent},
    outbox,
    sink::Sink,
    spoken,
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
        let Some(batch) = outbox::oldest(&*self.store, &self.sink.name, most).await? else {
            return Ok(EVERY);
        };
        // Waits for more of them, unless it is late already.
        let window = if self.failed > 0 || self.singles > 0 { Duration::ZERO } else { self.sink.window };
        if let Some(open) = batch.open(window, now) {
            return Ok(open.min(EVERY));
        }
        let Some(claimed) = outbox::claim(&*self.store, &self.sink, self.by).await? else {
            return Ok(EVERY);
        };
        let told = batch.told;
        let body = match &told {
            Told::Changes(entries) => Body::new(&self.sink, entries),
            Told::Message(note) => spoken::body(&self.sink, &note.message),
        };
        let sent = match body {
            Ok(body) => self.delivery.send(&body).await,
            Err(why) => Sent::Later { after: None, why },
        };
        match sent {
            Sent::Done => {
                // Fewer than there may be: nothing more waits.
                let release = (!batch.full).then_some(claimed);
                outbox::remove(&*self.store, told.keys(), release).await?;
                self.singles = self.singles.saturating_sub(told.len());
                if self.failed > 0 {
                    tracing::info!(sink = self.sink.name, "the sink is told again");
                }
                self.failed = 0;
                self.count("sent");
                self.pause(self.sink.pace);
                Ok(self.sink.pace.min(EVERY))
            }
            Sent::Refused(why) if told.len() > 1 => {
                tracing::warn!(
                    sink = self.sink.name,
                    why,
                    "the sink refuses a message; its findings are told one by one"
                );
                self.count("retried");
                self.singles = told.len();
                self.pause(self.sink.pace);
                Ok(self.sink.pace.min(EVERY))
            }
            Sent::Refused(why) => {
                self.singles = self.singles.saturating_sub(1);
                self.dead(&told, &why).await?;
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
                if let Some(dead) = told.older_than(self.sink.give_up, now) {
                    self.dead(&dead, &why).await?;
                }
                Ok(pause.min(EVERY))
            }
        }
    }

    /// Gives up.
    async fn dead(&self, told: &Told, why: &str) -> Result<(), ActError> {
        const NEVER: &str = "never told: the sink does not take it";
        let sink = &self.sink.name;
        match told {
            Told::Changes(entries) => {
                for entry in entries {
                    self.count("dead");
                    let object = &entry.told.transition.finding.object;
                    tracing::error!(sink, %object, change = entry.news.as_str(), written = %entry.at, why, "{NEVER}");
                }
            }
            Told::Message(note) => {
                self.count("dead");
                let (from, at) = (note.message.whose(), note.message.at);
                tracing::error!(sink, id = note.message.id, from, written = %at, why, "{NEVER}");
            }
        }
        outbox::remove(&*self.store, told.keys(), None).await
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
