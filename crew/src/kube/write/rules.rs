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
}

impl Rules {
    /// Namespaces and kinds by globs. Those of the cluster's own take a glob that begins with `kube-`, and `own`, in which
    /// the tool runs, takes its name.
    #[must_use]
    pub fn new(namespaces: Vec<String>, kinds: Vec<String>, own: Option<String>) -> Self {
        let own_named = own.as_ref().is_some_and(|own| namespaces.contains(own));
        let system = namespaces.iter().filter(|glob| glob.starts_with(SYSTEM)).cloned().collect();
        Self {
            namespaces: Namespaces::matching(namespaces),
            system: Namespaces::matching(system),
            own,
            own_named,
            kinds,
        }
    }

    /// Whether an object of this kind in this namespace may be changed.
    ///
    /// # Errors
    /// Why not, and what setting would allow it.
    pub(super) fn check(&self, kind: &Served, namespace: Option<&str>) -> Result<(), Refused> {
        let group = if kind.group.is_empty() { "core" } else { &kind.group };
        let full = format!("{group}/{}", kind.kind);
        let named = self.kinds.iter().any(|glob| glob::matches(glob, &full));
        if GUARDED.iter().any(|glob| glob::matches(glob, &full)) && !named {
            return refuse(format!(
                "{full} is not changed by this tool: it can give rights or show secrets. Whoever runs it can allow it with \
                 ASYA_KUBE_WRITE_KINDS"
            ));
        }
        let Some(namespace) = namespace else {
            if named {
                return Ok(());
            }
            return refuse(format!(
                "{full} belongs to no namespace, so a change of it concerns everybody. Whoever runs this tool can allow it \
                 with ASYA_KUBE_WRITE_KINDS"
            ));
        };
        let open = if namespace.starts_with(SYSTEM) { &self.system } else { &self.namespaces };
        let closed = self.own.as_deref() == Some(namespace) && !self.own_named;
        if closed && open.contains(namespace) {
            return refuse(format!(
                "nothing is changed in namespace {namespace:?}, in which this tool itself runs. Whoever runs it can allow it \
                 with the name, without *, in ASYA_KUBE_NAMESPACES"
            ));
        }
        if !open.contains(namespace) {
            return refuse(format!(
                "nothing is changed in namespace {namespace:?}; namespaces that may be changed: {}. Whoever runs this tool \
                 can allow it with ASYA_KUBE_NAMESPACES",
                self.namespaces
            ));
        }
        Ok(())
    }
}
