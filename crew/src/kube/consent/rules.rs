//! What may be changed at all, whoever asks and whoever approves.

use asya_cluster::{Served, namespaces::Namespaces};
use asya_envelope::glob;

use super::refused::{Refused, refuse};

/// Kinds that give rights, hold secrets, decide about all other changes, or say what agents may, as `group/Kind`; the core
/// group is called `core`.
const GUARDED: [&str; 12] = [
    "core/Secret",
    "core/ServiceAccount",
    "rbac.authorization.k8s.io/*",
    "authentication.k8s.io/*",
    "authorization.k8s.io/*",
    "certificates.k8s.io/*",
    "admissionregistration.k8s.io/*",
    "apiextensions.k8s.io/*",
    "apiregistration.k8s.io/*",
    "core.k8sgpt.ai/*",
    "asya.sh/*",
    "agents.asya.sh/*",
];
/// The kind of namespaces themselves.
const NAMESPACE: &str = "core/Namespace";
/// What namespaces of the cluster's own begin with.
const SYSTEM: &str = "kube-";

/// Which objects may be changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    namespaces: Namespaces,
    /// Those of the globs that themselves begin with [`SYSTEM`]: a `*` never means the cluster's own.
    system: Namespaces,
    /// The namespace of the tool itself, which is never meant by a glob either: what guards it runs there.
    own: Option<String>,
    /// Whether one of the globs is the name of `own`.
    own_named: bool,
    /// Globs of guarded kinds, and of kinds without namespaces, that may be changed all the same.
    kinds: Vec<String>,
    /// The variables that say namespaces and kinds.
    variables: [&'static str; 2],
}

impl Rules {
    /// Namespaces and kinds by globs. Those of the cluster's own take a glob that begins with `kube-`, and `own`, in which
    /// the tool runs, takes its name. `variables` are where whoever runs the tool says the two.
    #[must_use]
    pub fn new(
        namespaces: Vec<String>,
        kinds: Vec<String>,
        own: Option<String>,
        variables: [&'static str; 2],
    ) -> Self {
        let own_named = own.as_ref().is_some_and(|own| namespaces.contains(own));
        let system = namespaces.iter().filter(|glob| glob.starts_with(SYSTEM)).cloned().collect();
        Self {
            namespaces: Namespaces::matching(namespaces),
            system: Namespaces::matching(system),
            own,
            own_named,
            kinds,
            variables,
        }
    }

    /// Whether the object of this kind, namespace and name may be changed. A namespace itself is in the namespace of its
    /// name: to change or delete it is to change everything in it.
    ///
    /// # Errors
    /// Why not, and what setting would allow it.
    pub(crate) fn check(&self, kind: &Served, namespace: Option<&str>, name: &str) -> Result<(), Refused> {
        let group = if kind.group.is_empty() { "core" } else { &kind.group };
        let full = format!("{group}/{}", kind.kind);
        let named = self.kinds.iter().any(|glob| glob::matches(glob, &full));
        let [_, setting] = self.variables;
        if GUARDED.iter().any(|glob| glob::matches(glob, &full)) && !named {
            return refuse(format!(
                "{full} is not changed by this tool: it can give rights or show secrets. Whoever runs it can allow it with \
                 {setting}"
            ));
        }
        if namespace.is_none() && !named {
            return refuse(format!(
                "{full} belongs to no namespace, so a change of it concerns everybody. Whoever runs this tool can allow it \
                 with {setting}"
            ));
        }
        match namespace.or_else(|| (full == NAMESPACE).then_some(name)) {
            Some(namespace) => self.check_namespace(namespace),
            None => Ok(()),
        }
    }

    /// Whether anything in this namespace may be changed.
    ///
    /// # Errors
    /// Why not, and what setting would allow it.
    pub(crate) fn check_namespace(&self, namespace: &str) -> Result<(), Refused> {
        let [setting, _] = self.variables;
        let open = if namespace.starts_with(SYSTEM) { &self.system } else { &self.namespaces };
        let closed = self.own.as_deref() == Some(namespace) && !self.own_named;
        if closed && open.contains(namespace) {
            return refuse(format!(
                "nothing is changed in namespace {namespace:?}, in which this tool itself runs. Whoever runs it can allow it \
                 with the name, without *, in {setting}"
            ));
        }
        if !open.contains(namespace) {
            return refuse(format!(
                "nothing is changed in namespace {namespace:?}; namespaces that may be changed: {}. Whoever runs this tool \
                 can allow it with {setting}",
                self.namespaces
            ));
        }
        Ok(())
    }
}
