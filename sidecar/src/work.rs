//! One delivery: join an earlier run, check, handle, resolve, settle.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, SystemTime},
};

use asya_envelope::{Envelope, ErrorReport, Wrapped, headers};
use asya_transport::{Delivery, Meta};
use bytes::Bytes;
use tokio::{sync::watch, time::Instant};

use crate::{
    arrival, budget,
    failure::{Refusal, TOO_LARGE, unparsed},
    observe::{Reporter, Status},
    permits::Permit,
    route::Router,
    runs::{Ended, Found, Run},
    settle::{Account, Action, Resolution, Settled},
    shared::Shared,
};

/// How often a delivery is handled again because a record had moved on, before it goes back to the queue.
const MAX_CONFLICTS: u32 = 16;
/// How long it then waits.
const CONFLICT_PAUSE: Duration = Duration::from_secs(1);

impl Shared {
    /// Works on one delivery until it is settled. `permit` is its share of the credit.
    pub(crate) async fn work(self: Arc<Self>, delivery: Delivery, permit: Permit) {
        let started = Instant::now();
        let _in_hand = InHand::enter(&self, started);
        let account = match Envelope::parse(delivery.body.clone()) {
            Ok(input) => self.parsed(delivery, &input).await,
            Err(error) => {
                let report = unparsed(&error, self.config.actor.as_str());
                tracing::warn!(%error, "message is not an envelope");
                self.not_an_envelope(delivery, &report).await
            }
        };
        if let Some(account) = account {
            self.count(&account);
        }
        drop(permit);
    }

    /// A body that is no envelope goes to the error end; at an end actor it is recorded, wrapped.
    async fn not_an_envelope(&self, delivery: Delivery, report: &ErrorReport) -> Option<Account> {
        let wrapped = report.wrap_unparsed(&delivery.body, &self.config.limits);
        if !self.config.ends_here() {
            let resolution = self.to_error(wrapped, report);
            return self.settle_once(delivery, resolution).await;
        }
        let (body, whole) = match wrapped {
            Wrapped::Whole(body) => (body, true),
            Wrapped::Excerpt(body) => (body, false),
        };
        let input = Envelope::parse(body.clone()).expect("an error envelope is an envelope");
        let mut resolution = self.ended(&input, &body, &delivery.meta).await;
        if let (false, Action::Forward { .. }) = (whole, &resolution.action) {
            // The record holds an excerpt; the message itself must not vanish.
            resolution = Resolution::dead(&report.code, report.message.clone());
        }
        self.settle_once(delivery, resolution).await
    }

    async fn settle_once(&self, delivery: Delivery, resolution: Resolution) -> Option<Account> {
        match self.settle(delivery, resolution).await {
            Settled::Done(account) => Some(account),
            Settled::Lost(_) => None,
            Settled::Conflict(delivery) => {
                let again = Resolution::retry(CONFLICT_PAUSE, delivery.meta.attempts, "conflict");
                Box::pin(self.settle_once(delivery, again)).await
            }
        }
    }

    async fn parsed(&self, delivery: Delivery, input: &Envelope) -> Option<Account> {
        let key = (input.id.clone(), input.route.current);
        let (body, redelivered) = (delivery.body.clone(), delivery.meta.deliveries > 1);
        loop {
            let mut earlier = match self.runs.enter(key.clone(), &body, redelivered) {
                Found::Mine(run) => return self.first(delivery, input, Some(run)).await,
                Found::Alone => return self.first(delivery, input, None).await,
                Found::Earlier(earlier) => earlier,
            };
            tracing::debug!(id = input.id, "redelivered copy joins an earlier run");
            let waited = tokio::select! {
                () = self.abort.cancelled() => None,
                ended = end_of(&mut earlier) => Some(ended),
            };
            let Some(ended) = waited else {
                return self.settle_once(delivery, Resolution::release()).await;
            };
            let resolution = match ended {
                // The run left without an end: this copy takes its place.
                None => continue,
                Some(Ended::Confirmed) => {
                    let mut nothing_left = Resolution::succeeded(Vec::new(), "");
                    nothing_left.account = Account::Joined;
                    nothing_left
                }
                Some(Ended::Returned) => Resolution::release(),
                Some(Ended::Lost(resolution)) => {
                    let Some(run) = self.runs.take_over(&key, &body) else { continue };
                    self.count(&Account::Joined);
                    let resolution = Arc::unwrap_or_clone(resolution);
                    return self.finish(delivery, input, Some(run), resolution).await;
                }
            };
            return self.settle_once(delivery, resolution).await;
        }
    }

    async fn first(&self, delivery: Delivery, input: &Envelope, run: Option<Run>) -> Option<Account> {
        let resolution = self.resolve(input, &delivery.body, &delivery.meta).await;
        self.finish(delivery, input, run, resolution).await
    }

    /// Settles, handling again while records move on, and tells copies of the message how it ended.
    async fn finish(
        &self,
        mut delivery: Delivery,
        input: &Envelope,
        run: Option<Run>,
        mut resolution: Resolution,
    ) -> Option<Account> {
        let mut conflicts = 0;
        let settled = loop {
            let children = self.children(&resolution);
            match self.settle(delivery, resolution).await {
                Settled::Conflict(back) => {
                    conflicts += 1;
                    delivery = back;
                    resolution = if conflicts < MAX_CONFLICTS {
                        self.resolve(input, &delivery.body, &delivery.meta).await
                    } else {
                        Resolution::retry(CONFLICT_PAUSE, delivery.meta.attempts, "conflict")
                    };
                }
                settled => {
                    if let Settled::Done(Account::Succeeded(_) | Account::Failed(_)) = settled {
                        self.announce(children);
                    }
                    break settled;
                }
            }
        };
        let (ended, account) = match settled {
            Settled::Lost(resolution) => (Ended::Lost(Arc::new(resolution)), None),
            Settled::Done(account @ (Account::Retried(_) | Account::Released)) => {
                (Ended::Returned, Some(account))
            }
            Settled::Done(account) => (Ended::Confirmed, Some(account)),
            Settled::Conflict(_) => unreachable!("conflicts are handled in the loop above"),
        };
        if let Some(run) = run {
            run.end(ended, self.runs.len() <= 2 * self.credit.size());
        }
        account
    }

    /// Decides what becomes of the message.
    async fn resolve(&self, input: &Envelope, body: &Bytes, meta: &Meta) -> Resolution {
        let resolution = if self.config.ends_here() {
            self.ended(input, body, meta).await
        } else {
            self.passed(input, body, &counted(input, meta)).await
        };
        if meta.last_chance && matches!(resolution.action, Action::Retry { .. } | Action::Release) {
            return self.no_more_deliveries(input, meta);
        }
        resolution
    }

    async fn passed(&self, input: &Envelope, body: &Bytes, meta: &Meta) -> Resolution {
        let actor = self.config.actor.as_str();
        let limit = self.config.limits.max_envelope;
        if body.len() > limit {
            let reason = format!("message of {} bytes is over the limit of {limit} bytes", body.len());
            return self.refused(input, &Refusal::new(TOO_LARGE, reason));
        }
        if let Err(refusal) = arrival::check(&self.config, input, meta, SystemTime::now()) {
            tracing::warn!(id = input.id, code = refusal.code, reason = refusal.message, "envelope refused");
            return self.refused(input, &refusal);
        }
        let attempt = meta.attempts + 1;
        let metrics = self.metrics.as_ref();
        let mut reporter = Reporter::new(&self.observers, metrics, actor, input, attempt, body.len());
        reporter.report(Status::Received, format!("received by {actor}"), None, None);
        let slot = tokio::select! {
            biased;
            () = reporter.cancelled() => return self.cancelled(input, &mut reporter, None),
            () = self.draining.cancelled() => return Resolution::release(),
            slot = self.slots.take() => slot,
        };
        // It may have waited for the slot.
        if let Err(refusal) = arrival::deadline(input, SystemTime::now()) {
            return self.refused(input, &refusal);
        }
        // Not before there is a slot: what waits for one does not wait with its payload in memory.
        let whole = match self.redeemed(input).await {
            Ok(whole) => whole,
            Err(why) => return self.not_redeemed(input, meta, why),
        };
        let (given, whole_body) =
            whole.as_ref().map_or((input, body), |whole| (&whole.envelope, &whole.body));
        // Only what this run says is its cost.
        let own = budget::without_cost(given);
        let (given, whole_body) = own.as_ref().map_or((given, whole_body), |(given, body)| (given, body));
        // Last of all: what is begun here is begun once.
        let once = match self.begun(given, meta).await {
            Ok(once) => once,
            Err(resolution) => return resolution,
        };
        let meta = once.as_ref().unwrap_or(meta);
        let beside = self.handling.fetch_add(1, Ordering::Relaxed) + 1;
        let started = Instant::now();
        let mut resolution = self.handled(input, given, whole_body, meta, &mut reporter).await;
        let took = started.elapsed();
        self.handling.fetch_sub(1, Ordering::Relaxed);
        drop(slot);
        let running = self.handler.capacity().borrow().running;
        self.learn(|credit| credit.ran(took, beside, running));
        self.stats.count_handled(took);
        metrics.inspect(|metrics| metrics.handled(took));
        // Whatever came of it, nobody wants it; what is given back comes again.
        if reporter.is_cancelled() && resolution.account != Account::Released {
            resolution = self.cancelled(input, &mut reporter, Some(took));
        }
        let (status, word) = match &resolution.account {
            Account::Retried(_) => (Status::Retrying, "will be tried again by"),
            Account::Failed(_) | Account::Dead(_) => (Status::Failed, "failed at"),
            Account::Dropped => (Status::Dropped, "dropped by"),
            Account::Absorbed => (Status::Dropped, "joined by"),
            Account::Succeeded(_) | Account::Joined => (Status::Completed, "completed by"),
            Account::Cancelled | Account::Released => return resolution,
        };
        reporter.report(status, format!("{word} {actor}"), None, Some(took));
        resolution
    }

    /// The end of an envelope that somebody has cancelled: acknowledged, and nothing follows.
    fn cancelled(&self, input: &Envelope, reporter: &mut Reporter<'_>, took: Option<Duration>) -> Resolution {
        tracing::info!(id = input.id, ran = took.is_some(), "cancelled: it ends here");
        reporter.report(Status::Dropped, format!("cancelled, ended at {}", self.actor()), None, took);
        Resolution::nothing(Account::Cancelled)
    }

    /// The way to the error end of an envelope that no handler saw.
    pub(crate) fn refused(&self, input: &Envelope, refusal: &Refusal) -> Resolution {
        let report = refusal.report(self.config.actor.as_str(), 0);
        let router = Router::new(&self.config, input, 0, None);
        self.to_error(report.wrap(&router.stamped(input.clone()), &self.config.limits), &report)
    }

    /// The way to the error end of a wrapped message.
    pub(crate) fn to_error(&self, wrapped: Wrapped, report: &ErrorReport) -> Resolution {
        match wrapped {
            Wrapped::Whole(body) => {
                let action = Action::Forward { messages: vec![self.to_error_end(body)], writes: Vec::new() };
                Resolution { action, account: Account::Failed(report.code.clone()) }
            }
            Wrapped::Excerpt(body) => Resolution {
                action: Action::Excerpt {
                    message: self.to_error_end(body),
                    reason: format!("{}: {}", report.code, report.message),
                },
                account: Account::Dead(report.code.clone()),
            },
        }
    }

    /// The broker would move the message to its dead-letter queue without a word: it ends here instead.
    fn no_more_deliveries(&self, input: &Envelope, meta: &Meta) -> Resolution {
        let reason = format!(
            "the last of {} deliveries that the broker permits ended without a result",
            meta.deliveries
        );
        let refusal = Refusal::new(crate::failure::POISON, reason);
        if self.config.ends_here() {
            return Resolution::dead(refusal.code, refusal.message);
        }
        self.refused(input, &refusal)
    }
}

/// The runs that the envelope has had here before it came by the error end count like those of this message.
fn counted(input: &Envelope, meta: &Meta) -> Meta {
    let before = input.headers.get_u64(headers::RUNS).unwrap_or(0);
    let attempts = meta.attempts.max(u32::try_from(before).unwrap_or(u32::MAX - 1));
    Meta { attempts, ..meta.clone() }
}

/// How an earlier run ended; `None` if it left without an end.
async fn end_of(earlier: &mut watch::Receiver<Option<Ended>>) -> Option<Ended> {
    earlier.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone())
}

/// Counts a delivery as in hand while it lives.
struct InHand<'a> {
    shared: &'a Shared,
    started: Instant,
}

impl<'a> InHand<'a> {
    fn enter(shared: &'a Shared, started: Instant) -> Self {
        shared.stats.enter();
        Self { shared, started }
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.shared.stats.leave();
        if let Some(metrics) = &self.shared.metrics {
            metrics.released(self.started.elapsed());
        }
    }
}
