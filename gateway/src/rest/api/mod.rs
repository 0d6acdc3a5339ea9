//! `/api/v1`: everything that a gateway can do, for programs. Refusals are always problem+json.
//!
//! | module | holds |
//! |---|---|
//! | [`envelope`], [`update`] | JSON shapes: envelopes and what happens to them |
//! | [`envelopes`] | list, send, look at, cancel, send again |
//! | [`streams`] | follow one: server-sent events, WebSocket |
//! | [`tools`] | what can be called, and calls |
//! | [`dead_letters`] | what failed: list, group, replay, delete |
//! | `letter` | their JSON shape |
//! | [`findings`] | what is broken in clusters: list, look at |
//! | [`finding`] | their JSON shape |
//! | [`chat`] | conversations with agents, and what waits for approval in them |
//! | `tickets` | tickets that a socket is opened with |
//! | [`audit`] | who did what |
//! | [`actors`] | what actors there are |
//! | [`info`] | what this gateway is and who asks |
//! | [`page`] | where a page begins and how long it is |
//! | [`input`] | bodies, queries and ids, read strictly |
//! | [`refusal`] | [`Refusal`], [`Problem`] |
//! | [`openapi`] | the description of all this, made from it |
//!
//! A route is registered with the description that stands at its handler, so that there is none without one.

pub mod actors;
pub mod audit;
pub(crate) mod chat;
pub mod dead_letters;
pub mod envelope;
pub mod envelopes;
pub mod finding;
pub mod findings;
pub mod info;
pub mod input;
mod letter;
pub mod openapi;
mod page;
pub mod refusal;
pub mod streams;
#[cfg(test)]
pub(crate) mod tests;
mod tickets;
pub mod tools;
pub mod update;

use std::sync::Arc;

use axum::{Router, http::StatusCode};
use utoipa_axum::{router::OpenApiRouter, routes};

pub use refusal::{Problem, Refusal};
pub use streams::Pace;

use crate::{actors::Source, rest::body::bounded, service::Service};

/// Kept above the largest envelope for what stands around it in a request.
const AROUND: usize = 64 * 1024;

/// What handlers share.
#[derive(Clone)]
pub struct Api {
    service: Service,
    actors: Arc<dyn Source>,
    pace: Pace,
}

/// The routes, to be nested at `/api/v1`.
pub fn router(service: Service, actors: Arc<dyn Source>) -> Router {
    router_with(service, actors, Pace::default())
}

/// The routes with another patience for slow readers.
pub fn router_with(service: Service, actors: Arc<dyn Source>, pace: Pace) -> Router {
    let largest = service.rules().largest() + AROUND;
    let (router, _) = described().split_for_parts();
    let routes = router
        .merge(openapi::routes())
        .fallback(async || Refusal::new(StatusCode::NOT_FOUND, "not_found", "there is no such route"))
        .method_not_allowed_fallback(async || {
            let text = "this route has other methods: see the Allow header";
            Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", text)
        });
    bounded(routes, largest).with_state(Api { service, actors, pace })
}

/// The routes with their descriptions.
fn described() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(info::info))
        .routes(routes!(actors::actors))
        .routes(routes!(envelopes::list, envelopes::send))
        .routes(routes!(envelopes::get))
        .routes(routes!(envelopes::updates))
        .routes(routes!(streams::events))
        .routes(routes!(streams::socket))
        .routes(routes!(envelopes::cancel))
        .routes(routes!(envelopes::resubmit))
        .routes(routes!(envelopes::counts))
        .routes(routes!(tools::list))
        .routes(routes!(tools::get, tools::call))
        .routes(routes!(dead_letters::list))
        .routes(routes!(dead_letters::groups))
        .routes(routes!(dead_letters::get))
        .routes(routes!(dead_letters::replay))
        .routes(routes!(dead_letters::delete))
        .routes(routes!(findings::list))
        .routes(routes!(findings::get))
        .routes(routes!(chat::agents::list))
        .routes(routes!(chat::sessions::list, chat::sessions::begin))
        .routes(routes!(chat::sessions::get, chat::sessions::change, chat::sessions::delete))
        .routes(routes!(chat::sessions::cancel))
        .routes(routes!(chat::messages::say))
        .routes(routes!(chat::messages::entries))
        .routes(routes!(chat::messages::exported))
        .routes(routes!(chat::events::events))
        .routes(routes!(chat::approvals::list))
        .routes(routes!(chat::approvals::get, chat::approvals::decide))
        .routes(routes!(chat::approvals::renew))
        .routes(routes!(tickets::issue))
        .routes(routes!(audit::list))
}
