//! Which namespaces are meant.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::IgnoredAny;

use crate::api::{Api, Refusal};
use crate::catalogue::encode;

/// Which namespaces are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All, and what belongs to no namespace.
    Everywhere {
        /// But not these.
        without: BTreeSet<String>,
    },
    /// These. What belongs to no namespace is looked at only by analyzers that somebody named.
    Namespaces(BTreeSet<String>),
}

impl Scope {
    /// Whether objects of this namespace (none: of the cluster) are looked at.
    #[must_use]
    pub fn contains(&self, namespace: Option<&str>) -> bool {
        match (self, namespace) {
            (_, None) => true,
            (Self::Everywhere { without }, Some(namespace)) => !without.contains(namespace),
            (Self::Namespaces(these), Some(namespace)) => these.contains(namespace),
        }
    }

    /// What is listed of a kind in namespaces: each of them, or (none) all at once.
    #[must_use]
    pub fn lists(&self) -> Vec<Option<String>> {
        match self {
            Self::Everywhere { .. } => vec![None],
            Self::Namespaces(these) => these.iter().cloned().map(Some).collect(),
        }
    }
}

impl fmt::Display for Scope {
    /// In words: `namespace shop`, `all namespaces but kube-system`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed =
            |names: &BTreeSet<String>| names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        match self {
            Self::Everywhere { without } if without.is_empty() => f.write_str("all namespaces"),
            Self::Everywhere { without } => write!(f, "all namespaces but {}", listed(without)),
            Self::Namespaces(these) if these.len() == 1 => write!(f, "namespace {}", listed(these)),
            Self::Namespaces(these) => write!(f, "namespaces {}", listed(these)),
        }
    }
}

/// The first of `namespaces` that does not exist, as far as one may look: a misspelt one must not look like a healthy one.
pub async fn absent<'a>(api: &Api, namespaces: &'a BTreeSet<String>) -> Option<&'a str> {
    for namespace in namespaces {
        let found: Result<IgnoredAny, _> =
            api.json(&format!("/api/v1/namespaces/{}", encode(namespace))).await;
        if let Err(Refusal::NotFound { object: true }) = found {
            return Some(namespace);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_is_told_in_words() {
        let of = |given: &[&str]| given.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
        assert_eq!(Scope::Namespaces(of(&["shop"])).to_string(), "namespace shop");
        assert_eq!(Scope::Namespaces(of(&["shop", "pay"])).to_string(), "namespaces pay, shop");
        assert_eq!(Scope::Everywhere { without: of(&["a"]) }.to_string(), "all namespaces but a");
    }

    #[test]
    fn an_excluded_namespace_is_read_with_the_others_and_not_looked_at() {
        let scope = Scope::Everywhere { without: ["kube-system".to_owned()].into() };
        assert_eq!(
            scope.lists(),
            [None],
            "one list, because ten thousand pods are fewer calls than a hundred lists"
        );
        assert!(!scope.contains(Some("kube-system")) && scope.contains(Some("shop")) && scope.contains(None));
        let two = Scope::Namespaces(["pay".to_owned(), "shop".to_owned()].into());
        assert_eq!(two.lists().len(), 2);
        assert!(two.contains(Some("pay")) && !two.contains(Some("other")));
    }
}
