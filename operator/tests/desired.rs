//! What holds for the objects of any actor.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::collections::BTreeMap;

use asya_operator::{
    actor::{Actor, Stored},
    cluster::Cluster,
    desired::{
        Context, Desired, binding,
        features::Features,
        objects,
        rollout::{self, Live},
    },
    settings::{Raw, Settings},
};
use proptest::prelude::*;
use serde_json::{Value, json};

const TRANSPORTS: &str = r#"{"transports":{"rabbitmq":{"enabled":true,"config":{"host":"rabbitmq","username":"asya",
    "passwordSecretRef":{"name":"broker-credentials","key":"password"}}}}}"#;

fn settings() -> Settings {
    Settings::read(Raw { transport_config: Some(TRANSPORTS.to_owned()), ..Raw::default() }).unwrap()
}

fn actor(spec: &Value) -> Actor {
    let stored: Stored = serde_json::from_value(json!({
        "apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor",
        "metadata": {"name": "ocr", "namespace": "shop", "uid": "u-1"},
        "spec": spec,
    }))
    .unwrap();
    Actor::read(&stored).unwrap()
}

fn with_context<T>(settings: &Settings, native: bool, f: impl FnOnce(&Context<'_>) -> T) -> T {
    let queue = settings.template.queue("shop", "ocr");
    let cluster = Cluster { native_sidecars: native, ..Cluster::default() };
    f(&Context {
        settings,
        transport: &settings.transports["rabbitmq"],
        queue: &queue,
        cluster: &cluster,
        runtime: "asya-runtime-1",
        features: Features::OURS,
    })
}

fn build(settings: &Settings, actor: &Actor, native: bool) -> Desired {
    with_context(settings, native, |context| objects(actor, context))
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().map(|item| item["name"].as_str().unwrap()).collect()
}

fn word() -> impl Strategy<Value = String> {
    "[a-z]{3,8}"
}

fn unknown() -> impl Strategy<Value = Value> {
    prop_oneof![any::<i32>().prop_map(|it| json!(it)), word().prop_map(|it| json!({"deep": [it]}))]
}

fn env() -> impl Strategy<Value = Vec<Value>> {
    // An empty list is the same as none, here and on a cluster.
    proptest::collection::btree_map("[A-Z]{2,6}", word(), 1..5)
        .prop_map(|map| map.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect())
}

prop_compose! {
    fn container(name: &'static str)(
        env in env(), image in word(), extra in unknown(), mounts in proptest::collection::btree_set(word(), 0..3),
    ) -> Value {
        let mounts: Vec<_> =
            mounts.iter().map(|volume| json!({"name": volume, "mountPath": format!("/srv/{volume}")})).collect();
        json!({"name": name, "image": image, "env": env, "futureField": extra, "volumeMounts": mounts})
    }
}

prop_compose! {
    fn spec()(
        main in container("asya-runtime"), side in container("helper"), init in container("prepare"),
        extra in unknown(), volumes in proptest::collection::btree_set("v[a-z]{3,8}", 0..4),
        labels in proptest::collection::btree_map("l[a-z]{3,8}", word(), 0..3), sidecar in env(), short in env(),
    ) -> Value {
        let volumes: Vec<_> = volumes.iter().map(|name| json!({"name": name, "emptyDir": {}})).collect();
        json!({
            "transport": "rabbitmq", "handler": "a.b", "env": short, "sidecar": {"env": sidecar},
            "workload": {"template": {
                "metadata": {"labels": labels, "annotations": {"keep": "me"}},
                "spec": {"containers": [main, side], "initContainers": [init], "volumes": volumes,
                    "futureField": extra},
            }},
        })
    }
}

/// Whether everything of `part` is in `whole`: members of objects, items of lists in their order.
fn holds(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            part.iter().all(|(key, value)| whole.get(key).is_some_and(|found| holds(found, value)))
        }
        (Value::Array(whole), Value::Array(part)) => {
            let mut rest = whole.iter();
            part.iter().all(|item| rest.any(|found| holds(found, item)))
        }
        _ => whole == part,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_the_user_wrote_survives_and_credentials_reach_the_sidecar_alone(spec in spec(), native: bool) {
        let settings = settings();
        let actor = actor(&spec);
        let desired = build(&settings, &actor, native);
        prop_assert_eq!(&desired, &build(&settings, &actor, native));
        prop_assert!(desired.refused.is_empty());
        let users = &spec["workload"]["template"];
        prop_assert!(holds(&desired.template, users), "{} lost something of {users}", desired.template);

        let mut pod = desired.template["spec"].clone();
        let list = if native { "initContainers" } else { "containers" };
        let sidecar = pod[list].as_array_mut().unwrap().pop().unwrap();
        prop_assert_eq!(&sidecar["name"], "asya-sidecar");
        let untouched = [&pod["containers"][1], &pod["initContainers"][0]];
        prop_assert_eq!(untouched, [&users["spec"]["containers"][1], &users["spec"]["initContainers"][0]]);
        for list in ["containers", "initContainers"] {
            let text = pod[list].to_string();
            prop_assert!(!text.contains("broker-credentials") && !text.contains("asya-transport"), "{text}");
        }
        prop_assert!(names(&sidecar["volumeMounts"]).contains(&"asya-transport"));

        let found = names(&sidecar["env"]);
        let mut contract = vec![
            "ASYA_LOG_LEVEL", "ASYA_ACTOR_NAME", "ASYA_ACTOR_HAPPY_END", "ASYA_ACTOR_ERROR_END",
            "ASYA_RUNTIME_TIMEOUT", "ASYA_TRANSPORT", "ASYA_RABBITMQ_HOST", "ASYA_RABBITMQ_PORT",
            "ASYA_RABBITMQ_USERNAME", "ASYA_RABBITMQ_EXCHANGE", "ASYA_RABBITMQ_PASSWORD_FILE", "ASYA_SOCKET_DIR",
        ];
        prop_assert_eq!(&found[..contract.len()], &contract[..]);
        contract = names(&spec["sidecar"]["env"]);
        prop_assert!(found.ends_with(&contract), "the user's come last: {found:?}");
        for container in pod["containers"].as_array().unwrap().iter().chain([&sidecar]) {
            let mut env = names(&container["env"]);
            let all = env.len();
            env.sort_unstable();
            env.dedup();
            prop_assert_eq!(env.len(), all, "server-side apply refuses a name twice");
        }
    }
}

fn annotations(desired: &Desired) -> BTreeMap<String, String> {
    let workload = desired.workload.as_ref().unwrap();
    serde_json::from_value(workload["metadata"]["annotations"].clone()).unwrap()
}

fn simple() -> Value {
    json!({"transport": "rabbitmq", "handler": "a.b"})
}

fn upgraded() -> Settings {
    let mut settings = settings();
    settings.sidecar.image = "asya-sidecar:2".to_owned();
    settings
}

/// What is on the cluster once this was applied.
fn applied(desired: &Desired) -> (BTreeMap<String, String>, String) {
    let noted = annotations(desired);
    let template = noted[rollout::TEMPLATE].clone();
    (noted, template)
}

#[test]
fn running_pods_are_left_alone_by_a_new_sidecar_until_something_else_replaces_them() {
    let actor = actor(&simple());
    let before = build(&settings(), &actor, true);
    let (noted, template) = applied(&before);
    let live = Live { annotations: &noted, has_pods: true, restarted: None };
    let after = build(&upgraded(), &actor, true);
    assert_ne!(after.template, before.template);

    assert!(!live.is_free(&after));
    let mut held = after.clone();
    assert!(rollout::wait(&mut held, &live, &template), "an update waits");
    assert_eq!(held.workload, before.workload, "to the letter: nothing is written");
    assert_eq!(held.template, before.template);

    let restarted = Some("2026-01-01T00:00:00Z");
    for (why, live) in [
        ("no pods", Live { has_pods: false, ..live }),
        ("a restart was asked for", Live { restarted, ..live }),
    ] {
        assert!(live.is_free(&after), "{why}");
    }
}

#[test]
fn a_template_in_another_spelling_is_no_update() {
    let before = build(&settings(), &actor(&simple()), true);
    let (noted, template) = applied(&before);
    let live = Live { annotations: &noted, has_pods: true, restarted: None };
    let mut same = before.clone();
    assert!(!rollout::wait(&mut same, &live, &template.replace(":{", ": {")));
    assert!(!rollout::wait(&mut same, &live, "no JSON"));
    assert_eq!(same, before);
}

#[test]
fn a_restart_releases_one_update_and_not_the_next() {
    let actor = actor(&simple());
    let asked = Some("2026-01-01T00:00:00Z");
    let mut first = build(&upgraded(), &actor, true);
    let (before, _) = applied(&build(&settings(), &actor, true));
    rollout::follow(&mut first, &Live { annotations: &before, has_pods: true, restarted: asked });
    let (noted, template) = applied(&first);
    assert_eq!(noted.get(rollout::RESTARTED).map(String::as_str), asked);

    let mut next = build(&settings(), &actor, true);
    let live = Live { annotations: &noted, has_pods: true, restarted: asked };
    assert!(!live.is_free(&next));
    assert!(rollout::wait(&mut next, &live, &template));
    assert_eq!(next.workload, first.workload);
}

#[test]
fn a_roll_is_noted_until_the_next_one() {
    let actor = actor(&simple());
    let (before, _) = applied(&build(&settings(), &actor, true));
    let live = Live { annotations: &before, has_pods: true, restarted: None };
    let mut rolled = build(&upgraded(), &actor, true);
    rollout::roll(&mut rolled, &live, "2026-01-01T00:00:00Z");
    let (noted, _) = applied(&rolled);
    let mut again = build(&upgraded(), &actor, true);
    rollout::follow(&mut again, &Live { annotations: &noted, ..live });
    assert_eq!(again.workload, rolled.workload, "nothing is written");
}

#[test]
fn a_change_of_the_actor_rolls_at_once_and_a_change_of_its_scale_does_not() {
    let before = build(&settings(), &actor(&simple()), true);
    let (noted, template) = applied(&before);
    let live = Live { annotations: &noted, has_pods: true, restarted: None };

    let mut own = simple();
    own["timeout"] = json!({"processing": 7});
    let changed = build(&upgraded(), &actor(&own), true);
    assert!(live.is_free(&changed));

    let mut scale = simple();
    scale["scaling"] = json!({"enabled": true, "maxReplicas": 3});
    scale["deletionPolicy"] = json!("Retain");
    scale["rollout"] = json!({"policy": "Rolling"});
    let mut scaled = build(&upgraded(), &actor(&scale), true);
    assert!(!live.is_free(&scaled));
    assert!(rollout::wait(&mut scaled, &live, &template));
    assert_eq!(scaled.template, before.template);
}

#[test]
fn a_workload_of_the_previous_operator_gets_the_new_template() {
    let mut desired = build(&settings(), &actor(&simple()), true);
    let wanted = desired.clone();
    let live = Live { annotations: &BTreeMap::new(), has_pods: true, restarted: None };
    assert!(live.is_free(&desired));
    rollout::follow(&mut desired, &live);
    assert_eq!(desired, wanted);
}

#[test]
fn a_bound_workload_must_have_the_container_and_keep_the_credentials_to_the_sidecar() {
    let actor = actor(&json!({
        "transport": "rabbitmq", "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"},
    }));
    let settings = settings();
    let look = |pod: Value| {
        let live = json!({"spec": {"template": {"spec": pod}}});
        with_context(&settings, true, |context| {
            binding::container(&actor, context, actor.spec.workload_ref.as_ref().unwrap(), &live)
        })
        .map_err(|(reason, _)| reason)
    };
    assert_eq!(look(json!({"containers": [{"name": "server"}]})), Ok(Some("server".to_owned())));
    let two = json!({"containers": [{"name": "web"}, {"name": "asya-runtime"}]});
    assert_eq!(look(two), Ok(Some("asya-runtime".to_owned())));
    assert_eq!(look(json!({"containers": [{"name": "a"}, {"name": "b"}]})), Err("ContainerNotFound"));
    let ours = json!({
        "containers": [{"name": "server"}, {"name": "asya-sidecar"}],
        "volumes": [{"name": "asya-transport", "secret": {"secretName": "broker-credentials"}}],
    });
    assert_eq!(look(ours), Ok(Some("server".to_owned())), "our own part is no reason against it");
    let secret = json!({
        "containers": [{"name": "server"}],
        "volumes": [{"name": "mine", "secret": {"secretName": "broker-credentials"}}],
    });
    assert_eq!(look(secret), Err("TransportSecretExposed"));
    for (list, volume) in [("containers", "asya-transport"), ("initContainers", "asya-gateway-token")] {
        let mut pod = json!({
            "containers": [{"name": "server"}],
            "initContainers": [{"name": "asya-sidecar", "volumeMounts": [{"name": volume, "mountPath": "/s"}]}],
        });
        assert_eq!(look(pod.clone()), Ok(Some("server".to_owned())), "the sidecar mounts {volume}");
        let mount = json!({"name": "peek", "volumeMounts": [{"name": volume, "mountPath": "/s"}]});
        pod[list].as_array_mut().unwrap().push(mount);
        assert_eq!(look(pod), Err("TransportSecretExposed"), "{volume}");
    }
    let shared = json!({"containers": [{"name": "server"}], "shareProcessNamespace": true});
    assert_eq!(look(shared), Err("ProcessNamespaceShared"));
}

#[test]
fn a_container_that_mounts_what_is_the_sidecars_alone_is_refused() {
    let template = |volume: &str| {
        json!({"transport": "rabbitmq", "handler": "a.b", "workload": {"template": {"spec": {"containers": [
            {"name": "asya-runtime"},
            {"name": "peek", "volumeMounts": [{"name": volume, "mountPath": "/s"}]},
        ]}}}})
    };
    let refused = |volume: &str| build(&settings(), &actor(&template(volume)), true).refused;
    assert_eq!(refused("mine"), []);
    let (reason, sentence) = refused("asya-gateway-token").remove(0);
    assert_eq!(reason, "TransportSecretExposed");
    assert!(sentence.contains("container peek"), "{sentence}");
}

#[test]
fn a_bound_http_server_needs_no_named_container_and_a_port_that_the_sidecar_does_not_have() {
    let settings = settings();
    let look = |port: u16, more: Value| {
        let mut spec = json!({
            "transport": "rabbitmq",
            "workloadRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm", "http": {"port": port}},
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let actor = actor(&spec);
        let live = json!({"spec": {"template": {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}}}});
        with_context(&settings, true, |context| {
            binding::container(&actor, context, actor.spec.workload_ref.as_ref().unwrap(), &live)
        })
        .map_err(|(reason, _)| reason)
    };
    assert_eq!(look(8000, json!({})), Ok(None));
    assert_eq!(look(8080, json!({})), Err("PortConflict"));
    let elsewhere = json!({"sidecar": {"env": [{"name": "ASYA_METRICS_ADDR", "value": ":9090"}]}});
    assert_eq!(look(8080, elsewhere), Ok(None));
}

#[test]
fn what_every_sidecar_is_told_an_actor_may_say_otherwise() {
    let all = r#"[{"name":"ASYA_PAYLOAD_STORE","value":"s3://all"},{"name":"AWS_REGION","value":"eu"}]"#;
    let settings = Settings::read(Raw {
        transport_config: Some(TRANSPORTS.to_owned()),
        sidecar_env: Some(all.to_owned()),
        ..Raw::default()
    })
    .unwrap();
    let actor = actor(&json!({
        "transport": "rabbitmq", "handler": "a.b",
        "sidecar": {"env": [{"name": "ASYA_PAYLOAD_STORE", "value": "s3://mine"}]},
    }));
    let said = with_context(&settings, true, |context| {
        asya_operator::desired::environment::sidecar(&actor, context, 30)
    });
    let value = |name: &str| {
        let found: Vec<_> = said.iter().filter(|var| var.name == name).collect();
        assert_eq!(found.len(), 1, "{name}");
        found[0].value.clone().unwrap()
    };
    assert_eq!((value("ASYA_PAYLOAD_STORE").as_str(), value("AWS_REGION").as_str()), ("s3://mine", "eu"));
    let metrics = r#"[{"name":"ASYA_METRICS_ADDR","value":":1"}]"#;
    let refused = Settings::read(Raw { sidecar_env: Some(metrics.to_owned()), ..Raw::default() });
    assert!(refused.unwrap_err().to_string().contains("ASYA_METRICS_ADDR"));
}
