//! Who read what: a change puts them on the list.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::inventory::involved;
use crate::kind::GroupKind;
use crate::object::{Object, ObjectRef};
use crate::reference::named_by;
use crate::selector::Selector;
use crate::view::Read;

/// Who read what.
#[derive(Default)]
pub(super) struct Readers {
    /// By kind and name, then by the namespace that was asked for.
    pub(super) objects: HashMap<(GroupKind, String), BTreeMap<Option<String>, BTreeSet<ObjectRef>>>,
    lists: HashMap<(GroupKind, Option<String>), BTreeMap<ObjectRef, BTreeSet<Selector>>>,
}

impl Readers {
    /// Notes what `reader` read.
    pub(super) fn remember(&mut self, reader: &ObjectRef, reads: &BTreeSet<Read>) {
        for read in reads {
            match read {
                Read::Object(object) | Read::Users(object) | Read::Events(object, _) => {
                    let named = self.objects.entry((object.kind.clone(), object.name.clone())).or_default();
                    named.entry(object.namespace.clone()).or_default().insert(reader.clone());
                }
                Read::List(kind, namespace, selector) => {
                    let list = self.lists.entry((kind.clone(), namespace.clone())).or_default();
                    list.entry(reader.clone()).or_default().insert(selector.clone());
                }
                // A log has no watch: it is read again when its pod changes, and on resync.
                Read::Log(_) => {}
            }
        }
    }

    /// Forgets it.
    pub(super) fn forget(&mut self, reader: &ObjectRef, reads: &BTreeSet<Read>) {
        for read in reads {
            match read {
                Read::Object(object) | Read::Users(object) | Read::Events(object, _) => {
                    let key = (object.kind.clone(), object.name.clone());
                    let Some(named) = self.objects.get_mut(&key) else { continue };
                    named.values_mut().for_each(|readers| {
                        readers.remove(reader);
                    });
                    named.retain(|_, readers| !readers.is_empty());
                    if named.is_empty() {
                        self.objects.remove(&key);
                    }
                }
                Read::List(kind, namespace, _) => {
                    let list = (kind.clone(), namespace.clone());
                    if let Some(readers) = self.lists.get_mut(&list) {
                        readers.remove(reader);
                        if readers.is_empty() {
                            self.lists.remove(&list);
                        }
                    }
                }
                Read::Log(_) => {}
            }
        }
    }

    /// Who read this state of an object: by name, as one of a list, as what names another, as an event about another.
    pub(super) fn of(&self, object: &Object) -> BTreeSet<ObjectRef> {
        let reference = object.reference();
        let mut readers = self.readers_of(&reference);
        for named in named_by(object) {
            readers.extend(self.readers_of(&named));
        }
        if let Some(about) = involved(object) {
            readers.extend(self.readers_of(&about));
        }
        let labels = object.labels();
        for namespace in [reference.namespace.clone(), None] {
            let list = self.lists.get(&(reference.kind.clone(), namespace));
            let matching = list
                .into_iter()
                .flatten()
                .filter(|(_, selectors)| selectors.iter().any(|it| it.matches(&labels)));
            readers.extend(matching.map(|(reader, _)| reader.clone()));
        }
        readers
    }

    /// Who asked for an object by its name. One that belongs to the cluster may have been asked for in the namespace of
    /// what it owns.
    fn readers_of(&self, object: &ObjectRef) -> BTreeSet<ObjectRef> {
        let Some(named) = self.objects.get(&(object.kind.clone(), object.name.clone())) else {
            return BTreeSet::new();
        };
        let here = named
            .iter()
            .filter(|(namespace, _)| object.namespace.is_none() || **namespace == object.namespace);
        here.flat_map(|(_, readers)| readers.iter().cloned()).collect()
    }
}
