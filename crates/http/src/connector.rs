//! How connections are made, and whom they trust.

use std::path::Path;

use hyper_util::client::legacy::connect::HttpConnector;

/// How long one address may take to answer to a connection that [`resolving`] makes.
#[cfg(feature = "https")]
const CONNECT: std::time::Duration = std::time::Duration::from_secs(10);

#[cfg(feature = "https")]
/// What connects.
pub type Connector = hyper_rustls::HttpsConnector<HttpConnector>;
/// What connects; `http://` only.
#[cfg(not(feature = "https"))]
pub type Connector = HttpConnector;

/// A connector for addresses that begin with `base`, and if that is `https://` for any. The crypto provider is ring.
///
/// # Errors
/// A sentence, if TLS is needed and there is none, or no trusted certificates are found.
#[cfg(feature = "https")]
pub fn system(base: &str) -> Result<Connector, String> {
    if base.starts_with("https://") {
        let trusted = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(ring())
            .map_err(|error| format!("no trusted certificates: {error}"))?;
        return Ok(trusted.https_or_http().enable_http1().build());
    }
    // Without https in sight the system's certificates need not be read.
    trusting(rustls::RootCertStore::empty())
}

/// What connects to the addresses that a resolver gives.
#[cfg(feature = "https")]
pub type Resolving<R> = hyper_rustls::HttpsConnector<HttpConnector<R>>;

#[cfg(feature = "https")]
pub(crate) fn authorities(file: &Path) -> Result<Connector, String> {
    trusting(read(file)?)
}

/// A connector whose names are resolved by `resolver`: it decides which addresses are connected to. Servers are trusted
/// whose certificates an authority in the PEM file `authorities` has signed, else as the system says. Without `tls` a
/// system that trusts nobody is no error.
///
/// # Errors
/// A sentence, if no trusted certificates are found.
#[cfg(feature = "https")]
pub fn resolving<R>(resolver: R, authorities: Option<&Path>, tls: bool) -> Result<Resolving<R>, String> {
    let builder = rustls::ClientConfig::builder_with_provider(ring().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match authorities {
        Some(file) => builder.with_root_certificates(read(file)?),
        None => match hyper_rustls::ConfigBuilderExt::with_native_roots(builder.clone()) {
            Ok(config) => config,
            Err(error) if tls => return Err(format!("no trusted certificates: {error}")),
            Err(_) => builder.with_root_certificates(rustls::RootCertStore::empty()),
        },
    };
    let mut http = HttpConnector::new_with_resolver(resolver);
    http.enforce_http(false);
    http.set_connect_timeout(Some(CONNECT));
    let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(config.with_no_client_auth());
    Ok(builder.https_or_http().enable_http1().wrap_connector(http))
}

#[cfg(feature = "https")]
fn read(file: &Path) -> Result<rustls::RootCertStore, String> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};

    let wrong = |what: String| format!("certificates of {}: {what}", file.display());
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| wrong(error.to_string()))? {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("the file holds none".to_owned()));
    }
    Ok(roots)
}

/// What connects, through a proxy or not.
#[cfg(feature = "proxy")]
pub type Proxied = hyper_rustls::HttpsConnector<crate::proxy::Way>;

/// What connects to any address, through `proxy` if there is one. Servers are trusted whose certificates an authority in
/// the PEM file `authorities` has signed, else as the system says. `connect` bounds the time that one address may take.
///
/// # Errors
/// A sentence, if `base` needs TLS and no trusted certificates are found.
#[cfg(feature = "proxy")]
pub fn proxied(
    base: &str,
    authorities: Option<&Path>,
    proxy: Option<&crate::proxy::Proxy>,
    connect: std::time::Duration,
) -> Result<Proxied, String> {
    let builder = rustls::ClientConfig::builder_with_provider(ring().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match authorities {
        Some(file) => builder.with_root_certificates(read(file)?),
        // Without https in sight the system's certificates need not be read.
        None if !base.starts_with("https://") => {
            builder.with_root_certificates(rustls::RootCertStore::empty())
        }
        None => hyper_rustls::ConfigBuilderExt::with_native_roots(builder)
            .map_err(|error| format!("no trusted certificates: {error}"))?,
    };
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(connect));
    http.set_nodelay(true);
    let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(config.with_no_client_auth());
    Ok(builder.https_or_http().enable_http1().wrap_connector(crate::proxy::Way::new(http, proxy)))
}

#[cfg(feature = "https")]
fn trusting(roots: rustls::RootCertStore) -> Result<Connector, String> {
    let config = rustls::ClientConfig::builder_with_provider(ring().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(config);
    Ok(builder.https_or_http().enable_http1().build())
}

#[cfg(feature = "https")]
fn ring() -> rustls::crypto::CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// A connector for `http://`.
///
/// # Errors
/// A sentence, if `base` needs TLS.
#[cfg(not(feature = "https"))]
pub fn system(base: &str) -> Result<Connector, String> {
    if base.starts_with("https://") {
        return Err("this program was built without TLS (feature \"https\")".to_owned());
    }
    Ok(HttpConnector::new())
}

#[cfg(not(feature = "https"))]
pub(crate) fn authorities(_: &Path) -> Result<Connector, String> {
    Err("this program was built without TLS (feature \"https\")".to_owned())
}
