//! Starting, serving and ending; who gets in; what is wrong with settings.

use std::num::NonZeroU16;

use asya_envelope::{Envelope, Naming};
use asya_transport::{
    Outcome, Queues, Transport,
    local::{Local, LocalOptions},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::support::{
    LIMIT, TOKEN, TOOLS, ask, call, ended, free, gateway, get, in_folder, terminate, until,
};

#[tokio::test]
async fn a_call_is_sent_reported_on_and_answered_and_a_signal_drains() {
    let folder = tempfile::tempdir().unwrap();
    let queue = Naming::bare().queue("greet");
    let local = Local::open(&folder.path().join("queue.db"), LocalOptions::default()).unwrap();
    local.ensure(&queue).await.unwrap();
    let address = free().await;
    let child = in_folder(folder.path(), address).spawn().unwrap();
    until("it is ready", async || get(address, "/readyz").await.starts_with("HTTP/1.1 200")).await;
    assert!(get(address, "/health").await.ends_with("OK"));

    let id = call(address).await;
    let mut consumer = local.consume(&queue, NonZeroU16::MIN).await.unwrap();
    let delivery = timeout(LIMIT, consumer.next()).await.unwrap().unwrap();
    let envelope = Envelope::parse(delivery.body.clone()).unwrap();
    assert_eq!((envelope.id.as_str(), envelope.payload.as_str()), (id.as_str(), r#"{"who":"Ada"}"#));
    delivery.settle(Outcome::forward(Vec::new())).await.unwrap();

    let report = json!({"actors": ["greet"], "current_actor_idx": 0, "status": "processing", "message": "."});
    let path = format!("/envelopes/{id}/progress");
    let answer = ask(address, "POST", &path, "", &report.to_string()).await;
    assert!(answer.contains("\"progress_percent\":50"), "{answer}");

    // A stream that would go on is told to come back.
    let stream = tokio::spawn(async move { get(address, &format!("/envelopes/{id}/stream")).await });
    until("the stream is open", async || {
        get(address, "/metrics").await.contains("route=\"/envelopes/{id}/stream\",status=\"200\"")
    })
    .await;
    let output = terminate(child).await;
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{log}");
    assert!(!log.contains("cut off"), "{log}");
    let events = timeout(LIMIT, stream).await.unwrap().unwrap();
    assert!(events.contains("event: update") && events.contains("come back"), "{events}");
}

#[tokio::test]
async fn what_was_accepted_is_sent_before_the_end_and_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let address = free().await;
    let mut child = in_folder(folder.path(), address).spawn().unwrap();
    until("it is ready", async || get(address, "/readyz").await.starts_with("HTTP/1.1 200")).await;
    // There is no such queue yet, so nothing can be sent.
    let id = call(address).await;
    child.kill().await.unwrap();

    let local = Local::open(&folder.path().join("queue.db"), LocalOptions::default()).unwrap();
    let queue = Naming::bare().queue("greet");
    local.ensure(&queue).await.unwrap();
    let child = in_folder(folder.path(), address).spawn().unwrap();
    let mut consumer = local.consume(&queue, NonZeroU16::MIN).await.unwrap();
    let delivery = timeout(LIMIT, consumer.next()).await.unwrap().unwrap();
    assert_eq!(Envelope::parse(delivery.body.clone()).unwrap().id, id);
    delivery.settle(Outcome::forward(Vec::new())).await.unwrap();
    assert_eq!(terminate(child).await.status.code(), Some(0));
}

#[tokio::test]
async fn tools_are_read_again_and_wrong_ones_are_shown_and_do_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let address = free().await;
    let child = in_folder(folder.path(), address).spawn().unwrap();
    until("it is ready", async || get(address, "/readyz").await.starts_with("HTTP/1.1 200")).await;
    std::fs::write(folder.path().join("tools.yaml"), "tools: [{name: hello}]").unwrap();
    until("the fault is counted", async || get(address, "/metrics").await.contains("tools_wrong 1")).await;
    call(address).await;
    let log = String::from_utf8(terminate(child).await.stderr).unwrap();
    assert!(log.contains("the tools stay as they were") && log.contains("route"), "{log}");
}

#[tokio::test]
async fn nobody_gets_in_where_a_token_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let address = free().await;
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
    let child = in_folder(folder.path(), address)
        .env("ASYA_GATEWAY_TOKEN_FILE", &file)
        .env("ASYA_GATEWAY_CALLBACK_TOKEN", "of sidecars")
        .spawn()
        .unwrap();
    until("it is ready", async || get(address, "/readyz").await.starts_with("HTTP/1.1 200")).await;
    let answer = get(address, "/api/v1/info").await;
    assert!(answer.contains("application/problem+json") && answer.contains("unauthenticated"), "{answer}");
    for path in
        ["/api/v1/actors", "/mcp", "/envelopes/x", "/envelopes/x/stream", "/envelopes/x/active", "/metrics"]
    {
        assert!(get(address, path).await.starts_with("HTTP/1.1 401"), "{path}");
    }
    for (method, path, token, status) in [
        ("GET", "/envelopes/x", TOKEN, 404),
        ("GET", "/metrics", TOKEN, 200),
        ("GET", "/api/v1/info", TOKEN, 200),
        ("GET", "/api/v1/actors", TOKEN, 200),
        ("GET", "/mcp/sse", TOKEN, 410),
        ("POST", "/envelopes/x/final", TOKEN, 401),
        ("GET", "/envelopes/x/active", "of sidecars", 410),
        ("GET", "/envelopes/x", "of sidecars", 401),
        ("GET", "/nothing", "", 404),
    ] {
        let answer = ask(address, method, path, &format!("authorization: Bearer {token}\r\n"), "{}").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{method} {path}: {answer}");
    }
    // The file changes, and with it who gets in.
    std::fs::write(&file, "another-token-of-today").unwrap();
    let header = "authorization: Bearer another-token-of-today\r\n";
    until("the new token counts", async || {
        ask(address, "GET", "/envelopes/x", header, "").await.starts_with("HTTP/1.1 404")
    })
    .await;
    let old = format!("authorization: Bearer {TOKEN}\r\n");
    assert!(ask(address, "GET", "/envelopes/x", &old, "").await.starts_with("HTTP/1.1 401"));
    let log = String::from_utf8(terminate(child).await.stderr).unwrap();
    assert!(!log.contains(TOKEN) && !log.contains("of sidecars"), "{log}");
}

#[tokio::test]
async fn pages_of_others_and_other_names_do_not_reach_a_gateway_of_this_machine() {
    let folder = tempfile::tempdir().unwrap();
    let address = free().await;
    let child = in_folder(folder.path(), address)
        .env("ASYA_GATEWAY_ALLOWED_ORIGINS", "https://listed.example")
        .spawn()
        .unwrap();
    until("it is ready", async || get(address, "/readyz").await.starts_with("HTTP/1.1 200")).await;
    let evil = ask(address, "GET", "/envelopes/x", "origin: https://evil.example\r\n", "").await;
    assert!(evil.starts_with("HTTP/1.1 403") && !evil.contains("access-control"), "{evil}");
    let own = format!(
        "origin: http://{address}\r\ncontent-type: application/json\r\naccept: application/json, text/event-stream\r\n"
    );
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    let spoken = ask(address, "POST", "/mcp", &own, &hello.to_string()).await;
    assert!(spoken.starts_with("HTTP/1.1 200") && spoken.contains("asya-gateway"), "{spoken}");
    let preflight = "origin: https://listed.example\r\naccess-control-request-method: POST\r\n";
    let listed = ask(address, "OPTIONS", "/tools/call", preflight, "").await;
    assert!(listed.starts_with("HTTP/1.1 204"), "{listed}");
    assert!(listed.contains("access-control-allow-origin: https://listed.example"), "{listed}");
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /envelopes/x HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 403"), "{text}");
    terminate(child).await;
}

#[tokio::test]
async fn a_start_that_would_let_everybody_in_says_the_three_ways_out() {
    let (code, text) = ended(gateway().env("ASYA_RABBITMQ_URL", "amqp://localhost")).await;
    assert_eq!(code, 64, "{text}");
    for way in ["ASYA_GATEWAY_TOKEN_FILE", "ASYA_GATEWAY_BIND=127.0.0.1", "ASYA_GATEWAY_AUTH=off"] {
        assert!(text.contains(way), "{way} is not in {text}");
    }
}

#[tokio::test]
async fn everything_that_is_wrong_is_said_at_once() {
    let mut command = gateway();
    command.env("ASYA_GATEWAY_PORT", "http").env("ASYA_TRANSPORT", "kafka").env("ASYA_GATEWAY_AUTH", "maybe");
    let (code, text) = ended(command.env("ASYA_GATEWAY_OIDC_ISSUER", "http://issuer.example")).await;
    assert_eq!(code, 64, "{text}");
    for name in ["ASYA_GATEWAY_PORT", "ASYA_TRANSPORT", "ASYA_GATEWAY_AUTH", "ASYA_GATEWAY_OIDC_ISSUER"] {
        assert!(text.contains(name), "{name} is not in {text}");
    }
}

#[tokio::test]
async fn wrong_tools_tokens_ports_and_databases_end_the_start_with_their_reason() {
    let folder = tempfile::tempdir().unwrap();
    let address = free().await;
    let tools = folder.path().join("tools.yaml");
    std::fs::write(&tools, "tools: [{name: hello, colour: red}]").unwrap();
    let (code, text) = ended(&mut in_folder(folder.path(), address)).await;
    assert!(code == 64 && text.contains("tools.yaml") && text.contains("colour"), "{code} {text}");
    let (code, text) = ended(gateway().arg("check").arg(&tools)).await;
    assert!(code == 64 && text.contains("colour"), "{code} {text}");
    std::fs::write(&tools, TOOLS).unwrap();
    let (code, text) = ended(gateway().arg("check").arg(&tools)).await;
    assert!(code == 0 && text.contains("hello: greet"), "{code} {text}");

    let (code, text) =
        ended(in_folder(folder.path(), address).env("ASYA_GATEWAY_TOKENS", "[{name: ci, roles: [root]}]"))
            .await;
    assert!(code == 64 && text.contains("root"), "{code} {text}");

    let taken = TcpListener::bind(address).await.unwrap();
    let (code, text) = ended(&mut in_folder(folder.path(), address)).await;
    assert!(code == 1 && text.contains(&format!("listening on {address}")), "{code} {text}");
    drop(taken);

    std::fs::write(folder.path().join("gateway.db"), "this is not a database, and long enough to see")
        .unwrap();
    let (code, text) = ended(&mut in_folder(folder.path(), address)).await;
    assert!(code == 1 && text.contains("opening the database"), "{code} {text}");
    let other = "mysql://user:hunter2@host/db";
    let (code, text) = ended(in_folder(folder.path(), address).env("ASYA_DATABASE_URL", other)).await;
    assert!(code == 1 && !text.contains("hunter2"), "{code} {text}");
}

#[tokio::test]
async fn a_database_is_brought_up_to_date_without_serving() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.db");
    let (code, text) = ended(gateway().arg("migrate").env("ASYA_DATABASE_URL", &file)).await;
    assert!(code == 0 && file.exists(), "{code} {text}");
    let (code, text) = ended(gateway().arg("migrate")).await;
    assert!(code == 64 && text.contains("ASYA_DATABASE_URL"), "{code} {text}");
}
