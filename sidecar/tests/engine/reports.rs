//! What observers are told.

use std::sync::{Arc, Mutex};

use asya_envelope::ActorName;
use asya_handler::{End, Progress, Reply};
use asya_sidecar::{Status, gateway::Gateway};
use asya_telemetry::Metrics;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

use crate::rig::{Bench, Scripted, item, raised};

/// Path, authorization and body of each request.
pub(crate) type Requests = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A gateway that answers with these statuses in turn, the last one for ever.
pub(crate) async fn gateway(statuses: &'static [u16]) -> (String, Requests) {
    gateway_saying(statuses, |_| "{}").await
}

/// The same, with bodies by path.
pub(crate) async fn gateway_saying(
    statuses: &'static [u16],
    says: fn(&str) -> &'static str,
) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Requests::default();
    let (seen, answered) = (requests.clone(), Arc::new(Mutex::new(0)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, statuses, says, seen.clone(), answered.clone()));
        }
    });
    (address, requests)
}

async fn answer(
    stream: TcpStream,
    statuses: &[u16],
    says: fn(&str) -> &'static str,
    seen: Requests,
    answered: Arc<Mutex<usize>>,
) {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut path, mut length, mut token) = (String::new(), 0, String::new());
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                return;
            }
            let line = line.trim();
            match line.split_once(": ").map(|(name, value)| (name.to_ascii_lowercase(), value)) {
                _ if line.is_empty() => break,
                Some((name, value)) if name == "content-length" => length = value.parse().unwrap(),
                Some((name, value)) if name == "authorization" => token = value.to_owned(),
                None => path = line.split(' ').nth(1).unwrap().to_owned(),
                Some(_) => {}
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.unwrap();
        let said = says(&path);
        seen.lock().unwrap().push((path, token, serde_json::from_slice(&body).unwrap_or_default()));
        let status = {
            let mut answered = answered.lock().unwrap();
            *answered += 1;
            statuses[(*answered - 1).min(statuses.len() - 1)]
        };
        let reply = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{said}", said.len());
        stream.write_all(reply.as_bytes()).await.unwrap();
    }
}

#[tokio::test]
async fn each_step_of_an_envelope_is_reported_in_order() {
    let (sender, mut reports) = mpsc::channel(100);
    let mut bench = Bench::new().await;
    bench.observers.progress = Some(sender);
    let rig = bench.start(Scripted::new(|_, replies| async move {
        replies.send(Reply::Progress(Progress { fraction: 0.5, message: "half".to_owned() })).await;
        replies.send(Reply::End(End::Done(vec![item("1")]))).await;
    }));
    rig.send_envelope("a", "1").await;
    let mut seen = Vec::new();
    for seq in 0..4 {
        let report = reports.recv().await.unwrap();
        assert_eq!((report.id.as_str(), report.current, report.attempt, report.seq), ("a", 0, 1, seq));
        seen.push((report.status, report.fraction));
    }
    let expected = [
        (Status::Received, None),
        (Status::Processing, None),
        (Status::Processing, Some(0.5)),
        (Status::Completed, None),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_receiver_that_does_not_listen_delays_nothing() {
    let (sender, _reports) = mpsc::channel(1);
    let mut bench = Bench::new().await;
    bench.observers.progress = Some(sender);
    let rig = bench.start(Scripted::echo());
    for n in 0..20 {
        rig.send_envelope(&n.to_string(), "1").await;
    }
    rig.settled().await;
    assert_eq!(rig.count("next").await, 20);
}

#[tokio::test]
async fn the_gateway_gets_progress_in_the_form_of_the_contract() {
    let (address, requests) = gateway(&[200]).await;
    let mut bench = Bench::new().await;
    Gateway::new(&address, None).unwrap().follow(None, &mut bench.observers);
    let rig = bench.start(Scripted::ending(|_| raised("ValueError")));
    rig.send_envelope("a b", "1").await;
    rig.until("three reports came", async || requests.lock().unwrap().len() == 3).await;
    let requests = requests.lock().unwrap();
    let (path, _, last) = &requests[2];
    assert_eq!(path, "/envelopes/a%20b/progress");
    assert_eq!((&last["status"], &last["current_actor_idx"]), (&"failed".into(), &0.into()));
    assert_eq!((&last["actors"][1], &last["current_actor_name"]), (&"next".into(), &"ocr".into()));
    assert!(last["duration_ms"].is_u64() && last["message_size_kb"].is_f64());
}

#[tokio::test]
async fn reports_that_a_busy_gateway_turns_away_are_counted_as_dropped() {
    let (address, _) = gateway(&[429]).await;
    let metrics = Metrics::new("asya_actor");
    let mut bench = Bench::new().await;
    let of_actor = metrics.actor("asya-ocr", "local");
    Gateway::new(&address, None).unwrap().follow(Some(of_actor), &mut bench.observers);
    let rig = bench.start(Scripted::echo());
    rig.send_envelope("a", "1").await;
    let dropped = r#"asya_actor_reports_dropped_total{queue="asya-ocr"} 3"#;
    rig.until("three were turned away", async || metrics.encode().contains(dropped)).await;
}

#[tokio::test]
async fn an_end_is_reported_with_its_result_or_its_error_and_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "secret\n").unwrap();
    for (actor, payload, check) in [
        ("happy-end", r#"{"n":1}"#, "/result/n=1"),
        (
            "error-end",
            r#"{"error":"timeout","details":{"code":"timeout"}}"#,
            "/error_details/code=\"timeout\"",
        ),
    ] {
        // A server error is tried again at once.
        let (address, requests) = gateway(&[503, 200]).await;
        let mut bench = Bench::new().await.with(|config| config.actor = ActorName::parse(actor).unwrap());
        bench.observers.ends = Some(Gateway::new(&address, Some(token.clone())).unwrap());
        let rig = bench.start(Scripted::ending(|_| End::Done(vec![item("{}")])));
        rig.send(format!(r#"{{"id":"a","route":{{"actors":["ocr"],"current":1}},"payload":{payload}}}"#))
            .await;
        rig.until("it was recorded", async || rig.stats.succeeded() == 1).await;
        let requests = requests.lock().unwrap();
        let (path, authorization, body) = requests.last().unwrap();
        assert_eq!((path.as_str(), authorization.as_str()), ("/envelopes/a/final", "Bearer secret"));
        assert_eq!((requests.len(), rig.stats.retried()), (2, 0));
        let (pointer, expected) = check.split_once('=').unwrap();
        assert_eq!(body.pointer(pointer).unwrap().to_string(), expected, "{body}");
    }
}

#[tokio::test]
async fn an_envelope_that_the_gateway_does_not_know_ends_all_the_same() {
    let (address, requests) = gateway(&[404]).await;
    let mut bench = Bench::new().await.with(|config| config.actor = ActorName::parse("happy-end").unwrap());
    bench.observers.ends = Some(Gateway::new(&address, None).unwrap());
    let rig = bench.start(Scripted::echo());
    rig.send(r#"{"id":"a","route":{"actors":["ocr"],"current":1},"payload":1}"#).await;
    rig.until("it was recorded", async || rig.stats.succeeded() == 1).await;
    assert_eq!((requests.lock().unwrap().len(), rig.stats.retried()), (1, 0));
}
