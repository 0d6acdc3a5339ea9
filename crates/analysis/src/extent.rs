//! Which objects are looked at: those of some namespaces, with some labels. What they depend on is read wherever it is.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Namespace;

use crate::object::ObjectRef;
use crate::selector::Selector;

/// Which objects are looked at. By default all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extent {
    /// The namespaces, by name or with `*` for any letters; none: all.
    pub namespaces: BTreeSet<String>,
    /// But not these, in the same form.
    pub without: BTreeSet<String>,
    /// What their labels must be.
    pub selector: Selector,
}

impl Extent {
    /// Whether an object with these labels is looked at. One that belongs to no namespace is, in whichever namespaces the
    /// others are; a namespace itself counts to its own.
    #[must_use]
    pub fn contains(&self, object: &ObjectRef, labels: &BTreeMap<String, String>) -> bool {
        let own = object.kind.is::<Namespace>().then_some(&object.name);
        let namespace = object.namespace.as_ref().or(own);
        namespace.is_none_or(|namespace| self.has(namespace)) && self.selector.matches(labels)
    }

    /// The only namespaces in which anything is looked at, where each was given by its name: nothing has to be read
    /// anywhere else.
    #[must_use]
    pub fn named(&self) -> Option<BTreeSet<String>> {
        let plain = !self.namespaces.is_empty() && !self.namespaces.iter().any(|name| name.contains('*'));
        plain.then(|| self.namespaces.iter().filter(|name| self.has(name)).cloned().collect())
    }

    fn has(&self, namespace: &str) -> bool {
        let among = |these: &BTreeSet<String>| these.iter().any(|pattern| fits(pattern, namespace));
        (self.namespaces.is_empty() || among(&self.namespaces)) && !among(&self.without)
    }
}

/// Whether `name` is `pattern`, in which each `*` stands for any letters, also none.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        // The first place leaves the most for what comes after.
        let Some((_, behind)) = name.split_once(part) else { return false };
        name = behind;
    }
    name.ends_with(last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use k8s_openapi::api::core::v1::{Node, Pod};

    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_star_stands_for_any_letters_wherever_it_is() {
        for (pattern, name, expected) in [
            ("shop", "shop", true),
            ("shop", "shop-1", false),
            ("*", "", true),
            ("team-*", "team-", true),
            ("team-*", "my-team-a", false),
            ("*-prod", "a-prod", true),
            ("*-prod", "a-prod-1", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a*a", "a", false),
            ("*ab*ab", "xabab", true),
            ("*ab*ab", "xab", false),
            ("**", "x", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn namespaces_and_labels_limit_what_is_looked_at_and_what_belongs_to_none_stays() {
        let extent = Extent {
            namespaces: set(&["shop-*", "pay"]),
            without: set(&["*-old"]),
            selector: "team=shop".parse().unwrap(),
        };
        let team = |name: &str| BTreeMap::from([("team".to_owned(), name.to_owned())]);
        let has = |object: ObjectRef| extent.contains(&object, &team("shop"));
        let pod = |namespace| ObjectRef::of::<Pod>(Some(namespace), "web");
        assert!(has(pod("shop-1")) && has(pod("pay")));
        assert!(!has(pod("other")) && !has(pod("shop-old")));
        assert!(!extent.contains(&pod("pay"), &team("infra")), "by its labels");
        assert!(has(ObjectRef::of::<Node>(None, "other")));
        assert!(has(ObjectRef::of::<Namespace>(None, "pay")));
        assert!(!has(ObjectRef::of::<Namespace>(None, "shop-old")), "a namespace counts to itself");
    }

    #[test]
    fn only_names_alone_say_that_nothing_else_has_to_be_read() {
        let of = |these: &[&str], without: &[&str]| {
            Extent { namespaces: set(these), without: set(without), ..Extent::default() }.named()
        };
        assert_eq!(of(&["pay", "shop"], &["sh*"]), Some(set(&["pay"])));
        assert_eq!((of(&["pay", "shop-*"], &[]), of(&[], &["pay"])), (None, None));
    }
}
