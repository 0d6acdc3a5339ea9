//! Certificates that may change while we run: cert-manager and the chart renew them in place.

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures::{Stream, stream};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;

use super::{Error, PATIENCE};

/// How often the files are read again: well within the minute that a kubelet takes to write them.
const READ_EVERY: Duration = Duration::from_secs(5);
/// Handshakes at once; who comes beyond waits to be accepted.
const HANDSHAKES: usize = 64;
/// A pause after a connection could not be accepted, most often for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// What KEDA's client insists on.
const HTTP2: &[u8] = b"h2";

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITY: &str = "ca.crt";

/// The certificates of a directory. Connections that are open stay as they are when these change.
pub(super) struct Certificates {
    directory: PathBuf,
    current: watch::Sender<Arc<ServerConfig>>,
    /// What was read last.
    read: Files,
}

#[derive(Clone, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
    authority: Vec<u8>,
}

impl Files {
    fn read(directory: &std::path::Path) -> Result<Self, Error> {
        let read = |name: &str| {
            let file = directory.join(name);
            std::fs::read(&file).map_err(|error| Error::Certificates { file, why: error.to_string() })
        };
        Ok(Self { certificate: read(CERTIFICATE)?, key: read(KEY)?, authority: read(AUTHORITY)? })
    }

    /// What a server needs that takes only clients with a certificate by this authority.
    fn server(&self, directory: &std::path::Path) -> Result<ServerConfig, Error> {
        let wrong = |name: &str, why: String| Error::Certificates { file: directory.join(name), why };
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.authority).map_err(|why| wrong(AUTHORITY, why))? {
            roots.add(authority).map_err(|error| wrong(AUTHORITY, error.to_string()))?;
        }
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .map_err(|error| wrong(AUTHORITY, error.to_string()))?;
        let chain = certificates(&self.certificate).map_err(|why| wrong(CERTIFICATE, why))?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| wrong(KEY, error.to_string()))?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong(CERTIFICATE, error.to_string()))?
            .with_client_cert_verifier(clients)
            .with_single_cert(chain, key)
            .map_err(|error| wrong(CERTIFICATE, error.to_string()))?;
        server.alpn_protocols = vec![HTTP2.to_vec()];
        Ok(server)
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(read) if read.is_empty() => Err("holds no certificate".to_owned()),
        Ok(read) => Ok(read),
        Err(error) => Err(error.to_string()),
    }
}

impl Certificates {
    /// Reads `tls.crt`, `tls.key` and `ca.crt`.
    ///
    /// # Errors
    /// Which file is missing or wrong.
    pub(super) fn read(directory: PathBuf) -> Result<Self, Error> {
        let read = Files::read(&directory)?;
        let server = read.server(&directory)?;
        Ok(Self { directory, current: watch::Sender::new(Arc::new(server)), read })
    }

    /// Reads them again and again. Those that cannot be used are not taken: they may be half written.
    pub(super) async fn follow(self: Arc<Self>, stop: CancellationToken) {
        let mut last = self.read.clone();
        let mut complaint = String::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(READ_EVERY) => {}
            }
            let read = Files::read(&self.directory).and_then(|files| {
                let server = if files == last { None } else { Some(files.server(&self.directory)?) };
                Ok((files, server))
            });
            match read {
                Ok((_, None)) => complaint.clear(),
                Ok((files, Some(server))) => {
                    last = files;
                    complaint.clear();
                    self.current.send_replace(Arc::new(server));
                    tracing::info!(
                        "the push scaler's certificates changed; new connections meet the new ones"
                    );
                }
                Err(error) if error.to_string() != complaint => {
                    complaint = error.to_string();
                    tracing::warn!(%error, "the push scaler keeps its certificates");
                }
                Err(_) => {}
            }
        }
    }

    fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.borrow().clone())
    }
}

struct Accepting {
    listener: TcpListener,
    certificates: Arc<Certificates>,
    handshakes: JoinSet<Option<TlsStream<TcpStream>>>,
}

/// Connections whose client has shown its certificate. A slow handshake holds up nobody else.
pub(super) fn connections(
    listener: TcpListener,
    certificates: Arc<Certificates>,
) -> impl Stream<Item = Result<TlsStream<TcpStream>, std::io::Error>> {
    let accepting = Accepting { listener, certificates, handshakes: JoinSet::new() };
    stream::unfold(accepting, async |mut accepting| {
        let connection = accepting.next().await;
        Some((Ok(connection), accepting))
    })
}

impl Accepting {
    async fn next(&mut self) -> TlsStream<TcpStream> {
        loop {
            tokio::select! {
                Some(shaken) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = shaken {
                        return connection;
                    }
                }
                accepted = self.listener.accept(), if self.handshakes.len() < HANDSHAKES => match accepted {
                    Ok((connection, from)) => {
                        let _ = connection.set_nodelay(true);
                        let acceptor = self.certificates.acceptor();
                        self.handshakes.spawn(async move {
                            match timeout(PATIENCE, acceptor.accept(connection)).await {
                                Ok(Ok(connection)) => return Some(connection),
                                Ok(Err(error)) => tracing::warn!(%from, %error, "the push scaler refused a client"),
                                Err(_) => tracing::debug!(%from, "a client of the push scaler said nothing"),
                            }
                            None
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the push scaler cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
    }
}
