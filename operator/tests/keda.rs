//! KEDA's objects of actors, compared with files and with KEDA's own schemas: `golden_keda/<case>.actor.yaml` holds an
//! actor and, after it, what is special about the operator and the cluster; `golden_keda/<case>.objects.yaml` what comes
//! out. `UPDATE=1` writes the latter again. The schemas are those of the KEDA that `ASYA_TEST_KEDA_CRDS` names.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

mod schema;

use std::{collections::BTreeSet, fs, path::PathBuf};

use asya_operator::{
    actor::{Actor, Stored},
    cluster::{Cluster, Keda},
    desired::{self, Context},
    keda::{Scaling, scaling},
    settings::{Raw, Settings},
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The operator of every case that does not say otherwise.
const TRANSPORTS: &str = r#"{"transports":{
    "rabbitmq":{"enabled":true,"config":{"host":"rabbitmq.broker","port":5672,"username":"asya",
        "managementURL":"http://rabbitmq.broker:15672",
        "passwordSecretRef":{"name":"rabbitmq-secret","key":"password"}}},
    "sqs":{"enabled":true,"config":{"region":"eu-west-1","accountId":"123456789012",
        "actorRoleArn":"arn:aws:iam::123456789012:role/asya-actor"}}}}"#;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden_keda")
}

fn settings(special: &Value) -> Settings {
    let text = |key: &str| special["push"][key].as_str().map(str::to_owned);
    let transports = special.get("transports").map(|it| format!("{{\"transports\":{it}}}"));
    let push = special.get("push").is_some();
    Settings::read(Raw {
        transport_config: transports.or_else(|| Some(TRANSPORTS.to_owned())),
        scaler_bind_address: push.then(|| ":8082".to_owned()),
        scaler_address: push.then(|| "asya-operator-scaler.asya-system.svc:8082".to_owned()),
        scaler_tls_dir: text("tls"),
        scaler_authentication: text("authentication"),
        scaler_default: text("default"),
        ..Raw::default()
    })
    .unwrap()
}

fn actor(manifest: &Value) -> Actor {
    let mut manifest = manifest.clone();
    manifest["metadata"]["uid"] = json!("6f0c2e4a-0000-4000-8000-000000000001");
    let metadata = manifest["metadata"].as_object_mut().unwrap();
    metadata.entry("namespace").or_insert_with(|| json!("shop"));
    Actor::read(&serde_json::from_value::<Stored>(manifest).unwrap()).unwrap()
}

fn build(manifest: &Value, special: &Value) -> Scaling {
    let actor = actor(manifest);
    let settings = settings(special);
    let keda = match special["keda"].as_str() {
        Some("missing") => Keda::Missing,
        Some("unknown") => Keda::Unknown,
        Some("old") => Keda::Version(2, 17),
        _ => Keda::Version(2, 21),
    };
    let cluster = Cluster { native_sidecars: true, keda, ..Cluster::default() };
    let queue = settings.template.queue(&actor.namespace, &actor.name);
    let context = Context {
        settings: &settings,
        transport: &settings.transports[&actor.spec.transport],
        queue: &queue,
        cluster: &cluster,
        runtime: "asya-runtime-0",
        features: desired::features::Features::OURS,
    };
    scaling(&actor, &context, &desired::objects(&actor, &context).template)
}

/// Every case: its name, its actor, what is special.
fn cases() -> Vec<(String, Value, Value)> {
    let mut files: Vec<_> = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let case = |file: PathBuf| {
        let name = file.file_name()?.to_str()?.strip_suffix(".actor.yaml")?.to_owned();
        let mut input: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(&file).unwrap()).unwrap();
        input.resize(2, json!({}));
        let special = input.pop()?;
        Some((name, input.pop()?, special))
    };
    files.into_iter().filter_map(case).collect()
}

#[test]
fn actors_become_the_objects_in_the_golden_files() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut differences = Vec::new();
    for (case, manifest, special) in cases() {
        let scaling = build(&manifest, &special);
        let said = |list: &[(&str, String)]| {
            Value::Array(list.iter().map(|(reason, why)| json!({reason.to_owned(): why})).collect())
        };
        let mut found = scaling.objects.clone();
        // The injected template has golden files of its own.
        for object in &mut found {
            if let Some(template) = object.pointer_mut("/spec/jobTargetRef/template") {
                *template = json!("<the injected template>");
            }
        }
        found.push(json!({"refused": said(&scaling.refused), "warnings": said(&scaling.warnings)}));
        let golden = directory().join(format!("{case}.objects.yaml"));
        if update {
            let parts: Vec<_> = found.iter().map(|it| serde_saphyr::to_string(it).unwrap()).collect();
            fs::write(&golden, parts.join("---\n")).unwrap();
        }
        let text = fs::read_to_string(&golden).unwrap_or_default();
        let wanted: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        if wanted != found {
            differences.push(format!("{case}: the file says {wanted:#?}, found {found:#?}"));
        }
    }
    assert!(differences.is_empty(), "UPDATE=1 accepts these:\n{}", differences.join("\n"));
}

#[test]
fn every_object_fits_the_schemas_of_the_real_keda() {
    let Some(schemas) = schema::Schemas::of_keda() else {
        eprintln!("NOT RUN: needs the CRDs of KEDA, make test has them");
        return;
    };
    let mut kinds = BTreeSet::new();
    for (case, manifest, special) in cases() {
        for object in build(&manifest, &special).objects {
            let kind = object["kind"].as_str().unwrap().to_owned();
            let problems = schemas.problems(&object);
            assert!(problems.is_empty(), "{case}, {kind}: {}", problems.join("; "));
            kinds.insert(kind);
        }
    }
    let all = ["ConfigMap", "ScaledJob", "ScaledObject", "TriggerAuthentication"];
    assert_eq!(kinds, all.map(str::to_owned).into());
}

#[test]
fn the_schemas_find_what_is_wrong() {
    let Some(schemas) = schema::Schemas::of_keda() else { return };
    let object =
        |spec: Value| json!({"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "spec": spec});
    for wrong in [
        json!({"triggers": []}),
        json!({"scaleTargetRef": {"name": "a"}, "triggers": [{"type": "cron", "metadata": {"n": 5}}]}),
        json!({"scaleTargetRef": {"name": "a"}, "triggers": [], "coolDownPeriod": 5}),
        json!({"scaleTargetRef": {"name": "a"}, "triggers": [], "cooldownPeriod": "5"}),
    ] {
        assert!(!schemas.problems(&object(wrong.clone())).is_empty(), "{wrong}");
    }
}

#[test]
fn an_actor_is_scaled_by_the_names_that_it_had_before() {
    let (_, manifest, special) = cases().into_iter().find(|(name, ..)| name == "rabbitmq").unwrap();
    let names: Vec<_> = build(&manifest, &special)
        .objects
        .iter()
        .map(|object| format!("{}/{}", object["kind"], object["metadata"]["name"]).replace('"', ""))
        .collect();
    assert_eq!(
        names,
        ["ConfigMap/ocr-trigger-auth", "TriggerAuthentication/ocr-trigger-auth", "ScaledObject/ocr"]
    );
}

proptest! {
    #[test]
    fn names_that_keda_would_refuse_are_shortened_and_stay_apart(name in "[a-z]([-a-z0-9]{0,61}[a-z0-9])?") {
        let other = format!("{}x", &name[..name.len() - 1]);
        let autoscaler = |name: &str| {
            let manifest = json!({"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "metadata": {"name": name},
                "spec": {"transport": "rabbitmq", "handler": "a.b", "scaling": {"enabled": true}, "workload": {"template":
                    {"spec": {"containers": [{"name": "asya-runtime", "image": "i"}]}}}}});
            let object = build(&manifest, &json!({})).objects.pop().unwrap();
            let config = &object["spec"]["advanced"]["horizontalPodAutoscalerConfig"];
            config["name"].as_str().map_or_else(|| format!("keda-hpa-{name}"), str::to_owned)
        };
        let first = autoscaler(&name);
        prop_assert!(first.len() <= 63 && first.ends_with(|c: char| c.is_ascii_alphanumeric()), "{first}");
        prop_assert!(name == other || first != autoscaler(&other));
    }
}
