//! Objects of actors, compared with files: `golden/<case>.actor.yaml` holds an actor and, after it, what is special about
//! the operator and the cluster; `golden/<case>.objects.yaml` what comes out. `UPDATE=1` writes the latter again.
#![allow(clippy::unwrap_used, reason = "a test may end where it fails")]

use std::{fs, path::PathBuf};

use asya_operator::{
    actor::{Actor, Stored},
    cluster::Cluster,
    desired::{Context, Desired, features::Features, objects, rollout},
    settings::{Raw, Settings},
};
use serde_json::{Value, json};

/// The operator of every case that does not say otherwise.
const TRANSPORTS: &str = r#"{"transports":{
    "rabbitmq":{"enabled":true,"config":{"host":"rabbitmq.broker","port":5672,"username":"asya",
        "passwordSecretRef":{"name":"rabbitmq-secret","key":"password"}}},
    "sqs":{"enabled":true,"config":{"region":"eu-west-1","accountId":"123456789012",
        "actorRoleArn":"arn:aws:iam::123456789012:role/asya-actor"}}}}"#;

/// The ConfigMap with the runtime.
const RUNTIME: &str = "asya-runtime-b4e2ebd16422";

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn settings(special: &Value) -> Settings {
    let text = |key: &str| special[key].as_str().map(str::to_owned);
    let json = |key: &str| special.get(key).map(Value::to_string);
    Settings::read(Raw {
        transport_config: json("transports")
            .map(|it| format!("{{\"transports\":{it}}}"))
            .or_else(|| Some(TRANSPORTS.to_owned())),
        gateway_url: text("gatewayUrl"),
        queue_template: text("queueTemplate"),
        sidecar_resources: json("sidecarResources"),
        sidecar_image_pull_secrets: text("pullSecrets"),
        native_sidecar: text("nativeSidecar"),
        agents: text("agents"),
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

fn build(actor: &Actor, special: &Value) -> Desired {
    let settings = settings(special);
    let transport = &settings.transports[&actor.spec.transport];
    let cluster = Cluster {
        native_sidecars: special["nativeSidecars"] != json!(false),
        restricted: special["restricted"] == json!(true),
        ..Cluster::default()
    };
    let queue = settings.template.queue(&actor.namespace, &actor.name);
    let features = match special["foreignRuntime"] == json!(true) {
        true => Features::of(b"print('the runtime')\n"),
        false => Features::OURS,
    };
    let context = Context {
        settings: &settings,
        transport,
        queue: &queue,
        cluster: &cluster,
        runtime: RUNTIME,
        features,
    };
    objects(actor, &context)
}

/// The documents of a case. The recorded template is checked here and left out: it says everything twice.
fn documents(mut desired: Desired) -> Vec<Value> {
    let mut documents = desired.before;
    documents.extend(desired.expected.map(|expected| json!({"expected": expected})));
    if let Some(workload) = &mut desired.workload {
        let annotations = workload["metadata"]["annotations"].as_object_mut().unwrap();
        let recorded = annotations.remove(rollout::TEMPLATE).unwrap();
        let recorded: Value = serde_json::from_str(recorded.as_str().unwrap()).unwrap();
        assert_eq!(recorded, workload["spec"]["template"]);
        assert_eq!(recorded, desired.template);
    }
    documents.push(desired.workload.unwrap_or(desired.template));
    let said = |list: &[(&str, String)]| {
        Value::Array(list.iter().map(|(reason, sentence)| json!({reason.to_owned(): sentence})).collect())
    };
    documents.push(json!({"refused": said(&desired.refused), "warnings": said(&desired.warnings)}));
    documents
}

#[test]
fn actors_become_the_objects_in_the_golden_files() {
    let update = std::env::var_os("UPDATE").is_some();
    let mut differences = Vec::new();
    let mut cases = 0;
    let mut files: Vec<_> = fs::read_dir(directory()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        let Some(case) = name.strip_suffix(".actor.yaml") else { continue };
        cases += 1;
        let input: Vec<Value> = serde_saphyr::from_multiple(&fs::read_to_string(&file).unwrap()).unwrap();
        let special = input.get(1).cloned().unwrap_or_else(|| json!({}));
        let found = documents(build(&actor(&input[0]), &special));
        let golden = directory().join(format!("{case}.objects.yaml"));
        if update {
            let parts: Vec<_> = found.iter().map(|it| serde_saphyr::to_string(it).unwrap()).collect();
            fs::write(&golden, parts.join("---\n")).unwrap();
        }
        let text = fs::read_to_string(&golden).unwrap_or_default();
        let wanted: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        differ(&mut differences, case, &json!(wanted), &json!(found));
    }
    assert!(cases >= 18, "only {cases} cases were found");
    assert!(differences.is_empty(), "UPDATE=1 accepts these:\n{}", differences.join("\n"));
}

fn differ(differences: &mut Vec<String>, at: &str, wanted: &Value, found: &Value) {
    match (wanted, found) {
        (Value::Object(left), Value::Object(right)) => {
            let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
            for key in keys {
                differ(differences, &format!("{at}.{key}"), &wanted[key], &found[key]);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                differ(differences, &format!("{at}[{index}]"), left, right);
            }
        }
        _ if wanted == found => {}
        _ => differences.push(format!("{at}: the file says {wanted}, found {found}")),
    }
}
