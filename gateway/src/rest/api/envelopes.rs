//! Envelopes: list, send, look at, cancel, send again.

use asya_store::envelopes::{self as stored, Creation, Filter};
use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Api, Refusal,
    envelope::{Changed, Counts, Envelope, EnvelopePage, EnvelopeSummary, Handle, NewEnvelope, Status},
    input::{Body, MaybeBody, Name, Query, Trace, Who},
    page::{self, Limit, Place, Seen},
    refusal::{Any, Known, KnownTaking, Taking},
    update::{Update, Updates},
};
use crate::auth::Role;

/// Which envelopes to list: those that fulfil all of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Wanted {
    /// Of these states, with commas between them.
    #[param(value_type = Option<Vec<Status>>, style = Form, explode = false)]
    status: Option<Statuses>,
    /// At this actor, or ended there.
    actor: Option<String>,
    /// Called as this tool.
    tool: Option<String>,
    /// Failed with this code.
    code: Option<String>,
    /// The text is part of the id or of the error; ASCII letters match in either case.
    q: Option<String>,
    /// Stored at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    since: Option<Timestamp>,
    /// Stored before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// Children of this envelope.
    parent: Option<String>,
    /// Other tries of this envelope.
    resubmit_of: Option<String>,
    /// `next` of the page before.
    #[param(value_type = Option<String>)]
    after: Option<Place>,
    /// Length of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

/// States with commas between them.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Statuses(Vec<stored::Status>);

impl TryFrom<String> for Statuses {
    type Error = stored::status::UnknownStatus;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.split(',').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// List envelopes, newest first.
#[utoipa::path(get, path = "/envelopes", operation_id = "listEnvelopes", tag = "envelopes", params(Wanted),
    responses((status = 200, description = "A page", body = EnvelopePage), Any))]
pub(super) async fn list(
    State(api): State<Api>,
    Who(who): Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<EnvelopePage>, Refusal> {
    let Wanted { status, actor, tool, code, q, since, until, parent, resubmit_of, after, limit } = wanted;
    let filter = Filter {
        statuses: status.map(|statuses| statuses.0).unwrap_or_default(),
        actor,
        tool,
        parent,
        resubmit_of,
        code,
        namespace: None,
        text: q,
        from: since,
        until,
    };
    let page = api.service.list(&who, &filter, after.map(|place| place.0).as_ref(), limit.0).await?;
    Ok(Json(EnvelopePage {
        envelopes: page.envelopes.into_iter().map(EnvelopeSummary::from).collect(),
        next: page.next.as_ref().map(page::encoded),
    }))
}

/// Send an envelope along a route. Needs the role `send`.
#[utoipa::path(post, path = "/envelopes", operation_id = "sendEnvelope", tag = "envelopes", request_body = NewEnvelope,
    responses(
        (status = 202, description = "It is stored and will be sent", body = Handle),
        (status = 200, description = "It had been sent before, with the same content", body = Handle),
        Taking,
    ))]
pub(super) async fn send(
    State(api): State<Api>,
    Who(who): Who,
    Trace(trace): Trace,
    Body(new): Body<NewEnvelope>,
) -> Result<Response, Refusal> {
    let sent = api.service.send(&who, new.draft(trace)?).await?;
    let status = match sent.creation {
        Creation::Created => StatusCode::ACCEPTED,
        Creation::Exists => StatusCode::OK,
    };
    Ok((status, Json(Handle::new(sent.id))).into_response())
}

/// Look at an envelope. Contents need the role `payload`.
#[utoipa::path(get, path = "/envelopes/{id}", operation_id = "getEnvelope", tag = "envelopes",
    params(("id" = String, Path, description = "The envelope")),
    responses((status = 200, description = "The envelope", body = Envelope), Known))]
pub(super) async fn get(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
) -> Result<Json<Envelope>, Refusal> {
    Ok(Json(api.service.whole(&who, &id).await?.into()))
}

/// From which update on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// Number of the last update that is known already.
    #[serde(default)]
    #[param(value_type = Option<i64>, minimum = 0, default = 0)]
    after: Seen,
    /// How many at most.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

/// What has happened to an envelope, in order.
#[utoipa::path(get, path = "/envelopes/{id}/updates", operation_id = "listUpdates", tag = "envelopes",
    params(("id" = String, Path, description = "The envelope"), Since),
    responses((status = 200, description = "Updates behind `after`", body = Updates), Known))]
pub(super) async fn updates(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
    Query(since): Query<Since>,
) -> Result<Json<Updates>, Refusal> {
    let updates = api.service.updates(&who, &id, since.after.0, since.limit.0).await?;
    let contents = who.roles.has(Role::Payload);
    Ok(Json(Updates { updates: updates.into_iter().map(|update| Update::new(update, contents)).collect() }))
}

/// Why something is done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// For a person.
    #[serde(default)]
    #[schema(example = "wrong file")]
    reason: String,
}

/// What has ended.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CancelledIds {
    /// The envelope and those made from it that had not ended.
    cancelled: Vec<String>,
}

/// Cancel an envelope and its children. One's own need the role `send`, others' `admin`.
///
/// Their records end, and what is not sent yet is not sent. Actors that have them stop, as far as they hear of it.
#[utoipa::path(post, path = "/envelopes/{id}/cancel", operation_id = "cancelEnvelope", tag = "envelopes",
    params(("id" = String, Path, description = "The envelope")), request_body = Option<Why>,
    responses((status = 200, description = "They have failed with the code `cancelled`", body = CancelledIds),
        KnownTaking))]
pub(super) async fn cancel(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
    MaybeBody(why): MaybeBody<Why>,
) -> Result<Json<CancelledIds>, Refusal> {
    let cancelled = api.service.cancel(&who, &id, &why.reason).await?;
    Ok(Json(CancelledIds { cancelled }))
}

/// Send an envelope again as a new one, edited or not. One's own need the role `send`, others' `admin`.
#[utoipa::path(post, path = "/envelopes/{id}/resubmit", operation_id = "resubmitEnvelope", tag = "envelopes",
    params(("id" = String, Path, description = "The envelope")), request_body = Option<Changed>,
    responses((status = 202, description = "The new envelope", body = Handle), KnownTaking))]
pub(super) async fn resubmit(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
    MaybeBody(changed): MaybeBody<Changed>,
) -> Result<(StatusCode, Json<Handle>), Refusal> {
    let sent = api.service.resubmit(&who, &id, changed.into()).await?;
    Ok((StatusCode::ACCEPTED, Json(Handle::new(sent.id))))
}

/// How many envelopes are in each state.
#[utoipa::path(get, path = "/counts", operation_id = "countEnvelopes", tag = "envelopes",
    responses((status = 200, description = "Counts", body = Counts), Any))]
pub(super) async fn counts(State(api): State<Api>, Who(who): Who) -> Result<Json<Counts>, Refusal> {
    Ok(Json(api.service.counts(&who).await?.into()))
}
