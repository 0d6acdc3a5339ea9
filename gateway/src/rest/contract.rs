//! The routes of the Go system, as its clients and sidecars call them. Each is registered with the description that
//! stands at its handler.

use asya_store::envelopes::{MAX_PAGE, NewChild, Reported, Status};
use axum::{
    Extension, Router,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::any,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use utoipa::{ToSchema, openapi::OpenApi};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    api::refusal::{Plain, PlainKnown, PlainKnownTaking, PlainTaking},
    body::{Bytes, Path, bounded},
    problem::{self, Form},
    shapes::{Active, Created, Noted, Progressed, ToolResult},
    stream,
    wire::{ChildIn, ChildrenIn, Family, FinalIn, LetterIn, ProgressIn, Record, UpdateOut},
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
    Router::new().route("/health", any(healthy))
}

/// Whether the process answers. For everybody, and by any method.
#[utoipa::path(get, path = "/health", operation_id = "health", tag = "gateway", security(()),
    responses((status = 200, description = "It does", body = String, content_type = "text/plain")))]
async fn healthy() -> &'static str {
    "OK"
}

/// The description of all of them.
pub(super) fn spec() -> OpenApi {
    let health = OpenApiRouter::<()>::new().routes(routes!(healthy)).into_openapi();
    health.merge_from(of_people().into_openapi()).merge_from(of_sidecars().into_openapi())
}

fn of_people() -> OpenApiRouter<Service> {
    OpenApiRouter::new().routes(routes!(call)).routes(routes!(record)).routes(routes!(follow))
}

fn of_sidecars() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(child))
        .routes(routes!(active))
        .routes(routes!(progress))
        .routes(routes!(finish))
        .routes(routes!(bury))
}

/// The routes of people and programs. Bodies above the largest envelope and a little are refused, as below.
pub fn people(service: Service, largest: usize) -> Router {
    let routes = Router::from(of_people()).method_not_allowed_fallback(problem::no_such_method);
    bounded(routes, largest + AROUND).with_state(service)
}

/// Children that the record of an envelope names; `GET /api/v1/envelopes?parent=` has all, in pages.
const CHILDREN_SHOWN: usize = 100;

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
    let routes = Router::from(of_sidecars()).method_not_allowed_fallback(problem::no_such_method);
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

/// A call of a tool.
#[derive(Deserialize, ToSchema)]
#[schema(as = ToolCall, example = json!({"name": "ocr", "arguments": {"page": 1}}))]
struct Call {
    /// The tool.
    #[serde(default)]
    #[schema(min_length = 1, required = true)]
    name: String,
    /// Its arguments.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    arguments: Option<Map<String, Value>>,
}

/// Call a tool as the Go system's clients do. Needs the role `send`.
///
/// The text of the answer is JSON: `envelope_id`, `status_url`, and `stream_url` if the tool declares `progress`.
#[utoipa::path(post, path = "/tools/call", operation_id = "callToolByName", tag = "contract", request_body = Call,
    responses((status = 200, description = "The call is stored; or, with `isError`, what is wrong with its arguments",
        body = ToolResult), PlainKnownTaking))]
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
            Ok((sent, tool)) => Ok(json_of(StatusCode::OK, &ToolResult::of(handle(&sent.id, &tool), false))),
            // Wrong arguments are the tool's answer, not the transport's, so that a model reads them.
            Err(error @ (Error::Invalid(_) | Error::TooLarge { .. })) => {
                Ok(json_of(StatusCode::OK, &ToolResult::of(error.to_string(), true)))
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

/// Announce a fan-out child that the sidecar has sent. Nothing is published; one that is known changes nothing.
#[utoipa::path(post, path = "/envelopes", operation_id = "announceChild", tag = "sidecars", request_body = ChildrenIn,
    responses((status = 201, description = "It is stored, or was", body = Created), PlainKnownTaking))]
async fn child(
    State(service): State<Service>,
    Extension(from): Extension<Reporter>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = async {
        // Our sidecars send lists. The Go system's gateway refuses them: of a child that it takes it sends a copy.
        if body.trim_ascii_start().starts_with(b"[") {
            let children: Vec<ChildIn> = read(&body)?;
            if children.len() > MAX_PAGE {
                return Err(Error::invalid("", format!("at most {MAX_PAGE} children are announced at once")));
            }
            let children = children.into_iter().map(ChildIn::checked).collect::<Result<Vec<_>, _>>()?;
            let known = service.children_of(&from, &children).await?;
            return Ok(json_of(StatusCode::CREATED, &json!({"status": "created", "known": known})));
        }
        let child = read::<ChildIn>(&body)?.checked()?;
        service.child(&from, &child).await?;
        Ok(json_of(StatusCode::CREATED, &json!({"status": "created", "id": child.id})))
    };
    answer(&headers, outcome.await)
}

/// An envelope, whole, as the Go system tells it. Needs the role `read`; contents need `payload`.
#[utoipa::path(get, path = "/envelopes/{id}", operation_id = "getRecord", tag = "contract",
    params(("id" = String, Path, description = "The envelope")),
    responses((status = 200, description = "The envelope", body = Record), PlainKnown))]
async fn record(
    State(service): State<Service>,
    Extension(who): Extension<Principal>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let outcome = async {
        let record = Record::from(service.record(&who, &id).await?);
        let (counts, page) = service.family(&who, &id, CHILDREN_SHOWN).await?;
        Ok(json_of(StatusCode::OK, &record.with(Family::of(counts, page))))
    };
    answer(&headers, outcome.await)
}

/// Follow an envelope by server-sent events: what has happened, what happens, and the end, which closes the stream.
#[utoipa::path(get, path = "/envelopes/{id}/stream", operation_id = "followRecord", tag = "contract",
    params(
        ("id" = String, Path, description = "The envelope"),
        ("Last-Event-ID" = Option<i64>, Header, description = "Number of the last update that is known already"),
    ),
    responses((status = 200, description = "Events", body = String, content_type = "text/event-stream"), PlainKnown))]
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

/// Ask whether an envelope is still to be worked on: those that are not known and those that have ended are not.
#[utoipa::path(get, path = "/envelopes/{id}/active", operation_id = "isActive", tag = "sidecars",
    params(("id" = String, Path, description = "The envelope")),
    responses((status = 200, description = "It is", body = Active),
        (status = 410, description = "It is not", body = Active), Plain))]
async fn active(
    State(service): State<Service>,
    Extension(from): Extension<Reporter>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let outcome = async {
        if service.asked(&from, &id).await? == Some(true) {
            return Ok(json_of(StatusCode::OK, &json!({"active": true})));
        }
        let mut body = json!({"active": false});
        if service.is_cancelled(&id).await? {
            body["cancelled"] = json!(true);
        }
        Ok(json_of(StatusCode::GONE, &body))
    };
    answer(&headers, outcome.await)
}

/// Makes the child known that a report was about in vain: its announcement may have been lost, or come later. Answers
/// whether it is worth reporting again.
async fn introduced<T>(
    service: &Service,
    from: &Reporter,
    reported: &Result<T, Error>,
    child: Option<NewChild>,
) -> Result<bool, Error> {
    match (reported, child) {
        (Err(Error::NotFound { .. }), Some(child)) => Ok(service.children_of(from, &[child]).await? > 0),
        _ => Ok(false),
    }
}

/// Report progress.
#[utoipa::path(post, path = "/envelopes/{id}/progress", operation_id = "reportProgress", tag = "sidecars",
    params(("id" = String, Path, description = "The envelope")), request_body = ProgressIn,
    responses((status = 200, description = "It is noted, or came after the end", body = Progressed),
        PlainKnownTaking))]
async fn progress(
    State(service): State<Service>,
    Extension(from): Extension<Reporter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = async {
        let report = read::<ProgressIn>(&body)?;
        let (child, report) = (report.child(&id), report.into());
        let mut reported = service.progress(&from, &id, &report).await;
        if introduced(&service, &from, &reported, child).await? {
            reported = service.progress(&from, &id, &report).await;
        }
        let reported = reported?;
        let percent = match reported {
            Reported::Applied(percent) | Reported::Late(percent) => percent,
            Reported::Ended(Status::Succeeded | Status::Failed) => 100.0,
            Reported::Ended(_) | Reported::Unknown => 0.0,
        };
        let mut body = json!({"status": "ok", "progress_percent": percent});
        if matches!(reported, Reported::Ended(Status::Failed)) && service.is_cancelled(&id).await? {
            body["cancelled"] = json!(true);
        }
        Ok(json_of(StatusCode::OK, &body))
    };
    answer(&headers, outcome.await)
}

/// Report the end. A second report changes nothing.
#[utoipa::path(post, path = "/envelopes/{id}/final", operation_id = "reportEnd", tag = "sidecars",
    params(("id" = String, Path, description = "The envelope")), request_body = FinalIn,
    responses((status = 200, description = "It has ended", body = Noted), PlainKnownTaking))]
async fn finish(
    State(service): State<Service>,
    Extension(from): Extension<Reporter>,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = async {
        let report = read::<FinalIn<'_>>(&body)?;
        let (child, offspring) = (report.child(&id), report.offspring());
        let ending = report.ending()?;
        let mut ended = service.finish_part(&from, &id, &ending, &offspring).await;
        if introduced(&service, &from, &ended, child).await? {
            ended = service.finish_part(&from, &id, &ending, &offspring).await;
        }
        ended?;
        Ok(json_of(StatusCode::OK, &json!({"status": "ok"})))
    };
    answer(&headers, outcome.await)
}

/// Hand a dead letter over, as `error-end` does before it reports the end; the Go system has no such call. The envelope
/// need not be known.
#[utoipa::path(post, path = "/envelopes/{id}/dead-letter", operation_id = "buryEnvelope", tag = "sidecars",
    params(("id" = String, Path, description = "The envelope")), request_body = LetterIn,
    responses((status = 201, description = "It is stored, or was", body = Noted), PlainTaking))]
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
