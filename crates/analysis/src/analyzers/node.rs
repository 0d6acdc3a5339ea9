//! Nodes: the conditions that the kubelet, node-problem-detector and cloud providers set, and nodes that take no pods.

use k8s_openapi::api::core::v1::{Node, NodeCondition, NodeSpec};

use super::words::{because, names};
use crate::analyzer::Analyzer;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::view::View;

/// Endings of condition types whose `True` is good: `Ready`, `KernelReady` and `NetworkingReady` (EKS), `EtcdIsVoter` (k3s
/// and RKE2). The `True` of every other type is a problem: `DiskPressure`, `KernelDeadlock`, `VMEventScheduled`.
const GOOD: [&str; 10] = [
    "Ready",
    "Healthy",
    "Available",
    "Reachable",
    "Initialized",
    "Registered",
    "Succeeded",
    "Synced",
    "Voter",
    "OK",
];

/// The conditions of the kubelet and of the network, by the code of their failure.
const OWN: [(&str, &str); 4] = [
    ("MemoryPressure", "NodeMemoryPressure"),
    ("DiskPressure", "NodeDiskPressure"),
    ("PIDPressure", "NodePidPressure"),
    ("NetworkUnavailable", "NodeNetworkUnavailable"),
];

/// Conditions of node-problem-detector and of cloud providers with which a node does not work any more. Other problems,
/// such as `VMEventScheduled` or `FrequentKubeletRestart`, warn.
const BROKEN: [&str; 7] = [
    "KernelDeadlock",
    "ReadonlyFilesystem",
    "XfsShutdown",
    "FilesystemCorruptionProblem",
    "KubeletProblem",
    "KubeletUnhealthy",
    "ContainerRuntimeProblem",
];

/// Taints by which somebody says why a node takes no pods, or that it goes.
const LEAVING: [(&str, &str); 6] = [
    ("ToBeDeletedByClusterAutoscaler", "the cluster autoscaler removes it"),
    ("DeletionCandidateOfClusterAutoscaler", "the cluster autoscaler may remove it"),
    ("karpenter.sh/disrupted", "Karpenter replaces it"),
    ("karpenter.sh/disruption", "Karpenter replaces it"),
    ("node.kubernetes.io/out-of-service", "it was taken out of service"),
    ("node.cloudprovider.kubernetes.io/shutdown", "the cloud provider has shut it down"),
];

/// Looks at nodes.
pub(crate) struct NodeAnalyzer;

impl Analyzer for NodeAnalyzer {
    fn name(&self) -> &'static str {
        "Node"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<Node>()
    }

    fn analyze(&self, object: &Object, _: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let node: Node = object.typed()?;
        let spec = node.spec.unwrap_or_default();
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        let leaving = leaving(&spec).filter(|(_, key, _)| *key != "DeletionCandidateOfClusterAutoscaler");
        let look = Look {
            object,
            at: object.reference(),
            leaves: object.deleted().is_some() || leaving.is_some(),
            silent: conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "Unknown"),
        };
        for (n, condition) in conditions.iter().enumerate() {
            look.condition(n, condition, report);
        }
        look.cordoned(&spec, report);
        Ok(())
    }
}

/// The first taint that says why, with its index.
fn leaving(spec: &NodeSpec) -> Option<(usize, &'static str, &'static str)> {
    spec.taints.iter().flatten().enumerate().find_map(|(n, taint)| {
        LEAVING.iter().find(|(key, _)| *key == taint.key).map(|(key, why)| (n, *key, *why))
    })
}

/// Whether `True` is the good state of conditions of this type.
fn good_when_true(type_: &str) -> bool {
    GOOD.iter().any(|ending| {
        type_.strip_suffix(ending).is_some_and(|rest| !rest.ends_with("Not") && !rest.ends_with("Un"))
    })
}

struct Look<'a> {
    object: &'a Object,
    at: ObjectRef,
    /// Whether the node is being removed: that it stops is what was asked for.
    leaves: bool,
    /// Whether the kubelet has stopped telling: its other conditions are unknown for the same reason.
    silent: bool,
}

impl Look<'_> {
    fn condition(&self, n: usize, condition: &NodeCondition, report: &mut Report) {
        let type_ = condition.type_.as_str();
        let (code, severity, what) = match (type_, condition.status.as_str()) {
            ("Ready", "False") => ("NodeNotReady", self.unless_leaving(), "is not ready".to_owned()),
            ("Ready", "Unknown") => (
                "NodeUnreachable",
                self.unless_leaving(),
                "does not answer: its kubelet has stopped telling".to_owned(),
            ),
            // A member that is not yet a voter is learning; the others are enough without it.
            ("EtcdIsVoter", _) => return,
            (_, status) if status == if good_when_true(type_) { "True" } else { "False" } => return,
            (_, "True" | "False") => match OWN.iter().find(|(known, _)| *known == type_) {
                Some((_, code)) => (*code, Severity::Error, format!("has {type_}")),
                None if BROKEN.contains(&type_) => ("NodeBroken", Severity::Error, format!("has {type_}")),
                None if good_when_true(type_) => {
                    ("NodeProblem", Severity::Warning, format!("is not {type_}"))
                }
                None => ("NodeProblem", Severity::Warning, format!("has {type_}")),
            },
            (_, "Unknown") if self.silent => return,
            (_, "Unknown") => {
                ("NodeConditionUnknown", Severity::Info, format!("does not say whether it has {type_}"))
            }
            _ => return,
        };
        let why = because(condition.reason.as_deref(), condition.message.as_deref());
        report.fail(
            Failure::new(code, severity, format!("node {} {what}{why}", self.at.name))
                .seen(&self.at, format!(".status.conditions[{n}].status"), condition.status.clone())
                .hides(names(self.object))
                .explained_by("node.status.conditions"),
        );
    }

    const fn unless_leaving(&self) -> Severity {
        if self.leaves { Severity::Info } else { Severity::Critical }
    }

    fn cordoned(&self, spec: &NodeSpec, report: &mut Report) {
        if spec.unschedulable == Some(true) {
            let leaving = leaving(spec);
            let why = leaving.map_or("somebody cordoned it", |(_, _, why)| why);
            let text = format!("node {} takes no new pods: {why}", self.at.name);
            let mut failure = Failure::new("NodeCordoned", Severity::Info, text)
                .seen(&self.at, ".spec.unschedulable", "true".to_owned())
                .hides(names(self.object))
                .explained_by("node.spec.unschedulable");
            if let Some((n, key, _)) = leaving {
                failure = failure.seen(&self.at, format!(".spec.taints[{n}].key"), key.to_owned());
            }
            report.fail(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{cluster_object, codes, look};

    fn node(spec: Value, conditions: &[(&str, &str)]) -> Object {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(type_, status)| json!({"type": type_, "status": status, "reason": "Because", "message": "of it"}))
            .collect();
        cluster_object("v1", "Node", "n1", json!({"spec": spec, "status": {"conditions": conditions}}))
    }

    #[test]
    fn cases() {
        let taint =
            |key: &str| json!({"unschedulable": true, "taints": [{"key": key, "effect": "NoSchedule"}]});
        let cases: [(&str, Object, &[&str]); 16] = [
            ("no status yet", cluster_object("v1", "Node", "n1", json!({})), &[]),
            (
                "healthy",
                node(
                    json!({}),
                    &[
                        ("Ready", "True"),
                        ("MemoryPressure", "False"),
                        ("DiskPressure", "False"),
                        ("PIDPressure", "False"),
                        ("NetworkUnavailable", "False"),
                    ],
                ),
                &[],
            ),
            ("not ready", node(json!({}), &[("Ready", "False")]), &["NodeNotReady"]),
            (
                "silent, once",
                node(
                    json!({}),
                    &[("MemoryPressure", "Unknown"), ("DiskPressure", "Unknown"), ("Ready", "Unknown")],
                ),
                &["NodeUnreachable"],
            ),
            (
                "one unknown on a node that answers",
                node(json!({}), &[("DiskPressure", "Unknown"), ("Ready", "True")]),
                &["NodeConditionUnknown"],
            ),
            ("memory", node(json!({}), &[("MemoryPressure", "True")]), &["NodeMemoryPressure"]),
            ("disk", node(json!({}), &[("DiskPressure", "True")]), &["NodeDiskPressure"]),
            ("processes", node(json!({}), &[("PIDPressure", "True")]), &["NodePidPressure"]),
            ("network", node(json!({}), &[("NetworkUnavailable", "True")]), &["NodeNetworkUnavailable"]),
            ("a kernel in deadlock", node(json!({}), &[("KernelDeadlock", "True")]), &["NodeBroken"]),
            ("an event of the cloud", node(json!({}), &[("VMEventScheduled", "True")]), &["NodeProblem"]),
            (
                "a type that nobody knows, true",
                node(json!({}), &[("CoffeeMachineLeaks", "True")]),
                &["NodeProblem"],
            ),
            ("a status that nobody knows", node(json!({}), &[("Ready", "Perhaps"), ("Odd", "")]), &[]),
            ("cordoned", node(json!({"unschedulable": true}), &[("Ready", "True")]), &["NodeCordoned"]),
            (
                "cordoned and gone",
                node(taint("ToBeDeletedByClusterAutoscaler"), &[("Ready", "Unknown")]),
                &["NodeCordoned", "NodeUnreachable"],
            ),
            (
                "other taints are the owner's",
                node(json!({"taints": [{"key": "gpu", "effect": "NoSchedule"}]}), &[("Ready", "True")]),
                &[],
            ),
        ];
        for (name, node, expected) in cases {
            assert_eq!(codes(&look(&["Node"], &node, &[])), expected, "{name}");
        }
    }

    #[test]
    fn unknown_conditions_that_are_false_are_no_problem() {
        let problems = [
            "KernelDeadlock",
            "ReadonlyFilesystem",
            "CorruptDockerOverlay2",
            "FrequentKubeletRestart",
            "FrequentDockerRestart",
            "FrequentContainerdRestart",
            "FrequentUnregisterNetDevice",
            "NTPProblem",
            "VMEventScheduled",
            "KubeletProblem",
            "FilesystemCorruptionProblem",
            "ContainerRuntimeProblem",
            "KubeletUnhealthy",
            "NetworkUnavailable",
            "AnyThing",
        ];
        for type_ in problems {
            assert!(
                codes(&look(&["Node"], &node(json!({}), &[(type_, "False")]), &[])).is_empty(),
                "{type_}"
            );
            assert_eq!(
                codes(&look(&["Node"], &node(json!({}), &[(type_, "True")]), &[])).len(),
                1,
                "{type_}"
            );
        }
    }

    #[test]
    fn conditions_whose_true_is_good_are_problems_when_false() {
        for type_ in [
            "KernelReady",
            "NetworkingReady",
            "StorageReady",
            "ContainerRuntimeReady",
            "AcceleratedHardwareReady",
        ] {
            assert!(codes(&look(&["Node"], &node(json!({}), &[(type_, "True")]), &[])).is_empty(), "{type_}");
            assert_eq!(
                codes(&look(&["Node"], &node(json!({}), &[(type_, "False")]), &[])),
                ["NodeProblem"],
                "{type_}"
            );
        }
        for status in ["True", "False"] {
            assert!(codes(&look(&["Node"], &node(json!({}), &[("EtcdIsVoter", status)]), &[])).is_empty());
        }
        for type_ in ["KubeletNotReady", "RuntimeUnhealthy"] {
            assert!(
                codes(&look(&["Node"], &node(json!({}), &[(type_, "False")]), &[])).is_empty(),
                "{type_}"
            );
        }
    }

    #[test]
    fn a_node_that_is_being_removed_may_stop() {
        let severity = |spec: Value| {
            let found = look(&["Node"], &node(spec, &[("Ready", "False")]), &[]);
            found.report.failures().iter().map(|failure| failure.severity).max().unwrap()
        };
        assert_eq!(severity(json!({})), Severity::Critical);
        assert_eq!(
            severity(json!({"unschedulable": true})),
            Severity::Critical,
            "a cordoned node should still answer"
        );
        let taints = json!({"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]});
        assert_eq!(severity(taints), Severity::Info);
    }

    #[test]
    fn a_cordoned_node_says_who_did_it_where_a_taint_tells() {
        let spec = json!({"unschedulable": true, "taints": [{"key": "x", "effect": "NoSchedule"},
            {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]});
        let found = look(&["Node"], &node(spec, &[("Ready", "True")]), &[]);
        let failure = &found.report.failures()[0];
        assert_eq!(failure.text, "node n1 takes no new pods: the cluster autoscaler removes it");
        assert_eq!(failure.evidence[1].path, ".spec.taints[1].key");
        assert_eq!(failure.severity, Severity::Info);
    }
}
