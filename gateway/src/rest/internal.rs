//! `/internal/v1`: what actors ask of the gateway in a person's name, as [`asya_session::desk`] says it. Actors show who
//! they are as sidecars do, and in whose name they ask by the header that their envelope has.
//!
//! Bodies are read strictly and refusals are problem+json, as below `/api/v1`.

use asya_session::{
    Operation, Outcome,
    desk::{Append, Begin, Claim, Claimed, Delta, ENTRY, Propose, SUBJECT, Transcript},
};
use asya_store::chat::Appended;
use axum::{
    Extension, Json, Router,
    extract::{FromRequestParts, Path, State, rejection::PathRejection},
    http::{StatusCode, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    api::{
        Refusal,
        input::{Name, Query, Sent},
    },
    body::bounded,
    contract::AROUND,
};
use crate::service::{Reporter, Service, chat::desk::Acting};

/// Where it is.
pub const BASE: &str = "/internal/v1";
/// Largest proposal, in bytes.
const PROPOSAL: usize = 1024 * 1024;

/// The routes, to be nested at [`BASE`].
pub fn router(service: Service) -> Router {
    let entry = 2 * ENTRY + AROUND;
    let proposal = PROPOSAL + service.rules().limits.max_envelope + AROUND;
    let small = Router::new()
        .route("/sessions/{id}", get(transcript))
        .route("/sessions/{id}/entries/{n}", post(append))
        .route("/sessions/{id}/stream", post(stream))
        .route("/operations/{op}/claim", post(claim))
        .route("/operations/{op}/begin", post(begin))
        .route("/operations/{op}/outcome", post(outcome))
        .route("/subject-keys", get(keys));
    let large = Router::new().route("/operations/{op}", get(operation).put(propose));
    bounded(small, entry).merge(bounded(large, proposal)).with_state(service)
}

/// Who asks, and in whose name.
struct Who(Acting);

impl FromRequestParts<Service> for Who {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, service: &Service) -> Result<Self, Refusal> {
        let Shown { from, token } = Shown::from_request_parts(parts, service).await?;
        Ok(Self(service.acting(&from, token.as_deref())?))
    }
}

/// What a request shows of both, which nobody has looked at.
struct Shown {
    from: Reporter,
    token: Option<String>,
}

impl FromRequestParts<Service> for Shown {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &Service) -> Result<Self, Refusal> {
        let from = parts.extensions.get::<Reporter>().cloned();
        let from = from.ok_or_else(|| {
            Refusal::new(StatusCode::UNAUTHORIZED, "unauthenticated", "who asks is not known")
        })?;
        let token = parts.headers.get(SUBJECT).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok(Self { from, token })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    #[serde(default)]
    from: u64,
}

async fn transcript(
    State(service): State<Service>,
    Who(acting): Who,
    Name(id): Name,
    Query(Part { from }): Query<Part>,
) -> Result<Json<Transcript>, Refusal> {
    let from = from.min(i64::MAX.unsigned_abs());
    Ok(Json(service.transcript(&acting, &id, from).await?))
}

async fn append(
    State(service): State<Service>,
    Who(acting): Who,
    path: Result<Path<(String, u64)>, PathRejection>,
    Sent(append): Sent<Append>,
) -> Result<Response, Refusal> {
    let Path((id, n)) = path.map_err(|rejection| Refusal::field("n", rejection.body_text()))?;
    Ok(match service.append(&acting, &id, n, &append).await? {
        Appended::New { entry, .. } => (StatusCode::CREATED, Json(entry)).into_response(),
        Appended::Repeated(entry) => Json(entry).into_response(),
        Appended::Behind(behind) => (StatusCode::CONFLICT, Json(behind)).into_response(),
        Appended::Unknown => {
            Refusal::new(StatusCode::NOT_FOUND, "not_found", "no such session").into_response()
        }
    })
}

async fn stream(
    State(service): State<Service>,
    Who(acting): Who,
    Name(id): Name,
    Sent(delta): Sent<Delta>,
) -> Result<StatusCode, Refusal> {
    service.stream(&acting, &id, delta)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn propose(
    State(service): State<Service>,
    Who(acting): Who,
    Name(id): Name,
    Sent(propose): Sent<Propose>,
) -> Result<(StatusCode, Json<Operation>), Refusal> {
    let (operation, new) = service.propose(&acting, &id, propose).await?;
    Ok((if new { StatusCode::CREATED } else { StatusCode::OK }, Json(operation)))
}

async fn operation(
    State(service): State<Service>,
    Who(acting): Who,
    Name(id): Name,
) -> Result<Json<Operation>, Refusal> {
    Ok(Json(service.operation_of(&acting, &id).await?))
}

async fn claim(
    State(service): State<Service>,
    Who(acting): Who,
    Name(id): Name,
    Sent(Claim { hash }): Sent<Claim>,
) -> Result<Json<Claimed>, Refusal> {
    Ok(Json(service.claim(&acting, &id, &hash).await?))
}

async fn begin(
    State(service): State<Service>,
    shown: Shown,
    Name(id): Name,
    Sent(begin): Sent<Begin>,
) -> Result<StatusCode, Refusal> {
    let acting = service.beginning(&shown.from, shown.token.as_deref())?;
    service.begin_call(&acting, &id, &begin).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn outcome(
    State(service): State<Service>,
    shown: Shown,
    Name(id): Name,
    Sent(outcome): Sent<Outcome>,
) -> Result<Json<Operation>, Refusal> {
    let acting = service.acting_late(&shown.from, shown.token.as_deref(), &id).await?;
    Ok(Json(service.outcome(&acting, &id, &outcome).await?))
}

/// Nobody's name is asked for: the keys are what names are checked with.
async fn keys(
    State(service): State<Service>,
    Extension(from): Extension<Reporter>,
) -> Result<Json<Value>, Refusal> {
    Ok(Json(service.subject_keys(&from)?))
}
