//! Addresses, tokens and connections of gateways.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Uri};
use http_body_util::Full;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// How long a connection may take: longer is a wrong address or a missing VPN.
const CONNECT: Duration = Duration::from_secs(10);

/// Connections that are kept and used again.
pub(crate) type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Connections to places like this address; over TLS only servers are talked to that this machine trusts.
///
/// # Errors
/// rustls does not start.
pub(crate) fn http(address: &Uri) -> Result<Http, String> {
    let mut roots = RootCertStore::empty();
    if address.scheme_str() == Some("https") {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Ok(Client::builder(TokioExecutor::new()).build(connector))
}

/// The place that this text names.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn address(url: &str) -> Result<Uri, String> {
    let address: Uri = url.parse().map_err(|error| format!("{url:?} is no address: {error}"))?;
    if !matches!(address.scheme_str(), Some("http" | "https")) {
        return Err(format!("{url:?} must begin with http:// or https://"));
    }
    if address.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("the address of a gateway holds no user or password; a token is named with --token-file"
            .to_owned());
    }
    if address.query().is_some() {
        return Err(format!("{url:?} must end before the question mark"));
    }
    Ok(address)
}

/// The header of this token.
///
/// # Errors
/// Characters that no header takes; the token itself is not told.
pub(crate) fn bearer(token: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
        .map_err(|_| "the token has characters that no header takes".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}
