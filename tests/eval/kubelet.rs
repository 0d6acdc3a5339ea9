//! What containers print. The one thing of a kubelet's API that is served: reading it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context as _, Result, ensure};
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    process::Command,
};
use tokio_rustls::TlsAcceptor;

/// Texts by `NAMESPACE/POD/CONTAINER`, with `/previous` for the run before.
type Texts = Arc<Mutex<BTreeMap<String, String>>>;

/// A kubelet of which there are only the logs.
pub(crate) struct Kubelet {
    /// Where the API server finds it.
    pub(crate) port: u16,
    texts: Texts,
}

impl Kubelet {
    /// Listens from now on.
    ///
    /// # Errors
    /// When there is no `openssl` to make a certificate, which the API server does not check.
    pub(crate) async fn start() -> Result<Self> {
        let acceptor = TlsAcceptor::from(Arc::new(certificate().await?));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let (port, texts) = (listener.local_addr()?.port(), Texts::default());
        let served = Arc::clone(&texts);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, texts) = (acceptor.clone(), Arc::clone(&served));
                tokio::spawn(async move {
                    let answered = async { answer(acceptor.accept(stream).await?, &texts).await };
                    // Who does not wait for the answer needs none.
                    let _: Result<()> = answered.await;
                });
            }
        });
        Ok(Self { port, texts })
    }

    /// From now on this container has printed this.
    pub(crate) fn prints(&self, container: String, text: &str) {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).insert(container, text.to_owned());
    }
}

async fn answer(stream: impl AsyncRead + AsyncWrite + Unpin, texts: &Texts) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let mut asked = String::new();
    stream.read_line(&mut asked).await?;
    let mut line = asked.clone();
    while !line.trim().is_empty() {
        line.clear();
        stream.read_line(&mut line).await?;
    }
    let text = find(&asked, &texts.lock().unwrap_or_else(PoisonError::into_inner));
    let (status, text) = text.map_or(("404 Not Found", String::new()), |text| ("200 OK", text));
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all((head + &text).as_bytes()).await?;
    Ok(stream.shutdown().await?)
}

/// `GET /containerLogs/NAMESPACE/POD/CONTAINER?previous=true&tailLines=10 HTTP/1.1`
fn find(asked: &str, texts: &BTreeMap<String, String>) -> Option<String> {
    let target = asked.split_whitespace().nth(1)?;
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let option = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let container = path.strip_prefix("/containerLogs/")?;
    let before = if option("previous") == Some("true") { "/previous" } else { "" };
    let text = texts.get(&format!("{container}{before}"))?;
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    let tail = option("tailLines").and_then(|lines| lines.parse().ok()).unwrap_or(lines.len());
    Some(lines[lines.len().saturating_sub(tail)..].concat())
}

async fn certificate() -> Result<ServerConfig> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name);
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
        "30",
    ]);
    openssl.args(["-subj", "/CN=kubelet", "-keyout"]).arg(file("key")).arg("-out").arg(file("pem"));
    let made = openssl.output().await.context("starting openssl")?;
    ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    let pem = |name: &str| -> Result<Vec<u8>> { Ok(std::fs::read(file(name))?) };
    let chain = vec![CertificateDer::from_pem_slice(&pem("pem")?)?];
    let key = PrivateKeyDer::from_pem_slice(&pem("key")?)?;
    Ok(ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_found_by_its_container_and_run_and_its_end_by_lines() {
        let texts = BTreeMap::from([
            ("n/web/c".to_owned(), "a\nb\nc\n".to_owned()),
            ("n/web/c/previous".to_owned(), "it ended".to_owned()),
        ]);
        let found = |target: &str| find(&format!("GET /containerLogs/{target} HTTP/1.1\r\n"), &texts);
        assert_eq!(found("n/web/c").as_deref(), Some("a\nb\nc\n"));
        assert_eq!(found("n/web/c?tailLines=2").as_deref(), Some("b\nc\n"));
        assert_eq!(found("n/web/c?previous=true&tailLines=9").as_deref(), Some("it ended"));
        assert_eq!(found("n/web/d"), None);
        assert_eq!(find("GET /exec/n/web/c HTTP/1.1", &texts), None);
    }
}
