//! ConfigMaps: nobody uses them, nothing is in them, or nothing more fits in.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;

use crate::analyzer::Analyzer;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::view::{Typed, View};

/// What the values of a ConfigMap may weigh together; the API server refuses more.
const LARGEST: usize = 1024 * 1024;

/// From here on a ConfigMap is nearly full: whatever adds to it will be refused soon.
pub(crate) const NEARLY: usize = LARGEST / 10 * 9;

/// How long a ConfigMap may wait for its first user: a chart makes it before the workload.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// Components of the cluster read the ConfigMaps of these namespaces through the API; no pod names them.
const SYSTEM_NAMESPACES: [&str; 3] = ["kube-system", "kube-public", "kube-node-lease"];

/// Made in every namespace by a controller of the cluster, for whoever wants them.
const EVERYWHERE: [&str; 3] = ["kube-root-ca.crt", "openshift-service-ca.crt", "istio-ca-root-cert"];

/// Labels of ConfigMaps that a program finds by the label: sidecars of Grafana, operators of Prometheus and Fluentd, Velero.
const DYNAMIC_LABELS: [&str; 7] = [
    "grafana_dashboard",
    "grafana_datasource",
    "grafana_alert",
    "prometheus_rule",
    "fluentd_config",
    "velero.io/plugin-config",
    "config.openshift.io/inject-trusted-cabundle",
];

/// The user says that a program loads it.
const LOADED: &str = "k8sgpt.ai/dynamically-loaded";

/// The user asks not to look for users.
const SKIP: &str = "k8sgpt.ai/skip-usage-check";

/// Systems that read all their ConfigMaps through the API, by the label `app.kubernetes.io/part-of`.
const PARTS: [&str; 5] =
    ["argocd", "knative-serving", "knative-eventing", "tekton-pipelines", "tekton-triggers"];

/// Looks at ConfigMaps.
pub(crate) struct ConfigMapAnalyzer;

impl Analyzer for ConfigMapAnalyzer {
    fn name(&self) -> &'static str {
        "ConfigMap"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<ConfigMap>()
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        // The type decodes binary data; only the sizes matter here, and they are in the text.
        let data = sizes(object, "data", str::len)?;
        let binary = sizes(object, "binaryData", decoded)?;
        let size: usize = data.iter().chain(&binary).sum();
        size_of(object, size, report);
        if is_system(object) {
            return Ok(());
        }
        if data.is_empty() && binary.is_empty() {
            let text = format!(
                "ConfigMap {} is empty: what mounts or reads it finds nothing",
                object.reference().path()
            );
            report.fail(Failure::new("ConfigMapEmpty", Severity::Info, text).seen(
                &object.reference(),
                ".data",
                None,
            ));
        }
        unused(object, view, report);
        Ok(())
    }
}

fn sizes(object: &Object, field: &str, size: impl Fn(&str) -> usize) -> Result<Vec<usize>, Malformed> {
    let malformed =
        |reason: String| Malformed { object: object.reference().to_string(), expected: "ConfigMap", reason };
    match object.value().get(field) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Object(values)) => values
            .iter()
            .map(|(key, value)| {
                value.as_str().map(&size).ok_or_else(|| malformed(format!("{field}.{key} is not a string")))
            })
            .collect(),
        Some(_) => Err(malformed(format!("{field} is not a map"))),
    }
}

/// How many bytes a base64 text stands for.
fn decoded(text: &str) -> usize {
    text.trim_end_matches('=').len() * 3 / 4
}

fn size_of(object: &Object, size: usize, report: &mut Report) {
    let (code, severity) = match size {
        0..NEARLY => return,
        NEARLY..=LARGEST => ("ConfigMapNearlyFull", Severity::Warning),
        _ => ("ConfigMapTooLarge", Severity::Error),
    };
    let text = format!(
        "ConfigMap {} holds {size} bytes of the {LARGEST} that the API server takes",
        object.reference().path()
    );
    let field = if object.value().get("data").is_some() { ".data" } else { ".binaryData" };
    report.fail(Failure::new(code, severity, text).seen(&object.reference(), field, None));
}

/// Made and read by the machinery of the cluster or of an operator: neither an empty nor an unused one is a fault.
fn is_system(object: &Object) -> bool {
    let (labels, annotations) = (object.labels(), object.annotations());
    let labelled =
        |key: &str, value: &str| labels.get(key).is_some_and(|label| label.eq_ignore_ascii_case(value));
    SYSTEM_NAMESPACES.contains(&object.namespace().unwrap_or_default())
        || EVERYWHERE.contains(&object.name())
        || DYNAMIC_LABELS.iter().any(|label| labels.contains_key(*label))
        || labelled(LOADED, "true")
        || annotations.get(SKIP).is_some_and(|skip| skip == "true")
        // Locks of leader election hold nothing and are named by nobody.
        || annotations.contains_key("control-plane.alpha.kubernetes.io/leader")
        // Releases of Helm 2 and 3 where they are kept in ConfigMaps.
        || labelled("owner", "helm")
        || labelled("OWNER", "TILLER")
        || PARTS.iter().any(|part| labelled("app.kubernetes.io/part-of", part))
}

fn unused(object: &Object, view: &dyn View, report: &mut Report) {
    // Its owner, mostly a custom resource, knows what it is for and takes it along when it goes.
    let owned = !object.owners().is_empty();
    let young = object.created().is_some_and(|created| !view.is_past(created, PATIENCE));
    if owned || young || object.deleted().is_some() {
        return;
    }
    let about = object.reference();
    let code = "ConfigMapUnused";
    let users = report.listed(code, format!("users of {about}"), view.users(&about));
    if users.is_some_and(|users| users.is_empty()) {
        let text = format!("no pod and no workload of its namespace uses ConfigMap {}", about.path());
        report.fail(Failure::new(code, Severity::Info, text).seen(
            &about,
            ".metadata.name",
            about.name.clone(),
        ));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;
    use crate::analyzers::testing::{codes, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;
    use k8s_openapi::api::apps::v1::Deployment;

    fn map(rest: Value) -> Object {
        object("v1", "ConfigMap", "settings", rest)
    }

    fn filled(rest: Value) -> Object {
        let mut value = map(rest).value().clone();
        value["data"] = json!({"a": "1"});
        Object::new(value).unwrap()
    }

    fn workload(kind: &str, spec: Value) -> Object {
        object("apps/v1", kind, "web", json!({"spec": {"replicas": 0, "template": {"spec": spec}}}))
    }

    #[test]
    fn cases() {
        let large = |size: usize| map(json!({"data": {"a": "x".repeat(size)}}));
        let used = [workload("Deployment", json!({"volumes": [{"configMap": {"name": "settings"}}]}))];
        let cases: [(&str, Object, &[Object], &[&str]); 11] = [
            ("used", filled(json!({})), &used, &[]),
            ("unused", filled(json!({})), &[], &["ConfigMapUnused"]),
            ("empty and used", map(json!({})), &used, &["ConfigMapEmpty"]),
            ("null is empty", map(json!({"data": null})), &used, &["ConfigMapEmpty"]),
            ("binary is something", map(json!({"binaryData": {"a": "AAAA"}})), &used, &[]),
            ("as large as may be", large(LARGEST), &used, &["ConfigMapNearlyFull"]),
            ("larger", large(LARGEST + 1), &used, &["ConfigMapTooLarge"]),
            ("half", large(LARGEST / 2), &used, &[]),
            (
                "base64 weighs more than it holds",
                map(json!({"binaryData": {"a": "A".repeat(LARGEST)}})),
                &used,
                &[],
            ),
            (
                "just made",
                filled(json!({"metadata": {"creationTimestamp": "2026-06-01T11:59:00Z"}})),
                &[],
                &[],
            ),
            (
                "made last month",
                filled(json!({"metadata": {"creationTimestamp": "2026-05-01T11:59:00Z"}})),
                &[],
                &["ConfigMapUnused"],
            ),
        ];
        for (name, subject, others, expected) in cases {
            let found = look(&["ConfigMap"], &subject, others);
            assert_eq!(codes(&found), expected, "{name}");
            assert!(found.report.doubts().is_empty(), "{name}");
        }
    }

    #[test]
    fn unused_is_worth_knowing_and_breaks_nothing() {
        let found = look(&["ConfigMap"], &filled(json!({})), &[]);
        assert_eq!(found.report.failures()[0].severity, Severity::Info);
    }

    #[test]
    fn every_way_a_workload_at_zero_names_it_is_a_use() {
        for spec in [
            json!({"initContainers": [{"name": "i", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}),
            json!({"ephemeralContainers": [{"name": "e", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}),
            json!({"containers": [{"name": "c", "env": [
                {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}}]}]}),
            json!({"volumes": [{"name": "v", "projected": {"sources": [{"configMap": {"name": "settings"}}]}}]}),
            json!({"containers": [{"name": "c", "args": ["--configmap=shop/settings"]}]}),
        ] {
            for kind in ["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"] {
                let found = look(&["ConfigMap"], &filled(json!({})), &[workload(kind, spec.clone())]);
                assert!(codes(&found).is_empty(), "{kind} {spec}");
            }
        }
    }

    #[test]
    fn a_user_in_another_namespace_is_not_a_use() {
        let mut other =
            workload("Deployment", json!({"volumes": [{"configMap": {"name": "settings"}}]})).value().clone();
        other["metadata"]["namespace"] = json!("bank");
        let found = look(&["ConfigMap"], &filled(json!({})), &[Object::new(other).unwrap()]);
        assert_eq!(codes(&found), ["ConfigMapUnused"]);
    }

    #[test]
    fn what_the_machinery_of_the_cluster_makes_is_never_unused_or_empty() {
        let named = |name: &str| object("v1", "ConfigMap", name, json!({}));
        let labelled = |key: &str, value: &str| map(json!({"metadata": {"labels": {key: value}}}));
        let annotated = |key: &str, value: &str| map(json!({"metadata": {"annotations": {key: value}}}));
        for subject in [
            named("kube-root-ca.crt"),
            named("openshift-service-ca.crt"),
            object("v1", "ConfigMap", "cluster-info", json!({"metadata": {"namespace": "kube-public"}})),
            object("v1", "ConfigMap", "kubeadm-config", json!({"metadata": {"namespace": "kube-system"}})),
            annotated("control-plane.alpha.kubernetes.io/leader", "{}"),
            annotated("k8sgpt.ai/skip-usage-check", "true"),
            labelled("OWNER", "TILLER"),
            labelled("owner", "helm"),
            labelled("grafana_dashboard", "1"),
            labelled("grafana_datasource", ""),
            labelled("prometheus_rule", "1"),
            labelled("fluentd_config", "1"),
            labelled("k8sgpt.ai/dynamically-loaded", "true"),
            labelled("app.kubernetes.io/part-of", "argocd"),
        ] {
            let found = look(&["ConfigMap"], &subject, &[]);
            assert!(codes(&found).is_empty(), "{}", subject.value());
        }
        let refused = labelled("k8sgpt.ai/dynamically-loaded", "false");
        assert_eq!(codes(&look(&["ConfigMap"], &refused, &[])).len(), 2, "only `true` says so");
    }

    #[test]
    fn one_with_an_owner_is_the_owners() {
        let owned = filled(json!({"metadata": {"ownerReferences": [
            {"apiVersion": "example.com/v1", "kind": "Thing", "name": "t", "uid": "u"}]}}));
        assert!(codes(&look(&["ConfigMap"], &owned, &[])).is_empty());
    }

    #[test]
    fn workloads_that_may_not_be_listed_leave_a_doubt_and_no_failure() {
        let subject = filled(json!({}));
        let mut inventory = Inventory::of([subject.clone()]);
        inventory.put_list(&GroupKind::of::<Deployment>(), None, Err(Unverified::Forbidden));
        let found = look_in(&["ConfigMap"], &subject, &inventory);
        assert!(codes(&found).is_empty());
        assert_eq!(found.report.doubtful().into_iter().collect::<Vec<_>>(), ["ConfigMapUnused"]);
    }

    #[test]
    fn data_of_the_wrong_type_is_a_doubt_about_all() {
        for rest in [json!({"data": 7}), json!({"data": {"a": 7}}), json!({"binaryData": ["a"]})] {
            let found = look(&["ConfigMap"], &map(rest), &[]);
            assert!(codes(&found).is_empty());
            assert_eq!(found.report.doubts()[0].code, "*");
        }
    }
}
