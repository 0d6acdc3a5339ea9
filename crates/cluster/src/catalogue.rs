//! Which kinds the cluster serves, in which version, under which path.

use std::collections::BTreeMap;

use asya_analysis::{GroupKind, Unverified};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde::Deserialize;

use crate::api::{Api, Refusal};

/// Asks for everything in two answers; servers before Kubernetes 1.27 give the old form instead.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// Versions that the analyzers' types are made for, where a group has had several that differ. They are taken wherever
/// they are served; the server's own preference decides about all other groups.
const UNDERSTOOD: [(&str, &str); 9] = [
    ("", "v1"),
    ("admissionregistration.k8s.io", "v1"),
    ("apps", "v1"),
    ("autoscaling", "v2"),
    ("batch", "v1"),
    ("discovery.k8s.io", "v1"),
    ("networking.k8s.io", "v1"),
    ("policy", "v1"),
    ("storage.k8s.io", "v1"),
];

/// Requests under way at once while an old server is asked group by group.
const AT_ONCE: usize = 8;

/// One kind as the cluster serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Served {
    /// The API group; empty for the core group.
    pub group: String,
    /// The version that is read.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// As it stands in paths and roles: `pods`.
    pub plural: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Whether it can be listed: reviews and bindings can not.
    pub listable: bool,
}

impl Served {
    /// The path of its objects in `namespace`, or in all; with the slash at the beginning and none at the end.
    #[must_use]
    pub fn path(&self, namespace: Option<&str>) -> String {
        let Self { group, version, plural, namespaced, .. } = self;
        let root =
            if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        match namespace.filter(|_| *namespaced) {
            Some(namespace) => format!("{root}/namespaces/{}/{plural}", encode(namespace)),
            None => format!("{root}/{plural}"),
        }
    }

    /// What objects of it say in `apiVersion`.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// As roles and messages of the API server name it: `pods`, `deployments.apps`.
    #[must_use]
    pub fn full_name(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }
}

/// The kinds that a cluster serves.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    kinds: BTreeMap<GroupKind, Served>,
    /// Groups of which only a part is known, and why: their own API server does not answer.
    silent: BTreeMap<String, String>,
}

impl Catalogue {
    /// Asks the API server: two requests, or one for each group and version before Kubernetes 1.27.
    ///
    /// # Errors
    /// [`Refusal`] if the discovery itself does not answer. A group whose API server does not is no error.
    pub async fn read(api: &Api) -> Result<Self, Refusal> {
        let mut catalogue = Self::default();
        for (path, group) in [("/api", Some("")), ("/apis", None)] {
            match api.accepting::<Root>(path, AGGREGATED).await? {
                Root { kind, items, .. } if kind == "APIGroupDiscoveryList" => {
                    items.into_iter().for_each(|item| catalogue.take(item));
                }
                Root { versions, .. } if group.is_some() => {
                    let versions = versions.into_iter().map(|version| ("".to_owned(), version)).collect();
                    catalogue.ask(api, versions).await?;
                }
                Root { groups, .. } => catalogue.ask(api, ordered(groups)).await?,
            }
        }
        Ok(catalogue)
    }

    /// How the kind is served.
    ///
    /// # Errors
    /// [`Unverified::NotInstalled`] if it is not, [`Unverified::Failed`] if the group's API server does not answer.
    pub fn find(&self, kind: &GroupKind) -> Result<&Served, Unverified> {
        let silent = || match self.silent.get(kind.group.as_ref()) {
            Some(why) => Unverified::Failed(why.clone()),
            None => Unverified::NotInstalled,
        };
        self.kinds.get(kind).filter(|served| served.listable).ok_or_else(silent)
    }

    /// The kind of this name, in any case, in whichever group; the core group and Kubernetes' own come first.
    #[must_use]
    pub fn named(&self, kind: &str) -> Option<(&GroupKind, &Served)> {
        let mut found: Vec<_> =
            self.kinds.iter().filter(|(known, _)| known.kind.eq_ignore_ascii_case(kind)).collect();
        found.sort_by_key(|(known, _)| {
            let own = !known.group.contains('.') || known.group.ends_with(".k8s.io");
            (!own, known.group.clone())
        });
        found.first().copied()
    }

    /// The kind that somebody calls so, in any case: by its kind, by what stands in paths, or by that with its group, as
    /// `deployments.apps`. Only what can be listed; the core group and Kubernetes' own come first.
    #[must_use]
    pub fn called(&self, name: &str) -> Option<&Served> {
        let is = |served: &&Served| {
            let known = [&served.kind, &served.plural, &served.full_name()];
            served.listable && known.into_iter().any(|known| known.eq_ignore_ascii_case(name))
        };
        let own = |served: &&Served| !served.group.contains('.') || served.group.ends_with(".k8s.io");
        self.kinds.values().filter(is).min_by_key(|served| (!own(served), served.group.clone()))
    }

    fn take(&mut self, group: Group) {
        let name = group.metadata.name;
        for version in in_order(&name, group.versions, |version| &version.version) {
            if version.freshness == "Stale" {
                let why = format!("the API server of {name}/{} does not answer", version.version);
                self.silent.insert(name.clone(), why);
            }
            for resource in version.resources {
                let Resource { resource, response_kind, scope, verbs } = resource;
                let kind = response_kind.map(|kind| kind.kind).unwrap_or_default();
                let namespaced = scope == "Namespaced";
                self.add(&name, &version.version, kind, resource, namespaced, &verbs);
            }
        }
    }

    /// Asks an old server for each group and version.
    async fn ask(&mut self, api: &Api, versions: Vec<(String, String)>) -> Result<(), Refusal> {
        let answers = versions.into_iter().map(|(group, version)| async move {
            let path =
                if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
            match api.json::<Resources>(&path).await {
                Ok(answer) => Ok((group, version, Ok(answer))),
                // Gone since the groups were told.
                Err(Refusal::NotFound { .. }) => Ok((group, version, Ok(Resources::default()))),
                Err(refusal @ Refusal::Failed(_)) if !group.is_empty() => {
                    Ok((group, version, Err(refusal.to_string())))
                }
                Err(refusal) => Err(refusal),
            }
        });
        // In order: the first version of a kind is the one that is read.
        let answers: Vec<_> = stream::iter(answers).buffered(AT_ONCE).try_collect().await?;
        for (group, version, answer) in answers {
            match answer {
                Ok(Resources { resources }) => {
                    for LegacyResource { name, kind, namespaced, verbs } in resources {
                        if !name.contains('/') {
                            self.add(&group, &version, kind, name, namespaced, &verbs);
                        }
                    }
                }
                Err(why) => {
                    self.silent.insert(group, why);
                }
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        group: &str,
        version: &str,
        kind: String,
        plural: String,
        namespaced: bool,
        verbs: &[String],
    ) {
        if kind.is_empty() || plural.is_empty() {
            return;
        }
        let listable = verbs.iter().any(|verb| verb == "list");
        let named = GroupKind { group: group.to_owned().into(), kind: kind.clone().into() };
        let (group, version) = (group.to_owned(), version.to_owned());
        let served = Served { group, version, kind, plural, namespaced, listable };
        let known = self.kinds.entry(named).or_insert_with(|| served.clone());
        // The kind of a binding is also that of a subresource's parent: what can be listed is what is meant.
        if !known.listable && served.listable {
            *known = served;
        }
    }
}

/// The versions of a group, the one that our types are made for first.
fn in_order<T>(group: &str, mut versions: Vec<T>, name: impl Fn(&T) -> &String) -> Vec<T> {
    let understood = UNDERSTOOD.iter().find(|(of, _)| *of == group).map(|(_, version)| *version);
    versions.sort_by_key(|version| Some(name(version).as_str()) != understood);
    versions
}

fn ordered(groups: Vec<LegacyGroup>) -> Vec<(String, String)> {
    let of = |group: LegacyGroup| {
        let LegacyGroup { name, mut versions, preferred_version } = group;
        let preferred = preferred_version.map(|preferred| preferred.version).unwrap_or_default();
        versions.sort_by_key(|version| version.version != preferred);
        let versions = in_order(&name, versions, |version| &version.version);
        versions.into_iter().map(move |version| (name.clone(), version.version))
    };
    groups.into_iter().flat_map(of).collect()
}

/// A part of a path or of a query, with everything escaped that could end it.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// The answer at `/api` and `/apis`, in the new form and the old ones.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Root {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    items: Vec<Group>,
    #[serde(default)]
    groups: Vec<LegacyGroup>,
    #[serde(default)]
    versions: Vec<String>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: Name,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Default, Deserialize)]
struct Name {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Resource>,
    #[serde(default)]
    freshness: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Resource {
    resource: String,
    #[serde(default)]
    response_kind: Option<ResponseKind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct ResponseKind {
    #[serde(default)]
    kind: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LegacyGroup {
    name: String,
    #[serde(default)]
    versions: Vec<LegacyVersion>,
    #[serde(default)]
    preferred_version: Option<LegacyVersion>,
}

#[derive(Deserialize)]
struct LegacyVersion {
    version: String,
}

#[derive(Default, Deserialize)]
struct Resources {
    #[serde(default)]
    resources: Vec<LegacyResource>,
}

#[derive(Deserialize)]
struct LegacyResource {
    name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}
