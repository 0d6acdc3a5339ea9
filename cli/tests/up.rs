//! Single-machine mode, with the real binary and Python handlers.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::{
    collections::HashSet,
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use rustix::process::Signal;
use support::{Place, lines, text, until};

/// Doubles a number.
const DOUBLE: &str = "def handle(n):\n    return n * 2\n";
/// Notes that it has begun, and waits for a file before it ends.
const GATED: &str = "import pathlib, time\n\n\ndef handle(n):\n    pathlib.Path('begun').touch()\n    \
    while not pathlib.Path('go').exists():\n        time.sleep(0.01)\n    return n\n";
const ALWAYS_ONE: &str = "  scaling: {enabled: true, minReplicas: 1, maxReplicas: 1}";

#[test]
fn a_new_actor_is_valid_and_its_test_passes_and_it_works() {
    let place = Place::with("other", DOUBLE, "");
    let made = place.json(&["init", "my-actor", "--path", "."]);
    assert_eq!(made[0]["files"].as_array().unwrap().len(), 4);
    assert!(place.run(&["validate", "."]).status.success());
    let test = std::process::Command::new("python3")
        .args(["-m", "unittest"])
        .current_dir(place.path())
        .output()
        .unwrap();
    assert!(test.status.success(), "{}", text(&test.stderr));
    let mut up = place.up(&[]);
    up.wait_for("queue file");
    until("the queue", || {
        place.run(&["send", "my-actor", r#"{"name":"Ada"}"#, "--id", "x1"]).status.success()
    });
    let ended = place.json(&["send", "my-actor", r#"{"name":"Ada"}"#, "--wait", "--timeout", "50s"]);
    assert_eq!(ended[0]["payload"]["greeting"], "Hello, Ada!");
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

#[test]
fn a_route_of_two_actors_ends_with_its_result() {
    let place = Place::with("double", DOUBLE, "");
    place.actor("again", DOUBLE, "");
    let mut up = place.up(&[]);
    up.wait_for("queue file");
    until("the queues", || place.run(&["queues", "again"]).status.success());
    let ended = place.json(&["send", "double,again", "21", "--wait", "--timeout", "50s"]);
    assert_eq!((ended[0]["status"].as_str(), ended[0]["payload"].as_i64()), (Some("succeeded"), Some(84)));
    let id = ended[0]["id"].as_str().unwrap();
    assert_eq!(place.json(&["status", id])[0]["payload"], 84);
    assert_eq!(up.end_by(Signal::INT), Some(0));
}

#[test]
fn a_fan_out_is_followed_to_the_end_of_every_child() {
    let place = Place::with("split", "def handle(n):\n    return list(range(n))\n", "");
    place.actor("double", DOUBLE, "");
    let up = place.up(&[]);
    up.wait_for("queue file");
    until("the queues", || place.run(&["queues", "double"]).status.success());
    let ended = place.json(&["send", "split,double", "5", "--wait", "--timeout", "50s"]);
    let payloads: HashSet<_> = ended.iter().map(|end| end["payload"].as_i64().unwrap()).collect();
    assert_eq!(payloads, HashSet::from([0, 2, 4, 6, 8]));
}

/// The body of what the gateway answers; empty while it does not.
fn ask(address: &str, method: &str, path: &str, body: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address) else { return String::new() };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}

#[test]
fn a_tool_is_called_over_http_and_its_envelope_is_followed_to_its_result() {
    let place = Place::with("double", DOUBLE, "");
    place.actor("number", "def handle(call):\n    return call['n']\n", "");
    place.write(
        "tools.yaml",
        "tools: [{name: double, route: [number, double], parameters: {n: {type: integer, required: true}}}]",
    );
    let mut up = place.up(&["--gateway", "127.0.0.1:0"]);
    up.wait_for("1 tools");
    let log = up.log();
    let address = log.split_once("gateway http://").unwrap().1.split(',').next().unwrap().to_owned();

    let answer = ask(&address, "POST", "/tools/call", r#"{"name": "double", "arguments": {"n": 21}}"#);
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let handle: serde_json::Value =
        serde_json::from_str(answer["content"][0]["text"].as_str().unwrap()).unwrap();
    let path = format!("/envelopes/{}", handle["envelope_id"].as_str().unwrap());
    let record = || serde_json::from_str::<serde_json::Value>(&ask(&address, "GET", &path, "")).unwrap();
    until("its end", || record()["status"] == "succeeded");
    let ended = record();
    assert_eq!((&ended["result"], ended["progress_percent"].as_f64()), (&42.into(), Some(100.0)), "{ended}");
    assert_eq!(ended["actors_completed"], 2, "{ended}");
    let actors = ask(&address, "GET", "/api/v1/actors", "");
    assert!(actors.contains("\"number\"") && actors.contains("\"happy-end\""), "{actors}");
    assert!(actors.contains(r#""next":["double"]"#), "{actors}");

    // What others send is none of its business, and no cause for complaint.
    place.json(&["send", "double", "2", "--wait", "--timeout", "50s"]);
    assert!(!up.log().contains("refuses"), "{}", up.log());
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

#[test]
fn what_failed_is_a_dead_letter_and_goes_again_with_another_payload() {
    let place = Place::with("double", DOUBLE, "");
    let mut up = place.up(&["--gateway", "127.0.0.1:0"]);
    up.wait_for("gateway http://");
    let log = up.log();
    let address = log.split_once("gateway http://").unwrap().1.split(',').next().unwrap().to_owned();
    let json = |method, path: &str, body: &str| -> serde_json::Value {
        serde_json::from_str(&ask(&address, method, path, body)).unwrap()
    };

    let sent = json("POST", "/api/v1/envelopes", r#"{"route": ["double"], "payload": {}}"#);
    let letters = || json("GET", "/api/v1/dead-letters", "")["letters"].clone();
    until("the letter", || letters().as_array().is_some_and(|letters| !letters.is_empty()));
    let letter = letters()[0].clone();
    assert_eq!((&letter["envelope"], &letter["actor"]), (&sent["id"], &"double".into()), "{letter}");
    assert!(letter["error"].as_str().unwrap().contains("unsupported operand"), "{letter}");

    let again = format!(r#"{{"ids": [{}], "payload": 4}}"#, letter["id"]);
    let replayed = json("POST", "/api/v1/dead-letters/replay", &again);
    let path = format!("/api/v1/envelopes/{}", replayed["ids"][0].as_str().unwrap());
    until("its end", || json("GET", &path, "")["status"] == "succeeded");
    assert_eq!(json("GET", &path, "")["result"], 8);
    assert_eq!(up.end_by(Signal::TERM), Some(0));
}

#[test]
fn a_gateway_that_nobody_asked_for_gives_way_and_one_that_is_wrong_does_not_start() {
    let place = Place::with("double", DOUBLE, "");
    place.write("tools.yaml", "tools: [{name: double}]");
    let mut up = place.up(&["--gateway", "127.0.0.1:0"]);
    assert_eq!(up.end(), Some(64));
    assert!(up.log().contains("tools.yaml") && up.log().contains("route"), "{}", up.log());
    let mut up = place.up(&["--gateway", "0.0.0.0:0", "--tools", "tools.yaml"]);
    assert_eq!(up.end(), Some(64));
    assert!(up.log().contains("ASYA_GATEWAY_AUTH=off"), "{}", up.log());
    let mut up = place.up(&["--gateway", "off"]);
    up.wait_for("queue file");
    assert_eq!(up.end_by(Signal::TERM), Some(0));
    assert!(!up.log().contains("gateway http"), "{}", up.log());
}

#[test]
fn until_idle_ends_when_everything_is_done_and_scales_from_zero() {
    let place = Place::with("double", DOUBLE, "  scaling: {enabled: true, minReplicas: 0, maxReplicas: 2}");
    let input: String = (0..50).map(|n| format!("{n}\n")).collect();
    fs::write(place.path().join("in"), input).unwrap();
    let sent = place
        .command(&["send", "double", "-", "--create"])
        .stdin(fs::File::open(place.path().join("in")).unwrap())
        .output()
        .unwrap();
    assert_eq!(text(&sent.stdout).lines().count(), 50);
    let mut up = place.up(&["--until-idle"]);
    assert_eq!(up.end(), Some(0));
    assert_eq!(place.json(&["status"])[0]["succeeded"], 50);
}

#[test]
fn a_handler_that_does_not_import_is_named_with_its_error() {
    let place = Place::with("broken", "import no_such_module\n", "");
    place.run(&["send", "broken", "1", "--create"]);
    let mut up = place.up(&["--until-idle"]);
    assert_eq!(up.end(), Some(1));
    let log = up.log();
    assert!(log.contains("no_such_module") && log.contains("does not start"), "{log}");
    assert_eq!(place.json(&["queues", "broken"])[0]["ready"], 1, "the envelope waits for the mended handler");
}

#[test]
fn a_handler_that_raises_ends_in_the_error_path_with_its_reason() {
    let place = Place::with("raises", "def handle(n):\n    raise ValueError('bad ' + str(n))\n", "");
    let sent = place.run(&["send", "raises", "7", "--create", "--id", "e1"]);
    assert!(sent.status.success());
    assert_eq!(place.up(&["--until-idle"]).end(), Some(0));
    let status = place.run(&["status", "e1", "--output", "json"]);
    assert_eq!(status.status.code(), Some(1));
    let error = &lines(&status.stdout)[0]["error"];
    assert_eq!((error["type"].as_str(), error["message"].as_str()), (Some("ValueError"), Some("bad 7")));
}

#[test]
fn ctrl_c_lets_running_work_finish() {
    let place = Place::with("gated", GATED, ALWAYS_ONE);
    let mut up = place.up(&[]);
    up.wait_for("queue file");
    until("the queue", || place.run(&["send", "gated", "1", "--id", "g1"]).status.success());
    until("the handler", || place.path().join("begun").exists());
    up.signal(Signal::INT);
    up.wait_for("running work may finish");
    place.write("go", "");
    assert_eq!(up.end(), Some(0));
    assert_eq!(place.json(&["status", "g1"])[0]["status"], "succeeded");
}

#[test]
fn a_second_ctrl_c_stops_at_once_and_loses_nothing() {
    let place = Place::with("gated", GATED, ALWAYS_ONE);
    let mut up = place.up(&[]);
    up.wait_for("queue file");
    until("the queue", || place.run(&["send", "gated", "1", "--id", "g2"]).status.success());
    until("the handler", || place.path().join("begun").exists());
    up.signal(Signal::INT);
    up.wait_for("running work may finish");
    up.signal(Signal::INT);
    assert_eq!(up.end(), Some(130));
    place.write("go", "");
    // The lease of the message in hand ends by itself.
    assert_eq!(place.up(&["--until-idle"]).end(), Some(0));
    assert_eq!(place.json(&["status", "g2"])[0]["status"], "succeeded");
}

#[test]
fn sigkill_loses_nothing_and_leaves_no_process_behind() {
    let source = format!("import os\nopen(f'pid-{{os.getpid()}}', 'w').close()\n{GATED}");
    let place = Place::with("gated", &source, ALWAYS_ONE);
    let mut up = place.up(&[]);
    up.wait_for("queue file");
    for n in 0..5 {
        let id = format!("k{n}");
        until("the queue", || place.run(&["send", "gated", "1", "--id", &id]).status.success());
    }
    until("the handler", || place.path().join("begun").exists());
    up.signal(Signal::KILL);
    assert_eq!(up.end(), None);
    for entry in fs::read_dir(place.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(pid) = name.strip_prefix("pid-") else { continue };
        let state = format!("/proc/{pid}/stat");
        until("the end of the worker", || {
            fs::read_to_string(&state).map_or(true, |stat| stat.contains(") Z"))
        });
    }
    place.write("go", "");
    assert_eq!(place.up(&["--until-idle"]).end(), Some(0));
    assert_eq!(place.json(&["status"])[0]["succeeded"], 5);
}

#[test]
fn two_senders_at_once_lose_nothing() {
    let place = Place::with("double", DOUBLE, "");
    let up = place.up(&[]);
    up.wait_for("queue file");
    until("the queue", || place.run(&["queues", "double"]).status.success());
    let many: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let arguments: Vec<&str> = ["send", "double", "--wait", "--timeout", "50s", "--output", "json"]
        .into_iter()
        .chain(many.iter().map(String::as_str))
        .collect();
    let start = || place.command(&arguments).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let ended: Vec<_> =
        [start(), start()].into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    for output in ended {
        assert!(output.status.success());
        assert_eq!(lines(&output.stdout).len(), 100);
    }
    assert_eq!(place.json(&["status"])[0]["succeeded"], 200);
}

#[test]
fn a_changed_handler_is_taken_up() {
    let place = Place::with("double", DOUBLE, ALWAYS_ONE);
    let up = place.up(&["--reload"]);
    up.wait_for("queue file");
    until("the queue", || place.run(&["queues", "double"]).status.success());
    assert_eq!(place.json(&["send", "double", "2", "--wait", "--timeout", "50s"])[0]["payload"], 4);
    place.write("double.py", "def handle(n):\n    return n * 10\n");
    up.wait_for("double.py changed");
    until("the new handler", || {
        place.json(&["send", "double", "2", "--wait", "--timeout", "50s"])[0]["payload"] == 20
    });
}

#[test]
fn a_missing_secret_is_named_with_the_line_to_add() {
    let env = "  env: [{name: TOKEN, valueFrom: {secretKeyRef: {name: llm, key: token}}}]";
    let place = Place::with("secret", "import os\n\n\ndef handle(n):\n    return os.environ['TOKEN']\n", env);
    let output = place.run(&["up", "."]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("add a line TOKEN=…"), "{}", text(&output.stderr));
    place.write(".env", "TOKEN=abc\n");
    place.run(&["send", "secret", "1", "--create", "--id", "s1"]);
    assert_eq!(place.up(&["--until-idle"]).end(), Some(0));
    assert_eq!(place.json(&["status", "s1"])[0]["payload"], "abc");
}

#[test]
fn a_payload_that_no_queue_takes_passes_two_actors_with_payloads_and_not_without() {
    const SIZE: usize = 5 << 20;
    let place = Place::with("double", DOUBLE, "");
    place.actor("again", DOUBLE, "");
    place.write("large.json", &format!("\"{}\"", "x".repeat(SIZE)));
    let mut up = place.up(&["--payloads", "--gateway", "off"]);
    up.wait_for("queue file");
    until("the queues", || place.run(&["queues", "again"]).status.success());
    let ended = place.json(&["send", "double,again", "@large.json", "--wait", "--timeout", "50s"]);
    let payload = ended[0]["payload"].as_str().unwrap();
    assert!(payload.len() == 4 * SIZE && payload.bytes().all(|byte| byte == b'x'), "{}", payload.len());
    assert_eq!(up.end_by(Signal::INT), Some(0));
    let folder = place.path().join(".asya/queue.payloads");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "one envelope, three payloads");

    fs::remove_dir_all(folder).unwrap();
    let refused = place.run(&["send", "double", "@large.json"]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stderr));
    assert!(text(&refused.stderr).contains("limit"), "{}", text(&refused.stderr));
}
