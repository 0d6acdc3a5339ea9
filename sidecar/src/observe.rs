//! Who is told how the work goes. Nothing here delays an envelope, with one exception: the final report of an end actor
//! ([`Observers::ends`]).

use std::{sync::Arc, time::Duration};

use asya_envelope::{
    Envelope,
    lineage::{is_joined, open_children},
};
use asya_telemetry::{ActorMetrics, trace::Span};
use futures::future::BoxFuture;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::{Cancelled, cancelled::InHand, gateway::Gateway};

/// Reports that may wait for a receiver before newer ones are thrown away.
pub const REPORTS_BUFFERED: usize = 1_024;
/// Children that may wait for the same, as many as a large fan-out has.
pub const CHILDREN_BUFFERED: usize = 16_384;

/// Who is told. The default is nobody.
#[derive(Clone, Default)]
pub struct Observers {
    /// Metrics of this process.
    pub metrics: Option<Arc<asya_telemetry::Metrics>>,
    /// Progress, as it happens; what finds no room is thrown away and counted.
    pub progress: Option<mpsc::Sender<Report>>,
    /// Children that were sent, each; what finds no room is thrown away and counted: the child's own reports name its
    /// parent too.
    pub children: Option<mpsc::Sender<Child>>,
    /// Envelopes that need not go on.
    pub cancelled: Option<Cancelled>,
    /// Told of each end before the delivery is settled; an error makes the engine try again later.
    pub ends: Option<Arc<dyn Ends>>,
    /// Asked before an actor that handles only what was approved begins with it; none: the envelope's own word counts.
    pub approvals: Option<Arc<Gateway>>,
    /// Spans of handler runs; what finds no room is thrown away.
    pub spans: Option<mpsc::Sender<Span>>,
}

/// Receives the final state of envelopes from end actors.
pub trait Ends: Send + Sync {
    /// Notes that an envelope has ended.
    ///
    /// # Errors
    /// A sentence for the log; the delivery is tried again later.
    fn ended<'a>(&'a self, end: &'a Final) -> BoxFuture<'a, Result<(), String>>;
}

/// The final state of an envelope.
#[derive(Clone, Debug)]
pub struct Final {
    /// The envelope as the end actor received it.
    pub envelope: Envelope,
    /// True at the happy end, false at the error end.
    pub succeeded: bool,
    /// What the end actor's handler returned, if anything.
    pub result: Option<asya_envelope::Raw>,
    /// Address of the end actor's record, if it has one that others can read.
    pub stored: Option<String>,
}

/// How far an envelope is at one actor.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The envelope's id.
    pub id: String,
    /// The actor that reports.
    pub actor: String,
    /// The route's actors.
    pub actors: Vec<String>,
    /// Index of the reporting actor in the route.
    pub current: usize,
    /// What happened.
    pub status: Status,
    /// For a person.
    pub message: String,
    /// How far the handler says it is, 0.0 to 1.0.
    pub fraction: Option<f64>,
    /// Which run of the handler.
    pub attempt: u32,
    /// Counts up within one delivery; receivers keep the highest (`current`, `attempt`, `seq`).
    pub seq: u32,
    /// How long the handler took, once it has ended.
    pub duration: Option<Duration>,
    /// Size of the message in bytes.
    pub size: usize,
    /// On fan-out children: the id they were made from.
    pub parent: Option<String>,
    /// What is left of its fan-outs, if it ends here.
    pub offspring: Offspring,
}

/// A fan-out child that was sent, as a gateway reads it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Child {
    /// Its id.
    pub id: String,
    /// The id it was made from.
    #[serde(rename = "parent_id")]
    pub parent: String,
    /// The route's actors.
    pub actors: Vec<String>,
    /// Where in the route it begins.
    pub current: usize,
}

/// What the end of an envelope leaves of the fan-outs of its id, as a gateway reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Offspring {
    /// First and last number of children that go on by themselves.
    pub open: Vec<(u64, u64)>,
    /// All others went into it.
    pub joined: bool,
}

impl Offspring {
    /// Of this envelope.
    pub fn of(envelope: &Envelope) -> Self {
        Self { open: open_children(envelope), joined: is_joined(&envelope.headers) }
    }

    /// True if there is nothing to say.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a report says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Taken from the queue.
    Received,
    /// The handler has it, or says how far it is.
    Processing,
    /// Handled; on its way to its next queue.
    Completed,
    /// Put back, to be tried again.
    Retrying,
    /// On its way to the error end.
    Failed,
    /// It ends here without a record: the handler let it go, a fan-in took it, or it was cancelled.
    Dropped,
}

impl Status {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Retrying => "retrying",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

/// The reports of one delivery, in order, and whether it need not go on.
pub(crate) struct Reporter<'a> {
    observers: &'a Observers,
    metrics: Option<&'a ActorMetrics>,
    actor: &'a str,
    input: &'a Envelope,
    attempt: u32,
    size: usize,
    seq: u32,
    in_hand: Option<InHand>,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(
        observers: &'a Observers,
        metrics: Option<&'a ActorMetrics>,
        actor: &'a str,
        input: &'a Envelope,
        attempt: u32,
        size: usize,
    ) -> Self {
        let in_hand = observers.cancelled.as_ref().map(|cancelled| cancelled.enter(&input.id));
        Self { observers, metrics, actor, input, attempt, size, seq: 0, in_hand }
    }

    /// Whether somebody is known to have cancelled the envelope.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.in_hand.as_ref().is_some_and(InHand::is_cancelled)
    }

    /// Waits until somebody is known to have; for ever, if nobody says so. Cancel safe.
    pub(crate) async fn cancelled(&self) {
        match &self.in_hand {
            Some(in_hand) => in_hand.cancelled().await,
            None => std::future::pending().await,
        }
    }

    /// Reports, if anybody listens and has room.
    pub(crate) fn report(
        &mut self,
        status: Status,
        message: impl Into<String>,
        fraction: Option<f64>,
        duration: Option<Duration>,
    ) {
        let Some(progress) = &self.observers.progress else { return };
        let report = Report {
            id: self.input.id.clone(),
            actor: self.actor.to_owned(),
            actors: self.input.route.actors.clone(),
            current: self.input.route.current,
            status,
            message: message.into(),
            fraction,
            attempt: self.attempt,
            seq: self.seq,
            duration,
            size: self.size,
            parent: self.input.parent_id.clone(),
            offspring: if status == Status::Dropped {
                Offspring::of(self.input)
            } else {
                Offspring::default()
            },
        };
        self.seq += 1;
        if progress.try_send(report).is_err() {
            self.metrics.inspect(|metrics| metrics.report_dropped());
        }
    }
}
