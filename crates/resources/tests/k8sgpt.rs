//! The kinds of cluster analysis against what the original's users have: its samples, its fields, its stored objects.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::{collections::BTreeSet, fs, path::Path};

use asya_resources::k8sgpt::{
    Ai, Backend, CRDS, Image, K8sGpt, Lifecycle, Mutation, MutationStatus, Phase, ResultObject, ResultStatus,
    SinkType,
    rules::{RULES, check, report},
    warnings,
};
use serde_json::{Map, Value, json};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/manifests/k8sgpt");

fn documents(file: &str) -> Vec<Value> {
    let text = fs::read_to_string(Path::new(FIXTURES).join(file)).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

/// Every `K8sGPT` of the fixtures, with the file that has it.
fn samples() -> Vec<(String, Value)> {
    let mut files: Vec<_> = fs::read_dir(FIXTURES)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|file| file.ends_with(".yaml"))
        .collect();
    files.sort();
    let all =
        files.iter().flat_map(|file| documents(file).into_iter().map(|document| (file.clone(), document)));
    let samples: Vec<_> = all.filter(|(_, document)| document["kind"] == "K8sGPT").collect();
    assert!(samples.len() >= 13, "{}", samples.len());
    samples
}

/// The schema of the CRD of a kind, as it is applied to a cluster.
fn schema(kind: &str) -> Value {
    let crds = CRDS.map(|crd| serde_saphyr::from_str::<Value>(crd).unwrap());
    let crd = crds.into_iter().find(|crd| crd["spec"]["names"]["kind"] == kind).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

fn sample(file: &str) -> K8sGpt {
    K8sGpt::read(&documents(file)[0]).unwrap()
}

/// What the API server keeps of an object.
fn pruned(value: &Value, schema: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let open =
                schema["x-kubernetes-preserve-unknown-fields"] == true || schema.get("properties").is_none();
            let field = |(name, value): (&String, &Value)| match schema["properties"].get(name) {
                Some(below) => Some((name.clone(), pruned(value, below))),
                None if schema["additionalProperties"].is_object() => {
                    Some((name.clone(), pruned(value, &schema["additionalProperties"])))
                }
                None => open.then(|| (name.clone(), value.clone())),
            };
            Value::Object(fields.iter().filter_map(field).collect::<Map<_, _>>())
        }
        Value::Array(items) => items.iter().map(|item| pruned(item, &schema["items"])).collect(),
        other => other.clone(),
    }
}

/// What the API server fills in.
fn defaulted(value: &mut Value, schema: &Value) {
    if let Some(fields) = value.as_object_mut() {
        for (name, below) in schema["properties"].as_object().into_iter().flatten() {
            if let Some(default) = below.get("default").filter(|_| !fields.contains_key(name)) {
                fields.insert(name.clone(), default.clone());
            }
            if let Some(field) = fields.get_mut(name) {
                defaulted(field, below);
            }
        }
        for field in fields.values_mut().filter(|_| schema["additionalProperties"].is_object()) {
            defaulted(field, &schema["additionalProperties"]);
        }
    }
    for item in value.as_array_mut().into_iter().flatten() {
        defaulted(item, &schema["items"]);
    }
}

#[test]
fn every_sample_is_accepted_and_every_field_of_it_is_known() {
    let schema = schema("K8sGPT");
    for (file, sample) in samples() {
        assert_eq!(report(&check(&sample)), "", "{file}");
        assert_eq!(pruned(&sample["spec"], &schema["properties"]["spec"]), sample["spec"], "{file}");
        K8sGpt::read(&sample).unwrap_or_else(|error| panic!("{file}: {error}"));
    }
}

#[test]
fn a_sample_that_is_read_and_written_says_the_same() {
    let schema = schema("K8sGPT");
    for (file, sample) in samples() {
        let read = K8sGpt::read(&sample).unwrap();
        let written = serde_json::to_value(&read).unwrap();
        assert_eq!(K8sGpt::read(&written).unwrap(), read, "{file}");
        // What is written is what the API server would have made of the sample, but for fields that it left out.
        let mut stored = sample.clone();
        defaulted(&mut stored["spec"], &schema["properties"]["spec"]);
        assert_eq!(written["spec"], stored["spec"], "{file}");
    }
}

#[test]
fn defaults_of_the_server_and_of_the_types_are_the_same() {
    let schema = schema("K8sGPT");
    for (file, sample) in samples() {
        let mut stored = sample.clone();
        defaulted(&mut stored["spec"], &schema["properties"]["spec"]);
        assert_eq!(K8sGpt::read(&stored).unwrap(), K8sGpt::read(&sample).unwrap(), "{file}");
    }
    let mut ai = json!({});
    defaulted(&mut ai, &schema["properties"]["spec"]["properties"]["ai"]);
    assert_eq!(
        ai,
        json!({ "enabled": false, "backend": "openai", "model": "gpt-4o-mini", "anonymized": true, "language": "english",
                "maxTokens": "2048", "topk": "50" })
    );
}

#[test]
fn samples_mean_what_the_original_means() {
    let first = sample("openai.yaml").spec;
    let ai = first.ai.clone().unwrap();
    assert!(ai.enabled && ai.anonymized && first.explains());
    assert_eq!((ai.backend, ai.model.as_str()), (Backend::OpenAi, "gpt-3.5-turbo"));
    assert_eq!(first.image(), Image::OwnInsteadOf("ghcr.io/k8sgpt-ai/k8sgpt:v0.3.41".to_owned()));

    let capi = sample("multi-cluster.yaml").spec;
    assert_eq!(capi.kubeconfig.unwrap().name.as_deref(), Some("capi-quickstart-kubeconfig"));
    assert!(!capi.ai.unwrap().enabled, "ai.enabled is false unless it is said");

    let bedrock = sample("amazonbedrock.yaml").spec.ai.unwrap();
    assert_eq!((bedrock.secret.unwrap().key, bedrock.region.as_deref()), (None, Some("eu-central-1")));

    let all = sample("every-field.yaml").spec;
    let sink = all.sink.clone().unwrap();
    assert_eq!((sink.kind(), sink.icon_url.is_some()), (SinkType::Mattermost, true));
    assert_eq!(all.custom_analyzers[0].connection.as_ref().unwrap().port, Some(8085));
    assert_eq!(all.namespaces(), Some(vec!["shop"]));
    assert_eq!(all.security_context.unwrap()["fsGroup"], 2000);
}

#[test]
fn what_of_the_readmes_samples_works_otherwise_is_told() {
    let reasons = |file: &str| -> BTreeSet<&str> {
        warnings(&sample(file).spec).into_iter().map(|warning| warning.reason).collect()
    };
    for file in [
        "openai.yaml",
        "cache-azure.yaml",
        "cache-s3.yaml",
        "azureopenai.yaml",
        "amazonbedrock.yaml",
        "localai.yaml",
        "image-pull-secrets.yaml",
        "resources.yaml",
    ] {
        assert_eq!(reasons(file), BTreeSet::from(["ImageIgnored"]), "{file}");
    }
    assert_eq!(reasons("cache-interplex.yaml"), BTreeSet::from(["ImageIgnored", "NotDone"]));
    assert_eq!(reasons("multi-cluster.yaml"), BTreeSet::new());
    assert_eq!(
        reasons("openai-every-option.yaml"),
        BTreeSet::from(["ImageIgnored", "IntegrationUnavailable", "NotDone"]),
        "names are masked although it says anonymized: false"
    );
    assert_eq!(reasons("further-fields.yaml"), BTreeSet::from(["NotDone"]), "ai.rate.callsPerMinute");
}

#[test]
fn an_unknown_field_is_named_pruned_and_passed_over() {
    let mut sample = documents("openai.yaml").remove(0);
    let right = K8sGpt::read(&sample).unwrap();
    sample["spec"]["ai"]["modle"] = json!("x");
    sample["spec"]["later"] = json!({ "a": 1 });
    sample["spec"]["securityContext"] = json!({ "later": true });
    let found = report(&check(&sample));
    assert_eq!(
        found.lines().collect::<Vec<_>>(),
        [
            "K8sGPT spec.ai.modle: unknown field \"modle\"; did you mean \"model\"?",
            "K8sGPT spec.later: unknown field \"later\"",
        ]
    );
    let kept = pruned(&sample["spec"], &schema("K8sGPT")["properties"]["spec"]);
    assert_eq!((kept["ai"].get("modle"), kept.get("later")), (None, None));
    assert_eq!(kept["securityContext"], json!({ "later": true }), "what Kubernetes knows of is kept");
    let mut read = K8sGpt::read(&sample).unwrap();
    assert_eq!(read.spec.security_context.take(), Some(json!({ "later": true })));
    assert_eq!(read, right);
}

/// Constraints of a schema that can refuse a value.
const CONSTRAINTS: [&str; 12] = [
    "enum",
    "pattern",
    "format",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "required",
    "x-kubernetes-validations",
    "multipleOf",
];

/// The fields of the original, as paths; what is below an open object is Kubernetes' own.
fn fields_of(value: &Value, at: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields)
            if !["securityContext", "containerSecurityContext", "resources"].contains(&at) =>
        {
            for (name, field) in fields {
                let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                found.insert(path.clone());
                fields_of(field, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields_of(item, &format!("{at}[]"), found)),
        _ => {}
    }
}

#[test]
fn no_field_of_the_original_is_held_more_strictly_than_there() {
    let mut original = BTreeSet::new();
    fields_of(&documents("every-field.yaml")[0]["spec"], "", &mut original);
    let spec = schema("K8sGPT")["properties"]["spec"].clone();
    let mut strict = Vec::new();
    for path in &original {
        let mut node = &spec;
        for step in path.split('.') {
            let name = step.trim_end_matches("[]");
            let fields = &node["properties"];
            node = if fields.is_object() { &fields[name] } else { &node["additionalProperties"] };
            if step.ends_with("[]") {
                node = &node["items"];
            }
        }
        assert!(node["type"].is_string(), "{path}");
        strict.extend(
            CONSTRAINTS.iter().filter(|key| node.get(**key).is_some()).map(|key| format!("{path} {key}")),
        );
    }
    // Each as the original has it: enums with more words, the same pattern, the same required fields.
    assert_eq!(
        strict,
        [
            "ai.azureAPIType enum",
            "ai.backend enum",
            "analysis.interval pattern",
            "remoteCache.azure required",
            "remoteCache.gcs required",
            "remoteCache.interplex required",
            "remoteCache.s3 required",
            "sink.type enum",
        ]
    );
    let words = |pointer: &str| -> Vec<String> {
        let words = spec.pointer(pointer).unwrap()["enum"].as_array().unwrap();
        words.iter().map(|word| word.as_str().unwrap().to_owned()).collect()
    };
    let backends = words("/properties/ai/properties/backend");
    for backend in [
        "ibmwatsonxai",
        "openai",
        "localai",
        "azureopenai",
        "amazonbedrock",
        "cohere",
        "amazonsagemaker",
        "google",
        "googlevertexai",
        "customrest",
    ] {
        assert!(backends.iter().any(|word| word == backend), "{backend}");
    }
    assert_eq!(backends, Backend::ALL.map(Backend::as_str));
    assert_eq!(words("/properties/ai/properties/azureAPIType"), ["AZURE", "AZURE_AD", "CLOUDFLARE_AZURE"]);
    assert_eq!(
        words("/properties/sink/properties/type"),
        ["slack", "mattermost", "cloudevents", "webhook", "teams", "pagerduty"]
    );
}

#[test]
fn no_rule_reads_a_field_of_the_original_without_a_new_one() {
    for rule in RULES {
        let is_new =
            ["spec.sinks[]", "spec.suppress[]", "spec.prompts[]", "spec.labelSelector.matchExpressions[]"];
        assert!(
            is_new.contains(&rule.at) || rule.cel.starts_with("!has(self.imageOverride)"),
            "{}",
            rule.cel
        );
    }
}

/// Walks through a schema; `look` gets each node with its path.
fn walk(node: &Value, at: &str, look: &mut impl FnMut(&str, &Value)) {
    look(at, node);
    for (name, field) in node["properties"].as_object().into_iter().flatten() {
        walk(field, &format!("{at}.{name}"), look);
    }
    for (key, mark) in [("items", "[]"), ("additionalProperties", ".*")] {
        if node[key].is_object() {
            walk(&node[key], &format!("{at}{mark}"), look);
        }
    }
}

#[test]
fn the_schemas_are_structural_and_explain_every_field() {
    for kind in ["K8sGPT", "Result", "Mutation"] {
        walk(&schema(kind), kind, &mut |at, node| {
            let is_known = node["type"].is_string() || node["x-kubernetes-int-or-string"] == true;
            assert!(is_known, "{at} has no type");
            for forbidden in
                ["$ref", "oneOf", "anyOf", "allOf", "not", "definitions", "const", "nullable", "title"]
            {
                assert!(node.get(forbidden).is_none(), "{at} has {forbidden}");
            }
            assert!(
                !(node["properties"].is_object() && node["additionalProperties"].is_object()),
                "{at} has both"
            );
            let is_field = !at.ends_with("[]") && !at.ends_with(".*") && !at.ends_with(".metadata");
            if is_field {
                let text = node["description"].as_str().unwrap_or_default();
                assert!(text.len() > 5 && text.ends_with('.'), "{at}: {text:?}");
            }
            for required in node["required"].as_array().into_iter().flatten() {
                assert!(node["properties"][required.as_str().unwrap()].is_object(), "{at} has no {required}");
            }
            for key in node["x-kubernetes-list-map-keys"].as_array().into_iter().flatten() {
                assert!(
                    node["items"]["required"].as_array().unwrap().contains(key),
                    "{at}: {key} is not required"
                );
            }
            if node["x-kubernetes-validations"].is_array() && at.ends_with("[]") {
                assert!(RULES.iter().any(|rule| at.ends_with(rule.at.trim_start_matches("spec"))), "{at}");
            }
        });
    }
}

#[test]
fn lists_that_rules_walk_through_are_bounded() {
    let spec = schema("K8sGPT")["properties"]["spec"].clone();
    for pointer in ["sinks", "suppress", "prompts", "labelSelector/properties/matchExpressions"] {
        let list = spec.pointer(&format!("/properties/{pointer}")).unwrap();
        assert!(list["maxItems"].as_u64().is_some_and(|most| most <= 256), "{pointer}");
    }
}

#[test]
fn the_crds_have_exactly_the_rules_of_the_table() {
    let mut found = BTreeSet::new();
    walk(&schema("K8sGPT"), "", &mut |at, node| {
        for rule in node["x-kubernetes-validations"].as_array().into_iter().flatten() {
            let text = |key: &str| rule[key].as_str().unwrap().to_owned();
            found.insert((at.trim_start_matches('.').to_owned(), text("rule"), text("message")));
        }
    });
    let wanted: BTreeSet<_> =
        RULES.iter().map(|rule| (rule.at.to_owned(), rule.cel.to_owned(), rule.message.to_owned())).collect();
    assert_eq!(found, wanted);
}

#[test]
fn objects_that_the_original_stored_are_read_and_kept_whole() {
    let stored = documents("stored-by-the-original.yaml");
    for object in &stored {
        let schema = schema(object["kind"].as_str().unwrap());
        for part in ["spec", "status"] {
            assert_eq!(pruned(&object[part], &schema["properties"][part]), object[part]);
        }
    }
    let result = ResultObject::read(&stored[0]).unwrap();
    assert_eq!((result.spec.kind.as_str(), result.spec.error[0].sensitive.len()), ("Service", 2));
    assert_eq!(result.spec.subject(), (Some("k8sgpt-operator-system"), "webhook-service"));
    assert_eq!(ResultStatus::read(&stored[0]).lifecycle, Some(Lifecycle::Historical));
    assert_eq!(serde_json::to_value(&result.spec).unwrap(), stored[0]["spec"]);

    let node = ResultObject::read(&stored[1]).unwrap();
    assert_eq!(
        (node.spec.subject(), ResultStatus::read(&stored[1])),
        ((None, "node1"), ResultStatus::default())
    );

    let mutation = Mutation::read(&stored[2]).unwrap();
    assert_eq!(mutation.spec.resource.name.as_deref(), Some("web"));
    assert!(mutation.spec.similarity().is_some_and(|score| (92.0..93.0).contains(&score)));
    assert_eq!(serde_json::to_value(&mutation.spec).unwrap(), stored[2]["spec"]);
    let status = MutationStatus::read(&stored[2]);
    assert_eq!((status.phase, status.message.as_deref()), (Phase::Pending, Some("Pending")));
}

#[test]
fn columns_show_fields_that_are_there() {
    for crd in CRDS {
        let crd: Value = serde_saphyr::from_str(crd).unwrap();
        let version = &crd["spec"]["versions"][0];
        assert!(version["subresources"]["status"].is_object());
        let schema = &version["schema"]["openAPIV3Schema"]["properties"];
        for column in version["additionalPrinterColumns"].as_array().unwrap() {
            let path = column["jsonPath"].as_str().unwrap();
            if path.starts_with(".metadata") || path.contains("[?") {
                continue;
            }
            let mut node = &schema[path.split('.').nth(1).unwrap()];
            for step in path.split('.').skip(2) {
                let (name, is_item) = step.split_once('[').map_or((step, false), |(name, _)| (name, true));
                node = &node["properties"][name];
                if is_item {
                    node = &node["items"];
                }
            }
            let (shown, kind) = (column["type"].as_str().unwrap(), node["type"].as_str().unwrap());
            assert!(shown == kind || (shown == "date" && node["format"] == "date-time"), "{path}");
        }
    }
}

#[test]
fn an_ai_block_of_nothing_is_read() {
    assert_eq!(serde_json::from_value::<Ai>(json!({})).unwrap(), Ai::default());
}
