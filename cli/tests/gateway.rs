//! The command line against a gateway, with the real binary on both sides.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use asya_envelope::Naming;
use asya_transport::{
    Outcome, Outgoing, Queues, Transport,
    local::{Local, LocalOptions},
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use support::{Place, Up, lines, text, until};

const DOUBLE: &str = "def handle(call):\n    return call['n'] * 2\n";
/// Waits for a file before it ends.
const GATED: &str = "import pathlib, time\n\n\ndef handle(call):\n    pathlib.Path('begun').touch()\n    \
    while not pathlib.Path('go').exists():\n        time.sleep(0.01)\n    return call\n";
const TOOLS: &str = "tools:
- name: double
  description: Twice a number
  route: [double]
  strict: true
  parameters:
    n: {type: integer, required: true, description: the number}
    unit: {type: string, options: [m, km], default: m}
    tags: {type: array, items: {type: string}}
- name: wait
  route: [gated]
  parameters: {output: {type: string}}
";
const TOKEN: &str = "0123456789abcdef-ops";
const READER: &str = "0123456789abcdef-reader";

/// Actors, tools, and a gateway; its address.
fn start(environment: &[(&str, &str)]) -> (Place, Up, String) {
    let place = Place::with("double", DOUBLE, "");
    place.actor("gated", GATED, "");
    place.write("tools.yaml", TOOLS);
    let up = place.up_with(&["--gateway", "127.0.0.1:0"], environment);
    let url = up.gateway();
    (place, up, url)
}

fn told(output: &Output, code: i32) -> (String, String) {
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{error}");
    (out, error)
}

#[test]
fn a_tool_is_shown_called_and_its_envelope_looked_at() {
    let (place, _up, url) = start(&[]);
    let at = |arguments: &[&str]| place.run(&[arguments, &["--gateway", &url]].concat());

    let (list, _) = told(&at(&["tools"]), 0);
    assert!(
        list.contains("--n INTEGER [--tags TEXT…] [--unit TEXT]") && list.contains("Twice a number"),
        "{list}"
    );
    let (shown, _) = told(&at(&["tools", "double"]), 0);
    assert!(shown.contains("(required)") && shown.contains("[one of: m, km] [default: m]"), "{shown}");
    let (help, _) = told(&at(&["call", "double", "--help"]), 0);
    assert_eq!(help, shown);
    let tools = place.json(&["tools", "--gateway", &url]);
    assert_eq!((tools.len(), &tools[0]["name"]), (2, &json!("double")));
    let (schema, _) = told(&at(&["tools", "double", "--schema", "--output", "json"]), 0);
    assert_eq!(lines(schema.as_bytes())[0]["properties"]["n"]["type"], "integer");

    // The result alone is on standard output, whatever order things are typed in.
    let (out, error) = told(&at(&["call", "double", "--n", "21", "--tags", "a", "--tags", "b"]), 0);
    assert_eq!(out, "42\n");
    assert!(error.contains("100% ") && error.contains("at double"), "{error}");
    let (out, _) = told(&place.run(&["call", "--gateway", &url, "double", "--output", "json", "n=4"]), 0);
    let called = &lines(out.as_bytes())[0];
    assert_eq!((&called["status"], &called["result"]), (&json!("succeeded"), &json!(8)));
    let id = called["id"].as_str().unwrap();

    let (out, _) = told(&at(&["watch", id]), 0);
    assert!(out.lines().count() >= 3 && out.ends_with("8\n"), "{out}");
    let watched = lines(told(&at(&["watch", id, "--output", "json"]), 0).0.as_bytes());
    assert_eq!(watched.last().unwrap()["result"], 8);
    let (out, _) = told(&at(&["status", id]), 0);
    assert!(
        out.contains("succeeded, 100%") && out.contains("tool:     double") && out.contains("result:   8"),
        "{out}"
    );
    let counts = &lines(told(&at(&["status", "--output", "json"]), 0).0.as_bytes())[0];
    assert_eq!(counts["succeeded"], 2);
    // What only the queue file knows is still there.
    assert_eq!(place.json(&["status"])[0]["succeeded"], 2);

    // The same id twice is one call.
    let again = ["call", "--gateway", &url, "--id", "mine", "double", "--n=1", "--no-wait"];
    assert_eq!(told(&place.run(&again), 0).0, "mine\n");
    assert_eq!(told(&at(&["call", "double", "--n=1", "--no-wait", "--id", "mine"]), 0).0, "mine\n");
    told(&at(&["watch", "mine"]), 0);
    assert_eq!(lines(told(&at(&["status", "--output", "json"]), 0).0.as_bytes())[0]["succeeded"], 3);

    place.write("arguments", r#"{"n": 5}"#);
    assert_eq!(told(&at(&["call", "double", "--json", "@arguments"]), 0).0, "10\n");
    let input = std::fs::File::open(place.path().join("arguments")).unwrap();
    let output = place.command(&["call", "double", "-", "--gateway", &url]).stdin(input).output().unwrap();
    assert_eq!(told(&output, 0).0, "10\n");
}

#[test]
fn a_wrong_call_ends_with_64_and_says_what_is_wrong() {
    let (place, _up, url) = start(&[]);
    for (arguments, part) in [
        (&["call", "duble", "--n", "1"][..], "no tool \"duble\"; `asya tools`"),
        (&["call", "double"], "--n is required: a whole number"),
        (&["call", "double", "--n", "one"], "--n: \"one\" is not a whole number"),
        (&["call", "double", "--m", "1", "--n", "1"], "--m is unknown: the tool takes --n, --tags, --unit"),
        (&["call", "double", "--n", "1", "--unit", "mile"], "must be one of m, km"),
        (&["call", "double", "--json", "[1]"], "--json must be a JSON object"),
        // Only the gateway knows.
        (&["call", "double", "{\"n\": 1, \"other\": 2}"], "other"),
        (&["call", "double", "--n", "1", "--timeout", "soon"], "--timeout"),
        (&["tools", "--gateway", "ftp://x"], "must begin with http:// or https://"),
        (&["tools", "--gateway", "http://me:secret@x"], "no user or password"),
        (&["tools", "--token-file", "nowhere"], "token file nowhere"),
        (&["tools", "--profile", "prod"], "no profile \"prod\""),
        (&["dlq", "list", "--code", "timeout"], "--gateway"),
        (&["dlq", "replay", "--all", "--since", "once"], "--since \"once\""),
    ] {
        let mut command = place.command(arguments);
        let own =
            arguments.contains(&"--gateway") || arguments.contains(&"--profile") || arguments[0] == "dlq";
        let dlq = arguments.contains(&"--since");
        if !own || dlq {
            command.env("ASYA_GATEWAY", &url);
        }
        let (_, error) = told(&command.output().unwrap(), 64);
        assert!(error.contains(part), "{arguments:?}: {error}");
        assert!(!error.contains("secret"), "{error}");
    }
    // An argument of the tool that is called like an option of the command line.
    let (out, _) = told(&place.run(&["call", "--gateway", &url, "--no-wait", "wait", "output=x"]), 0);
    place.write("go", "");
    let (out, _) = told(&place.run(&["watch", out.trim(), "--gateway", &url]), 0);
    assert!(out.ends_with("{\"output\":\"x\"}\n"), "{out}");
}

#[test]
fn what_failed_is_a_dead_letter_of_the_gateway_and_goes_again() {
    let (place, _up, url) = start(&[]);
    let at = |arguments: &[&str]| place.run(&[arguments, &["--gateway", &url]].concat());
    let json = |arguments: &[&str], code| {
        lines(told(&at(&[arguments, &["-o", "json"]].concat()), code).0.as_bytes())
    };
    let send = |payload: &str| {
        let (out, error) = told(&at(&["call", "double", "--json", payload, "--no-wait"]), 0);
        assert_eq!(error, "");
        out.trim().to_owned()
    };
    // What only the handler refuses.
    place.write("tools.yaml", &TOOLS.replace(", required: true", ""));
    until("the tools as they are now", || told(&at(&["tools", "double"]), 0).0.contains("[--n INTEGER]"));

    let (out, error) = told(&at(&["call", "double"]), 1);
    assert_eq!(out, "");
    assert!(error.contains("failed at double: ") && error.contains("KeyError"), "{error}");
    assert!(error.contains(&format!(" --gateway {url}` shows where")), "{error}");
    let failed = &json(&["call", "double"], 1)[0];
    assert_eq!((&failed["status"], &failed["actor"]), (&json!("failed"), &json!("double")), "{failed}");
    assert!(failed["code"].is_string() && failed["details"]["type"] == "KeyError", "{failed}");
    let id = send("{}");
    told(&at(&["watch", &id]), 1);
    let (shown, _) = told(&at(&["status", &id]), 1);
    assert!(shown.contains("error:    KeyError: 'n'") && shown.contains("Traceback"), "{shown}");

    until("the letters", || json(&["dlq", "list"], 0).len() == 3);
    let groups = json(&["dlq", "groups"], 0);
    assert_eq!((&groups[0]["actor"], &groups[0]["count"]), (&json!("double"), &json!(3)));
    let code = groups[0]["code"].as_str().unwrap();
    assert_eq!(json(&["dlq", "list", "double", "--code", code, "--since", "1h", "--limit", "2"], 0).len(), 2);
    assert_eq!(json(&["dlq", "list", "other"], 0).len(), 0);
    let (list, _) = told(&at(&["dlq", "list"]), 0);
    assert!(list.contains("processing_error: ") && list.contains("'n'"), "{list}");
    let letter = json(&["dlq", "list", "--envelope", &id], 0)[0]["id"].as_str().unwrap().to_owned();
    assert!(told(&at(&["dlq", "show", &letter]), 0).0.contains("\"payload\""));
    let (_, error) = told(&at(&["dlq", "show", "nothing"]), 1);
    assert!(error.contains("no dead letter nothing"), "{error}");

    let replayed = &json(&["dlq", "replay", &letter, "--payload", "{\"n\": 4}"], 0)[0];
    let again = replayed["ids"][0].as_str().unwrap();
    assert_eq!(told(&at(&["watch", again]), 0).0.lines().last(), Some("8"));
    // A letter goes once.
    assert_eq!(json(&["dlq", "replay", &letter], 1)[0]["replayed"], 0);
    let other =
        &json(&["dlq", "replay", "--all", "--code", code, "--payload", "{}", "--route", "gated"], 0)[0];
    assert_eq!(other["replayed"], 2, "{other}");
    let cancelled = json(&["cancel", other["ids"][0].as_str().unwrap()], 0);
    assert_eq!(cancelled[0]["status"], "cancelled");
    let (_, error) = told(&at(&["cancel", other["ids"][0].as_str().unwrap()]), 1);
    assert!(error.contains("ended before"), "{error}");
    told(&at(&["call", "double"]), 1);
    until("its letter", || json(&["dlq", "list"], 0).len() == 1);
    let letter = json(&["dlq", "list"], 0)[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(json(&["dlq", "drop", &letter], 0)[0]["dropped"], 1);
    told(&at(&["dlq", "delete", &letter]), 1);
    let (_, error) = told(&at(&["status", "nothing"]), 1);
    assert!(error.contains("does not know envelope nothing"), "{error}");
}

#[test]
fn profiles_name_gateways_with_their_tokens() {
    let digest = |token: &str| {
        let hash = <sha2::Sha256 as sha2::Digest>::digest(token);
        hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let tokens = format!(
        "[{{name: ops, roles: [admin], sha256: {}}}, {{name: eye, roles: [read], sha256: {}}}]",
        digest(TOKEN),
        digest(READER)
    );
    let (place, _up, url) = start(&[("ASYA_GATEWAY_TOKENS", &tokens)]);
    let config = place.path().join("config/asya/config.yaml");
    place.write("config/asya/ops.token", &format!("{TOKEN}\n"));
    place.write("config/asya/eye.token", READER);
    place.write(
        "config/asya/config.yaml",
        &format!(
            "# mine\ncurrent: none\nprofiles:\n  ops: {{gateway: \"{url}\", tokenFile: ops.token, transport: \"amqp://me:hidden@x\"}}\n  \
             eye: {{gateway: \"{url}/mcp\", tokenFile: eye.token}}\n  none: {{gateway: \"{url}\"}}\n"
        ),
    );
    // Away from the queue file, which would be nearer than the current profile.
    let away = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.current_dir(away.path()).env("XDG_CONFIG_HOME", place.path().join("config"));
        command.output().unwrap()
    };
    let (_, error) = told(&run(&["tools"]), 1);
    assert!(error.contains("credentials are missing") && error.contains("--token-file"), "{error}");
    told(&run(&["tools", "--profile", "ops"]), 0);
    let called = run(&["call", "--context", "ops", "double", "--n", "2"]);
    assert_eq!(told(&called, 0).0, "4\n");
    let (_, error) = told(&run(&["call", "double", "--n", "2", "--profile", "eye"]), 1);
    assert!(error.contains("role") && error.contains("use a token that has it"), "{error}");
    // The token of a profile is for its gateway only.
    let (_, error) = told(&run(&["tools", "--profile", "ops", "--gateway", &url]), 1);
    assert!(error.contains("credentials are missing"), "{error}");
    let file = place.path().join("config/asya/eye.token");
    told(&run(&["tools", "--gateway", &url, "--token-file", file.to_str().unwrap()]), 0);
    place.write("wrong", "0123456789abcdef-guess");
    let wrong = place.path().join("wrong");
    let (_, error) = told(&run(&["tools", "--token-file", wrong.to_str().unwrap()]), 1);
    assert!(!error.contains("guess"), "{error}");

    assert_eq!(told(&run(&["profile", "use", "ops"]), 0).0, "ops is current\n");
    assert!(std::fs::read_to_string(&config).unwrap().starts_with("# mine\ncurrent: \"ops\"\nprofiles:\n"));
    told(&run(&["tools"]), 0);
    // A gateway is nearer than nothing, a queue file nearer than the current profile.
    assert!(told(&run(&["status"]), 0).0.contains(&url));
    let here = place.command(&["status"]).env("ASYA_CONFIG", &config).output().unwrap();
    assert!(told(&here, 0).0.contains("queue.db"));
    let (shown, _) = told(&run(&["profile", "show"]), 0);
    assert!(
        shown.contains("amqp://me:***@x") && !shown.contains("hidden") && !shown.contains(TOKEN),
        "{shown}"
    );
    let listed = lines(told(&run(&["profile", "list", "-o", "json"]), 0).0.as_bytes());
    assert_eq!(listed.iter().filter(|profile| profile["current"] == true).count(), 1);
    let (_, error) = told(&run(&["profile", "use", "other"]), 64);
    assert!(error.contains("it has eye, none, ops"), "{error}");

    // The broker of a profile is that of the commands on queues; a queue file here is nearer unless it was named.
    let broker = "current: q\nprofiles: {q: {transport: \"kafka://x\"}}\n";
    place.write("config/asya/config.yaml", broker);
    assert!(told(&run(&["queues", "double"]), 64).1.contains("begins with \"kafka\""));
    let here = |arguments: &[&str]| place.command(arguments).env("ASYA_CONFIG", &config).output().unwrap();
    told(&here(&["queues", "double"]), 0);
    assert!(told(&here(&["queues", "double", "--profile", "q"]), 64).1.contains("begins with \"kafka\""));

    place.write("config/asya/config.yaml", "current: a\nprofiles: {a: {gatway: x}}\n");
    let (_, error) = told(&run(&["tools"]), 64);
    assert!(error.contains("config.yaml") && error.contains("gatway"), "{error}");
    let missing = place.command(&["tools"]).env("ASYA_CONFIG", "nowhere.yaml").output().unwrap();
    assert!(told(&missing, 64).1.contains("ASYA_CONFIG names it"));
}

/// Carries connections to `upstream`; each of the first `cuts` streams of events ends after its first event.
struct Cutting {
    address: SocketAddr,
    requests: Arc<Mutex<String>>,
}

impl Cutting {
    fn start(upstream: &str, cuts: usize) -> Self {
        let upstream: SocketAddr = upstream.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, left) = (Arc::<Mutex<String>>::default(), Arc::new(AtomicUsize::new(cuts)));
        let seen = Arc::clone(&requests);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(upstream).unwrap();
                let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let seen = Arc::clone(&seen);
                thread::spawn(move || {
                    let mut buffer = [0; 65536];
                    while let Ok(read @ 1..) = from.read(&mut buffer) {
                        seen.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..read]));
                        if to.write_all(&buffer[..read]).is_err() {
                            break;
                        }
                    }
                    let _ = to.shutdown(Shutdown::Both);
                });
                let left = Arc::clone(&left);
                thread::spawn(move || cut(server, client, &left));
            }
        });
        Self { address, requests }
    }
}

fn cut(mut server: TcpStream, mut client: TcpStream, left: &AtomicUsize) {
    let (mut buffer, mut seen) = ([0; 65536], String::new());
    while let Ok(read @ 1..) = server.read(&mut buffer) {
        let before = seen.len();
        seen.push_str(&String::from_utf8_lossy(&buffer[..read]));
        let events = seen.rfind("text/event-stream").map(|at| &seen[at..]);
        let first = events.and_then(|events| events.find("id: ").map(|at| (events, at)));
        let end = first.and_then(|(events, at)| {
            events[at..].find("\n\n").map(|length| seen.len() - events.len() + at + length + 2)
        });
        if let Some(end) = end
            && left.load(Ordering::SeqCst) > 0
        {
            left.fetch_sub(1, Ordering::SeqCst);
            let _ = client.write_all(&seen.as_bytes()[before.min(end)..end]);
            break;
        }
        if client.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}

#[test]
fn a_stream_that_breaks_goes_on_where_it_was() {
    let (place, _up, url) = start(&[]);
    let id = told(&place.run(&["call", "double", "--n=3", "--no-wait", "--gateway", &url]), 0).0;
    let id = id.trim();
    told(&place.run(&["watch", id, "--gateway", &url]), 0);
    let whole = place.json(&["watch", id, "--gateway", &url]);
    let cutting = Cutting::start(&url, 2);
    let through = format!("http://{}", cutting.address);
    let output = place.run(&["watch", id, "--gateway", &through, "-o", "json"]);
    let (out, error) = told(&output, 0);
    assert_eq!(lines(out.as_bytes()), whole, "each update once, in order");
    assert_eq!(error.matches("the connection is lost").count(), 2, "{error}");
    let requests = cutting.requests.lock().unwrap().to_lowercase();
    assert_eq!(requests.matches("last-event-id: ").count(), 2, "{requests}");
}

#[test]
fn an_interrupted_call_says_how_to_go_on() {
    let (place, _up, url) = start(&[]);
    let mut command = place.command(&["call", "wait", "--gateway", &url]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    until("the handler runs", || place.path().join("begun").exists());
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let (_, error) = told(&child.wait_with_output().unwrap(), 130);
    let (_, rest) = error.split_once("`asya watch ").unwrap();
    let (command, _) = rest.split_once('`').unwrap();
    assert!(command.ends_with(&format!(" --gateway {url}")), "{error}");
    let (id, _) = command.split_once(' ').unwrap();
    assert!(error.contains(&format!("`asya cancel {id}")), "{error}");

    let (_, error) = told(&place.run(&["call", "wait", "--timeout", "50ms", "--gateway", &url]), 1);
    assert!(error.contains("has not ended within 50ms") && error.contains("`asya cancel "), "{error}");
    let cancel = ["cancel", id, "--gateway", &url, "--reason", "enough"];
    assert_eq!(told(&place.run(&cancel), 0).0, format!("{id} cancelled\n"));
    let (_, error) = told(&place.run(&["watch", id, "--gateway", &url]), 1);
    assert!(error.contains("cancelled") && error.contains("enough"), "{error}");
    place.write("go", "");
}

/// Answers every request with this.
fn fake(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let _ = client.read(&mut [0; 65536]);
            let _ = client.write_all(answer.as_bytes());
        }
    });
    url
}

#[test]
fn what_is_no_gateway_or_none_at_all_is_told_with_the_next_step() {
    let place = Place::with("double", DOUBLE, "");
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let (_, error) = told(&place.run(&["tools", "--gateway", &nobody]), 1);
    assert!(error.contains("cannot be reached") && error.contains("--gateway names another"), "{error}");
    let answer = |status: &str, kind: &str, body: &str| {
        let length = body.len();
        fake(format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        ))
    };
    for (status, kind, body, part) in [
        ("200 OK", "text/html", "<html>\u{1b}[2J", "does not answer like a gateway"),
        ("404 Not Found", "text/html", "<html>nginx", "does not answer like a gateway: 404"),
        ("502 Bad Gateway", "text/html", "<html>", "502"),
        ("200 OK", "application/json", "{\"tools\": 1}", "does not answer like a gateway"),
        (
            "403 Forbidden",
            "application/problem+json",
            "{\"detail\": \"\\u001b[2Jno\", \"code\": \"denied\"}",
            "\\u{1b}[2Jno",
        ),
    ] {
        let url = answer(status, kind, body);
        let (_, error) = told(&place.run(&["tools", "--gateway", &url]), 1);
        assert!(error.contains(part), "{status} {body}: {error}");
        assert!(!error.contains('\u{1b}'), "{error}");
    }
    let tools =
        json!({"tools": [{"name": "x\u{1b}[2J", "description": "\u{9b}31m", "route": ["a\u{202e}"]}]});
    let url = answer("200 OK", "application/json", &tools.to_string());
    let (out, _) = told(&place.run(&["tools", "--gateway", &url]), 0);
    assert!(!out.contains(['\u{1b}', '\u{9b}', '\u{202e}']), "{out:?}");
    let (out, _) = told(&place.run(&["tools", "--gateway", &url, "-o", "json"]), 0);
    assert!(!out.contains(['\u{9b}', '\u{202e}']), "{out:?}");
    let line: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(line["description"], "\u{9b}31m");
}

/// Puts messages on the dead-letter queue of an actor that does not run.
async fn die(place: &Place, actor: &str, reasons: &[&str]) {
    let local = Local::open(&place.path().join(".asya/queue.db"), LocalOptions::default()).unwrap();
    let queue = Naming::bare().queue(actor);
    local.ensure(&queue).await.unwrap();
    let mut consumer = local.consume(&queue, 1.try_into().unwrap()).await.unwrap();
    for (number, reason) in reasons.iter().enumerate() {
        let body =
            json!({"id": format!("e{number}"), "route": {"actors": [actor], "current": 0}, "payload": 1});
        let body = body.to_string().into();
        local.publish(Outgoing { queue: queue.clone(), body }, None).await.unwrap();
        let delivery = consumer.next().await.unwrap();
        delivery.settle(Outcome::DeadLetter { reason: (*reason).to_owned() }).await.unwrap();
    }
}

#[test]
fn what_is_on_a_dead_letter_queue_is_listed_shown_replayed_and_dropped_through_the_gateway() {
    let (place, _up, url) = start(&[]);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(die(&place, "gone", &["poison: e0", "loop: e1", "loop: e2", ""]));
    let at = |arguments: &[&str]| place.run(&[arguments, &["--gateway", &url]].concat());
    let json = |arguments: &[&str], code| {
        lines(told(&at(&[arguments, &["-o", "json"]].concat()), code).0.as_bytes())
    };
    let (list, _) = told(&at(&["dlq", "list", "gone"]), 0);
    assert!(list.starts_with("SOURCE") && list.contains("moved it here by itself"), "{list}");
    assert_eq!(json(&["dlq", "list", "gone", "--source", "store"], 0).len(), 0);
    let letters = json(&["dlq", "list", "gone", "--source", "broker"], 0);
    assert_eq!(letters.len(), 4);
    let poison = letters.iter().find(|letter| letter["code"] == "poison").unwrap();
    let id = poison["id"].as_str().unwrap();
    let (shown, _) = told(&at(&["dlq", "show", id]), 0);
    assert!(shown.contains("source:   broker\nenvelope: e0\n"), "{shown}");

    let (_, error) = told(&at(&["dlq", "replay", id, "--payload", "2"]), 64);
    assert!(error.contains("goes back as it is"), "{error}");
    assert_eq!(json(&["dlq", "replay", id], 0)[0]["replayed"], 1);
    // What is gone is no harm, and not what was asked for.
    assert_eq!(json(&["dlq", "replay", id], 1)[0]["replayed"], 0);
    // Without a word about the broker's, those of the store are meant.
    assert_eq!(json(&["dlq", "drop", "gone", "--all"], 0)[0]["dropped"], 0);
    let looping = ["dlq", "drop", "gone", "--all", "--source", "broker", "--code", "loop"];
    assert_eq!(json(&looping, 0)[0]["dropped"], 2);
    assert_eq!(json(&["dlq", "replay", "gone", "--all", "--source", "all"], 0)[0]["replayed"], 1);
    assert_eq!(json(&["dlq", "list", "gone"], 0).len(), 0);
    let (_, error) = told(&at(&["dlq", "list", "nobody"]), 0);
    assert!(error.contains("note: the dead-letter queue of nobody cannot be looked at"), "{error}");

    let (_, error) = told(&at(&["dlq", "list", "--source", "queue"]), 64);
    assert!(error.contains("[possible values: store, broker, all]"), "{error}");
    let (_, error) = told(&at(&["dlq", "drop", id, "--source", "broker"]), 64);
    assert!(error.contains("--all"), "{error}");
    let (_, error) = told(&place.run(&["dlq", "list", "gone", "--source", "broker"]), 64);
    assert!(error.contains("--source chooses among the dead letters of a gateway"), "{error}");
}
