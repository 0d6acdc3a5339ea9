//! What may be read through an [`Api`](crate::Api), and for whom: asked before each question, by its path.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use kube::Client;

use crate::api::Refusal;
use crate::namespaces::Namespaces;
use crate::review::{Person, Right};

/// Kinds that are in no namespace, of every cluster: whoever may read some namespaces only may list these.
const CLUSTER: [&str; 14] = [
    "namespaces",
    "nodes",
    "persistentvolumes",
    "certificatesigningrequests.certificates.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "clusterroles.rbac.authorization.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "ingressclasses.networking.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "nodes.metrics.k8s.io",
    "priorityclasses.scheduling.k8s.io",
    "storageclasses.storage.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "volumeattachments.storage.k8s.io",
];

/// Lets only those questions pass whose objects are in certain namespaces and that a person may ask.
///
/// What the discovery answers says which kinds there are and nothing of objects; it always passes.
pub struct Fence {
    namespaces: Namespaces,
    person: Option<(Client, Person)>,
    /// What reviews have said of the person so far: asked once for one call of a tool, and anew for the next.
    reviewed: Mutex<BTreeMap<Right, bool>>,
}

impl Fence {
    /// Around these namespaces.
    #[must_use]
    pub fn around(namespaces: Namespaces) -> Self {
        Self { namespaces, person: None, reviewed: Mutex::default() }
    }

    /// And for this person, whose rights `client` has reviewed.
    #[must_use]
    pub fn reviewing(self, client: Client, person: Person) -> Self {
        Self { person: Some((client, person)), ..self }
    }

    /// The namespaces around which it is.
    #[must_use]
    pub const fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// Lets a GET of this path pass, or not.
    pub(crate) async fn lets(&self, path: &str) -> Result<(), Refusal> {
        let right = match reading(path) {
            Some(Reading::Discovery) => return Ok(()),
            Some(Reading::Objects(right)) => right,
            None => return Err(Refusal::Denied(format!("{path} is no path of objects"))),
        };
        self.inside(&right)?;
        let Some((client, person)) = &self.person else { return Ok(()) };
        // Who may read any may read each; only who may not is asked about by name.
        let any = Right { name: None, ..right.clone() };
        if self.may(client, person, &any).await? || (any != right && self.may(client, person, &right).await?)
        {
            return Ok(());
        }
        Err(Refusal::Denied(format!(
            "{} may not {right}; ask an administrator of the cluster for that right",
            person.user
        )))
    }

    fn inside(&self, right: &Right) -> Result<(), Refusal> {
        let these = &self.namespaces;
        let inside = match (&right.namespace, &right.name) {
            (Some(namespace), _) => these.contains(namespace),
            // With a name and without a namespace it is an object of the cluster.
            (None, Some(_)) => true,
            (None, None) => these.is_all() || CLUSTER.contains(&right.full_name().as_str()),
        };
        if inside {
            return Ok(());
        }
        let place = right.namespace.as_ref();
        let place = place.map_or("all namespaces".to_owned(), |namespace| format!("namespace {namespace}"));
        Err(Refusal::Denied(format!(
            "{} of {place} may not be read here; the namespaces that may are: {these}",
            right.full_name()
        )))
    }

    async fn may(&self, client: &Client, person: &Person, right: &Right) -> Result<bool, Refusal> {
        let known = self.reviewed.lock().ok().and_then(|reviewed| reviewed.get(right).copied());
        if let Some(allowed) = known {
            return Ok(allowed);
        }
        let said = person.may(client, right).await.map_err(|error| {
            Refusal::Failed(format!("whether {} may {right} could not be reviewed: {error}", person.user))
        })?;
        if let Ok(mut reviewed) = self.reviewed.lock() {
            reviewed.insert(right.clone(), said.allowed);
        }
        Ok(said.allowed)
    }
}

impl fmt::Debug for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let person = self.person.as_ref().map(|(_, person)| person);
        f.debug_struct("Fence").field("namespaces", &self.namespaces).field("person", &person).finish()
    }
}

/// What a GET of a path reads.
#[derive(Debug, PartialEq, Eq)]
enum Reading {
    /// Which kinds there are, and the version of the cluster.
    Discovery,
    /// Objects, or one.
    Objects(Right),
}

/// The right that a GET of this path takes, as the API server sees it; none: it is no path that we know.
fn reading(path: &str) -> Option<Reading> {
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<String> = path.strip_prefix('/')?.split('/').map(decoded).collect::<Option<_>>()?;
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if parts.iter().any(|part| part.is_empty() || matches!(*part, "." | "..")) {
        return None;
    }
    let (group, rest) = match parts.as_slice() {
        ["version" | "openapi", ..] | ["api"] | ["api", _] | ["apis"] | ["apis", _] | ["apis", _, _] => {
            return Some(Reading::Discovery);
        }
        ["api", _, rest @ ..] => ("", rest),
        ["apis", group, _, rest @ ..] => (*group, rest),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() && !of_namespaces(rest[0]) => {
            (Some(*namespace), rest)
        }
        // A namespace is in itself.
        ["namespaces", namespace, ..] if group.is_empty() => (Some(*namespace), rest),
        rest => (None, rest),
    };
    let (resource, name, subresource) = match rest {
        [resource] => (*resource, None, ""),
        [resource, name] => (*resource, Some(*name), ""),
        [resource, name, subresource] => (*resource, Some(*name), *subresource),
        _ => return None,
    };
    Some(Reading::Objects(Right {
        verb: if name.is_some() { "get" } else { "list" }.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.map(str::to_owned),
    }))
}

/// Parts of a Namespace itself.
fn of_namespaces(part: &str) -> bool {
    matches!(part, "status" | "finalize")
}

/// A part of a path without its escapes; none: they are broken, or hide a slash.
fn decoded(part: &str) -> Option<String> {
    let mut bytes = part.bytes();
    let mut out = Vec::with_capacity(part.len());
    while let Some(byte) = bytes.next() {
        let byte = match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        };
        out.push(byte);
    }
    String::from_utf8(out).ok().filter(|part| !part.contains('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(verb: &str, group: &str, resource: &str, place: (Option<&str>, Option<&str>)) -> Reading {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        Reading::Objects(Right {
            verb: verb.to_owned(),
            group: group.to_owned(),
            resource: resource.to_owned(),
            subresource: subresource.to_owned(),
            namespace: place.0.map(str::to_owned),
            name: place.1.map(str::to_owned),
        })
    }

    #[test]
    fn the_right_is_that_of_the_path() {
        for (path, expected) in [
            ("/api/v1/pods?limit=1", right("list", "", "pods", (None, None))),
            ("/api/v1/namespaces/shop/pods", right("list", "", "pods", (Some("shop"), None))),
            (
                "/api/v1/namespaces/shop/pods/web/log?tailLines=5",
                right("get", "", "pods/log", (Some("shop"), Some("web"))),
            ),
            (
                "/apis/apps/v1/namespaces/shop/deployments/web",
                right("get", "apps", "deployments", (Some("shop"), Some("web"))),
            ),
            ("/api/v1/namespaces", right("list", "", "namespaces", (None, None))),
            ("/api/v1/namespaces/shop", right("get", "", "namespaces", (Some("shop"), Some("shop")))),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
                right("get", "rbac.authorization.k8s.io", "clusterroles", (None, Some("system:node"))),
            ),
            ("/api/v1/nodes/n1", right("get", "", "nodes", (None, Some("n1")))),
        ] {
            assert_eq!(reading(path), Some(expected), "{path}");
        }
        for path in ["/version", "/api", "/api/v1", "/apis", "/apis/apps/v1", "/openapi/v3"] {
            assert_eq!(reading(path), Some(Reading::Discovery), "{path}");
        }
    }

    #[test]
    fn a_path_that_could_mean_something_else_is_none() {
        for path in [
            "pods",
            "/logs",
            "/metrics",
            "/api/v1/namespaces/shop/pods/a%2Fb",
            "/api/v1/namespaces/../secrets",
            "/api/v1/namespaces/%2e%2e/secrets",
            "/api/v1//secrets",
            "/api/v1/namespaces/shop/pods/%zz",
            "/api/v1/namespaces/shop/pods/web/proxy/secret/path",
        ] {
            assert_eq!(reading(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_outside_stays_outside() {
        let fence = Fence::around(Namespaces::matching(vec!["shop".to_owned()]));
        let passes = |path: &str| match reading(path) {
            Some(Reading::Objects(right)) => fence.inside(&right).is_ok(),
            _ => panic!("{path}"),
        };
        for path in
            ["/api/v1/namespaces/shop/pods", "/api/v1/nodes", "/api/v1/nodes/n1", "/api/v1/namespaces"]
        {
            assert!(passes(path), "{path}");
        }
        for path in [
            "/api/v1/namespaces/pay/pods",
            "/api/v1/pods",
            "/api/v1/namespaces/pay",
            "/apis/example.com/v1/things",
        ] {
            assert!(!passes(path), "{path}");
        }
    }
}
