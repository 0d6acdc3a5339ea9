//! `/metrics`, `/healthz`, `/readyz`, `/health` and `/drain` over HTTP.

use std::{net::SocketAddr, pin::Pin, sync::Arc};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Metrics;

/// Answers one question about the process: `Err` carries the reason for a person.
pub type Check = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the endpoints say.
#[derive(Clone)]
pub struct Probes {
    /// `/healthz`: fails only when the process itself is stuck, so that restarting it helps.
    pub healthy: Check,
    /// `/readyz`: whether messages are handled right now.
    pub ready: Check,
    /// `/drain`; `None` = there is no such page.
    pub drain: Option<Drain>,
}

/// The header that carries the token of `/drain`.
pub const DRAIN_TOKEN: &str = "x-asya-drain-token";

/// `/drain`: stops the work in order. Whoever asks waits until nothing is in hand any more.
#[derive(Clone)]
pub struct Drain {
    /// What the header [`DRAIN_TOKEN`] must hold: anybody who reaches the port could end the work without it.
    pub token: String,
    /// Begins the drain, or joins one that has begun, and ends when everything is settled. Dropping the future does
    /// not stop the drain.
    pub settled: Settled,
}

/// Starts waiting until everything is settled; `Err` carries the reason why that will not be.
pub type Settled = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

impl Drain {
    /// Takes the same time wherever the first difference is.
    fn permits(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(DRAIN_TOKEN).map_or(&[][..], |token| token.as_bytes());
        let wanted = self.token.as_bytes();
        given.len() == wanted.len() && given.iter().zip(wanted).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
    }
}

#[derive(Clone)]
struct Shared {
    metrics: Arc<Metrics>,
    probes: Probes,
}

/// The address in `text`: `:8080`, `127.0.0.1:8080` or `[::1]:8080`.
///
/// # Errors
/// A sentence with the value.
pub fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let full = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    full.parse().map_err(|_| format!("{text:?} must be an address such as :8080 or 127.0.0.1:8080"))
}

/// Serves the endpoints until `stop`.
///
/// # Errors
/// Those of the listener.
pub async fn serve(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    probes: Probes,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let mut app = Router::new();
    if let Some(drain) = probes.drain.clone() {
        app = app.route("/drain", get(move |headers| drained(drain, headers)));
    }
    let app = app
        .route("/metrics", get(scrape))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/health", get(health))
        .with_state(Shared { metrics, probes });
    axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn scrape(State(shared): State<Shared>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, OPEN_METRICS)], shared.metrics.encode())
}

async fn healthz(State(shared): State<Shared>) -> impl IntoResponse {
    answer((shared.probes.healthy)())
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    answer((shared.probes.ready)())
}

async fn drained(drain: Drain, headers: HeaderMap) -> (StatusCode, String) {
    if !drain.permits(&headers) {
        return (StatusCode::FORBIDDEN, format!("the header {DRAIN_TOKEN} is missing or wrong\n"));
    }
    answer((drain.settled)().await)
}

/// The endpoint of the Go system: it says only that the process answers.
async fn health() -> &'static str {
    "OK"
}

fn answer(outcome: Result<(), String>) -> (StatusCode, String) {
    match outcome {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
    };

    use super::*;

    async fn fetch(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_process_that_is_not_ready_is_still_healthy() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let probes = Probes {
            healthy: Arc::new(|| Ok(())),
            ready: Arc::new(|| Err("broker: connection refused".to_owned())),
            drain: None,
        };
        let server = tokio::spawn(serve(listener, Metrics::new("asya_actor"), probes, stop.clone()));
        assert!(fetch(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        let ready = fetch(address, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("broker: connection refused"));
        assert!(fetch(address, "/health").await.ends_with("OK"));
        assert!(fetch(address, "/drain").await.starts_with("HTTP/1.1 404"));
        assert!(fetch(address, "/metrics").await.contains("asya_actor_active_messages 0"));
        stop.cancel();
        server.await.unwrap().unwrap();
    }

    #[test]
    fn only_the_exact_token_permits_a_drain() {
        let drain = Drain { token: "0af3".to_owned(), settled: Arc::new(|| Box::pin(async { Ok(()) })) };
        let permits = |token: Option<&'static str>| {
            let headers =
                token.map(|token| (header::HeaderName::from_static(DRAIN_TOKEN), token.parse().unwrap()));
            drain.permits(&headers.into_iter().collect())
        };
        assert!(permits(Some("0af3")));
        for wrong in [None, Some(""), Some("0af"), Some("0af4"), Some("0af33")] {
            assert!(!permits(wrong), "{wrong:?}");
        }
    }

    #[test]
    fn an_address_may_leave_out_the_host() {
        assert_eq!(parse_address(":8080").unwrap().to_string(), "0.0.0.0:8080");
        assert!(parse_address("8080").unwrap_err().contains("8080"));
    }
}
