//! HTTP routes: whether their Gateways take them, and whether what they lead to is there and may be referred to.

use k8s_openapi::api::core::v1::{Namespace, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde::Deserialize;
use serde_json::Value;

use crate::analyzer::Analyzer;
use crate::analyzers::condition::{Rule, judge};
use crate::analyzers::gateway_api::{GATEWAY, GROUP, HTTP_ROUTE, may_refer, referred};
use crate::analyzers::json::{items, number, text};
use crate::analyzers::listing::some_of;
use crate::analyzers::served::known_if_served;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::selector::Selector;
use crate::view::{Lookup, Unverified, View};

const RULES: [Rule; 3] = [
    Rule::wanted("Accepted", "RouteNotAccepted", Severity::Error),
    Rule::wanted("ResolvedRefs", "RouteRefsNotResolved", Severity::Error),
    Rule::unwanted("PartiallyInvalid", "RoutePartlyInvalid", Severity::Warning),
];

/// Protocols of listeners that carry no HTTP requests to route.
const NO_HTTP: [&str; 3] = ["TLS", "TCP", "UDP"];

/// What cannot be known without the Gateway.
const BY_GATEWAY: [&str; 3] = ["RouteParentMissing", "RouteListenerMissing", "RouteNotAllowed"];

/// Looks at HTTP routes.
pub(crate) struct HttpRouteAnalyzer;

impl Analyzer for HttpRouteAnalyzer {
    fn name(&self) -> &'static str {
        "HTTPRoute"
    }

    fn subject(&self) -> GroupKind {
        HTTP_ROUTE
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let look = Look { object, at: object.reference(), view };
        look.parents(report);
        look.conditions(report);
        look.backends(report);
        Ok(())
    }
}

struct Look<'a> {
    object: &'a Object,
    at: ObjectRef,
    view: &'a dyn View,
}

impl Look<'_> {
    fn parents(&self, report: &mut Report) {
        for (n, parent) in items(self.object.value(), "/spec/parentRefs") {
            // A route may also belong to a Service of a mesh, or to a kind of a vendor's; nothing is known of those.
            let Some(gateway) = referred(self.object, parent, &GATEWAY).filter(|to| to.kind == GATEWAY)
            else {
                continue;
            };
            let path = format!(".spec.parentRefs[{n}]");
            let lookup = self.view.object(&gateway);
            if let Lookup::Unverified(_) = &lookup {
                for code in BY_GATEWAY {
                    known_if_served(report, code, &gateway, lookup.clone());
                }
                continue;
            }
            if let Lookup::Found(found) = lookup {
                self.listeners(&gateway, found.value(), parent, &path, report);
            } else {
                let text = format!("{} belongs to {gateway}, which does not exist", self.who());
                self.fail("RouteParentMissing", text, &gateway, format!("{path}.name"), report);
            }
        }
    }

    /// Whether one of the listeners that the route asks for takes it. One is enough.
    fn listeners(&self, gateway: &ObjectRef, found: &Value, parent: &Value, path: &str, report: &mut Report) {
        let section = text(parent, "/sectionName");
        let port = number(parent, "/port");
        let asked: Vec<(usize, &Value)> = items(found, "/spec/listeners")
            .filter(|(_, listener)| section.is_none_or(|section| text(listener, "/name") == Some(section)))
            .filter(|(_, listener)| port.is_none_or(|port| number(listener, "/port") == Some(port)))
            .collect();
        if asked.is_empty() {
            let (field, which) = match (section, port) {
                (Some(section), None) => (".sectionName", format!("named {section}")),
                (Some(section), Some(port)) => (".sectionName", format!("named {section} on port {port}")),
                (None, Some(port)) => (".port", format!("on port {port}")),
                (None, None) => return,
            };
            let text = format!("{} belongs to a listener {which} of {gateway}, which has none", self.who());
            self.fail("RouteListenerMissing", text, gateway, format!("{path}{field}"), report);
            return;
        }
        let mut refused = Vec::new();
        for (n, listener) in asked {
            let name = text(listener, "/name").unwrap_or("without a name");
            let why = if takes_http_routes(listener) {
                match self.lets_namespace(listener, gateway, report) {
                    // Nobody can say: it may be this one that takes the route.
                    Ok(None) | Err(()) => return,
                    Ok(Some(why)) => why,
                }
            } else {
                "takes no HTTPRoutes".to_owned()
            };
            refused.push((n, format!("listener {name} {why}")));
        }
        let reasons: Vec<String> = refused.iter().map(|(_, why)| why.clone()).collect();
        let text = format!("{} is not let in by {gateway}: {}", self.who(), some_of(&reasons, 5));
        let failure = Failure::new("RouteNotAllowed", Severity::Error, text)
            .seen(&self.at, path.to_owned(), gateway.path())
            .hides(self.hidden(gateway))
            .explained_by("gateway.spec.listeners.allowedRoutes");
        report.fail(refused.iter().fold(failure, |failure, (n, _)| {
            failure.seen(gateway, format!(".spec.listeners[{n}].allowedRoutes"), None)
        }));
    }

    /// Why the listener does not let routes of this namespace in; none if it does, an error if nobody can say.
    fn lets_namespace(
        &self,
        listener: &Value,
        gateway: &ObjectRef,
        report: &mut Report,
    ) -> Result<Option<String>, ()> {
        let own = self.object.namespace().unwrap_or_default();
        match text(listener, "/allowedRoutes/namespaces/from").unwrap_or("Same") {
            "Same" if gateway.namespace.as_deref() == Some(own) => Ok(None),
            "Same" => Ok(Some("takes routes of its own namespace only".to_owned())),
            "None" => Ok(Some("takes no routes".to_owned())),
            "Selector" => {
                let labels = self.labels_of_namespace(own).map_err(|why| {
                    report.doubt("RouteNotAllowed", format!("Namespace {own}"), why);
                })?;
                let selector = listener.pointer("/allowedRoutes/namespaces/selector");
                let selector =
                    LabelSelector::deserialize(selector.unwrap_or(&Value::Null)).map_err(|error| {
                        report.doubt("RouteNotAllowed", gateway, Unverified::Failed(error.to_string()));
                    })?;
                let selector = Selector::from(&selector);
                Ok((!selector.matches(&labels))
                    .then(|| format!("takes routes of namespaces with the labels {selector} only")))
            }
            _ => Ok(None),
        }
    }

    /// The labels of the namespace itself, which are not those of the route.
    fn labels_of_namespace(
        &self,
        name: &str,
    ) -> Result<std::collections::BTreeMap<String, String>, Unverified> {
        match self.view.object(&ObjectRef::of::<Namespace>(None, name)) {
            Lookup::Found(namespace) => Ok(namespace.labels()),
            Lookup::NotFound => Err(Unverified::Failed("its namespace is not there".to_owned())),
            Lookup::Unverified(why) => Err(why),
        }
    }

    /// What the controllers of its parents say. An entry of a parent that the route left says nothing.
    fn conditions(&self, report: &mut Report) {
        let identity = |parent: &Value| {
            let section = text(parent, "/sectionName").map(str::to_owned);
            Some((referred(self.object, parent, &GATEWAY)?, section, number(parent, "/port")))
        };
        let parents: Vec<_> = items(self.object.value(), "/spec/parentRefs")
            .filter_map(|(_, parent)| identity(parent))
            .collect();
        for (n, entry) in items(self.object.value(), "/status/parents") {
            let Some(parent) = entry.pointer("/parentRef").and_then(identity) else { continue };
            if parents.contains(&parent) {
                let who = format!("{} at {}", self.who(), parent.0);
                let pointer = format!("/status/parents/{n}/conditions");
                judge(self.object, &pointer, &RULES, &who, self.view, report);
            }
        }
    }

    fn backends(&self, report: &mut Report) {
        for (n, rule) in items(self.object.value(), "/spec/rules") {
            let path = format!(".spec.rules[{n}]");
            self.mirrors(rule, &path, report);
            for (m, backend) in items(rule, "/backendRefs") {
                let path = format!("{path}.backendRefs[{m}]");
                self.mirrors(backend, &path, report);
                self.backend(backend, &path, report);
            }
        }
    }

    /// Filters that send a copy of each request somewhere else.
    fn mirrors(&self, rule: &Value, path: &str, report: &mut Report) {
        for (n, filter) in items(rule, "/filters") {
            if let Some(backend) = filter.pointer("/requestMirror/backendRef") {
                self.backend(backend, &format!("{path}.filters[{n}].requestMirror.backendRef"), report);
            }
        }
    }

    fn backend(&self, backend: &Value, path: &str, report: &mut Report) {
        let Some(service) = referred(self.object, backend, &GroupKind::of::<Service>()) else { return };
        if !service.kind.is::<Service>() {
            return;
        }
        if may_refer(self.object, &service, "RouteReferenceNotGranted", self.view, report) == Some(false) {
            let text = format!("{} leads to {service}, which no ReferenceGrant there allows", self.who());
            self.fail("RouteReferenceNotGranted", text, &service, format!("{path}.namespace"), report);
        }
        let lookup = self.view.object(&service);
        let Some(found) = report.known("RouteServiceMissing", &service, lookup.clone()) else {
            report.known("RouteServicePortMissing", &service, lookup);
            return;
        };
        let Some(found) = found else {
            let text = format!("{} leads to {service}, which does not exist", self.who());
            self.fail("RouteServiceMissing", text, &service, format!("{path}.name"), report);
            return;
        };
        let Some(port) = number(backend, "/port") else { return };
        let mut ports = items(found.value(), "/spec/ports").peekable();
        let alias = ports.peek().is_none() && found.text("/spec/type") == Some("ExternalName");
        if !alias && !ports.any(|(_, known)| number(known, "/port") == Some(port)) {
            let text = format!("{} leads to port {port} of {service}, which has no such port", self.who());
            self.fail("RouteServicePortMissing", text, &service, format!("{path}.port"), report);
        }
    }

    fn fail(&self, code: &str, text: String, about: &ObjectRef, path: String, report: &mut Report) {
        let pointer = path.replace(['.', '['], "/").replace(']', "");
        let value = self.object.value().pointer(&pointer).and_then(|value| match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        });
        let failure = Failure::new(code, Severity::Error, text).seen(&self.at, path, value);
        report.fail(failure.hides(self.hidden(about)));
    }

    fn hidden<'a>(&'a self, about: &'a ObjectRef) -> impl Iterator<Item = &'a str> {
        about.namespace.as_deref().into_iter().chain([about.name.as_str(), self.object.name()])
    }

    fn who(&self) -> String {
        format!("HTTPRoute {}", self.object.name())
    }
}

/// Whether routes of this kind may attach to the listener at all.
fn takes_http_routes(listener: &Value) -> bool {
    let mut kinds = items(listener, "/allowedRoutes/kinds").peekable();
    if kinds.peek().is_none() {
        return !text(listener, "/protocol").is_some_and(|protocol| NO_HTTP.contains(&protocol));
    }
    kinds.any(|(_, kind)| {
        text(kind, "/kind") == Some("HTTPRoute")
            && kind.pointer("/group").and_then(Value::as_str).unwrap_or(GROUP) == GROUP
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::analyzers::testing::{cluster_object, codes, look, look_in, object};
    use crate::inventory::Inventory;

    const API: &str = "gateway.networking.k8s.io/v1";

    fn route(spec: Value, status: Value) -> Object {
        let rest = json!({"metadata": {"generation": 2, "labels": {"team": "route"}}, "spec": spec, "status": status});
        object(API, "HTTPRoute", "front", rest)
    }

    fn at(parent: Value) -> Object {
        route(json!({"parentRefs": [parent]}), json!({}))
    }

    fn to(backend: Value) -> Object {
        route(json!({"rules": [{"backendRefs": [backend]}]}), json!({}))
    }

    fn gateway(namespace: &str, listeners: Value) -> Object {
        let rest = json!({"metadata": {"namespace": namespace}, "spec": {"listeners": listeners}});
        object(API, "Gateway", "edge", rest)
    }

    fn listener(name: &str, port: u16, allowed: Value) -> Value {
        json!({"name": name, "port": port, "protocol": "HTTP", "allowedRoutes": allowed})
    }

    fn from(from: &str) -> Value {
        json!({"namespaces": {"from": from}})
    }

    fn service(namespace: &str) -> Object {
        let rest = json!({"metadata": {"namespace": namespace}, "spec": {"ports": [{"port": 80}]}});
        object("v1", "Service", "web", rest)
    }

    fn grant(kind: &str) -> Object {
        object(
            "gateway.networking.k8s.io/v1beta1",
            "ReferenceGrant",
            "grant",
            json!({"metadata": {"namespace": "back"}, "spec": {
                "from": [{"group": GROUP, "kind": kind, "namespace": "shop"}],
                "to": [{"group": "", "kind": "Service"}]}}),
        )
    }

    #[test]
    fn cases_of_parents() {
        let near = || json!({"name": "edge"});
        let far = || json!({"name": "edge", "namespace": "infra"});
        let plain = || json!([listener("http", 80, Value::Null)]);
        let section = |name: &str| json!({"name": "edge", "sectionName": name});
        let on = |port: u16| json!({"name": "edge", "port": port});
        let kinds = |kind: &str| json!([listener("http", 80, json!({"kinds": [{"kind": kind}]}))]);
        let tcp = json!([{"name": "tcp", "port": 80, "protocol": "TCP"}]);
        let both = json!([listener("own", 80, from("Same")), listener("all", 81, from("All"))]);
        let cases: [(&str, Object, Vec<Object>, &[&str]); 16] = [
            ("there", at(near()), vec![gateway("shop", plain())], &[]),
            ("not there", at(near()), vec![], &["RouteParentMissing"]),
            ("in another namespace", at(near()), vec![gateway("infra", plain())], &["RouteParentMissing"]),
            ("a Service of a mesh", at(json!({"group": "", "kind": "Service", "name": "gone"})), vec![], &[]),
            (
                "a kind of a vendor's",
                at(json!({"group": "x.io", "kind": "Gateway", "name": "gone"})),
                vec![],
                &[],
            ),
            ("same by default", at(far()), vec![gateway("infra", plain())], &["RouteNotAllowed"]),
            ("all", at(far()), vec![gateway("infra", json!([listener("a", 80, from("All"))]))], &[]),
            ("one listener of two is enough", at(far()), vec![gateway("infra", both.clone())], &[]),
            (
                "but not if the other is asked for",
                at(json!({"name": "edge", "namespace": "infra", "sectionName": "own"})),
                vec![gateway("infra", both)],
                &["RouteNotAllowed"],
            ),
            ("section there", at(section("http")), vec![gateway("shop", plain())], &[]),
            (
                "section not there",
                at(section("https")),
                vec![gateway("shop", plain())],
                &["RouteListenerMissing"],
            ),
            ("port there", at(on(80)), vec![gateway("shop", plain())], &[]),
            ("port not there", at(on(443)), vec![gateway("shop", plain())], &["RouteListenerMissing"]),
            ("kind allowed", at(near()), vec![gateway("shop", kinds("HTTPRoute"))], &[]),
            ("kind not allowed", at(near()), vec![gateway("shop", kinds("GRPCRoute"))], &["RouteNotAllowed"]),
            ("a listener without HTTP", at(near()), vec![gateway("shop", tcp)], &["RouteNotAllowed"]),
        ];
        for (name, route, others, expected) in cases {
            assert_eq!(codes(&look(&["HTTPRoute"], &route, &others)), expected, "{name}");
        }
    }

    #[test]
    fn one_listener_that_lets_the_route_in_is_enough() {
        let listeners = json!([
            listener("own", 80, from("Same")),
            listener("none", 81, from("None")),
            listener("all", 82, from("All"))
        ]);
        let route = at(json!({"name": "edge", "namespace": "infra"}));
        assert!(codes(&look(&["HTTPRoute"], &route, &[gateway("infra", listeners)])).is_empty());
    }

    #[test]
    fn a_selector_is_matched_with_the_labels_of_the_namespace_and_not_of_the_route() {
        let route = at(json!({"name": "edge", "namespace": "infra"}));
        let namespace = |team: &str| {
            cluster_object("v1", "Namespace", "shop", json!({"metadata": {"labels": {"team": team}}}))
        };
        let selecting = |selector: Value| {
            let allowed = json!({"namespaces": {"from": "Selector", "selector": selector}});
            gateway("infra", json!([listener("http", 80, allowed)]))
        };
        let by_label = selecting(json!({"matchLabels": {"team": "shop"}}));
        let by_expression =
            selecting(json!({"matchExpressions": [{"key": "team", "operator": "In", "values": ["shop"]}]}));
        for gateway in [by_label, by_expression] {
            let with =
                |team: &str| codes(&look(&["HTTPRoute"], &route, &[gateway.clone(), namespace(team)])).len();
            assert_eq!((with("shop"), with("route")), (0, 1));
            let without = look(&["HTTPRoute"], &route, std::slice::from_ref(&gateway));
            assert!(codes(&without).is_empty());
            assert!(without.report.doubtful().contains("RouteNotAllowed"), "labels that nobody read");
        }
        let odd = look(&["HTTPRoute"], &route, &[selecting(json!("team")), namespace("shop")]);
        assert!(codes(&odd).is_empty() && odd.report.doubtful().contains("RouteNotAllowed"));
    }

    #[test]
    fn cases_of_backends() {
        let far = || json!({"name": "web", "namespace": "back", "port": 80});
        let mirror = route(
            json!({"rules": [{"filters": [{"requestMirror": {"backendRef": {"name": "gone", "port": 80}}}]}]}),
            json!({}),
        );
        let cases: [(&str, Object, Vec<Object>, &[&str]); 11] = [
            ("there", to(json!({"name": "web", "port": 80})), vec![service("shop")], &[]),
            ("not there", to(json!({"name": "web", "port": 80})), vec![], &["RouteServiceMissing"]),
            (
                "another port",
                to(json!({"name": "web", "port": 81})),
                vec![service("shop")],
                &["RouteServicePortMissing"],
            ),
            ("no port", to(json!({"name": "web"})), vec![service("shop")], &[]),
            ("another kind", to(json!({"group": "x.io", "kind": "Bucket", "name": "gone"})), vec![], &[]),
            ("mirrored to nobody", mirror, vec![], &["RouteServiceMissing"]),
            ("granted", to(far()), vec![service("back"), grant("HTTPRoute")], &[]),
            ("not granted", to(far()), vec![service("back")], &["RouteReferenceNotGranted"]),
            (
                "granted to others",
                to(far()),
                vec![service("back"), grant("GRPCRoute")],
                &["RouteReferenceNotGranted"],
            ),
            (
                "looked for in its own namespace",
                to(far()),
                vec![service("shop"), grant("HTTPRoute")],
                &["RouteServiceMissing"],
            ),
            (
                "odd fields",
                route(json!({"rules": 7, "parentRefs": [3, {"name": 7}]}), json!({"parents": [1]})),
                vec![],
                &[],
            ),
        ];
        for (name, route, others, expected) in cases {
            assert_eq!(codes(&look(&["HTTPRoute"], &route, &others)), expected, "{name}");
        }
    }

    #[test]
    fn what_a_parent_says_counts_while_it_is_a_parent_and_has_seen_the_route() {
        let said = |parent: &str, observed: i64| {
            let condition = json!({"type": "Accepted", "status": "False", "reason": "NoMatchingListenerHostname",
                "message": "no hostname fits", "observedGeneration": observed});
            let status = json!({"parents": [{"parentRef": {"group": GROUP, "kind": "Gateway", "name": parent},
                "conditions": [condition]}]});
            let route = route(json!({"parentRefs": [{"name": "edge"}]}), status);
            look(&["HTTPRoute"], &route, &[gateway("shop", json!([]))])
        };
        assert_eq!(codes(&said("edge", 2)), ["RouteNotAccepted"]);
        assert!(codes(&said("left", 2)).is_empty());
        let old = said("edge", 1);
        assert!(codes(&old).is_empty() && old.report.doubtful().contains("RouteNotAccepted"));
    }

    #[test]
    fn what_may_not_be_read_is_a_doubt_and_kinds_that_are_not_installed_are_not() {
        let subject = route(
            json!({"parentRefs": [{"name": "edge"}], "rules": [{"backendRefs": [{"name": "web", "namespace": "back"}]}]}),
            json!({}),
        );
        let grants = GroupKind::new(GROUP, "ReferenceGrant");
        for (why, expected) in [(Unverified::Forbidden, 6), (Unverified::NotInstalled, 2)] {
            let mut inventory = Inventory::of([subject.clone()]);
            inventory.put_list(&GATEWAY, None, Err(why.clone()));
            inventory.put_list(&grants, None, Err(why.clone()));
            inventory.put_list(&GroupKind::of::<Service>(), None, Err(Unverified::Forbidden));
            let found = look_in(&["HTTPRoute"], &subject, &inventory);
            assert!(codes(&found).is_empty(), "{why}");
            assert_eq!(found.report.doubts().len(), expected, "{why}");
        }
    }
}
