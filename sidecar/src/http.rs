//! A small HTTP client for the gateway: JSON out, a status back. Its connector serves other clients of the process too.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, Uri, header};
use hyper_util::{
    client::legacy::{Client as Pool, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::timeout;

/// How long one request may take: the Go system's limit.
const LIMIT: Duration = Duration::from_secs(5);
/// Connections kept open: reports are sent one after the other, final ones beside them.
const IDLE_CONNECTIONS: usize = 4;

#[cfg(feature = "https")]
/// What connects; `http://` only unless this program has TLS.
pub type Connector = hyper_rustls::HttpsConnector<HttpConnector>;
/// What connects; `http://` only.
#[cfg(not(feature = "https"))]
pub type Connector = HttpConnector;

/// The client.
#[derive(Clone, Debug)]
pub(crate) struct Http(Pool<Connector, Full<Bytes>>);

impl Http {
    /// A client; connections are made when they are needed.
    ///
    /// # Errors
    /// A sentence, if `base` needs TLS and this program has none, or no trusted certificates are found.
    pub(crate) fn new(base: &str) -> Result<Self, String> {
        Ok(Self(
            Pool::builder(TokioExecutor::new())
                .pool_max_idle_per_host(IDLE_CONNECTIONS)
                .build(connector(base)?),
        ))
    }

    /// Posts a JSON body; the answer's body is thrown away.
    ///
    /// # Errors
    /// A sentence for the log.
    pub(crate) async fn post(
        &self,
        address: &str,
        token: Option<&str>,
        body: Vec<u8>,
    ) -> Result<StatusCode, String> {
        let address: Uri = address.parse().map_err(|error| format!("address {address:?}: {error}"))?;
        let mut request = Request::post(address).header(header::CONTENT_TYPE, "application/json");
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::from(body)).map_err(|error| error.to_string())?;
        let exchange = async {
            let answer = self.0.request(request).await.map_err(|error| chain(&error))?;
            let status = answer.status();
            // Read to its end, so that the connection can be used again.
            let mut body = answer.into_body();
            while let Some(frame) = body.frame().await {
                frame.map_err(|error| error.to_string())?;
            }
            Ok(status)
        };
        timeout(LIMIT, exchange).await.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")))
    }
}

/// A connector for `base` and, if that is `https://`, for any address. The crypto provider is ring.
///
/// # Errors
/// A sentence, if `base` needs TLS and there is none, or no trusted certificates are found.
#[cfg(feature = "https")]
pub fn connector(base: &str) -> Result<Connector, String> {
    let tls = hyper_rustls::HttpsConnectorBuilder::new();
    if base.starts_with("https://") {
        let trusted = tls
            .with_provider_and_native_roots(rustls_ring())
            .map_err(|error| format!("no trusted certificates: {error}"))?;
        return Ok(trusted.https_or_http().enable_http1().build());
    }
    // Without https in sight the system's certificates need not be read.
    let none = rustls::RootCertStore::empty();
    let config = rustls::ClientConfig::builder_with_provider(rustls_ring().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(none)
        .with_no_client_auth();
    Ok(tls.with_tls_config(config).https_or_http().enable_http1().build())
}

#[cfg(feature = "https")]
fn rustls_ring() -> rustls::crypto::CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// A connector for `base`.
///
/// # Errors
/// A sentence, if `base` needs TLS.
#[cfg(not(feature = "https"))]
pub fn connector(base: &str) -> Result<Connector, String> {
    if base.starts_with("https://") {
        return Err("this program was built without TLS (feature \"https\")".to_owned());
    }
    Ok(HttpConnector::new())
}

/// An error with its causes: the client's own text says only "client error".
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
