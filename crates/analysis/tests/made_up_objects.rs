//! Objects of every shape through every analyzer: what no API server should hold is held by some.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use asya_analysis::rules::{KindRules, ResourceAnalyzer};
use asya_analysis::{GroupKind, Inventory, Object, Recorder, Selection, Snapshot, analyzers, evaluate};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// Names of fields that analyzers ask for, so that what is made up is looked at.
const FIELDS: [&str; 60] = [
    "spec",
    "status",
    "data",
    "binaryData",
    "conditions",
    "type",
    "status",
    "reason",
    "message",
    "phase",
    "state",
    "lastTransitionTime",
    "observedGeneration",
    "containers",
    "initContainers",
    "ephemeralContainers",
    "volumes",
    "configMap",
    "name",
    "items",
    "key",
    "path",
    "hostPath",
    "securityContext",
    "privileged",
    "volumeMounts",
    "mountPath",
    "template",
    "replicas",
    "selector",
    "matchLabels",
    "claimRef",
    "namespace",
    "storageClassName",
    "volumeName",
    "persistentVolumeReclaimPolicy",
    "provisioner",
    "volumeBindingMode",
    "roleRef",
    "subjects",
    "kind",
    "rules",
    "verbs",
    "resources",
    "apiGroups",
    "source",
    "image",
    "ref",
    "resolvedSource",
    "sourceType",
    "connectionState",
    "lastObservedState",
    "requirementStatus",
    "args",
    "command",
    "prometheus.yml",
    "health",
    "allocatedResourceStatuses",
    "installPlanApproval",
    "sourceNamespace",
];

/// Words that mean something to them.
const WORDS: [&str; 24] = [
    "",
    "True",
    "False",
    "Unknown",
    "Ready",
    "Progressing",
    "Pending",
    "Failed",
    "Released",
    "Lost",
    "Bound",
    "shop",
    "conf",
    "default",
    "*",
    "Catalog",
    "ServiceAccount",
    "Role",
    "ClusterRole",
    "2026-06-01T11:00:00Z",
    "a/b:c@d",
    "prometheus",
    "--config.file=/etc/prometheus/prometheus.yml",
    "scrape_configs:\n- job_name: [",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(&WORDS[..]).prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        let field = prop::sample::select(&FIELDS[..]).prop_map(str::to_owned);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((field, inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn object(kind: &GroupKind, fields: &Value) -> Object {
    let api_version = if kind.group.is_empty() { "v1".to_owned() } else { format!("{}/v1", kind.group) };
    let mut object = Map::new();
    if let Value::Object(fields) = fields {
        object.extend(fields.clone());
    }
    // What an API server always fills in; the rest of the metadata may be anything.
    let mut metadata = object.remove("metadata").and_then(|odd| odd.as_object().cloned()).unwrap_or_default();
    metadata.insert("name".to_owned(), json!("conf"));
    metadata.insert("namespace".to_owned(), json!("shop"));
    object.insert("apiVersion".to_owned(), json!(api_version));
    object.insert("kind".to_owned(), json!(kind.kind));
    object.insert("metadata".to_owned(), Value::Object(metadata));
    Object::new(Value::Object(object)).unwrap()
}

fn every_analyzer() -> Selection {
    let names: Vec<&str> = analyzers::all().iter().map(|analyzer| analyzer.name()).collect();
    let rules = KindRules::of(&GroupKind::new("example.com", "Thing"));
    Selection::new(&names, &[], &[]).unwrap().with(Arc::new(ResourceAnalyzer::new(rules).unwrap())).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_object_makes_an_analyzer_panic_and_its_snapshot_tells_the_same(subject in value(), other in value()) {
        let selection = every_analyzer();
        let kinds = selection.subjects();
        // The other objects are as odd: analyzers meet them as users, targets and lists.
        let inventory = Inventory::of(kinds.iter().map(|kind| object(kind, &other)));
        for kind in &kinds {
            let subject = object(kind, &subject);
            let recorder = Recorder::new(&inventory);
            let direct = evaluate(&subject, &selection, &recorder);
            for failure in direct.report.failures() {
                prop_assert!(!failure.evidence.is_empty() && !failure.text.is_empty(), "{failure:?}");
                prop_assert!(failure.code.chars().all(|c| c.is_ascii_alphanumeric()), "{}", failure.code);
            }
            let sent = serde_json::to_string(&recorder.finish()).unwrap();
            let snapshot: Snapshot = serde_json::from_str(&sent).unwrap();
            prop_assert_eq!(evaluate(&subject, &selection, &snapshot), direct);
        }
    }

    #[test]
    fn no_text_of_rules_makes_their_parser_panic(text in "\\PC{0,80}", yaml in value()) {
        let _ = KindRules::parse(&text);
        if let Ok(rules) = KindRules::parse(&yaml.to_string()) {
            for rules in rules {
                prop_assert!(ResourceAnalyzer::new(rules).is_ok());
            }
        }
    }
}
