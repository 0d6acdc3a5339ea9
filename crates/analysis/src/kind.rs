//! A kind without its version: the same object is served in several.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of objects in its API group; the core group is the empty string.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupKind {
    /// The API group, such as `apps`; empty for the core group.
    pub group: Cow<'static, str>,
    /// The kind, such as `Deployment`.
    pub kind: Cow<'static, str>,
}

impl GroupKind {
    /// The kind `kind` of the group `group`.
    #[must_use]
    pub const fn new(group: &'static str, kind: &'static str) -> Self {
        Self { group: Cow::Borrowed(group), kind: Cow::Borrowed(kind) }
    }

    /// The kind of the type `K`.
    #[must_use]
    pub const fn of<K: k8s_openapi::Resource>() -> Self {
        Self::new(K::GROUP, K::KIND)
    }

    /// The kind named by an object's `apiVersion` and `kind`.
    #[must_use]
    pub fn named(api_version: &str, kind: &str) -> Self {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        Self { group: Cow::Owned(group.to_owned()), kind: Cow::Owned(kind.to_owned()) }
    }

    /// Whether this is `K`.
    #[must_use]
    pub fn is<K: k8s_openapi::Resource>(&self) -> bool {
        self.group == K::GROUP && self.kind == K::KIND
    }
}

impl fmt::Display for GroupKind {
    /// `Kind`, or `Kind.group` outside the core group.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    #[test]
    fn the_version_is_not_part_of_a_kind() {
        assert_eq!(GroupKind::named("apps/v1", "Deployment"), GroupKind::of::<Deployment>());
        assert_eq!(GroupKind::named("apps/v1beta2", "Deployment"), GroupKind::of::<Deployment>());
        assert!(GroupKind::named("v1", "Pod").is::<Pod>());
        assert!(!GroupKind::named("metrics.k8s.io/v1", "Pod").is::<Pod>(), "a kind of another group");
    }
}
