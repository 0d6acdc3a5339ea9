//! What actors there are.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, Refusal, input::Who, refusal::Any};
use crate::{actors::Actor, auth::Role};

/// Actors by name.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Actors {
    /// The actors.
    actors: Vec<Actor>,
    /// What cannot be told of them, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// What actors there are, with how full their queues are; on a cluster with their replicas and states too. Answers are up
/// to a few seconds old.
#[utoipa::path(get, path = "/actors", operation_id = "listActors", tag = "actors",
    responses((status = 200, description = "The actors", body = Actors), Any))]
pub(super) async fn actors(State(api): State<Api>, Who(who): Who) -> Result<Json<Actors>, Refusal> {
    who.needs(Role::Read)?;
    let actors = api.actors.actors().await?;
    Ok(Json(Actors { actors, warnings: api.actors.warnings() }))
}
