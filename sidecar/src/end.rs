//! End actors: they record what arrives and send nothing to any end, themselves least of all.
//!
//! A failure is tried again with back-off and ends on the dead-letter queue, so no message can loop here.

use std::sync::atomic::Ordering;

use asya_envelope::{Envelope, Raw};
use asya_handler::{End, Fate, Fault, Reply, Request};
use asya_transport::Meta;
use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    arrival,
    claim::Unclaimed,
    failure::PAYLOAD_UNAVAILABLE,
    observe::Final,
    route::{Router, trace_of},
    settle::{Account, Action, Resolution},
    shared::Shared,
};

impl Shared {
    /// Lets the end actor record an envelope.
    pub(crate) async fn ended(&self, input: &Envelope, body: &Bytes, meta: &Meta) -> Resolution {
        if let Err(refusal) = arrival::poison(&self.config, meta) {
            return Resolution::dead(refusal.code, refusal.message);
        }
        let slot = tokio::select! {
            () = self.draining.cancelled() => return Resolution::release(),
            slot = self.slots.take() => slot,
        };
        self.handling.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        // A failure is recorded as it came, for the replay: what failed is referred to inside of it.
        let failed = self.actor() == self.config.error_end;
        let whole = if failed { Ok(None) } else { self.redeemed(input).await };
        let resolution = match whole {
            Ok(None) => self.recorded(input, input, body, meta).await,
            Ok(Some(whole)) => self.recorded(input, &whole.envelope, &whole.body, meta).await,
            Err(Unclaimed::Released) => Resolution::release(),
            // An end has no error end behind it.
            Err(Unclaimed::Refused(refusal)) => Resolution::dead(refusal.code, refusal.message),
            Err(Unclaimed::Unavailable(reason)) => {
                self.end_again(meta, PAYLOAD_UNAVAILABLE, &reason, None, meta.attempts)
            }
        };
        let took = started.elapsed();
        self.handling.fetch_sub(1, Ordering::Relaxed);
        drop(slot);
        self.stats.count_handled(took);
        self.metrics.as_ref().inspect(|metrics| metrics.handled(took));
        resolution
    }

    async fn recorded(&self, came: &Envelope, input: &Envelope, body: &Bytes, meta: &Meta) -> Resolution {
        let attempt = meta.attempts + 1;
        let mut replies = self.handler.handle(Request {
            envelope: input.clone(),
            body: body.clone(),
            actor: self.actor().to_owned(),
            attempt,
            timeout: self.config.timeout,
        });
        let end = loop {
            tokio::select! {
                biased;
                () = self.abort.cancelled() => return Resolution::release(),
                reply = replies.recv() => {
                    if let Reply::End(end) = reply.expect("a run is not asked for more after its end") {
                        break end;
                    }
                }
            }
        };
        let (resolution, result, stored) = match end {
            // What an end actor returns is not sent anywhere.
            End::Done(items) => {
                let result = items.into_iter().next().map(|item| item.payload);
                (Resolution::succeeded(Vec::new(), "end_consumed"), result, None)
            }
            End::Platform { envelopes, writes, fate } => {
                let trace = trace_of(input).map(|from| from.child(rand::random()));
                let router = Router::new(&self.config, input, attempt, trace);
                let messages: Result<Vec<_>, _> =
                    envelopes.into_iter().map(|envelope| router.platform(envelope)).collect();
                match messages {
                    Ok(messages) => {
                        let action = Action::Forward { messages, writes };
                        let resolution = Resolution { action, account: Account::Succeeded("end_consumed") };
                        match fate {
                            Fate::Ended { stored } => (resolution, None, stored),
                            Fate::GoesOn => return resolution,
                        }
                    }
                    Err(refusal) => return Resolution::dead(refusal.code, refusal.message),
                }
            }
            End::Drop { reason } => {
                tracing::info!(id = input.id, reason, "dropped by the end actor");
                let mut nothing = Resolution::succeeded(Vec::new(), "");
                nothing.account = Account::Dropped;
                return nothing;
            }
            End::Retry { after, reason } => {
                return self.end_again(meta, "asked", &reason, after, meta.attempts + 1);
            }
            End::Failed(failure) => {
                let code = failure.code.as_str();
                tracing::error!(id = input.id, attempt, %failure, "end actor failed");
                self.metrics.as_ref().inspect(|metrics| metrics.runtime_error(code));
                let attempts = match failure.fault {
                    Fault::Infrastructure => meta.attempts,
                    Fault::Handler => meta.attempts + 1,
                    Fault::Final => return Resolution::dead(code, failure.message),
                };
                return self.end_again(meta, code, &failure.message, None, attempts);
            }
        };
        // A result that no message could hold is reported as the reference that it came as.
        let reported = if body.len() > self.config.limits.max_envelope { came } else { input };
        match self.final_report(reported, result, stored, meta).await {
            Ok(()) => resolution,
            Err(again) => again,
        }
    }

    /// Later again, or the dead-letter queue when this went on for as long as a message may be delivered.
    fn end_again(
        &self,
        meta: &Meta,
        code: &str,
        reason: &str,
        after: Option<std::time::Duration>,
        attempts: u32,
    ) -> Resolution {
        let tries = meta.deliveries.max(attempts);
        if tries >= self.config.max_deliveries || meta.last_chance {
            return Resolution::dead(code, format!("given up after {tries} tries: {reason}"));
        }
        let after = after.unwrap_or_else(|| self.config.retry.pause(tries, rand::random()));
        Resolution::retry(after, attempts, code)
    }

    /// Tells who wants to know of ends, before the delivery is settled: a report that fails comes again with the
    /// message, as long as it may be delivered. The record is kept either way.
    async fn final_report(
        &self,
        input: &Envelope,
        result: Option<Raw>,
        stored: Option<String>,
        meta: &Meta,
    ) -> Result<(), Resolution> {
        let Some(ends) = &self.observers.ends else { return Ok(()) };
        let succeeded = self.actor() != self.config.error_end;
        let end = Final { envelope: input.clone(), succeeded, result, stored };
        let Err(reason) = ends.ended(&end).await else { return Ok(()) };
        self.metrics.as_ref().inspect(|metrics| metrics.final_failed());
        if meta.deliveries >= self.config.max_deliveries || meta.last_chance {
            tracing::error!(id = input.id, reason, "final report was not taken; giving it up");
            return Ok(());
        }
        tracing::warn!(id = input.id, reason, "final report was not taken; trying again later");
        let after = self.config.retry.pause(meta.deliveries, rand::random());
        Err(Resolution::retry(after, meta.attempts, "final_report"))
    }
}
