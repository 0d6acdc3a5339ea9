//! One line of a log, and whether it is about an envelope.

use jiff::Timestamp;
use serde_json::Value;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// When the kubelet saw it; else what the line itself says.
    pub(super) time: Option<Timestamp>,
    /// Without the kubelet's time.
    pub(super) text: String,
}

impl Line {
    /// Reads a line that was asked for with timestamps.
    pub(super) fn read(raw: &str) -> Self {
        if let Some((first, rest)) = raw.split_once(' ')
            && let Ok(time) = first.parse::<Timestamp>()
        {
            return Self { time: Some(time), text: rest.to_owned() };
        }
        Self { time: own_time(raw), text: raw.to_owned() }
    }

    /// Whether the line names this envelope or one of its fan-out children (`ID-1`, `ID#part-0`).
    pub(super) fn is_about(&self, id: &str) -> bool {
        match serde_json::from_str::<Value>(&self.text) {
            Ok(value @ Value::Object(_)) => mentions(&value, id),
            _ => names(&self.text, id),
        }
    }
}

/// The time in a JSON line of the sidecar (`timestamp`) or the runtime (`time`).
fn own_time(text: &str) -> Option<Timestamp> {
    let value: Value = text.starts_with('{').then(|| serde_json::from_str(text).ok())??;
    ["timestamp", "time"].iter().find_map(|key| value[*key].as_str()?.parse().ok())
}

fn mentions(value: &Value, id: &str) -> bool {
    match value {
        Value::String(text) => names(text, id),
        Value::Array(items) => items.iter().any(|item| mentions(item, id)),
        Value::Object(members) => members.values().any(|member| mentions(member, id)),
        _ => false,
    }
}

/// Whether `id` stands in the text as a word of its own, or as the beginning of a child's id.
fn names(text: &str, id: &str) -> bool {
    let inside = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.match_indices(id).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + id.len()..].chars().next();
        !before.is_some_and(|letter| inside(letter) || letter == '-') && !after.is_some_and(inside)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelets_time_is_taken_off() {
        let line = Line::read("2026-11-21T09:00:00.5Z {\"message\":\"x\"}");
        assert_eq!(line.text, "{\"message\":\"x\"}");
        assert_eq!(line.time, Some("2026-11-21T09:00:00.5Z".parse().unwrap()));
        let own = Line::read("{\"time\":\"2026-11-21T09:00:01Z\",\"message\":\"x y\"}");
        assert_eq!(own.time, Some("2026-11-21T09:00:01Z".parse().unwrap()));
        assert_eq!(Line::read("plain words").time, None);
    }

    #[test]
    fn a_line_is_about_an_envelope_and_its_children_and_no_other() {
        let about = |text: &str| Line { time: None, text: text.to_owned() }.is_about("e1");
        for text in [
            r#"{"id":"e1"}"#,
            r#"{"id":"e1-2"}"#,
            r#"{"error":"run of e1#part-0 failed"}"#,
            r#"{"span":{"id":"e1"}}"#,
            "[e1] hello",
        ] {
            assert!(about(text), "{text}");
        }
        for text in [r#"{"id":"e12"}"#, r#"{"id":"a-e1"}"#, r#"{"e1":1}"#, "the1", "e1_x"] {
            assert!(!about(text), "{text}");
        }
    }
}
