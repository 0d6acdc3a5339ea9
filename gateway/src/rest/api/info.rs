//! What this gateway is, and who asks.

use axum::{Json, extract::State};
use serde::Serialize;
use utoipa::ToSchema;

use super::{Api, Refusal, input::Who, refusal::Any};
use crate::auth::{Role, Roles};

/// What a gateway is.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Info {
    /// Its version.
    #[schema(example = "0.1.0")]
    version: &'static str,
    /// Who asks.
    principal: Asking,
    /// What it takes at most.
    limits: Limits,
    /// What it can do, as names that may be asked for.
    features: Vec<&'static str>,
    /// Where logs are found: an address in which `{id}`, `{actor}` and, in milliseconds since 1970, `{from}` and `{to}` are
    /// to be filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "https://logs.example.com/?q={id}&from={from}&to={to}")]
    logs_url: Option<String>,
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
struct Asking {
    /// The name in the audit log.
    #[schema(example = "anonymous")]
    name: String,
    /// What it may do.
    roles: Vec<RoleName>,
}

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum RoleName {
    /// See envelopes without their contents.
    Read,
    /// Call tools and send envelopes.
    Send,
    /// See contents.
    Payload,
    /// Look into the cluster.
    Cluster,
    /// Talk with agents.
    Chat,
    /// See what waits for approval, and decide it.
    Approve,
    /// Everything.
    Admin,
}

/// What a gateway takes at most.
#[derive(Debug, Serialize, ToSchema)]
struct Limits {
    /// Largest envelope, in bytes.
    envelope_bytes: usize,
    /// Longest page.
    page: usize,
}

/// What this gateway can do.
const FEATURES: [&str; 5] = ["dead_letters", "events", "findings", "socket", "tools"];

fn names(roles: Roles) -> Vec<RoleName> {
    let all = [
        (Role::Read, RoleName::Read),
        (Role::Send, RoleName::Send),
        (Role::Payload, RoleName::Payload),
        (Role::Cluster, RoleName::Cluster),
        (Role::Chat, RoleName::Chat),
        (Role::Approve, RoleName::Approve),
        (Role::Admin, RoleName::Admin),
    ];
    all.into_iter().filter(|(role, _)| roles.has(*role)).map(|(_, name)| name).collect()
}

/// What this gateway is, and who asks.
#[utoipa::path(get, path = "/info", operation_id = "getInfo", tag = "gateway",
    responses((status = 200, description = "The gateway", body = Info), Any))]
pub(super) async fn info(State(api): State<Api>, Who(who): Who) -> Result<Json<Info>, Refusal> {
    Ok(Json(Info {
        version: env!("CARGO_PKG_VERSION"),
        principal: Asking { roles: names(who.roles), name: who.name },
        limits: Limits {
            envelope_bytes: api.service.rules().limits.publishable(),
            page: asya_store::envelopes::MAX_PAGE,
        },
        features: FEATURES.to_vec(),
        logs_url: api.service.rules().logs.clone(),
    }))
}
