//! Health, readiness and metrics over HTTP. Every replica serves them, the leader and those that stand by.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context, Result};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Answers `/readyz`: `Err` is a sentence that says what is missing.
pub type Ready = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;
/// Gives the metrics as OpenMetrics text.
pub type Scrape = Arc<dyn Fn() -> String + Send + Sync>;

/// Serves `/healthz` and `/readyz` on one address and `/metrics` on another, which may be the same, until `stop`.
///
/// `/healthz` is answered by the same event loop that does the work: it fails only when that is stuck.
///
/// # Errors
/// An address that cannot be bound.
pub async fn start(
    health: SocketAddr,
    metrics: Option<SocketAddr>,
    ready: Ready,
    scrape: Scrape,
    stop: &CancellationToken,
) -> Result<()> {
    let probes = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(ready);
    let scrapes = Router::new().route("/metrics", get(scraped)).with_state(scrape);
    match metrics {
        Some(metrics) if metrics == health => {
            spawn("health and metrics", health, probes.merge(scrapes), stop).await
        }
        Some(metrics) => {
            spawn("health", health, probes, stop).await?;
            spawn("metrics", metrics, scrapes, stop).await
        }
        None => spawn("health", health, probes, stop).await,
    }
}

async fn spawn(what: &str, address: SocketAddr, app: Router, stop: &CancellationToken) -> Result<()> {
    let listener = TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))?;
    let address = listener.local_addr().context("reading the address that is listened on")?;
    tracing::info!(%address, what, "serving");
    let stop = stop.clone();
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, app).with_graceful_shutdown(stop.cancelled_owned()).await {
            tracing::error!(%error, "serving ended");
        }
    });
    Ok(())
}

async fn readyz(State(ready): State<Ready>) -> impl IntoResponse {
    match ready() {
        Ok(()) => (StatusCode::OK, "ok\n".to_owned()),
        Err(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn scraped(State(scrape): State<Scrape>) -> impl IntoResponse {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, OPEN_METRICS)], scrape())
}
