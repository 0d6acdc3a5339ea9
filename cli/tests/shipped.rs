//! Shipped actors in `asya up`, from manifests, with the real binary: without a container, with their state in the queue
//! file.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::{Arc, Mutex},
    thread,
};

use rustix::process::Signal;
use support::{Place, lines, text, until};

/// A manifest of a shipped actor; `env` are lines of its environment.
fn shipped(place: &Place, name: &str, handler: &str, env: &[(&str, &str)]) {
    let mut manifest = format!(
        "apiVersion: asya.sh/v1alpha1\nkind: AsyncActor\nmetadata: {{name: {name}}}\nspec:\n  transport: rabbitmq\n  \
         embedded: true\n  handler: asya_crew.{handler}\n  workload:\n    template:\n      spec:\n        \
         containers: [{{name: asya-runtime, image: asya-crew:1}}]\n  env:\n    - {{name: NOTHING, value: \"\"}}\n"
    );
    for (name, value) in env {
        manifest.push_str(&format!("    - name: {name}\n      value: '{value}'\n"));
    }
    place.write(&format!("{name}.yaml"), &manifest);
}

/// Notes its payload in a file called as it is.
const NOTE: &str = "import json, pathlib\n\n\ndef handle(payload):\n    \
    pathlib.Path('noted').open('a').write(json.dumps(payload) + '\\n')\n    return payload\n";

fn noted(place: &Place) -> Vec<String> {
    let text = std::fs::read_to_string(place.path().join("noted")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// A server that answers each request with `answer`; what it was asked.
fn server(answer: &'static str) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, mut request) = (stream.unwrap(), Vec::new());
            let mut piece = [0; 4096];
            // All of a small request comes at once, or with its body after its head.
            while !request.ends_with(b"}") {
                let read = stream.read(&mut piece).unwrap();
                assert!(read > 0, "the body is a JSON object");
                request.extend_from_slice(&piece[..read]);
            }
            notes.lock().unwrap().push(String::from_utf8(request).unwrap());
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
            let answer = format!("{head}content-length: {}\r\n\r\n{answer}", answer.len());
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, seen)
}

#[test]
fn http_call_asks_a_server_and_its_answer_goes_on() {
    let (address, seen) = server(r#"{"price": 7.50}"#);
    let place = Place::with("note", NOTE, "");
    place.write("token", "s3cret\n");
    let url = format!("{address}/prices/{{payload.item}}");
    let headers = ("ASYA_HTTP_HEADERS", r#"{"Authorization": "Bearer {file:token}"}"#);
    shipped(&place, "price", "http_call", &[("ASYA_HTTP_ENDPOINT", &url), headers]);
    let mut up = place.up(&["--gateway", "off"]);
    up.wait_for("queue file");
    until("the queues", || place.run(&["queues", "price"]).status.success());
    let sent = ["send", "price,note", r#"{"item":"a b"}"#, "--wait", "--timeout", "50s"];
    let ended = place.json(&sent);
    assert_eq!(
        (&ended[0]["status"], &ended[0]["payload"]["body"]["price"]),
        (&"succeeded".into(), &7.5.into())
    );
    assert_eq!(ended[0]["payload"]["status"], 200);
    let asked = seen.lock().unwrap()[0].to_lowercase();
    assert!(asked.starts_with("post /prices/a%20b ") && asked.contains("bearer s3cret"), "{asked}");
    assert!(asked.contains("idempotency-key: ") && asked.ends_with(r#"{"item":"a b"}"#), "{asked}");
    assert_eq!(up.end_by(Signal::TERM), Some(0));
    assert!(!up.log().contains("s3cret"));
}

#[test]
fn park_keeps_an_envelope_over_a_restart_until_its_event_comes() {
    let place = Place::with("note", NOTE, "");
    shipped(&place, "park", "park", &[("ASYA_PARK_TIMEOUT", "1h")]);
    let mut up = place.up(&["--gateway", "off"]);
    up.wait_for("queue file");
    until("the queues", || place.run(&["queues", "park"]).status.success());
    let send = |header: &str, route: &str, payload: &str, id: &str| {
        let sent = place.run(&["send", route, payload, "--id", id, "--header", header]);
        assert!(sent.status.success(), "{}", text(&sent.stderr));
    };
    send("park-key=order 7", "park,note", r#"{"order":7}"#, "o7");
    let empty = || {
        place.json(&["queues", "park"])[0]["ready"] == 0
            && place.json(&["queues", "park"])[0]["in_flight"] == 0
    };
    until("it is parked", empty);
    assert_eq!(up.end_by(Signal::TERM), Some(0));
    assert!(noted(&place).is_empty());

    let mut up = place.up(&["--gateway", "off"]);
    send("park-event=order 7", "park", r#"{"by":"ada"}"#, "e7");
    until("it goes on", || !noted(&place).is_empty());
    assert_eq!(noted(&place), [r#"{"parked": {"order": 7}, "event": {"by": "ada"}}"#]);
    until("its end", || place.run(&["status", "o7"]).status.success());
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

#[test]
fn schedule_sends_at_its_ticks_and_holds_for_a_while() {
    let place = Place::with("note", NOTE, "");
    place.write(
        "plans.json",
        r#"[{"name": "beat", "cron": "* * * * * *", "route": ["note"], "payload": {"beat": true}}]"#,
    );
    shipped(&place, "schedule", "schedule", &[("ASYA_SCHEDULES_FILE", "plans.json")]);
    let mut up = place.up(&["--gateway", "off"]);
    until("two ticks", || noted(&place).len() >= 2);
    assert_eq!(noted(&place)[0], r#"{"beat": true}"#);
    let sent =
        ["send", "schedule,note", r#"{"held":1}"#, "--header", "delay=1s", "--wait", "--timeout", "50s"];
    let begun = std::time::Instant::now();
    assert_eq!(place.json(&sent)[0]["status"], "succeeded");
    assert!(begun.elapsed().as_millis() >= 1000, "{:?}", begun.elapsed());
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

#[test]
fn a_fan_out_that_stays_incomplete_fails_at_its_deadline() {
    let place = Place::with("split", "def handle(n):\n    return list(range(n))\n", "");
    // It comes back and does not wait: what it holds up would be late, too.
    let gated = "import pathlib\n\nfrom asya_runtime import Retry\n\n\ndef handle(n):\n    \
        if n == 1 and not pathlib.Path('go').exists():\n        raise Retry('not yet', after=1)\n    return n\n";
    place.actor("work", gated, "");
    shipped(&place, "join", "fan_in", &[("ASYA_FAN_IN_TIMEOUT", "3s")]);
    let mut up = place.up(&["--gateway", "off"]);
    up.wait_for("queue file");
    until("the queues", || place.run(&["queues", "join"]).status.success());
    assert!(place.run(&["send", "split,work,join", "3", "--id", "f1"]).status.success());
    until("its end", || place.json(&["status"])[0]["failed"] == 1);
    let failed = &place.json(&["status"])[1];
    assert_eq!((&failed["id"], &failed["error"]["code"]), (&"f1".into(), &"fan_in_expired".into()));
    assert_eq!(place.run(&["status", "f1"]).status.code(), Some(1));
    // What comes late fails under its own id.
    place.write("go", "");
    until("the late part's end", || place.json(&["status"])[0]["failed"] == 2);
    let ends = lines(&place.run(&["status", "f1", "--output", "json"]).stdout);
    let ends: Vec<_> = ends.iter().map(|end| (&end["id"], &end["status"], &end["error"]["code"])).collect();
    let none = serde_json::Value::Null;
    assert_eq!(
        ends,
        [
            (&"f1".into(), &"failed".into(), &"fan_in_expired".into()),
            (&"f1-1".into(), &"failed".into(), &"rejected".into()),
            (&"f1-2".into(), &"joined".into(), &none),
        ]
    );
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

#[test]
fn what_a_shipped_actor_cannot_do_is_said_at_the_start() {
    let place = Place::with("note", NOTE, "");
    shipped(&place, "call", "http_call", &[("ASYA_HTTP_ENDPOINT", "ftp://x"), ("ASYA_HTTP_ALLOW", "a b")]);
    shipped(&place, "park", "park", &[("ASYA_PARK_TIMEOUT", "soon")]);
    shipped(
        &place,
        "trust",
        "http_call",
        &[("ASYA_HTTP_ENDPOINT", "https://x.example"), ("ASYA_HTTP_CA_FILE", "no.pem")],
    );
    let mut up = place.up(&["--gateway", "off"]);
    assert_eq!(up.end(), Some(64));
    for part in [
        "actor call: ASYA_HTTP_ENDPOINT",
        "actor call: ASYA_HTTP_ALLOW",
        "actor park: ASYA_PARK_TIMEOUT",
        "no.pem",
    ] {
        assert!(up.log().contains(part), "{part} in {}", up.log());
    }
}
