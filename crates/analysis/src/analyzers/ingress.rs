//! Ingresses: whether somebody takes them, and whether what they lead to is there.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Secret, Service};
use k8s_openapi::api::networking::v1::{
    Ingress, IngressBackend, IngressClass, IngressSpec, ServiceBackendPort,
};
use serde_json::Value;

use crate::analyzer::Analyzer;
use crate::analyzers::served::known_if_served;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::selector::Selector;
use crate::view::{Typed, View};

/// Where the class was named before there was a field for it.
const CLASS: &str = "kubernetes.io/ingress.class";

/// Marks the class of the Ingresses that name none.
const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";

/// Classes that a cloud serves without an object.
const BUILT_IN: [&str; 2] = ["gce", "gce-internal"];

/// A backend of the AWS load balancer controller that is no Service: an annotation of this prefix says what it does.
const ACTION: (&str, &str) = ("use-annotation", "alb.ingress.kubernetes.io/actions.");

/// Looks at Ingresses.
pub(crate) struct IngressAnalyzer;

impl Analyzer for IngressAnalyzer {
    fn name(&self) -> &'static str {
        "Ingress"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<Ingress>()
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let ingress: Ingress = object.typed()?;
        let Some(spec) = ingress.spec.as_ref() else { return Ok(()) };
        let look = Look { object, at: object.reference(), spec, view };
        look.class(report);
        look.backends(report);
        look.certificates(report);
        Ok(())
    }
}

struct Look<'a> {
    object: &'a Object,
    at: ObjectRef,
    spec: &'a IngressSpec,
    view: &'a dyn View,
}

impl Look<'_> {
    /// Whether a controller gave it an address: then one serves it, whatever its class.
    fn is_served(&self) -> bool {
        let addresses = self.object.value().pointer("/status/loadBalancer/ingress").and_then(Value::as_array);
        addresses.is_some_and(|addresses| !addresses.is_empty())
    }

    fn class(&self, report: &mut Report) {
        let annotations = self.object.annotations();
        let by_annotation = annotations.get(CLASS).filter(|class| !class.is_empty());
        let (class, path, severity) = match (&self.spec.ingress_class_name, by_annotation) {
            (Some(class), _) => (class, ".spec.ingressClassName".to_owned(), Severity::Error),
            // A controller may take an annotation for which no class was made.
            (None, Some(class)) => (class, format!(".metadata.annotations[{CLASS:?}]"), Severity::Warning),
            (None, None) => return self.without_class(report),
        };
        if BUILT_IN.contains(&class.as_str()) || (severity == Severity::Warning && self.is_served()) {
            return;
        }
        let lookup = self.view.get::<IngressClass>(None, class);
        let about = format!("IngressClass {class}");
        if let Some(None) = report.known("IngressClassMissing", about, lookup) {
            let text = format!("Ingress {} uses the class {class}, which does not exist", self.object.name());
            report.fail(
                Failure::new("IngressClassMissing", severity, text)
                    .seen(&self.at, path, class.clone())
                    .hides([self.object.name(), class])
                    .explained_by("ingress.spec.ingressClassName"),
            );
        }
    }

    fn without_class(&self, report: &mut Report) {
        if self.is_served() {
            return;
        }
        let classes = self.view.list(&GroupKind::of::<IngressClass>(), None, &Selector::everything());
        let Some(classes) = report.listed("IngressWithoutClass", "the classes of Ingresses", classes) else {
            return;
        };
        let is_default =
            |class: &Object| class.annotations().get(DEFAULT_CLASS).is_some_and(|value| value == "true");
        if !classes.iter().any(|class| is_default(class)) {
            let text = format!(
                "Ingress {} names no class, no class is the default, and no controller has taken it",
                self.object.name()
            );
            report.fail(
                Failure::new("IngressWithoutClass", Severity::Warning, text)
                    .seen(&self.at, ".spec.ingressClassName", None)
                    .hides(self.object.namespace().into_iter().chain([self.object.name()]))
                    .explained_by("ingress.spec.ingressClassName"),
            );
        }
    }

    fn backends(&self, report: &mut Report) {
        let default =
            self.spec.default_backend.iter().map(|backend| (".spec.defaultBackend".to_owned(), backend));
        let by_rule = self.spec.rules.iter().flatten().enumerate().flat_map(|(n, rule)| {
            let paths = rule.http.iter().flat_map(|http| http.paths.iter()).enumerate();
            paths.map(move |(m, path)| (format!(".spec.rules[{n}].http.paths[{m}].backend"), &path.backend))
        });
        // Many paths lead to one Service: one failure, seen at each.
        let mut services: BTreeMap<&str, Vec<Use<'_>>> = BTreeMap::new();
        for (path, backend) in default.chain(by_rule) {
            if let Some(service) = &backend.service {
                if !self.is_action(&service.name, service.port.as_ref()) {
                    services.entry(&service.name).or_default().push((path, service.port.as_ref()));
                }
            } else {
                self.resource(&path, backend, report);
            }
        }
        for (name, uses) in services {
            self.service(name, &uses, report);
        }
    }

    fn is_action(&self, service: &str, port: Option<&ServiceBackendPort>) -> bool {
        port.and_then(|port| port.name.as_deref()) == Some(ACTION.0)
            && self.object.annotations().contains_key(&format!("{}{service}", ACTION.1))
    }

    fn service(&self, name: &str, uses: &[Use<'_>], report: &mut Report) {
        let namespace = self.object.namespace();
        let about = || format!("Service {name}");
        let lookup = self.view.get::<Service>(namespace, name);
        let Some(found) = report.known("IngressServiceMissing", about(), lookup.clone()) else {
            report.known("IngressPortMissing", about(), lookup);
            return;
        };
        let hidden = || namespace.into_iter().chain([name]);
        let Some(service) = found else {
            let text =
                format!("Ingress {} leads to Service {name}, which does not exist", self.object.name());
            let failure = uses
                .iter()
                .fold(Failure::new("IngressServiceMissing", Severity::Error, text), |failure, (path, _)| {
                    failure.seen(&self.at, format!("{path}.service.name"), name.to_owned())
                });
            report
                .fail(failure.hides(hidden()).explained_by("ingress.spec.rules.http.paths.backend.service"));
            return;
        };
        for (path, port) in uses {
            let Some(port) = port else { continue };
            let (field, value) = match (port.number, &port.name) {
                (Some(number), _) => ("number", number.to_string()),
                (None, Some(name)) => ("name", name.clone()),
                (None, None) => continue,
            };
            if !has_port(&service, port) {
                let text = format!(
                    "Ingress {} leads to port {value} of Service {name}, which has no such port",
                    self.object.name()
                );
                report.fail(
                    Failure::new("IngressPortMissing", Severity::Error, text)
                        .seen(&self.at, format!("{path}.service.port.{field}"), value)
                        .hides(hidden())
                        .explained_by("ingress.spec.rules.http.paths.backend.service.port"),
                );
            }
        }
    }

    /// A backend that is another object: a bucket, a custom resource of the controller's.
    fn resource(&self, path: &str, backend: &IngressBackend, report: &mut Report) {
        let Some(resource) = &backend.resource else { return };
        let api_version = resource.api_group.as_ref().map_or_else(String::new, |group| format!("{group}/"));
        let target = ObjectRef {
            kind: GroupKind::named(&api_version, &resource.kind),
            namespace: self.object.namespace().map(str::to_owned),
            name: resource.name.clone(),
        };
        let lookup = self.view.object(&target);
        if let Some(None) = known_if_served(report, "IngressResourceMissing", &target, lookup) {
            let text = format!("Ingress {} leads to {target}, which does not exist", self.object.name());
            report.fail(
                Failure::new("IngressResourceMissing", Severity::Error, text)
                    .seen(&self.at, format!("{path}.resource.name"), resource.name.clone())
                    .hides(self.object.namespace().into_iter().chain([resource.name.as_str()]))
                    .explained_by("ingress.spec.rules.http.paths.backend.resource"),
            );
        }
    }

    fn certificates(&self, report: &mut Report) {
        for (n, tls) in self.spec.tls.iter().flatten().enumerate() {
            let Some(name) = tls.secret_name.as_deref().filter(|name| !name.is_empty()) else { continue };
            let lookup = self.view.get::<Secret>(self.object.namespace(), name);
            let about = || format!("Secret {name}");
            let Some(found) = report.known("IngressTlsSecretMissing", about(), lookup.clone()) else {
                report.known("IngressTlsSecretIncomplete", about(), lookup);
                continue;
            };
            let (code, what) = match found {
                None => ("IngressTlsSecretMissing", "which does not exist".to_owned()),
                Some(secret) => {
                    let has = |key: &&str| secret.data.as_ref().is_some_and(|data| data.contains_key(*key));
                    let Some(key) = ["tls.crt", "tls.key"].into_iter().find(|key| !has(key)) else {
                        continue;
                    };
                    ("IngressTlsSecretIncomplete", format!("which has no {key}"))
                }
            };
            let text =
                format!("Ingress {} takes its certificate from Secret {name}, {what}", self.object.name());
            report.fail(
                Failure::new(code, Severity::Error, text)
                    .seen(&self.at, format!(".spec.tls[{n}].secretName"), name.to_owned())
                    .hides(self.object.namespace().into_iter().chain([name]))
                    .explained_by("ingress.spec.tls.secretName"),
            );
        }
    }
}

/// A backend's path in the Ingress, and the port that it names.
type Use<'a> = (String, Option<&'a ServiceBackendPort>);

/// Whether `service` has the port; an alias need not list its ports.
fn has_port(service: &Service, port: &ServiceBackendPort) -> bool {
    let Some(spec) = service.spec.as_ref() else { return true };
    let ports = spec.ports.as_deref().unwrap_or_default();
    if ports.is_empty() && spec.type_.as_deref() == Some("ExternalName") {
        return true;
    }
    ports.iter().any(|known| match (port.number, &port.name) {
        (Some(number), _) => known.port == number,
        (None, name) => name.is_some() && known.name == *name,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;
    use crate::analyzers::testing::{cluster_object, codes, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    fn ingress(rest: Value) -> Object {
        object("networking.k8s.io/v1", "Ingress", "front", rest)
    }

    fn class(name: &str, annotations: Value) -> Object {
        let rest = json!({"metadata": {"annotations": annotations}});
        cluster_object("networking.k8s.io/v1", "IngressClass", name, rest)
    }

    fn leading_to(service: Value) -> Value {
        json!({"ingressClassName": "nginx", "rules": [{"http": {"paths": [
            {"path": "/", "pathType": "Prefix", "backend": {"service": service}}]}}]})
    }

    fn web() -> Object {
        object("v1", "Service", "web", json!({"spec": {"ports": [{"name": "http", "port": 80}]}}))
    }

    fn secret(name: &str, data: Value) -> Object {
        object("v1", "Secret", name, json!({"data": data}))
    }

    #[test]
    fn cases_of_the_class() {
        let annotated =
            |class: &str| ingress(json!({"metadata": {"annotations": {CLASS: class}}, "spec": {}}));
        let named = |class: &str| ingress(json!({"spec": {"ingressClassName": class}}));
        let nginx = || class("nginx", json!({}));
        let default = || class("nginx", json!({DEFAULT_CLASS: "true"}));
        let address = json!({"spec": {}, "status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
        let cases: [(&str, Object, Vec<Object>, &[&str]); 11] = [
            ("there", named("nginx"), vec![nginx()], &[]),
            ("not there", named("nginx"), vec![class("other", json!({}))], &["IngressClassMissing"]),
            ("by annotation, there", annotated("nginx"), vec![nginx()], &[]),
            ("by annotation, not there", annotated("nginx"), vec![], &["IngressClassMissing"]),
            ("gce needs no object", annotated("gce"), vec![], &[]),
            ("gce-internal needs no object", annotated("gce-internal"), vec![], &[]),
            ("gce as a field", named("gce"), vec![], &[]),
            ("none, and a default", ingress(json!({"spec": {}})), vec![default()], &[]),
            ("none, and no default", ingress(json!({"spec": {}})), vec![nginx()], &["IngressWithoutClass"]),
            ("none, and yet served", ingress(address), vec![], &[]),
            ("no spec", ingress(json!({})), vec![], &[]),
        ];
        for (name, ingress, others, expected) in cases {
            assert_eq!(codes(&look(&["Ingress"], &ingress, &others)), expected, "{name}");
        }
    }

    #[test]
    fn a_class_that_a_cloud_serves_needs_no_object_and_an_address_is_proof_enough() {
        let named = ingress(json!({"metadata": {"annotations": {CLASS: "gce"}}, "spec": {}}));
        let served = ingress(json!({"metadata": {"annotations": {CLASS: "edge"}}, "spec": {},
            "status": {"loadBalancer": {"ingress": [{"hostname": "lb.example.com"}]}}}));
        for ingress in [named, served] {
            assert!(codes(&look(&["Ingress"], &ingress, &[])).is_empty());
        }
    }

    #[test]
    fn cases_of_backends_and_certificates() {
        let to = |service: Value| ingress(json!({"spec": leading_to(service)}));
        let tls = |secret: &str| {
            ingress(
                json!({"spec": {"ingressClassName": "nginx", "tls": [{"hosts": ["x"]}, {"secretName": secret}]}}),
            )
        };
        let default = |service: &str| {
            ingress(json!({"spec": {"ingressClassName": "nginx", "defaultBackend": {
                "service": {"name": service, "port": {"number": 80}}}}}))
        };
        let bucket = ingress(json!({"spec": {"ingressClassName": "nginx", "defaultBackend": {"resource": {
            "apiGroup": "k8s.example.com", "kind": "Bucket", "name": "static"}}}}));
        let full = json!({"tls.crt": "", "tls.key": ""});
        let action = |annotated: bool| {
            let annotations = if annotated {
                json!({"alb.ingress.kubernetes.io/actions.redirect": "{}"})
            } else {
                json!({})
            };
            ingress(json!({"metadata": {"annotations": annotations},
                "spec": leading_to(json!({"name": "redirect", "port": {"name": "use-annotation"}}))}))
        };
        let cases: [(&str, Object, Vec<Object>, &[&str]); 17] = [
            ("port by number", to(json!({"name": "web", "port": {"number": 80}})), vec![web()], &[]),
            ("port by name", to(json!({"name": "web", "port": {"name": "http"}})), vec![web()], &[]),
            (
                "no such number",
                to(json!({"name": "web", "port": {"number": 81}})),
                vec![web()],
                &["IngressPortMissing"],
            ),
            (
                "no such name",
                to(json!({"name": "web", "port": {"name": "grpc"}})),
                vec![web()],
                &["IngressPortMissing"],
            ),
            (
                "no service",
                to(json!({"name": "web", "port": {"number": 80}})),
                vec![],
                &["IngressServiceMissing"],
            ),
            (
                "an alias without ports",
                to(json!({"name": "web", "port": {"number": 80}})),
                vec![object("v1", "Service", "web", json!({"spec": {"type": "ExternalName"}}))],
                &[],
            ),
            ("default backend, there", default("web"), vec![web()], &[]),
            ("default backend, not there", default("gone"), vec![web()], &["IngressServiceMissing"]),
            (
                "a rule without paths",
                ingress(json!({"spec": {"ingressClassName": "nginx", "rules": [{}]}})),
                vec![],
                &[],
            ),
            ("an action in an annotation", action(true), vec![], &[]),
            ("an action that nobody wrote", action(false), vec![], &["IngressServiceMissing"]),
            (
                "another object",
                bucket.clone(),
                vec![object("k8s.example.com/v1", "Bucket", "static", json!({}))],
                &[],
            ),
            ("another object, not there", bucket, vec![], &["IngressResourceMissing"]),
            ("certificate", tls("cert"), vec![secret("cert", full)], &[]),
            ("no certificate", tls("cert"), vec![], &["IngressTlsSecretMissing"]),
            (
                "no key to the certificate",
                tls("cert"),
                vec![secret("cert", json!({"tls.crt": ""}))],
                &["IngressTlsSecretIncomplete"],
            ),
            ("the controller's own certificate", tls(""), vec![], &[]),
        ];
        for (name, ingress, mut others, expected) in cases {
            others.push(class("nginx", json!({})));
            assert_eq!(codes(&look(&["Ingress"], &ingress, &others)), expected, "{name}");
        }
    }

    #[test]
    fn a_service_that_many_paths_lead_to_is_missing_once_and_seen_at_each() {
        let mut spec = leading_to(json!({"name": "gone", "port": {"number": 80}}));
        spec["defaultBackend"] = json!({"service": {"name": "gone", "port": {"number": 80}}});
        let found = look(&["Ingress"], &ingress(json!({"spec": spec})), &[class("nginx", json!({}))]);
        assert_eq!(codes(&found), ["IngressServiceMissing"]);
        let paths: Vec<&str> =
            found.report.failures()[0].evidence.iter().map(|seen| seen.path.as_str()).collect();
        assert_eq!(
            paths,
            [".spec.defaultBackend.service.name", ".spec.rules[0].http.paths[0].backend.service.name"]
        );
    }

    #[test]
    fn a_class_that_may_not_be_read_is_a_doubt_and_not_missing() {
        let subject = ingress(json!({"spec": {"ingressClassName": "nginx"}}));
        let mut inventory = Inventory::of([subject.clone()]);
        inventory.put_list(&GroupKind::of::<IngressClass>(), None, Err(Unverified::Forbidden));
        let found = look_in(&["Ingress"], &subject, &inventory);
        assert!(codes(&found).is_empty());
        assert_eq!(found.report.doubtful().into_iter().collect::<Vec<_>>(), ["IngressClassMissing"]);
    }

    #[test]
    fn a_secret_that_is_not_read_by_setting_is_a_doubt() {
        let subject = ingress(json!({"spec": {"ingressClassName": "gce", "tls": [{"secretName": "cert"}]}}));
        let mut inventory = Inventory::of([subject.clone()]);
        inventory.put_list(&GroupKind::of::<Secret>(), None, Err(Unverified::NotRead));
        let found = look_in(&["Ingress"], &subject, &inventory);
        assert!(codes(&found).is_empty());
        assert!(found.report.doubtful().contains("IngressTlsSecretMissing"));
    }

    #[test]
    fn a_resource_of_a_kind_that_is_not_installed_is_neither_failure_nor_doubt() {
        let subject = ingress(json!({"spec": {"ingressClassName": "gce", "defaultBackend": {"resource": {
            "apiGroup": "k8s.example.com", "kind": "Bucket", "name": "static"}}}}));
        let mut inventory = Inventory::of([subject.clone()]);
        let kind = GroupKind::new("k8s.example.com", "Bucket");
        inventory.put_list(&kind, None, Err(Unverified::NotInstalled));
        let found = look_in(&["Ingress"], &subject, &inventory);
        assert!(codes(&found).is_empty() && found.report.doubts().is_empty());
    }

    #[test]
    fn an_ingress_of_odd_fields_is_in_doubt() {
        let found = look(&["Ingress"], &ingress(json!({"spec": {"rules": "none"}})), &[]);
        assert!(codes(&found).is_empty() && found.report.doubtful().contains("*"));
    }
}
