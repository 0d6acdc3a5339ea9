//! Network policies: those that protect nobody, and those that open what they seem to close.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::networking::v1::{NetworkPolicy, NetworkPolicyPeer, NetworkPolicySpec};

use crate::analyzer::Analyzer;
use crate::analyzers::pod_maker::{MAKE_PODS, making};
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::selector::Selector;
use crate::view::View;

/// Looks at network policies.
pub(crate) struct NetworkPolicyAnalyzer;

impl Analyzer for NetworkPolicyAnalyzer {
    fn name(&self) -> &'static str {
        "NetworkPolicy"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<NetworkPolicy>()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let policy: NetworkPolicy = object.typed()?;
        let Some(spec) = policy.spec.as_ref() else { return Ok(()) };
        let selector = spec.pod_selector.as_ref().map(Selector::from).unwrap_or_default();
        let look = Look { object, at: object.reference(), spec };
        if selector.is_everything() {
            // The policy of a whole namespace. Without rules it denies by default, which is what it should do; with a
            // rule for everybody it opens every pod, and no other policy closes them: policies only add.
            look.open(report);
        } else {
            look.unused(&selector, view, report);
        }
        Ok(())
    }
}

struct Look<'a> {
    object: &'a Object,
    at: ObjectRef,
    spec: &'a NetworkPolicySpec,
}

/// Who is let in, or where to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// Some.
    Some,
    /// Every pod of every namespace.
    EveryPod,
    /// Everybody, in the cluster and outside.
    Everybody,
}

impl Look<'_> {
    /// What a policy without a selector really opens. A rule for some ports only is not told: DNS for all pods is one.
    fn open(&self, report: &mut Report) {
        let rules = self.spec.ingress.iter().flatten().enumerate();
        for (n, rule) in rules.filter(|_| self.governs("Ingress")) {
            if rule.ports.as_ref().is_none_or(Vec::is_empty) {
                self.opens(reach(rule.from.as_deref()), Direction::In, n, report);
            }
        }
        let rules = self.spec.egress.iter().flatten().enumerate();
        for (n, rule) in rules.filter(|_| self.governs("Egress")) {
            if rule.ports.as_ref().is_none_or(Vec::is_empty) {
                self.opens(reach(rule.to.as_deref()), Direction::Out, n, report);
            }
        }
    }

    /// Without `policyTypes` a policy is about what comes in, and about what goes out if it has such rules.
    fn governs(&self, direction: &str) -> bool {
        match self.spec.policy_types.as_deref() {
            None | Some([]) => {
                direction == "Ingress" || self.spec.egress.as_ref().is_some_and(|rules| !rules.is_empty())
            }
            Some(types) => types.iter().any(|kind| kind == direction),
        }
    }

    fn opens(&self, reach: Reach, direction: Direction, rule: usize, report: &mut Report) {
        let (name, namespace) = (self.object.name(), self.object.namespace().unwrap_or_default());
        let (code, severity, what) = match (reach, direction) {
            (Reach::Some, _) | (Reach::EveryPod, Direction::Out) => return,
            (Reach::Everybody, Direction::In) => (
                "NetworkPolicyOpensToAll",
                Severity::Warning,
                format!("opens every pod of the namespace {namespace} to traffic from everywhere"),
            ),
            (Reach::Everybody, Direction::Out) => (
                "NetworkPolicyLetsAllOut",
                Severity::Info,
                format!("lets every pod of the namespace {namespace} connect to everywhere"),
            ),
            (Reach::EveryPod, Direction::In) => (
                "NetworkPolicyOpensToPods",
                Severity::Info,
                format!("opens every pod of the namespace {namespace} to every pod of the cluster"),
            ),
        };
        let (path, field) = match direction {
            Direction::In => (format!(".spec.ingress[{rule}]"), "networkpolicy.spec.ingress"),
            Direction::Out => (format!(".spec.egress[{rule}]"), "networkpolicy.spec.egress"),
        };
        let text = format!("NetworkPolicy {name} {what}; no other policy takes that back");
        report.fail(
            Failure::new(code, severity, text)
                .seen(&self.at, path, None)
                .hides([name, namespace])
                .explained_by(field),
        );
    }

    /// A policy whose selector matches no pod, and no pod that a workload of the namespace would make.
    fn unused(&self, selector: &Selector, view: &dyn View, report: &mut Report) {
        let code = "NetworkPolicyWithoutPods";
        let namespace = self.object.namespace();
        let about = format!("what {} selects", self.at);
        let pods = view.list(&GroupKind::of::<Pod>(), namespace, selector);
        let Some(pods) = report.listed(code, about.clone(), pods) else { return };
        if !pods.is_empty() {
            return;
        }
        let workloads = making(view, namespace, selector, &MAKE_PODS);
        let Some(workloads) = report.listed(code, about, workloads) else { return };
        if workloads.is_empty() {
            let text = format!(
                "NetworkPolicy {} applies to no pod: none has the labels {selector}",
                self.object.name()
            );
            report.fail(
                Failure::new(code, Severity::Warning, text)
                    .seen(&self.at, ".spec.podSelector", selector.to_string())
                    .hides([self.object.name()])
                    .explained_by("networkpolicy.spec.podSelector"),
            );
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

/// How far the peers of a rule reach; none at all is everybody.
fn reach(peers: Option<&[NetworkPolicyPeer]>) -> Reach {
    match peers {
        None | Some([]) => Reach::Everybody,
        Some(peers) => peers.iter().map(peer_reach).max().unwrap_or(Reach::Some),
    }
}

fn peer_reach(peer: &NetworkPolicyPeer) -> Reach {
    if let Some(block) = &peer.ip_block {
        let whole = ["0.0.0.0/0", "::/0"].contains(&block.cidr.as_str());
        let except = block.except.as_ref().is_some_and(|except| !except.is_empty());
        return if whole && !except { Reach::Everybody } else { Reach::Some };
    }
    let every = |selector: &k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector| {
        Selector::from(selector).is_everything()
    };
    let every_namespace = peer.namespace_selector.as_ref().is_some_and(every);
    if every_namespace && peer.pod_selector.as_ref().is_none_or(every) {
        Reach::EveryPod
    } else {
        Reach::Some
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{codes, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    fn policy(spec: Value) -> Object {
        object("networking.k8s.io/v1", "NetworkPolicy", "fence", json!({"spec": spec}))
    }

    fn pod(app: &str) -> Object {
        object("v1", "Pod", app, json!({"metadata": {"labels": {"app": app}}}))
    }

    #[test]
    fn cases() {
        let web = json!({"matchLabels": {"app": "web"}});
        let not_web = json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]});
        let world = json!([{"ipBlock": {"cidr": "0.0.0.0/0"}}]);
        let internet = json!([{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]);
        let cron = object(
            "batch/v1",
            "CronJob",
            "nightly",
            json!({"spec": {"jobTemplate": {"spec": {"template": {"metadata": {"labels": {"app": "web"}}}}}}}),
        );
        let cases: [(&str, Value, Vec<Object>, &[&str]); 17] = [
            ("applies", json!({"podSelector": web}), vec![pod("web")], &[]),
            ("applies to none", json!({"podSelector": web}), vec![pod("api")], &["NetworkPolicyWithoutPods"]),
            ("applies by expression", json!({"podSelector": not_web}), vec![pod("api")], &[]),
            (
                "no pod by expression",
                json!({"podSelector": not_web}),
                vec![pod("web")],
                &["NetworkPolicyWithoutPods"],
            ),
            ("pods that come and go", json!({"podSelector": web}), vec![cron], &[]),
            (
                "denies by default",
                json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}),
                vec![],
                &[],
            ),
            ("denies without a selector", json!({"policyTypes": ["Ingress"]}), vec![], &[]),
            ("opens all", json!({"podSelector": {}, "ingress": [{}]}), vec![], &["NetworkPolicyOpensToAll"]),
            (
                "opens all by address",
                json!({"podSelector": {}, "ingress": [{"from": world}]}),
                vec![],
                &["NetworkPolicyOpensToAll"],
            ),
            (
                "all but some addresses",
                json!({"podSelector": {}, "ingress": [{"from": internet}]}),
                vec![],
                &[],
            ),
            ("one port", json!({"podSelector": {}, "ingress": [{"ports": [{"port": 53}]}]}), vec![], &[]),
            (
                "one's own namespace",
                json!({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]}),
                vec![],
                &[],
            ),
            (
                "every namespace",
                json!({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {}}]}]}),
                vec![],
                &["NetworkPolicyOpensToPods"],
            ),
            (
                "some namespaces",
                json!({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {"matchExpressions": [
                    {"key": "team", "operator": "Exists"}]}}]}]}),
                vec![],
                &[],
            ),
            (
                "all out",
                json!({"podSelector": {}, "policyTypes": ["Egress"], "egress": [{}]}),
                vec![],
                &["NetworkPolicyLetsAllOut"],
            ),
            (
                "rules of a direction that it does not govern",
                json!({"podSelector": {}, "policyTypes": ["Egress"], "ingress": [{}]}),
                vec![],
                &[],
            ),
            ("opens some pods", json!({"podSelector": web, "ingress": [{}]}), vec![pod("web")], &[]),
        ];
        for (name, spec, others, expected) in cases {
            assert_eq!(codes(&look(&["NetworkPolicy"], &policy(spec), &others)), expected, "{name}");
        }
    }

    #[test]
    fn an_empty_selector_without_rules_is_a_default_deny_and_no_failure() {
        for spec in
            [json!({"podSelector": {}}), json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})]
        {
            assert!(codes(&look(&["NetworkPolicy"], &policy(spec), &[pod("web")])).is_empty());
        }
    }

    #[test]
    fn a_selector_of_expressions_alone_is_not_a_selector_of_everything() {
        let spec = json!({"podSelector": {"matchExpressions": [{"key": "app", "operator": "Exists"}]},
            "ingress": [{}]});
        assert!(codes(&look(&["NetworkPolicy"], &policy(spec), &[pod("web")])).is_empty());
    }

    #[test]
    fn pods_that_may_not_be_listed_leave_a_doubt() {
        let subject = policy(json!({"podSelector": {"matchLabels": {"app": "web"}}}));
        let mut inventory = Inventory::of([subject.clone()]);
        inventory.put_list(&GroupKind::of::<Pod>(), None, Err(Unverified::Forbidden));
        let found = look_in(&["NetworkPolicy"], &subject, &inventory);
        assert!(codes(&found).is_empty());
        assert!(found.report.doubtful().contains("NetworkPolicyWithoutPods"));
    }

    #[test]
    fn a_policy_of_odd_fields_is_in_doubt() {
        let found = look(&["NetworkPolicy"], &policy(json!({"podSelector": "web"})), &[]);
        assert!(codes(&found).is_empty() && found.report.doubtful().contains("*"));
    }
}
