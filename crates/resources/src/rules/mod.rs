//! What a schema cannot say: each rule once as CEL for the API server and once as a function for [`check`](crate::check()),
//! with one sentence for both.
//!
//! A rule stands as deep as it can: the API server passes over the rules of a part that did not change, so an object
//! stored before a rule can still be changed elsewhere, finished with and deleted.

mod pod;
mod spec;

use serde_json::Value;

pub use pod::{RESERVED_ENV, RESERVED_PATHS, RESERVED_VOLUMES, SOCKET_DIRECTORY};

/// One rule about one state of an object.
#[derive(Debug)]
pub struct Rule {
    /// The object or list that it is about, as `spec.scaling`.
    pub at: &'static str,
    /// What must hold, in CEL over `self`; `$NAMES` are filled in by [`Rule::cel`]. Empty: only an operator can apply it.
    cel: &'static str,
    /// The field below [`at`](Self::at) that the API server names, with a dot in front; empty = none.
    pub field: &'static str,
    /// What is wrong and what to do.
    pub message: &'static str,
    /// The fields that break it, as paths from [`at`](Self::at) such as `containers[1].name`; empty text = the object.
    find: fn(&Value) -> Vec<String>,
}

/// One rule about a change of an object.
#[derive(Debug)]
pub struct Change {
    /// The object that it is about.
    pub at: &'static str,
    cel: &'static str,
    /// The field below [`at`](Self::at) that the API server names, with a dot in front; empty = none.
    pub field: &'static str,
    /// What is wrong and what to do.
    pub message: &'static str,
    /// Whether going from the first to the second breaks it.
    breaks: fn(&Value, &Value) -> bool,
}

/// Every rule about a state, in the order in which they are reported.
pub fn rules() -> impl Iterator<Item = &'static Rule> {
    spec::RULES.iter().chain(pod::RULES)
}

/// Every rule about a change.
pub fn changes() -> impl Iterator<Item = &'static Change> {
    spec::CHANGES.iter()
}

impl Rule {
    /// What must hold, in CEL; nothing for a rule that needs what the CRD does not declare.
    pub fn cel(&self) -> Option<String> {
        (!self.cel.is_empty()).then(|| filled(self.cel))
    }

    /// Where an object breaks the rule.
    pub fn find(&self, object: &Value) -> Vec<String> {
        at(object, self.at).map_or_else(Vec::new, self.find)
    }
}

impl Change {
    /// What must hold, in CEL over `self` and `oldSelf`.
    pub fn cel(&self) -> String {
        filled(self.cel)
    }

    /// Whether going from one object to another breaks the rule.
    pub fn is_broken(&self, old: &Value, new: &Value) -> bool {
        match (at(old, self.at), at(new, self.at)) {
            (Some(old), Some(new)) => (self.breaks)(old, new),
            _ => false,
        }
    }
}

/// The part of an object at a dotted path, if it is there.
fn at<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |value, key| value.get(key)).filter(|value| !value.is_null())
}

/// Puts the lists and the repeated parts into a rule.
fn filled(cel: &str) -> String {
    let list = |words: &[&str]| format!("['{}']", words.join("', '"));
    cel.replace("$OLDKIND", &spec::KIND_CEL.replace("self", "oldSelf"))
        .replace("$KIND", spec::KIND_CEL)
        .replace("$VOLUMES", &list(RESERVED_VOLUMES))
        .replace("$PATHS", &list(RESERVED_PATHS))
        .replace("$SOCKETS", &format!("'{SOCKET_DIRECTORY}/'"))
        .replace("$ENV", &list(RESERVED_ENV))
}

/// Whether a member is there; null is the same as absent, as in Kubernetes.
fn has(object: &Value, key: &str) -> bool {
    object.get(key).is_some_and(|value| !value.is_null())
}

/// The members of a list that is a member, with their positions.
fn items<'a>(object: &'a Value, key: &str) -> impl Iterator<Item = (usize, &'a Value)> {
    object.get(key).and_then(Value::as_array).into_iter().flatten().enumerate()
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The object itself, if so.
fn this(broken: bool) -> Vec<String> {
    if broken { vec![String::new()] } else { Vec::new() }
}
