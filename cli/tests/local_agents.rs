//! Agents in `asya up`, with the real binary: the manifests of a cluster, a server that speaks chat completions, and somebody
//! at a terminal who approves.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::{
    io::Write as _,
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use rustix::process::Signal;
use serde_json::{Value, json};
use support::{
    Place,
    model::{call, model, request},
    terminal::Terminal,
    text, until,
};

/// An agent whose prompt is a ConfigMap's, with a tool that looks and one that somebody has to approve.
const DESK: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: prompts}
data:
  desk: You help with orders. A refund over $5 or $(HOME) needs a reason.
---
apiVersion: asya.sh/v1alpha1
kind: Agent
metadata: {name: desk}
spec:
  transport: rabbitmq
  promptFrom: {name: prompts, key: desk}
  model: {provider: localai, name: small, baseUrl: 'MODEL'}
  riskTier: high
  tools:
    allow: [order_status, refund]
    declared:
      - {name: order_status, description: How far an order is., actor: orders, risk: low}
      - {name: refund, description: Pays back., actor: refunds, risk: high, approval: true}
";

const ORDERS: &str = "def handle(payload):\n    return {'order': payload['number'], 'state': 'lost'}\n";
const REFUNDS: &str = "import json, pathlib\n\n\ndef handle(payload):\n    \
    pathlib.Path('paid').open('a').write(json.dumps(payload) + '\\n')\n    return {'paid': payload['amount']}\n";

#[test]
fn an_agent_of_a_cluster_talks_here_and_what_it_changes_is_approved() {
    let (url, asked) = model(vec![
        call("order_status", &json!({"number": "O-7"})),
        call("refund", &json!({"number": "O-7", "amount": 12})),
        json!({"role": "assistant", "content": "Twelve are on their way back."}),
    ]);
    let place = Place::with("orders", ORDERS, "");
    place.actor("refunds", REFUNDS, "");
    place.write("desk.yaml", &DESK.replace("MODEL", &url));
    let mut up = place.up(&["--gateway", "127.0.0.1:0"]);
    let gateway = up.gateway();
    let on = |arguments: &[&str]| place.json(&[arguments, &["--gateway", &gateway]].concat());
    until("the agent", || place.run(&["queues", "desk"]).status.success());
    let events = on(&["chat", "--agent", "desk", "--message", "Where is O-7? Pay it back if it is lost."]);
    assert!(events.iter().any(|event| event.to_string().contains("lost")), "{events:?}");
    let waiting = on(&["approvals"]);
    let operation = waiting[0]["id"].as_str().unwrap_or_else(|| panic!("{waiting:?}"));
    assert!(!place.path().join("paid").exists(), "nothing is paid before somebody approved it");
    on(&["approvals", "approve", operation]);
    until("the refund", || place.path().join("paid").exists());
    until("the answer", || {
        let sessions = on(&["sessions"]);
        sessions.iter().any(|session| session["state"] == "idle")
    });
    let first = asked.lock().unwrap()[0].to_string();
    assert!(first.contains("over $5 or $(HOME) needs"), "the prompt is what the ConfigMap says: {first}");
    assert_eq!(asked.lock().unwrap().len(), 3);
    let paid = std::fs::read_to_string(place.path().join("paid")).unwrap();
    assert_eq!(paid.lines().count(), 1, "{paid}");
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

/// An agent that may tell somebody something, and the actor that tells it.
const HERALD: &str = "\
apiVersion: asya.sh/v1alpha1
kind: Agent
metadata: {name: herald}
spec:
  transport: rabbitmq
  prompt: You tell people what you are asked to.
  model: {provider: localai, name: small, baseUrl: 'MODEL'}
  riskTier: medium
  tools: {allow: [notify]}
---
apiVersion: asya.sh/v1alpha1
kind: AsyncActor
metadata: {name: notify}
spec:
  transport: rabbitmq
  embedded: true
  handler: asya_crew.notify
  env:
    - name: ASYA_NOTIFY_SINKS
      value: '[{\"name\": \"ops\", \"type\": \"webhook\", \"url\": \"INBOX\", \"messages\": true}]'
  workload:
    template: {spec: {containers: [{name: asya-runtime, image: asya-crew}]}}
";

/// A server that takes what it is sent.
fn sink() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let taken = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&taken);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            seen.lock().unwrap().push(request(&stream));
            stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").unwrap();
        }
    });
    (url, taken)
}

#[test]
fn an_agent_tells_somebody_something_in_the_name_of_who_asked() {
    let words = |sink: &str, text: &str| call("notify", &json!({"sink": sink, "text": text}));
    let (url, asked) = model(vec![
        words("prod", "It is done."),
        words("ops", "It is done."),
        words("ops", "It really is."),
        json!({"role": "assistant", "content": "They know."}),
    ]);
    let (inbox, taken) = sink();
    let place = Place::with("orders", ORDERS, "");
    place.write("herald.yaml", &HERALD.replace("MODEL", &url).replace("INBOX", &inbox));
    let mut up = place.up(&["--gateway", "127.0.0.1:0"]);
    let gateway = up.gateway();
    let on = |arguments: &[&str]| place.json(&[arguments, &["--gateway", &gateway]].concat());
    until("the agent", || place.run(&["queues", "herald"]).status.success());
    let events = on(&["chat", "--agent", "herald", "--message", "Say that it is done."]);
    assert!(events.iter().any(|event| event.to_string().contains("They know.")), "{events:?}");
    until("both messages", || taken.lock().unwrap().len() == 2);
    let asked: Vec<String> = asked.lock().unwrap().iter().map(Value::to_string).collect();
    assert!(asked[1].contains("sinks that take messages: ops"), "{}", asked[1]);
    assert!(asked[2].contains("written"), "{}", asked[2]);
    let session = on(&["sessions"])[0]["id"].clone();
    for (message, text) in taken.lock().unwrap().iter().zip(["It is done.", "It really is."]) {
        let message = &message["message"];
        assert_eq!((&message["from"], &message["text"]), (&json!("herald"), &json!(text)), "{message}");
        assert_eq!(message["asked"]["session"], session, "{message}");
    }
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

#[test]
fn somebody_at_a_terminal_approves_what_they_have_read_and_nothing_before() {
    let (url, _) = model(vec![
        call("refund", &json!({"number": "O-7", "amount": 12})),
        json!({"role": "assistant", "content": "Twelve are on their way back."}),
    ]);
    let place = Place::with("orders", ORDERS, "");
    place.actor("refunds", REFUNDS, "");
    place.write("desk.yaml", &DESK.replace("MODEL", &url));
    let mut up = place.up(&["--gateway", "127.0.0.1:0"]);
    let gateway = up.gateway();
    until("the agent", || place.run(&["queues", "desk"]).status.success());
    let mut terminal = Terminal::start(&place, &format!("chat --agent desk --gateway {gateway}"));
    terminal.shows("listens");
    terminal.types("Pay O-7 back.");
    terminal.shows("approve? ");
    // Faster than anybody reads.
    terminal.types("yes");
    terminal.shows("nothing is approved");
    assert!(!place.path().join("paid").exists());
    thread::sleep(Duration::from_secs(1));
    terminal.types("yes");
    terminal.shows("on their way back");
    assert!(place.path().join("paid").exists());
    terminal.types("/quit");
    terminal.shows("goes on with this conversation");
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

#[test]
fn what_an_agent_lacks_here_is_said_before_anything_starts() {
    let place = Place::with("desk", ORDERS, "");
    let agent = DESK.replace("MODEL", "http://localhost:1/v1");
    let refused = |file: &str, arguments: &[&str], why: &str| {
        place.write("agent.yaml", file);
        let output = place.run(&[&["up", "."], arguments].concat());
        let said = text(&output.stderr).clone() + &text(&output.stdout);
        assert!(!output.status.success() && said.contains(why), "{why}: {said}");
    };
    let elsewhere = agent.replace("metadata: {name: desk}", "metadata: {name: other}");
    refused(&agent, &["--gateway", "127.0.0.1:0"], "agent desk: there is an actor of that name");
    refused(&elsewhere, &["--gateway", "off"], "agents need the gateway");
    let (_, alone) = elsewhere.split_once("---\n").unwrap();
    refused(alone, &["--gateway", "127.0.0.1:0"], "the ConfigMap \"prompts\": add that ConfigMap");
    refused(
        &elsewhere.replace("riskTier: high", "riskTier: low"),
        &["--gateway", "127.0.0.1:0"],
        "agent.yaml:",
    );
}

#[test]
fn a_shipped_tool_needs_no_manifest_and_an_agent_comes_with_its_file() {
    let place = Place::with("orders", ORDERS, "");
    let mut up = place.up(&["--gateway", "127.0.0.1:0", "--reload"]);
    let gateway = up.gateway();
    let agents =
        || text(&place.run(&["chat", "--agent", "nobody", "--message", "x", "--gateway", &gateway]).stderr);
    until("the first actor", || place.run(&["queues", "orders"]).status.success());
    assert!(!agents().contains("desk"), "{}", agents());
    let agent = DESK
        .replace("MODEL", "http://localhost:1/v1")
        .replace("[order_status, refund]", "[k8s_*, order_status, refund]");
    place.write("desk.yaml", &agent);
    until("the agent at the gateway", || agents().contains("desk"));
    up.wait_for("no manifest declares the actor refunds");
    for actor in ["desk", "k8s-read", "k8s-write", "approval"] {
        until(actor, || place.run(&["queues", actor]).status.success());
    }
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}
