#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

pub(crate) mod chat;
mod description;
mod findings;
mod queued;
mod refusals;
mod routes;
mod streams;

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Body,
    http::{Request, StatusCode, header},
};
use futures::{FutureExt, future::BoxFuture};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::{Pace, router_with};
use crate::{
    actors::{Actor, Source},
    auth::{Principal, Role, Roles},
    service::{
        Error,
        tests::{World, on_each, world},
    },
};

/// Two actors that are known by heart.
struct Known;

impl Source for Known {
    fn actors(&self) -> BoxFuture<'_, Result<Vec<Actor>, Error>> {
        let named = |name: &str, next: &[&str]| Actor {
            name: name.to_owned(),
            queue: format!("asya-{name}"),
            transport: "local".to_owned(),
            queued: Some(2),
            next: next.iter().map(|&name| name.to_owned()).collect(),
            ..Actor::default()
        };
        async move { Ok(vec![named("read", &[]), named("split", &["read"])]) }.boxed()
    }
}

/// The API as somebody with these roles meets it.
fn app(world: &World, roles: &[Role]) -> Router {
    app_with(world, roles, Pace::default())
}

fn app_with(world: &World, roles: &[Role], pace: Pace) -> Router {
    app_of(world, "ann", roles, pace)
}

fn app_of(world: &World, name: &str, roles: &[Role], pace: Pace) -> Router {
    let who = Principal::named(name, Roles::from_iter(roles.iter().copied()));
    Router::new()
        .nest("/api/v1", router_with(world.service.clone(), Arc::new(Known), pace))
        .layer(Extension(who))
}

pub(crate) struct Answer {
    status: StatusCode,
    kind: String,
    text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The fields that are told to be wrong.
    fn fields(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }
}

async fn ask(app: &Router, request: Request<Body>) -> Answer {
    let answer = app.clone().oneshot(request).await.unwrap();
    let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
    let status = answer.status();
    let text = String::from_utf8(answer.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
    Answer { status, kind: kind.unwrap_or_default(), text }
}

async fn get(app: &Router, path: &str) -> Answer {
    ask(app, Request::get(format!("/api/v1{path}")).body(Body::empty()).unwrap()).await
}

async fn post(app: &Router, path: &str, body: &Value) -> Answer {
    post_text(app, path, body.to_string()).await
}

async fn post_text(app: &Router, path: &str, body: String) -> Answer {
    let request = Request::post(format!("/api/v1{path}")).header(header::CONTENT_TYPE, "application/json");
    ask(app, request.body(body.into()).unwrap()).await
}

/// Sends an envelope along one actor and answers its id.
async fn sent(app: &Router, payload: &Value) -> String {
    let answer = post(app, "/envelopes", &json!({"route": ["split", "read"], "payload": payload})).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    answer.json()["id"].as_str().unwrap().to_owned()
}
