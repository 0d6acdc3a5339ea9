//! Which objects of a kind there are: what says that all others are gone, though nobody saw them go.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::kind::GroupKind;
use crate::object::ObjectRef;

/// Bytes of names on a page, at most, or one name.
const PAGE: usize = 32 * 1024;

/// The objects of one kind that are looked at and whose path lies in one range: those that are named, and no others. What
/// is not looked at any more counts as gone: nobody would say when it is well.
///
/// Each page stands for itself. Whoever takes it at the sequence at which it was sent may close what it covers and does
/// not name, if it was seen no later; in which order pages and observations come does not matter. A kind that could not
/// be listed has no pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Live {
    /// The kind.
    #[serde(flatten)]
    pub kind: GroupKind,
    /// The range begins behind this path; none: with the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The range ends with this path; none: with the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The namespaces of which the page says nothing, because their objects could not be listed.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub except: BTreeSet<String>,
    /// The paths of those that are there, as [`ObjectRef::path`] says them, in the order of bytes.
    paths: Vec<String>,
}

impl Live {
    /// The page that begins behind `after`, of a kind that has these paths and no others.
    #[must_use]
    pub fn page(kind: GroupKind, after: Option<String>, paths: impl IntoIterator<Item = String>) -> Self {
        let mut rest: Vec<String> =
            paths.into_iter().filter(|path| after.as_ref().is_none_or(|after| path > after)).collect();
        rest.sort();
        let mut bytes = 0;
        let fits = rest.iter().take_while(|path| {
            bytes += path.len();
            bytes <= PAGE
        });
        let fits = fits.count().max(1);
        let until = rest.get(fits).and_then(|_| rest.get(fits - 1)).cloned();
        rest.truncate(fits);
        Self { kind, after, until, except: BTreeSet::new(), paths: rest }
    }

    /// The same, saying nothing of these namespaces.
    #[must_use]
    pub fn except(mut self, namespaces: BTreeSet<String>) -> Self {
        self.except = namespaces;
        self
    }

    /// Whether this page says that `object` is gone.
    #[must_use]
    pub fn misses(&self, object: &ObjectRef) -> bool {
        let path = object.path();
        self.kind == object.kind
            && self.after.as_ref().is_none_or(|after| path > *after)
            && self.until.as_ref().is_none_or(|until| path <= *until)
            && object.namespace.as_ref().is_none_or(|namespace| !self.except.contains(namespace))
            && self.paths.binary_search(&path).is_err()
    }

    /// How many objects it names.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether it names none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use k8s_openapi::api::core::v1::{Node, Pod};

    use super::*;

    fn pages(paths: &[String]) -> Vec<Live> {
        let mut pages = vec![Live::page(GroupKind::of::<Pod>(), None, paths.to_vec())];
        while let Some(after) = pages.last().and_then(|page| page.until.clone()) {
            pages.push(Live::page(GroupKind::of::<Pod>(), Some(after), paths.to_vec()));
        }
        pages
    }

    fn gone(pages: &[Live], namespace: &str, name: &str) -> usize {
        let object = ObjectRef::of::<Pod>(Some(namespace), name);
        pages.iter().filter(|page| page.misses(&object)).count()
    }

    #[test]
    fn every_name_is_on_one_page_and_what_is_on_none_is_gone_by_one() {
        // `a-b/x` is before `a/x`, though `a` is before `a-b`.
        let of = |namespace: &str| (0..3000).map(move |n| format!("{namespace}/pod-{n}")).collect::<Vec<_>>();
        let paths = ["a", "a-b", "c"].map(of).concat();
        let pages = pages(&paths);
        assert!(pages.len() > 2, "{}", pages.len());
        assert_eq!(pages.iter().map(Live::len).sum::<usize>(), 9000);
        for namespace in ["a", "a-b", "c"] {
            for n in [0, 1, 1234, 2999] {
                assert_eq!(gone(&pages, namespace, &format!("pod-{n}")), 0, "{namespace} {n}");
            }
            assert_eq!(gone(&pages, namespace, "pod-3000"), 1);
        }
        assert_eq!(
            gone(&pages, "", "0") + gone(&pages, "zz", "last"),
            2,
            "before the first and behind the last"
        );
        let sent: Live = serde_json::from_str(&serde_json::to_string(&pages[1]).unwrap()).unwrap();
        assert_eq!(sent, pages[1]);
    }

    #[test]
    fn a_kind_without_objects_is_one_page_that_misses_all_of_the_kind_and_nothing_else() {
        let pages = pages(&[]);
        assert_eq!((pages.len(), gone(&pages, "shop", "web")), (1, 1));
        assert!(!pages[0].misses(&ObjectRef::of::<Node>(None, "web")), "another kind");
    }

    #[test]
    fn a_page_says_nothing_of_namespaces_that_could_not_be_listed() {
        let page = Live::page(GroupKind::of::<Pod>(), None, ["shop/web".to_owned()])
            .except(["pay".to_owned()].into());
        let misses = |namespace, name| page.misses(&ObjectRef::of::<Pod>(Some(namespace), name));
        assert!(!misses("pay", "web") && misses("shop", "old") && misses("left", "web"));
        let sent: Live = serde_json::from_str(&serde_json::to_string(&page).unwrap()).unwrap();
        assert_eq!(sent, page);
    }

    #[test]
    fn a_name_longer_than_a_page_has_one_of_its_own() {
        let long = "x".repeat(PAGE + 1);
        let pages = pages(&[format!("a/{long}"), format!("b/{long}")]);
        assert_eq!(pages.iter().map(Live::len).collect::<Vec<_>>(), [1, 1]);
    }
}
