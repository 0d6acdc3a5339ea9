//! Events: which is the latest, and how often it happened.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

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
}
