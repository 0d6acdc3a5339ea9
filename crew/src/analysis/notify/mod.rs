//! Tells people and other systems what breaks and what heals: one message per change and sink.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`], `sink` | whom it tells, as it is written and as it is meant |
//! | `outbox` | what is to be told, and what was |
//! | `sender` | tells one sink what its outbox holds |
//! | `delivery` | one try, over HTTP |
//! | `body`, `text`, `template` | what is sent |
//!
//! A change is written down for each sink that it is news to, in the commit that acknowledges it. Each sink is told by
//! itself: one that is away, slow or asks to wait holds up no other. What was told and not noted because the process ended
//! in between is told again: at least once, and once while nothing crashes.

mod body;
mod delivery;
mod outbox;
mod sender;
pub mod settings;
mod sink;
mod template;
mod text;

use std::{sync::Arc, time::Duration};

use asya_analysis::message::Told;
use asya_envelope::Envelope;
use asya_handler::{End, Fate, Request};
use asya_sidecar::Means;
use asya_store::Store;
use asya_telemetry::ActorMetrics;
use futures::future::{BoxFuture, join, join_all};
use jiff::Timestamp;

use self::{outbox::Forget, sender::Sender, sink::Sink};
use super::read;
use crate::{
    actor::{Act, ActError},
    deadlines::Look,
};
pub use settings::Settings;

/// The actor `notify`: a [`Told`] comes, or a transition that nobody has explained. It goes on along its route unchanged.
pub struct Notify {
    store: Arc<dyn Store>,
    sinks: Vec<Sink>,
}

impl Notify {
    /// The actor's decisions, and who tells what it writes down. What it writes is to be committed by whoever calls it.
    ///
    /// # Errors
    /// A sentence: certificates that cannot be read.
    pub fn new(store: Arc<dyn Store>, settings: Settings) -> Result<(Self, Senders), String> {
        // Tells this process from others that have the same sinks.
        let by: u64 = rand::random();
        let sender = |sink: &Sink| {
            let named = |error| format!("sink {}: {error}", sink.name);
            Sender::new(store.clone(), sink.clone(), by).map_err(named)
        };
        let senders = settings.sinks.iter().map(sender).collect::<Result<_, _>>()?;
        let senders = Senders { store: store.clone(), senders };
        Ok((Self { store, sinks: settings.sinks }, senders))
    }

    async fn take(&self, envelope: &Envelope) -> Result<End, ActError> {
        let told: Told = read(envelope, "a transition of findings")?;
        let (mut writes, now) = (Vec::new(), Timestamp::now());
        for sink in &self.sinks {
            writes.extend(outbox::enter(&*self.store, sink, &told, now).await?);
        }
        let mut onward = envelope.clone();
        onward.route = envelope.route.advanced();
        Ok(End::Platform { envelopes: vec![onward], writes, fate: Fate::GoesOn })
    }
}

impl Act for Notify {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { self.take(&request.envelope).await })
    }
}

/// Who tells the sinks.
pub struct Senders {
    store: Arc<dyn Store>,
    senders: Vec<Sender>,
}

impl Senders {
    /// Tells for ever, each sink by itself. Cancel safe: what was told and not noted is told again.
    pub async fn run(mut self, means: Means) {
        self.count_by(means.metrics.clone());
        let forget = Forget(self.store.clone());
        let look = Look::new(self.store, outbox::FORGET, &means);
        let senders = self.senders.into_iter().map(Sender::run);
        join(look.run(&forget), join_all(senders)).await;
    }

    /// Counts what is told by these metrics.
    pub fn count_by(&mut self, metrics: Option<ActorMetrics>) {
        for sender in &mut self.senders {
            sender.count_by(metrics.clone());
        }
    }

    /// One turn of each sink as at `now`; returns how long nothing is to be done at least.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn turn(&mut self, now: Timestamp) -> Result<Duration, ActError> {
        let turns = join_all(self.senders.iter_mut().map(|sender| sender.turn(now))).await;
        turns.into_iter().try_fold(sender::EVERY, |least, turn| Ok(least.min(turn?)))
    }
}
