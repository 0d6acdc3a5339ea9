//! Everything that is served, in one router.

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use axum::{
    Extension, Router,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::json;
use tokio::time::timeout;

use crate::{
    actors::Source,
    auth::{
        Auth, Principal, Role,
        layer::{self, METADATA},
    },
    cluster::Look,
    dashboard, mcp,
    metrics::Metrics,
    rest::{
        api::{self, Pace},
        contract::{self, AROUND},
        guard::{self, Guard},
        internal,
        problem::{self, Form},
        traces::{self, Spans},
    },
    service::Service,
    ws::{self, Ws},
};

/// How long the database may take to say that it is there: below the patience of a probe.
const PATIENCE: Duration = Duration::from_secs(2);
/// The media type of metrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What is served.
#[derive(Clone)]
pub struct Parts {
    /// The use cases.
    pub service: Service,
    /// Who may come.
    pub auth: Arc<Auth>,
    /// What every request passes.
    pub guard: Arc<Guard>,
    /// Largest envelope in bytes.
    pub largest: usize,
    /// What actors there are.
    pub actors: Arc<dyn Source>,
    /// A look into the cluster, for models; none: there is none.
    pub cluster: Option<Arc<Look>>,
    /// Where spans of requests go.
    pub spans: Option<Spans>,
}

/// Everything behind one address.
pub fn router(parts: Parts) -> Router {
    let Parts { service, auth, guard, largest, actors, cluster, spans } = parts;
    let metrics = Arc::clone(&guard.metrics);
    let scraped = Router::new().route("/metrics", get(scrape_as)).with_state(metrics);
    let mcp = mcp::http::Options {
        // Origins and names are checked for all routes alike, before this one.
        origins: Vec::new(),
        hosts: Vec::new(),
        largest,
        actors: Some(Arc::clone(&actors)),
        cluster,
        stop: guard.stopping.0.clone(),
    };
    let mut people = contract::people(service.clone(), largest)
        .nest("/api/v1", api::router(service.clone(), actors))
        .merge(mcp::router(service.clone(), mcp))
        .merge(scraped)
        .route_layer(from_fn_with_state(Arc::clone(&auth), layer::people));
    if let Some(spans) = spans {
        people = people.route_layer(from_fn_with_state(spans, traces::trace));
    }
    let sidecars = contract::sidecars(service.clone(), largest)
        .nest(internal::BASE, internal::router(service.clone()))
        .route_layer(from_fn_with_state(Arc::clone(&auth), layer::sidecars));
    // Who comes here may have a ticket.
    let sockets = ws::router(Ws {
        service: service.clone(),
        auth: Arc::clone(&auth),
        guard: Arc::clone(&guard),
        pace: Pace::default(),
    });
    people
        .merge(sidecars)
        .merge(sockets)
        .merge(metadata(auth))
        // It holds nothing of this gateway, and is read before one knows how to log in.
        .nest("/api/docs", api::openapi::docs())
        // The page is for everybody: it asks for a token where the API does.
        .merge(dashboard::router())
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(DefaultBodyLimit::max(largest + AROUND))
        .layer(from_fn_with_state(Arc::clone(&guard), guard::pass))
        // Probes pass nothing: they are asked when all places are taken too.
        .merge(probes(service, guard))
}

/// `/metrics`, `/healthz` and `/readyz` on an address of their own, for everybody who reaches it.
pub fn observed(service: Service, guard: Arc<Guard>) -> Router {
    let scraped = Router::new().route("/metrics", get(scrape)).with_state(Arc::clone(&guard.metrics));
    scraped.merge(probes(service, guard))
}

fn probes(service: Service, guard: Arc<Guard>) -> Router {
    // The event loop that does the work answers: `/healthz` fails only when that is stuck.
    let healthz = Router::new().route("/healthz", get(async || "ok\n")).merge(contract::health());
    let readyz = Router::new().route("/readyz", get(readyz)).with_state((service, guard));
    readyz.merge(healthz).method_not_allowed_fallback(problem::no_such_method)
}

/// A broker that is away is no reason: calls are stored, and sent when it is back.
async fn readyz(State((service, guard)): State<(Service, Arc<Guard>)>) -> (StatusCode, String) {
    let not = |reason: String| (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n"));
    if guard.draining.is_cancelled() {
        return not("draining".to_owned());
    }
    match timeout(PATIENCE, service.store().ping()).await {
        Ok(Ok(())) => (StatusCode::OK, "ok\n".to_owned()),
        Ok(Err(error)) => not(format!("database: {error}")),
        Err(_) => not(format!("database: no answer within {PATIENCE:?}")),
    }
}

async fn scrape(State(metrics): State<Arc<Metrics>>) -> Response {
    ([(header::CONTENT_TYPE, OPEN_METRICS)], metrics.encode()).into_response()
}

async fn scrape_as(
    State(metrics): State<Arc<Metrics>>,
    Extension(who): Extension<Principal>,
    headers: HeaderMap,
) -> Response {
    match who.needs(Role::Read) {
        Ok(()) => scrape(State(metrics)).await,
        Err(error) => Form::asked(&headers).refuse(&error),
    }
}

/// Where clients learn how to log in (RFC 9728); there only with an identity provider.
fn metadata(auth: Arc<Auth>) -> Router {
    if auth.oidc.is_none() {
        return Router::new();
    }
    let of = async |State(auth): State<Arc<Auth>>, request: Request| described(&auth, &request, "");
    let of_part = async |State(auth): State<Arc<Auth>>, Path(part): Path<String>, request: Request| {
        described(&auth, &request, &format!("/{part}"))
    };
    Router::new()
        .route(METADATA, get(of))
        .route(&format!("{METADATA}/{{part}}"), get(of_part))
        .with_state(auth)
}

fn described(auth: &Auth, request: &Request, path: &str) -> Response {
    let issuers: Vec<_> = auth.oidc.iter().map(crate::auth::Oidc::issuer).collect();
    let body = json!({
        "resource": format!("{}{path}", auth.base(request.headers())),
        "authorization_servers": issuers,
        "bearer_methods_supported": ["header"],
        "resource_name": "asya gateway",
    });
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}
