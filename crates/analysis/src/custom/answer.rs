//! What an actor was asked about one object, and what it answers.

use serde::{Deserialize, Serialize};

use super::Name;
use crate::evaluate::Evaluation;
use crate::failure::{Evidence, Failure, Severity};
use crate::finding::Sequence;
use crate::object::{Object, ObjectRef};
use crate::rules::spec::is_word;
use crate::snapshot::Snapshot;

/// The header that says what the payload answers. It is the platform's: a handler cannot change it.
pub const HEADER: &str = "x-asya-analysis";
/// Failures in one answer; who has more to say of one object says it in a text.
const MOST_FAILURES: usize = 100;
/// Places of one failure.
const MOST_EVIDENCE: usize = 20;
/// Bytes of a text and of a value.
const LONGEST_TEXT: usize = 4096;

/// What a custom analyzer is asked, in the header of the message: all that its answer need not repeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// Who is asked.
    pub analyzer: Name,
    /// The cluster, as its watcher is called.
    pub cluster: String,
    /// The order of what is seen of the cluster.
    pub sequence: Sequence,
    /// The object.
    pub object: ObjectRef,
    /// Its uid, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The version that is looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// The owner at the top, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ObjectRef>,
}

/// The payload that it gets.
#[derive(Debug, Serialize)]
pub struct Question<'a> {
    /// The cluster, as its watcher is called.
    pub cluster: &'a str,
    /// The object, as the API server tells it, without values of Secrets.
    pub object: &'a Object,
    /// What the built-in analyzers read of the rest.
    pub snapshot: &'a Snapshot,
}

/// An answer that is none. Nothing is known of the object by it: its finding stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("what {analyzer} says of {object} is no answer: {why}; {FORM}")]
pub struct BadAnswer {
    analyzer: Name,
    object: Box<ObjectRef>,
    why: String,
}

const FORM: &str = "it must be {\"failures\": [{\"code\", \"text\", \"severity\", \"evidence\"}]}, an empty list if \
                    nothing is wrong";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    failures: Vec<Said>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    code: String,
    text: String,
    #[serde(default = "error")]
    severity: Severity,
    #[serde(default)]
    evidence: Vec<Place>,
    /// Names in the text that no model outside may see.
    #[serde(default)]
    sensitive: Vec<String>,
}

/// A field: of the object itself, unless it says of which other one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    path: String,
    value: Option<serde_json::Value>,
    object: Option<ObjectRef>,
}

const fn error() -> Severity {
    Severity::Error
}

impl Asked {
    /// What the answer says, as an evaluation of the object under the analyzer's own name.
    ///
    /// # Errors
    /// [`BadAnswer`] with what is wrong with it.
    pub fn answered(self, payload: &[u8]) -> Result<Evaluation, BadAnswer> {
        match self.failures(payload) {
            Err(why) => {
                let Self { analyzer, object, .. } = self;
                Err(BadAnswer { analyzer, object: Box::new(object), why })
            }
            Ok(failures) => {
                let Self { analyzer, object, uid, resource_version, parent, .. } = self;
                let parent = parent.filter(|_| !failures.is_empty());
                let evaluation = Evaluation::found(analyzer.object(&object), failures);
                Ok(Evaluation { uid, resource_version, parent, ..evaluation })
            }
        }
    }

    fn failures(&self, payload: &[u8]) -> Result<Vec<Failure>, String> {
        let answer: Answer = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
        if answer.failures.len() > MOST_FAILURES {
            return Err(format!("{} failures, more than {MOST_FAILURES}", answer.failures.len()));
        }
        let failures = answer.failures.into_iter().enumerate();
        failures.map(|(n, said)| self.failure(said).map_err(|why| format!("failures[{n}].{why}"))).collect()
    }

    fn failure(&self, said: Said) -> Result<Failure, String> {
        let Said { code, text, severity, evidence, sensitive } = said;
        if !is_word(&code) {
            return Err(format!("code: {code:?} is no code; write it like ImageTagMissing"));
        }
        if text.trim().is_empty() || text.len() > LONGEST_TEXT {
            return Err(format!("text: is empty, or longer than {LONGEST_TEXT} bytes"));
        }
        if evidence.len() > MOST_EVIDENCE {
            return Err(format!("evidence: {} places, more than {MOST_EVIDENCE}", evidence.len()));
        }
        let mut failure = Failure::new(&code, severity, text).hides(sensitive.iter().map(String::as_str));
        for (n, Place { path, value, object }) in evidence.into_iter().enumerate() {
            let value = value.map(|value| match value {
                serde_json::Value::String(text) => text,
                other => other.to_string(),
            });
            if path.is_empty() || path.len().max(value.as_ref().map_or(0, String::len)) > LONGEST_TEXT {
                return Err(format!("evidence[{n}]: no path, or more than {LONGEST_TEXT} bytes"));
            }
            let object = object.unwrap_or_else(|| self.object.clone());
            failure.evidence.push(Evidence { object, path, value });
        }
        Ok(failure)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use k8s_openapi::api::core::v1::Pod;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn asked() -> Asked {
        Asked {
            analyzer: Name::parse("image-policy").unwrap(),
            cluster: "here".to_owned(),
            sequence: Sequence { at: 1, number: 1 },
            object: ObjectRef::of::<Pod>(Some("shop"), "web"),
            uid: Some("u".to_owned()),
            resource_version: None,
            parent: Some(ObjectRef::of::<Pod>(None, "owner")),
        }
    }

    fn answered(answer: &Value) -> Result<Evaluation, String> {
        asked().answered(answer.to_string().as_bytes()).map_err(|error| error.to_string())
    }

    #[test]
    fn an_answer_is_of_the_object_under_the_name_of_the_analyzer() {
        let said = answered(&json!({"failures": [{"code": "TagMissing", "text": "image of c has no tag",
            "evidence": [{"path": ".spec.containers[0].image", "value": "nginx"}, {"path": ".x", "value": 3,
                "object": {"group": "", "kind": "Node", "name": "n"}}]}]}))
        .unwrap();
        assert_eq!(said.object.to_string(), "Pod.image-policy.custom.asya.sh shop/web");
        assert_eq!((said.uid.as_deref(), said.parent.is_some()), (Some("u"), true));
        let [failure] = said.report.failures() else { panic!("{said:?}") };
        assert_eq!(failure.severity, Severity::Error);
        let places: Vec<String> = failure.evidence.iter().map(|place| place.object.to_string()).collect();
        assert_eq!(places, ["Pod shop/web", "Node n"], "evidence is of real objects");
        assert_eq!(failure.evidence[1].value.as_deref(), Some("3"));
    }

    #[test]
    fn an_empty_list_is_well() {
        let well = answered(&json!({"failures": []})).unwrap();
        assert!(
            well.report.failures().is_empty() && well.report.doubts().is_empty() && well.parent.is_none()
        );
    }

    #[test]
    fn what_looks_like_a_secret_is_taken_out() {
        let said =
            answered(&json!({"failures": [{"code": "A", "text": "postgres://u:hunter2@db"}]})).unwrap();
        assert!(!said.report.failures()[0].text.contains("hunter2"), "{said:?}");
    }

    #[test]
    fn a_bad_answer_is_refused_with_its_place() {
        let failure = |members: Value| {
            let mut failure = json!({"code": "A", "text": "t"});
            failure.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            json!({"failures": [{"code": "B", "text": "t"}, failure]})
        };
        let many = vec![json!({"code": "A", "text": "t"}); 101];
        let places = vec![json!({"path": ".a"}); 21];
        for (answer, why) in [
            (json!(null), "expected struct"),
            (json!({}), "missing field `failures`"),
            (json!({"failures": [], "object": {}}), "unknown field `object`"),
            (json!({"failure": []}), "unknown field `failure`"),
            (json!({"failures": {}}), "invalid type"),
            (json!({"failures": many}), "101 failures"),
            (failure(json!({"code": "no code"})), "failures[1].code"),
            (failure(json!({"code": ""})), "failures[1].code"),
            (failure(json!({"text": " "})), "failures[1].text"),
            (failure(json!({"text": "x".repeat(5000)})), "failures[1].text"),
            (failure(json!({"severity": "fatal"})), "unknown variant `fatal`"),
            (failure(json!({"evidence": places})), "failures[1].evidence: 21"),
            (failure(json!({"evidence": [{"path": ""}]})), "failures[1].evidence[0]"),
        ] {
            let said = answered(&answer).unwrap_err();
            assert!(said.contains(why) && said.contains("image-policy") && said.contains(FORM), "{said}");
        }
        assert!(asked().answered(b"{").is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = asked().answered(&bytes);
        }
    }
}
