use proptest::prelude::*;
use serde_json::{Value, from_value, json};

use super::*;

fn result(failures: Value) -> ResultSpec {
    let evidence = json!([
        { "id": "e1", "object": { "kind": "Pod", "namespace": "shop", "name": "web" }, "path": ".status.phase", "value": "Pending" },
        { "id": "e2", "object": { "kind": "Pod", "namespace": "shop", "name": "web" }, "path": ".status.reason" },
    ]);
    from_value(json!({ "kind": "Pod", "name": "shop/web", "error": failures, "evidence": evidence })).unwrap()
}

#[test]
fn order_repetition_and_explanation_change_nothing() {
    let one = result(json!([{ "text": "a", "evidence": ["e1", "e2"] }, { "text": "b" }]));
    let other = result(json!([{ "text": "b" }, { "text": "a", "evidence": ["e2", "e1"] }, { "text": "b" }]));
    assert_eq!(fingerprint(&one), fingerprint(&other));
    assert_eq!(content_hash(&one), content_hash(&other));
    let explained = ResultSpec { details: "because".to_owned(), backend: "openai".to_owned(), ..one.clone() };
    assert_eq!((fingerprint(&one), content_hash(&one)), (fingerprint(&explained), content_hash(&explained)));
    let masked = result(json!([
        { "text": "a", "evidence": ["e1", "e2"], "sensitive": [{ "unmasked": "", "masked": "xyz" }] }, { "text": "b" },
    ]));
    assert_eq!(fingerprint(&one), fingerprint(&masked));
}

#[test]
fn names_of_evidence_and_its_values_change_nothing_and_its_place_does() {
    let mut one = result(json!([{ "text": "a", "evidence": ["e1"] }]));
    let before = fingerprint(&one);
    one.evidence[0].value = Some("Running".to_owned());
    one.evidence[0].id = "e9".to_owned();
    one.error[0].evidence = vec!["e9".to_owned()];
    assert_eq!(fingerprint(&one), before);
    one.evidence[0].path = ".status.other".to_owned();
    assert_ne!(fingerprint(&one), before);
}

#[test]
fn another_object_code_or_text_is_another_finding() {
    let base = result(json!([{ "text": "image nginx:1 not found", "code": "ImagePullFailed" }]));
    let mut kind = base.clone();
    kind.kind = "Job".to_owned();
    let mut name = base.clone();
    name.name = "shop/api".to_owned();
    let mut code = base.clone();
    code.error[0].code = Some("Evicted".to_owned());
    let mut text = base.clone();
    text.error[0].text = "image nginx:2 not found".to_owned();
    for other in [kind, name, code, text] {
        assert_ne!(fingerprint(&other), fingerprint(&base), "{other:?}");
    }
}

#[test]
fn a_fingerprint_does_not_change_between_versions() {
    // Worked out by another program.
    let known = "b1114dfe0e21c7620eaada9d8efe3c1c53854cde21d62ae198e8d8244ace7000";
    assert_eq!(fingerprint(&result(json!([{ "text": "pod  was evicted", "code": "Evicted" }]))), known);
}

#[test]
fn two_failures_are_not_one_with_both_texts() {
    assert_ne!(
        fingerprint(&result(json!([{ "text": "a" }, { "text": "b" }]))),
        fingerprint(&result(json!([{ "text": "a b" }])))
    );
}

#[test]
fn numbers_that_change_by_themselves_change_the_texts_hash_only() {
    let of = |text: &str| result(json!([{ "text": text }]));
    let (one, other) = (of("restarted 3 times"), of("restarted 17 times"));
    assert_eq!(fingerprint(&one), fingerprint(&other));
    assert_ne!(content_hash(&one), content_hash(&other));
}

#[test]
fn what_changes_while_the_same_stays_wrong_is_taken_out() {
    let uid = "3f2504e0-4f89-11d3-9a0c-0305e82c3301";
    let id = "a".repeat(64);
    for (text, expected) in [
        (
            "back-off 5m0s restarting failed container=app",
            "back-off <duration> restarting failed container=app",
        ),
        ("back-off 10s restarting failed container", "back-off <duration> restarting failed container"),
        ("not ready for 30s, see events", "not ready for <duration>, see events"),
        ("seen 3d ago", "seen <duration> ago"),
        (
            "0/5 nodes are available: 3 Insufficient cpu, 2 node(s) had untolerated taint.",
            "<n>/<n> nodes are available: <n> Insufficient cpu, <n> node(s) had untolerated taint.",
        ),
        ("restarted 17 times", "restarted <n> times"),
        ("3 replicas but 1 available", "<n> replicas but <n> available"),
        ("2 of 5 replicas", "<n> of <n> replicas"),
        ("Unhealthy (x17 over 5m)", "Unhealthy (<n> over <duration>)"),
        ("disk is 93.5% full", "disk is <n>% full"),
        ("at 2026-11-21T19:20:00Z the node", "at <time> the node"),
        ("at 2026-11-21 19:20:00.123 the node", "at <time> <time> the node"),
        ("read tcp 10.0.0.1:43210->10.0.0.2:8080: reset", "read tcp 10.0.0.1:<port>->10.0.0.2:8080: reset"),
        ("two   spaces\n\tand a line", "two spaces and a line"),
    ] {
        assert_eq!(canonical(text), expected, "{text}");
    }
    assert_eq!(canonical(&format!("pod=web_shop({uid})")), "pod=web_shop(<id>)");
    assert_eq!(canonical(&format!("/pods/{uid}/volumes")), "/pods/<id>/volumes");
    assert_eq!(canonical(&format!("containerd://{id} gone")), "containerd://<id> gone");
}

#[test]
fn what_tells_one_problem_from_another_stays() {
    let digest = format!("image app@sha256:{} not found", "b".repeat(64));
    for text in [
        "exit code 137",
        "port 8080 refused",
        "limit 512Mi, request 100m",
        "timeout 30s",
        "pod web-7d4f8b9c6-x2x4z",
        "version v1.2.3 of app:2024-01-01",
        "label app=web-2",
        "HTTP 503",
        "certificate expires 2026-12-01",
        "dead-beef-cafe and deadbeef",
        "Größe 5µ",
        &digest,
    ] {
        assert_eq!(canonical(text), text);
    }
}

proptest! {
    #[test]
    fn any_text_is_taken_and_what_was_taken_stays(text in "([0-9a-f.:/%x>-]{1,40}|[a-zäµ ]{1,8}|ago|of|for| ){0,12}") {
        let once = canonical(&text);
        prop_assert_eq!(canonical(&once), once);
    }
}
