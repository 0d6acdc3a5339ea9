//! The routes of the Go system, as its clients and sidecars call them.

use asya_store::envelopes::{Reported, Status};
use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    body::{Bytes, Path, bounded},
    problem::{self, Form},
    stream,
    wire::{ChildIn, FinalIn, LetterIn, ProgressIn, Record, UpdateOut},
};
use crate::{
    auth::{Principal, Role},
    service::{Error, Reporter, Service, send::Extras},
    tools::Tool,
};

/// Kept above the largest envelope for what stands around it in a request.
pub(crate) const AROUND: usize = 64 * 1024;

/// Whether the process answers; for everybody.
pub fn health() -> Router {
    Router::new().route("/health", any(async || "OK"))
}

/// The routes of people and programs. Bodies above the largest envelope and a little are refused, as below.
pub fn people(service: Service, largest: usize) -> Router {
    let routes = Router::new()
        .route("/tools/call", post(call))
        .route("/envelopes/{id}", get(record))
        .route("/envelopes/{id}/stream", get(follow))
        .method_not_allowed_fallback(problem::no_such_method);
    bounded(routes, largest + AROUND).with_state(service)
}

/// The paths of sidecars' calls.
pub(crate) const CALLBACKS: [&str; 5] = [
    "/envelopes",
    "/envelopes/{id}/active",
    "/envelopes/{id}/progress",
    "/envelopes/{id}/final",
    "/envelopes/{id}/dead-letter",
];

/// The routes of sidecars.
pub fn sidecars(service: Service, largest: usize) -> Router {
    let [children, is_active, steps, ends, letters] = CALLBACKS;
    let routes = Router::new()
        .route(children, post(child))
        .route(is_active, get(active))
        .route(steps, post(progress))
        .route(ends, post(finish))
        .route(letters, post(bury))
        .method_not_allowed_fallback(problem::no_such_method);
    bounded(routes, largest + AROUND).with_state(service)
}

/// Answers a use case: its answer, or the refusal in the form that the client asked for.
fn answer<T: IntoResponse>(headers: &HeaderMap, outcome: Result<T, Error>) -> Response {
    outcome.map_or_else(|error| Form::asked(headers).refuse(&error), IntoResponse::into_response)
}

fn json_of(status: StatusCode, body: &impl serde::Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|error| Error::invalid("", format!("the body cannot be read: {error}")))
}

#[derive(Deserialize)]
struct Call {
    #[serde(default)]
    name: String,
    #[serde(default)]
    arguments: Option<Map<String, Value>>,
}

async fn call(
    State(service): State<Service>,
    Extension(who): Extension<Principal>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = async {
        let Call { name, arguments } = read(&body)?;
        if name.is_empty() {
            return Err(Error::invalid("name", "missing tool name"));
        }
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let extras =
            Extras { traceparent: text("traceparent"), tracestate: text("tracestate"), ..Extras::default() };
        match service.call(&who, &name, arguments.unwrap_or_default(), extras).await {
            Ok((sent, tool)) => Ok(json_of(StatusCode::OK, &result(&handle(&sent.id, &tool), false))),
            // Wrong arguments are the tool's answer, not the transport's, so that a model reads them.
            Err(error @ (Error::Invalid(_) | Error::TooLarge { .. })) => {
                Ok(json_of(StatusCode::OK, &result(&error.to_string(), true)))
            }
            Err(error) => Err(error),
        }
    };
    answer(&headers, outcome.await)
}

/// What a call answers at once.
pub fn handle(id: &str, tool: &Tool) -> String {
    let mut handle = json!({
        "envelope_id": id,
        "message": "Envelope created successfully",
        "status_url": format!("/envelopes/{id}"),
    });
    if tool.progress {
        handle["stream_url"] = json!(format!("/envelopes/{id}/stream"));
    }
    if let Some(metadata) = &tool.metadata {
        handle["metadata"] = json!(metadata);
    }
    handle.to_string()
}

/// A `CallToolResult` of the Model Context Protocol.
fn result(text: &str, wrong: bool) -> Value {
    let mut result = json!({"content": [{"type": "text", "text": text}]});
    if wrong {
        result["isError"] = json!(true);
    }
    result
}

async fn child(
    State(service): State<Service>,
    Extension(from): Extension<Reporter>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = async {
        let child = read::<ChildIn>(&body)?.checked()?;
        service.child(&from, &child).await?;
        Ok(json_of(StatusCode::CREATED, &json!({"status": "created", "id": child.id})))
    };
    answer(&headers, outcome.await)
}

async fn record(
    State(service): State<Service>,
    Extension(who): Extension<Principal>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let outcome = service.record(&who, &id).await;
    answer(&headers, outcome.map(|tracked| json_of(StatusCode::OK, &Record::from(tracked))))
}

async fn follow(
    State(service): State<Service>,
    Extension(who): Extension<Principal>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let headers = request.headers();
    let outcome = async {
        let after = stream::last_event(headers)?.unwrap_or(0);
        let updates = service.follow(&who, &id, after).await?;
        let contents = who.roles.has(Role::Payload);
        let shape =
            move |update| serde_json::to_string(&UpdateOut::new(update, contents)).unwrap_or_default();
        Ok(stream::events(updates, stream::PATIENCE, shape))
    };
    answer(headers, outcome.await)
}

/// Sidecars of the Go system ask this before they begin: unknown envelopes and those that have ended are not active.
async fn active(
    State(service): State<Service>,
    Extension(from): Extension<Reporter>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let outcome = service.asked(&from, &id).await;
    answer(
        &headers,
        outcome.map(|active| {
            let active = active == Some(true);
            let status = if active { StatusCode::OK } else { StatusCode::GONE };
            json_of(status, &json!({"active": active}))
        }),
    )
}

async fn progress(
    State(service): State<Service>,
    Extension(from): Extension<Reporter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = async {
        let report = read::<ProgressIn>(&body)?.into();
        let percent = match service.progress(&from, &id, &report).await? {
            Reported::Applied(percent) | Reported::Late(percent) => percent,
            Reported::Ended(Status::Succeeded | Status::Failed) => 100.0,
            Reported::Ended(_) | Reported::Unknown => 0.0,
        };
        Ok(json_of(StatusCode::OK, &json!({"status": "ok", "progress_percent": percent})))
    };
    answer(&headers, outcome.await)
}

async fn finish(
    State(service): State<Service>,
    Extension(from): Extension<Reporter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = async {
        let ending = read::<FinalIn<'_>>(&body)?.ending()?;
        service.finish(&from, &id, &ending).await?;
        Ok(json_of(StatusCode::OK, &json!({"status": "ok"})))
    };
    answer(&headers, outcome.await)
}

/// What error-end of this project hands over before it reports the end; the Go system has no such call.
async fn bury(
    State(service): State<Service>,
    Extension(from): Extension<Reporter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = async {
        let letter = read::<LetterIn<'_>>(&body)?.letter(id);
        service.bury(&from, letter).await?;
        Ok(json_of(StatusCode::CREATED, &json!({"status": "ok"})))
    };
    answer(&headers, outcome.await)
}
