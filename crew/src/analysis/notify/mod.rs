//! Tells people and other systems what breaks and what heals: one message per change and sink.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`], `sink` | whom it tells, as it is written and as it is meant |
//! | `outbox` | what is to be told, and what was |
//! | `sender` | tells one sink what its outbox holds |
//! | `delivery` | one try, over HTTP |
//! | `batch` | what of it is told at once |
//! | `body`, `text`, `template` | what is sent |
//! | `message`, `spoken` | what somebody wants told: taken, and as it is sent |
//!
//! A change is written down for each sink that it is news to, in the commit that acknowledges it. Each sink is told by
//! itself: one that is away, slow or asks to wait holds up no other. What was told and not noted because the process ended
//! in between is told again: at least once, and once while nothing crashes.
//!
//! An agent, or any actor, may call it with words of its own for one sink, if that takes messages. What comes of a
//! conversation is always such a call: a model cannot make up a finding.

mod batch;
mod body;
mod delivery;
pub(crate) mod message;
mod outbox;
mod sender;
pub mod settings;
mod sink;
mod spoken;
mod template;
mod text;

use std::{sync::Arc, time::Duration};

use asya_analysis::message::Told;
use asya_envelope::{Envelope, headers};
use asya_handler::{End, Fate, Request};
use asya_session::desk::SUBJECT;
use asya_sidecar::Means;
use asya_store::{Store, Write};
use asya_telemetry::ActorMetrics;
use futures::future::{BoxFuture, join, join_all};
use jiff::Timestamp;
use serde_json::json;

use self::{
    message::{Arguments, Message},
    outbox::Forget,
    sender::Sender,
    sink::Sink,
};
use super::{onward, read};
use crate::{
    actor::{Act, ActError},
    asked::{Asked, Subjects, Unasked},
    deadlines::Look,
};
pub use settings::Settings;

/// The actor `notify`: a [`Told`] comes, or a transition that nobody has explained. It goes on along its route unchanged.
/// Or a call with a message comes, which is answered.
pub struct Notify {
    store: Arc<dyn Store>,
    sinks: Vec<Sink>,
    /// None: it is not known who asks.
    subjects: Option<Subjects>,
}

impl Notify {
    /// The actor's decisions, and who tells what it writes down. What it writes is to be committed by whoever calls it.
    ///
    /// # Errors
    /// A sentence: certificates that cannot be read, or a gateway's address that cannot be used.
    pub fn new(store: Arc<dyn Store>, settings: Settings) -> Result<(Self, Senders), String> {
        // Tells this process from others that have the same sinks.
        let by: u64 = rand::random();
        let sender = |sink: &Sink| {
            let named = |error| format!("sink {}: {error}", sink.name);
            Sender::new(store.clone(), sink.clone(), by).map_err(named)
        };
        let senders = settings.sinks.iter().map(sender).collect::<Result<_, _>>()?;
        let senders = Senders { store: store.clone(), senders };
        let subjects = settings.subjects.as_ref().map(Subjects::new).transpose()?;
        Ok((Self { store, sinks: settings.sinks, subjects }, senders))
    }

    async fn take(&self, envelope: &Envelope) -> Result<End, ActError> {
        // What comes of a conversation is what a model wrote, whatever it looks like.
        if envelope.headers.get(SUBJECT).is_some() {
            return self.called(envelope).await;
        }
        match read::<Told>(envelope, "a transition of findings") {
            Ok(told) => self.changed(envelope, &told).await,
            Err(_) if Arguments::are_meant(envelope) => self.called(envelope).await,
            Err(why) => Err(ActError::Unfit(format!("{why}; and it is no message, which names a sink"))),
        }
    }

    /// A change of a finding: each sink is told that it is news to.
    async fn changed(&self, envelope: &Envelope, told: &Told) -> Result<End, ActError> {
        let (mut writes, now) = (Vec::new(), Timestamp::now());
        for sink in &self.sinks {
            writes.extend(outbox::enter(&*self.store, sink, told, now).await?);
        }
        let mut onward = envelope.clone();
        onward.route = envelope.route.advanced();
        Ok(End::Platform { envelopes: vec![onward], writes, fate: Fate::GoesOn })
    }

    /// A call: that its sink will be told, or what is wrong with it, is the answer.
    async fn called(&self, envelope: &Envelope) -> Result<End, ActError> {
        let (answer, writes) = match self.written(envelope).await {
            Ok((sink, writes)) => (json!({"written": sink}), writes),
            Err(Stop::Refused(why)) => (json!({"error": why}), Vec::new()),
            Err(Stop::Later(error)) => return Err(error),
        };
        let mut onward = onward(envelope, &answer);
        // What counted for this actor alone.
        for name in [headers::RUNS, headers::APPROVED] {
            onward.headers.remove(name);
        }
        Ok(End::Platform { envelopes: vec![onward], writes, fate: Fate::GoesOn })
    }

    /// The sink of a call, and the writes by which it will be told.
    async fn written(&self, envelope: &Envelope) -> Result<(&str, Vec<Write>), Stop> {
        let arguments = Arguments::read(envelope).map_err(Stop::Refused)?;
        let taking: Vec<_> = self.sinks.iter().filter(|sink| sink.messages).collect();
        let Some(sink) = taking.iter().find(|sink| sink.name == arguments.sink) else {
            let names: Vec<_> = taking.iter().map(|sink| sink.name.as_str()).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let why = format!("no such sink takes messages; sinks that take messages: {names}");
            return Err(Stop::Refused(why));
        };
        let asked = self.asked(envelope).await?;
        let message = Message::of(envelope, asked.as_ref(), arguments, Timestamp::now());
        let message = message.map_err(Stop::Refused)?;
        Ok((sink.name.as_str(), outbox::enter_message(&*self.store, sink, message).await?))
    }

    /// Who asked, if somebody did and it can be known.
    async fn asked(&self, envelope: &Envelope) -> Result<Option<Asked>, Stop> {
        let Some(subjects) = &self.subjects else { return Ok(None) };
        match subjects.of(envelope).await {
            Ok(asked) => Ok(Some(asked)),
            Err(Unasked::Nobody) => Ok(None),
            // It is said whose actor it is all the same, and people are told late enough.
            Err(Unasked::Away(why)) => {
                tracing::warn!(id = envelope.id, why, "a message is told without who asked for it");
                Ok(None)
            }
            Err(refused) => Err(Stop::Refused(refused.to_string())),
        }
    }
}

/// Why nothing is written for a call.
enum Stop {
    /// It cannot be: a sentence for whoever calls.
    Refused(String),
    /// Again, later.
    Later(ActError),
}

impl From<ActError> for Stop {
    fn from(error: ActError) -> Self {
        Self::Later(error)
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
