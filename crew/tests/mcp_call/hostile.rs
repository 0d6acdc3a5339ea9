//! A server that speaks the protocol, and breaks it where its tools are called so.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use asya_handler::Handler;
use axum::{
    body::{Body, to_bytes},
    extract::{Request as Asked, State},
    http::{HeaderMap, Method, StatusCode},
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

use super::support::{Logs, actor, again, answer, approved, call, ended, error, run, until};

/// How often each tool was called, and each method.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<BTreeMap<String, usize>>>);

impl Seen {
    fn note(&self, what: &str) -> usize {
        let mut seen = self.0.lock().unwrap();
        let count = seen.entry(what.to_owned()).or_default();
        *count += 1;
        *count
    }

    fn times(&self, what: &str) -> usize {
        self.0.lock().unwrap().get(what).copied().unwrap_or_default()
    }
}

async fn server() -> (SocketAddr, Seen) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Seen::default());
    let router = axum::Router::new().fallback(answered).with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

async fn answered(State(seen): State<Seen>, asked: Asked) -> Response {
    let (parts, body) = asked.into_parts();
    seen.note(&format!("{} {}", parts.method, parts.uri.path()));
    if parts.method != Method::POST {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let body: Value = serde_json::from_slice(&to_bytes(body, 1 << 20).await.unwrap()).unwrap();
    let (id, method) = (&body["id"], body["method"].as_str().unwrap_or_default());
    if let Some(before) = parts.uri.path().strip_prefix("/echo/") {
        let said = "x".repeat(before.parse().unwrap()) + parts.headers["authorization"].to_str().unwrap();
        return (StatusCode::UNAUTHORIZED, said).into_response();
    }
    let result =
        |result: Value| axum::Json(json!({"jsonrpc": "2.0", "id": id, "result": result})).into_response();
    match method {
        "initialize" if parts.uri.path() == "/silent" => std::future::pending().await,
        "initialize" => {
            let session = format!("session-{}", seen.note("sessions"));
            let server = json!({"protocolVersion": "2025-11-25", "capabilities": {"tools": {}},
                "serverInfo": {"name": "hostile", "version": "1"}});
            ([("mcp-session-id", session)], result(server)).into_response()
        }
        "ping" if seen.times("forgets_itself") == 1 => StatusCode::BAD_REQUEST.into_response(),
        "ping" => result(json!({})),
        "tools/list" => {
            seen.note("pages");
            let harmless = |name: &str, hint: &str| json!({"name": name, "inputSchema": {"type": "object"}, "annotations": {hint: true}});
            let tools = [harmless("lost_read", "readOnlyHint"), harmless("lost_same", "idempotentHint")];
            // There is always another page.
            result(json!({"tools": tools, "nextCursor": "more"}))
        }
        "tools/call" => called(&seen, &parts.headers, &body, result).await,
        _ => StatusCode::ACCEPTED.into_response(),
    }
}

async fn called(
    seen: &Seen,
    headers: &HeaderMap,
    body: &Value,
    result: impl Fn(Value) -> Response,
) -> Response {
    let tool = body["params"]["name"].as_str().unwrap();
    let times = seen.note(tool);
    let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
    let events = |body: Body| ([("content-type", "text/event-stream")], body).into_response();
    let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default();
    match tool {
        "lost" | "lost_read" | "lost_same" => {
            let pieces = [Ok(": it begins\n\n"), Err(std::io::Error::other("it breaks"))];
            events(Body::from_stream(futures::stream::iter(pieces)))
        }
        "ended" => events(Body::from(": nothing else\n\n")),
        "endless" => {
            let pieces = futures::stream::repeat_with(|| {
                Ok::<_, std::io::Error>("data: ".to_owned() + &"x".repeat(64 * 1024))
            });
            events(Body::from_stream(pieces))
        }
        "large" => result(text(&"x".repeat(9 * 1024 * 1024))),
        "busy" => (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "7")], "later").into_response(),
        "gateway" => StatusCode::BAD_GATEWAY.into_response(),
        "overloaded" => (StatusCode::SERVICE_UNAVAILABLE, "no healthy upstream").into_response(),
        "wrong" => {
            let error = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32602, "message": "no session in arguments"}});
            (StatusCode::BAD_REQUEST, axum::Json(error)).into_response()
        }
        "wrong_itself" | "forgets_itself" => {
            let error = json!({"jsonrpc": "2.0", "id": body["id"], "error": {"code": -32000, "message": "the session of the shop"}});
            (StatusCode::BAD_REQUEST, axum::Json(error)).into_response()
        }
        "wrong_plainly" => (StatusCode::BAD_REQUEST, "the backend says no").into_response(),
        "task" => result(json!({"resultType": "task", "taskId": "t1", "status": "working",
            "createdAt": "2026-01-01T00:00:00Z", "lastUpdatedAt": "2026-01-01T00:00:00Z", "ttlMs": null})),
        "refused" => {
            let said = format!("{} is not valid", header("authorization"));
            (StatusCode::UNAUTHORIZED, said).into_response()
        }
        "page" => ([("content-type", "text/html")], "<h1>Log in</h1>").into_response(),
        "garbage" => ([("content-type", "application/json")], "{\"jsonrpc\": ").into_response(),
        "moved" => (StatusCode::TEMPORARY_REDIRECT, [("location", header("x-to"))]).into_response(),
        "forgotten" if times == 1 => StatusCode::NOT_FOUND.into_response(),
        "forgotten_otherwise" if times == 1 => {
            let error = json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32000, "message": "no valid session"}});
            (StatusCode::BAD_REQUEST, axum::Json(error)).into_response()
        }
        "unknown" => StatusCode::NOT_FOUND.into_response(),
        "error" => {
            let error = json!({"jsonrpc": "2.0", "id": body["id"], "error": {"code": -32602, "message": "password=hunter2hunter2"}});
            axum::Json(error).into_response()
        }
        "hang" => std::future::pending().await,
        "key" => result(text(&format!("you sent {}", header("x-api-key")))),
        "session" => result(text(header("mcp-session-id"))),
        "asks" => {
            let asks = json!({"jsonrpc": "2.0", "id": 77, "method": "sampling/createMessage",
                "params": {"messages": [], "maxTokens": 9}});
            let answer = json!({"jsonrpc": "2.0", "id": body["id"], "result": text("done")});
            events(Body::from(format!("data: {asks}\n\ndata: {answer}\n\n")))
        }
        _ => result(text("ok")),
    }
}

async fn at(values: &[(&str, &str)]) -> (impl Handler + use<>, SocketAddr, Seen) {
    let (address, seen) = server().await;
    let url = format!("http://{address}/mcp?key=in-the-query");
    let actor = actor(&[&[("ASYA_MCP_URL", url.as_str())], values].concat());
    (actor, address, seen)
}

fn asking(tool: &str) -> Value {
    json!({"tool": tool, "arguments": {}})
}

#[tokio::test]
async fn a_call_whose_answer_is_lost_is_made_once_unless_a_repeat_does_no_harm() {
    let (actor, _, seen) = at(&[]).await;
    for tool in ["lost", "ended", "gateway", "overloaded", "page", "garbage"] {
        let told = call(&actor, tool, json!({})).await;
        assert!(error(&told).contains("It may have been carried out"), "{tool}: {told}");
        assert_eq!(seen.times(tool), 1, "{tool}");
    }
    for tool in ["lost_read", "lost_same"] {
        let (_, reason) = again(run(&actor, &asking(tool), 1).await);
        assert!(reason.contains("the connection"), "{tool}: {reason}");
        let told = answer(run(&actor, &asking(tool), 5).await);
        assert!(
            error(&told).contains("5 runs") && error(&told).contains("may have been carried out"),
            "{told}"
        );
        let told = answer(ended(&actor, approved(&asking(tool))).await);
        assert!(error(&told).contains("may have been carried out"), "{told}");
        assert!(error(&told).ends_with("it needs a new approval"), "{told}");
    }
    for tool in ["wrong", "wrong_itself", "wrong_plainly"] {
        let told = call(&actor, tool, json!({})).await;
        assert!(!error(&told).contains("nothing was done"), "{told}");
        assert_eq!(seen.times(tool), 1, "{tool}");
    }
    let told = call(&actor, "task", json!({})).await;
    assert!(error(&told).contains("look what became of it"), "{told}");
    // One session for all of it, which still is good.
    assert_eq!((seen.times("sessions"), call(&actor, "fine", json!({})).await), (1, json!({"text": "ok"})));
}

#[tokio::test]
async fn a_list_without_an_end_is_read_for_a_while() {
    let (actor, _, seen) = at(&[]).await;
    assert_eq!(call(&actor, "fine", json!({})).await, json!({"text": "ok"}));
    assert!((2..=64).contains(&seen.times("pages")), "{}", seen.times("pages"));
}

#[tokio::test]
async fn what_is_too_large_is_not_read_to_its_end() {
    let (actor, ..) = at(&[]).await;
    for tool in ["endless", "large"] {
        let told = call(&actor, tool, json!({})).await;
        assert!(error(&told).contains("may have been carried out"), "{tool}: {told}");
    }
    assert_eq!(call(&actor, "fine", json!({})).await, json!({"text": "ok"}));
}

#[tokio::test]
async fn a_server_that_is_busy_is_asked_again_when_it_says() {
    let (actor, ..) = at(&[]).await;
    let (after, reason) = again(run(&actor, &asking("busy"), 1).await);
    assert_eq!(after, Duration::from_secs(7));
    assert!(reason.contains("503") && reason.contains("later"), "{reason}");
}

#[tokio::test]
async fn a_session_that_the_server_forgot_is_made_anew_and_the_call_is_made_in_it() {
    let (actor, _, seen) = at(&[]).await;
    assert_eq!(call(&actor, "session", json!({})).await, json!({"text": "session-1"}));
    assert_eq!(call(&actor, "forgotten", json!({})).await, json!({"text": "ok"}));
    assert_eq!(call(&actor, "forgotten_otherwise", json!({})).await, json!({"text": "ok"}));
    assert_eq!(call(&actor, "session", json!({})).await, json!({"text": "session-3"}));
    assert_eq!((seen.times("forgotten"), seen.times("forgotten_otherwise")), (2, 2));
    // Where it is not sure that the call was not carried out only the session is made anew.
    assert!(error(&call(&actor, "forgets_itself", json!({})).await).contains("session"));
    assert_eq!(call(&actor, "session", json!({})).await, json!({"text": "session-4"}));
    assert_eq!(seen.times("forgets_itself"), 1);
    // Once more, and not for ever.
    let told = call(&actor, "unknown", json!({})).await;
    assert!(
        error(&told).contains("does not keep its session") && error(&told).contains("nothing was done"),
        "{told}"
    );
    assert_eq!(seen.times("unknown"), 2);
}

#[tokio::test]
async fn credentials_are_sent_to_the_server_and_told_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let headers = json!({"Authorization": format!("Bearer {{file:{}}}", file.display())}).to_string();
    let (actor, ..) = at(&[("ASYA_MCP_HEADERS", &headers)]).await;
    let (_, reason) = again(run(&actor, &asking("fine"), 1).await);
    assert!(reason.contains("credentials"), "{reason}");
    for token in ["plain-words-only", "other-plain-words"] {
        std::fs::write(&file, format!("{token}\n")).unwrap();
        let told = call(&actor, "refused", json!({})).await;
        assert_eq!(error(&told), "the server answers 401 Unauthorized: *** is not valid");
    }
    let told = call(&actor, "error", json!({})).await;
    assert!(error(&told).contains("-32602") && !error(&told).contains("hunter2"), "{told}");
}

#[tokio::test]
async fn what_a_server_echoes_of_its_credentials_is_in_no_answer_and_no_log_also_at_the_cut() {
    let (address, _) = server().await;
    let logs = Logs::start();
    // A name that tells of a secret is enough.
    let headers = json!({"Authorization": "Bearer plain-words-only", "X-Api-Key": "other-plain-words"});
    let headers = headers.to_string();
    for before in [0, 270, 280, 288, 295] {
        let url = format!("http://{address}/echo/{before}");
        let actor = actor(&[("ASYA_MCP_URL", &url), ("ASYA_MCP_HEADERS", &headers)]);
        let told = call(&actor, "fine", json!({})).await;
        assert!(error(&told).contains("401") && !error(&told).contains("pl"), "{told}");
    }
    assert!(logs.text().contains("401") && !logs.text().contains("plain"), "{}", logs.text());
    let (actor, ..) = at(&[("ASYA_MCP_HEADERS", &headers)]).await;
    assert_eq!(call(&actor, "key", json!({})).await, json!({"text": "you sent ***"}));
}

#[tokio::test]
async fn those_who_wait_for_a_session_that_does_not_begin_wait_once() {
    let (address, _) = server().await;
    let url = format!("http://{address}/silent");
    let silent = actor(&[("ASYA_MCP_URL", &url), ("ASYA_MCP_TIMEOUT", "3s")]);
    let begun = std::time::Instant::now();
    let payload = asking("fine");
    let runs = (0..8).map(|_| run(&silent, &payload, 1));
    for end in futures::future::join_all(runs).await {
        assert!(again(end).1.contains("no session within 3s"));
    }
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn as_many_calls_run_at_once_as_the_settings_say() {
    let (actor, _, seen) = at(&[("ASYA_MCP_CONCURRENCY", "24"), ("ASYA_MCP_TIMEOUT", "30s")]).await;
    let payload = asking("hang");
    let calls = futures::future::join_all((0..24).map(|_| run(&actor, &payload, 1)));
    tokio::select! {
        _ = calls => panic!("none is answered"),
        () = until("all were called", async || seen.times("hang") == 24) => {}
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (other, seen) = server().await;
    let headers = json!({"X-To": format!("http://{other}/mcp")}).to_string();
    let (actor, ..) = at(&[("ASYA_MCP_HEADERS", &headers)]).await;
    let told = call(&actor, "moved", json!({})).await;
    assert!(error(&told).contains("307"), "{told}");
    assert!(seen.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_server_gets_no_model_and_no_connection_beside_its_answers() {
    let (actor, _, seen) = at(&[]).await;
    assert_eq!(call(&actor, "asks", json!({})).await, json!({"text": "done"}));
    assert_eq!(seen.times("GET /mcp"), 0);
    actor.close().await;
    assert_eq!(seen.times("DELETE /mcp"), 1, "a session is ended");
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_one_that_begins_no_session_is_waited_for() {
    let (actor, address, seen) = at(&[("ASYA_MCP_TIMEOUT", "3s")]).await;
    let told = call(&actor, "hang", json!({})).await;
    assert!(error(&told).contains("did not answer within 3s"), "{told}");
    assert_eq!(seen.times("hang"), 1);
    let url = format!("http://{address}/silent");
    let silent = super::actor(&[("ASYA_MCP_URL", &url), ("ASYA_MCP_TIMEOUT", "3s")]);
    let (_, reason) = again(run(&silent, &asking("fine"), 1).await);
    assert!(reason.contains("no session within 3s"), "{reason}");
}
