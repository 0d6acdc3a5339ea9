//! Which namespaces may be touched at all.

use std::fmt;

use asya_envelope::glob;

/// Namespaces by globs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespaces(Vec<String>);

impl Namespaces {
    /// Those that match one of the globs; without any, none.
    #[must_use]
    pub const fn matching(globs: Vec<String>) -> Self {
        Self(globs)
    }

    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self(vec!["*".to_owned()])
    }

    /// None of them.
    #[must_use]
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether this namespace is one of them.
    #[must_use]
    pub fn contains(&self, namespace: &str) -> bool {
        self.0.iter().any(|pattern| glob::matches(pattern, namespace))
    }

    /// Whether every namespace is one of them.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.0.iter().any(|pattern| !pattern.is_empty() && pattern.bytes().all(|byte| byte == b'*'))
    }
}

impl fmt::Display for Namespaces {
    /// The globs: `shop, team-*`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("none") } else { f.write_str(&self.0.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_matches_as_a_whole_and_no_glob_is_no_namespace() {
        let some = Namespaces::matching(vec!["shop".to_owned(), "team-*".to_owned()]);
        assert!(some.contains("shop") && some.contains("team-a"));
        assert!(!some.contains("shop-2") && !some.contains("a-team-") && !some.is_all());
        assert_eq!(some.to_string(), "shop, team-*");
        assert!(Namespaces::all().contains("any") && Namespaces::all().is_all());
        assert!(!Namespaces::none().contains("any") && !Namespaces::none().is_all());
    }
}
