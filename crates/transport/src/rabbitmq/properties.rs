//! What travels beside a body: message properties and headers.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

use crate::Meta;

/// Handler runs that failed, as the last retry said.
const ATTEMPTS: &str = "x-asya-attempts";
/// Deliveries before the message was last published again.
const DELIVERIES: &str = "x-asya-deliveries";
/// Why a dead letter is one.
pub(super) const REASON: &str = "x-asya-reason";
/// The queue that a dead letter came from.
pub(super) const SOURCE: &str = "x-asya-source";
/// When a dead letter became one, in seconds since 1970.
pub(super) const DIED_AT: &str = "x-asya-died-at";
/// Quorum queues count by themselves.
const BROKER_COUNT: &str = "x-delivery-count";
/// The broker's own records of earlier lives; published again they would mislead it.
const BROKER_RECORDS: [&str; 5] =
    ["x-death", "x-first-death-", "x-last-death-", BROKER_COUNT, "x-acquired-count"];
/// After this many deliveries a quorum queue of RabbitMQ 4 gives up on a message, unless told otherwise.
const BROKER_LIMIT: u32 = 20;
const PERSISTENT: u8 = 2;

/// What the counters of a message are when it is published.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counters {
    pub(super) attempts: u32,
    pub(super) deliveries: u32,
}

/// Properties of a new message.
pub(super) fn fresh() -> BasicProperties {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_timestamp(now)
}

/// Properties of a message that is published once more: its own, without what the broker wrote and without its
/// expiration, and with these counters.
pub(super) fn again(old: &BasicProperties, counters: Counters) -> BasicProperties {
    let mut headers = own_headers(old);
    for (key, count) in [(ATTEMPTS, counters.attempts), (DELIVERIES, counters.deliveries)] {
        headers.insert(key.into(), AMQPValue::LongLongInt(count.into()));
    }
    published_again(old, headers)
}

/// Properties of a dead letter that is sent again: as if it had never been handled.
pub(super) fn revived(old: &BasicProperties) -> BasicProperties {
    let mut headers = own_headers(old);
    for key in [ATTEMPTS, DELIVERIES, REASON, SOURCE, DIED_AT] {
        headers.remove(key);
    }
    published_again(old, headers)
}

/// The headers that the publisher and we wrote.
fn own_headers(old: &BasicProperties) -> BTreeMap<ShortString, AMQPValue> {
    old.headers()
        .iter()
        .flat_map(FieldTable::inner)
        .filter(|(key, _)| !BROKER_RECORDS.iter().any(|record| key.as_str().starts_with(record)))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn published_again(old: &BasicProperties, headers: BTreeMap<ShortString, AMQPValue>) -> BasicProperties {
    let mut properties =
        BasicProperties::default().with_delivery_mode(PERSISTENT).with_headers(headers.into());
    if let Some(value) = old.content_type() {
        properties = properties.with_content_type(value.clone());
    }
    if let Some(value) = old.content_encoding() {
        properties = properties.with_content_encoding(value.clone());
    }
    if let Some(value) = old.correlation_id() {
        properties = properties.with_correlation_id(value.clone());
    }
    if let Some(value) = old.timestamp() {
        properties = properties.with_timestamp(*value);
    }
    if let Some(value) = old.priority() {
        properties = properties.with_priority(*value);
    }
    properties
}

/// Adds text headers.
pub(super) fn with_texts<const N: usize>(
    properties: BasicProperties,
    texts: [(&str, &str); N],
) -> BasicProperties {
    let mut headers = properties.headers().clone().unwrap_or_default();
    for (key, value) in texts {
        headers.insert(key.into(), AMQPValue::LongString(value.into()));
    }
    properties.with_headers(headers)
}

/// A header as text.
pub(super) fn text(properties: &BasicProperties, key: &str) -> Option<String> {
    match properties.headers().as_ref()?.inner().get(key)? {
        AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// The counters written when the message was last published.
pub(super) fn counters(properties: &BasicProperties) -> Counters {
    Counters {
        attempts: number(properties, ATTEMPTS).unwrap_or(0),
        deliveries: number(properties, DELIVERIES).unwrap_or(0),
    }
}

/// True if the broker counts the deliveries of this message.
pub(super) fn counted_by_broker(properties: &BasicProperties) -> bool {
    number(properties, BROKER_COUNT).is_some()
}

/// What is known about a message that has arrived.
pub(super) fn meta(properties: &BasicProperties) -> Meta {
    let Counters { attempts, deliveries } = counters(properties);
    let by_broker = number(properties, BROKER_COUNT).unwrap_or(0);
    Meta {
        deliveries: deliveries.saturating_add(by_broker).saturating_add(1),
        attempts,
        last_chance: by_broker >= BROKER_LIMIT,
        sent_at: properties.timestamp().and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at))),
    }
}

/// A header as a count: none of ours is negative or huge, whatever a publisher wrote.
fn number(properties: &BasicProperties, key: &str) -> Option<u32> {
    let number = match properties.headers().as_ref()?.inner().get(key)? {
        AMQPValue::LongLongInt(number) => *number,
        AMQPValue::LongInt(number) => (*number).into(),
        AMQPValue::LongUInt(number) => (*number).into(),
        AMQPValue::ShortInt(number) => (*number).into(),
        AMQPValue::ShortUInt(number) => (*number).into(),
        AMQPValue::ShortShortInt(number) => (*number).into(),
        AMQPValue::ShortShortUInt(number) => (*number).into(),
        _ => return None,
    };
    Some(u32::try_from(number.max(0)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(headers: &[(&str, AMQPValue)]) -> BasicProperties {
        let mut table = FieldTable::default();
        for (key, value) in headers {
            table.insert((*key).into(), value.clone());
        }
        BasicProperties::default().with_headers(table)
    }

    #[test]
    fn deliveries_are_those_before_the_last_publish_and_those_since() {
        assert_eq!(meta(&BasicProperties::default()).deliveries, 1);
        let properties =
            with(&[(DELIVERIES, AMQPValue::LongLongInt(3)), (BROKER_COUNT, AMQPValue::LongUInt(2))]);
        assert_eq!(meta(&properties).deliveries, 6);
        assert!(counted_by_broker(&properties));
    }

    #[test]
    fn a_message_published_again_keeps_its_headers_and_loses_the_brokers() {
        let old = with(&[
            ("tenant", AMQPValue::LongString("a".into())),
            ("x-death", AMQPValue::Boolean(true)),
            ("x-first-death-queue", AMQPValue::LongString("q".into())),
            (BROKER_COUNT, AMQPValue::LongLongInt(1)),
        ])
        .with_expiration("5".into())
        .with_timestamp(7);
        let new = again(&old, Counters { attempts: 2, deliveries: 4 });
        let keys: Vec<_> = new.headers().as_ref().unwrap().inner().keys().map(ShortString::as_str).collect();
        assert_eq!(keys, ["tenant", ATTEMPTS, DELIVERIES]);
        assert_eq!(counters(&new), Counters { attempts: 2, deliveries: 4 });
        assert_eq!((new.expiration(), *new.timestamp()), (&None, Some(7)));
    }

    #[test]
    fn counts_that_a_stranger_wrote_do_no_harm() {
        for value in [AMQPValue::LongLongInt(-5), AMQPValue::LongString("many".into()), AMQPValue::Void] {
            assert_eq!(meta(&with(&[(DELIVERIES, value)])).deliveries, 1);
        }
        assert_eq!(meta(&with(&[(DELIVERIES, AMQPValue::LongLongInt(i64::MAX))])).deliveries, u32::MAX);
    }

    #[test]
    fn the_brokers_limit_is_announced() {
        assert!(!meta(&with(&[(BROKER_COUNT, AMQPValue::LongLongInt(19))])).last_chance);
        assert!(meta(&with(&[(BROKER_COUNT, AMQPValue::LongLongInt(20))])).last_chance);
    }
}
