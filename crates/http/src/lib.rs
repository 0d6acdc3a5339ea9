//! A small HTTP client: bounded in time and size, TLS by rustls behind the feature `https`.
//!
//! | module | holds |
//! |---|---|
//! | [`connector`] | how connections are made, and whom they trust |
//! | [`proxy`] | connections through an HTTP proxy (feature `proxy`) |

pub mod connector;
#[cfg(feature = "proxy")]
pub mod proxy;

use std::{path::Path, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{Request, Uri, header};
use hyper_util::{client::legacy::Client as Pool, rt::TokioExecutor};
use tokio::time::timeout;

pub use hyper::{Method, StatusCode};

use connector::Connector;

/// How long one request may take: the Go system's limit.
const LIMIT: Duration = Duration::from_secs(5);
/// Connections kept open: as many as are used at once, within reason. An agent asks for each of its sessions.
const IDLE_CONNECTIONS: usize = 64;
/// A JSON document that is got: an API server says 406 to whoever takes its key sets as plain JSON only.
const DOCUMENT: &str = "application/json, application/jwk-set+json";
/// What is read of an answer that nobody asked for: as much as lets the connection be used again.
const IGNORED: usize = 64 * 1024;

/// The client. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Http(Pool<Connector, Full<Bytes>>);

impl Http {
    /// A client for addresses that begin with `base`; connections are made when they are needed. Servers are trusted
    /// as the system's certificates say.
    ///
    /// # Errors
    /// A sentence, if `base` needs TLS and this program has none, or no trusted certificates are found.
    pub fn new(base: &str) -> Result<Self, String> {
        Ok(Self::with(connector::system(base)?))
    }

    /// A client that trusts servers whose certificates an authority in this PEM file has signed, and no others.
    ///
    /// # Errors
    /// A sentence, if this program has no TLS, or the file cannot be read or holds no certificate.
    pub fn trusting(authorities: &Path) -> Result<Self, String> {
        Ok(Self::with(connector::authorities(authorities)?))
    }

    fn with(connector: Connector) -> Self {
        Self(Pool::builder(TokioExecutor::new()).pool_max_idle_per_host(IDLE_CONNECTIONS).build(connector))
    }

    /// Posts a JSON body; the answer's body is thrown away.
    ///
    /// # Errors
    /// A sentence for the log.
    pub async fn post(
        &self,
        address: &str,
        token: Option<&str>,
        body: Vec<u8>,
    ) -> Result<StatusCode, String> {
        let request = Request::post(parsed(address)?).header(header::CONTENT_TYPE, "application/json");
        self.exchange(request, token, body, IGNORED).await.map(|(status, _)| status)
    }

    /// Posts a JSON body, for an answer of at most `most` bytes; one that is larger reads as empty.
    ///
    /// # Errors
    /// A sentence for the log.
    pub async fn ask(
        &self,
        address: &str,
        token: Option<&str>,
        body: Vec<u8>,
        most: usize,
    ) -> Result<(StatusCode, Bytes), String> {
        let request = Request::post(parsed(address)?).header(header::CONTENT_TYPE, "application/json");
        let (status, body) = self.exchange(request, token, body, most).await?;
        Ok((status, body.unwrap_or_default()))
    }

    /// A JSON body by any method, with one header beside the usual ones, for an answer of at most `most` bytes.
    ///
    /// # Errors
    /// A sentence for the log; an answer that is larger is one.
    pub async fn send(
        &self,
        method: Method,
        address: &str,
        token: Option<&str>,
        (name, value): (&str, &str),
        body: Vec<u8>,
        most: usize,
    ) -> Result<(StatusCode, Bytes), String> {
        let mut request = Request::builder().method(method).uri(parsed(address)?).header(name, value);
        request = request.header(header::ACCEPT, "application/json");
        if !body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let (status, body) = self.exchange(request, token, body, most).await?;
        body.map(|body| (status, body)).ok_or_else(|| format!("the answer has more than {most} bytes"))
    }

    /// Gets a JSON document of at most `most` bytes. Redirects are not followed.
    ///
    /// # Errors
    /// A sentence for the log; what is larger is one.
    pub async fn get(
        &self,
        address: &str,
        token: Option<&str>,
        most: usize,
    ) -> Result<(StatusCode, Bytes), String> {
        let request = Request::get(parsed(address)?).header(header::ACCEPT, DOCUMENT);
        let (status, body) = self.exchange(request, token, Vec::new(), most).await?;
        body.map(|body| (status, body)).ok_or_else(|| format!("the answer has more than {most} bytes"))
    }

    /// The status and the body; `None`: it is larger than `most` bytes.
    async fn exchange(
        &self,
        mut request: hyper::http::request::Builder,
        token: Option<&str>,
        body: Vec<u8>,
        most: usize,
    ) -> Result<(StatusCode, Option<Bytes>), String> {
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Full::from(body)).map_err(|error| error.to_string())?;
        let exchange = async {
            let answer = self.0.request(request).await.map_err(|error| chain(&error))?;
            let status = answer.status();
            let (mut body, mut read) = (answer.into_body(), BytesMut::new());
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| error.to_string())?;
                if let Ok(data) = frame.into_data() {
                    read.extend_from_slice(&data);
                }
                if read.len() > most {
                    return Ok((status, None));
                }
            }
            Ok((status, Some(read.freeze())))
        };
        timeout(LIMIT, exchange).await.unwrap_or_else(|_| Err(format!("no answer within {LIMIT:?}")))
    }
}

fn parsed(address: &str) -> Result<Uri, String> {
    address.parse().map_err(|error| format!("address {address:?}: {error}"))
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

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    use super::*;

    #[tokio::test]
    async fn an_answer_is_read_up_to_its_bound_and_no_further() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/keys", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            let mut asked = String::new();
            for _ in 0..2 {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let read = stream.read(&mut request).await.unwrap();
                asked = String::from_utf8_lossy(&request[..read]).into_owned();
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n[1, 2]";
                stream.write_all(answer).await.unwrap();
            }
            asked
        });
        let http = Http::new(&address).unwrap();
        let (status, body) = http.get(&address, Some("secret"), 6).await.unwrap();
        assert_eq!((status, &body[..]), (StatusCode::OK, &b"[1, 2]"[..]));
        assert!(http.get(&address, Some("secret"), 5).await.unwrap_err().contains("more than 5 bytes"));
        let asked = server.await.unwrap().to_lowercase();
        assert!(asked.starts_with("get /keys") && asked.contains("authorization: bearer secret"), "{asked}");
        assert!(asked.contains("accept: application/json, application/jwk-set+json"), "{asked}");
    }

    #[cfg(feature = "https")]
    #[test]
    fn a_file_without_authorities_is_refused_with_its_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Http::trusting(file.path()).unwrap_err();
        assert!(error.contains(file.path().to_str().unwrap()), "{error}");
    }
}
