//! Which objects an object names: what makes a ConfigMap used, and what must be looked at again when one of them changes.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::Ingress;
use serde_json::Value;

use crate::kind::GroupKind;
use crate::object::{Object, ObjectRef};

/// The kinds whose objects name others of their namespace. A workload at zero counts as much as a running pod.
pub const USERS: [GroupKind; 9] = [
    GroupKind::of::<Pod>(),
    GroupKind::of::<Deployment>(),
    GroupKind::of::<ReplicaSet>(),
    GroupKind::of::<StatefulSet>(),
    GroupKind::of::<DaemonSet>(),
    GroupKind::of::<Job>(),
    GroupKind::of::<CronJob>(),
    GroupKind::of::<Ingress>(),
    GroupKind::of::<ServiceAccount>(),
];

/// The pod template of each kind that has one.
pub(crate) fn pod_spec(object: &Object) -> Option<&Value> {
    let kind = object.kind();
    let pointer = if kind.is::<Pod>() {
        "/spec"
    } else if kind.is::<CronJob>() {
        "/spec/jobTemplate/spec/template/spec"
    } else if USERS[1..6].contains(&kind) {
        "/spec/template/spec"
    } else {
        return None;
    };
    object.value().pointer(pointer)
}

/// The objects of its namespace that `object` names: ConfigMaps, Secrets, claims and the service account of a pod
/// template (volumes, projected volumes, environment of every container, of init and ephemeral ones too, pull secrets,
/// and ConfigMaps that a flag or variable named for one names), Services and Secrets of an Ingress, Secrets of a service account, the Service of a StatefulSet.
#[must_use]
pub fn named_by(object: &Object) -> BTreeSet<ObjectRef> {
    let mut names = Names { namespace: object.namespace(), found: BTreeSet::new() };
    if let Some(spec) = pod_spec(object) {
        names.pod(spec);
    }
    let value = object.value();
    let kind = object.kind();
    if kind.is::<Pod>() {
        // A claim that is made with the pod has both their names; a template has no such claim yet.
        for volume in items(value.pointer("/spec/volumes")).filter(|volume| volume.get("ephemeral").is_some())
        {
            if let Some(volume) = volume.get("name").and_then(Value::as_str) {
                let claim = Value::String(format!("{}-{volume}", object.name()));
                names.add::<PersistentVolumeClaim>(Some(&claim));
            }
        }
    } else if kind.is::<StatefulSet>() {
        names.add::<Service>(value.pointer("/spec/serviceName"));
    } else if kind.is::<ServiceAccount>() {
        for field in ["secrets", "imagePullSecrets"] {
            items(value.get(field)).for_each(|secret| names.add::<Secret>(secret.get("name")));
        }
    } else if kind.is::<Ingress>() {
        names.add::<Service>(value.pointer("/spec/defaultBackend/service/name"));
        items(value.pointer("/spec/tls")).for_each(|tls| names.add::<Secret>(tls.get("secretName")));
        for path in items(value.pointer("/spec/rules")).flat_map(|rule| items(rule.pointer("/http/paths"))) {
            names.add::<Service>(path.pointer("/backend/service/name"));
        }
    }
    names.found
}

fn text(value: Option<&Value>) -> Option<&str> {
    value.and_then(Value::as_str).filter(|text| !text.is_empty())
}

pub(crate) fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

/// Whether a flag or variable of this name says which ConfigMap is meant.
pub(crate) fn is_told(name: &str) -> bool {
    let letters: String = name.chars().filter(char::is_ascii_alphabetic).collect();
    letters.to_ascii_lowercase().contains("configmap")
}

struct Names<'a> {
    namespace: Option<&'a str>,
    found: BTreeSet<ObjectRef>,
}

impl Names<'_> {
    fn add<K: k8s_openapi::Resource>(&mut self, name: Option<&Value>) {
        if let Some(name) = text(name) {
            self.found.insert(ObjectRef::of::<K>(self.namespace, name));
        }
    }

    /// A flag or variable that is named for a ConfigMap names one: `--tcp-services-configmap=$(POD_NAMESPACE)/tcp` of
    /// a controller that reads it through the API. What its namespace says is not looked at: a ConfigMap of this name
    /// here counts as used rather than a used one as unused.
    fn told(&mut self, name: &str, value: &str) {
        if is_told(name) {
            let name = value.rsplit('/').next().unwrap_or_default().trim();
            self.add::<ConfigMap>(Some(&Value::String(name.to_owned())));
        }
    }

    fn pod(&mut self, spec: &Value) {
        self.add::<ServiceAccount>(spec.get("serviceAccountName"));
        items(spec.get("imagePullSecrets")).for_each(|secret| self.add::<Secret>(secret.get("name")));
        for container in ["containers", "initContainers", "ephemeralContainers"]
            .iter()
            .flat_map(|list| items(spec.get(*list)))
        {
            for source in items(container.get("envFrom")) {
                self.add::<ConfigMap>(source.pointer("/configMapRef/name"));
                self.add::<Secret>(source.pointer("/secretRef/name"));
            }
            for variable in items(container.get("env")) {
                self.add::<ConfigMap>(variable.pointer("/valueFrom/configMapKeyRef/name"));
                self.add::<Secret>(variable.pointer("/valueFrom/secretKeyRef/name"));
                let (name, value) = (variable.get("name"), variable.get("value"));
                if let (Some(name), Some(value)) = (text(name), text(value)) {
                    self.told(name, value);
                }
            }
            for list in ["command", "args"] {
                for flag in items(container.get(list)).filter_map(Value::as_str) {
                    if let Some((name, value)) = flag.split_once('=') {
                        self.told(name, value);
                    }
                }
            }
        }
        for volume in items(spec.get("volumes")) {
            self.add::<ConfigMap>(volume.pointer("/configMap/name"));
            self.add::<Secret>(volume.pointer("/secret/secretName"));
            self.add::<PersistentVolumeClaim>(volume.pointer("/persistentVolumeClaim/claimName"));
            for source in items(volume.pointer("/projected/sources")) {
                self.add::<ConfigMap>(source.pointer("/configMap/name"));
                self.add::<Secret>(source.pointer("/secret/name"));
            }
            // Volume drivers that take a Secret: csi, flexVolume, cephfs, iscsi, rbd, scaleIO, storageos by secretRef or
            // nodePublishSecretRef, azureFile by secretName.
            for driver in volume.as_object().into_iter().flat_map(|volume| volume.values()) {
                self.add::<Secret>(driver.pointer("/secretRef/name"));
                self.add::<Secret>(driver.pointer("/nodePublishSecretRef/name"));
                self.add::<Secret>(driver.get("secretName"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn every_place_of_a_pod_template_that_names_an_object_counts() {
        let spec = json!({
            "serviceAccountName": "robot", "imagePullSecrets": [{"name": "pull"}],
            "containers": [{"name": "c", "envFrom": [{"configMapRef": {"name": "env"}}, {"secretRef": {"name": "senv"}}],
                "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "key", "key": "k"}}},
                        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "skey", "key": "k"}}}]}],
            "initContainers": [{"name": "i", "envFrom": [{"configMapRef": {"name": "init"}}]}],
            "ephemeralContainers": [{"name": "e", "envFrom": [{"configMapRef": {"name": "debug"}}]}],
            "volumes": [{"name": "1", "configMap": {"name": "vol"}}, {"name": "2", "secret": {"secretName": "svol"}},
                {"name": "3", "projected": {"sources": [{"configMap": {"name": "proj"}}, {"secret": {"name": "sproj"}}]}},
                {"name": "4", "persistentVolumeClaim": {"claimName": "claim"}},
                {"name": "5", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "csi"}}}],
        });
        let expected = BTreeSet::from([
            "claim", "csi", "debug", "env", "init", "key", "proj", "pull", "robot", "senv", "skey", "sproj",
            "svol", "vol",
        ]);
        for (kind, api, wrapped) in [
            ("Pod", "v1", spec.clone()),
            ("Deployment", "apps/v1", json!({"replicas": 0, "template": {"spec": spec}})),
            ("Job", "batch/v1", json!({"template": {"spec": spec}})),
            ("CronJob", "batch/v1", json!({"jobTemplate": {"spec": {"template": {"spec": spec}}}})),
        ] {
            let object = Object::new(json!({"apiVersion": api, "kind": kind,
                "metadata": {"name": "x", "namespace": "shop"}, "spec": wrapped}))
            .unwrap();
            let found = named_by(&object);
            assert_eq!(
                found.iter().map(|named| named.name.as_str()).collect::<BTreeSet<_>>(),
                expected,
                "{kind}"
            );
            assert!(found.iter().all(|named| named.namespace.as_deref() == Some("shop")));
        }
    }

    #[test]
    fn a_flag_or_variable_that_is_named_for_a_config_map_names_one() {
        let pod = Object::new(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "shop"},
            "spec": {"containers": [{"name": "c",
                "args": ["--configmap=$(POD_NAMESPACE)/nginx", "--tcp-services-config-map=tcp", "--v=2", "--configmap", 7],
                "env": [{"name": "CONFIG_MAP_NAME", "value": "leader"}, {"name": "MODE", "value": "other"},
                    {"name": "CONFIGMAP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}]}}))
        .unwrap();
        let names: Vec<String> = named_by(&pod).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["ConfigMap shop/leader", "ConfigMap shop/nginx", "ConfigMap shop/tcp"]);
    }

    #[test]
    fn a_pod_names_the_claim_that_is_made_with_it_and_a_template_does_not() {
        let spec =
            json!({"containers": [], "volumes": [{"name": "scratch", "ephemeral": {}}, {"ephemeral": {}}]});
        let named = |api: &str, kind: &str, spec: Value| {
            let object = Object::new(json!({"apiVersion": api, "kind": kind,
                "metadata": {"name": "web-0", "namespace": "shop"}, "spec": spec}));
            named_by(&object.unwrap()).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(named("v1", "Pod", spec.clone()), ["PersistentVolumeClaim shop/web-0-scratch"]);
        assert!(named("apps/v1", "StatefulSet", json!({"template": {"spec": spec}})).is_empty());
    }

    #[test]
    fn an_ingress_names_its_services_and_secrets() {
        let ingress = Object::new(json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress",
            "metadata": {"name": "i", "namespace": "shop"}, "spec": {
                "defaultBackend": {"service": {"name": "fallback"}}, "tls": [{"secretName": "cert"}, {}],
                "rules": [{"http": {"paths": [{"backend": {"service": {"name": "web"}}}]}}, {"host": "no-paths"}]}}))
        .unwrap();
        let names: Vec<String> = named_by(&ingress).iter().map(ToString::to_string).collect();
        assert_eq!(names, ["Secret shop/cert", "Service shop/fallback", "Service shop/web"]);
    }
}
