//! The program `asya-crew` as an operator starts it: both halves in one process, on a queue file.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::{
    path::Path,
    process::{Output, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use asya_envelope::{Envelope, ErrorReport, Limits, Naming, Raw, Route, Wrapped};
use asya_transport::{
    Outgoing, Queues as _, Transport as _,
    local::{Local, LocalOptions},
};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    process::{Child, Command},
    time::{sleep, timeout},
};

const LIMIT: Duration = Duration::from_secs(30);

fn crew() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asya-crew"));
    command.env_clear().kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("it never came true that {what}"));
}

/// A folder with a queue file, and an actor that works on it.
struct World {
    folder: tempfile::TempDir,
    local: Arc<Local>,
    child: Child,
}

impl World {
    async fn start(actor: &str, more: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
        for actor in ["happy-end", "error-end", "ocr", actor] {
            local.ensure(&Naming::bare().queue(actor)).await.unwrap();
        }
        let child = crew()
            .arg(actor)
            .env("ASYA_TRANSPORT", "local")
            .env("ASYA_LOCAL_PATH", folder.path().join("queues.db"))
            .env("ASYA_RECORDS_URL", format!("file://{}", folder.path().join("records").display()))
            .env("ASYA_METRICS_ENABLED", "false")
            .env("ASYA_RETRY_INITIAL_DELAY", "50ms")
            .env("ASYA_RETRY_MAX_DELAY", "100ms")
            .envs(more.iter().copied())
            .spawn()
            .unwrap();
        Self { folder, local, child }
    }

    async fn take(&self, actor: &str) -> Envelope {
        let mut deliveries =
            self.local.consume(&Naming::bare().queue(actor), 1.try_into().unwrap()).await.unwrap();
        let next = timeout(LIMIT, deliveries.next()).await.unwrap().unwrap();
        Envelope::parse(next.body.clone()).unwrap()
    }

    async fn send(&self, actor: &str, body: impl Into<bytes::Bytes>) {
        let queue = Naming::bare().queue(actor);
        self.local.publish(Outgoing { queue, body: body.into() }, None).await.unwrap();
    }

    /// Messages of an actor that are not settled.
    async fn count(&self, actor: &str) -> u64 {
        let depth = self.local.depth(&Naming::bare().queue(actor)).await.unwrap();
        depth.ready + depth.in_flight + depth.delayed
    }

    fn records(&self) -> Vec<String> {
        files(&self.folder.path().join("records"))
    }

    /// Ends the program as the kubelet does.
    async fn stop(self) {
        let pid = self.child.id().unwrap().to_string();
        Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
        let Output { status, stderr, .. } =
            timeout(LIMIT, self.child.wait_with_output()).await.unwrap().unwrap();
        assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
    }
}

fn files(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path.display().to_string()) }
    }
    found
}

fn finished() -> Vec<u8> {
    br#"{"id":"job-7","route":{"actors":["ocr"],"current":1},"payload":{"n":1.00}}"#.to_vec()
}

/// What error-end receives of an envelope whose first run at `ocr` failed a minute ago.
fn failed(code: &str) -> bytes::Bytes {
    let input = Envelope::new("job-8", Route::new(["ocr"]), Raw::of(&"scan"));
    let time = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(60);
    let Wrapped::Whole(body) =
        ErrorReport::new(code, "it broke", "ocr", 1, time).wrap(&input, &Limits::default())
    else {
        panic!("it is small")
    };
    body
}

/// A gateway that answers what it is told, one status per request, the last one for ever; and what it was sent.
struct Gateway {
    address: String,
    seen: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Gateway {
    async fn start(answers: Vec<(&'static str, u16)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = seen.clone();
        tokio::spawn(async move {
            let mut answers = answers;
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = Vec::new();
                let (head, length) = loop {
                    stream.read_buf(&mut bytes).await.unwrap();
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head.lines().find_map(|line| {
                        line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
                    });
                    break (head.to_owned(), length.unwrap_or(0));
                };
                while bytes.len() < head.len() + 4 + length {
                    stream.read_buf(&mut bytes).await.unwrap();
                }
                let path = head.split(' ').nth(1).unwrap().to_owned();
                let body = serde_json::from_slice(&bytes[head.len() + 4..]).unwrap();
                let at = answers.iter().position(|(part, _)| path.ends_with(part));
                let status = match at {
                    Some(at) => answers.remove(at).1,
                    None => 200,
                };
                notes.lock().unwrap().push((path, body));
                let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        Self { address, seen }
    }

    fn seen(&self, ending: &str) -> Vec<Value> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|(path, _)| path.ends_with(ending)).map(|(_, body)| body.clone()).collect()
    }
}

#[tokio::test]
async fn a_wrong_configuration_exits_with_64_and_names_everything() {
    let output = crew().env("ASYA_TRANSPORT", "kafka").env("ASYA_HANDLER", "my.own").output();
    let Output { status, stderr, .. } = timeout(LIMIT, output).await.unwrap().unwrap();
    let text = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(64), "{text}");
    assert!(text.contains("ASYA_TRANSPORT") && text.contains("ASYA_HANDLER"), "{text}");
}

#[tokio::test]
async fn what_succeeded_is_stored_and_then_reported_with_its_address() {
    let gateway = Gateway::start(Vec::new()).await;
    let world = World::start("happy-end", &[("ASYA_GATEWAY_URL", &gateway.address)]).await;
    world.send("happy-end", finished()).await;
    until("it is done", async || world.count("happy-end").await == 0).await;
    let [record] = &world.records()[..] else { panic!("{:?}", world.records()) };
    assert!(record.contains("/happy-asya/") && record.ends_with("/ocr/job-7.json"), "{record}");
    assert!(std::fs::read_to_string(record).unwrap().contains("\"n\": 1.00"));
    let [end] = &gateway.seen("/envelopes/job-7/final")[..] else { panic!("one report") };
    assert_eq!(
        (&end["status"], &end["metadata"]["s3_uri"]),
        (&"succeeded".into(), &format!("file://{record}").into())
    );
    world.stop().await;
}

#[tokio::test]
async fn a_record_that_cannot_be_stored_keeps_the_message_until_it_can() {
    let gateway = Gateway::start(Vec::new()).await;
    let world = World::start("happy-end", &[("ASYA_GATEWAY_URL", &gateway.address)]).await;
    until("the store is open", async || world.folder.path().join("records").is_dir()).await;
    let in_the_way = world.folder.path().join("records/happy-asya");
    std::fs::write(&in_the_way, "a file where a folder should be").unwrap();
    world.send("happy-end", finished()).await;
    let queue = Naming::bare().queue("happy-end");
    let delayed = async || world.local.depth(&queue).await.unwrap().delayed > 0;
    until("it was put back", delayed).await;
    assert_eq!((world.count("happy-end").await, gateway.seen("/final").len()), (1, 0));
    std::fs::remove_file(&in_the_way).unwrap();
    until("it is done", async || world.count("happy-end").await == 0).await;
    assert_eq!((world.records().len(), gateway.seen("/final").len()), (1, 1));
    world.stop().await;
}

#[tokio::test]
async fn a_failure_is_stored_buried_and_reported_before_its_message_is_gone() {
    // Both the letter and the report are refused at first; four answers, because a report is tried three times at once.
    let answers = vec![("/dead-letter", 503), ("/final", 503), ("/final", 503), ("/final", 503)];
    let gateway = Gateway::start(answers).await;
    let world = World::start("error-end", &[("ASYA_GATEWAY_URL", &gateway.address)]).await;
    world.send("error-end", failed("validation_error")).await;
    until("it is done", async || world.count("error-end").await == 0).await;
    let [record] = &world.records()[..] else { panic!("one record, however often: {:?}", world.records()) };
    assert!(record.contains("/error-asya/") && record.ends_with("/ocr/job-8.json"), "{record}");
    let letters = gateway.seen("/envelopes/job-8/dead-letter");
    assert!(letters.len() >= 2 && letters.iter().all(|letter| letter["id"] == letters[0]["id"]));
    let letter = letters.last().unwrap();
    assert_eq!(
        (&letter["actor"], &letter["code"], &letter["attempts"]),
        (&"ocr".into(), &"validation_error".into(), &1.into())
    );
    assert_eq!(letter["detail"]["class"], "permanent");
    assert_eq!(letter["detail"]["stored"], format!("file://{record}"));
    assert_eq!(letter["envelope"]["payload"]["original_payload"], "scan");
    let ends = gateway.seen("/envelopes/job-8/final");
    assert_eq!(ends.len(), 4);
    assert_eq!((&ends[3]["status"], &ends[3]["error"]), (&"failed".into(), &"it broke".into()));
    world.stop().await;
}

#[tokio::test]
async fn a_retryable_failure_goes_back_to_its_actor_unreported() {
    let gateway = Gateway::start(Vec::new()).await;
    let more = [
        ("ASYA_GATEWAY_URL", gateway.address.as_str()),
        ("ASYA_ERROR_RETRY_ATTEMPTS", "2"),
        ("ASYA_ERROR_RETRY_INITIAL_DELAY", "1s"),
    ];
    let world = World::start("error-end", &more).await;
    world.send("error-end", failed("timeout")).await;
    let back = world.take("ocr").await;
    assert_eq!((back.id.as_str(), back.payload.as_str()), ("job-8", "\"scan\""));
    assert_eq!(back.headers.get_u64("x-asya-runs"), Some(1));
    until("it is done", async || world.count("error-end").await == 0).await;
    assert_eq!((world.records().len(), gateway.seen("").len()), (0, 0));
    world.stop().await;
}

#[tokio::test]
async fn http_call_posts_a_payload_and_sends_the_answer_on() {
    let server = Gateway::start(Vec::new()).await;
    let url = format!("{}/orders/{{payload.order}}", server.address);
    let world = World::start("http-call", &[("ASYA_HTTP_ENDPOINT", &url)]).await;
    let envelope =
        Envelope::new("job-9", Route::new(["http-call", "ocr"]), Raw::of(&serde_json::json!({"order": 3})));
    world.send("http-call", envelope.encode()).await;
    let answered = world.take("ocr").await;
    assert_eq!(
        (answered.id.as_str(), answered.payload.as_str()),
        ("job-9", r#"{"status":200,"headers":{},"body":null}"#)
    );
    assert_eq!(server.seen("/orders/3"), [serde_json::json!({"order": 3})]);
    world.stop().await;
}

#[tokio::test]
async fn fan_in_keeps_its_parts_in_a_database_over_a_restart_and_gives_them_up() {
    let database = tempfile::tempdir().unwrap();
    let path = database.path().join("state.db");
    let more = [("ASYA_DATABASE_URL", path.to_str().unwrap()), ("ASYA_FAN_IN_TIMEOUT", "2s")];
    let part = r#"{"id":"job-1","parent_id":"job","route":{"actors":["ocr","fan-in"],"current":1},"payload":7,
        "headers":{"x-asya-fan":[{"group":"job/0","index":1}]}}"#;
    let first = World::start("fan-in", &more).await;
    first.send("fan-in", part).await;
    until("it is kept", async || first.count("fan-in").await == 0).await;
    first.stop().await;

    let second = World::start("fan-in", &more).await;
    let failed = second.take("error-end").await;
    let payload: Value = serde_json::from_str(failed.payload.as_str()).unwrap();
    assert_eq!((failed.id.as_str(), &payload["details"]["code"]), ("job", &"fan_in_expired".into()));
    assert_eq!(payload["original_payload"], serde_json::json!([7]));
    second.stop().await;
}

#[tokio::test]
async fn what_an_actor_cannot_do_without_is_named() {
    for (actor, name) in
        [("http-call", "ASYA_HTTP_ENDPOINT"), ("fan-in", "ASYA_DATABASE_URL"), ("park", "ASYA_DATABASE_URL")]
    {
        let output = crew().arg(actor).env("ASYA_TRANSPORT", "local").env("ASYA_LOCAL_PATH", "q.db").output();
        let Output { status, stderr, .. } = timeout(LIMIT, output).await.unwrap().unwrap();
        let text = String::from_utf8(stderr).unwrap();
        assert!(status.code() == Some(64) && text.contains(name), "{actor}: {text}");
    }
}
