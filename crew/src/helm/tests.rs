//! What is read of values and manifests, without a cluster.
#![allow(clippy::unwrap_used, reason = "tests")]

use serde_json::{Value, json};

use super::{arguments, objects, values, values::Values};

fn error(arguments: &Value) -> String {
    arguments::read(arguments).unwrap_err().0
}

#[test]
fn a_verb_takes_what_it_needs_and_nothing_else() {
    for (arguments, told) in [
        (json!([]), "must be an object"),
        (json!({"verb": "plugin"}), "verbs are list, status"),
        (json!({"verb": "exec; rm -rf /"}), "is not done by this tool"),
        (json!({"verb": "list"}), "needs namespace"),
        (json!({"verb": "list", "namespace": "shop", "release": "a"}), "takes no release"),
        (json!({"verb": "status", "namespace": "shop"}), "needs release"),
        (json!({"verb": "install", "namespace": "shop", "release": "a"}), "needs chart"),
        (json!({"verb": "uninstall", "namespace": "shop", "release": "a", "chart": "b"}), "takes no chart"),
        (json!({"verb": "rollback", "namespace": "shop", "release": "a"}), "needs revision"),
        (json!({"verb": "rollback", "namespace": "shop", "release": "a", "revision": 0}), "from 1"),
        (json!({"verb": "install", "namespace": "shop", "release": "A", "chart": "b"}), "can be no release"),
        (
            json!({"verb": "template", "chart": "a/b", "repository": "c"}),
            "repository says \"c\" and chart \"a\"",
        ),
        (json!({"verb": "template", "chart": "b", "version": "^1 || --devel"}), "can be no version"),
    ] {
        let error = error(&arguments);
        assert!(error.contains(told), "{arguments}: {error}");
    }
    let wanted = arguments::read(&json!({"verb": "template", "chart": "own/redis", "values": null})).unwrap();
    assert_eq!((wanted.release.as_str(), wanted.namespace.as_str()), ("redis", "default"));
    assert_eq!(wanted.chart.unwrap().repository.as_deref(), Some("own"));
}

#[test]
fn of_values_only_what_is_no_secret_is_shown() {
    let held = json!({
        "auth": {"password": "hunter2", "pw": "hunter3", "existing": true, "token": 12_345_678},
        "image": {"repository": "redis", "tag": "7"}, "replicas": 2, "note": "hunter4\nand hunter5",
        "extraArgs": ["--requirepass", "hunter6"], "host": "postgres://u:hunter7@db/x", "empty": "",
    });
    let shown = values::shown(&held);
    assert!(!shown.to_string().contains("hunter"), "{shown:#}");
    assert_eq!(shown["image"], json!({"repository": "redis", "tag": "7"}));
    assert_eq!((&shown["replicas"], &shown["auth"]["existing"]), (&json!(2), &json!(true)));
    assert_eq!((&shown["auth"]["token"], &shown["empty"]), (&json!("***"), &json!("")));
    let secrets = values::Secrets::of(&held);
    let said = values::without("bad hunter2: \"and hunter5\" is no number, nor is 12345678", &secrets.all);
    assert!(secrets.sure.contains(&"hunter2".to_owned()) && !secrets.sure.contains(&"hunter6".to_owned()));
    assert_eq!(said, "bad ***: \"***\" is no number, nor is ***");
}

#[test]
fn values_go_over_those_that_are_there() {
    let given = Values::read(Some(json!("a: {b: 2}\nc: null"))).unwrap();
    let over = given.over(&json!({"a": {"b": 1, "x": [1]}, "c": 3, "d": 4}));
    assert_eq!(over, json!({"a": {"b": 2, "x": [1]}, "c": null, "d": 4}));
    assert_eq!(given.over(&Value::Null), json!({"a": {"b": 2}, "c": null}));
    assert_eq!(Values::read(Some(json!(""))).unwrap(), Values::default());
}

#[test]
fn documents_are_taken_apart() {
    let manifest = "---\n# Source: a\nkind: A\n---\n\n---\nkind: List\nitems: [{kind: B}, {kind: C}]\n";
    let documents = objects::documents(manifest).unwrap();
    assert_eq!(documents, [json!({"kind": "A"}), json!({"kind": "B"}), json!({"kind": "C"})]);
    assert!(objects::documents("kind: [").is_err());
    let many = "---\nkind: A\n".repeat(501);
    assert!(objects::documents(&many).unwrap_err().0.contains("more than 500"));
}
