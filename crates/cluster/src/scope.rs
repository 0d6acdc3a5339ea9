//! Which namespaces are meant.

use std::collections::BTreeSet;

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

#[cfg(test)]
mod tests {
    use super::*;

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
