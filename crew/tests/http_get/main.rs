//! http-get against real servers on this machine: what a model is shown, and where it cannot make it go.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::{
    net::SocketAddr,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use asya_crew::{
    http_get::{HttpGet, Settings},
    shipped::Variables,
    tool::builtin,
};
use asya_envelope::{Envelope, Raw, Route};
use asya_handler::{End, Handler as _, Reply, Request};
use axum::{
    body::Body,
    extract::{Request as Asked, State},
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde_json::{Value, json};

/// The targets that were asked for, with the headers.
type Seen = Arc<Mutex<Vec<(String, axum::http::HeaderMap)>>>;

async fn server() -> (SocketAddr, Seen) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = Seen::default();
    let router = axum::Router::new().fallback(answer).with_state(seen.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, seen)
}

async fn answer(State(seen): State<Seen>, asked: Asked) -> Response {
    let (parts, _) = asked.into_parts();
    seen.lock().unwrap().push((format!("{} {}", parts.method, parts.uri), parts.headers));
    let typed = |kind: &'static str, body: Vec<u8>| ([("content-type", kind)], body).into_response();
    match parts.uri.path() {
        "/page" => typed("text/html; charset=utf-8", "<h1>Ä &amp; B</h1><script>x()</script><p>c".into()),
        "/json" => typed("application/json", br#"{"n":1.00}"#.to_vec()),
        "/bare" => Body::from("plain").into_response(),
        "/none" => (StatusCode::NOT_FOUND, "no such page").into_response(),
        "/image" => typed("image/png", b"\x89PNG\x00\xff".to_vec()),
        "/packed" => ([("content-encoding", "gzip")], vec![31, 139, 8]).into_response(),
        "/long" => typed("text/plain", "é".repeat(3000).into()),
        "/endless" => {
            let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(64 * 1024)));
            ([("content-type", "text/plain")], Body::from_stream(pieces)).into_response()
        }
        "/hang" => std::future::pending().await,
        "/secret" => typed(
            "text/html",
            "<p>key</p><pre>AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE</pre><p>password=hunter2hunter2".into(),
        ),
        "/edge" => {
            let text = format!("{} AKIAIOSFODNN7EXAMPLE and more", "x".repeat(85));
            typed("text/plain", text.into())
        }
        "/to" => (StatusCode::FOUND, [("location", parts.uri.query().unwrap().to_owned())]).into_response(),
        _ => "ok".into_response(),
    }
}

fn settings(values: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
    let find =
        |name: &str| values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Settings::read(&Variables { find: &find, base: Path::new("/") })
}

/// What the actor answers to these arguments: always exactly one payload.
async fn asked(values: &[(&str, &str)], arguments: Value) -> Value {
    let actor = HttpGet::new(settings(values).unwrap()).unwrap();
    let envelope = Envelope::new("job", Route::new(["http-get", "agent"]), Raw::of(&arguments));
    let body = envelope.encode();
    let request = Request {
        envelope,
        body,
        actor: "http-get".to_owned(),
        attempt: 1,
        timeout: Duration::from_secs(20),
    };
    let Some(Reply::End(End::Done(items))) = actor.handle(request).recv().await else { panic!("one answer") };
    let [item] = &items[..] else { panic!("one item") };
    assert!(item.route.is_none() && item.headers.is_none());
    serde_json::from_str(item.payload.as_str()).unwrap()
}

async fn get(url: &str) -> Value {
    asked(&[("ASYA_HTTP_ALLOW", "127.0.0.1")], json!({"url": url})).await
}

fn error(answer: &Value) -> &str {
    assert_eq!(answer.as_object().unwrap().len(), 1, "{answer}");
    answer["error"].as_str().unwrap()
}

#[tokio::test]
async fn a_page_is_shown_as_text_and_a_status_is_an_answer() {
    let (server, seen) = server().await;
    for (path, status, kind, text) in [
        ("/page?q=1#part", 200, "text/html", "Ä & B\nc"),
        ("/json", 200, "application/json", r#"{"n":1.00}"#),
        ("/bare", 200, "", "plain"),
        ("/none", 404, "text/plain", "no such page"),
    ] {
        let answer = get(&format!("http://{server}{path}")).await;
        assert_eq!(
            answer,
            json!({"status": status, "type": kind, "text": text, "truncated": false}),
            "{path}"
        );
    }
    let (target, headers) = seen.lock().unwrap()[0].clone();
    assert_eq!(target, "GET /page?q=1");
    assert!(headers["user-agent"].to_str().unwrap().starts_with("asya-http-get/"));
    assert!(headers.get("authorization").is_none() && headers.get("cookie").is_none());
}

#[tokio::test]
async fn what_is_no_text_is_said_and_not_shown() {
    let (server, _) = server().await;
    let image = get(&format!("http://{server}/image")).await;
    assert!(error(&image).contains("no text but \"image/png\""), "{image}");
    let packed = get(&format!("http://{server}/packed")).await;
    assert!(error(&packed).contains("encoded (gzip)"), "{packed}");
}

#[tokio::test]
async fn a_long_text_is_cut_at_a_character_and_says_so_and_an_endless_one_ends() {
    let (server, _) = server().await;
    let values = [("ASYA_HTTP_ALLOW", "127.0.0.1"), ("ASYA_HTTP_MAX_ANSWER", "101")];
    let long = asked(&values, json!({"url": format!("http://{server}/long")})).await;
    assert_eq!((long["text"].as_str().unwrap().len(), &long["truncated"]), (100, &true.into()));
    let endless = get(&format!("http://{server}/endless")).await;
    assert_eq!((endless["text"].as_str().unwrap().len(), &endless["truncated"]), (32 * 1024, &true.into()));
}

#[tokio::test]
async fn secrets_are_not_shown_even_where_the_text_is_cut() {
    let (server, _) = server().await;
    let page = get(&format!("http://{server}/secret")).await;
    let text = page["text"].as_str().unwrap();
    assert!(text.contains("***") && !text.contains("AKIA") && !text.contains("hunter2"), "{text}");
    let values = [("ASYA_HTTP_ALLOW", "127.0.0.1"), ("ASYA_HTTP_MAX_ANSWER", "96")];
    let cut = asked(&values, json!({"url": format!("http://{server}/edge")})).await;
    let text = cut["text"].as_str().unwrap();
    assert!(!text.contains("AKIA") && text.contains("***"), "{text}");
    // Nor in what is said about an address.
    let refused = get("http://example.com/?key=AKIAIOSFODNN7EXAMPLE").await;
    assert!(!error(&refused).contains("AKIA"), "{refused}");
}

#[tokio::test]
async fn only_servers_that_are_allowed_are_asked_redirects_included() {
    let (home, _) = server().await;
    let (other, seen) = server().await;
    let port = other.port();
    for url in [
        format!("http://localhost:{port}/"),
        format!("http://[::ffff:127.0.0.2]:{port}/"),
        format!("http://127.0.0.2:{port}/"),
        format!("http://0.0.0.0:{port}/"),
        format!("http://2130706434:{port}/"),
        format!("http://user:secret@127.0.0.1:{port}/"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "http://metadata.google.internal/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "ftp://127.0.0.1/".to_owned(),
        "gopher://127.0.0.1/".to_owned(),
    ] {
        let answer = get(&url).await;
        assert!(error(&answer).starts_with("not allowed: "), "{url}: {answer}");
        let along = get(&format!("http://{home}/to?{url}")).await;
        assert!(error(&along).starts_with("not allowed: "), "{url}: {along}");
    }
    assert!(seen.lock().unwrap().is_empty(), "{:?}", seen.lock().unwrap());
    // A name that is allowed leads here all the same.
    let values = [("ASYA_HTTP_ALLOW", "localhost,*.localhost")];
    let answer = asked(&values, json!({"url": format!("http://localhost:{port}/")})).await;
    assert!(error(&answer).contains("which is not a public address"), "{answer}");
    assert!(seen.lock().unwrap().is_empty());
    // Where it may it does.
    assert_eq!(get(&format!("http://{home}/to?http://{other}/")).await["text"], "ok");
}

#[tokio::test]
async fn a_server_that_is_away_hangs_or_goes_in_circles_is_an_answer() {
    let (server, _) = server().await;
    let values =
        [("ASYA_HTTP_ALLOW", "127.0.0.1"), ("ASYA_HTTP_TIMEOUT", "200ms"), ("ASYA_HTTP_REDIRECTS", "2")];
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (url, part) in [
        (format!("http://{server}/hang"), "did not answer within 200ms"),
        (format!("http://{free}/"), "cannot be reached"),
        (format!("http://{server}/to?/to?/to?/to"), "more than 2 redirects"),
    ] {
        let answer = asked(&values, json!({"url": url})).await;
        assert!(error(&answer).contains(part), "{url}: {answer}");
    }
}

#[tokio::test]
async fn arguments_that_are_none_are_answered() {
    for arguments in [
        json!({}),
        json!({"url": 7}),
        json!({"url": "no url"}),
        json!({"url": ""}),
        json!({"url": "http://127.0.0.1/", "method": "DELETE"}),
        json!({"url": "http://127.0.0.1/", "headers": {"x": "y"}}),
        json!({"url": format!("http://127.0.0.1/?{}", "x".repeat(2048))}),
        json!("http://127.0.0.1/"),
        json!(null),
        json!({"rejected": {"by": "anna", "reason": "no"}}),
    ] {
        let answer = asked(&[("ASYA_HTTP_ALLOW", "127.0.0.1")], arguments.clone()).await;
        assert!(!error(&answer).is_empty(), "{arguments}: {answer}");
    }
}

#[test]
fn without_a_list_of_servers_it_does_not_begin_and_every_mistake_is_named() {
    let errors = settings(&[]).unwrap_err();
    assert!(errors.len() == 1 && errors[0].starts_with("ASYA_HTTP_ALLOW"), "{errors:?}");
    let errors = settings(&[
        ("ASYA_HTTP_ALLOW", "a b"),
        ("ASYA_HTTP_REDIRECTS", "-1"),
        ("ASYA_HTTP_TIMEOUT", "0s"),
        ("ASYA_HTTP_MAX_ANSWER", "2Mi"),
        ("ASYA_HTTP_CONCURRENCY", "0"),
    ])
    .unwrap_err();
    assert_eq!(errors.len(), 5, "{errors:#?}");
}

#[test]
fn what_models_are_told_is_what_it_takes() {
    let spec = builtin("http-get").unwrap();
    assert_eq!((spec.name, spec.asks), ("http_get", false));
    assert_eq!(spec.parameters["required"], json!(["url"]));
    assert_eq!(spec.parameters["properties"].as_object().unwrap().len(), 1);
}
