//! An HTTP client that keeps as many connections as there are calls in hand.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Incoming, header};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;

/// The client. Clones share connections.
#[derive(Clone)]
pub struct Client {
    pool: Pool<HttpConnector, Full<Bytes>>,
    base: String,
}

impl Client {
    /// For a server on this machine.
    pub fn new(port: u16) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let pool = Pool::builder(TokioExecutor::new()).build(connector);
        Self { pool, base: format!("http://127.0.0.1:{port}") }
    }

    /// Gets; the answer's status and body.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn get(&self, path: &str) -> Result<(StatusCode, Bytes)> {
        self.exchange(Request::get(format!("{}{path}", self.base)).body(Full::default())?).await
    }

    /// Gets a JSON document.
    ///
    /// # Errors
    /// When nobody answers, or something else.
    pub async fn json(&self, path: &str) -> Result<Value> {
        let (status, body) = self.get(path).await?;
        serde_json::from_slice(&body)
            .with_context(|| format!("{path}: {status} {}", String::from_utf8_lossy(&body)))
    }

    /// Posts a JSON document.
    ///
    /// # Errors
    /// When nobody answers.
    pub async fn post(&self, path: &str, body: &Value) -> Result<(StatusCode, Bytes)> {
        let request = Request::post(format!("{}{path}", self.base))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body.to_string()))?;
        self.exchange(request).await
    }

    /// Gets something whose body is read while it comes.
    ///
    /// # Errors
    /// When nobody answers, or refuses.
    pub async fn stream(&self, path: &str) -> Result<Incoming> {
        let request = Request::get(format!("{}{path}", self.base)).body(Full::default())?;
        let answer = self.pool.request(request).await?;
        ensure!(answer.status().is_success(), "{path}: {}", answer.status());
        Ok(answer.into_body())
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes)> {
        let answer = self.pool.request(request).await?;
        let status = answer.status();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}
