//! Admission webhooks: whether the API server can call them. All webhooks of a configuration are its failures, told apart
//! by their paths.

use jiff::SignedDuration;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration, WebhookClientConfig,
};
use k8s_openapi::api::core::v1::{Pod, Service};
use serde_json::Value;

use crate::analyzer::Analyzer;
use crate::analyzers::certificate;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::selector::Selector;
use crate::view::{Lookup, Typed, View};

/// The port that is called where none is named.
const DEFAULT_PORT: i32 = 443;

/// How many pods are evidence one by one.
const TOLD: usize = 5;

/// What cannot be known without the Service.
const BY_SERVICE: [&str; 4] =
    ["WebhookServiceMissing", "WebhookPortMissing", "WebhookWithoutPods", "WebhookPodsNotReady"];

/// Looks at validating webhooks.
pub(crate) struct ValidatingWebhookAnalyzer;

impl Analyzer for ValidatingWebhookAnalyzer {
    fn name(&self) -> &'static str {
        "ValidatingWebhookConfiguration"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<ValidatingWebhookConfiguration>()
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let configuration: ValidatingWebhookConfiguration = object.typed()?;
        for (n, webhook) in configuration.webhooks.iter().flatten().enumerate() {
            let refuses = webhook.failure_policy.as_deref() != Some("Ignore");
            let called = webhook.rules.as_ref().is_some_and(|rules| !rules.is_empty());
            let look = Look { object, at: object.reference(), n, name: &webhook.name, refuses, view };
            if called {
                look.at(&webhook.client_config, report);
            }
        }
        Ok(())
    }
}

/// Looks at mutating webhooks.
pub(crate) struct MutatingWebhookAnalyzer;

impl Analyzer for MutatingWebhookAnalyzer {
    fn name(&self) -> &'static str {
        "MutatingWebhookConfiguration"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<MutatingWebhookConfiguration>()
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let configuration: MutatingWebhookConfiguration = object.typed()?;
        for (n, webhook) in configuration.webhooks.iter().flatten().enumerate() {
            let refuses = webhook.failure_policy.as_deref() != Some("Ignore");
            let called = webhook.rules.as_ref().is_some_and(|rules| !rules.is_empty());
            let look = Look { object, at: object.reference(), n, name: &webhook.name, refuses, view };
            if called {
                look.at(&webhook.client_config, report);
            }
        }
        Ok(())
    }
}

/// One webhook of a configuration, which has rules: without them it is never called.
struct Look<'a> {
    object: &'a Object,
    at: ObjectRef,
    n: usize,
    name: &'a str,
    /// Whether the API server refuses what it cannot ask about; it lets it pass otherwise.
    refuses: bool,
    view: &'a dyn View,
}

/// The Service that is called.
struct Called {
    service: ObjectRef,
    port: i32,
    /// The field that names it, in the client configuration.
    field: &'static str,
}

impl Look<'_> {
    fn at(&self, client: &WebhookClientConfig, report: &mut Report) {
        if let Some(reference) = &client.service {
            let service = ObjectRef::of::<Service>(Some(&reference.namespace), &reference.name);
            let port = reference.port.unwrap_or(DEFAULT_PORT);
            self.service(&Called { service, port, field: "service" }, report);
            if client.ca_bundle.as_ref().is_none_or(|bundle| bundle.0.is_empty()) {
                // No public authority signs for a Service. What injects the bundle has not, or not yet.
                let text = format!(
                    "{} has no CA bundle, so the certificate of its Service is not trusted",
                    self.who()
                );
                let severity = self.severity().min(Severity::Error);
                report.fail(self.failure("WebhookCaMissing", severity, text, "caBundle", None));
            }
        } else if let Some(called) = client.url.as_deref().and_then(service_of) {
            self.service(&called, report);
        }
        self.authority(client, report);
    }

    /// A bundle may hold the authority before this one; only if none is left is the webhook's certificate worthless.
    fn authority(&self, client: &WebhookClientConfig, report: &mut Report) {
        let ends = client.ca_bundle.as_ref().and_then(|bundle| certificate::ends(&bundle.0));
        let Some(last) = ends.and_then(|ends| ends.into_iter().max()) else { return };
        if self.view.is_past(last, SignedDuration::ZERO) {
            let text = format!("the CA bundle of {} expired at {last}", self.who());
            let failure = self.failure("WebhookCaExpired", self.severity(), text, "caBundle", None);
            report.fail(failure);
        }
    }

    fn service(&self, called: &Called, report: &mut Report) {
        let Called { service, port, field } = called;
        let lookup = self.view.get::<Service>(service.namespace.as_deref(), &service.name);
        if let Lookup::Unverified(why) = &lookup {
            for code in BY_SERVICE {
                report.doubt(code, service, why.clone());
            }
            return;
        }
        let Lookup::Found(found) = lookup else {
            let text = format!("{} is called at {service}, which does not exist", self.who());
            self.fail("WebhookServiceMissing", text, called, report);
            return;
        };
        let Some(spec) = found.spec.as_ref().filter(|spec| spec.type_.as_deref() != Some("ExternalName"))
        else {
            return;
        };
        if !spec.ports.iter().flatten().any(|known| known.port == *port) {
            let text =
                format!("{} is called at port {port} of {service}, which has no such port", self.who());
            self.fail("WebhookPortMissing", text, called, report);
        }
        let selector = spec.selector.as_ref().map(Selector::labels).unwrap_or_default();
        if selector.is_everything() {
            return;
        }
        let pods = match self.view.all::<Pod>(service.namespace.as_deref(), &selector) {
            Ok(pods) => pods,
            Err(why) => {
                for code in ["WebhookWithoutPods", "WebhookPodsNotReady"] {
                    report.doubt(code, format!("pods of {service}"), why.clone());
                }
                return;
            }
        };
        if pods.iter().any(is_ready) {
            return;
        }
        let (code, what) = if pods.is_empty() {
            ("WebhookWithoutPods", "which has no pods")
        } else {
            ("WebhookPodsNotReady", "none of whose pods is ready")
        };
        let text = format!("{} is called at {service}, {what}", self.who());
        let value = Some(service.path());
        let failure = self.failure(code, self.severity(), text, field, value).hides(hidden_of(service));
        report.fail(pods.iter().take(TOLD).fold(failure, |failure, pod| {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            let at = ObjectRef::of::<Pod>(service.namespace.as_deref(), name);
            let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
            failure.seen(&at, ".status.phase", phase)
        }));
    }

    fn fail(&self, code: &str, text: String, called: &Called, report: &mut Report) {
        let value = Some(called.service.path());
        let failure = self.failure(code, self.severity(), text, called.field, value);
        report.fail(failure.hides(hidden_of(&called.service)));
    }

    fn failure(
        &self,
        code: &str,
        severity: Severity,
        text: String,
        field: &str,
        value: Option<String>,
    ) -> Failure {
        let path = |field: &str| format!(".webhooks[{}].{field}", self.n);
        let policy = self.object.value().pointer(&format!("/webhooks/{}/failurePolicy", self.n));
        let policy = policy.and_then(Value::as_str).map(str::to_owned);
        Failure::new(code, severity, text)
            .seen(&self.at, path(&format!("clientConfig.{field}")), value)
            .seen(&self.at, path("failurePolicy"), policy)
            .hides([self.name])
            .explained_by(&format!("{}.webhooks.clientConfig", self.at.kind.kind.to_lowercase()))
    }

    /// A webhook that refuses what it is not asked about stops others from working; one that is ignored does not.
    const fn severity(&self) -> Severity {
        if self.refuses { Severity::Critical } else { Severity::Warning }
    }

    fn who(&self) -> String {
        let then = if self.refuses { "whatever it is asked about is refused" } else { "it is passed over" };
        format!("webhook {} ({then})", self.name)
    }
}

fn hidden_of(service: &ObjectRef) -> impl Iterator<Item = &str> {
    service.namespace.as_deref().into_iter().chain([service.name.as_str()])
}

/// The Service of a URL that leads into the cluster: `https://NAME.NAMESPACE.svc[.…][:PORT]/…`.
fn service_of(url: &str) -> Option<Called> {
    let rest = url.strip_prefix("https://")?;
    let authority = rest.split(['/', '?']).next()?;
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, DEFAULT_PORT),
    };
    let mut labels = host.split('.');
    let (name, namespace) = (labels.next()?, labels.next()?);
    (labels.next() == Some("svc") && !name.is_empty() && !namespace.is_empty()).then(|| Called {
        service: ObjectRef::of::<Service>(Some(namespace), name),
        port,
        field: "url",
    })
}

/// Whether a pod answers: one that is being deleted, or a finished one that the selector matches too, does not.
fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    pod.metadata.deletion_timestamp.is_none()
        && conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analyzers::certificate::tests::{EXPIRED, VALID};
    use crate::analyzers::testing::{cluster_object, codes, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    const BOTH: [&str; 2] = ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"];

    fn configuration(kind: &str, webhooks: Value) -> Object {
        cluster_object("admissionregistration.k8s.io/v1", kind, "policy", json!({"webhooks": webhooks}))
    }

    fn bundle(pem: &str) -> Value {
        serde_json::to_value(k8s_openapi::ByteString(pem.as_bytes().to_vec())).unwrap_or_default()
    }

    fn webhook(client: Value) -> Value {
        json!({"name": "check.example.com", "clientConfig": client, "sideEffects": "None",
            "admissionReviewVersions": ["v1"], "failurePolicy": "Fail",
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]})
    }

    fn at_service() -> Value {
        webhook(json!({"service": {"name": "hook", "namespace": "shop"}, "caBundle": bundle(VALID)}))
    }

    fn service(spec: Value) -> Object {
        object("v1", "Service", "hook", json!({"spec": spec}))
    }

    fn hook() -> Object {
        service(json!({"selector": {"app": "hook"}, "ports": [{"port": 443}]}))
    }

    fn pod(name: &str, ready: &str) -> Object {
        object(
            "v1",
            "Pod",
            name,
            json!({"metadata": {"labels": {"app": "hook"}}, "spec": {"containers": []},
                "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}}),
        )
    }

    #[test]
    fn cases() {
        let url = |url: &str| webhook(json!({"url": url, "caBundle": bundle(VALID)}));
        let trusting = |bundle: Value| {
            webhook(json!({"service": {"name": "hook", "namespace": "shop"}, "caBundle": bundle}))
        };
        let healthy = || vec![hook(), pod("a", "True")];
        let mut without_rules = at_service();
        without_rules["rules"] = json!([]);
        let mut going = pod("a", "True").value().clone();
        going["metadata"]["deletionTimestamp"] = json!("2026-06-01T11:59:00Z");
        let cases: [(&str, Value, Vec<Object>, &[&str]); 20] = [
            ("healthy", at_service(), healthy(), &[]),
            ("no service", at_service(), vec![], &["WebhookServiceMissing"]),
            (
                "another port",
                at_service(),
                vec![
                    service(json!({"selector": {"app": "hook"}, "ports": [{"port": 8443}]})),
                    pod("a", "True"),
                ],
                &["WebhookPortMissing"],
            ),
            ("no pods", at_service(), vec![hook()], &["WebhookWithoutPods"]),
            ("no ready pod", at_service(), vec![hook(), pod("a", "False")], &["WebhookPodsNotReady"]),
            (
                "one ready pod of two is enough",
                at_service(),
                vec![hook(), pod("a", "True"), pod("b", "False")],
                &[],
            ),
            (
                "the ready pod goes",
                at_service(),
                vec![hook(), Object::new(going).unwrap_or_else(|_| hook())],
                &["WebhookPodsNotReady"],
            ),
            ("no selector", at_service(), vec![service(json!({"ports": [{"port": 443}]}))], &[]),
            ("an alias", at_service(), vec![service(json!({"type": "ExternalName"}))], &[]),
            ("never called", without_rules, vec![], &[]),
            ("a URL outside", url("https://example.com/hook"), vec![], &[]),
            ("a URL inside", url("https://hook.shop.svc/check"), healthy(), &[]),
            (
                "a URL inside, nobody there",
                url("https://hook.shop.svc.cluster.local:443/x"),
                vec![],
                &["WebhookServiceMissing"],
            ),
            (
                "a URL with another port",
                url("https://hook.shop.svc:8443"),
                healthy(),
                &["WebhookPortMissing"],
            ),
            ("no CA", trusting(Value::Null), healthy(), &["WebhookCaMissing"]),
            ("an empty CA", trusting(json!("")), healthy(), &["WebhookCaMissing"]),
            ("an expired CA", trusting(bundle(EXPIRED)), healthy(), &["WebhookCaExpired"]),
            ("a CA beside its expired one", trusting(bundle(&format!("{EXPIRED}\n{VALID}"))), healthy(), &[]),
            ("a CA that we cannot read", trusting(bundle("-----BEGIN CERTIFICATE-----")), healthy(), &[]),
            ("a public CA for a URL", webhook(json!({"url": "https://example.com"})), vec![], &[]),
        ];
        for (name, webhook, others, expected) in cases {
            for kind in BOTH {
                let subject = configuration(kind, json!([webhook]));
                assert_eq!(codes(&look(&BOTH, &subject, &others)), expected, "{name}: {kind}");
            }
        }
    }

    #[test]
    fn a_pod_that_ended_beside_one_that_is_ready_is_no_failure() {
        let mut ended = pod("b", "False").value().clone();
        ended["status"]["phase"] = json!("Succeeded");
        let Ok(ended) = Object::new(ended) else { panic!("an object") };
        let found =
            look(&BOTH, &configuration(BOTH[0], json!([at_service()])), &[hook(), pod("a", "True"), ended]);
        assert!(codes(&found).is_empty());
    }

    #[test]
    fn the_failure_policy_decides_how_bad_it_is() {
        for (policy, expected) in [
            (json!("Fail"), Severity::Critical),
            (Value::Null, Severity::Critical),
            (json!("Ignore"), Severity::Warning),
        ] {
            let mut webhook = at_service();
            webhook["failurePolicy"] = policy.clone();
            let found = look(&BOTH, &configuration(BOTH[0], json!([webhook])), &[]);
            assert_eq!(found.report.failures()[0].severity, expected, "{policy}");
        }
    }

    #[test]
    fn all_webhooks_are_failures_of_their_one_configuration() {
        let found = look(&BOTH, &configuration(BOTH[1], json!([at_service(), at_service()])), &[]);
        assert_eq!(codes(&found), ["WebhookServiceMissing", "WebhookServiceMissing"]);
        let paths: Vec<&str> =
            found.report.failures().iter().map(|failure| failure.evidence[0].path.as_str()).collect();
        assert_eq!(paths, [".webhooks[0].clientConfig.service", ".webhooks[1].clientConfig.service"]);
        assert_eq!(found.object.name, "policy");
    }

    #[test]
    fn what_may_not_be_read_is_a_doubt() {
        for kind in [GroupKind::of::<Service>(), GroupKind::of::<Pod>()] {
            let subject = configuration(BOTH[0], json!([at_service()]));
            let mut inventory = Inventory::of([subject.clone(), hook()]);
            inventory.put_list(&kind, None, Err(Unverified::Forbidden));
            if kind.is::<Service>() {
                inventory.remove(&hook().reference());
            }
            let found = look_in(&BOTH, &subject, &inventory);
            assert!(codes(&found).is_empty(), "{kind}: {:?}", codes(&found));
            assert!(found.report.doubtful().contains("WebhookWithoutPods"), "{kind}");
        }
    }

    #[test]
    fn a_configuration_of_odd_fields_is_in_doubt() {
        for odd in [json!(7), json!([{"name": "x", "clientConfig": {"caBundle": "%"}}])] {
            let found = look(&BOTH, &configuration(BOTH[0], odd), &[]);
            assert!(codes(&found).is_empty() && found.report.doubtful().contains("*"));
        }
    }
}
