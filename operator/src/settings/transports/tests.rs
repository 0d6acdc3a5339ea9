//! What the configuration becomes, and what is refused.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::actor::{Actor, SECRET_ANNOTATION};

fn read(transports: &Value) -> Result<Parsed, Vec<String>> {
    parse(&json!({ "transports": transports }).to_string(), Path::new("/etc/asya/transports"))
}

fn one(name: &str, config: &Value) -> Transport {
    let parsed = read(&json!({ name: {"enabled": true, "config": config} })).unwrap();
    parsed.transports[name].clone()
}

fn rabbitmq(config: &Value) -> Rabbitmq {
    match one("rabbitmq", config).kind {
        Kind::Rabbitmq(rabbitmq) => rabbitmq,
        Kind::Sqs(_) => panic!("a transport called rabbitmq is one"),
    }
}

fn sqs(config: &Value) -> Sqs {
    match one("sqs", config).kind {
        Kind::Sqs(sqs) => sqs,
        Kind::Rabbitmq(_) => panic!("a transport called sqs is one"),
    }
}

/// The document that the Go operator's chart renders with everything switched on.
fn of_the_go_chart() -> Value {
    json!({
        "rabbitmq": {"type": "rabbitmq", "enabled": true, "config": {
            "host": "rabbitmq.default.svc.cluster.local", "port": 5672, "username": "asya",
            "passwordSecretRef": {"name": "rabbitmq-secret", "key": "password"}, "exchange": "asya",
            "queues": {"autoCreate": true, "forceRecreate": false,
                       "dlq": {"enabled": true, "maxRetryCount": 5}}}},
        "sqs": {"type": "sqs", "enabled": true, "config": {
            "region": "eu-west-1", "actorRoleArn": "arn:aws:iam::1:role/actor", "accountId": "123456789012",
            "endpoint": "", "visibilityTimeout": 600, "waitTimeSeconds": 10,
            "credentials": {"accessKeyIdSecretRef": {"name": "aws", "key": "id"},
                            "secretAccessKeySecretRef": {"name": "aws", "key": "secret"}},
            "queues": {"autoCreate": true, "dlq": {"enabled": true, "maxRetryCount": 0, "retentionDays": 0}},
            "tags": {"team": "ml"}}}
    })
}

#[test]
fn the_documents_of_the_go_chart_are_read() {
    let parsed = read(&of_the_go_chart()).unwrap();
    assert_eq!(parsed.warnings, Vec::<String>::new());
    let transport = &parsed.transports["rabbitmq"];
    assert!(transport.enabled && transport.auto_create);
    assert_eq!(transport.secrets, Path::new("/etc/asya/transports/rabbitmq"));
    let expected = Sqs {
        region: "eu-west-1".to_owned(),
        account: Some("123456789012".to_owned()),
        endpoint: None,
        actor_role: Some("arn:aws:iam::1:role/actor".to_owned()),
        visibility_timeout: 600,
        wait_time_seconds: 10,
        credentials: Some((
            SecretKey { name: "aws".to_owned(), key: "id".to_owned() },
            SecretKey { name: "aws".to_owned(), key: "secret".to_owned() },
        )),
        max_receive_count: Some(3),
        retention_days: 14,
        tags: [("team".to_owned(), "ml".to_owned())].into(),
    };
    assert_eq!(parsed.transports["sqs"].kind, Kind::Sqs(expected));
}

#[test]
fn what_is_left_out_has_the_documented_default() {
    let expected = Rabbitmq {
        host: "broker".to_owned(),
        port: 5672,
        vhost: "/".to_owned(),
        tls: false,
        username: "guest".to_owned(),
        password: None,
        exchange: "asya".to_owned(),
        management_url: None,
        management_password: None,
        per_namespace_users: false,
        dead_letters: true,
    };
    assert_eq!(rabbitmq(&json!({"host": "broker"})), expected);
    assert_eq!(rabbitmq(&json!({"host": "broker", "tls": true})).port, 5671);
    let sqs = sqs(&json!({"region": "eu-west-1"}));
    assert_eq!((sqs.visibility_timeout, sqs.wait_time_seconds), (300, 20));
    assert_eq!((sqs.max_receive_count, sqs.retention_days), (Some(40), 14));
}

#[test]
fn queues_are_made_unless_the_key_is_there_and_does_not_say_so() {
    for (queues, auto_create) in [
        (Value::Null, true),
        (json!({}), false),
        (json!({"autoCreate": true}), true),
        (json!({"autoCreate": false}), false),
        (json!({"dlq": {"enabled": false}}), false),
    ] {
        let transport = one("rabbitmq", &json!({"host": "b", "queues": queues}));
        assert_eq!(transport.auto_create, auto_create, "{queues}");
    }
}

#[test]
fn dead_letter_settings_mean_what_they_meant() {
    for (dlq, count, days) in [
        (json!({"enabled": true}), Some(3), 14),
        (json!({"enabled": true, "maxRetryCount": 0}), Some(3), 14),
        (json!({"enabled": true, "maxRetryCount": 7, "retentionDays": 2}), Some(7), 2),
        (json!({"enabled": false}), None, 14),
    ] {
        let sqs = sqs(&json!({"region": "r", "queues": {"autoCreate": true, "dlq": dlq}}));
        assert_eq!((sqs.max_receive_count, sqs.retention_days), (count, days), "{dlq}");
    }
    assert!(!rabbitmq(&json!({"host": "b", "queues": {"dlq": {"enabled": false}}})).dead_letters);
}

#[test]
fn a_transport_may_have_any_name_if_its_type_is_told() {
    let parsed = read(&json!({
        "eu-broker": {"type": "rabbitmq", "enabled": true, "config": {"host": "b"}},
        "kafka": {"enabled": true, "config": {}},
    }));
    let errors = parsed.unwrap_err();
    assert_eq!(errors, ["transports.kafka.type: must be rabbitmq or sqs, not \"kafka\""]);
    let parsed = read(&json!({"eu-broker": {"type": "rabbitmq", "enabled": true, "config": {"host": "b"}}}));
    assert_eq!(parsed.unwrap().transports["eu-broker"].kind.word(), "rabbitmq");
}

#[test]
fn no_transport_at_all_is_a_warning() {
    for json in [r#"{"transports":null}"#, r#"{"transports":{}}"#, "{}"] {
        let parsed = parse(json, Path::new("/")).unwrap();
        assert!(parsed.transports.is_empty());
        assert!(parsed.warnings[0].contains("no transport is configured"), "{json}");
    }
}

#[test]
fn a_request_to_recreate_queues_is_said_to_be_unused() {
    let parsed = read(&json!({"rabbitmq": {"enabled": true, "config": {"host": "b",
        "queues": {"autoCreate": true, "forceRecreate": true}}}}));
    assert!(parsed.unwrap().warnings[0].contains("queues.forceRecreate has no effect"));
}

#[test]
fn a_transport_that_is_off_may_be_incomplete_but_not_misspelt() {
    let off = read(&json!({"sqs": {"enabled": false}, "rabbitmq": {"config": {"username": "u"}}})).unwrap();
    assert!(off.transports.values().all(|transport| !transport.enabled));
    let errors = read(&json!({"sqs": {"enabled": false, "config": {"regoin": "r"}}})).unwrap_err();
    assert_eq!(errors, ["transports.sqs.config.regoin: unknown field"]);
}

#[test]
fn every_error_is_found_and_names_its_path() {
    let errors = parse(
        &json!({
            "extra": 1,
            "transports": {
                "rabbitmq": {"enabled": true, "sort": 1, "config": {
                    "port": 70000, "username": "asya", "vhosts": "/", "tls": "yes",
                    "passwordSecretRef": {"name": "s"}, "perNamespaceUsers": true, "projectTo": "team",
                    "queues": {"autoCreate": "true", "dlq": {"enabled": 1, "maxRetry": 2}}}},
                "sqs": {"enabled": true, "config": {
                    "endpoint": "localhost:4566", "waitTimeSeconds": 30, "visibilityTimeout": -1, "tags": {"a": 1},
                    "credentials": {"accessKeyIdSecretRef": {"name": "s", "key": "k"}}}},
                "Broker_1": {"type": "rabbitmq", "enabled": true, "config": {
                    "host": "b", "managementURL": "http://guest:guest@b:15672"}},
                "list": [],
            }
        })
        .to_string(),
        Path::new("/"),
    )
    .unwrap_err();
    for path in [
        "extra: unknown field",
        "transports.rabbitmq.sort: unknown field",
        "transports.rabbitmq.config.host: is required",
        "transports.rabbitmq.config.port: must be a whole number from 0 to 65535, not 70000",
        "transports.rabbitmq.config.vhosts: unknown field",
        "transports.rabbitmq.config.tls: must be true or false, not \"yes\"",
        "transports.rabbitmq.config.passwordSecretRef.key: is required",
        "transports.rabbitmq.config.perNamespaceUsers: needs managementURL",
        "transports.rabbitmq.config.projectTo: must be a list of texts, not \"team\"",
        "transports.rabbitmq.config.queues.autoCreate: must be true or false",
        "transports.rabbitmq.config.queues.dlq.enabled: must be true or false, not 1",
        "transports.rabbitmq.config.queues.dlq.maxRetry: unknown field",
        "transports.sqs.config.endpoint: must begin with http:// or https://",
        "transports.sqs.config.waitTimeSeconds: must be a whole number from 0 to 20, not 30",
        "transports.sqs.config.visibilityTimeout: must be a whole number from 0 to 43200, not -1",
        "transports.sqs.config.tags: must be an object of texts",
        "transports.sqs.config.credentials.secretAccessKeySecretRef: is required",
        "transports.sqs.config.region: is required",
        "transports.Broker_1: the name must be lower-case",
        "transports.Broker_1.config.managementURL: must not hold credentials",
        "transports.list: must be an object, not a list",
    ] {
        assert!(errors.iter().any(|error| error.starts_with(path)), "{path} is not in {errors:#?}");
    }
    assert_eq!(parse("{", Path::new("/")).unwrap_err().len(), 1);
}

#[test]
fn two_keys_of_one_name_are_refused_because_they_would_be_one_file() {
    let errors = read(&json!({"rabbitmq": {"enabled": true, "config": {
        "host": "b", "managementURL": "https://b:15671/",
        "passwordSecretRef": {"name": "a", "key": "password"},
        "managementPasswordSecretRef": {"name": "b", "key": "password"}}}}));
    assert!(errors.unwrap_err()[0].contains("has the same key \"password\""));
}

fn actor(namespace: &str, annotation: Option<&str>) -> Actor {
    let spec = json!({"transport": "rabbitmq", "workload": {"template": {"spec": {"containers": []}}}});
    Actor {
        name: "ocr".to_owned(),
        namespace: namespace.to_owned(),
        uid: "1".to_owned(),
        generation: 1,
        labels: BTreeMap::new(),
        annotations: annotation
            .map(|secret| (SECRET_ANNOTATION.to_owned(), secret.to_owned()))
            .into_iter()
            .collect(),
        spec: serde_json::from_value(spec).unwrap(),
    }
}

#[test]
fn an_actors_secret_is_that_of_its_annotation_then_ours_then_the_configured_one() {
    let transport = one(
        "rabbitmq",
        &json!({"host": "b", "username": "asya", "passwordSecretRef": {"name": "broker", "key": "pass"},
                "managementURL": "http://b:15672", "projectTo": ["listed"]}),
    );
    let key = |name: &str, key: &str| SecretKey { name: name.to_owned(), key: key.to_owned() };
    let configured = Credentials::Rabbitmq {
        username: None,
        password: key("broker", "pass"),
        url: None,
        management_url: None,
    };
    assert_eq!(transport.credentials_for(&actor("other", None)), configured);
    assert_eq!(transport.secret_for(&actor("other", Some(""))).as_deref(), Some("broker"));
    let ours = "asya-transport-rabbitmq";
    let projected = Credentials::Rabbitmq {
        username: Some(key(ours, "username")),
        password: key(ours, "password"),
        url: Some(key(ours, "url")),
        management_url: Some(key(ours, "management-url")),
    };
    assert_eq!(transport.credentials_for(&actor("listed", None)), projected);
    let named = Credentials::Rabbitmq {
        username: Some(key("mine", "username")),
        password: key("mine", "password"),
        url: None,
        management_url: None,
    };
    assert_eq!(transport.credentials_for(&actor("listed", Some("mine"))), named);
}

#[test]
fn a_guest_and_a_cloud_identity_need_no_secret() {
    assert_eq!(one("rabbitmq", &json!({"host": "b"})).secret_for(&actor("n", None)), None);
    let sqs = one("sqs", &json!({"region": "r", "actorRoleArn": "arn:aws:iam::1:role/a"}));
    assert_eq!(sqs.credentials_for(&actor("n", None)), Credentials::None);
    let named = sqs.credentials_for(&actor("n", Some("keys")));
    assert!(matches!(named, Credentials::Sqs { access_key_id, .. } if access_key_id.key == "access-key-id"));
}
