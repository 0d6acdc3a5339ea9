//! KEDA's ScaledObjects: whether they scale, and what.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PodSpec;
use serde::Deserialize;
use serde_json::Value;

use crate::analyzer::Analyzer;
use crate::analyzers::condition::{Rule, judge};
use crate::analyzers::json::{items, text};
use crate::analyzers::listing::some_of;
use crate::analyzers::requests::{has_default, lacks};
use crate::analyzers::served::known_if_served;
use crate::event::{self, standing_warnings};
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::view::{Typed, Unverified, View};

const GROUP: &str = "keda.sh";

/// That it is not active is no failure: nobody has work for it.
const RULES: [Rule; 2] = [
    Rule::wanted("Ready", "ScaledObjectNotReady", Severity::Error),
    Rule::unwanted("Fallback", "ScaledObjectFallsBack", Severity::Warning),
];

/// Annotations by which somebody keeps it from scaling.
const PAUSED: [&str; 2] = ["autoscaling.keda.sh/paused", "autoscaling.keda.sh/paused-replicas"];

/// Looks at ScaledObjects.
pub(crate) struct ScaledObjectAnalyzer;

impl Analyzer for ScaledObjectAnalyzer {
    fn name(&self) -> &'static str {
        "ScaledObject"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::new(GROUP, "ScaledObject")
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let look = Look { object, at: object.reference(), view };
        if !look.is_paused() {
            let who = format!("ScaledObject {}", object.name());
            judge(object, "/status/conditions", &RULES, &who, view, report);
            look.failing_triggers(report);
            look.warned(report);
        }
        look.target(report);
        look.authentication(report);
        Ok(())
    }
}

struct Look<'a> {
    object: &'a Object,
    at: ObjectRef,
    view: &'a dyn View,
}

impl Look<'_> {
    /// Somebody wants it to stand still: what it would do is no failure now.
    fn is_paused(&self) -> bool {
        let annotations = self.object.annotations();
        let paused = |name: &&str| annotations.get(*name).is_some_and(|value| value != "false");
        PAUSED.iter().any(paused)
    }

    fn failing_triggers(&self, report: &mut Report) {
        let health = self.object.value().pointer("/status/health").and_then(Value::as_object);
        for (trigger, health) in health.into_iter().flatten() {
            if text(health, "/status") != Some("Failing") {
                continue;
            }
            let text = format!(
                "trigger {trigger} of ScaledObject {} cannot be read, {} times in a row",
                self.object.name(),
                health.pointer("/numberOfFailures").and_then(Value::as_i64).unwrap_or(1)
            );
            let path = format!(".status.health[{trigger:?}].status");
            report.fail(
                Failure::new("ScaledObjectTriggerFails", Severity::Error, text)
                    .seen(&self.at, path, "Failing".to_owned())
                    .hides([self.object.name()]),
            );
        }
    }

    fn warned(&self, report: &mut Report) {
        let events = self.view.events_about(self.object);
        let about = format!("events of {}", self.at);
        let Some(events) = report.listed("ScaledObjectWarned", about, events) else { return };
        for event in standing_warnings(&events) {
            let message = event.message.clone().unwrap_or_default();
            let text = format!("ScaledObject {} has the event: {message}", self.object.name());
            report.fail(Failure::new("ScaledObjectWarned", Severity::Warning, text).seen(
                &event::reference(event),
                ".message",
                message,
            ));
        }
    }

    fn target(&self, report: &mut Report) {
        let value = self.object.value();
        let Some(name) = text(value, "/spec/scaleTargetRef/name") else { return };
        let kind = match text(value, "/spec/scaleTargetRef/kind") {
            Some(kind) => {
                GroupKind::named(text(value, "/spec/scaleTargetRef/apiVersion").unwrap_or("apps/v1"), kind)
            }
            None => GroupKind::of::<Deployment>(),
        };
        let namespace = self.object.namespace().map(str::to_owned);
        let target = ObjectRef { kind, namespace, name: name.to_owned() };
        let lookup = self.view.object(&target);
        let code = "ScaledObjectTargetMissing";
        let Some(found) = known_if_served(report, code, &target, lookup.clone()) else {
            known_if_served(report, "ScaledObjectRequestsMissing", &target, lookup);
            return;
        };
        match found {
            Some(found) => self.requests(&found, report),
            None => {
                let text =
                    format!("ScaledObject {} scales {target}, which does not exist", self.object.name());
                report.fail(
                    Failure::new(code, Severity::Error, text)
                        .seen(&self.at, ".spec.scaleTargetRef.name", name.to_owned())
                        .hides(self.object.namespace().into_iter().chain([name]))
                        .explained_by("scaledobject.spec.scaleTargetRef"),
                );
            }
        }
    }

    /// A share of what the containers ask for can be known only if they ask for something. A limit is a request too, where
    /// nothing else is said; so is a default of the namespace.
    fn requests(&self, target: &Object, report: &mut Report) {
        const CODE: &str = "ScaledObjectRequestsMissing";
        // A kind of a vendor's without a pod template asks for nothing that could be missing.
        let template = target.value().pointer("/spec/template/spec").map(PodSpec::deserialize);
        let template = match template.transpose() {
            Ok(template) => template,
            Err(error) => {
                return report.doubt(CODE, target.reference(), Unverified::Failed(error.to_string()));
            }
        };
        for (n, trigger) in items(self.object.value(), "/spec/triggers") {
            let Some(resource) = text(trigger, "/type").filter(|kind| ["cpu", "memory"].contains(kind))
            else {
                continue;
            };
            let measure = text(trigger, "/metricType").or_else(|| text(trigger, "/metadata/type"));
            if measure.is_some_and(|measure| measure != "Utilization") {
                continue;
            }
            let only = text(trigger, "/metadata/containerName");
            let without = lacks(template.as_ref(), resource, only);
            let namespace = self.object.namespace();
            if without.is_empty() || has_default(namespace, resource, self.view, CODE, report) != Some(false)
            {
                continue;
            }
            let names: Vec<String> = without.iter().map(|(_, name)| name.clone()).collect();
            let text = format!(
                "trigger {resource} of ScaledObject {} needs to know how much {resource} each container of {} asks for; \
                 not said for {}",
                self.object.name(),
                target.reference(),
                some_of(&names, 5)
            );
            let failure = Failure::new(CODE, Severity::Error, text)
                .seen(&self.at, format!(".spec.triggers[{n}].type"), resource.to_owned())
                .hides([self.object.name(), target.name()])
                .explained_by("deployment.spec.template.spec.containers.resources.requests");
            report.fail(without.iter().fold(failure, |failure, (place, _)| {
                let path = format!(".spec.template.spec.{place}.resources.requests.{resource}");
                failure.seen(&target.reference(), path, None)
            }));
        }
    }

    fn authentication(&self, report: &mut Report) {
        let code = "ScaledObjectAuthenticationMissing";
        for (n, trigger) in items(self.object.value(), "/spec/triggers") {
            let Some(name) = text(trigger, "/authenticationRef/name") else { continue };
            let kind = text(trigger, "/authenticationRef/kind").unwrap_or("TriggerAuthentication");
            let namespace = self.object.namespace().filter(|_| kind == "TriggerAuthentication");
            let target = ObjectRef {
                kind: GroupKind { group: GROUP.into(), kind: kind.to_owned().into() },
                namespace: namespace.map(str::to_owned),
                name: name.to_owned(),
            };
            let lookup = self.view.object(&target);
            if known_if_served(report, code, &target, lookup) == Some(None) {
                let text = format!(
                    "trigger {} of ScaledObject {} authenticates by {target}, which does not exist",
                    text(trigger, "/type").unwrap_or_default(),
                    self.object.name()
                );
                report.fail(
                    Failure::new(code, Severity::Error, text)
                        .seen(
                            &self.at,
                            format!(".spec.triggers[{n}].authenticationRef.name"),
                            name.to_owned(),
                        )
                        .hides(self.object.namespace().into_iter().chain([name])),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;
    use crate::analyzers::testing::{codes, event, look, look_in, object};
    use crate::inventory::Inventory;

    const NAME: [&str; 1] = ["ScaledObject"];

    fn scaled(rest: Value) -> Object {
        let mut value = object(
            "keda.sh/v1alpha1",
            "ScaledObject",
            "ocr",
            json!({"spec": {"scaleTargetRef": {"name": "ocr"}}}),
        )
        .value()
        .clone();
        for (field, rest) in rest.as_object().unwrap() {
            for (name, rest) in rest.as_object().unwrap() {
                value[field][name] = rest.clone();
            }
        }
        Object::new(value).unwrap()
    }

    fn deployment(containers: Value) -> Object {
        object(
            "apps/v1",
            "Deployment",
            "ocr",
            json!({"spec": {"template": {"spec": {"containers": containers}}}}),
        )
    }

    fn saying(kind: &str, status: &str) -> Object {
        let conditions = json!([{"type": kind, "status": status, "reason": "R", "message": "m"}]);
        scaled(json!({"status": {"conditions": conditions}}))
    }

    #[test]
    fn cases() {
        let target = || deployment(json!([{"name": "c"}]));
        let health = |status: &str| {
            scaled(json!({"status": {"health": {"s0-rabbitmq": {"status": status, "numberOfFailures": 4}}}}))
        };
        let of = |reference: Value| scaled(json!({"spec": {"scaleTargetRef": reference}}));
        let signed = |kind: Value| {
            scaled(
                json!({"spec": {"triggers": [{"type": "rabbitmq", "authenticationRef": {"name": "key", "kind": kind}}]}}),
            )
        };
        let key = || object("keda.sh/v1alpha1", "TriggerAuthentication", "key", json!({}));
        let set = || object("apps/v1", "StatefulSet", "db", json!({}));
        let cases: [(&str, Object, Vec<Object>, &[&str]); 15] = [
            ("ready", saying("Ready", "True"), vec![target()], &[]),
            ("not ready", saying("Ready", "False"), vec![target()], &["ScaledObjectNotReady"]),
            ("nothing to do", saying("Active", "False"), vec![target()], &[]),
            ("nobody knows if there is", saying("Active", "Unknown"), vec![target()], &[]),
            ("falls back", saying("Fallback", "True"), vec![target()], &["ScaledObjectFallsBack"]),
            ("does not fall back", saying("Fallback", "False"), vec![target()], &[]),
            ("not known to fall back", saying("Fallback", "Unknown"), vec![target()], &[]),
            ("trigger is read", health("Happy"), vec![target()], &[]),
            ("trigger is not read", health("Failing"), vec![target()], &["ScaledObjectTriggerFails"]),
            ("no target", scaled(json!({})), vec![], &["ScaledObjectTargetMissing"]),
            ("a StatefulSet", of(json!({"kind": "StatefulSet", "name": "db"})), vec![set()], &[]),
            (
                "another kind of that name",
                of(json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "name": "db"})),
                vec![set()],
                &["ScaledObjectTargetMissing"],
            ),
            ("authentication there", signed(Value::Null), vec![target(), key()], &[]),
            (
                "authentication not there",
                signed(Value::Null),
                vec![target()],
                &["ScaledObjectAuthenticationMissing"],
            ),
            (
                "authentication of the cluster not there",
                signed(json!("ClusterTriggerAuthentication")),
                vec![target(), key()],
                &["ScaledObjectAuthenticationMissing"],
            ),
        ];
        for (name, subject, others, expected) in cases {
            assert_eq!(codes(&look(&NAME, &subject, &others)), expected, "{name}");
        }
    }

    #[test]
    fn a_scaled_object_without_work_is_no_failure() {
        for status in ["False", "Unknown"] {
            let found = look(&NAME, &saying("Active", status), &[deployment(json!([]))]);
            assert!(codes(&found).is_empty(), "{status}");
        }
    }

    #[test]
    fn a_paused_scaled_object_is_no_failure() {
        let with = |name: &str, value: &str| {
            let mut paused = saying("Ready", "False").value().clone();
            paused["metadata"]["annotations"] = json!({name: value});
            codes(&look(&NAME, &Object::new(paused).unwrap(), &[deployment(json!([]))])).len()
        };
        assert_eq!((with(PAUSED[0], "true"), with(PAUSED[1], "0"), with(PAUSED[0], "false")), (0, 0, 1));
    }

    #[test]
    fn requests_are_needed_by_a_trigger_of_utilization_only() {
        let by = |trigger: Value| scaled(json!({"spec": {"triggers": [trigger]}}));
        let cpu = || by(json!({"type": "cpu", "metricType": "Utilization", "metadata": {"value": "80"}}));
        let ask = |field: &str| json!([{"name": "a", "resources": {field: {"cpu": "1"}}}]);
        let one = json!([{"name": "a", "resources": {"requests": {"cpu": "1"}}}, {"name": "b"}]);
        let range = object(
            "v1",
            "LimitRange",
            "defaults",
            json!({"spec": {"limits": [
            {"type": "Container", "defaultRequest": {"cpu": "100m"}}]}}),
        );
        let of_a =
            by(json!({"type": "cpu", "metricType": "Utilization", "metadata": {"containerName": "a"}}));
        let missing: &[&str] = &["ScaledObjectRequestsMissing"];
        let cases: [(&str, Object, Vec<Object>, &[&str]); 10] = [
            ("all ask", cpu(), vec![deployment(ask("requests"))], &[]),
            ("a limit is a request", cpu(), vec![deployment(ask("limits"))], &[]),
            ("one does not ask", cpu(), vec![deployment(one.clone())], missing),
            ("only one counts", of_a, vec![deployment(one.clone())], &[]),
            ("another resource", by(json!({"type": "memory"})), vec![deployment(ask("requests"))], missing),
            (
                "an amount, not a share",
                by(json!({"type": "cpu", "metricType": "AverageValue"})),
                vec![deployment(one.clone())],
                &[],
            ),
            (
                "an amount, said as of old",
                by(json!({"type": "cpu", "metadata": {"type": "AverageValue"}})),
                vec![deployment(one.clone())],
                &[],
            ),
            ("no such trigger", by(json!({"type": "rabbitmq"})), vec![deployment(one.clone())], &[]),
            ("the namespace has a default", cpu(), vec![deployment(one), range], &[]),
            (
                "odd triggers",
                scaled(json!({"spec": {"triggers": [7, {"type": 3}]}})),
                vec![deployment(json!("x"))],
                &[],
            ),
        ];
        for (name, subject, others, expected) in cases {
            assert_eq!(codes(&look(&NAME, &subject, &others)), expected, "{name}");
        }
    }

    #[test]
    fn warnings_count_until_a_good_event_follows() {
        let subject = scaled(json!({}));
        let failed = event(&subject, "KEDAScalerFailed", "no broker", "2026-06-01T11:00:00Z");
        let mut good =
            event(&subject, "KEDAScalersStarted", "started", "2026-06-01T11:30:00Z").value().clone();
        good["type"] = json!("Normal");
        let others = [deployment(json!([])), failed, Object::new(good).unwrap()];
        assert_eq!(codes(&look(&NAME, &subject, &others[..2])), ["ScaledObjectWarned"]);
        assert!(codes(&look(&NAME, &subject, &others)).is_empty());
    }

    #[test]
    fn a_target_that_may_not_be_read_is_a_doubt_and_one_of_no_kind_is_not() {
        for (why, doubts) in [(Unverified::Forbidden, 2), (Unverified::NotInstalled, 0)] {
            let subject = scaled(json!({}));
            let mut inventory = Inventory::of([subject.clone()]);
            inventory.put_list(&GroupKind::of::<Deployment>(), None, Err(why.clone()));
            let found = look_in(&NAME, &subject, &inventory);
            assert!(codes(&found).is_empty(), "{why}");
            assert_eq!(found.report.doubts().len(), doubts, "{why}");
        }
    }
}
