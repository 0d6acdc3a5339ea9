//! Services: whether anything answers behind them. The subject is the Service, told by its EndpointSlices.

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::{Pod, Service, ServicePort, ServiceSpec};
use k8s_openapi::api::discovery::v1::Endpoint;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::analyzer::Analyzer;
use crate::analyzers::endpoints::{Backend, Endpoints};
use crate::analyzers::pod_maker::{SCALED, making};
use crate::analyzers::workload::settles;
use crate::event::{self, standing_warnings};
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::selector::Selector;
use crate::view::{Typed, View};

/// On a Service that exists only to elect a leader: nobody ever answers on it.
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";

/// How long a pod may take to become ready while others serve, before it is worth a word: a rollout starts pods.
const STARTING: SignedDuration = SignedDuration::from_mins(2);

/// How many backends are evidence one by one; the rest is a number.
const TOLD: usize = 10;

/// How many pods are looked up to see whether they are late: of a large Service in a rollout, hundreds are starting.
const LOOKED_UP: usize = 20;

/// Reason of what the API server says of an address that it then enters where it is missing: often only that it has not seen it yet.
const REPAIRED: &str = "ClusterIPNotAllocated";

const NONE_READY: &str = "ServiceHasNoReadyEndpoints";
const SOME_NOT_READY: &str = "ServiceEndpointsNotReady";

/// What cannot be known without the EndpointSlices.
const BY_ENDPOINTS: [&str; 5] =
    ["ServiceWithoutEndpoints", "ServiceScaledToZero", NONE_READY, SOME_NOT_READY, "ServicePortUnknown"];

/// Looks at Services.
pub(crate) struct ServiceAnalyzer;

impl Analyzer for ServiceAnalyzer {
    fn name(&self) -> &'static str {
        "Service"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<Service>()
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let service: Service = object.typed()?;
        let Some(spec) = service.spec.as_ref() else { return Ok(()) };
        let labels = spec.selector.as_ref().map(Selector::labels).unwrap_or_default();
        let look = Look { object, at: object.reference(), spec, labels, view };
        look.warned(report);
        if look.is_served_by_selected_pods() {
            look.endpoints(report);
        }
        Ok(())
    }
}

struct Look<'a> {
    object: &'a Object,
    at: ObjectRef,
    spec: &'a ServiceSpec,
    labels: Selector,
    view: &'a dyn View,
}

impl Look<'_> {
    /// An ExternalName is an alias; without a selector somebody else keeps the endpoints; a headless Service names pods
    /// and balances nothing, and is right without one.
    fn is_served_by_selected_pods(&self) -> bool {
        self.spec.type_.as_deref() != Some("ExternalName")
            && self.spec.cluster_ip.as_deref() != Some("None")
            && !self.labels.is_everything()
            && !self.object.annotations().contains_key(LEADER)
    }

    /// What controllers complain of: a load balancer that could not be made.
    fn warned(&self, report: &mut Report) {
        let events = self.view.events_about(self.object);
        let Some(events) = report.listed("ServiceWarned", format!("events of {}", self.at), events) else {
            return;
        };
        let warnings = standing_warnings(&events);
        for event in warnings.into_iter().filter(|event| event.reason.as_deref() != Some(REPAIRED)) {
            let message = event.message.clone().unwrap_or_default();
            let text = format!("Service {} has the event: {message}", self.object.name());
            report.fail(Failure::new("ServiceWarned", Severity::Warning, text).seen(
                &event::reference(event),
                ".message",
                message,
            ));
        }
    }

    fn endpoints(&self, report: &mut Report) {
        let endpoints = match Endpoints::of(self.view, self.object.namespace(), self.object.name()) {
            Ok(endpoints) => endpoints,
            Err(why) => {
                for code in BY_ENDPOINTS {
                    report.doubt(code, format!("EndpointSlices of {}", self.at), why.clone());
                }
                return;
            }
        };
        let backends = endpoints.backends();
        let waiting: Vec<(&String, &Backend<'_>)> =
            backends.iter().filter(|(_, backend)| !backend.ready).collect();
        if backends.is_empty() {
            self.without(report);
        } else if waiting.len() == backends.len() {
            self.not_ready(NONE_READY, Severity::Error, backends.len(), &waiting, report);
        } else {
            let looked_up = waiting.into_iter().take(LOOKED_UP);
            let late: Vec<_> =
                looked_up.filter(|(_, backend)| self.is_late(backend.endpoint, report)).collect();
            if !late.is_empty() {
                self.not_ready(SOME_NOT_READY, Severity::Warning, backends.len(), &late, report);
            }
        }
        for code in [NONE_READY, SOME_NOT_READY] {
            if !report.failures().iter().any(|failure| failure.code == code) {
                settles(code, self.object, &self.labels, self.view, report);
            }
        }
        self.named_ports(&endpoints, report);
    }

    fn not_ready(
        &self,
        code: &str,
        severity: Severity,
        all: usize,
        waiting: &[(&String, &Backend<'_>)],
        report: &mut Report,
    ) {
        // The names are evidence and not part of the text: pods come and go, and it is the same failure.
        let text =
            format!("{} of {all} endpoints of Service {} are not ready", waiting.len(), self.object.name());
        let failure = Failure::new(code, severity, text).hides([self.object.name()]);
        report.fail(waiting.iter().take(TOLD).fold(failure, |failure, (name, backend)| {
            let (slice, n) = &backend.slice;
            let ready = format!(".endpoints[{n}].conditions.ready");
            let target = format!(".endpoints[{n}].targetRef");
            failure.seen(slice, ready, "false".to_owned()).seen(slice, target, (*name).clone())
        }));
    }

    /// Whether an endpoint that is not ready, beside others that are, should be by now.
    fn is_late(&self, endpoint: &Endpoint, report: &mut Report) -> bool {
        let target = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
        let Some(name) = target.and_then(|target| target.name.as_deref()) else { return true };
        let lookup = self.view.object(&ObjectRef::of::<Pod>(self.object.namespace(), name));
        match report.known(SOME_NOT_READY, format!("Pod {name}"), lookup) {
            Some(Some(pod)) => pod.created().is_none_or(|created| self.view.is_past(created, STARTING)),
            // Gone: the slice will follow.
            Some(None) | None => false,
        }
    }

    /// Nobody has an endpoint: because nobody is asked for, or because the selector matches nothing.
    fn without(&self, report: &mut Report) {
        let about = format!("what {} selects", self.at);
        let namespace = self.object.namespace();
        let code = "ServiceWithoutEndpoints";
        let pods = self.view.list(&GroupKind::of::<Pod>(), namespace, &self.labels);
        let Some(pods) = report.listed(code, about.clone(), pods) else { return };
        let name = self.object.name();
        let selector = self.labels.to_string();
        let text = if pods.is_empty() {
            let workloads = making(self.view, namespace, &self.labels, &SCALED);
            let Some(workloads) = report.listed(code, about, workloads) else { return };
            if let [first, ..] = workloads.as_slice()
                && workloads.iter().all(|workload| workload.replicas == Some(0))
            {
                let text = format!("Service {name} has no endpoints because {} is scaled to 0", first.at);
                report.fail(
                    Failure::new("ServiceScaledToZero", Severity::Info, text)
                        .seen(&self.at, ".spec.selector", selector)
                        .seen(&first.at, ".spec.replicas", "0".to_owned())
                        .hides([name, first.at.name.as_str()]),
                );
                return;
            }
            format!("Service {name} has no endpoints: no pod has the labels {selector}")
        } else {
            format!(
                "Service {name} has no endpoints: none of the pods with the labels {selector} has an address"
            )
        };
        let words = self.spec.selector.iter().flatten().flat_map(|(key, value)| [key.as_str(), value]);
        let failure = Failure::new(code, Severity::Error, text)
            .seen(&self.at, ".spec.selector", selector)
            .hides(words.chain([name]))
            .explained_by("service.spec.selector");
        report.fail(pods.iter().take(TOLD).fold(failure, |failure, pod| {
            failure.seen(&pod.reference(), ".status.phase", pod.text("/status/phase").map(str::to_owned))
        }));
    }

    /// Ports that go to a name which no pod gives to a port of it: connections are refused though endpoints are ready.
    ///
    /// The slices tell most of the time that the name was found; the pods need not be read then.
    fn named_ports(&self, endpoints: &Endpoints, report: &mut Report) {
        let named: Vec<(usize, &ServicePort, &str)> = self
            .spec
            .ports
            .iter()
            .flatten()
            .enumerate()
            .filter(|(_, port)| !endpoints.have_port(port.name.as_deref()))
            .filter_map(|(n, port)| match &port.target_port {
                Some(IntOrString::String(name)) => Some((n, port, name.as_str())),
                _ => None,
            })
            .collect();
        if named.is_empty() {
            return;
        }
        let pods = self.view.all::<Pod>(self.object.namespace(), &self.labels);
        let about = format!("pods of {}", self.at);
        let Some(mut pods) = report.listed("ServicePortUnknown", about, pods) else { return };
        pods.retain(|pod| {
            let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
            pod.metadata.deletion_timestamp.is_none() && !matches!(phase, Some("Succeeded" | "Failed"))
        });
        for (n, port, name) in named {
            if pods.is_empty() || pods.iter().any(|pod| has_port(pod, name, port.protocol.as_deref())) {
                continue;
            }
            let text = format!(
                "port {} of Service {} goes to the port {name:?}, which no pod of it has",
                port.port,
                self.object.name()
            );
            report.fail(
                Failure::new("ServicePortUnknown", Severity::Error, text)
                    .seen(&self.at, format!(".spec.ports[{n}].targetPort"), name.to_owned())
                    .hides([self.object.name()])
                    .explained_by("service.spec.ports.targetPort"),
            );
        }
    }
}

/// Whether a container of `pod`, or a sidecar among its init containers, gives this name to a port.
fn has_port(pod: &Pod, name: &str, protocol: Option<&str>) -> bool {
    let Some(spec) = pod.spec.as_ref() else { return false };
    let sidecars = spec
        .init_containers
        .iter()
        .flatten()
        .filter(|container| container.restart_policy.as_deref() == Some("Always"));
    spec.containers.iter().chain(sidecars).flat_map(|container| container.ports.iter().flatten()).any(
        |port| {
            port.name.as_deref() == Some(name)
                && port.protocol.as_deref().unwrap_or("TCP") == protocol.unwrap_or("TCP")
        },
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use k8s_openapi::api::discovery::v1::EndpointSlice;

    use super::*;
    use crate::analyzers::endpoints::SERVICE_NAME;
    use crate::analyzers::testing::{codes, event, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    fn service(spec: Value) -> Object {
        object("v1", "Service", "web", json!({"spec": spec}))
    }

    fn web() -> Object {
        service(json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}))
    }

    fn slice(name: &str, endpoints: Value) -> Object {
        object(
            "discovery.k8s.io/v1",
            "EndpointSlice",
            name,
            json!({"metadata": {"labels": {SERVICE_NAME: "web"}}, "addressType": "IPv4", "endpoints": endpoints}),
        )
    }

    fn endpoint(pod: &str, conditions: Value) -> Value {
        json!({"addresses": ["10.0.0.1"], "conditions": conditions, "targetRef": {"kind": "Pod", "name": pod}})
    }

    fn pod(name: &str, rest: Value) -> Object {
        let mut pod = object(
            "v1",
            "Pod",
            name,
            json!({"metadata": {"labels": {"app": "web"}, "creationTimestamp": "2026-05-01T00:00:00Z"},
                "spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]}}),
        )
        .value()
        .clone();
        for (field, value) in rest.as_object().unwrap() {
            pod["metadata"][field] = value.clone();
        }
        Object::new(pod).unwrap()
    }

    #[test]
    fn cases() {
        let ready = || endpoint("a", json!({"ready": true}));
        let waits = || endpoint("b", json!({"ready": false}));
        let old = || pod("b", json!({}));
        let cases: [(&str, Object, Vec<Object>, &[&str]); 13] = [
            ("served", web(), vec![slice("s", json!([ready()]))], &[]),
            ("unknown readiness is ready", web(), vec![slice("s", json!([endpoint("a", json!({}))]))], &[]),
            ("no pods", web(), vec![], &["ServiceWithoutEndpoints"]),
            ("an empty slice", web(), vec![slice("s", Value::Null)], &["ServiceWithoutEndpoints"]),
            ("pods without an address", web(), vec![old()], &["ServiceWithoutEndpoints"]),
            ("none ready", web(), vec![slice("s", json!([waits()])), old()], &["ServiceHasNoReadyEndpoints"]),
            (
                "some not ready",
                web(),
                vec![slice("s", json!([ready(), waits()])), old()],
                &["ServiceEndpointsNotReady"],
            ),
            (
                "a rollout starts a pod",
                web(),
                vec![
                    slice("s", json!([ready(), waits()])),
                    pod("b", json!({"creationTimestamp": "2026-06-01T11:59:00Z"})),
                ],
                &[],
            ),
            ("the pod is gone", web(), vec![slice("s", json!([ready(), waits()]))], &[]),
            (
                "a pod goes",
                web(),
                vec![slice(
                    "s",
                    json!([ready(), endpoint("b", json!({"ready": false, "terminating": true}))]),
                )],
                &[],
            ),
            (
                "one pod in a slice of each family",
                web(),
                vec![slice("four", json!([ready()])), slice("six", json!([ready()]))],
                &[],
            ),
            ("no spec", object("v1", "Service", "web", json!({})), vec![], &[]),
            (
                "the slice of another Service",
                web(),
                vec![object(
                    "discovery.k8s.io/v1",
                    "EndpointSlice",
                    "s",
                    json!({"metadata": {"labels": {SERVICE_NAME: "api"}}, "addressType": "IPv4", "endpoints": [ready()]}),
                )],
                &["ServiceWithoutEndpoints"],
            ),
        ];
        for (name, service, others, expected) in cases {
            assert_eq!(codes(&look(&["Service"], &service, &others)), expected, "{name}");
        }
    }

    #[test]
    fn a_service_is_told_by_its_endpoint_slices_and_not_by_endpoints_of_the_old_kind() {
        let old = |subsets: Value| object("v1", "Endpoints", "web", json!({"subsets": subsets}));
        let ready = slice("s", json!([endpoint("a", json!({"ready": true}))]));
        assert!(codes(&look(&["Service"], &web(), &[ready, old(json!([]))])).is_empty(), "served");
        let addresses = old(json!([{"addresses": [{"ip": "10.0.0.1"}]}]));
        assert_eq!(codes(&look(&["Service"], &web(), &[addresses])), ["ServiceWithoutEndpoints"]);
    }

    #[test]
    fn headless_alias_selectorless_and_leader_services_need_no_endpoints() {
        let leader = object(
            "v1",
            "Service",
            "web",
            json!({"metadata": {"annotations": {LEADER: "{}"}}, "spec": {"selector": {"app": "web"}}}),
        );
        for service in [
            service(json!({"clusterIP": "None", "selector": {"app": "web"}})),
            service(json!({"type": "ExternalName", "externalName": "x.org", "selector": {"app": "x"}})),
            service(json!({"ports": [{"port": 80}]})),
            service(json!({"selector": {}})),
            leader,
        ] {
            assert!(codes(&look(&["Service"], &service, &[])).is_empty(), "{service:?}");
        }
    }

    #[test]
    fn pods_are_named_in_the_evidence_and_not_in_the_text_which_stays_when_they_change() {
        let without = |name: &str| look(&["Service"], &web(), &[pod(name, json!({}))]);
        let waits = |name: &str| {
            let slice = slice("s", json!([endpoint(name, json!({"ready": false}))]));
            look(&["Service"], &web(), &[slice, pod(name, json!({}))])
        };
        for (one, other) in [(without("a"), without("b")), (waits("a"), waits("b"))] {
            let (one, other) = (&one.report.failures()[0], &other.report.failures()[0]);
            assert_eq!(one.text, other.text);
            assert_ne!(one.evidence, other.evidence);
        }
    }

    #[test]
    fn pods_are_not_read_when_the_slices_know_the_port() {
        let subject = service(json!({"selector": {"app": "web"},
            "ports": [{"name": "web", "port": 80, "targetPort": "http"}]}));
        let with = |ports: Value| {
            let mut slice = slice("s", json!([endpoint("a", json!({"ready": true}))])).value().clone();
            slice["ports"] = ports;
            let mut inventory = Inventory::of([subject.clone(), Object::new(slice).unwrap()]);
            inventory.put_list(&GroupKind::of::<Pod>(), None, Err(Unverified::Forbidden));
            look_in(&["Service"], &subject, &inventory).report.doubts().len()
        };
        assert_eq!(with(json!([{"name": "web", "port": 8080}])), 0);
        assert_eq!((with(json!([{"name": "api", "port": 8080}])), with(Value::Null)), (1, 1));
    }

    #[test]
    fn a_service_of_a_workload_at_zero_is_not_broken() {
        let deployment = |replicas: i64, app: &str| {
            object(
                "apps/v1",
                "Deployment",
                &format!("d-{app}-{replicas}"),
                json!({"spec": {"replicas": replicas, "template": {"metadata": {"labels": {"app": app}}}}}),
            )
        };
        let found = look(&["Service"], &web(), &[deployment(0, "web"), deployment(3, "api")]);
        assert_eq!(codes(&found), ["ServiceScaledToZero"]);
        assert_eq!(found.report.failures()[0].severity, Severity::Info);
        let wanted = look(&["Service"], &web(), &[deployment(0, "web"), deployment(1, "web")]);
        assert_eq!(codes(&wanted), ["ServiceWithoutEndpoints"], "another workload should have pods");
    }

    #[test]
    fn a_port_that_no_pod_names_is_found_though_endpoints_are_ready() {
        let to = |target: Value| {
            service(json!({"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": target}]}))
        };
        let others = [slice("s", json!([endpoint("a", json!({"ready": true}))])), pod("a", json!({}))];
        let found = look(&["Service"], &to(json!("grpc")), &others);
        assert_eq!(codes(&found), ["ServicePortUnknown"]);
        assert_eq!(found.report.failures()[0].evidence[0].path, ".spec.ports[0].targetPort");
        for known in [json!("http"), json!(8080), json!(9999)] {
            assert!(codes(&look(&["Service"], &to(known.clone()), &others)).is_empty(), "{known}");
        }
    }

    #[test]
    fn events_count_by_kind_and_uid_and_until_a_good_one_follows() {
        let healthy = slice("s", json!([endpoint("a", json!({"ready": true}))]));
        let failed = event(&web(), "SyncLoadBalancerFailed", "quota", "2026-06-01T11:00:00Z");
        let of_a_deployment =
            event(&object("apps/v1", "Deployment", "web", json!({})), "Failed", "no", "2026-06-01T11:00:00Z");
        let found = look(&["Service"], &web(), &[healthy.clone(), failed.clone(), of_a_deployment]);
        assert_eq!(codes(&found), ["ServiceWarned"]);
        assert!(found.report.failures()[0].text.contains("quota"));
        let mut ensured =
            event(&web(), "EnsuredLoadBalancer", "done", "2026-06-01T11:30:00Z").value().clone();
        ensured["type"] = json!("Normal");
        let healed = look(&["Service"], &web(), &[healthy.clone(), failed, Object::new(ensured).unwrap()]);
        assert!(codes(&healed).is_empty(), "{:?}", codes(&healed));
        // The API server says so of Services whose address it has not seen yet, and nobody has to do anything.
        let text = "Cluster IP [IPv4]: 10.96.50.174 is not allocated; repairing";
        let repaired = event(&web(), "ClusterIPNotAllocated", text, "2026-06-01T11:00:00Z");
        assert!(codes(&look(&["Service"], &web(), &[healthy.clone(), repaired])).is_empty());
        let twice = event(&web(), "ClusterIPAlreadyAllocated", "recreate it", "2026-06-01T11:00:00Z");
        assert_eq!(codes(&look(&["Service"], &web(), &[healthy, twice])), ["ServiceWarned"]);
    }

    #[test]
    fn slices_that_may_not_be_read_leave_a_doubt_and_no_failure() {
        let mut inventory = Inventory::of([web()]);
        inventory.put_list(&GroupKind::of::<EndpointSlice>(), None, Err(Unverified::Forbidden));
        let found = look_in(&["Service"], &web(), &inventory);
        assert!(codes(&found).is_empty());
        assert!(found.report.doubtful().contains("ServiceWithoutEndpoints"));
    }

    #[test]
    fn a_service_of_odd_fields_is_in_doubt() {
        let found = look(&["Service"], &service(json!({"selector": ["app"]})), &[]);
        assert!(codes(&found).is_empty());
        assert!(found.report.doubtful().contains("*"));
    }
}
