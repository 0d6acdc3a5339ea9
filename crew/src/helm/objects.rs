//! The objects of a manifest: which they are, whether they may be changed, and the rights that it takes.

use std::collections::{BTreeMap, BTreeSet};

use asya_analysis::GroupKind;
use asya_cluster::{Catalogue, review::Right};
use serde_json::Value;

use crate::kube::consent::{
    refused::{Refused, refuse, shortened},
    rules::Rules,
};

/// Most objects of one release.
const MOST: usize = 500;
/// The annotation by which an object is run at a certain moment, and goes again.
const HOOK: &str = "helm.sh/hook";
/// What it takes to keep what helm knows of a release: it keeps that in Secrets.
const KEEPING: [&str; 5] = ["get", "list", "create", "update", "delete"];

/// An object by its names; hooks of one name count as others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) plural: String,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    /// The moments at which it is run; none: it stays.
    pub(super) hook: Option<String>,
}

/// The objects of a manifest.
pub(super) type Objects = BTreeMap<Key, Value>;

impl std::fmt::Display for Key {
    /// `Deployment shop/web`, `Job shop/migrate (hook pre-install)`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name)?,
            None => write!(f, "{} {}", self.kind, self.name)?,
        }
        self.hook.as_ref().map_or(Ok(()), |hook| write!(f, " (hook {hook})"))
    }
}

/// The documents of a manifest, each an object with a kind and a name. Lists are taken apart.
pub(super) fn documents(manifest: &str) -> Result<Vec<Value>, Refused> {
    let read: Vec<Value> = serde_saphyr::from_multiple(manifest).map_err(|error| {
        let said = error.to_string();
        Refused(format!(
            "the manifest cannot be read: {}",
            shortened(said.lines().next().unwrap_or_default())
        ))
    })?;
    let mut documents = Vec::new();
    for document in read {
        match document {
            Value::Null => {}
            Value::Object(mut fields) if fields.get("items").is_some_and(Value::is_array) => {
                let Some(Value::Array(items)) = fields.remove("items") else { continue };
                documents.extend(items);
            }
            other => documents.push(other),
        }
    }
    if documents.len() > MOST {
        return refuse(format!("the manifest has more than {MOST} objects"));
    }
    Ok(documents)
}

/// The objects of a manifest as this cluster serves them, if all of them may be changed. What names no namespace is in that of
/// the release.
pub(super) fn read(
    manifest: &str,
    release: &str,
    catalogue: &Catalogue,
    rules: &Rules,
) -> Result<Objects, Refused> {
    let mut objects = Objects::new();
    for document in documents(manifest)? {
        let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let (Some(version), Some(kind), Some(name)) =
            (text("/apiVersion"), text("/kind"), text("/metadata/name"))
        else {
            return refuse("an object of the manifest has no apiVersion, kind or name");
        };
        let served = catalogue.find(&GroupKind::named(&version, &kind)).map_err(|_| {
            Refused(format!("the cluster serves no {} of {}", shortened(&kind), shortened(&version)))
        })?;
        let namespace = text("/metadata/namespace").filter(|namespace| !namespace.is_empty());
        let namespace = served.namespaced.then(|| namespace.unwrap_or_else(|| release.to_owned()));
        rules.check(served, namespace.as_deref(), &name)?;
        let hook = document["metadata"]["annotations"][HOOK].as_str().map(str::to_owned);
        let key = Key {
            group: served.group.clone(),
            kind: served.kind.clone(),
            plural: served.plural.clone(),
            namespace,
            name,
            hook,
        };
        let shown = key.to_string();
        if objects.insert(key, document).is_some() {
            return refuse(format!("the manifest has {} twice", shortened(&shown)));
        }
    }
    Ok(objects)
}

/// The rights that it takes to make `is` of `was` and to keep the release: of the person and of the tool.
pub(super) fn rights(was: &Objects, is: &Objects, release: &str) -> Vec<Right> {
    let mut rights = BTreeSet::new();
    let mut right = |key: &Key, verb: &str| {
        rights.insert(Right {
            verb: verb.to_owned(),
            group: key.group.clone(),
            resource: key.plural.clone(),
            namespace: key.namespace.clone(),
            ..Right::default()
        });
    };
    for key in is.keys() {
        right(key, "get");
        right(key, if was.contains_key(key) { "patch" } else { "create" });
    }
    let hooks = is.keys().filter(|key| key.hook.is_some());
    for key in was.keys().filter(|key| !is.contains_key(*key)).chain(hooks) {
        right(key, "get");
        right(key, "delete");
    }
    rights.into_iter().chain(keeping(release, &KEEPING)).collect()
}

/// The rights to do this with what helm knows of the releases of a namespace.
pub(super) fn keeping(namespace: &str, verbs: &[&str]) -> Vec<Right> {
    let right = |verb: &&str| Right {
        verb: (*verb).to_owned(),
        resource: "secrets".to_owned(),
        namespace: Some(namespace.to_owned()),
        ..Right::default()
    };
    verbs.iter().map(right).collect()
}
