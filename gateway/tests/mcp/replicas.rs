//! A session that one gateway began goes on at another.

use asya_gateway::auth::Principal;
use axum::{
    Router,
    body::Body,
    http::{Request, Response, StatusCode},
};
use serde_json::{Value, json};
use tokio::time::timeout;
use tower::ServiceExt;

use super::support::{LIMIT, world};

pub(crate) async fn post(router: &Router, headers: &[(&str, &str)], body: impl Into<Body>) -> Response<Body> {
    let mut request = Request::post("/mcp")
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream");
    for (name, value) in headers {
        request.headers_mut().unwrap().remove(*name);
        request = request.header(*name, *value);
    }
    router.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap()
}

pub(crate) fn initialize(version: &str) -> String {
    let who = json!({"name": "test", "version": "1"});
    json!({"jsonrpc": "2.0", "id": 0, "method": "initialize",
        "params": {"protocolVersion": version, "capabilities": {}, "clientInfo": who}})
    .to_string()
}

/// Begins a session; answers its id.
pub(crate) async fn session(router: &Router) -> String {
    let answer = post(router, &[], initialize("2025-11-25")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let session = answer.headers()["mcp-session-id"].to_str().unwrap().to_owned();
    let told = json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string();
    assert_eq!(post(router, &[("mcp-session-id", &session)], told).await.status(), StatusCode::ACCEPTED);
    session
}

fn call(id: u32) -> String {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": "wait"}}).to_string()
}

#[tokio::test]
async fn any_replica_answers_and_cancels_what_another_began() {
    let world = world().await;
    let (here, there) = (world.router(Principal::anonymous()), world.router(Principal::anonymous()));
    let session = session(&here).await;
    let headers = [("mcp-session-id", session.as_str()), ("mcp-protocol-version", "2025-11-25")];
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    let answer = post(&there, &headers, list).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20);
    let body = timeout(LIMIT, body).await.unwrap().unwrap();
    assert!(String::from_utf8_lossy(&body).contains("\"ocr\""));
    let calling = post(&here, &headers, call(2)).await;
    let id = world.envelope().await.id;
    noted(&world, &session).await;
    let cancel = |request: Value| {
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": request}})
            .to_string()
    };
    assert_eq!(post(&there, &headers, cancel(json!(2))).await.status(), StatusCode::ACCEPTED);
    world.cancelled(&id).await;
    drop(calling);
}

/// Waits until the call of the session is in the store.
async fn noted(world: &super::support::World, session: &str) {
    let records = world.service.store().records();
    let looking = async {
        while records.list("mcp_calls", &format!("{session}/"), 1).await.unwrap().is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    timeout(LIMIT, looking).await.unwrap();
}

#[tokio::test]
async fn a_session_that_was_ended_is_gone_everywhere() {
    let world = world().await;
    let (here, there) = (world.router(Principal::anonymous()), world.router(Principal::anonymous()));
    let session = session(&here).await;
    let headers = [("mcp-session-id", session.as_str())];
    let end = Request::delete("/mcp")
        .header("host", "127.0.0.1")
        .header("mcp-session-id", &session)
        .body(Body::empty())
        .unwrap();
    assert!(here.clone().oneshot(end).await.unwrap().status().is_success());
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    for router in [&here, &there] {
        assert_eq!(post(router, &headers, list.clone()).await.status(), StatusCode::NOT_FOUND);
    }
    let long = "s".repeat(5000);
    assert_eq!(post(&there, &[("mcp-session-id", &long)], list).await.status(), StatusCode::NOT_FOUND);
}
