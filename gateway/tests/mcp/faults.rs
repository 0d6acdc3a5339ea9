//! What no client should send.

use asya_gateway::{auth::Principal, mcp::Options};
use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use bytes::Bytes;
use futures::stream;
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{
    replicas::{initialize, post, session},
    support::{LARGEST, LIMIT, world},
};

const CURRENT: &str = "2026-07-28";

/// A request of the current version, which stands alone.
fn alone(method: &str, mut params: Value) -> String {
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": CURRENT,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string()
}

async fn ask(router: &Router, headers: &[(&str, &str)], body: String) -> (StatusCode, String) {
    let answer = post(router, headers, body).await;
    let status = answer.status();
    let body = timeout(LIMIT, axum::body::to_bytes(answer.into_body(), 1 << 20)).await.unwrap().unwrap();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// Asks in the current version, with the headers that it wants.
async fn ask_alone(router: &Router, method: &str, name: Option<&str>, params: Value) -> (StatusCode, String) {
    let mut headers = vec![("mcp-protocol-version", CURRENT), ("mcp-method", method)];
    headers.extend(name.map(|name| ("mcp-name", name)));
    ask(router, &headers, alone(method, params)).await
}

#[tokio::test]
async fn a_request_that_stands_alone_is_answered_without_a_session() {
    let world = world().await;
    let router = world.router(Principal::anonymous());
    let (status, body) = ask_alone(&router, "server/discover", None, json!({})).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    for version in ["2025-03-26", "2025-06-18", "2025-11-25", CURRENT] {
        assert!(body.contains(version), "{version}: {body}");
    }
    let call = json!({"name": "ocr", "arguments": {"page": 1}});
    let (status, body) = ask_alone(&router, "tools/call", Some("ocr"), call).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    let handle = &body["result"]["structuredContent"];
    assert_eq!(handle["envelope_id"], json!(world.envelope().await.id));
    assert_eq!(
        (&handle["status"], &handle["message"]),
        (&json!("pending"), &json!("Envelope created successfully"))
    );
    let text = body["result"]["content"][0]["text"].as_str().unwrap();
    assert_eq!(&serde_json::from_str::<Value>(text).unwrap(), handle, "text and structure say the same");
}

#[tokio::test]
async fn a_gateway_that_stops_ends_calls_and_cancels_no_envelope() {
    for version in [CURRENT, "2025-11-25"] {
        let world = world().await;
        let router = world.router(Principal::anonymous());
        let calling = async {
            if version == CURRENT {
                return ask_alone(&router, "tools/call", Some("wait"), json!({"name": "wait"})).await;
            }
            let session = session(&router).await;
            let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "wait"}});
            ask(&router, &[("mcp-session-id", &session)], call.to_string()).await
        };
        let stopping = async {
            let id = world.envelope().await.id;
            world.stop.cancel();
            id
        };
        let (_, id) = tokio::join!(calling, stopping);
        assert!(!world.service.store().summary(&id).await.unwrap().unwrap().status.is_final(), "{version}");
    }
}

#[tokio::test]
async fn messages_that_are_none_are_refused_and_said_to_be() {
    let world = world().await;
    let router = world.router(Principal::anonymous());
    for body in
        ["", "{", "[]", "null", "7", "\"x\"", "{}", r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, "\u{0}"]
    {
        let (status, answer) = ask(&router, &[], body.to_owned()).await;
        assert!(status.is_client_error(), "{body:?}: {status} {answer}");
        assert!(!answer.is_empty(), "{body:?}");
    }
    let deep = format!("{}{}", "[".repeat(20_000), "]".repeat(20_000));
    assert!(ask(&router, &[], deep).await.0.is_client_error());
    let session = session(&router).await;
    for body in ["{", "[]", r#"{"jsonrpc":"2.0","id":1}"#] {
        let (status, answer) = ask(&router, &[("mcp-session-id", &session)], body.to_owned()).await;
        assert!(status.is_client_error(), "{body:?}: {status} {answer}");
    }
}

#[tokio::test]
async fn unknown_methods_tools_and_wrong_types_get_the_protocols_errors() {
    let world = world().await;
    let router = world.router(Principal::anonymous());
    let wrong = [
        ("nothing/at-all", None, json!({}), "-32601"),
        ("tools/call", Some("nothing"), json!({"name": "nothing"}), "-32602"),
        ("tools/call", Some("7"), json!({"name": 7}), "-32602"),
        ("tools/call", Some("ocr"), json!({"name": "ocr", "arguments": [1]}), "-32602"),
        ("prompts/get", Some("nothing"), json!({"name": "nothing"}), "-32602"),
        (
            "resources/read",
            Some("asya://envelopes/none"),
            json!({"uri": "asya://envelopes/none"}),
            "not found",
        ),
    ];
    for (method, name, params, told) in wrong {
        let (status, answer) = ask_alone(&router, method, name, params).await;
        assert!(!status.is_server_error(), "{method}: {status} {answer}");
        assert!(answer.contains(told), "{method}: {status} {answer}");
    }
    assert_eq!(world.service.store().counts().await.unwrap(), asya_store::envelopes::Counts::default());
}

#[tokio::test]
async fn versions_that_are_not_served_are_refused() {
    let world = world().await;
    let router = world.router(Principal::anonymous());
    let session = session(&router).await;
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}).to_string();
    for version in ["1999-01-01", "latest", ""] {
        for headers in [
            vec![("mcp-protocol-version", version)],
            vec![("mcp-protocol-version", version), ("mcp-session-id", session.as_str())],
        ] {
            let (status, answer) = ask(&router, &headers, list.clone()).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{headers:?}: {answer}");
        }
    }
    // A client that asks for another one to begin with is told one that it may use instead.
    let (status, answer) = ask(&router, &[], initialize("1999-01-01")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer.contains("2025-11-25"), "{answer}");
}

#[tokio::test]
async fn bodies_that_are_too_large_are_refused_unread() {
    let world = world().await;
    let router = world.router(Principal::anonymous());
    let large = json!({"jsonrpc": "2.0", "id": 1, "method": "x", "params": {"x": "x".repeat(3 * LARGEST)}});
    assert_eq!(ask(&router, &[], large.to_string()).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    // Endless, and without a length.
    let endless = stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 4096])));
    let answer = timeout(LIMIT, post(&router, &[], Body::from_stream(endless))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE);
    // It fits the body and is no envelope any more.
    let call = json!({"name": "ocr", "arguments": {"page": 1, "more": "x".repeat(LARGEST)}});
    let (status, answer) = ask_alone(&router, "tools/call", Some("ocr"), call).await;
    assert_eq!(status, StatusCode::OK, "the default limit of envelopes is larger: {answer}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_refused() {
    let world = world().await;
    let router = world.router(Principal::anonymous());
    let broken = stream::iter([Ok(Bytes::from_static(b"{\"jsonrpc\"")), Err(std::io::Error::other("gone"))]);
    let answer = timeout(LIMIT, post(&router, &[], Body::from_stream(broken))).await.unwrap();
    assert!(!answer.status().is_success());
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_first_word_of_its_answer_cancels_the_call() {
    let world = world().await;
    let router = world.router(Principal::anonymous());
    let calling =
        tokio::spawn(
            async move { ask_alone(&router, "tools/call", Some("wait"), json!({"name": "wait"})).await },
        );
    let id = world.envelope().await.id;
    calling.abort();
    world.cancelled(&id).await;
}

#[tokio::test]
async fn pages_of_other_origins_and_hosts_may_not_call() {
    let world = world().await;
    let router = world.router(Principal::anonymous());
    for headers in [
        [("origin", "https://evil.example"), ("host", "127.0.0.1")],
        [("origin", "null"), ("host", "127.0.0.1")],
        [("origin", "https://page.example"), ("host", "evil.example")],
    ] {
        let (status, answer) = ask(&router, &headers, initialize("2025-11-25")).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{headers:?}: {answer}");
    }
    let allowed = [("origin", "https://page.example")];
    assert_eq!(ask(&router, &allowed, initialize("2025-11-25")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn nobody_who_went_through_no_authentication_gets_in() {
    let world = world().await;
    let options = Options {
        origins: Vec::new(),
        hosts: Vec::new(),
        largest: LARGEST,
        actors: None,
        cluster: None,
        stop: CancellationToken::new(),
    };
    let router = asya_gateway::mcp::router(world.service.clone(), options);
    let call = json!({"name": "ocr", "arguments": {"page": 1}});
    for (method, name, params) in [
        ("tools/list", None, json!({})),
        ("tools/call", Some("ocr"), call),
        ("resources/list", None, json!({})),
        ("prompts/list", None, json!({})),
    ] {
        let (_, answer) = ask_alone(&router, method, name, params).await;
        assert!(answer.contains("authentication is missing"), "{method}: {answer}");
    }
    assert_eq!(world.service.store().counts().await.unwrap(), asya_store::envelopes::Counts::default());
}

#[tokio::test]
async fn the_old_address_says_where_to_go() {
    let world = world().await;
    let router = world.router(Principal::anonymous());
    for method in ["GET", "POST"] {
        let request = Request::builder().method(method).uri("/mcp/sse").body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.status(), StatusCode::GONE);
        let body = axum::body::to_bytes(answer.into_body(), 1024).await.unwrap();
        assert!(String::from_utf8_lossy(&body).contains("/mcp\n"));
    }
}
