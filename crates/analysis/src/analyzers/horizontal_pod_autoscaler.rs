//! HorizontalPodAutoscalers: targets that are not there, metrics that cannot be read, and limits that are reached.

use std::collections::BTreeMap;

use k8s_openapi::api::autoscaling::v2::{
    HorizontalPodAutoscaler, HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerSpec, MetricSpec,
};
use k8s_openapi::api::core::v1::{Pod, PodSpec};

use super::requests::{has_default, lacks, selector};
use super::words::{because, names};
use super::workload::behind;
use crate::analyzer::Analyzer;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::view::{Lookup, Typed, Unverified, View};

/// Set on a ScaledObject: KEDA leaves its workload alone for now.
const PAUSED: [&str; 2] = ["autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas"];

const SCALED_OBJECT: GroupKind = GroupKind::new("keda.sh", "ScaledObject");

/// Looks at HorizontalPodAutoscalers.
pub(crate) struct HorizontalPodAutoscalerAnalyzer;

impl Analyzer for HorizontalPodAutoscalerAnalyzer {
    fn name(&self) -> &'static str {
        "HorizontalPodAutoscaler"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<HorizontalPodAutoscaler>()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let scaler: HorizontalPodAutoscaler = object.typed()?;
        let Some(spec) = scaler.spec else { return Ok(()) };
        let look = Look { object, at: object.reference(), spec, view };
        if let Some(target) = look.target(report) {
            look.requests(&target, report);
        }
        let status = scaler.status.unwrap_or_default();
        if !behind(object, status.observed_generation) {
            look.conditions(status.conditions.as_deref().unwrap_or_default(), report);
        }
        Ok(())
    }
}

struct Look<'a> {
    object: &'a Object,
    at: ObjectRef,
    spec: HorizontalPodAutoscalerSpec,
    view: &'a dyn View,
}

impl Look<'_> {
    fn failure(&self, code: &str, severity: Severity, what: &str) -> Failure {
        let text = format!("HorizontalPodAutoscaler {} {what}", self.at.path());
        Failure::new(code, severity, text).hides(names(self.object))
    }

    /// What it scales: of any kind, as long as the kind has a scale subresource, which only the API server knows.
    fn target(&self, report: &mut Report) -> Option<std::sync::Arc<Object>> {
        const CODE: &str = "ScaleTargetMissing";
        let target = &self.spec.scale_target_ref;
        let kind = GroupKind::named(target.api_version.as_deref().unwrap_or_default(), &target.kind);
        let about = ObjectRef {
            kind,
            namespace: self.object.namespace().map(str::to_owned),
            name: target.name.clone(),
        };
        match self.view.object(&about) {
            Lookup::Found(found) => return Some(found),
            // The controller says so itself, in AbleToScale.
            Lookup::Unverified(Unverified::NotInstalled) => {}
            Lookup::Unverified(why) => {
                report.doubt(CODE, &about, why.clone());
                report.doubt("ResourceRequestMissing", &about, why);
            }
            Lookup::NotFound => {
                let what = format!("scales {} {}, which does not exist", target.kind, about.path());
                report.fail(
                    self.failure(CODE, Severity::Error, &what)
                        .seen(&self.at, ".spec.scaleTargetRef.name", target.name.clone())
                        .hides([target.name.as_str()])
                        .explained_by("horizontalpodautoscaler.spec.scaleTargetRef"),
                );
            }
        }
        None
    }

    /// A share of what is requested cannot be told for a pod one of whose containers requests nothing: the whole pod then
    /// counts for nothing. Pods are looked at rather than the template, as admission adds containers and requests; and the
    /// template where there is no pod.
    fn requests(&self, target: &Object, report: &mut Report) {
        const CODE: &str = "ResourceRequestMissing";
        let wanted = wanted(self.spec.metrics.as_deref());
        if wanted.is_empty() {
            return;
        }
        let template: Option<PodSpec> = target
            .value()
            .pointer("/spec/template/spec")
            .and_then(|spec| serde_json::from_value(spec.clone()).ok());
        let pods = match selector(target) {
            Some(selector) => self.view.all::<Pod>(self.object.namespace(), &selector),
            None => return,
        };
        let Some(pods) = report.listed(CODE, format!("pods of {}", target.reference()), pods) else { return };
        let running = pods.iter().filter(|pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
        });
        // Each container once, whichever of the pods lack the request; by metric.
        let mut lacking: BTreeMap<(usize, String), (ObjectRef, String)> = BTreeMap::new();
        let mut seen = false;
        for pod in running {
            seen = true;
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let at = ObjectRef::of::<Pod>(self.object.namespace(), name);
            for (n, resource, container) in &wanted {
                for (place, container) in lacks(pod.spec.as_ref(), resource, *container) {
                    let path = format!(".spec.{place}.resources.requests.{resource}");
                    lacking.entry((*n, container)).or_insert_with(|| (at.clone(), path));
                }
            }
        }
        if !seen {
            for (n, resource, container) in &wanted {
                let without = lacks(template.as_ref(), resource, *container);
                let namespace = self.object.namespace();
                if without.is_empty()
                    || has_default(namespace, resource, self.view, CODE, report) != Some(false)
                {
                    continue;
                }
                for (place, container) in without {
                    let path = format!(".spec.template.spec.{place}.resources.requests.{resource}");
                    lacking.entry((*n, container)).or_insert_with(|| (target.reference(), path));
                }
            }
        }
        for ((n, container), (at, path)) in lacking {
            let resource = wanted.iter().find(|(m, ..)| *m == n).map_or("", |(_, resource, _)| resource);
            let what = format!(
                "scales by the share of {resource} that is requested, and container {container} of {} {} requests none",
                target.kind().kind,
                target.reference().path()
            );
            report.fail(
                self.failure(CODE, Severity::Error, &what)
                    .seen(&self.at, format!(".spec.metrics[{n}]"), resource.to_owned())
                    .seen(&at, path, None)
                    .hides([target.name(), container.as_str(), at.name.as_str()])
                    .explained_by("pod.spec.containers.resources.requests"),
            );
        }
    }

    fn conditions(&self, conditions: &[HorizontalPodAutoscalerCondition], report: &mut Report) {
        for (n, condition) in conditions.iter().enumerate() {
            let reason = condition.reason.as_deref().unwrap_or_default();
            let (code, severity, what) = match (condition.type_.as_str(), condition.status.as_str()) {
                // Its workload is at zero, by hand or by KEDA: nothing to scale, on purpose.
                ("ScalingActive", "False") if reason == "ScalingDisabled" => continue,
                ("ScalingActive", "False") => {
                    ("ScalingInactive", Severity::Error, "cannot tell how many pods are needed")
                }
                ("AbleToScale", "False") => ("ScalingUnable", Severity::Error, "cannot scale its target"),
                // Fewer than the least are needed: what the least is for. Steps of `behavior` limit for a while.
                ("ScalingLimited", "True") if reason == "TooManyReplicas" && !self.is_fixed() => {
                    ("ScalingAtMaximum", Severity::Warning, "needs more pods than its maximum")
                }
                ("ScalingLimited", _) => continue,
                (_, "False") => ("ScalingConditionFalse", Severity::Warning, "has a condition that is false"),
                _ => continue,
            };
            match self.paused() {
                Ok(true) => return,
                Ok(false) => {}
                Err((about, why)) => {
                    report.doubt(code, about, why);
                    continue;
                }
            }
            let why = because(condition.reason.as_deref(), condition.message.as_deref());
            report.fail(
                self.failure(code, severity, &format!("{what}{why}"))
                    .seen(&self.at, format!(".status.conditions[{n}].reason"), condition.reason.clone())
                    .explained_by("horizontalpodautoscaler.status.conditions"),
            );
        }
    }

    /// Whether somebody wants exactly so many pods.
    fn is_fixed(&self) -> bool {
        self.spec.min_replicas.unwrap_or(1) >= self.spec.max_replicas
    }

    /// Whether it belongs to a ScaledObject that is paused. What will never be read does not hide what is known.
    fn paused(&self) -> Result<bool, (ObjectRef, Unverified)> {
        let owners = self.object.owners();
        let owner =
            owners.iter().find(|owner| GroupKind::named(&owner.api_version, &owner.kind) == SCALED_OBJECT);
        let Some(owner) = owner else { return Ok(false) };
        let about = ObjectRef {
            kind: SCALED_OBJECT,
            namespace: self.object.namespace().map(str::to_owned),
            name: owner.name.clone(),
        };
        match self.view.object(&about) {
            Lookup::Found(scaled) => {
                let annotations = scaled.annotations();
                let on = |value: &String| !value.is_empty() && value != "false";
                Ok(PAUSED.iter().any(|name| annotations.get(*name).is_some_and(on)))
            }
            Lookup::NotFound
            | Lookup::Unverified(Unverified::Forbidden | Unverified::NotInstalled | Unverified::NotRead) => {
                Ok(false)
            }
            Lookup::Unverified(why) => Err((about, why)),
        }
    }
}

/// The metrics that are shares of a request: index, resource, and container if it is about one. Without any metric the
/// API server means the CPU.
fn wanted(metrics: Option<&[MetricSpec]>) -> Vec<(usize, String, Option<&str>)> {
    let Some(metrics) = metrics.filter(|metrics| !metrics.is_empty()) else {
        return vec![(0, "cpu".to_owned(), None)];
    };
    let mut wanted = Vec::new();
    for (n, metric) in metrics.iter().enumerate() {
        if let Some(resource) = metric.resource.as_ref().filter(|one| one.target.type_ == "Utilization") {
            wanted.push((n, resource.name.clone(), None));
        }
        let of_container = metric.container_resource.as_ref();
        if let Some(resource) = of_container.filter(|one| one.target.type_ == "Utilization") {
            wanted.push((n, resource.name.clone(), Some(resource.container.as_str())));
        }
    }
    wanted
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{codes, look, look_in, object};
    use crate::inventory::Inventory;

    const NAME: &[&str] = &["HorizontalPodAutoscaler"];

    fn scaler(spec: Value, status: Value) -> Object {
        let mut rest = json!({"spec": {"minReplicas": 1, "maxReplicas": 3, "metrics": [{"type": "External"}],
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}}, "status": status});
        rest["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        object("autoscaling/v2", "HorizontalPodAutoscaler", "web", rest)
    }

    fn deployment(containers: Value) -> Object {
        object(
            "apps/v1",
            "Deployment",
            "web",
            json!({"spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {"spec": {"containers": containers}}}}),
        )
    }

    fn pod(spec: Value) -> Object {
        object(
            "v1",
            "Pod",
            "web-1",
            json!({"metadata": {"labels": {"app": "web"}}, "spec": spec, "status": {"phase": "Running"}}),
        )
    }

    fn condition(type_: &str, status: &str, reason: &str) -> Value {
        json!({"conditions": [{"type": type_, "status": status, "reason": reason, "message": "m"}]})
    }

    #[test]
    fn cases_of_conditions() {
        let cases: [(&str, Value, Value, &[&str]); 11] = [
            ("no status yet", json!({}), json!({}), &[]),
            ("well", json!({}), condition("ScalingActive", "True", "ValidMetricFound"), &[]),
            (
                "no metrics",
                json!({}),
                condition("ScalingActive", "False", "FailedGetResourceMetric"),
                &["ScalingInactive"],
            ),
            (
                "its workload is at zero",
                json!({}),
                condition("ScalingActive", "False", "ScalingDisabled"),
                &[],
            ),
            (
                "cannot scale",
                json!({}),
                condition("AbleToScale", "False", "FailedGetScale"),
                &["ScalingUnable"],
            ),
            ("at its least", json!({}), condition("ScalingLimited", "True", "TooFewReplicas"), &[]),
            (
                "at its least, which is the default",
                json!({"minReplicas": null}),
                condition("ScalingLimited", "True", "TooFewReplicas"),
                &[],
            ),
            (
                "at its most",
                json!({}),
                condition("ScalingLimited", "True", "TooManyReplicas"),
                &["ScalingAtMaximum"],
            ),
            (
                "at its most, which is its least",
                json!({"minReplicas": 3}),
                condition("ScalingLimited", "True", "TooManyReplicas"),
                &[],
            ),
            ("slowed by its behavior", json!({}), condition("ScalingLimited", "True", "ScaleUpLimit"), &[]),
            ("another condition", json!({}), condition("Odd", "False", "Reason"), &["ScalingConditionFalse"]),
        ];
        for (name, spec, status, expected) in cases {
            assert_eq!(
                codes(&look(NAME, &scaler(spec, status), &[deployment(json!([]))])),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn a_custom_target_with_a_scale_subresource_is_an_option() {
        let rollout = |name: &str| {
            scaler(
                json!({"scaleTargetRef": {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": name}}),
                json!({}),
            )
        };
        let target = object("argoproj.io/v1alpha1", "Rollout", "web", json!({"spec": {}}));
        assert!(codes(&look(NAME, &rollout("web"), std::slice::from_ref(&target))).is_empty());
        assert_eq!(codes(&look(NAME, &rollout("gone"), &[target])), ["ScaleTargetMissing"]);
    }

    #[test]
    fn a_target_that_could_not_be_read_is_not_missing() {
        let subject = scaler(json!({"metrics": []}), json!({}));
        assert_eq!(codes(&look(NAME, &subject, &[])), ["ScaleTargetMissing"]);
        for (why, doubts) in [(Unverified::Forbidden, 2), (Unverified::NotInstalled, 0)] {
            let mut inventory = Inventory::of([subject.clone()]);
            inventory.put_list(&GroupKind::new("apps", "Deployment"), None, Err(why));
            let found = look_in(NAME, &subject, &inventory);
            assert!(codes(&found).is_empty());
            assert_eq!(found.report.doubts().len(), doubts);
        }
    }

    #[test]
    fn cases_of_requests() {
        let cpu = json!({"requests": {"cpu": "1"}});
        let memory = json!({"requests": {"memory": "1Gi"}});
        let share = |name: &str| json!({"metrics": [{"type": "Resource", "resource": {"name": name, "target": {"type": "Utilization", "averageUtilization": 80}}}]});
        let amount = json!({"metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue", "averageValue": "1"}}}]});
        let of_one = |container: &str| json!({"metrics": [{"type": "ContainerResource", "containerResource": {"name": "cpu", "container": container, "target": {"type": "Utilization"}}}]});
        let both = json!({"containers": [{"name": "a", "resources": cpu}, {"name": "b"}]});
        let lacking: &[&str] = &["ResourceRequestMissing"];
        let cases: [(&str, Value, Value, &[&str]); 11] = [
            ("all request it", share("cpu"), json!({"containers": [{"name": "a", "resources": cpu}]}), &[]),
            ("one of two does not", share("cpu"), both.clone(), lacking),
            (
                "another resource is requested",
                share("cpu"),
                json!({"containers": [{"name": "a", "resources": memory}]}),
                lacking,
            ),
            (
                "that other resource is scaled by",
                share("memory"),
                json!({"containers": [{"name": "a", "resources": memory}]}),
                &[],
            ),
            ("no metric means the CPU", json!({"metrics": []}), both.clone(), lacking),
            ("an amount needs no request", amount, both.clone(), &[]),
            ("the container that is meant requests it", of_one("a"), both.clone(), &[]),
            ("the container that is meant does not", of_one("b"), both.clone(), lacking),
            (
                "a limit is a request",
                share("cpu"),
                json!({"containers": [{"name": "a", "resources": {"limits": {"cpu": "1"}}}]}),
                &[],
            ),
            (
                "the whole pod requests it",
                share("cpu"),
                json!({"resources": cpu, "containers": [{"name": "a"}]}),
                &[],
            ),
            (
                "a sidecar counts, an init container does not",
                share("cpu"),
                json!({"containers": [{"name": "a", "resources": cpu}], "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always"}]}),
                lacking,
            ),
        ];
        for (name, spec, of_pod, expected) in cases {
            let others = [deployment(json!([])), pod(of_pod)];
            let found = look(NAME, &scaler(spec, json!({})), &others);
            assert_eq!(codes(&found), expected, "{name}");
        }
    }

    #[test]
    fn requests_that_admission_added_count_and_the_template_does_where_there_is_no_pod() {
        let subject = scaler(json!({"metrics": []}), json!({}));
        let target = deployment(json!([{"name": "a"}]));
        let admitted = pod(json!({"containers": [{"name": "a", "resources": {"requests": {"cpu": "1"}}}]}));
        assert!(codes(&look(NAME, &subject, &[target.clone(), admitted])).is_empty());
        let found = look(NAME, &subject, std::slice::from_ref(&target));
        assert_eq!(codes(&found), ["ResourceRequestMissing"]);
        let limits = json!({"spec": {"limits": [{"type": "Container", "defaultRequest": {"cpu": "100m"}}]}});
        let range = object("v1", "LimitRange", "defaults", limits);
        assert!(codes(&look(NAME, &subject, &[target, range])).is_empty(), "the namespace gives one");
        let evidence = &found.report.failures()[0].evidence[1];
        assert_eq!(evidence.path, ".spec.template.spec.containers[0].resources.requests.cpu");
    }

    #[test]
    fn pods_that_may_not_be_listed_leave_a_doubt() {
        let (subject, target) =
            (scaler(json!({"metrics": []}), json!({})), deployment(json!([{"name": "a"}])));
        let mut inventory = Inventory::of([subject.clone(), target]);
        inventory.put_list(&GroupKind::of::<Pod>(), None, Err(Unverified::Forbidden));
        let found = look_in(NAME, &subject, &inventory);
        assert!(codes(&found).is_empty());
        assert_eq!(found.report.doubts()[0].code, "ResourceRequestMissing");
    }

    #[test]
    fn what_keda_has_paused_does_not_scale_on_purpose() {
        let mut value =
            scaler(json!({}), condition("ScalingActive", "False", "FailedGetExternalMetric")).value().clone();
        value["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": "web", "uid": "k"}]);
        let subject = Object::new(value).unwrap();
        let scaled = |annotations: Value| {
            object(
                "keda.sh/v1alpha1",
                "ScaledObject",
                "web",
                json!({"metadata": {"annotations": annotations}}),
            )
        };
        let of = |annotations: Value| {
            codes(&look(NAME, &subject, &[deployment(json!([])), scaled(annotations)])).len()
        };
        assert_eq!(of(json!({"autoscaling.keda.sh/paused": "true"})), 0);
        assert_eq!(of(json!({"autoscaling.keda.sh/paused-replicas": "0"})), 0);
        assert_eq!(of(json!({"autoscaling.keda.sh/paused": "false"})), 1);
        assert_eq!(of(json!({})), 1);
    }
}
