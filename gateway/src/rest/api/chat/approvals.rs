//! What waits for approval, and decisions.

use asya_session::{Operation, Phase, Verdict};
use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::rest::api::{
    Api, Refusal,
    input::{Body, Name, Query, Who},
    page::{self, Limit, Place},
    refusal::{Any, Known, KnownTaking},
};

/// Longest reason that somebody may give, in bytes.
const COMMENT: usize = 4096;

/// Which operations: those that fulfil all of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// In this phase.
    #[param(inline)]
    phase: Option<Phase>,
    /// Of this session.
    session: Option<String>,
    /// `next` of the page before.
    #[param(value_type = Option<String>)]
    after: Option<Place>,
    /// Length of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

/// A page of operations.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Operations {
    /// The operations.
    operations: Vec<Operation>,
    /// What `after` of the next page is; `null` on the last one.
    next: Option<String>,
}

/// A decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDecision, example = json!({"verdict": "approve",
    "hash": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}))]
pub(crate) struct Ruling {
    /// Yes or no.
    pub(crate) verdict: Verdict,
    /// The `hash` of the operation as it was seen: what is decided is that, and nothing else.
    #[schema(min_length = 1, max_length = 64)]
    pub(crate) hash: String,
    /// Why. Who asked and the model read it where it is a no.
    #[serde(default)]
    #[schema(max_length = 4096)]
    pub(crate) comment: String,
}

impl Ruling {
    /// The verdict, the hash that was seen, and why.
    pub(crate) fn checked(self) -> Result<(Verdict, String, String), Refusal> {
        let Self { verdict, hash, comment } = self;
        if comment.len() > COMMENT || comment.contains('\0') {
            let reason = format!("a comment has at most {COMMENT} bytes, and no character of the number 0");
            return Err(Refusal::field("comment", reason));
        }
        Ok((verdict, hash, comment))
    }
}

/// Operations, newest first: for the role `approve` those of all sessions, else those of one's own.
#[utoipa::path(get, path = "/approvals", operation_id = "listApprovals", tag = "approvals", params(Wanted),
    responses((status = 200, description = "A page", body = Operations), Any))]
pub(crate) async fn list(
    State(api): State<Api>,
    Who(who): Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Operations>, Refusal> {
    let Wanted { phase, session, after, limit } = wanted;
    let after = after.map(|place| place.0);
    let page = api.service.operations(&who, phase, session, after.as_ref(), limit.0).await?;
    Ok(Json(Operations { operations: page.operations, next: page.next.as_ref().map(page::encoded) }))
}

/// Look at an operation.
#[utoipa::path(get, path = "/approvals/{id}", operation_id = "getApproval", tag = "approvals",
    params(("id" = String, Path, description = "The operation")),
    responses((status = 200, description = "The operation", body = Operation), Known))]
pub(crate) async fn get(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
) -> Result<Json<Operation>, Refusal> {
    Ok(Json(api.service.operation(&who, &id).await?))
}

/// Say once more that one has asked for an operation that waits. Only who asked may; needs the role `chat`.
#[utoipa::path(post, path = "/approvals/{id}/renew", operation_id = "renewApproval", tag = "approvals",
    params(("id" = String, Path, description = "The operation")),
    responses((status = 200, description = "The operation, which waits on", body = Operation),
        (status = 409, description = "It was decided", body = crate::rest::api::Problem,
            content_type = "application/problem+json"),
        Known))]
pub(crate) async fn renew(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
) -> Result<Json<Operation>, Refusal> {
    Ok(Json(api.service.renew_operation(&who, &id).await?))
}

/// Approve or reject an operation that waits. Needs the role `approve`. One decision counts.
#[utoipa::path(post, path = "/approvals/{id}", operation_id = "decideApproval", tag = "approvals",
    params(("id" = String, Path, description = "The operation")), request_body = Ruling,
    responses((status = 200, description = "The operation, which goes on", body = Operation), KnownTaking))]
pub(crate) async fn decide(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
    Body(ruling): Body<Ruling>,
) -> Result<Json<Operation>, Refusal> {
    let (verdict, hash, comment) = ruling.checked()?;
    Ok(Json(api.service.decide(&who, &id, verdict, hash, comment).await?))
}
