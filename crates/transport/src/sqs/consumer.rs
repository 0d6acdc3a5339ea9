//! Deliveries of one queue: long polls within the free credit, a buffer, and what becomes of it at the end.

use std::{
    collections::VecDeque,
    num::NonZeroU16,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use asya_envelope::Queue;
use aws_sdk_sqs::{
    config::{retry::RetryConfig, timeout::TimeoutConfig},
    types::{Message, MessageSystemAttributeName as Attribute},
};
use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{sync::Notify, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Core,
    batch::MAX_ENTRIES,
    config::seconds,
    credit::{Credit, Permit},
    failure::Failure,
    lease::Leases,
    settlement::Held,
};
use crate::{Consumer, Delivery, Meta, TransportError};

/// Time, in milliseconds since 1970, before which a message is not handed out: the rest of a delay beyond the 900 s
/// that SQS knows.
pub(super) const NOT_BEFORE: &str = "asya.not-before";
/// Deliveries of a message before it was sent anew.
pub(super) const DELIVERIES: &str = "asya.deliveries";
/// The first pause after a receive that failed; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How long what a poll brings after the end of its consumer waits for the next consumer before it is given back: a
/// consumer that is made anew at once costs no delivery.
const HANDOVER: Duration = Duration::from_millis(200);
/// How much longer than its wait a poll may take; some servers never answer a poll of a queue that was deleted.
const POLL_MARGIN: Duration = Duration::from_secs(5);
/// The longest pause after a receive that failed: how late a mended queue is noticed.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Deliveries of one queue, see [`Consumer`].
pub(super) struct SqsConsumer {
    intake: Arc<Intake>,
}

/// What the consumer and its polls share. It outlives its consumer until the polls that are out have ended: what a
/// cancelled poll brings would stay hidden for a visibility timeout. A consumer that begins meanwhile takes it over.
pub(super) struct Intake {
    core: Arc<Core>,
    queue: Queue,
    leases: Arc<Leases>,
    credit: Arc<Credit>,
    ready: Mutex<VecDeque<Received>>,
    arrived: Notify,
    /// No consumer: nothing more is polled for.
    orphaned: AtomicBool,
    /// Orphaned, or taken over.
    turned: Notify,
    stop: CancellationToken,
}

/// A message that waits to be handed out. Bounded by the credit.
struct Received {
    body: Bytes,
    meta: Meta,
    held: Held,
}

impl SqsConsumer {
    pub(super) fn start(core: &Arc<Core>, queue: Queue, credit: NonZeroU16) -> Self {
        let limit = usize::from(credit.get());
        if let Some(intake) = core.orphan_of(&queue) {
            intake.credit.set_limit(limit);
            intake.orphaned.store(false, Ordering::Release);
            intake.turned.notify_one();
            return Self { intake };
        }
        let intake = Arc::new(Intake {
            core: Arc::clone(core),
            leases: Leases::start(core, queue.clone()),
            queue,
            credit: Credit::new(limit),
            ready: Mutex::default(),
            arrived: Notify::new(),
            orphaned: AtomicBool::new(false),
            turned: Notify::new(),
            stop: core.stop.child_token(),
        });
        core.tasks.spawn_on(Arc::clone(&intake).pump(), &core.runtime);
        Self { intake }
    }
}

impl Consumer for SqsConsumer {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, TransportError>> {
        Box::pin(async move {
            loop {
                let received = self.intake.ready().pop_front();
                match received {
                    // Whoever waited too long here is on its way to somebody else.
                    Some(received) if received.held.lost() => drop(received),
                    Some(Received { body, meta, held }) => {
                        return Ok(Delivery::new(body, meta, Box::new(held)));
                    }
                    None if self.intake.stop.is_cancelled() => {
                        return Err(TransportError::Unavailable("the transport is closed".to_owned()));
                    }
                    None => tokio::select! {
                        () = self.intake.arrived.notified() => {}
                        () = self.intake.stop.cancelled() => {}
                    },
                }
            }
        })
    }

    fn set_credit(&mut self, credit: NonZeroU16) {
        self.intake.credit.set_limit(usize::from(credit.get()));
    }
}

impl Drop for SqsConsumer {
    fn drop(&mut self) {
        self.intake.orphaned.store(true, Ordering::Release);
        self.intake.release_buffer();
        if !self.intake.stop.is_cancelled() {
            self.intake.core.orphans().push(Arc::clone(&self.intake));
        }
        self.intake.turned.notify_one();
    }
}

impl Intake {
    /// The full name of its queue.
    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Keeps polls on the wire: one while the queue is quiet, more while they come back full.
    async fn pump(self: Arc<Self>) {
        let mut polls = FuturesUnordered::new();
        let mut wanted = 1;
        let mut pauses = pauses();
        let mut pause_until: Option<Instant> = None;
        loop {
            let stopping = self.stop.is_cancelled();
            let idle = stopping || self.orphaned.load(Ordering::Acquire);
            while !idle && pause_until.is_none() && polls.len() < wanted {
                // A second poll for the sake of one message is a request wasted.
                let least = if polls.is_empty() { 1 } else { MAX_ENTRIES };
                let permits = self.credit.take(least, MAX_ENTRIES);
                if permits.is_empty() {
                    break;
                }
                polls.push(self.poll(permits));
            }
            if stopping {
                self.release_buffer();
            }
            if idle && polls.is_empty() && self.ready().is_empty() && (stopping || self.is_over()) {
                break;
            }
            let pause = async {
                match pause_until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            let waits_for_nobody = idle && !self.ready().is_empty();
            tokio::select! {
                Some(polled) = polls.next() => match polled {
                    Ok(yielded) => {
                        pauses = self::pauses();
                        wanted = yielded.next_wanted(wanted, self.core.service.config.max_polls);
                    }
                    Err(failure) => {
                        wanted = 1;
                        pause_until = pauses.next().map(|pause| Instant::now() + pause);
                        self.mourn(failure);
                    }
                },
                () = pause => pause_until = None,
                () = self.credit.freed(), if !idle && polls.len() < wanted => {}
                () = self.turned.notified() => {}
                () = tokio::time::sleep(HANDOVER), if waits_for_nobody => {
                    if self.orphaned.load(Ordering::Acquire) {
                        self.release_buffer();
                    }
                }
                () = self.stop.cancelled(), if !stopping => {}
            }
        }
        self.release_buffer();
        self.leases.close();
        self.core.service.health.clear(self.queue.as_str());
    }

    /// Leaves the orphans; false when a consumer has taken it over.
    fn is_over(&self) -> bool {
        let mut orphans = self.core.orphans();
        let place = orphans.iter().position(|intake| std::ptr::eq(&raw const **intake, self));
        place.map(|place| orphans.swap_remove(place)).is_some()
    }

    /// One receive; what it brings is put into the buffer.
    async fn poll(&self, mut permits: Vec<Permit>) -> Result<Yield, Failure> {
        let address = self.core.service.directory.lookup(&self.queue).await?;
        let config = &self.core.service.config;
        let asked = Instant::now();
        let answered = self
            .core
            .service
            .client
            .receive_message()
            .queue_url(&address.url)
            .max_number_of_messages(i32::try_from(permits.len()).expect("at most ten"))
            .wait_time_seconds(seconds(config.wait()))
            .visibility_timeout(seconds(config.visibility()))
            .message_system_attribute_names(Attribute::All)
            .message_attribute_names(NOT_BEFORE)
            .message_attribute_names(DELIVERIES)
            .customize()
            .config_override(
                aws_sdk_sqs::Config::builder()
                    .timeout_config(
                        TimeoutConfig::builder()
                            .operation_attempt_timeout(config.wait() + POLL_MARGIN)
                            .build(),
                    )
                    // The pump itself tries again, and says so.
                    .retry_config(RetryConfig::disabled()),
            )
            .send()
            .await;
        let messages = answered.map_err(|error| Failure::of(&error))?.messages.unwrap_or_default();
        self.core.service.health.clear(self.queue.as_str());
        self.core.service.health.clear(super::health::PUBLISHING);
        let yielded = Yield { asked: permits.len(), got: messages.len() };
        let limit = address.redrive.as_ref().map(|redrive| redrive.max_receives);
        for message in messages {
            // A server that brings more than was asked for is its own problem, but its messages are still messages.
            let permit = permits.pop();
            self.accept(message, asked, limit, permit);
        }
        Ok(yielded)
    }

    fn accept(&self, message: Message, asked: Instant, limit: Option<u32>, permit: Option<Permit>) {
        let Some(receipt) = message.receipt_handle.clone() else { return };
        let seen = Seen::of(&message, limit, SystemTime::now());
        let body = Bytes::from(message.body.unwrap_or_default());
        let held = Held {
            core: Arc::clone(&self.core),
            leases: Arc::clone(&self.leases),
            lease: self.leases.begin(receipt, asked),
            queue: self.queue.clone(),
            body: body.clone(),
            // A receive before its time is not a delivery.
            deliveries: seen.meta.deliveries - u32::from(seen.early.is_some()),
            last_chance: seen.meta.last_chance,
            _permit: permit,
        };
        if let Some(wait) = seen.early {
            return held.postpone(wait);
        }
        if self.stop.is_cancelled() {
            return held.give_back();
        }
        self.ready().push_back(Received { body, meta: seen.meta, held });
        self.arrived.notify_one();
    }

    fn mourn(&self, failure: Failure) {
        if failure == Failure::Missing {
            self.core.service.directory.forget(&self.queue);
        }
        let reason = failure.publishing(&self.queue).to_string();
        self.core.service.health.trouble(self.queue.as_str(), reason);
    }

    fn release_buffer(&self) {
        let waiting = std::mem::take(&mut *self.ready());
        for received in waiting {
            received.held.give_back();
        }
    }

    fn ready(&self) -> std::sync::MutexGuard<'_, VecDeque<Received>> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much a poll brought of what it asked for.
struct Yield {
    asked: usize,
    got: usize,
}

impl Yield {
    /// How many polls to keep on the wire from now on.
    fn next_wanted(&self, wanted: usize, most: usize) -> usize {
        match self.got {
            0 => 1,
            got if got >= self.asked => (wanted * 2).min(most.max(1)),
            _ => wanted,
        }
    }
}

fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::default()
        .with_min_delay(FIRST_PAUSE)
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .with_jitter()
        .build()
}

/// What a received message says about itself.
struct Seen {
    meta: Meta,
    /// It came before its time, and this much of it is left.
    early: Option<Duration>,
}

impl Seen {
    fn of(message: &Message, limit: Option<u32>, now: SystemTime) -> Self {
        let system = |name| {
            let value = message.attributes.as_ref()?.get(&name)?;
            value.parse::<u64>().ok()
        };
        let own = |name| {
            let value = message.message_attributes.as_ref()?.get(name)?.string_value.as_deref()?;
            value.parse::<u64>().ok()
        };
        let receives = system(Attribute::ApproximateReceiveCount)
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or(1)
            .max(1);
        let not_before = own(NOT_BEFORE).map(|millis| UNIX_EPOCH + Duration::from_millis(millis));
        // The receive that found it too early delivered it to nobody.
        let first = system(Attribute::ApproximateFirstReceiveTimestamp)
            .map(|millis| UNIX_EPOCH + Duration::from_millis(millis));
        let unseen = receives > 1 && not_before.is_some_and(|time| first < Some(time));
        let before = own(DELIVERIES).and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        let deliveries = before.saturating_add(receives - u32::from(unseen));
        let meta = Meta {
            deliveries,
            attempts: deliveries - 1,
            last_chance: limit.is_some_and(|limit| receives >= limit),
            sent_at: system(Attribute::SentTimestamp)
                .map(|millis| UNIX_EPOCH + Duration::from_millis(millis)),
        };
        let early = not_before.and_then(|time| time.duration_since(now).ok()).filter(|left| !left.is_zero());
        Self { meta, early }
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::MessageAttributeValue;

    use super::*;

    fn message(receives: u32, own: &[(&str, u64)]) -> Message {
        let mut message = Message::builder()
            .attributes(Attribute::ApproximateReceiveCount, receives.to_string())
            .attributes(Attribute::SentTimestamp, "5000");
        for (name, value) in own {
            let value = MessageAttributeValue::builder()
                .data_type("String")
                .string_value(value.to_string())
                .build()
                .unwrap();
            message = message.message_attributes(*name, value);
        }
        message.build()
    }

    #[test]
    fn attempts_are_the_receive_count_less_one() {
        let now = SystemTime::now();
        let seen = Seen::of(&message(3, &[]), Some(3), now);
        assert_eq!((seen.meta.deliveries, seen.meta.attempts), (3, 2));
        assert!(seen.meta.last_chance && seen.early.is_none());
        assert_eq!(seen.meta.sent_at, Some(UNIX_EPOCH + Duration::from_secs(5)));
        assert!(!Seen::of(&message(2, &[]), Some(3), now).meta.last_chance);
        assert!(!Seen::of(&message(900, &[]), None, now).meta.last_chance);
    }

    #[test]
    fn deliveries_of_a_message_that_was_sent_anew_go_on_counting() {
        let seen = Seen::of(&message(2, &[(DELIVERIES, 4)]), Some(3), SystemTime::now());
        assert_eq!((seen.meta.deliveries, seen.meta.attempts), (6, 5));
        assert!(!seen.meta.last_chance);
    }

    #[test]
    fn a_message_before_its_time_waits_and_that_receive_does_not_count() {
        let now = UNIX_EPOCH + Duration::from_secs(1000);
        let seen = Seen::of(&message(1, &[(NOT_BEFORE, 1_007_500)]), None, now);
        assert_eq!(seen.early, Some(Duration::from_millis(7500)));
        let mut again = message(2, &[(NOT_BEFORE, 1_000_000)]);
        let mut first_received = |millis: &str| {
            let system = again.attributes.as_mut().unwrap();
            system.insert(Attribute::ApproximateFirstReceiveTimestamp, millis.to_owned());
            let seen = Seen::of(&again, None, now);
            (seen.early, seen.meta.deliveries, seen.meta.attempts)
        };
        assert_eq!(first_received("900000"), (None, 1, 0));
        assert_eq!(first_received("1000000"), (None, 2, 1));
    }

    #[test]
    fn polls_multiply_while_they_come_back_full() {
        let full = Yield { asked: 10, got: 10 };
        assert_eq!([full.next_wanted(1, 4), full.next_wanted(4, 4)], [2, 4]);
        assert_eq!(Yield { asked: 10, got: 3 }.next_wanted(4, 4), 4);
        assert_eq!(Yield { asked: 10, got: 0 }.next_wanted(4, 4), 1);
    }
}
