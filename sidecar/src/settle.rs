//! Carrying a resolution out, whatever the transport answers: waiting for a missing queue within its grace, replacing
//! what cannot be sent by an error envelope, and falling back to the dead-letter queue.
//!
//! Order of sinks: the next queue; the error end for what can be wrapped; the dead-letter queue when the error end
//! cannot take it; the own queue, later, when even that fails.

use std::{sync::atomic::Ordering, time::Duration};

use asya_envelope::{Envelope, Queue, Wrapped};
use asya_store::Write;
use asya_transport::{Delivery, Outcome, Outgoing, TransportError, Unsettled};
use tokio::time::{Instant, sleep};

use crate::{
    Child,
    failure::{REFUSED, Refusal, TOO_LARGE, UNROUTABLE},
    route::{Addressed, Kind},
    shared::Shared,
};

/// First pause before a transport is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause: a broker that comes back is used again within seconds.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// When a message comes back that neither the error end nor the dead-letter queue took.
const NO_SINK_PAUSE: Duration = Duration::from_secs(30);

/// What is to become of a delivery, and how it is counted once it has.
#[derive(Clone, Debug)]
pub(crate) struct Resolution {
    pub(crate) action: Action,
    pub(crate) account: Account,
}

/// What is done.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Forward {
        messages: Vec<Addressed>,
        writes: Vec<Write>,
    },
    Retry {
        after: Duration,
        attempts: u32,
    },
    /// The error envelope holds an excerpt only; the message itself goes to the dead-letter queue.
    Excerpt {
        message: Addressed,
        reason: String,
    },
    DeadLetter {
        reason: String,
    },
    Release,
}

/// How it is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// With the value of the label `status`.
    Succeeded(&'static str),
    Dropped,
    /// Somebody has cancelled it.
    Cancelled,
    /// It went into the result of a fan-in.
    Absorbed,
    /// With the code.
    Failed(String),
    /// With the value of the label `reason`.
    Retried(String),
    /// With the code.
    Dead(String),
    /// A copy whose run was already settled.
    Joined,
    Released,
}

/// How settling ended.
pub(crate) enum Settled {
    /// As the account says.
    Done(Account),
    /// The delivery is gone and comes again; this would have become of it.
    Lost(Resolution),
    /// A record had moved on: to be handled again.
    Conflict(Delivery),
}

/// Why a message could not be published while its source is held.
pub(crate) enum Unpublished {
    /// The engine stops.
    Stopping,
    /// Neither its queue nor the error end takes it.
    NoSink(String),
}

impl Resolution {
    pub(crate) fn succeeded(messages: Vec<Addressed>, status: &'static str) -> Self {
        let action = Action::Forward { messages, writes: Vec::new() };
        Self { action, account: Account::Succeeded(status) }
    }

    /// Acknowledged, and nothing follows.
    pub(crate) fn nothing(account: Account) -> Self {
        Self { action: Action::Forward { messages: Vec::new(), writes: Vec::new() }, account }
    }

    pub(crate) fn release() -> Self {
        Self { action: Action::Release, account: Account::Released }
    }

    pub(crate) fn retry(after: Duration, attempts: u32, reason: &str) -> Self {
        Self { action: Action::Retry { after, attempts }, account: Account::Retried(reason.to_owned()) }
    }

    pub(crate) fn dead(code: &str, reason: impl Into<String>) -> Self {
        Self {
            action: Action::DeadLetter { reason: format!("{code}: {}", reason.into()) },
            account: Account::Dead(code.to_owned()),
        }
    }
}

/// How long something has been waited for.
struct Patience<'a> {
    shared: &'a Shared,
    /// Since when a queue is missing; a place among those who may wait comes with it.
    missing_since: Option<Instant>,
    pause: Duration,
}

impl Drop for Patience<'_> {
    fn drop(&mut self) {
        if self.missing_since.is_some() {
            self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// What to do about a transport's refusal.
enum Answer {
    TryAgain,
    /// Send an error envelope instead, for this reason.
    Replace(Queue, Refusal),
    Stop,
}

impl Patience<'_> {
    /// Waits as the error deserves.
    async fn consider(&mut self, error: TransportError) -> Answer {
        let message = error.to_string();
        match error {
            TransportError::Unroutable { queue } => {
                if !self.may_wait() {
                    let reason = format!("{message}; waited for it as long as allowed");
                    return Answer::Replace(queue, Refusal::new(UNROUTABLE, reason));
                }
                tracing::warn!(%queue, "next queue not found, waiting for it");
                tokio::select! {
                    () = self.shared.draining.cancelled() => Answer::Stop,
                    () = self.pause() => Answer::TryAgain,
                }
            }
            TransportError::TooLarge { queue, .. } => {
                Answer::Replace(queue, Refusal::new(TOO_LARGE, message))
            }
            TransportError::Refused { queue, .. } => Answer::Replace(queue, Refusal::new(REFUSED, message)),
            TransportError::Unavailable(_) | TransportError::Misconfigured(_) => {
                tracing::warn!(error = message, "transport does not take messages, trying again");
                tokio::select! {
                    () = self.shared.abort.cancelled() => Answer::Stop,
                    () = self.pause() => Answer::TryAgain,
                }
            }
        }
    }

    /// True within the grace, if not too many wait already.
    fn may_wait(&mut self) -> bool {
        let shared = self.shared;
        let since = match self.missing_since {
            Some(since) => since,
            None => {
                let most = (shared.credit.size() / 4).max(1);
                let join = |waiting: usize| (waiting < most).then_some(waiting + 1);
                if shared.waiting.fetch_update(Ordering::AcqRel, Ordering::Acquire, join).is_err() {
                    return false;
                }
                *self.missing_since.insert(Instant::now())
            }
        };
        since.elapsed() < shared.config.unroutable_grace
    }

    async fn pause(&mut self) {
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

impl Shared {
    fn patience(&self) -> Patience<'_> {
        Patience { shared: self, missing_since: None, pause: FIRST_PAUSE }
    }

    /// The children among the messages of a resolution, if somebody wants to know of them.
    pub(crate) fn children(&self, resolution: &Resolution) -> Vec<Child> {
        match &resolution.action {
            Action::Forward { messages, .. } if self.observers.children.is_some() => {
                messages.iter().filter_map(|message| message.child.as_deref().cloned()).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Tells of children that were sent; waits for nobody.
    pub(crate) fn announce(&self, children: impl IntoIterator<Item = Child>) {
        let Some(observer) = &self.observers.children else { return };
        for child in children {
            if observer.try_send(child).is_err() {
                self.metrics.as_ref().inspect(|metrics| metrics.report_dropped());
            }
        }
    }

    /// Carries the resolution out. Returns only when the delivery is settled, lost, or to be handled again.
    pub(crate) async fn settle(&self, mut delivery: Delivery, mut resolution: Resolution) -> Settled {
        let mut patience = self.patience();
        loop {
            let outcome = match &resolution.action {
                Action::Forward { messages, writes } => Outcome::Forward {
                    messages: messages.iter().map(|message| message.outgoing.clone()).collect(),
                    writes: writes.clone(),
                },
                Action::Retry { after, attempts } => Outcome::Retry { after: *after, attempts: *attempts },
                Action::DeadLetter { reason } => Outcome::DeadLetter { reason: reason.clone() },
                Action::Release => Outcome::Release,
                Action::Excerpt { message, reason } => {
                    let (message, reason) = (message.clone(), reason.clone());
                    match self.publish(message, 0).await {
                        Ok(()) => {}
                        Err(Unpublished::NoSink(why)) => {
                            tracing::error!(why, "error end does not take the error envelope");
                        }
                        Err(Unpublished::Stopping) => {
                            resolution = Resolution::release();
                            continue;
                        }
                    }
                    resolution.action = Action::DeadLetter { reason };
                    continue;
                }
            };
            let started = Instant::now();
            let (error, back) = match delivery.settle(outcome).await {
                Ok(()) => {
                    self.sent(&resolution, started.elapsed());
                    return Settled::Done(resolution.account);
                }
                Err((Unsettled::Conflict(record), Some(back))) => {
                    tracing::debug!(record, "record had moved on, handling again");
                    return Settled::Conflict(back);
                }
                Err((Unsettled::Publish(error), Some(back))) => (error, back),
                Err((error, _)) => {
                    tracing::warn!(%error, "delivery was lost before it was settled; it will come again");
                    return Settled::Lost(resolution);
                }
            };
            delivery = back;
            let attempts = delivery.meta.attempts;
            resolution = self.mended(resolution, error, attempts, &mut patience).await;
        }
    }

    /// What to try after the transport refused the resolution.
    async fn mended(
        &self,
        mut resolution: Resolution,
        error: TransportError,
        attempts: u32,
        patience: &mut Patience<'_>,
    ) -> Resolution {
        let error_end = self.error_queue();
        match &mut resolution.action {
            Action::Forward { messages, .. } => {
                let queue = match &error {
                    TransportError::Unroutable { queue }
                    | TransportError::TooLarge { queue, .. }
                    | TransportError::Refused { queue, .. } => Some(queue),
                    _ => None,
                };
                if queue == Some(&error_end) {
                    let code = match &resolution.account {
                        Account::Failed(code) => code.clone(),
                        _ => UNROUTABLE.to_owned(),
                    };
                    return Resolution::dead(&code, format!("the error end does not take it: {error}"));
                }
                match patience.consider(error).await {
                    Answer::TryAgain => {
                        self.send_ahead(messages, patience.missing_since.is_some()).await;
                        resolution
                    }
                    Answer::Replace(queue, refusal) => {
                        // A missing queue takes none of its messages; any other refusal is about one of them.
                        if refusal.code != UNROUTABLE && self.sifted(messages, &queue, &refusal).await {
                            resolution.account = Account::Failed(refusal.code.to_owned());
                            return resolution;
                        }
                        self.replaced(resolution, &queue, &refusal)
                    }
                    Answer::Stop => Resolution::release(),
                }
            }
            Action::DeadLetter { reason } | Action::Excerpt { reason, .. } => {
                tracing::error!(%error, reason, "dead-letter queue does not take the message; it will come again");
                Resolution::retry(NO_SINK_PAUSE, attempts, "no_sink")
            }
            Action::Retry { .. } | Action::Release => match patience.consider(error).await {
                Answer::TryAgain => resolution,
                Answer::Replace(..) | Answer::Stop => Resolution::release(),
            },
        }
    }

    /// Of several messages, sends the one for the missing queue by itself: settling again would publish the others
    /// again and again.
    async fn send_ahead(&self, messages: &mut Vec<Addressed>, missing: bool) {
        if !missing || messages.len() < 2 {
            return;
        }
        let mut at = 0;
        // The last one stays: item 0 of a fan-out is not to be seen before the others.
        while at + 1 < messages.len() {
            match self.transport.publish(messages[at].outgoing.clone(), None).await {
                Ok(()) => drop(messages.remove(at)),
                Err(_) => at += 1,
            }
        }
    }

    /// Of several messages for a queue that refuses one, sends those that it takes and puts error envelopes in place of
    /// the others: a child is not to fail for its sibling. The last one stays, as in [`Self::send_ahead`]. False if
    /// nothing came of it.
    async fn sifted(&self, messages: &mut Vec<Addressed>, queue: &Queue, refusal: &Refusal) -> bool {
        let (mut at, mut changed) = (0, false);
        while at + 1 < messages.len() {
            let message = &mut messages[at];
            if message.outgoing.queue != *queue {
                at += 1;
                continue;
            }
            match self.transport.publish(message.outgoing.clone(), None).await {
                Ok(()) => {
                    drop(messages.remove(at));
                    changed = true;
                    continue;
                }
                Err(error @ (TransportError::TooLarge { .. } | TransportError::Refused { .. })) => {
                    let refusal = Refusal::new(refusal.code, error.to_string());
                    // What cannot be wrapped whole is left to the caller, who keeps the source.
                    let Ok(error) = self.instead(message, &refusal) else { return false };
                    *message = error;
                    changed = true;
                }
                Err(_) => {}
            }
            at += 1;
        }
        changed
    }

    /// The resolution with every message for `queue` replaced by its error envelope: each id keeps exactly one end.
    fn replaced(&self, mut resolution: Resolution, queue: &Queue, refusal: &Refusal) -> Resolution {
        let Action::Forward { messages, .. } = &mut resolution.action else { return resolution };
        for message in messages.iter_mut().filter(|message| message.outgoing.queue == *queue) {
            match self.instead(message, refusal) {
                Ok(error) => *message = error,
                Err(excerpt) => {
                    let reason = format!("{}: {}", refusal.code, refusal.message);
                    return Resolution {
                        action: Action::Excerpt { message: excerpt, reason },
                        account: Account::Dead(refusal.code.to_owned()),
                    };
                }
            }
        }
        resolution.account = Account::Failed(refusal.code.to_owned());
        resolution
    }

    /// The error envelope in place of a message; `Err` if it holds an excerpt only.
    fn instead(&self, message: &Addressed, refusal: &Refusal) -> Result<Addressed, Addressed> {
        let report = refusal.report(self.config.actor.as_str(), 0);
        let body = &message.outgoing.body;
        let wrapped = match Envelope::parse(body.clone()) {
            Ok(envelope) => report.wrap(&envelope, &self.config.limits),
            Err(_) => report.wrap_unparsed(body, &self.config.limits),
        };
        match wrapped {
            Wrapped::Whole(body) => Ok(self.to_error_end(body)),
            Wrapped::Excerpt(body) => Err(self.to_error_end(body)),
        }
    }

    /// Publishes one message while its source is held. What has no queue goes to the error end instead.
    pub(crate) async fn publish(&self, mut message: Addressed, position: u64) -> Result<(), Unpublished> {
        let mut patience = self.patience();
        loop {
            let started = Instant::now();
            let error = match self.transport.publish(message.outgoing.clone(), None).await {
                Ok(()) => {
                    self.note_sent(&message, started.elapsed());
                    return Ok(());
                }
                Err(error) => error,
            };
            let why = error.to_string();
            match patience.consider(error).await {
                Answer::TryAgain => {}
                Answer::Stop => return Err(Unpublished::Stopping),
                Answer::Replace(..) if message.kind == Kind::ErrorEnd => {
                    return Err(Unpublished::NoSink(why));
                }
                Answer::Replace(_, refusal) => match self.instead(&message, &refusal) {
                    Ok(error) | Err(error) => {
                        tracing::warn!(position, why, "child goes to the error end");
                        message = error;
                    }
                },
            }
        }
    }

    pub(crate) fn error_queue(&self) -> Queue {
        self.config.naming.queue(&self.config.error_end)
    }

    pub(crate) fn to_error_end(&self, body: bytes::Bytes) -> Addressed {
        let outgoing = Outgoing { queue: self.error_queue(), body };
        Addressed { kind: Kind::ErrorEnd, outgoing, child: None }
    }

    fn sent(&self, resolution: &Resolution, took: Duration) {
        if let Action::Forward { messages, .. } = &resolution.action {
            for message in messages {
                self.note_sent(message, took);
            }
        }
    }

    fn note_sent(&self, message: &Addressed, took: Duration) {
        if let Some(metrics) = &self.metrics {
            let Outgoing { queue, body } = &message.outgoing;
            metrics.sent(queue.as_str(), message.kind.as_str(), body.len(), took);
        }
    }
}
