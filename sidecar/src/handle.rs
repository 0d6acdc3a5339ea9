//! One run of the handler: replies become messages; the items of a generator go on as they come, all but the first.

use std::time::SystemTime;

use asya_envelope::{Envelope, ErrorReport};
use asya_handler::{End, Failure, Fate, Fault, Item, Progress, Reply, Request};
use asya_store::Write;
use asya_telemetry::{
    TraceContext,
    trace::{Kind, Span},
};
use asya_transport::Meta;
use bytes::Bytes;

use crate::{
    arrival,
    claim::{Leaving, Stored, Unclaimed},
    failure::{PAYLOAD_UNAVAILABLE, RETRIES_EXHAUSTED, Refusal, failed_run},
    observe::{Reporter, Status},
    route::{Addressed, Router, trace_of},
    settle::{Account, Action, Resolution, Unpublished},
    shared::Shared,
};

/// A run that did not succeed.
enum Stopped {
    /// The answer breaks a rule of routes or sizes.
    Refused(Refusal),
    /// A child could not be published anywhere.
    NoSink(String),
    /// The payload store does not take what the handler returned.
    NoStore(String),
    /// The engine stops.
    Released,
    /// Somebody has cancelled the envelope.
    Cancelled,
}

impl From<Unclaimed> for Stopped {
    fn from(why: Unclaimed) -> Self {
        match why {
            Unclaimed::Refused(refusal) => Self::Refused(refusal),
            Unclaimed::Unavailable(reason) => Self::NoStore(reason),
            Unclaimed::Released => Self::Released,
        }
    }
}

impl From<Refusal> for Stopped {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The items of a generator so far.
#[derive(Default)]
struct Yields {
    /// Item 0: published last, when the count is known.
    first: Option<Leaving>,
    count: u64,
    /// Items 1.. that are confirmed on their queues.
    sent: u64,
    /// Payloads that were stored for them.
    stored: Stored,
}

impl Shared {
    /// Runs the handler on a checked envelope and decides what follows. `came` is the same as it came, its payload by
    /// reference if that is how it came.
    pub(crate) async fn handled(
        &self,
        came: &Envelope,
        input: &Envelope,
        body: &Bytes,
        meta: &Meta,
        reporter: &mut Reporter<'_>,
    ) -> Resolution {
        let attempt = meta.attempts + 1;
        let (trace, parent) = self.trace(input);
        let mut router = Router::new(&self.config, input, attempt, trace)
            .came_as(came)
            .announcing(self.observers.children.is_some());
        let mut yields = Yields::default();
        let began = SystemTime::now();
        reporter.report(Status::Processing, "handler started", None, None);
        let run = self.run(input, body, attempt, &mut router, &mut yields, reporter).await;
        let resolution = match run {
            Ok(End::Done(items)) => match self.done(&mut router, &mut yields, items).await {
                Ok(resolution) => resolution,
                Err(stopped) => self.stopped(&router, meta, stopped, yields.sent),
            },
            Ok(End::Platform { envelopes, writes, fate }) => {
                match self.platform(&router, envelopes, writes, attempt).await {
                    Ok(mut resolution) => {
                        if let (Fate::Ended { .. }, Account::Succeeded(_)) = (fate, &resolution.account) {
                            resolution.account = Account::Absorbed;
                        }
                        resolution
                    }
                    Err(stopped) => self.stopped(&router, meta, stopped, 0),
                }
            }
            Ok(End::Drop { reason }) => {
                tracing::info!(id = input.id, reason, "dropped by the handler");
                let mut nothing = Resolution::succeeded(Vec::new(), "");
                nothing.account = Account::Dropped;
                nothing
            }
            Ok(End::Retry { after, reason }) => {
                self.asked_to_retry(&router, input, meta, after, &reason, yields.sent)
            }
            Ok(End::Failed(failure)) => self.failure(&router, input, meta, &failure, yields.sent),
            Err(stopped) => self.stopped(&router, meta, stopped, yields.sent),
        };
        if let Some(metrics) = self.metrics.as_ref().filter(|_| router.headers_restored > 0) {
            metrics.headers_restored(router.headers_restored);
        }
        if let Some(why) = &router.cost_ignored {
            tracing::warn!(id = input.id, why, "the handler reports a cost that cannot be: not counted");
        }
        self.span(input, attempt, trace, parent, began, &resolution);
        resolution
    }

    /// What becomes of a run whose answer is not sent.
    fn stopped(&self, router: &Router<'_>, meta: &Meta, stopped: Stopped, sent: u64) -> Resolution {
        let refusal = match stopped {
            Stopped::Refused(refusal) => refusal,
            Stopped::NoSink(reason) => return Resolution::dead(crate::failure::UNROUTABLE, reason),
            Stopped::Released => return Resolution::release(),
            Stopped::Cancelled => return Resolution::nothing(Account::Cancelled),
            Stopped::NoStore(reason) => match self.store_again(meta, &reason) {
                Some(again) => return again,
                None => Refusal::new(PAYLOAD_UNAVAILABLE, reason),
            },
        };
        let (id, code, reason) = (&router.came().id, refusal.code, &refusal.message);
        tracing::warn!(id, code, reason, "result refused");
        self.failed(router, refusal.report(self.actor(), meta.attempts + 1), sent)
    }

    async fn run(
        &self,
        input: &Envelope,
        body: &Bytes,
        attempt: u32,
        router: &mut Router<'_>,
        yields: &mut Yields,
        reporter: &mut Reporter<'_>,
    ) -> Result<End, Stopped> {
        let mut replies = self.handler.handle(Request {
            envelope: input.clone(),
            body: body.clone(),
            actor: self.actor().to_owned(),
            attempt,
            timeout: self.config.timeout,
        });
        loop {
            // Dropping the replies cancels the request.
            let reply = tokio::select! {
                biased;
                () = self.abort.cancelled() => return Err(Stopped::Released),
                () = reporter.cancelled() => return Err(Stopped::Cancelled),
                reply = replies.recv() => reply.expect("a run is not asked for more after its end"),
            };
            match reply {
                Reply::Progress(Progress { fraction, message }) => {
                    reporter.report(Status::Processing, message, Some(fraction), None);
                }
                Reply::Yield(item) if yields.count == 0 => {
                    let item = self.leaving(&input.id, item, &mut yields.stored).await?;
                    // Its faults are found now, before any child is sent.
                    router.item(item.clone(), 0, Some(1))?;
                    yields.first = Some(item);
                    yields.count = 1;
                }
                Reply::Yield(item) => {
                    let item = self.leaving(&input.id, item, &mut yields.stored).await?;
                    let message = router.item(item, yields.count, None)?;
                    yields.count += 1;
                    let child = message.child.as_deref().cloned();
                    self.publish(message, yields.count).await.map_err(|error| match error {
                        Unpublished::Stopping => Stopped::Released,
                        Unpublished::NoSink(reason) => Stopped::NoSink(reason),
                    })?;
                    yields.sent += 1;
                    self.announce(child);
                }
                Reply::End(end) => return Ok(end),
            }
        }
    }

    /// The messages of a complete answer: what was yielded last of all, because it carries the count.
    async fn done(
        &self,
        router: &mut Router<'_>,
        yields: &mut Yields,
        items: Vec<Item>,
    ) -> Result<Resolution, Stopped> {
        let mut leaving = Vec::with_capacity(items.len());
        for item in items {
            leaving.push(self.leaving(&router.came().id, item, &mut yields.stored).await?);
        }
        let Some(first) = yields.first.take() else {
            if leaving.is_empty() {
                return Ok(Resolution::succeeded(vec![router.nothing()?], "empty_response"));
            }
            return Ok(Resolution::succeeded(router.items(leaving)?, "success"));
        };
        let count = yields.count + leaving.len() as u64;
        let mut messages: Vec<Addressed> = Vec::with_capacity(leaving.len() + 1);
        for (index, item) in (yields.count..).zip(leaving) {
            messages.push(router.item(item, index, None)?);
        }
        messages.push(router.item(first, 0, Some(count))?);
        Ok(Resolution::succeeded(messages, "success"))
    }

    /// The messages of a platform actor. What cannot be sent ends at the error end under its own id, not under that of
    /// the message that happened to be in hand: the envelope that a fan-in makes is another than the part that completed
    /// it. If only an excerpt of it fits there nothing is recorded, so that all of it can be made again from the message
    /// on the dead-letter queue.
    async fn platform(
        &self,
        router: &Router<'_>,
        envelopes: Vec<Envelope>,
        writes: Vec<Write>,
        attempt: u32,
    ) -> Result<Resolution, Stopped> {
        let mut account = Account::Succeeded("success");
        let mut messages = Vec::with_capacity(envelopes.len());
        for envelope in envelopes {
            let envelope = self.sent_on(envelope).await?;
            let refusal = match router.platform(envelope.clone()) {
                Ok(message) => {
                    messages.push(message);
                    continue;
                }
                Err(refusal) => refusal,
            };
            tracing::warn!(id = envelope.id, code = refusal.code, reason = refusal.message, "result refused");
            let report = refusal.report(self.actor(), attempt);
            let failed = self.to_error(report.wrap(&router.stamped(envelope), &self.config.limits), &report);
            let Action::Forward { messages: error, .. } = failed.action else { return Ok(failed) };
            messages.extend(error);
            account = failed.account;
        }
        Ok(Resolution { action: Action::Forward { messages, writes }, account })
    }

    /// What becomes of a failed run.
    fn failure(
        &self,
        router: &Router<'_>,
        input: &Envelope,
        meta: &Meta,
        failure: &Failure,
        sent: u64,
    ) -> Resolution {
        let (policy, attempt) = (&self.config.retry, meta.attempts + 1);
        let code = failure.code.as_str();
        tracing::warn!(id = input.id, attempt, %failure, "run failed");
        self.metrics.as_ref().inspect(|metrics| metrics.runtime_error(code));
        let again = match failure.fault {
            Fault::Infrastructure if meta.deliveries < self.config.max_deliveries => {
                Some(Resolution::retry(policy.pause(meta.deliveries, rand::random()), meta.attempts, code))
            }
            Fault::Handler if attempt < policy.attempts && policy.may_help(failure) => {
                Some(Resolution::retry(policy.pause(attempt, rand::random()), attempt, code))
            }
            Fault::Infrastructure | Fault::Handler | Fault::Final => None,
        };
        if let Some(again) = again.filter(|_| !meta.last_chance) {
            return self.unless_expired(router, input, attempt, again, sent);
        }
        self.failed(router, failed_run(failure, self.actor(), attempt), sent)
    }

    fn asked_to_retry(
        &self,
        router: &Router<'_>,
        input: &Envelope,
        meta: &Meta,
        after: Option<std::time::Duration>,
        reason: &str,
        sent: u64,
    ) -> Resolution {
        let attempt = meta.attempts + 1;
        // What a handler asks for itself is not bounded by the policy for its failures, but it is bounded.
        let most = self.config.retry.attempts.max(self.config.max_deliveries);
        if attempt < most && !meta.last_chance {
            let after = after.unwrap_or_else(|| self.config.retry.pause(attempt, rand::random()));
            tracing::info!(id = input.id, attempt, reason, ?after, "handler asks to be called again");
            let again = Resolution::retry(after, attempt, "asked");
            return self.unless_expired(router, input, attempt, again, sent);
        }
        let reason = format!("the handler asked to be called again after {attempt} runs: {reason}");
        let refusal = Refusal::new(RETRIES_EXHAUSTED, reason);
        self.failed(router, refusal.report(self.actor(), attempt), sent)
    }

    /// A retry is pointless once nobody waits for the result.
    fn unless_expired(
        &self,
        router: &Router<'_>,
        input: &Envelope,
        attempt: u32,
        again: Resolution,
        sent: u64,
    ) -> Resolution {
        match arrival::deadline(input, SystemTime::now()) {
            Ok(()) => again,
            Err(refusal) => self.failed(router, refusal.report(self.actor(), attempt), sent),
        }
    }

    /// The way to the error end. `sent` children are not recalled; the report says how many they are.
    fn failed(&self, router: &Router<'_>, mut report: ErrorReport, sent: u64) -> Resolution {
        report.children_sent = (sent > 0).then_some(sent);
        self.to_error(report.wrap(&router.stamped(router.came().clone()), &self.config.limits), &report)
    }

    pub(crate) fn actor(&self) -> &str {
        self.config.actor.as_str()
    }

    /// What the messages of this run carry on, and the span that caused it. A trace begins here only if somebody
    /// records it.
    fn trace(&self, input: &Envelope) -> (Option<TraceContext>, Option<u64>) {
        match trace_of(input) {
            Some(from) => (Some(from.child(rand::random())), Some(from.span_id)),
            None if self.observers.spans.is_some() => (Some(TraceContext::start(rand::random())), None),
            None => (None, None),
        }
    }

    fn span(
        &self,
        input: &Envelope,
        attempt: u32,
        trace: Option<TraceContext>,
        parent: Option<u64>,
        start: SystemTime,
        resolution: &Resolution,
    ) {
        let (Some(spans), Some(context)) = (&self.observers.spans, trace.filter(|trace| trace.sampled()))
        else {
            return;
        };
        let error = match &resolution.account {
            Account::Failed(code) | Account::Dead(code) | Account::Retried(code) => Some(code.clone()),
            _ => None,
        };
        let name = format!("{} process", self.actor());
        let (envelope, end) = (input.id.clone(), SystemTime::now());
        // Full or gone: spans are not worth waiting for.
        drop(spans.try_send(Span {
            kind: Kind::Run,
            context,
            parent,
            name,
            envelope,
            attempt,
            start,
            end,
            error,
        }));
    }
}
