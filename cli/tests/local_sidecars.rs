//! What manifests say to the sidecars of a cluster, in `asya up`: the same holds here, or its name is said.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::{fs, net::TcpListener};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{
    Place, lines,
    model::{call, model},
    text, until,
};

/// Writes down each run.
const REFUNDS: &str = "import json, pathlib\n\n\ndef handle(payload):\n    \
    pathlib.Path('paid').open('a').write(json.dumps(payload) + '\\n')\n    return {'paid': payload['amount']}\n";
const GUARDED: &str = "  sidecar: {env: [{name: ASYA_APPROVED_ONLY, value: 'true'}]}";
/// As the gateway writes it when it lets an envelope go on.
const FORGED: &str = r#"x-asya-approved={"operation":"op-1","hop":0}"#;

/// An agent that may ask for refunds.
const DESK: &str = "\
apiVersion: asya.sh/v1alpha1
kind: Agent
metadata: {name: desk}
spec:
  transport: rabbitmq
  prompt: You help with orders.
  model: {provider: localai, name: small, baseUrl: 'MODEL'}
  riskTier: high
  tools:
    allow: [refund]
    declared: [{name: refund, description: Pays back., actor: refunds, risk: high, approval: true}]
";

/// How an envelope ended, once it has.
fn ended(place: &Place, id: &str) -> Value {
    let mut end = Value::Null;
    until(&format!("the end of {id}"), || {
        end = lines(&place.run(&["status", id, "--output", "json"]).stdout).remove(0);
        // While its end is being written down it looks like one whose children go on.
        end["status"] != "unknown" && end["status"] != "children_on_the_way"
    });
    end
}

fn paid(place: &Place) -> usize {
    fs::read_to_string(place.path().join("paid")).map_or(0, |text| text.lines().count())
}

fn sidecar(env: &str) -> String {
    format!("  sidecar: {{env: [{env}]}}")
}

#[test]
fn what_nobody_approved_is_not_handled() {
    let place = Place::with("refunds", REFUNDS, GUARDED);
    place.run(&["send", "refunds", r#"{"amount": 1}"#, "--create", "--id", "r1"]);
    assert_eq!(place.up(&["--until-idle"]).end(), Some(0));
    let end = ended(&place, "r1");
    assert_eq!((&end["status"], &end["error"]["code"]), (&json!("failed"), &json!("not_approved")), "{end}");
    assert_eq!(paid(&place), 0);
    // The same actor without the rule: it is the rule that held.
    place.actor("refunds", REFUNDS, "");
    place.run(&["send", "refunds", r#"{"amount": 1}"#, "--id", "r2"]);
    assert_eq!(place.up(&["--until-idle"]).end(), Some(0));
    assert_eq!((&ended(&place, "r2")["status"], paid(&place)), (&json!("succeeded"), 1));
}

#[test]
fn the_gateway_is_asked_and_an_envelopes_own_word_counts_only_without_one() {
    let place = Place::with("refunds", REFUNDS, GUARDED);
    let mut up = place.up(&["--gateway", "127.0.0.1:0"]);
    up.gateway();
    until("the queue", || place.run(&["queues", "refunds"]).status.success());
    place.run(&["send", "refunds", r#"{"amount": 1}"#, "--id", "r1", "--header", FORGED]);
    let end = ended(&place, "r1");
    assert_eq!((&end["error"]["code"], paid(&place)), (&json!("not_approved"), 0), "{end}");
    assert!(!up.log().contains("without a gateway"));
    assert_eq!(up.end_by(Signal::TERM), Some(0));

    place.run(&["send", "refunds", r#"{"amount": 1}"#, "--id", "r2", "--header", FORGED]);
    let mut up = place.up(&["--until-idle"]);
    assert_eq!(up.end(), Some(0));
    assert!(
        up.log().contains("warning: actor refunds handles only what was approved, and without a gateway")
    );
    assert_eq!((&ended(&place, "r2")["status"], paid(&place)), (&json!("succeeded"), 1));
}

#[test]
fn without_room_for_the_gateway_a_guarded_actor_does_not_run() {
    let place = Place::with("refunds", REFUNDS, "");
    // Another test may be there for a while.
    let mut taken = None;
    until("the gateway's usual address", || {
        taken = TcpListener::bind("127.0.0.1:8089").ok();
        taken.is_some()
    });
    let mut up = place.up(&["--reload"]);
    up.wait_for("actors refunds");
    assert!(up.log().contains("no gateway: 127.0.0.1:8089 is in use"));
    // Nor does one that is guarded later.
    place.actor("refunds", REFUNDS, GUARDED);
    up.wait_for("nothing was changed: actor refunds handles only what was approved");
    assert_eq!(up.end_by(Signal::TERM), Some(0));

    place.run(&["send", "refunds", r#"{"amount": 1}"#, "--id", "r1", "--header", FORGED]);
    let mut up = place.up(&[]);
    assert_eq!(up.end(), Some(64));
    let why = "for which 127.0.0.1:8089 is not free: name a free address by --gateway, or";
    assert!(up.log().contains(why), "{}", up.log());
    assert_eq!((paid(&place), &place.json(&["queues", "refunds"])[0]["ready"]), (0, &json!(1)));
    let mut up = place.up(&["--gateway", "off"]);
    up.wait_for("warning: actor refunds handles only what was approved, and without a gateway");
    let end = ended(&place, "r1");
    assert_eq!((&end["status"], paid(&place)), (&json!("succeeded"), 1), "{end}");
    assert_eq!(up.end_by(Signal::TERM), Some(0));
    drop(taken);
}

#[test]
fn what_somebody_approved_runs_once_and_not_again() {
    let (url, _) = model(vec![
        call("refund", &json!({"amount": 12})),
        call("refund", &json!({"amount": 13})),
        json!({"role": "assistant", "content": "Only twelve."}),
    ]);
    // Twelve are paid; thirteen fail after they were paid, and would be tried again.
    let source = format!(
        "{REFUNDS}    \n\n\npay = handle\n\n\ndef handle(payload):\n    pay(payload)\n    \
        assert payload['amount'] == 12\n    return 'paid'\n"
    );
    let place =
        Place::with("refunds", &source, &format!("  retry: {{attempts: 3, initialDelay: 10ms}}\n{GUARDED}"));
    place.write("desk.yaml", &DESK.replace("MODEL", &url));
    let mut up = place.up(&["--gateway", "127.0.0.1:0"]);
    let gateway = up.gateway();
    let on = |arguments: &[&str]| place.json(&[arguments, &["--gateway", &gateway]].concat());
    until("the agent", || place.run(&["queues", "desk"]).status.success());
    on(&["chat", "--agent", "desk", "--message", "Pay both back."]);
    for (count, paid_well) in [(1, true), (2, false)] {
        let mut waiting = Vec::new();
        until("the question", || {
            waiting = on(&["approvals"]);
            !waiting.is_empty()
        });
        let operation = waiting[0]["id"].as_str().unwrap();
        assert_eq!(paid(&place), count - 1, "nothing is paid before somebody approved it");
        on(&["approvals", "approve", operation]);
        let look = || on(&["approvals", "show", operation]).remove(0);
        until("its outcome", || look()["phase"] == "done");
        let done = look();
        assert_eq!(done["outcome"]["ok"], paid_well, "{done}");
        assert!(done["claimed"].is_string(), "the engine has asked before it ran: {done}");
    }
    until("the end", || place.json(&["status"])[0]["failed"].as_u64() > Some(0));
    assert_eq!(paid(&place), 2, "what was begun is not begun again");
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

#[test]
fn limits_of_the_sidecar_are_those_of_the_engine_here() {
    let wait = "import time\n\n\ndef handle(n):\n    time.sleep(n)\n    return 'x' * 200_000\n";
    let place = Place::with("small", wait, &sidecar("{name: ASYA_MAX_REPLY, value: 1Ki}"));
    place.actor(
        "hasty",
        wait,
        &format!("  timeout: {{processing: 50}}\n{}", sidecar("{name: ASYA_RUNTIME_TIMEOUT, value: 300ms}")),
    );
    place.actor("usual", wait, "");
    for (actor, seconds) in [("small", "0"), ("hasty", "30"), ("usual", "0")] {
        assert!(place.run(&["send", actor, seconds, "--create", "--id", actor]).status.success());
    }
    assert_eq!(place.up(&["--until-idle"]).end(), Some(0));
    let code = |id: &str| ended(&place, id)["error"]["code"].clone();
    assert_eq!((code("small"), code("hasty")), (json!("reply_too_large"), json!("timeout")));
    assert_eq!(ended(&place, "usual")["status"], "succeeded");
}

#[test]
fn an_end_actor_under_another_name_is_one_here_too() {
    let double = "def handle(n):\n    return n * 2\n";
    let place = Place::with("double", double, &sidecar("{name: ASYA_ACTOR_HAPPY_END, value: archive}"));
    place.actor("archive", "", "");
    let manifest = fs::read_to_string(place.path().join("archive.yaml")).unwrap();
    let shipped = "embedded: true\n  handler: asya_crew.happy_end\n  \
        workload: {template: {spec: {containers: [{name: asya-runtime, image: asya-crew}]}}}";
    place.write("archive.yaml", &manifest.replace("handler: archive.handle", shipped));
    place.run(&["send", "double", "21", "--create", "--id", "d1"]);
    let mut up = place.up(&["--until-idle"]);
    assert_eq!(up.end(), Some(0));
    assert_eq!(ended(&place, "d1")["payload"], 42);
    let done = |line: &Value| {
        line["actors"].as_array()?.iter().find(|row| row["actor"] == "archive")?["succeeded"].as_u64()
    };
    assert_eq!(lines(up.log().as_bytes()).iter().filter_map(done).max(), Some(1), "{}", up.log());
}

#[test]
fn a_wrong_value_is_found_before_anything_starts() {
    let place = Place::with("refunds", REFUNDS, &sidecar("{name: ASYA_APPROVED_ONLY, value: maybe}"));
    let wrong = "refunds.yaml:7:46: error: spec.sidecar.env[0].value: ASYA_APPROVED_ONLY: \"maybe\" must be true or false";
    let output = place.run(&["up", "."]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains(wrong), "{}", text(&output.stderr));
    let output = place.run(&["validate", "."]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains(wrong), "{}", text(&output.stdout));

    // The value is in .env, where a cluster has a Secret.
    let secret = "{name: ASYA_APPROVED_ONLY, valueFrom: {secretKeyRef: {name: rules, key: approved}}}";
    place.actor("refunds", REFUNDS, &sidecar(secret));
    assert!(place.run(&["validate", "."]).status.success());
    let refused = |why: &str| {
        let output = place.run(&["up", "."]);
        assert_eq!(output.status.code(), Some(64));
        assert!(text(&output.stderr).contains(why), "{why}: {}", text(&output.stderr));
    };
    refused("add a line ASYA_APPROVED_ONLY=…");
    place.write(".env", "ASYA_APPROVED_ONLY=maybe\n");
    refused("refunds.yaml: actor refunds: sidecar: ASYA_APPROVED_ONLY: \"maybe\" must be true or false");
    place.write(".env", "ASYA_APPROVED_ONLY=true\n");
    place.run(&["send", "refunds", r#"{"amount": 1}"#, "--create", "--id", "r1"]);
    assert_eq!(place.up(&["--until-idle"]).end(), Some(0));
    assert_eq!((&ended(&place, "r1")["error"]["code"], paid(&place)), (&json!("not_approved"), 0));
}

#[test]
fn what_means_nothing_here_is_named_once_for_each_actor() {
    let secret = "{name: ASYA_RABBITMQ_PASSWORD, valueFrom: {secretKeyRef: {name: b, key: p}}}";
    let env =
        format!("{{name: ASYA_METRICS_ADDR, value: ':9'}}, {secret}, {{name: ASYA_MAX_HOPS, value: '9'}}");
    let more = "  timeout: {startup: 9}\n  workload: {template: {spec: {initContainers: [{name: fetch}], containers: \
        [{name: asya-runtime, envFrom: [{secretRef: {name: s}}]}, {name: cache}]}}}\n";
    let place = Place::with("refunds", REFUNDS, &(more.to_owned() + &sidecar(&env)));
    place.actor("plain", REFUNDS, GUARDED);
    let mut up = place.up(&["--reload", "--gateway", "127.0.0.1:0"]);
    up.wait_for("actors plain, refunds");
    place.write("refunds.py", REFUNDS);
    up.wait_for("refunds.py changed");
    assert_eq!(up.end_by(Signal::TERM), Some(0));
    let log = up.log();
    let warnings: Vec<_> = log.lines().filter(|line| line.contains("of no effect here")).collect();
    let [warning] = &warnings[..] else { panic!("{warnings:?}") };
    assert!(
        warning.contains(
            "refunds.yaml): of no effect here: spec.sidecar.env ASYA_METRICS_ADDR, ASYA_RABBITMQ_PASSWORD; spec.timeout.startup, \
             initContainers, container cache, envFrom of asya-runtime"
        ),
        "{warning}"
    );
}

#[test]
fn a_rule_that_no_sidecar_gets_to_see_is_named() {
    let place = Place::with("refunds", REFUNDS, "");
    let mut up = place.up(&["--reload", "--gateway", "off"]);
    up.wait_for("actors refunds");
    let lost = "refunds.yaml:7:10: warning: spec.env[0].name: ASYA_APPROVED_ONLY means something in spec.sidecar.env only";
    assert!(!up.log().contains("ASYA_APPROVED_ONLY"));
    place.actor("refunds", REFUNDS, "  env: [{name: ASYA_APPROVED_ONLY, value: 'true'}]");
    up.wait_for(lost);
    assert_eq!(up.end_by(Signal::TERM), Some(0));
    let mut up = place.up(&["--until-idle"]);
    assert_eq!(up.end(), Some(0));
    assert_eq!(up.log().matches(lost).count(), 1, "{}", up.log());
    let output = place.run(&["validate", "."]);
    assert!(output.status.success() && text(&output.stdout).contains(lost), "{}", text(&output.stdout));
}

#[test]
fn an_actor_shows_as_much_as_its_manifest_says() {
    let source = "from asya_runtime import Drop\n\n\ndef handle(n):\n    raise Drop('nothing to do')\n";
    let place = Place::with("chatty", source, &sidecar("{name: ASYA_LOG_LEVEL, value: INFO}"));
    place.actor("usual", source, "");
    for actor in ["chatty", "usual"] {
        assert!(place.run(&["send", actor, "1", "--create"]).status.success());
    }
    let mut up = place.up(&["--until-idle"]);
    assert_eq!(up.end(), Some(0));
    let shown =
        |line: &Value| line["text"].as_str().is_some_and(|text| text.contains("dropped by the handler"));
    let seen: Vec<_> = lines(up.log().as_bytes()).into_iter().filter(shown).collect();
    assert!(seen.len() == 1 && seen[0]["actor"] == "chatty", "{seen:?}");
}

#[test]
fn a_paused_actor_does_not_run() {
    let place = Place::with("refunds", REFUNDS, "  paused: true\n  scaling: {enabled: true}");
    assert_eq!(place.up(&["--until-idle"]).end(), Some(0));
    place.run(&["send", "refunds", r#"{"amount": 1}"#]);
    let mut up = place.up(&["--until-idle"]);
    assert_eq!(up.end(), Some(1));
    assert!(up.log().contains("spec.paused"), "{}", up.log());
    assert_eq!((paid(&place), &place.json(&["queues", "refunds"])[0]["ready"]), (0, &json!(1)));
}

#[test]
fn what_waits_for_a_paused_actor_keeps_no_other_from_its_work() {
    let double = "import time\n\n\ndef handle(n):\n    time.sleep(0.05)\n    return n * 2\n";
    let place = Place::with("refunds", REFUNDS, "  paused: true");
    place.actor("double", double, "");
    place.run(&["send", "refunds", r#"{"amount": 1}"#, "--create"]);
    let input: String = (0..10).map(|n| format!("{n}\n")).collect();
    place.write("in", &input);
    // The last of them becomes work for the paused one, too.
    for route in ["double", "double,refunds"] {
        let file = fs::File::open(place.path().join("in")).unwrap();
        let sent = place.command(&["send", route, "-", "--create"]).stdin(file).output().unwrap();
        assert!(sent.status.success(), "{}", text(&sent.stderr));
    }
    let mut up = place.up(&["--until-idle"]);
    assert_eq!(up.end(), Some(1));
    assert!(up.log().contains("what is left waits for it: its manifest wants no replica"), "{}", up.log());
    assert_eq!(place.json(&["status"])[0]["succeeded"], 10);
    let ready = |actor: &str| place.json(&["queues", actor])[0]["ready"].clone();
    assert_eq!((ready("double"), ready("refunds"), paid(&place)), (json!(0), json!(11), 0));
}

#[test]
fn a_workload_of_a_cluster_does_not_run_here() {
    let place = Place::with("refunds", REFUNDS, "");
    let manifest = fs::read_to_string(place.path().join("refunds.yaml")).unwrap();
    let bound = "workloadRef: {apiVersion: apps/v1, kind: Deployment, name: models, http: {port: 8000}}";
    place.write("refunds.yaml", &manifest.replace("handler: refunds.handle", bound));
    let output = place.run(&["up", "."]);
    assert_eq!(output.status.code(), Some(64));
    assert!(
        text(&output.stderr).contains("the Deployment \"models\" of spec.workloadRef"),
        "{}",
        text(&output.stderr)
    );
}
