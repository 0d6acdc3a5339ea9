//! Results and refusals in the protocol's words.
//!
//! Structured content is a JSON object always, as clients before 2026-07-28 want it; the text beside it is the same for
//! clients that read texts only.

use asya_envelope::Raw;
use asya_store::envelopes::{Status, Tracked};
use rmcp::{
    ErrorData,
    model::{CallToolResult, ContentBlock, MetaObject},
};
use serde_json::{Map, Value, json};

use crate::{rest::contract, service::Error, tools::Tool};

/// Member of a result's `_meta` that names the envelope.
pub const ENVELOPE_ID: &str = "asya.sh/envelope_id";

/// The answer of a call that does not wait, or has waited long enough: where the envelope can be found.
pub(super) fn handle(id: &str, tool: &Tool, status: Status, message: Option<&str>) -> CallToolResult {
    let mut handle: Value = serde_json::from_str(&contract::handle(id, tool)).unwrap_or_default();
    handle["status"] = json!(status);
    if let Some(message) = message {
        handle["message"] = json!(message);
    }
    of(id, CallToolResult::structured(handle))
}

/// The answer of a call whose envelope has ended.
pub(super) fn ended(tracked: &Tracked, contents: bool) -> CallToolResult {
    let id = tracked.summary.id.as_str();
    if tracked.summary.status != Status::Succeeded {
        return of(id, failed(tracked, contents));
    }
    if !contents {
        let message = "it has succeeded; the role Payload is needed to see the result";
        let answer = json!({"envelope_id": id, "status": tracked.summary.status, "message": message});
        return of(id, CallToolResult::structured(answer));
    }
    let result = value(tracked.result.as_ref());
    let text = match &result {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let structured = if result.is_object() { result } else { json!({"result": result}) };
    let mut answer = CallToolResult::structured(structured);
    answer.content = vec![ContentBlock::text(text)];
    of(id, answer)
}

fn failed(tracked: &Tracked, contents: bool) -> CallToolResult {
    let summary = &tracked.summary;
    let error = summary.error.as_deref().unwrap_or("the envelope has failed");
    let mut told = Map::from_iter([
        ("envelope_id".to_owned(), json!(summary.id)),
        ("status".to_owned(), json!(summary.status)),
        ("error".to_owned(), json!(error)),
    ]);
    for (name, there) in [("code", &summary.code), ("actor", &summary.actor)] {
        if let Some(there) = there {
            told.insert(name.to_owned(), json!(there));
        }
    }
    if contents && tracked.result.is_some() {
        told.insert("result".to_owned(), value(tracked.result.as_ref()));
    }
    let mut answer = CallToolResult::structured_error(told.into());
    answer.content = vec![ContentBlock::text(error)];
    answer
}

/// A refusal that a model can read and act on: wrong arguments, a missing role, a store that is away.
pub(super) fn refused(error: &Error) -> CallToolResult {
    let mut told = json!({"error": error.to_string(), "code": error.code()});
    if let Error::Invalid(wrong) = error {
        let fields = wrong.iter().map(|wrong| json!({"field": wrong.field, "reason": wrong.reason}));
        told["errors"] = fields.collect();
    }
    let mut answer = CallToolResult::structured_error(told);
    answer.content = vec![ContentBlock::text(error.to_string())];
    answer
}

/// A refusal of a request that is no tool call.
pub(super) fn error(error: &Error) -> ErrorData {
    let data = Some(json!({"code": error.code()}));
    match error {
        Error::NotFound { .. } | Error::Invalid(_) | Error::TooLarge { .. } => {
            ErrorData::invalid_params(error.to_string(), data)
        }
        Error::Denied { .. } | Error::Forbidden(_) | Error::Conflict(_) => {
            ErrorData::invalid_request(error.to_string(), data)
        }
        Error::Unavailable(_) => ErrorData::internal_error(error.to_string(), data),
    }
}

fn of(id: &str, answer: CallToolResult) -> CallToolResult {
    let mut meta = MetaObject::new();
    meta.insert(ENVELOPE_ID.to_owned(), json!(id));
    answer.with_meta(Some(meta))
}

fn value(raw: Option<&Raw>) -> Value {
    raw.and_then(|raw| serde_json::from_str(raw.as_str()).ok()).unwrap_or_default()
}
