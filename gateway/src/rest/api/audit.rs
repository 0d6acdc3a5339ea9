//! Who did what.

use asya_store::envelopes::{AuditEntry, AuditFilter};
use axum::{Json, extract::State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::{
    Api, Refusal,
    input::{Query, Who},
    page::Limit,
    refusal::Any,
};
use crate::rest::wire::verbatim;

/// One thing that somebody did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Entry {
    /// Its number, which goes up.
    number: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Who.
    who: String,
    /// What: `send`, `call`, `cancel`, `resubmit`, `replay`, `delete`; in conversations `session.` and `operation.` with a verb.
    action: String,
    /// The envelope it was done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope: Option<String>,
    /// What else is worth knowing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    detail: Option<Box<RawValue>>,
}

impl From<AuditEntry> for Entry {
    fn from(entry: AuditEntry) -> Self {
        let AuditEntry { number, at, who, action, envelope, detail } = entry;
        Self { number, at, who, action, envelope, detail: verbatim(detail) }
    }
}

/// A page of the audit log, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct EntryPage {
    /// The entries.
    entries: Vec<Entry>,
    /// What `after` of the next page is; `null` on the last one.
    next: Option<String>,
}

/// Which entries: those that fulfil all of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// By this person or service.
    who: Option<String>,
    /// Of this kind.
    action: Option<String>,
    /// On this envelope.
    envelope: Option<String>,
    /// `next` of the page before.
    after: Option<i64>,
    /// Length of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

/// Who did what, newest first. Needs the role `admin`.
#[utoipa::path(get, path = "/audit", operation_id = "listAudit", tag = "gateway", params(Wanted),
    responses((status = 200, description = "A page", body = EntryPage), Any))]
pub(super) async fn list(
    State(api): State<Api>,
    Who(asks): Who,
    Query(Wanted { who, action, envelope, after, limit }): Query<Wanted>,
) -> Result<Json<EntryPage>, Refusal> {
    let filter = AuditFilter { who, action, envelope, before: after };
    let entries = api.service.audit_log(&asks, &filter, limit.0).await?;
    // A full page may be the last one: the next is then empty.
    let last = entries.last().filter(|_| entries.len() == limit.0);
    let next = last.map(|last| last.number.to_string());
    Ok(Json(EntryPage { entries: entries.into_iter().map(Entry::from).collect(), next }))
}
