//! What a schema cannot say: each rule once as CEL for the API server and once as a function for [`check`](crate::check()),
//! with one sentence for both.
//!
//! An object that is older than a rule must stay free: its status is written, its metadata changes, its deletion is
//! finished with, and the API server looks at all rules each time. There are two ways out:
//! - The server passes over the rules of a part that did not change (from Kubernetes 1.30). But it finds a change in
//!   every part that holds fields which the CRD does not declare, so also in everything around a pod template. Hence a
//!   rule stands at a list or at an object without such fields, as deep as it can.
//! - A rule about the whole spec stands at the root, twice: for an object that no operator has seen yet, which has no
//!   status, and for a change that breaks what was whole.

mod pod;
mod spec;

use serde_json::Value;

pub use pod::{RESERVED_ENV, RESERVED_PATHS, RESERVED_VOLUMES, SOCKET_DIRECTORY};

/// One rule about one state of an object.
#[derive(Debug)]
pub struct Rule {
    /// The object or list that it is about, as `spec.scaling`.
    pub at: &'static str,
    /// What must hold, in CEL over `self`; `$NAMES` are filled in. Empty: the CRD does not declare what it reads.
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

/// One entry of `x-kubernetes-validations`.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Validation {
    /// The part of the object that it stands at, as `spec.scaling`; empty = the root.
    pub at: &'static str,
    /// What must hold, in CEL.
    pub rule: String,
    /// The field below, with a dot in front; empty = none.
    pub field: String,
    /// What is wrong and what to do.
    pub message: &'static str,
}

/// Everything that the CRD says in CEL.
pub fn validations() -> impl Iterator<Item = Validation> {
    rules().flat_map(Rule::validations).chain(changes().map(Change::validation))
}

impl Rule {
    /// Whether the API server applies it, and not the operator alone.
    pub fn is_in_crd(&self) -> bool {
        !self.cel.is_empty()
    }

    fn validations(&self) -> Vec<Validation> {
        let cel = filled(self.cel);
        if !self.is_in_crd() {
            return Vec::new();
        }
        if self.at != spec::SPEC {
            return vec![Validation {
                at: self.at,
                rule: cel,
                field: self.field.to_owned(),
                message: self.message,
            }];
        }
        let field = format!(".spec{}", self.field);
        let (new, old) = (cel.replace("self.", "self.spec."), cel.replace("self.", "oldSelf.spec."));
        [format!("has(self.status) || ({new})"), format!("!({old}) || ({new})")]
            .map(|rule| Validation { at: "", rule, field: field.clone(), message: self.message })
            .into()
    }

    /// Where an object breaks the rule, as paths from [`at`](Self::at) such as `[1].name`; empty text = there itself.
    pub fn find(&self, object: &Value) -> Vec<String> {
        at(object, self.at).map_or_else(Vec::new, self.find)
    }
}

impl Change {
    fn validation(&self) -> Validation {
        Validation {
            at: self.at,
            rule: filled(self.cel),
            field: self.field.to_owned(),
            message: self.message,
        }
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

/// The members of a list, with their positions.
fn list(value: &Value) -> impl Iterator<Item = (usize, &Value)> {
    value.as_array().into_iter().flatten().enumerate()
}

fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The object itself, if so.
fn this(broken: bool) -> Vec<String> {
    if broken { vec![String::new()] } else { Vec::new() }
}
