//! Sessions: begin, list, look at, share, delete, cancel.

use asya_session::{Options, Session, State as SessionState};
use asya_store::chat::SessionFilter;
use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    rest::api::{
        Api, Refusal,
        input::{Body, Name, Query, Who},
        page::{self, Limit, Place},
        refusal::{Any, Known, KnownTaking, Taking},
    },
    service::chat::sessions::{Beginning, Changes, Message},
};

/// A session that is to begin.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"agent": "operator", "message": "why is the shop slow?"}))]
pub(crate) struct NewSession {
    /// With this agent.
    agent: String,
    /// Its name; without one it is the beginning of what is said first.
    #[schema(min_length = 1, max_length = 200)]
    title: Option<String>,
    /// What is said first.
    #[schema(min_length = 1, max_length = 65536)]
    message: Option<String>,
    /// Wishes for the turns that the message begins.
    options: Option<Options>,
}

impl NewSession {
    pub(crate) fn beginning(self) -> Result<Beginning, Refusal> {
        let Self { agent, title, message, options } = self;
        if message.is_none() && options.is_some() {
            return Err(Refusal::field("options", "options are those of a message, and there is none"));
        }
        let message = message.map(|text| Message { text, options: options.unwrap_or_default(), id: None });
        Ok(Beginning { agent, title, message })
    }
}

/// What is to be changed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"title": "the slow shop", "shared": ["bob"]}))]
pub(crate) struct SessionChanges {
    /// The title.
    #[schema(min_length = 1, max_length = 200)]
    title: Option<String>,
    /// Names of the other principals that may read it and speak in it: all of them.
    #[schema(max_items = 64)]
    shared: Option<Vec<String>>,
}

/// Which sessions: those that fulfil all of it.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// With this agent.
    agent: Option<String>,
    /// In this state.
    #[param(inline)]
    state: Option<SessionState>,
    /// Everybody's, not only one's own and those that are shared with one. Needs the role `admin`.
    #[serde(default)]
    #[param(value_type = Option<bool>, default = false)]
    all: bool,
    /// `next` of the page before.
    #[param(value_type = Option<String>)]
    after: Option<Place>,
    /// Length of a page.
    #[serde(default)]
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000, default = 100)]
    limit: Limit,
}

/// A page of sessions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sessions {
    /// The sessions.
    sessions: Vec<Session>,
    /// What `after` of the next page is; `null` on the last one.
    next: Option<String>,
}

/// Begin a session with an agent, with a first message or without. Needs the role `chat`, as all that follows.
#[utoipa::path(post, path = "/sessions", operation_id = "beginSession", tag = "sessions", request_body = NewSession,
    responses((status = 201, description = "The session", body = Session), Taking))]
pub(crate) async fn begin(
    State(api): State<Api>,
    Who(who): Who,
    Body(new): Body<NewSession>,
) -> Result<(StatusCode, Json<Session>), Refusal> {
    let session = api.service.begin_session(&who, new.beginning()?).await?;
    Ok((StatusCode::CREATED, Json(session)))
}

/// Sessions of one's own and those that are shared with one, by the latest change.
#[utoipa::path(get, path = "/sessions", operation_id = "listSessions", tag = "sessions", params(Wanted),
    responses((status = 200, description = "A page", body = Sessions), Any))]
pub(crate) async fn list(
    State(api): State<Api>,
    Who(who): Who,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Sessions>, Refusal> {
    let Wanted { agent, state, all, after, limit } = wanted;
    let filter = SessionFilter { principal: None, agent, state };
    let after = after.map(|place| place.0);
    let page = api.service.sessions(&who, filter, all, after.as_ref(), limit.0).await?;
    Ok(Json(Sessions { sessions: page.sessions, next: page.next.as_ref().map(page::encoded) }))
}

/// Look at a session. Others' sessions are unknown.
#[utoipa::path(get, path = "/sessions/{id}", operation_id = "getSession", tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, description = "The session", body = Session), Known))]
pub(crate) async fn get(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
) -> Result<Json<Session>, Refusal> {
    Ok(Json(api.service.session(&who, &id).await?))
}

/// Change the title of a session, or who else may read it and speak in it. Its owner may.
#[utoipa::path(patch, path = "/sessions/{id}", operation_id = "changeSession", tag = "sessions",
    params(("id" = String, Path, description = "The session")), request_body = SessionChanges,
    responses((status = 200, description = "The session", body = Session), KnownTaking))]
pub(crate) async fn change(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
    Body(SessionChanges { title, shared }): Body<SessionChanges>,
) -> Result<Json<Session>, Refusal> {
    Ok(Json(api.service.change_session(&who, &id, Changes { title, shared }).await?))
}

/// Delete a session with all that was said in it. Its owner may, while no turn runs. The audit log stays.
#[utoipa::path(delete, path = "/sessions/{id}", operation_id = "deleteSession", tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses((status = 204, description = "It is gone"),
        (status = 409, description = "A turn runs or waits for approval", body = crate::rest::api::Problem,
            content_type = "application/problem+json"),
        Known))]
pub(crate) async fn delete(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
) -> Result<StatusCode, Refusal> {
    api.service.delete_session(&who, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Cancel the turn that runs or waits for approval. Messages that wait come next.
#[utoipa::path(post, path = "/sessions/{id}/cancel", operation_id = "cancelTurn", tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses((status = 200, description = "The session", body = Session),
        (status = 409, description = "Nothing runs", body = crate::rest::api::Problem,
            content_type = "application/problem+json"),
        Known))]
pub(crate) async fn cancel(
    State(api): State<Api>,
    Who(who): Who,
    Name(id): Name,
) -> Result<Json<Session>, Refusal> {
    Ok(Json(api.service.cancel_turn(&who, &id).await?))
}
