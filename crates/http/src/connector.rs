//! How connections are made, and whom they trust.

use std::path::Path;

use hyper_util::client::legacy::connect::HttpConnector;

#[cfg(feature = "https")]
pub(crate) type Connector = hyper_rustls::HttpsConnector<HttpConnector>;
#[cfg(not(feature = "https"))]
pub(crate) type Connector = HttpConnector;

#[cfg(feature = "https")]
pub(crate) fn system(base: &str) -> Result<Connector, String> {
    if base.starts_with("https://") {
        let trusted = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(ring())
            .map_err(|error| format!("no trusted certificates: {error}"))?;
        return Ok(trusted.https_or_http().enable_http1().build());
    }
    // Without https in sight the system's certificates need not be read.
    trusting(rustls::RootCertStore::empty())
}

#[cfg(feature = "https")]
pub(crate) fn authorities(file: &Path) -> Result<Connector, String> {
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
    trusting(roots)
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

#[cfg(not(feature = "https"))]
pub(crate) fn system(base: &str) -> Result<Connector, String> {
    if base.starts_with("https://") {
        return Err("this program was built without TLS (feature \"https\")".to_owned());
    }
    Ok(HttpConnector::new())
}

#[cfg(not(feature = "https"))]
pub(crate) fn authorities(_: &Path) -> Result<Connector, String> {
    Err("this program was built without TLS (feature \"https\")".to_owned())
}
