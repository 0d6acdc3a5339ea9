//! Gateways: their class, their conditions, and the conditions and certificates of their listeners.

use k8s_openapi::api::core::v1::Secret;

use crate::analyzer::Analyzer;
use crate::analyzers::condition::{Rule, judge};
use crate::analyzers::gateway_api::{GATEWAY, GATEWAY_CLASS, may_refer, referred};
use crate::analyzers::json::{items, text};
use crate::analyzers::served::known_if_served;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::view::View;

const RULES: [Rule; 4] = [
    Rule::wanted("Accepted", "GatewayNotAccepted", Severity::Error),
    Rule::wanted("Programmed", "GatewayNotProgrammed", Severity::Error),
    Rule::wanted("ResolvedRefs", "GatewayRefsNotResolved", Severity::Error),
    Rule::wanted("Ready", "GatewayNotReady", Severity::Error),
];

const OF_LISTENERS: [Rule; 6] = [
    Rule::wanted("Accepted", "ListenerNotAccepted", Severity::Error),
    Rule::wanted("Programmed", "ListenerNotProgrammed", Severity::Error),
    Rule::wanted("ResolvedRefs", "ListenerRefsNotResolved", Severity::Error),
    Rule::wanted("Ready", "ListenerNotReady", Severity::Error),
    Rule::unwanted("Conflicted", "ListenerConflicts", Severity::Error),
    Rule::unwanted("OverlappingTLSConfig", "ListenerTlsOverlaps", Severity::Warning),
];

/// Looks at Gateways.
pub(crate) struct GatewayAnalyzer;

impl Analyzer for GatewayAnalyzer {
    fn name(&self) -> &'static str {
        "Gateway"
    }

    fn subject(&self) -> GroupKind {
        GATEWAY
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        class(object, view, report);
        let who = format!("Gateway {}", object.name());
        judge(object, "/status/conditions", &RULES, &who, view, report);
        for (n, listener) in items(object.value(), "/status/listeners") {
            let name = text(listener, "/name").unwrap_or("without a name");
            let who = format!("listener {name} of Gateway {}", object.name());
            let pointer = format!("/status/listeners/{n}/conditions");
            judge(object, &pointer, &OF_LISTENERS, &who, view, report);
        }
        certificates(object, view, report);
        Ok(())
    }
}

fn class(object: &Object, view: &dyn View, report: &mut Report) {
    let Some(name) = object.text("/spec/gatewayClassName").filter(|name| !name.is_empty()) else { return };
    let class = ObjectRef { kind: GATEWAY_CLASS, namespace: None, name: name.to_owned() };
    let lookup = view.object(&class);
    if let Some(None) = known_if_served(report, "GatewayClassMissing", &class, lookup) {
        let text = format!("Gateway {} uses the GatewayClass {name}, which does not exist", object.name());
        report.fail(
            Failure::new("GatewayClassMissing", Severity::Error, text)
                .seen(&object.reference(), ".spec.gatewayClassName", name.to_owned())
                .hides([name])
                .explained_by("gateway.spec.gatewayClassName"),
        );
    }
}

fn certificates(object: &Object, view: &dyn View, report: &mut Report) {
    for (n, listener) in items(object.value(), "/spec/listeners") {
        let name = text(listener, "/name").unwrap_or("without a name");
        for (m, reference) in items(listener, "/tls/certificateRefs") {
            let Some(secret) = referred(object, reference, &GroupKind::of::<Secret>()) else { continue };
            if !secret.kind.is::<Secret>() {
                continue;
            }
            let path = format!(".spec.listeners[{n}].tls.certificateRefs[{m}]");
            let hidden = || secret.namespace.as_deref().into_iter().chain([secret.name.as_str()]);
            let field = "gateway.spec.listeners.tls.certificateRefs";
            let fail = |code: &str, text: String| {
                Failure::new(code, Severity::Error, text)
                    .seen(&object.reference(), path.clone(), secret.path())
                    .hides(hidden())
                    .explained_by(field)
            };
            let who =
                format!("listener {name} of Gateway {} takes its certificate from {secret}", object.name());
            if may_refer(object, &secret, "ListenerReferenceNotGranted", view, report) == Some(false) {
                let text = format!("{who}, which no ReferenceGrant there allows");
                report.fail(fail("ListenerReferenceNotGranted", text));
            }
            if report.known("ListenerCertificateMissing", &secret, view.object(&secret)) == Some(None) {
                let text = format!("{who}, which does not exist");
                report.fail(fail("ListenerCertificateMissing", text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{cluster_object, codes, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    fn gateway(listeners: Value, status: Value) -> Object {
        object(
            "gateway.networking.k8s.io/v1",
            "Gateway",
            "edge",
            json!({"metadata": {"generation": 2}, "status": status,
                "spec": {"gatewayClassName": "mesh", "listeners": listeners}}),
        )
    }

    fn class() -> Object {
        cluster_object("gateway.networking.k8s.io/v1", "GatewayClass", "mesh", json!({}))
    }

    fn condition(kind: &str, status: &str) -> Value {
        json!({"type": kind, "status": status, "reason": "R", "message": "m", "observedGeneration": 2})
    }

    fn secure(reference: Value) -> Object {
        gateway(json!([{"name": "https", "tls": {"certificateRefs": [reference]}}]), json!({}))
    }

    fn secret(namespace: &str) -> Object {
        object("v1", "Secret", "cert", json!({"metadata": {"namespace": namespace}}))
    }

    fn grant(namespace: &str, name: Value) -> Object {
        object(
            "gateway.networking.k8s.io/v1beta1",
            "ReferenceGrant",
            "grant",
            json!({"metadata": {"namespace": namespace}, "spec": {
                "from": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "namespace": "shop"}],
                "to": [{"group": "", "kind": "Secret", "name": name}]}}),
        )
    }

    #[test]
    fn cases() {
        let with = |conditions: Value| gateway(json!([]), json!({"conditions": conditions}));
        let listener = |conditions: Value| {
            gateway(json!([]), json!({"listeners": [{"name": "http", "conditions": conditions}]}))
        };
        let far = json!({"name": "cert", "namespace": "certs"});
        let cases: [(&str, Object, Vec<Object>, &[&str]); 14] = [
            (
                "healthy",
                with(json!([condition("Accepted", "True"), condition("Programmed", "True")])),
                vec![],
                &[],
            ),
            ("refused", with(json!([condition("Accepted", "False")])), vec![], &["GatewayNotAccepted"]),
            (
                "no address",
                with(json!([condition("Programmed", "False")])),
                vec![],
                &["GatewayNotProgrammed"],
            ),
            (
                "no controller",
                with(json!([condition("Programmed", "Unknown")])),
                vec![],
                &["GatewayNotProgrammed"],
            ),
            ("listener healthy", listener(json!([condition("Conflicted", "False")])), vec![], &[]),
            (
                "listener conflicts",
                listener(json!([condition("Conflicted", "True")])),
                vec![],
                &["ListenerConflicts"],
            ),
            (
                "listener without its certificate",
                listener(json!([condition("ResolvedRefs", "False")])),
                vec![],
                &["ListenerRefsNotResolved"],
            ),
            ("certificate there", secure(json!({"name": "cert"})), vec![secret("shop")], &[]),
            (
                "certificate not there",
                secure(json!({"name": "cert"})),
                vec![],
                &["ListenerCertificateMissing"],
            ),
            (
                "certificate elsewhere, not granted",
                secure(far.clone()),
                vec![secret("certs")],
                &["ListenerReferenceNotGranted"],
            ),
            ("granted", secure(far.clone()), vec![secret("certs"), grant("certs", Value::Null)], &[]),
            (
                "granted by name",
                secure(far.clone()),
                vec![secret("certs"), grant("certs", json!("cert"))],
                &[],
            ),
            (
                "another one granted",
                secure(far.clone()),
                vec![secret("certs"), grant("certs", json!("other"))],
                &["ListenerReferenceNotGranted"],
            ),
            (
                "granted in one's own namespace",
                secure(far),
                vec![secret("certs"), grant("shop", Value::Null)],
                &["ListenerReferenceNotGranted"],
            ),
        ];
        for (name, gateway, mut others, expected) in cases {
            others.push(class());
            assert_eq!(codes(&look(&["Gateway"], &gateway, &others)), expected, "{name}");
        }
    }

    #[test]
    fn a_class_that_is_not_there_is_missing_and_one_that_may_not_be_read_is_not() {
        let subject = gateway(json!([]), json!({}));
        assert_eq!(codes(&look(&["Gateway"], &subject, &[])), ["GatewayClassMissing"]);
        for (why, doubts) in [(Unverified::Forbidden, 1), (Unverified::NotInstalled, 0)] {
            let mut inventory = Inventory::of([subject.clone()]);
            inventory.put_list(&GATEWAY_CLASS, None, Err(why.clone()));
            let found = look_in(&["Gateway"], &subject, &inventory);
            assert!(codes(&found).is_empty(), "{why}");
            assert_eq!(found.report.doubts().len(), doubts, "{why}");
        }
    }

    #[test]
    fn the_evidence_of_a_listener_names_its_condition() {
        let status = json!({"listeners": [{"name": "a"}, {"name": "b", "conditions": [condition("Accepted", "False")]}]});
        let found = look(&["Gateway"], &gateway(json!([]), status), &[class()]);
        assert_eq!(found.report.failures()[0].evidence[0].path, ".status.listeners[1].conditions[0].status");
    }

    #[test]
    fn odd_fields_say_nothing() {
        let odd = object(
            "gateway.networking.k8s.io/v1",
            "Gateway",
            "edge",
            json!({"spec": {"gatewayClassName": 7, "listeners": {"a": 1}}, "status": {"listeners": [1], "conditions": "x"}}),
        );
        assert!(codes(&look(&["Gateway"], &odd, &[])).is_empty());
    }
}
