//! What of the kubelet's own API is served to the API server: logs, and ways to the ports of pods.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use kube::Client;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_rustls::TlsAcceptor;
use tracing::debug;

use crate::forward;
use crate::logs::Logs;

/// Serves until it is dropped; returns the port at once.
///
/// # Errors
/// When there is no `openssl` to make a certificate, which the API server does not check.
pub(crate) async fn serve(
    folder: &Path,
    logs: Logs,
    client: Client,
) -> Result<(u16, impl Future<Output = ()> + use<>)> {
    let acceptor = TlsAcceptor::from(Arc::new(certificate(folder).await?));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let port = listener.local_addr()?.port();
    let serving = async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let (acceptor, logs, client) = (acceptor.clone(), logs.clone(), client.clone());
            tokio::spawn(async move {
                let answered = async { answer(acceptor.accept(stream).await?, &logs, &client).await };
                if let Err(error) = answered.await {
                    debug!("not answered: {error:#}");
                }
            });
        }
    };
    Ok((port, serving))
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, logs: &Logs, client: &Client) -> Result<()> {
    let mut stream = BufReader::new(stream);
    if stream.fill_buf().await?.starts_with(forward::REQUEST) {
        return forward::lead(stream, client).await;
    }
    logs.answer(stream).await
}

async fn certificate(folder: &Path) -> Result<ServerConfig> {
    let (key, certificate) = (folder.join("kubelet.key"), folder.join("kubelet.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "3650",
    ]);
    openssl.args(["-subj", "/CN=minikubelet", "-keyout"]).arg(&key).arg("-out").arg(&certificate);
    let made = openssl.output().await.context("starting openssl")?;
    anyhow::ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    let chain = vec![CertificateDer::from_pem_file(&certificate)?];
    Ok(ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(&key)?)?)
}
