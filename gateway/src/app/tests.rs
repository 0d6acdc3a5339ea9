//! How requests are refused, whatever they ask for.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use asya_settings::Secret;
use axum::{
    body::Body,
    http::{HeaderMap, Request},
};
use futures::{FutureExt, future::BoxFuture};
use http_body_util::BodyExt;
use serde_json::Value;
use tokio::sync::watch;
use tower::ServiceExt;

use super::*;
use crate::{
    actors::Actor,
    auth::{Callbacks, Failures, TokensAt},
    rest::problem::PROBLEM,
    service::{Error, tests::world},
};

const TOKEN: &str = "0123456789abcdef";

struct Nobody;

impl Source for Nobody {
    fn actors(&self) -> BoxFuture<'_, Result<Vec<Actor>, Error>> {
        async { Ok(Vec::new()) }.boxed()
    }
}

fn app(service: &Service, open: bool) -> Router {
    let guard = Guard::small(10, 10, 10);
    let at = TokensAt { admin: Some(Secret::Plain(TOKEN.to_owned())), ..TokensAt::default() };
    let auth = Auth {
        open,
        tokens: watch::channel(at.read().unwrap()).1,
        oidc: None,
        callbacks: Callbacks { open, ..Callbacks::default() },
        rates: None,
        failures: Failures::new(Some(1)),
        reports: None,
        public_url: None,
        metrics: Arc::clone(&guard.metrics),
    };
    router(Parts {
        service: service.clone(),
        auth: Arc::new(auth),
        guard,
        largest: service.rules().largest(),
        actors: Arc::new(Nobody),
        cluster: None,
        spans: None,
    })
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }

    /// What is wrong and its code, of a problem that is whole.
    fn problem(&self) -> (String, String) {
        assert_eq!(self.header(header::CONTENT_TYPE), PROBLEM, "{}", self.text);
        let problem: Value = serde_json::from_str(&self.text).unwrap();
        assert_eq!((&problem["type"], &problem["status"]), (&"about:blank".into(), &self.status.into()));
        assert!(!problem["title"].as_str().unwrap().is_empty());
        let text = |name: &str| problem[name].as_str().unwrap().to_owned();
        (text("detail"), text("code"))
    }
}

async fn ask(app: &Router, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let (method, path) = line.split_once(' ').unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = app.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let text = String::from_utf8(body.to_vec()).unwrap();
    Answer { status: parts.status.as_u16(), headers: parts.headers, text }
}

/// One request in each form: below `/api/` a problem, else a line of text, and a problem for those who ask for it.
async fn refused(app: &Router, line: &str, headers: &[(&str, &str)], body: &str) -> (Answer, String, String) {
    let plain = ask(app, line, headers, body).await;
    let asked = ask(app, line, &[headers, &[("accept", PROBLEM)]].concat(), body).await;
    let (detail, code) = asked.problem();
    assert_eq!(plain.status, asked.status, "{line}");
    assert_eq!(plain.header(header::X_CONTENT_TYPE_OPTIONS), asked.header(header::X_CONTENT_TYPE_OPTIONS));
    if line.contains(" /api/") {
        assert_eq!(plain.problem(), (detail.clone(), code.clone()), "{line}");
    } else {
        assert_eq!(plain.header(header::CONTENT_TYPE), "text/plain; charset=utf-8", "{line}");
        assert_eq!(plain.text, format!("{detail}\n"), "{line}");
    }
    (plain, detail, code)
}

#[tokio::test]
async fn every_refusal_has_one_of_two_shapes() {
    let world = world().await;
    let app = app(&world.service, true);
    let long = "x".repeat(2 * world.service.rules().largest());
    let most = (world.service.rules().largest() + AROUND).to_string();
    let json = [("content-type", "application/json")];
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let none: [(&str, &str); 0] = [];
    for (line, headers, body, status, code, says) in [
        ("GET /nowhere", &none[..], "", 404, "not_found", "no such route"),
        ("GET /api/nowhere", &none, "", 404, "not_found", "no such route"),
        ("GET /api/v1/nowhere", &none, "", 404, "not_found", "no such route"),
        ("GET /ui/other.js", &none, "", 404, "not_found", "no such route"),
        // Of the wrong shape, as the contract has it.
        ("GET /envelopes/", &none, "", 400, "invalid", "/envelopes/ID"),
        ("GET /envelopes/x/y", &none, "", 400, "invalid", "/envelopes/ID"),
        ("GET /envelopes/%FF", &none, "", 400, "invalid", "UTF-8"),
        ("GET /envelopes/%FF/stream", &none, "", 400, "invalid", "UTF-8"),
        ("GET /api/v1/envelopes/%FF", &none, "", 400, "invalid", "UTF-8"),
        ("GET /envelopes/nobody", &none, "", 404, "not_found", "Envelope not found"),
        ("GET /envelopes/nobody/stream", &none, "", 404, "not_found", "Envelope not found"),
        ("POST /envelopes/nobody/final", &none, r#"{"status": "succeeded"}"#, 404, "not_found", "not found"),
        ("GET /mcp/sse", &none, "", 410, "gone", "/mcp"),
        ("POST /tools/call", &none, "{", 400, "invalid", "cannot be read"),
        ("POST /tools/call", &none, "[1]", 400, "invalid", "cannot be read"),
        ("POST /tools/call", &none, "{}", 400, "invalid", "missing tool name"),
        ("POST /tools/call", &none, r#"{"name": "orc"}"#, 404, "not_found", "orc"),
        ("POST /envelopes", &none, "", 400, "invalid", "cannot be read"),
        ("POST /envelopes/x/progress", &none, "{}{}", 400, "invalid", "cannot be read"),
        ("POST /envelopes/x/dead-letter", &none, "null", 400, "invalid", "cannot be read"),
        ("POST /api/v1/envelopes", &json, "{", 400, "invalid", ""),
        ("POST /api/v1/envelopes", &form, "{}", 415, "unsupported_media_type", "application/json"),
        ("POST /tools/call", &none, &long, 413, "too_large", &most),
        ("POST /envelopes", &none, &long, 413, "too_large", &most),
        ("POST /envelopes/x/progress", &none, &long, 413, "too_large", &most),
        ("POST /envelopes/x/final", &none, &long, 413, "too_large", &most),
        ("POST /envelopes/x/dead-letter", &none, &long, 413, "too_large", &most),
        ("POST /api/v1/envelopes", &json, &long, 413, "too_large", &most),
    ] {
        let (answer, detail, given) = refused(&app, line, headers, body).await;
        assert_eq!((answer.status, given.as_str()), (status, code), "{line}: {detail}");
        assert!(detail.contains(says), "{line}: {detail}");
    }
}

#[tokio::test]
async fn a_method_that_a_route_does_not_have_is_told_those_that_it_has() {
    let world = world().await;
    let app = app(&world.service, true);
    for (line, allowed) in [
        ("GET /tools/call", "POST"),
        ("DELETE /envelopes", "POST"),
        ("POST /envelopes/x", "GET,HEAD"),
        ("POST /envelopes/x/stream", "GET,HEAD"),
        ("POST /envelopes/x/active", "GET,HEAD"),
        ("PUT /envelopes/x/progress", "POST"),
        ("GET /envelopes/x/final", "POST"),
        ("GET /envelopes/x/dead-letter", "POST"),
        ("POST /metrics", "GET,HEAD"),
        ("POST /readyz", "GET,HEAD"),
        ("POST /healthz", "GET,HEAD"),
        ("POST /", "GET,HEAD"),
        ("POST /ui/app.js", "GET,HEAD"),
        ("POST /api/docs", "GET,HEAD"),
        ("DELETE /api/v1/envelopes", "GET,HEAD,POST"),
        ("POST /api/v1/openapi.json", "GET,HEAD"),
    ] {
        let (answer, _, code) = refused(&app, line, &[], "").await;
        assert_eq!((answer.status, code.as_str()), (405, "method_not_allowed"), "{line}");
        assert_eq!(answer.header(header::ALLOW), allowed, "{line}");
    }
    assert_eq!(ask(&app, "PUT /health", &[], "").await.text, "OK", "the contract has it for any method");
}

#[tokio::test]
async fn who_is_not_let_in_is_told_so_in_the_same_shapes() {
    let world = world().await;
    let app = app(&world.service, false);
    let routes = [
        "GET /envelopes/x",
        "POST /tools/call",
        "GET /envelopes/x/active",
        "GET /api/v1/info",
        "GET /metrics",
    ];
    for line in routes {
        let (answer, _, code) = refused(&app, line, &[], "").await;
        assert_eq!((answer.status, code.as_str()), (401, "unauthenticated"), "{line}");
        assert!(answer.header(header::WWW_AUTHENTICATE).starts_with("Bearer"), "{line}");
    }
    let wrong = [("authorization", "Bearer wrong")];
    assert_eq!(ask(&app, routes[0], &wrong, "").await.status, 401);
    for line in routes {
        let (answer, _, code) = refused(&app, line, &wrong, "").await;
        assert_eq!((answer.status, code.as_str()), (429, "too_many_requests"), "{line}");
        let after = Duration::from_secs(answer.header(header::RETRY_AFTER).parse().unwrap());
        assert!(after <= Duration::from_secs(60), "{line}");
    }
}
