//! The binary `asya-sidecar` as an operator starts it.

#![allow(
    clippy::unwrap_used,
    reason = "a test may panic; the lint knows only test functions, not their helpers"
)]

use std::{
    net::SocketAddr,
    path::Path,
    process::{Output, Stdio},
    time::Duration,
};

use asya_envelope::Naming;
use asya_handler::serve::{Call, Output as Answer, ServeOptions, serve};
use asya_transport::{
    Outcome, Outgoing, Queues, Transport,
    local::{Local, LocalOptions},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    process::{Child, Command},
    time::{sleep, timeout},
};

const LIMIT: Duration = Duration::from_secs(30);

fn sidecar() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_asya-sidecar"));
    command.env_clear().kill_on_drop(true).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn refused(settings: &[(&str, &str)]) -> (i32, String) {
    let Output { status, stderr, .. } =
        timeout(LIMIT, sidecar().envs(settings.iter().copied()).output()).await.unwrap().unwrap();
    (status.code().unwrap(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn a_wrong_configuration_exits_with_64_and_names_everything() {
    let (code, text) =
        refused(&[("ASYA_TRANSPORT", "kafka"), ("ASYA_RUNTIME_TIMEOUT", "soon"), ("ASYA_ACTOR_NAME", "")])
            .await;
    assert_eq!(code, 64);
    for name in ["ASYA_ACTOR_NAME", "ASYA_TRANSPORT", "ASYA_RUNTIME_TIMEOUT"] {
        assert!(text.contains(name), "{name} is not in {text}");
    }
    let (code, text) = refused(&[("ASYA_ACTOR_NAME", "ocr"), ("ASYA_RUNTIME", "embedded")]).await;
    assert!(code == 64 && text.contains("image asya-sidecar-py"), "{text}");
}

/// The status line and body of one request.
async fn get(address: SocketAddr, path: &str) -> String {
    get_with(address, path, "x-none: 0").await
}

async fn get_with(address: SocketAddr, path: &str, header: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(address).await else { return String::new() };
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n{header}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

async fn until(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("it never came true that {what}"));
}

async fn start(folder: &Path) -> (Child, SocketAddr) {
    start_with(folder, &[]).await
}

async fn start_with(folder: &Path, more: &[(&str, &str)]) -> (Child, SocketAddr) {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let child = sidecar()
        .env("ASYA_ACTOR_NAME", "ocr")
        .env("ASYA_TRANSPORT", "local")
        .env("ASYA_LOCAL_PATH", folder.join("queues.db"))
        .env("ASYA_SOCKET_DIR", folder)
        .env("ASYA_METRICS_ADDR", free.to_string())
        // Nobody is there: it must not matter.
        .env("ASYA_GATEWAY_URL", "http://127.0.0.1:1")
        .envs(more.iter().copied())
        .spawn()
        .unwrap();
    (child, free)
}

async fn terminate(child: Child) -> Output {
    let pid = child.id().unwrap().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().await.unwrap();
    timeout(LIMIT, child.wait_with_output()).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_sidecar_waits_for_its_runtime_moves_an_envelope_and_drains_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
    let queue = |actor| Naming::bare().queue(actor);
    for actor in ["ocr", "happy-end"] {
        local.ensure(&queue(actor)).await.unwrap();
    }
    let (child, address) = start(folder.path()).await;
    until("the process is healthy", async || get(address, "/healthz").await.starts_with("HTTP/1.1 200"))
        .await;
    let ready = get(address, "/readyz").await;
    assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("runtime"), "{ready}");

    let path = folder.path().to_owned();
    let runtime = tokio::spawn(async move {
        serve(&path, ServeOptions::default(), async |call: Call| {
            let text: String = call.json()?;
            Answer::json(&text.to_uppercase())
        })
        .await
    });
    until("the sidecar is ready", async || get(address, "/readyz").await.starts_with("HTTP/1.1 200")).await;
    let body = br#"{"id":"a","route":{"actors":["ocr"],"current":0},"payload":"hello"}"#;
    local.publish(Outgoing { queue: queue("ocr"), body: body.as_slice().into() }, None).await.unwrap();
    let mut ends = local.consume(&queue("happy-end"), 1.try_into().unwrap()).await.unwrap();
    let end = timeout(LIMIT, ends.next()).await.unwrap().unwrap();
    assert!(std::str::from_utf8(&end.body).unwrap().contains(r#""payload":"HELLO""#));
    end.settle(Outcome::forward(Vec::new())).await.map_err(|(error, _)| error).unwrap();
    // Counted once the message is settled, which is when the next actor has it already.
    let settled = r#"asya_actor_messages_processed_total{queue="ocr",status="success"} 1"#;
    until("it is counted", async || get(address, "/metrics").await.contains(settled)).await;
    let metrics = get(address, "/metrics").await;
    for line in [
        r#"asya_actor_messages_sent_total{destination_queue="asya-happy-end",message_type="happy_end"} 1"#,
        r#"asya_actor_runtime_ready{queue="ocr"} 1"#,
        r#"asya_actor_transport_up{queue="ocr",transport="local"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }

    let Output { status, stderr, .. } = terminate(child).await;
    let log = String::from_utf8(stderr).unwrap();
    assert_eq!(status.code(), Some(0), "{log}");
    assert!(log.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{log}");
    assert!(!log.contains("hello") && !log.contains("HELLO"), "payloads do not belong in logs");
    runtime.abort();
}

/// Queues in a folder, with one for the actor and one for its results.
async fn queues(folder: &Path) -> std::sync::Arc<Local> {
    let local = Local::open(&folder.join("queues.db"), LocalOptions::default()).unwrap();
    for actor in ["ocr", "happy-end"] {
        local.ensure(&Naming::bare().queue(actor)).await.unwrap();
    }
    local
}

async fn send(local: &Local, id: &str) {
    let body = format!(r#"{{"id":"{id}","route":{{"actors":["ocr"],"current":0}},"payload":1}}"#);
    let queue = Naming::bare().queue("ocr");
    local.publish(Outgoing { queue, body: body.into() }, None).await.unwrap();
}

async fn ready(local: &Local, actor: &str) -> u64 {
    local.depth(&Naming::bare().queue(actor)).await.unwrap().ready
}

#[tokio::test]
async fn a_drain_answers_once_the_work_is_settled_and_the_process_waits_for_its_signal() {
    let folder = tempfile::tempdir().unwrap();
    let local = queues(folder.path()).await;
    let (mut child, address) = start_with(folder.path(), &[("ASYA_DRAIN_TOKEN", "s3cret")]).await;
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    let (path, opened) = (folder.path().to_owned(), gate.clone());
    let runtime = tokio::spawn(async move {
        serve(&path, ServeOptions::default(), move |_: Call| {
            let gate = opened.clone();
            async move {
                gate.acquire().await.unwrap().forget();
                Answer::json(&"done")
            }
        })
        .await
    });
    until("the sidecar is ready", async || get(address, "/readyz").await.starts_with("HTTP/1.1 200")).await;
    for wrong in ["x-none: 0", "x-asya-drain-token: other"] {
        assert!(get_with(address, "/drain", wrong).await.starts_with("HTTP/1.1 403"));
    }
    send(&local, "slow").await;
    until("the work runs", async || get(address, "/metrics").await.contains("active_messages 1")).await;

    let right = "X-Asya-Drain-Token: s3cret";
    let drains = [(), ()].map(|()| tokio::spawn(get_with(address, "/drain", right)));
    until("the drain has begun", async || get(address, "/readyz").await.contains("draining")).await;
    send(&local, "later").await;
    assert!(drains.iter().all(|drain| !drain.is_finished()), "the work is still in hand");
    assert_eq!(ready(&local, "happy-end").await, 0);
    gate.add_permits(10);
    for drain in drains {
        let answer = timeout(LIMIT, drain).await.unwrap().unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(ready(&local, "happy-end").await, 1, "settled before the answer");
    }
    assert!(!runtime.is_finished(), "the runtime was not touched");
    assert!(child.try_wait().unwrap().is_none(), "the process waits for its signal");
    assert_eq!(ready(&local, "ocr").await, 1, "what came later stays on the queue");
    let again = get_with(address, "/drain", right).await;
    assert!(again.starts_with("HTTP/1.1 200"), "{again}");
    assert_eq!(terminate(child).await.status.code(), Some(0));
    runtime.abort();
}

#[tokio::test]
async fn a_job_ends_its_runtime_and_waits_for_its_signal() {
    let folder = tempfile::tempdir().unwrap();
    let local = queues(folder.path()).await;
    send(&local, "a").await;
    send(&local, "b").await;
    let (mut child, address) = start_with(folder.path(), &[("ASYA_JOB_MESSAGES", "1")]).await;
    let served = serve(folder.path(), ServeOptions::default(), async |_: Call| Answer::json(&1));
    timeout(LIMIT, served).await.expect("the runtime ends by itself").unwrap();
    assert_eq!((ready(&local, "happy-end").await, ready(&local, "ocr").await), (1, 1));
    assert!(get(address, "/drain").await.starts_with("HTTP/1.1 404"));
    assert!(child.try_wait().unwrap().is_none(), "the process waits for its signal");
    assert_eq!(terminate(child).await.status.code(), Some(0));
}

#[tokio::test]
async fn an_http_server_that_starts_late_handles_what_waited_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let local = queues(folder.path()).await;
    // Bound, so that nobody else is given the port, and not yet listening.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/shout", socket.local_addr().unwrap());
    let http = [("ASYA_RUNTIME", "http"), ("ASYA_HTTP_URL", url.as_str()), ("ASYA_CONCURRENCY", "2")];
    let (child, address) = start_with(folder.path(), &http).await;
    send(&local, "a").await;
    until("the sidecar says what it waits for", async || get(address, "/readyz").await.contains("/shout"))
        .await;
    assert_eq!(ready(&local, "ocr").await, 1, "nothing is read before the port answers");

    let listener = socket.listen(8).unwrap();
    let shout = axum::Router::new().fallback(async |body: String| format!("{{\"got\":{body}}}"));
    let server = tokio::spawn(async move { axum::serve(listener, shout).await });
    let mut ends = local.consume(&Naming::bare().queue("happy-end"), 1.try_into().unwrap()).await.unwrap();
    let end = timeout(LIMIT, ends.next()).await.unwrap().unwrap();
    assert!(std::str::from_utf8(&end.body).unwrap().contains(r#""payload":{"got":1}"#));
    end.settle(Outcome::forward(Vec::new())).await.map_err(|(error, _)| error).unwrap();
    let Output { status, stderr, .. } = terminate(child).await;
    assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
    server.abort();
}

/// A message of 20 MiB does not pass any of the brokers, nor a queue file with the default limit.
#[tokio::test]
async fn twenty_mebibytes_pass_two_sidecars_by_reference_and_come_out_whole() {
    const SIZE: usize = 20 << 20;
    let folder = tempfile::tempdir().unwrap();
    let local = queues(folder.path()).await;
    local.ensure(&Naming::bare().queue("next")).await.unwrap();
    let store = format!("file://{}", folder.path().join("payloads").display());
    let mut running = Vec::new();
    for actor in ["ocr", "next"] {
        let sockets = folder.path().join(actor);
        std::fs::create_dir(&sockets).unwrap();
        let more = [
            ("ASYA_ACTOR_NAME", actor),
            ("ASYA_SOCKET_DIR", sockets.to_str().unwrap()),
            ("ASYA_PAYLOAD_STORE", &store),
        ];
        let (child, _) = start_with(folder.path(), &more).await;
        let runtime = tokio::spawn(async move {
            serve(&sockets, ServeOptions::default(), async move |call: Call| {
                let text: serde_json::Value = call.json()?;
                match text.as_str() {
                    Some(text) if text.len() == SIZE => Answer::json(&text.replace('x', "y")),
                    _ => Answer::json(&"x".repeat(SIZE)),
                }
            })
            .await
        });
        running.push((child, runtime));
    }
    let body = br#"{"id":"a","route":{"actors":["ocr","next"],"current":0},"payload":"small"}"#;
    let queue = |actor| Naming::bare().queue(actor);
    local.publish(Outgoing { queue: queue("ocr"), body: body.as_slice().into() }, None).await.unwrap();
    let mut ends = local.consume(&queue("happy-end"), 1.try_into().unwrap()).await.unwrap();
    let end = timeout(2 * LIMIT, ends.next()).await.unwrap().unwrap();
    assert!(end.body.len() < 2000, "{} bytes", end.body.len());

    let ended = asya_envelope::Envelope::parse(end.body.clone()).unwrap();
    let reference = asya_payload::Reference::of(&ended).unwrap();
    let claims = asya_payload::Claims::new(
        asya_payload::store::open(&store).unwrap(),
        asya_payload::Options::default(),
    );
    let payload = claims.redeem("a", &reference).await.unwrap().to_text().unwrap();
    assert!(payload.len() == SIZE && payload.bytes().all(|byte| byte == b'y'));
    for (child, runtime) in running {
        let Output { status, stderr, .. } = terminate(child).await;
        assert_eq!(status.code(), Some(0), "{}", String::from_utf8_lossy(&stderr));
        runtime.abort();
    }
}

/// The server that the environment names. Without one: says so, or fails where everything must run.
#[cfg(feature = "objects")]
fn s3() -> Option<String> {
    let endpoint = std::env::var("ASYA_TEST_S3_ENDPOINT").ok().filter(|endpoint| !endpoint.is_empty());
    if endpoint.is_none() {
        eprintln!(
            "\n=== NOT TESTED: S3; start a server with tests/servers/sqs.sh and set ASYA_TEST_S3_ENDPOINT ===\n"
        );
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must test against an S3 server");
    }
    endpoint
}

#[cfg(feature = "objects")]
#[tokio::test]
async fn a_large_payload_passes_two_sidecars_by_a_bucket_that_the_variables_of_aws_say() {
    let Some(endpoint) = s3() else { return };
    let folder = tempfile::tempdir().unwrap();
    let local = queues(folder.path()).await;
    local.ensure(&Naming::bare().queue("next")).await.unwrap();
    let bucket = format!("asya-sidecar-{}", std::process::id());
    // The server asks nobody who makes a bucket.
    let mut stream = TcpStream::connect(endpoint.strip_prefix("http://").unwrap()).await.unwrap();
    let request =
        format!("PUT /{bucket} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let store = format!("s3://{bucket}/claims");
    let mut running = Vec::new();
    for actor in ["ocr", "next"] {
        let sockets = folder.path().join(actor);
        std::fs::create_dir(&sockets).unwrap();
        let more = [
            ("ASYA_ACTOR_NAME", actor),
            ("ASYA_SOCKET_DIR", sockets.to_str().unwrap()),
            ("ASYA_PAYLOAD_STORE", &store),
            ("AWS_ENDPOINT_URL", &endpoint),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        let (child, _) = start_with(folder.path(), &more).await;
        let runtime = tokio::spawn(async move {
            serve(&sockets, ServeOptions::default(), async move |call: Call| {
                let value: serde_json::Value = call.json()?;
                match value.as_str() {
                    Some(text) => Answer::json(&text.len()),
                    None => Answer::json(&"x".repeat(3 << 20)),
                }
            })
            .await
        });
        running.push((child, runtime));
    }
    let body = br#"{"id":"a","route":{"actors":["ocr","next"],"current":0},"payload":1}"#;
    let queue = |actor| Naming::bare().queue(actor);
    local.publish(Outgoing { queue: queue("ocr"), body: body.as_slice().into() }, None).await.unwrap();
    let mut ends = local.consume(&queue("happy-end"), 1.try_into().unwrap()).await.unwrap();
    let end = timeout(LIMIT, ends.next()).await.unwrap().unwrap();
    let ended = asya_envelope::Envelope::parse(end.body.clone()).unwrap();
    assert_eq!(ended.payload.to_u64(), Some(3 << 20));
    for (child, runtime) in running {
        let Output { status, stderr, .. } = terminate(child).await;
        let log = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(0), "{log}");
        assert!(!log.contains("AWS_SECRET_ACCESS_KEY"));
        runtime.abort();
    }
}
