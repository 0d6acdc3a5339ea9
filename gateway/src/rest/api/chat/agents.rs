//! Who can be talked with.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    agents::Agent,
    rest::api::{Api, Refusal, input::Who, refusal::Any},
};

/// The agents that there are.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Agents {
    /// Each of them, by name.
    agents: Vec<Agent>,
}

/// Who can be talked with. Needs the role `chat`.
#[utoipa::path(get, path = "/agents", operation_id = "listAgents", tag = "sessions",
    responses((status = 200, description = "The agents", body = Agents), Any))]
pub(crate) async fn list(State(api): State<Api>, Who(who): Who) -> Result<Json<Agents>, Refusal> {
    let agents = api.service.agents(&who)?;
    Ok(Json(Agents { agents: agents.iter().map(|agent| Agent::clone(agent)).collect() }))
}
