//! The addresses, and what is checked before a message is read.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::any,
};
use rmcp::transport::streamable_http_server::{
    StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
};
use tokio_util::sync::CancellationToken;

use super::{Server, session::Sessions};
use crate::{actors::Source, cluster::Look, rest::problem::Form, service::Service};

/// Where the protocol is spoken.
pub const PATH: &str = "/mcp";
/// Where the Go system spoke its first transport, which has gone from the protocol.
const OLD_PATH: &str = "/mcp/sse";
/// Sessions that one replica holds in memory. Idle ones leave it after five minutes and come back when asked for.
const MAX_SESSIONS: usize = 10_000;
/// Kept above the largest envelope for what stands around it in a message.
const AROUND: usize = 64 * 1024;
/// Header that names a session.
const SESSION: &str = "mcp-session-id";
/// Method that begins one. Its header is there from 2026-07-28 on only.
const METHOD: &str = "mcp-method";

/// What an address allows.
#[derive(Clone)]
pub struct Options {
    /// Pages of which origins (`https://host:port`) may call; none: who builds the address around this one checks it.
    /// Requests without `Origin` pass.
    pub origins: Vec<String>,
    /// Names that `Host` may have; none: any. A gateway on a loopback address names its own, against pages that let
    /// their name point there.
    pub hosts: Vec<String>,
    /// Largest envelope, in bytes.
    pub largest: usize,
    /// The actors whose queues can be read.
    pub actors: Option<Arc<dyn Source>>,
    /// A look into the cluster; none: there is none.
    pub cluster: Option<Arc<Look>>,
    /// Cancelled when the gateway stops: streams end, envelopes go on.
    pub stop: CancellationToken,
}

/// The addresses. Who acts is taken from the request's extensions.
pub fn router(service: Service, options: Options) -> Router {
    let Options { origins, hosts, largest, actors, cluster, stop } = options;
    let mut config = StreamableHttpServerConfig::default()
        .with_json_response(true)
        .with_cancellation_token(stop.clone())
        .with_max_request_body_bytes(largest + AROUND)
        .with_allowed_hosts(hosts)
        .with_allowed_origins(origins);
    config.session_store = Some(Arc::new(Sessions::new(service.store())));
    let sessions = Arc::new(LocalSessionManager::default());
    let server = move || {
        let server = Server::new(service.clone(), actors.clone(), None, stop.clone());
        Ok(server.looking(cluster.clone()))
    };
    let served = StreamableHttpService::new(server, sessions.clone(), config);
    Router::new()
        .route_service(PATH, served)
        .layer(middleware::from_fn_with_state(sessions, admit))
        .route(OLD_PATH, any(gone))
}

/// Keeps credentials from what is behind, which logs messages with the requests that carried them, and sessions from
/// becoming too many.
async fn admit(
    State(sessions): State<Arc<LocalSessionManager>>,
    mut request: Request,
    next: Next,
) -> Response {
    let headers = request.headers_mut();
    headers.remove(header::AUTHORIZATION);
    headers.remove(header::COOKIE);
    let begins = !headers.contains_key(SESSION) && !headers.contains_key(METHOD);
    if begins && sessions.sessions.read().await.len() >= MAX_SESSIONS {
        let form = Form::asked(headers);
        let later = [(header::RETRY_AFTER, HeaderValue::from_static("60"))];
        let refused = form.reject(StatusCode::SERVICE_UNAVAILABLE, "unavailable", "too many sessions");
        return (later, refused).into_response();
    }
    next.run(request).await
}

async fn gone(headers: HeaderMap) -> Response {
    let text = format!("this transport has gone from the protocol: use Streamable HTTP at {PATH}");
    let link = [(header::LINK, HeaderValue::from_static("</mcp>; rel=\"successor-version\""))];
    (link, Form::asked(&headers).reject(StatusCode::GONE, "gone", &text)).into_response()
}
