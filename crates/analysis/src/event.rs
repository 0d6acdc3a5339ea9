//! Events: which is the latest, and how often it happened.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

use crate::object::ObjectRef;

/// Which object an event is.
#[must_use]
pub fn reference(event: &Event) -> ObjectRef {
    let name = event.metadata.name.as_deref().unwrap_or_default();
    ObjectRef::of::<Event>(event.metadata.namespace.as_deref(), name)
}

/// When an event happened last. Four fields may say so, by the age of the component that wrote it: the series, the last
/// timestamp, the event's own time, and, when nothing else is set, the time the object was made.
#[must_use]
pub fn last_seen(event: &Event) -> Option<Timestamp> {
    let series =
        event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    series
        .or_else(|| event.last_timestamp.as_ref().map(|time| time.0))
        .or_else(|| event.event_time.as_ref().map(|time| time.0))
        .or_else(|| event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// The latest of `events` that `wanted` accepts; of two at the same time, the later in the list.
pub fn latest(events: &[Event], wanted: impl Fn(&Event) -> bool) -> Option<&Event> {
    events.iter().filter(|event| wanted(event)).max_by_key(|event| last_seen(event))
}

/// The latest of `events` with one of these reasons and a message.
#[must_use]
pub fn latest_for<'a>(events: &'a [Event], reasons: &[&str]) -> Option<&'a Event> {
    latest(events, |event| {
        event.message.as_deref().is_some_and(|message| !message.is_empty())
            && event.reason.as_deref().is_some_and(|reason| reasons.contains(&reason))
    })
}

/// The warnings that stand: of each reason the latest, unless a later event says that all is well now. That something is
/// tried again (`EnsuringLoadBalancer`) says nothing yet. By reason.
#[must_use]
pub fn standing_warnings(events: &[Event]) -> Vec<&Event> {
    let is_good = |event: &&Event| event.type_.as_deref() == Some("Normal") && !is_attempt(event);
    let good = events.iter().filter(is_good).map(last_seen).max();
    let mut standing: BTreeMap<&str, &Event> = BTreeMap::new();
    for event in events {
        let says = event.message.as_deref().is_some_and(|message| !message.is_empty());
        let since = good.is_none_or(|good| last_seen(event) >= good);
        if event.type_.as_deref() == Some("Warning") && says && since {
            let latest = standing.entry(event.reason.as_deref().unwrap_or_default()).or_insert(event);
            if last_seen(event) >= last_seen(latest) {
                *latest = event;
            }
        }
    }
    standing.into_values().collect()
}

/// Whether the first word of the event's reason says what is being done, rather than what was: `Ensuring…`, `Updating…`.
fn is_attempt(event: &Event) -> bool {
    let reason = event.reason.as_deref().unwrap_or_default();
    let ends = reason.char_indices().skip(1).find(|(_, letter)| letter.is_ascii_uppercase());
    reason[..ends.map_or(reason.len(), |(at, _)| at)].ends_with("ing")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn event(value: serde_json::Value) -> Event {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_latest_is_found_whichever_field_has_the_time() {
        let about = json!({"kind": "Pod", "name": "p"});
        let events = [
            event(
                json!({"metadata": {"name": "old"}, "involvedObject": about, "lastTimestamp": "2026-01-01T00:00:00Z"}),
            ),
            event(
                json!({"metadata": {"name": "series"}, "involvedObject": about, "eventTime": "2026-01-01T00:00:00.000000Z",
                "series": {"count": 9, "lastObservedTime": "2026-01-03T00:00:00.000000Z"}}),
            ),
            event(
                json!({"metadata": {"name": "new"}, "involvedObject": about, "eventTime": "2026-01-02T00:00:00.000000Z"}),
            ),
        ];
        assert_eq!(latest(&events, |_| true).unwrap().metadata.name.as_deref(), Some("series"));
        assert_eq!(latest_for(&events, &["Failed"]), None, "none has this reason");
    }

    #[test]
    fn a_warning_stands_until_a_good_event_follows() {
        let at = |kind: &str, reason: &str, time: &str| {
            event(
                json!({"metadata": {"name": format!("{reason}.{time}")}, "involvedObject": {}, "type": kind,
                "reason": reason, "message": "m", "lastTimestamp": time}),
            )
        };
        let events = [
            at("Warning", "A", "2026-01-01T00:00:01Z"),
            at("Normal", "Done", "2026-01-01T00:00:02Z"),
            at("Warning", "B", "2026-01-01T00:00:04Z"),
            at("Warning", "B", "2026-01-01T00:00:03Z"),
        ];
        let standing: Vec<_> =
            standing_warnings(&events).iter().map(|event| event.metadata.name.clone().unwrap()).collect();
        assert_eq!(standing, ["B.2026-01-01T00:00:04Z"], "the latest of its reason");
        assert_eq!(standing_warnings(&events[..1]).len(), 1);
        let tried = [events[0].clone(), at("Normal", "EnsuringLoadBalancer", "2026-01-01T00:00:02Z")];
        assert_eq!(standing_warnings(&tried).len(), 1, "an attempt heals nothing");
    }
}
