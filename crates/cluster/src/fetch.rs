//! What is read at once, and how the questions of analyzers become few of these.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use asya_analysis::reference::USERS;
use asya_analysis::view::{LogTail, Read};
use asya_analysis::{GroupKind, ObjectRef};
use k8s_openapi::api::core::v1::{Event, Secret};

/// From how many objects of one kind and namespace on the whole namespace is listed: a list is one call for up to 500.
const LIST_FROM: usize = 4;

/// From how many namespaces on a kind is listed everywhere instead, if everywhere is what is looked at.
const EVERYWHERE_FROM: usize = 8;

/// One thing to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fetch {
    /// All objects of a kind in a namespace, or (none) everywhere.
    List(GroupKind, Option<String>),
    /// One object.
    Object(ObjectRef),
    /// The end of a log.
    Log(LogTail),
}

impl Fetch {
    /// The kind that is read.
    #[must_use]
    pub fn kind(&self) -> GroupKind {
        match self {
            Self::List(kind, _) => kind.clone(),
            Self::Object(object) => object.kind.clone(),
            Self::Log(_) => GroupKind::of::<k8s_openapi::api::core::v1::Pod>(),
        }
    }

    /// Where it is read.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        match self {
            Self::List(_, namespace) => namespace.as_deref(),
            Self::Object(object) => object.namespace.as_deref(),
            Self::Log(log) => Some(&log.namespace),
        }
    }
}

impl fmt::Display for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(kind, Some(namespace)) => write!(f, "all {kind} of namespace {namespace}"),
            Self::List(kind, None) => write!(f, "all {kind}"),
            Self::Object(object) => object.fmt(f),
            Self::Log(log) => write!(f, "log of {}/{}/{}", log.namespace, log.pod, log.container),
        }
    }
}

/// The fewest and cheapest reads that answer `wanted`. With `everywhere`, lists of many namespaces become one of all.
/// Secrets are never listed for being named: each takes its own call, so that no other Secret is sent.
#[must_use]
pub fn plan(wanted: BTreeSet<Read>, everywhere: bool) -> BTreeSet<Fetch> {
    let mut lists: BTreeMap<GroupKind, BTreeSet<Option<String>>> = BTreeMap::new();
    let mut objects: BTreeMap<(GroupKind, Option<String>), Vec<ObjectRef>> = BTreeMap::new();
    let mut fetches = BTreeSet::new();
    for read in wanted {
        match read {
            Read::Object(object) => {
                objects.entry((object.kind.clone(), object.namespace.clone())).or_default().push(object);
            }
            Read::List(kind, namespace, _) => {
                lists.entry(kind).or_default().insert(namespace);
            }
            Read::Users(object) => {
                for kind in &USERS {
                    lists.entry(kind.clone()).or_default().insert(object.namespace.clone());
                }
            }
            Read::Events(object, _) => {
                // Events about what belongs to no namespace are kept in `default`.
                let namespace = object.namespace.unwrap_or_else(|| "default".to_owned());
                lists.entry(GroupKind::of::<Event>()).or_default().insert(Some(namespace));
            }
            Read::Log(log) => {
                fetches.insert(Fetch::Log(log));
            }
        }
    }
    let secret = GroupKind::of::<Secret>();
    for ((kind, namespace), named) in objects {
        if named.len() >= LIST_FROM && kind != secret {
            lists.entry(kind).or_default().insert(namespace);
        } else {
            fetches.extend(named.into_iter().map(Fetch::Object));
        }
    }
    for (kind, mut namespaces) in lists {
        if namespaces.contains(&None) || (everywhere && namespaces.len() >= EVERYWHERE_FROM) {
            namespaces = [None].into();
        }
        // An object that is on a list needs no call of its own.
        fetches.retain(|fetch| match fetch {
            Fetch::Object(object) => {
                object.kind != kind || !(namespaces.contains(&None) || namespaces.contains(&object.namespace))
            }
            _ => true,
        });
        fetches.extend(namespaces.into_iter().map(|namespace| Fetch::List(kind.clone(), namespace)));
    }
    fetches
}

#[cfg(test)]
mod tests {
    use asya_analysis::Selector;
    use k8s_openapi::api::apps::v1::ReplicaSet;
    use k8s_openapi::api::core::v1::{ConfigMap, Pod};

    use super::*;

    fn named<K: k8s_openapi::Resource>(namespace: &str, count: usize) -> BTreeSet<Read> {
        (0..count).map(|n| Read::Object(ObjectRef::of::<K>(Some(namespace), &format!("o{n}")))).collect()
    }

    #[test]
    fn a_few_objects_are_read_by_name_and_many_as_a_list() {
        assert_eq!(plan(named::<ReplicaSet>("shop", 3), false).len(), 3);
        let list = Fetch::List(GroupKind::of::<ReplicaSet>(), Some("shop".to_owned()));
        assert_eq!(plan(named::<ReplicaSet>("shop", 4), false), [list].into());
    }

    #[test]
    fn secrets_are_never_listed_for_being_named() {
        let fetches = plan(named::<Secret>("shop", 50), true);
        assert_eq!(fetches.len(), 50);
        assert!(fetches.iter().all(|fetch| matches!(fetch, Fetch::Object(_))));
    }

    #[test]
    fn the_events_of_a_namespace_are_one_list_whoever_asks() {
        let wanted = (0..100).map(|n| {
            Read::Events(ObjectRef::of::<Pod>(Some("shop"), &format!("p{n}")), Some(format!("u{n}")))
        });
        let list = Fetch::List(GroupKind::of::<Event>(), Some("shop".to_owned()));
        assert_eq!(plan(wanted.collect(), false), [list].into());
    }

    #[test]
    fn many_namespaces_are_one_list_only_where_everywhere_is_meant() {
        let wanted: BTreeSet<Read> = (0..20)
            .map(|n| Read::List(GroupKind::of::<Pod>(), Some(format!("n{n}")), Selector::everything()))
            .collect();
        assert_eq!(plan(wanted.clone(), false).len(), 20, "rights may end at a namespace");
        assert_eq!(plan(wanted, true), [Fetch::List(GroupKind::of::<Pod>(), None)].into());
    }

    #[test]
    fn who_uses_an_object_takes_a_list_of_each_kind_that_may() {
        let mut wanted: BTreeSet<Read> = [Read::Users(ObjectRef::of::<ConfigMap>(Some("shop"), "c"))].into();
        wanted.extend(named::<Pod>("shop", 2));
        let fetches = plan(wanted, false);
        assert_eq!(fetches.len(), USERS.len(), "the pods are on a list already: {fetches:?}");
    }
}
