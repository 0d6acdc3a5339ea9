//! Actors as the operator's caches know them.

use std::{net::SocketAddr, sync::Arc};

use asya_resources::{EnvVar, Scaling};
use serde::Deserialize;
use serde_json::Value;

use super::{Actors, Target};
use crate::{
    actor::Stored,
    controllers::{
        cache::Cache,
        conflict::Losers,
        live::{self, Live},
    },
    desired::environment,
    settings::{Kind, Settings},
};

/// Actors as the operator's caches know them. Nothing is parsed and nobody is called: of each actor with an open stream
/// a few fields are read twice a second.
pub struct Cached {
    cache: Arc<Cache>,
    settings: Settings,
    losers: Arc<Losers>,
}

impl Cached {
    /// Reads from this cache, as the operator is told.
    pub fn new(cache: Arc<Cache>, settings: Settings, losers: Arc<Losers>) -> Self {
        Self { cache, settings, losers }
    }

    /// As `keda::pushed` decides, but for what KEDA can do: a KEDA that takes no push opens no stream.
    fn pushed(&self, actor: &Stored, kind: &Kind) -> bool {
        let scaling = &actor.spec["scaling"];
        let wanted = scaling["push"].as_bool();
        let default =
            self.settings.push.as_ref().is_some_and(|push| push.default) && !matches!(kind, Kind::Sqs(_));
        scaling["enabled"] == true && actor.spec["paused"] != true && wanted.unwrap_or(default)
    }

    /// A workload that is not known cannot be woken.
    fn at_zero(&self, actor: &Stored, namespace: &str, name: &str) -> bool {
        let (spec, workload) = (&actor.spec, &actor.spec["workload"]);
        let (kind, name) = match &spec["workloadRef"] {
            Value::Null => (workload.get("kind").or_else(|| workload.get("type")), name),
            binding => (binding.get("kind"), binding["name"].as_str().unwrap_or_default()),
        };
        let kind = match kind.and_then(Value::as_str) {
            Some("StatefulSet") => live::Kind::StatefulSet,
            _ => live::Kind::Deployment,
        };
        let workload = self.cache.object(kind, &(namespace.to_owned(), name.to_owned()));
        workload.is_some_and(|workload| workload.spec.replicas == Some(0))
    }
}

/// A pod that may have messages in hand: one that is ending still may.
fn address(pod: &Live, port: u16) -> Option<SocketAddr> {
    let ended = matches!(pod.status["phase"].as_str(), Some("Succeeded" | "Failed"));
    let ip = pod.status["podIP"].as_str().filter(|_| !ended)?.parse().ok()?;
    Some(SocketAddr::new(ip, port))
}

impl Actors for Cached {
    fn find(&self, namespace: &str, name: &str) -> Option<Target> {
        let actor = self.cache.actor(&(namespace.to_owned(), name.to_owned()))?;
        let transport = self.settings.transports.get(actor.spec["transport"].as_str()?)?;
        // What waits on another's queue is no reason to start pods of this one.
        if self.losers.owner(&self.cache, self.settings.template, &actor).is_some() {
            return None;
        }
        let queue_length = actor.spec["scaling"]["queueLength"].as_u64().and_then(|n| u32::try_from(n).ok());
        Some(Target {
            transport: transport.name.clone(),
            queue: self.settings.template.queue(namespace, name),
            push: actor.metadata.deletion_timestamp.is_none() && self.pushed(&actor, &transport.kind),
            at_zero: self.at_zero(&actor, namespace, name),
            queue_length: queue_length.unwrap_or_else(|| Scaling::default().queue_length),
        })
    }

    fn sidecars(&self, namespace: &str, name: &str) -> Option<Vec<SocketAddr>> {
        let key = (namespace.to_owned(), name.to_owned());
        let actor = self.cache.actor(&key)?;
        let env = Vec::<EnvVar>::deserialize(&actor.spec["sidecar"]["env"]).unwrap_or_default();
        let port = environment::port_said(&env)?;
        Some(self.cache.pods(&key).iter().filter_map(|pod| address(pod, port)).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use serde_json::json;

    use super::*;
    use crate::{controllers::live::Live, settings::Raw};

    fn cached(default: &str) -> Cached {
        with_template(default, "asya-{namespace}-{actor}")
    }

    fn with_template(default: &str, template: &str) -> Cached {
        let settings = Settings::read(Raw {
            transport_config: Some(
                json!({"transports": {
                    "rabbitmq": {"enabled": true, "config": {"host": "localhost"}},
                    "sqs": {"enabled": true, "config": {"region": "eu-west-1"}},
                }})
                .to_string(),
            ),
            scaler_bind_address: Some(":8082".to_owned()),
            scaler_address: Some("scaler:8082".to_owned()),
            scaler_default: Some(default.to_owned()),
            queue_template: Some(template.to_owned()),
            ..Raw::default()
        })
        .unwrap();
        Cached::new(Arc::default(), settings, Arc::default())
    }

    fn put(cached: &Cached, spec: &Value) {
        let actor = json!({"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor",
            "metadata": {"name": "ocr", "namespace": "team"}, "spec": spec});
        let key = ("team".to_owned(), "ocr".to_owned());
        cached.cache.put_actor(key, serde_json::from_value(actor).unwrap());
    }

    fn workload(cached: &Cached, kind: live::Kind, name: &str, replicas: i32) {
        let object = json!({"metadata": {"name": name, "namespace": "team"}, "spec": {"replicas": replicas}});
        cached.cache.put(kind, serde_json::from_value::<Live>(object).unwrap());
    }

    #[test]
    fn queue_and_broker_come_from_the_actor() {
        let cached = cached("true");
        assert_eq!(cached.find("team", "ocr"), None);
        put(&cached, &json!({"transport": "rabbitmq", "scaling": {"enabled": true, "queueLength": 9}}));
        workload(&cached, live::Kind::Deployment, "ocr", 0);
        let found = cached.find("team", "ocr").unwrap();
        assert_eq!(
            (found.transport.as_str(), found.queue),
            ("rabbitmq", cached.settings.template.queue("team", "ocr"))
        );
        assert_eq!((found.push, found.at_zero, found.queue_length), (true, true, 9));
        assert_eq!(cached.find("other", "ocr"), None, "another namespace is another actor");
        workload(&cached, live::Kind::Deployment, "ocr", 1);
        assert!(!cached.find("team", "ocr").unwrap().at_zero);
    }

    #[test]
    fn who_lost_a_queue_is_unknown_until_the_queue_is_its_own() {
        let cached = with_template("true", "asya-{actor}");
        let spec = json!({"transport": "rabbitmq", "scaling": {"enabled": true}});
        let put = |namespace: &str, created: &str| {
            let actor = json!({"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "spec": spec,
                "metadata": {"name": "ocr", "namespace": namespace, "uid": namespace, "creationTimestamp": created}});
            let key = (namespace.to_owned(), "ocr".to_owned());
            cached.cache.put_actor(key.clone(), serde_json::from_value(actor).unwrap());
            key
        };
        put("late", "2026-01-02T00:00:00Z");
        assert!(cached.find("late", "ocr").is_some());
        let early = put("early", "2026-01-01T00:00:00Z");
        assert!(cached.find("early", "ocr").is_some());
        assert_eq!(cached.find("late", "ocr"), None, "it would be woken for the messages of the older one");
        cached.cache.remove_actor(&early);
        assert!(cached.find("late", "ocr").is_some());
    }

    #[test]
    fn sqs_is_pushed_on_request_only() {
        let cached = cached("true");
        put(&cached, &json!({"transport": "sqs", "scaling": {"enabled": true}}));
        assert!(!cached.find("team", "ocr").unwrap().push);
        put(&cached, &json!({"transport": "sqs", "scaling": {"enabled": true, "push": true}}));
        assert!(cached.find("team", "ocr").unwrap().push);
    }

    #[test]
    fn who_does_not_want_to_be_woken_is_not() {
        for (default, spec) in [
            ("false", json!({"transport": "rabbitmq", "scaling": {"enabled": true}})),
            ("true", json!({"transport": "rabbitmq", "scaling": {"enabled": true, "push": false}})),
            ("true", json!({"transport": "rabbitmq", "scaling": {"push": true}})),
            ("true", json!({"transport": "rabbitmq", "paused": true, "scaling": {"enabled": true}})),
        ] {
            let cached = cached(default);
            put(&cached, &spec);
            assert!(!cached.find("team", "ocr").unwrap().push, "{spec}");
        }
    }

    #[test]
    fn sidecars_are_asked_where_their_metrics_are_served() {
        let cached = cached("true");
        let pod = |name: &str, status: Value| {
            let labels = json!({"asya.sh/asya": "ocr"});
            let pod =
                json!({"metadata": {"name": name, "namespace": "team", "labels": labels}, "status": status});
            cached.cache.put(live::Kind::Pod, serde_json::from_value::<Live>(pod).unwrap());
        };
        pod("a", json!({"phase": "Running", "podIP": "10.0.0.1"}));
        pod("b", json!({"phase": "Pending"}));
        pod("c", json!({"phase": "Succeeded", "podIP": "10.0.0.3"}));
        pod("d", json!({"phase": "Running", "podIP": "fd00::4"}));
        let found = |env: Value| {
            put(&cached, &json!({"transport": "rabbitmq", "sidecar": {"env": env}}));
            cached.sidecars("team", "ocr")
        };
        let at = |addresses: [&str; 2]| Some(addresses.map(|address| address.parse().unwrap()).to_vec());
        assert_eq!(found(json!([])), at(["10.0.0.1:8080", "[fd00::4]:8080"]));
        let other = json!([{"name": "ASYA_METRICS_ADDR", "value": ":9000"}]);
        assert_eq!(found(other), at(["10.0.0.1:9000", "[fd00::4]:9000"]));
        assert_eq!(found(json!([{"name": "ASYA_METRICS_ENABLED", "value": "false"}])), None);
    }

    #[test]
    fn the_workload_is_the_one_that_is_scaled() {
        let cached = cached("true");
        workload(&cached, live::Kind::Deployment, "ocr", 1);
        workload(&cached, live::Kind::StatefulSet, "ocr", 0);
        workload(&cached, live::Kind::Deployment, "vllm", 0);
        for (spec, at_zero) in [
            (json!({"transport": "rabbitmq"}), false),
            (json!({"transport": "rabbitmq", "workload": {"kind": "StatefulSet"}}), true),
            (json!({"transport": "rabbitmq", "workloadRef": {"kind": "Deployment", "name": "vllm"}}), true),
            (json!({"transport": "rabbitmq", "workloadRef": {"kind": "Deployment", "name": "gone"}}), false),
        ] {
            put(&cached, &spec);
            assert_eq!(cached.find("team", "ocr").unwrap().at_zero, at_zero, "{spec}");
        }
    }
}
