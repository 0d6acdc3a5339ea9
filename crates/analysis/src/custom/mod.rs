//! Analyzers that are not of this crate: what they look at, what they answer, and how their findings are called.
//!
//! | module | holds |
//! |---|---|
//! | [`answer`] | [`Asked`]: what an actor was asked about one object, and its answer |
//! | `mod` | [`Name`]: how an analyzer is called, and how an object is called when it speaks of it |
//!
//! The invariant: **a finding of a custom analyzer is never one of another analyzer**, though both are of one object.
//! Its kind has a group that no API server can serve beside ours: that of the kind, the analyzer, [`GROUP`].

pub mod answer;

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use answer::{Asked, BadAnswer};

use crate::kind::GroupKind;
use crate::object::ObjectRef;

/// What the groups end with of kinds that custom analyzers speak of, and the group of [`KIND`].
pub const GROUP: &str = "custom.asya.sh";

/// How a custom analyzer is called: a label of DNS, as queues and actors are. It has no dot, so that kind and analyzer
/// can be told apart again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// A name that is no label of DNS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no name of an analyzer: at most 63 lower-case letters, digits and dashes, with no dash at an end"
)]
pub struct WrongName(pub String);

impl Name {
    /// Takes a name.
    ///
    /// # Errors
    /// [`WrongName`].
    pub fn parse(text: &str) -> Result<Self, WrongName> {
        let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_label = (1..=63).contains(&text.len())
            && text.bytes().all(known)
            && !text.starts_with('-')
            && !text.ends_with('-');
        if is_label { Ok(Self(text.to_owned())) } else { Err(WrongName(text.to_owned())) }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A kind as this analyzer speaks of it: `Pod.image-policy.custom.asya.sh`.
    #[must_use]
    pub fn kind(&self, kind: &GroupKind) -> GroupKind {
        let group = if kind.group.is_empty() {
            format!("{}.{GROUP}", self.0)
        } else {
            format!("{}.{}.{GROUP}", kind.group, self.0)
        };
        GroupKind { group: group.into(), kind: kind.kind.clone() }
    }

    /// An object as this analyzer speaks of it.
    #[must_use]
    pub fn object(&self, object: &ObjectRef) -> ObjectRef {
        ObjectRef { kind: self.kind(&object.kind), ..object.clone() }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Name {
    type Error = WrongName;

    fn try_from(text: String) -> Result<Self, WrongName> {
        Self::parse(&text)
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

/// The kind of [`analyzer`].
pub const KIND: GroupKind = GroupKind::new(GROUP, "CustomAnalyzer");

/// An analyzer as an object itself: of one that is not given objects, and says what it likes.
#[must_use]
pub fn analyzer(name: &str) -> ObjectRef {
    ObjectRef { kind: KIND, namespace: None, name: name.to_owned() }
}

/// The code of a failure of which only a text is known: the same as long as its words are, whatever the numbers in it.
#[must_use]
pub fn code(text: &str) -> String {
    let words: String = text.chars().filter(|letter| !letter.is_numeric()).collect();
    let hash = Sha256::digest(words.as_bytes());
    let digits: String = hash.iter().take(4).map(|byte| format!("{byte:02X}")).collect();
    format!("Reported{digits}")
}

/// Whether a custom analyzer speaks of objects of this kind, one that is given objects.
#[must_use]
pub fn is_of_one(kind: &GroupKind) -> bool {
    kind.group.strip_suffix(GROUP).is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::collections::BTreeSet;

    use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};

    use super::*;

    #[test]
    fn no_two_pairs_of_kind_and_analyzer_are_called_alike() {
        let kinds = [
            GroupKind::of::<Pod>(),
            GroupKind::of::<Deployment>(),
            GroupKind::new("a", "Pod"),
            GroupKind::new("a.b", "Pod"),
            GroupKind::new("b", "Pod"),
        ];
        let names = ["a", "b", "a-b"].map(|name| Name::parse(name).unwrap());
        let called: BTreeSet<GroupKind> =
            kinds.iter().flat_map(|kind| names.iter().map(|name| name.kind(kind))).collect();
        assert_eq!(called.len(), kinds.len() * names.len());
        assert!(called.iter().all(is_of_one), "{called:?}");
        assert!(!kinds.iter().any(is_of_one));
        assert!(!is_of_one(&KIND), "an analyzer that is asked for all of a cluster has a page of its own");
    }

    #[test]
    fn a_code_is_that_of_the_words() {
        assert_eq!(code("disk is 91% full"), code("disk is 92% full"));
        assert_ne!(code("disk is full"), code("memory is full"));
        assert!(crate::rules::spec::is_word(&code("")), "{}", code(""));
    }

    #[test]
    fn a_name_is_a_label() {
        for wrong in ["", "A", "a.b", "a/b", "-a", "a-", "ä", &"x".repeat(64)] {
            assert_eq!(Name::parse(wrong), Err(WrongName(wrong.to_owned())));
        }
        assert!(serde_json::from_str::<Name>("\"a.b\"").is_err());
        assert_eq!(serde_json::to_string(&Name::parse("disk-1").unwrap()).unwrap(), "\"disk-1\"");
    }
}
