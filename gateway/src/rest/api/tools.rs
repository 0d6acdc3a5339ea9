//! Tools: what can be called, and calls.

use std::time::Duration;

use asya_store::envelopes::Tracked;
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api, Refusal,
    envelope::{Handle, Status},
    input::{Body, Name, Query, Trace, Who},
    refusal::{Any, Known, KnownTaking},
};
use crate::{auth::Role, rest::wire::verbatim, service::send::Extras, tools};

/// Longest that a call may wait, in seconds: proxies close connections that are silent for longer.
const MAX_WAIT: u64 = 300;

/// Something that can be called.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tool {
    /// Name that callers use.
    #[schema(example = "ocr")]
    name: String,
    /// What it does.
    description: String,
    /// JSON Schema (2020-12) of its arguments.
    #[schema(value_type = Object)]
    input_schema: Map<String, Value>,
    /// Actors in order.
    route: Vec<String>,
    /// How long a call waits for its result, in seconds; `null`: it answers with a handle at once.
    wait: Option<f64>,
    /// Lifetime of an envelope, in seconds.
    timeout_seconds: u64,
}

impl From<&tools::Tool> for Tool {
    fn from(tool: &tools::Tool) -> Self {
        Self {
            name: tool.name.clone(),
            description: tool.description.clone(),
            input_schema: tool.schema.clone(),
            route: tool.route.clone(),
            wait: tool.wait.map(|wait| wait.as_secs_f64()),
            timeout_seconds: tool.timeout.as_secs(),
        }
    }
}

/// Tools by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Tools {
    /// The tools.
    tools: Vec<Tool>,
    /// What is wrong with the files as they are now; the tools are those before.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What can be called.
#[utoipa::path(get, path = "/tools", operation_id = "listTools", tag = "tools",
    responses((status = 200, description = "The tools", body = Tools), Any))]
pub(super) async fn list(State(api): State<Api>, Who(who): Who) -> Result<Json<Tools>, Refusal> {
    let set = api.service.catalogue(&who)?;
    Ok(Json(Tools { tools: set.iter().map(|tool| (&**tool).into()).collect(), error: set.error.clone() }))
}

/// One tool.
#[utoipa::path(get, path = "/tools/{name}", operation_id = "getTool", tag = "tools",
    params(("name" = String, Path, description = "The tool")),
    responses((status = 200, description = "The tool", body = Tool), Known))]
pub(super) async fn get(
    State(api): State<Api>,
    Who(who): Who,
    Name(name): Name,
) -> Result<Json<Tool>, Refusal> {
    Ok(Json((&*api.service.tool(&who, &name)?).into()))
}

/// A call.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"arguments": {"page": 1}}))]
pub(super) struct Call {
    /// Arguments by name.
    #[serde(default)]
    #[schema(value_type = Object)]
    arguments: Map<String, Value>,
    /// Id of the envelope; made when there is none. Sending it again changes nothing.
    #[schema(min_length = 1, max_length = 256)]
    id: Option<String>,
}

/// How long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Waiting {
    /// Seconds to wait for the result; 0: not at all. As the tool says when it is not given.
    #[param(value_type = Option<u16>, minimum = 0, maximum = 300)]
    wait: Option<Seconds>,
}

/// Seconds to wait.
#[derive(Debug, Deserialize)]
#[serde(try_from = "u64")]
struct Seconds(u64);

impl TryFrom<u64> for Seconds {
    type Error = String;

    fn try_from(seconds: u64) -> Result<Self, String> {
        if seconds <= MAX_WAIT {
            Ok(Self(seconds))
        } else {
            Err(format!("a call waits at most {MAX_WAIT} s"))
        }
    }
}

/// What a call that was waited for answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Answer {
    /// Its handle.
    #[serde(flatten)]
    handle: Handle,
    /// How it ended.
    status: Status,
    /// What came out; for those who may see contents.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    result: Option<Box<RawValue>>,
    /// Why it failed, as a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    /// Why it failed, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Answer {
    fn new(id: String, ended: Tracked, contents: bool) -> Self {
        Self {
            handle: Handle::new(id),
            status: ended.summary.status.into(),
            result: verbatim(ended.result.filter(|_| contents)),
            code: ended.summary.code,
            error: ended.summary.error,
        }
    }
}

/// Call a tool. Needs the role `send`; waiting for the result needs `read`, seeing it `payload`.
#[utoipa::path(post, path = "/tools/{name}", operation_id = "callTool", tag = "tools",
    params(("name" = String, Path, description = "The tool"), Waiting), request_body = Call,
    responses(
        (status = 202, description = "The envelope is stored and will be sent", body = Handle),
        (status = 200, description = "It was waited for and has ended", body = Answer),
        KnownTaking,
    ))]
pub(super) async fn call(
    State(api): State<Api>,
    Who(who): Who,
    Name(name): Name,
    Query(Waiting { wait }): Query<Waiting>,
    Trace(trace): Trace,
    Body(Call { arguments, id }): Body<Call>,
) -> Result<Response, Refusal> {
    let extras = Extras { id, ..trace };
    let wait = wait.map(|wait| Duration::from_secs(wait.0));
    let (sent, ended) = api.service.call_and_wait(&who, &name, arguments, extras, wait).await?;
    Ok(match ended {
        None => (StatusCode::ACCEPTED, Json(Handle::new(sent.id))).into_response(),
        Some(ended) => Json(Answer::new(sent.id, ended, who.roles.has(Role::Payload))).into_response(),
    })
}
