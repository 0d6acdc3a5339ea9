//! Masking, as a caller sees it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;

use asya_llm::mask::{Masker, redact};
use proptest::prelude::*;
use serde_json::{Value, json};

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";

fn masker(names: &[&str]) -> Masker {
    Masker::new(SECRET, names).unwrap()
}

fn is_mask(text: &str) -> bool {
    text.len() == 19 && text.starts_with("masked-")
}

#[test]
fn a_name_has_one_mask_in_all_texts_runs_and_kinds_and_another_in_another_cluster() {
    let one = masker(&["checkout-api", "acme-prod"]);
    let mut masking = one.masking();
    let text = masking.text("pod checkout-api in acme-prod: checkout-api is down");
    let words: Vec<_> = text.split([' ', ':']).filter(|word| is_mask(word)).collect();
    assert_eq!((words.len(), words[0]), (3, words[2]), "{text}");
    assert_ne!(words[0], words[1]);
    // Another run, with other names beside it.
    let mut later = masker(&["zephyr", "checkout-api"]).masking().name("checkout-api");
    assert_eq!(later, words[0]);
    let other = Masker::new(b"another cluster's secret", ["checkout-api"]).unwrap();
    later = other.masking().name("checkout-api");
    assert_ne!(later, words[0]);
}

#[test]
fn names_are_masked_where_they_stand_alone_and_nowhere_else() {
    let masker = masker(&["checkout", "checkout-api", "node.a+b", "payments"]);
    for (text, masked) in [
        ("checkout", "M"),
        ("CHECKOUT_SERVICE_HOST", "M_SERVICE_HOST"),
        ("checkout-7d9f8b6c5-x2x4z", "M-7d9f8b6c5-x2x4z"),
        ("http://checkout.prod.svc:80/checkout", "http://M.prod.svc:80/M"),
        ("checkout-api", "M"),
        ("checkout-apix", "M-apix"),
        ("checkouts", "checkouts"),
        ("précheckout", "précheckout"),
        ("9checkout", "9checkout"),
        ("node.a+b", "M"),
        ("nodexa+b", "nodexa+b"),
        ("nodeaab", "nodeaab"),
        ("payments are late", "payments are late"),
    ] {
        let mut masking = masker.masking();
        let out = masking.text(text);
        let mut shown = out.clone();
        while let Some(at) = shown.find("masked-") {
            shown.replace_range(at..at + 19, "M");
        }
        assert_eq!(shown, masked, "{text}");
        assert_eq!(masking.unmask(&out), text);
    }
}

#[test]
fn ordinary_words_are_masked_only_where_a_field_says_that_they_are_names() {
    let masker = masker(&["web", "default", "error", "db", "kube-system", "payments"]);
    let mut masking = masker.masking();
    let text = "error: the default web server of payments in kube-system has no db";
    assert_eq!(masking.text(text), text);
    assert!(is_mask(&masking.name("web")));
    assert!(is_mask(&masking.name("default")));
    assert_eq!(masking.name(""), "");
}

#[test]
fn names_that_a_text_was_made_with_are_masked_in_it_ordinary_or_not() {
    let masker = masker(&["checkout-api"]);
    let mut masking = masker.masking();
    let text = "Deployment default/web: websites of web-web-web, checkout-api and db";
    let out = masking.naming(text, BTreeSet::from(["default", "web", "web-web", "db", ""]));
    let (default, web, db) = (masking.name("default"), masking.name("web"), masking.name("db"));
    assert!(out.starts_with(&format!("Deployment {default}/{web}: websites of masked-")), "{out}");
    assert!(out.ends_with(&format!(" and {db}")) && !out.contains("web-") && !out.contains("-web"), "{out}");
    assert_eq!(masking.unmask(&out), text);
    assert_eq!(masking.text("the default web"), "the default web", "another text is another text");
}

#[test]
fn objects_are_masked_by_their_fields() {
    let object = json!({
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default", "annotations": {"note": "ask acme-prod"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "web-7d9f8b6c5"}]},
        "spec": {"serviceAccountName": "default", "containers": [{"name": "app", "image": "registry/x:1",
            "ports": [{"name": "http", "containerPort": 80}],
            "env": [{"name": "DB_PASSWORD", "value": "hunter2"}, {"name": "LOG_LEVEL", "value": "debug"},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]}]},
        "status": {"conditions": [{"type": "Ready", "message": "dial acme-prod: refused"}], "count": 3, "ok": null}
    });
    let masker = masker(&["acme-prod"]);
    let mut masking = masker.masking();
    let out = masking.json(&object);
    for path in [
        "/metadata/name",
        "/metadata/namespace",
        "/metadata/ownerReferences/0/name",
        "/spec/serviceAccountName",
        "/spec/containers/0/name",
        "/spec/containers/0/env/0/value",
        "/spec/containers/0/env/2/valueFrom/secretKeyRef/name",
    ] {
        assert!(is_mask(out.pointer(path).unwrap().as_str().unwrap()), "{path}: {out}");
    }
    for path in [
        "/kind",
        "/spec/containers/0/image",
        "/spec/containers/0/ports",
        "/spec/containers/0/env/0/name",
        "/spec/containers/0/env/1",
        "/spec/containers/0/env/2/valueFrom/secretKeyRef/key",
        "/status/count",
    ] {
        assert_eq!(out.pointer(path), object.pointer(path), "{path}");
    }
    assert!(!out.to_string().contains("acme-prod") && !out.to_string().contains("hunter2"), "{out}");
    assert_eq!(masking.unmask_json(&out), object);
    let names = masking.unmask_names(&out.to_string());
    assert!(names.contains("acme-prod") && !names.contains("hunter2") && names.contains("***"), "{names}");
}

#[test]
fn data_of_a_secret_is_masked_whatever_it_looks_like() {
    let object = json!({"kind": "Secret", "metadata": {"name": "tls"}, "data": {"a": "eA==", "b": ""},
        "stringData": {"user": "me"}, "type": "Opaque"});
    let masker = masker(&[]);
    let mut masking = masker.masking();
    let out = masking.json(&object);
    assert!(
        is_mask(out["data"]["a"].as_str().unwrap()) && is_mask(out["stringData"]["user"].as_str().unwrap())
    );
    assert_eq!((&out["data"]["b"], &out["type"]), (&json!(""), &json!("Opaque")));
    assert_eq!(masking.unmask_json(&out), object);
}

#[test]
fn secrets_come_back_for_calls_but_not_for_what_is_shown() {
    let masker = masker(&["checkout-api"]);
    let mut masking = masker.masking();
    let text = masking.text("checkout-api: dial postgres://app:hunter2@db failed");
    assert!(!text.contains("hunter2"), "{text}");
    let answer = format!("Problem: {text}");
    assert_eq!(masking.unmask(&answer), "Problem: checkout-api: dial postgres://app:hunter2@db failed");
    assert_eq!(masking.unmask_names(&answer), "Problem: checkout-api: dial postgres://app:***@db failed");
}

#[test]
fn a_secret_seen_first_as_a_name_stays_hidden_in_what_is_shown() {
    let masker = masker(&["hunter2-prod"]);
    let mut masking = masker.masking();
    let first = masking.text("pod hunter2-prod");
    masking.text("password=hunter2-prod");
    assert_eq!(masking.unmask_names(&first), "pod ***");
}

#[test]
fn a_mask_in_a_text_is_masked_itself_and_others_are_left_in_an_answer() {
    let masker = masker(&["checkout-api"]);
    let mask = masker.masking().name("checkout-api");
    let mut masking = masker.masking();
    let planted = format!("checkout-api says {mask} {}", mask.to_uppercase());
    let out = masking.text(&planted);
    assert_eq!(masking.unmask(&out), planted);
    assert_eq!(
        masking.unmask(&format!("{mask} masked-bbbbbbbbbbbb masked-")),
        "checkout-api masked-bbbbbbbbbbbb masked-"
    );
    let sentence = format!("M{} is down.", &mask[1..]);
    assert_eq!(masking.unmask(&sentence), "checkout-api is down.", "at the beginning of a sentence");
}

#[test]
fn a_short_secret_is_refused_and_none_is_shown() {
    let error = Masker::new(b"short", ["a"]).unwrap_err();
    assert!(error.to_string().contains("5 bytes"), "{error}");
    let masker = masker(&["checkout-api"]);
    let mut masking = masker.masking();
    masking.text("checkout-api password=hunter2");
    let shown = format!("{masker:?} {masking:?}");
    assert!(!shown.contains("checkout") && !shown.contains("hunter2") && !shown.contains("0123"), "{shown}");
}

#[test]
fn redaction_is_not_undone() {
    assert_eq!(redact("token=abc and password: hunter2"), "token=*** and password: ***");
    assert_eq!(redact("nothing here"), "nothing here");
}

const NAMES: [&str; 8] =
    ["checkout", "checkout-api", "a-bb", "bb-cc", "web", "node.x*", "masked-name", "über-pod"];

/// Texts in which everything that could go wrong meets.
fn texts() -> impl Strategy<Value = String> {
    let mask = masker(&NAMES).masking().name("checkout");
    let piece = prop_oneof![
        prop::sample::select(NAMES.to_vec()).prop_map(str::to_owned),
        Just(mask.clone()),
        (0..mask.len()).prop_map(move |end| mask[..end].to_owned()),
        prop::sample::select(vec![
            "masked-",
            "MASKED-bcfghjlnpqrt",
            "bcfghjlnpqrt",
            "password=",
            "token: ",
            "\"secret\": \"",
            "://u:",
            "@",
            "Bearer abcdefgh1",
            "AKIAIOSFODNN7EXAMPLE",
            "eyJhbGciOiJI.eyJzdWIiOi.dozjgNry",
            "-----BEGIN PRIVATE KEY-----",
            "wJalrXUtnFEMIK7MDENGbPxRfiCYEXAMPLEKEY",
            "\\\"",
            "'",
            "\n",
            " ",
            "-",
            ".",
            "&a=",
            "é",
            "\u{212A}",
            "ſ",
        ])
        .prop_map(str::to_owned),
        "\\PC{0,6}",
    ];
    prop::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn what_is_masked_comes_back_exactly(first in texts(), second in texts()) {
        let masker = masker(&NAMES);
        let mut masking = masker.masking();
        let (one, two) = (masking.text(&first), masking.naming(&second, ["web", "-", "é", "masked"]));
        prop_assert_eq!(masking.unmask(&one), &first[..]);
        prop_assert_eq!(masking.unmask(&two), &second[..]);
        // Both in one answer, with nothing between them.
        prop_assert_eq!(masking.unmask(&format!("{one} {two}")), format!("{first} {second}"));
    }

    #[test]
    fn objects_come_back_exactly(texts in prop::collection::vec((texts(), texts()), 0..4)) {
        let mut object = serde_json::Map::new();
        for (key, value) in texts {
            object.insert(key, json!({"name": value, "items": [value, 1, null], "password": value}));
        }
        let object = Value::Object(object);
        let masker = masker(&NAMES);
        let mut masking = masker.masking();
        let masked = masking.json(&object);
        prop_assert_eq!(masking.unmask_json(&masked), object);
    }

    #[test]
    fn no_name_and_no_value_of_a_password_is_left(before in "[ .:/a-z]{0,8} ", after in " [ .:/a-z]{0,8}", value in "[a-z]{4,8}[0-9]{2,4}") {
        let masker = masker(&["checkout-api"]);
        let text = format!("{before}checkout-api{after} password={value}");
        let out = masker.masking().text(&text);
        prop_assert!(!out.contains("checkout-api") && !out.contains(&value), "{}", out);
    }
}

#[test]
fn the_names_of_an_object_are_masked_in_its_own_texts_though_the_masker_does_not_know_them() {
    let masker = masker(&[]);
    let mut masking = masker.masking();
    let object = json!({"metadata": {"name": "checkout-api", "namespace": "default"}, "spec": {
        "selector": {"app": "checkout-api"}, "checkout-api": 1, "image": "shop/checkout-api:1", "mode": "default"}});
    let masked = masking.json_naming(&object, &["checkout-api", "default"]);
    assert!(!masked.to_string().contains("checkout-api"), "{masked}");
    assert_eq!(masked["spec"]["mode"], "default", "an ordinary word is no name in a text");
    assert_ne!(masked["metadata"]["namespace"], "default", "but where a field says that it is one");
    assert_eq!(masking.unmask_json(&masked), object);
}
