//! What a model asks, read strictly.

use asya_cluster::look::{
    Error,
    arguments::{self, Count, Labels, Limit, Name, Namespace},
};
use serde::Deserialize;
use serde_json::{Map, Value};

/// What can be done: all of it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    List,
    Describe,
    Logs,
    Events,
    Top,
}

/// The verbs that there are. What is not here is not done, whatever it is called.
const VERBS: [(&str, Verb); 6] = [
    ("get", Verb::Get),
    ("list", Verb::List),
    ("describe", Verb::Describe),
    ("logs", Verb::Logs),
    ("events", Verb::Events),
    ("top", Verb::Top),
];

/// The names of the verbs.
pub fn verbs() -> [&'static str; 6] {
    VERBS.map(|(name, _)| name)
}

/// The arguments of a call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    #[serde(rename = "verb")]
    _verb: String,
    pub(super) kind: Option<Name>,
    pub(super) name: Option<Name>,
    #[serde(default)]
    pub(super) namespace: Namespace,
    pub(super) container: Option<Name>,
    #[serde(default)]
    pub(super) previous: bool,
    pub(super) tail: Option<Count>,
    #[serde(default)]
    pub(super) selector: Labels,
    #[serde(default)]
    pub(super) limit: Limit,
}

/// Reads a call. The verb comes first: whoever asks to change something is not told how to spell it.
pub(super) fn read(given: Map<String, Value>) -> Result<(Verb, Arguments), Error> {
    let verb = given.get("verb").and_then(Value::as_str).unwrap_or_default();
    let wrong = |reason: String| Error::Argument { field: "verb".to_owned(), reason };
    let Some((_, verb)) = VERBS.into_iter().find(|(name, _)| *name == verb) else {
        let shown: String = verb.chars().take(60).collect();
        return Err(wrong(format!(
            "verb: {shown:?} is none of {}; this tool only reads",
            verbs().join(", ")
        )));
    };
    Ok((verb, arguments::read(given)?))
}

impl Arguments {
    /// The kind, which this verb needs.
    pub(super) fn kind(&self) -> Result<&str, Error> {
        self.kind
            .as_ref()
            .map(|kind| kind.0.as_str())
            .ok_or_else(|| missing("kind", "as pod, deployment, svc"))
    }

    /// The name, which this verb needs.
    pub(super) fn name(&self) -> Result<&str, Error> {
        self.name
            .as_ref()
            .map(|name| name.0.as_str())
            .ok_or_else(|| missing("name", "list shows which there are"))
    }
}

fn missing(field: &str, next: &str) -> Error {
    Error::Argument { field: field.to_owned(), reason: format!("{field}: is needed for this verb; {next}") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn refusal(given: Value) -> String {
        read(serde_json::from_value(given).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn only_what_reads_is_a_verb() {
        for (name, verb) in VERBS {
            let given = serde_json::from_value(json!({"verb": name})).unwrap();
            assert_eq!(read(given).unwrap().0, verb);
        }
        for verb in [
            json!("exec"),
            json!("port-forward"),
            json!("cp"),
            json!("delete"),
            json!("get;delete"),
            json!("GET "),
            json!(""),
            json!(["get"]),
            Value::Null,
        ] {
            let refused = refusal(json!({"verb": verb, "kind": "pod", "command": ["sh"]}));
            assert!(refused.contains("get, list, describe, logs, events, top"), "{verb}: {refused}");
        }
    }

    #[test]
    fn arguments_are_read_strictly_and_null_is_none() {
        for (given, told) in [
            (json!({"verb": "get", "kind": "pods/exec", "name": "p"}), "kind"),
            (json!({"verb": "get", "kind": "pod", "name": "../secrets/db"}), "name"),
            (json!({"verb": "list", "kind": "pod", "namespace": "a/b"}), "namespace"),
            (json!({"verb": "list", "kind": "pod", "limit": 0}), "limit"),
            (json!({"verb": "logs", "name": "p", "tail": -1}), "tail"),
            (json!({"verb": "logs", "name": "p", "follow": true}), "follow"),
        ] {
            let refused = refusal(given.clone());
            assert!(refused.contains(told), "{given}: {refused}");
        }
        let given = json!({"verb": "logs", "name": "p", "namespace": null, "tail": "5", "limit": 7.0});
        let (verb, arguments) = read(serde_json::from_value(given).unwrap()).unwrap();
        assert_eq!((verb, arguments.tail.unwrap().0, arguments.limit.0), (Verb::Logs, 5, 7));
        assert!(arguments.kind().is_err() && arguments.name().is_ok() && arguments.namespace.0.is_none());
    }
}
