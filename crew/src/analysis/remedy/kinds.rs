//! Which objects can be mended, and where they are.

use asya_analysis::{Finding, GroupKind, ObjectRef};

/// A kind that can be mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mendable {
    pub(super) kind: &'static str,
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    /// Where its pods are described; none: it has none.
    pub(super) pods: Option<&'static [&'static str]>,
}

const TEMPLATE: Option<&[&str]> = Some(&["spec", "template"]);

/// All of them.
const KINDS: [Mendable; 6] = [
    Mendable { kind: "Pod", group: "", version: "v1", plural: "pods", pods: Some(&[]) },
    Mendable { kind: "Service", group: "", version: "v1", plural: "services", pods: None },
    Mendable { kind: "Deployment", group: "apps", version: "v1", plural: "deployments", pods: TEMPLATE },
    Mendable { kind: "StatefulSet", group: "apps", version: "v1", plural: "statefulsets", pods: TEMPLATE },
    Mendable { kind: "DaemonSet", group: "apps", version: "v1", plural: "daemonsets", pods: TEMPLATE },
    Mendable { kind: "Ingress", group: "networking.k8s.io", version: "v1", plural: "ingresses", pods: None },
];

impl Mendable {
    /// The kind of this name, in Kubernetes' own groups.
    pub(super) fn named(kind: &str) -> Option<Self> {
        KINDS.into_iter().find(|known| known.kind == kind)
    }

    /// The kind of an object; one of the same name in another group is another kind.
    pub(super) fn of(kind: &GroupKind) -> Option<Self> {
        Self::named(&kind.kind).filter(|known| known.group == kind.group)
    }

    /// What its objects say in `apiVersion`.
    pub(super) fn api_version(self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// As a client addresses it.
    pub(super) fn resource(self) -> kube::api::ApiResource {
        let of = kube::api::GroupVersionKind::gvk(self.group, self.version, self.kind);
        kube::api::ApiResource::from_gvk_with_plural(&of, self.plural)
    }
}

/// The object that a finding is mended at: the owner at the top, or the object itself where nobody owns it.
pub(super) fn target(finding: &Finding) -> &ObjectRef {
    finding.parent.as_ref().unwrap_or(&finding.object)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_may_name_each_of_them_and_no_other() {
        let mut named = asya_resources::k8sgpt::ai::CHANGEABLE;
        let mut known = KINDS.map(|known| known.kind);
        named.sort_unstable();
        known.sort_unstable();
        assert_eq!(named, known);
    }

    #[test]
    fn a_kind_of_another_group_is_another_kind() {
        let of = |group: &'static str, kind: &'static str| {
            Mendable::of(&GroupKind::new(group, kind)).map(Mendable::api_version)
        };
        assert_eq!(of("apps", "Deployment").as_deref(), Some("apps/v1"));
        assert_eq!(of("", "Pod").as_deref(), Some("v1"));
        for (group, kind) in [("serving.knative.dev", "Service"), ("metrics.k8s.io", "Pod"), ("", "Secret")] {
            assert_eq!(of(group, kind), None, "{group}/{kind}");
        }
    }
}
