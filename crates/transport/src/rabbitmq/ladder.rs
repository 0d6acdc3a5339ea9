//! The shared ladder of TTL queues that makes delay without a plugin.
//!
//! A rung is a fan-out exchange and a queue `<exchange>-retry-<delay>` whose messages expire after a fixed time into the
//! topic exchange with the routing key they came with. Four things lose messages silently and are therefore never done:
//! expiring from rung to rung, per-message TTL, `x-expires`, and length limits. On brokers that have it the rungs are
//! quorum queues that keep a message until its target takes it.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};
use tokio::time::Instant;

use super::{
    connection::Wire,
    fault::{self, Fault, short},
};
use crate::TransportError;

/// The rungs in seconds.
const RUNGS: [u32; 14] = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 43_200];
/// Longest that a delivery is held when the ladder is missing: within the credit, so not longer.
pub(super) const MAX_HOLD: Duration = Duration::from_secs(30);
/// How long a missing rung is believed to be missing.
const MISSING_FOR: Duration = Duration::from_secs(30);

/// One fixed delay, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rung(u32);

impl Rung {
    /// The lowest rung that waits at least this long; the highest for anything longer.
    pub(super) fn for_delay(delay: Duration) -> Self {
        let longest = RUNGS[RUNGS.len() - 1];
        Self(
            RUNGS
                .into_iter()
                .find(|seconds| Duration::from_secs((*seconds).into()) >= delay)
                .unwrap_or(longest),
        )
    }

    fn all() -> impl Iterator<Item = Self> {
        RUNGS.into_iter().map(Self)
    }

    /// Name of its exchange and its queue.
    pub(super) fn name(self, exchange: &str) -> String {
        let (count, unit) = match self.0 {
            hours if hours >= 3_600 => (hours / 3_600, "h"),
            minutes if minutes >= 60 => (minutes / 60, "m"),
            seconds => (seconds, "s"),
        };
        format!("{exchange}-retry-{count}{unit}")
    }
}

/// What is known of the ladder on this broker.
#[derive(Debug)]
pub(super) struct Ladder {
    exchange: String,
    /// Since when a rung is known to be there (`None`) or missing.
    known: Mutex<HashMap<Rung, Option<Instant>>>,
}

impl Ladder {
    pub(super) fn new(exchange: &str) -> Self {
        Self { exchange: exchange.to_owned(), known: Mutex::default() }
    }

    /// The name of the rung for a delay, if the rung is there. Asks the broker once per rung.
    pub(super) async fn rung(&self, wire: &Wire, delay: Duration) -> Option<String> {
        let rung = Rung::for_delay(delay);
        let name = rung.name(&self.exchange);
        match self.known.lock().expect("no panic while held").get(&rung) {
            Some(None) => return Some(name),
            Some(Some(since)) if since.elapsed() < MISSING_FOR => return None,
            _ => {}
        }
        let found = exists(wire, &name).await;
        if let Err(fault) = &found {
            tracing::warn!(rung = name, %fault, "retry ladder is missing: deliveries are held instead, at most 30 s");
        }
        self.known.lock().expect("no panic while held").insert(rung, found.is_err().then(Instant::now));
        found.is_ok().then_some(name)
    }

    /// Forgets a rung that turned out to be gone.
    pub(super) fn forget(&self, delay: Duration) {
        self.known.lock().expect("no panic while held").insert(Rung::for_delay(delay), Some(Instant::now()));
    }

    /// Makes the whole ladder, unless it exists.
    pub(super) async fn ensure(&self, wire: &Wire) -> Result<(), TransportError> {
        for rung in Rung::all() {
            let name = rung.name(&self.exchange);
            if exists(wire, &name).await.is_err() {
                self.make(wire, rung, &name).await.map_err(|fault| fault.into_error(None))?;
            }
        }
        self.known.lock().expect("no panic while held").clear();
        Ok(())
    }

    async fn make(&self, wire: &Wire, rung: Rung, name: &str) -> Result<(), Fault> {
        let mut arguments = FieldTable::default();
        arguments.insert("x-message-ttl".into(), AMQPValue::LongLongInt(i64::from(rung.0) * 1_000));
        arguments
            .insert("x-dead-letter-exchange".into(), AMQPValue::LongString(self.exchange.as_str().into()));
        let mut keeping = arguments.clone();
        for (key, value) in [
            ("x-queue-type", "quorum"),
            ("x-dead-letter-strategy", "at-least-once"),
            ("x-overflow", "reject-publish"),
        ] {
            keeping.insert(key.into(), AMQPValue::LongString(value.into()));
        }
        if let Err(fault) = declare(&wire.channel().await?, name, keeping).await {
            tracing::warn!(
                rung = name, %fault,
                "this broker has no quorum queues that dead-letter at least once: a retry whose queue is deleted while it waits is lost"
            );
            declare(&wire.channel().await?, name, arguments).await?;
        }
        Ok(())
    }
}

async fn declare(channel: &Channel, name: &str, arguments: FieldTable) -> Result<(), Fault> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel.exchange_declare(short(name)?, ExchangeKind::Fanout, options, FieldTable::default()).await?;
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    channel.queue_declare(short(name)?, options, arguments).await?;
    channel
        .queue_bind(short(name)?, short(name)?, "".into(), QueueBindOptions::default(), FieldTable::default())
        .await?;
    Ok(())
}

async fn exists(wire: &Wire, name: &str) -> Result<(), Fault> {
    let channel = wire.channel().await?;
    let options = ExchangeDeclareOptions { passive: true, ..Default::default() };
    channel.exchange_declare(short(name)?, ExchangeKind::Fanout, options, FieldTable::default()).await?;
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    channel.queue_declare(short(name)?, options, FieldTable::default()).await?;
    fault::close(&channel).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MAX_DELAY;

    #[test]
    fn a_delay_is_rounded_up_to_one_rung() {
        let chosen = |seconds: f64| Rung::for_delay(Duration::from_secs_f64(seconds)).name("asya");
        assert_eq!(chosen(0.2), "asya-retry-1s");
        assert_eq!(chosen(1.0), "asya-retry-1s");
        assert_eq!(chosen(1.001), "asya-retry-2s");
        assert_eq!(chosen(31.0), "asya-retry-1m");
        assert_eq!(chosen(599.0), "asya-retry-10m");
        assert_eq!(chosen(3_601.0), "asya-retry-2h");
        assert_eq!(Rung::for_delay(MAX_DELAY).name("asya"), "asya-retry-12h");
        assert_eq!(Rung::for_delay(MAX_DELAY * 2).name("asya"), "asya-retry-12h");
    }

    #[test]
    fn rungs_rise_to_the_longest_delay_and_have_names_of_their_own() {
        assert!(RUNGS.is_sorted());
        assert_eq!(Duration::from_secs(RUNGS[RUNGS.len() - 1].into()), MAX_DELAY);
        let names: std::collections::HashSet<_> = Rung::all().map(|rung| rung.name("asya")).collect();
        assert_eq!(names.len(), RUNGS.len());
    }
}
