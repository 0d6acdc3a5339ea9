//! One exchange with a server, redirects included: to allowed servers only, bounded in size.

use std::{
    error::Error as _,
    future::Future,
    net::{IpAddr, SocketAddr},
    path::Path,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use asya_http::connector;
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{self, HeaderName},
};
use hyper_util::{
    client::legacy::{Client as Pool, connect::dns::Name},
    rt::{TokioExecutor, TokioTimer},
};
use url::Url;

use super::allow::{Allow, NotAllowed};

/// Headers that go on to another server than the one that was called: they say what the body is, and nothing of who
/// asks.
const NEUTRAL: [HeaderName; 4] =
    [header::ACCEPT, header::CONTENT_TYPE, header::USER_AGENT, HeaderName::from_static("idempotency-key")];

type Connections = Pool<connector::Resolving<Guard>, Full<Bytes>>;

/// What exchanges. Connections are kept for the next one.
pub(crate) struct Client {
    pool: Connections,
    /// To the server of the settings' own URL, whose name may lead into a private network. Apart from the others,
    /// because whoever resolves a name does not see the port.
    home: Option<Connections>,
    allow: Arc<Allow>,
    redirects: u32,
    max_answer: usize,
    /// What is larger is cut, and not refused.
    cuts: bool,
}

/// What is asked.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What is answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// False if the body goes on.
    pub(crate) whole: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Broken {
    /// It must not be asked.
    NotAllowed(String),
    /// No connection came about: nothing was sent.
    Unreachable(String),
    /// The connection broke.
    Lost(String),
    /// The answer is none that can be taken.
    Unusable(String),
}

impl From<NotAllowed> for Broken {
    fn from(error: NotAllowed) -> Self {
        Self::NotAllowed(error.to_string())
    }
}

impl Client {
    /// # Errors
    /// A sentence, if there are no trusted certificates although `tls` needs them.
    pub(crate) fn new(
        allow: Allow,
        redirects: u32,
        max_answer: usize,
        authorities: Option<&Path>,
        tls: bool,
    ) -> Result<Self, String> {
        let allow = Arc::new(allow);
        let connections = |home: bool| {
            let guard = Guard { allow: Arc::clone(&allow), home };
            let connector = connector::resolving(guard, authorities, tls)?;
            Ok::<_, String>(
                Pool::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector),
            )
        };
        let home = allow.has_home().then(|| connections(true)).transpose()?;
        Ok(Self { pool: connections(false)?, home, allow, redirects, max_answer, cuts: false })
    }

    /// The same, but an answer that is too large is cut and not refused.
    #[must_use]
    pub(crate) fn cutting(self) -> Self {
        Self { cuts: true, ..self }
    }

    /// Asks, and follows where the answers lead; reads the last one. Cancel safe: dropped, it ends the connection.
    pub(crate) async fn exchange(&self, call: Call) -> Result<Answer, Broken> {
        let answer = self.open(call).await?;
        self.read(answer).await
    }

    /// The same without the reading, for what reads while it comes; the bound of an answer is the reader's then.
    pub(crate) async fn open(&self, call: Call) -> Result<Response<Incoming>, Broken> {
        let origin = call.url.origin();
        let Call { mut method, mut url, mut headers, mut body } = call;
        let mut left = self.redirects;
        // Until it leads elsewhere: no other server sends requests into the private network.
        let mut at_home = true;
        loop {
            self.allow.url(&url)?;
            at_home &= self.allow.is_home(&url);
            let connections = self.home.as_ref().filter(|_| at_home).unwrap_or(&self.pool);
            if url.origin() != origin {
                headers = headers.into_iter().filter_map(neutral).collect();
            }
            url.set_fragment(None);
            let uri: Uri =
                url.as_str().parse().map_err(|error| Broken::NotAllowed(format!("URL: {error}")))?;
            let mut request = Request::new(Full::new(body.clone()));
            (*request.method_mut(), *request.uri_mut()) = (method.clone(), uri);
            request.headers_mut().clone_from(&headers);
            let answer = connections.request(request).await.map_err(|error| broken(&error))?;
            let Some(next) = self.redirects.checked_sub(1).and_then(|_| target(&answer, &url)) else {
                return Ok(answer);
            };
            let next = next?;
            let host = next.host_str().unwrap_or_default();
            left = left.checked_sub(1).ok_or_else(|| {
                Broken::Unusable(format!(
                    "more than {} redirects; the next one leads to {host}",
                    self.redirects
                ))
            })?;
            if url.scheme() == "https" && next.scheme() == "http" {
                return Err(Broken::NotAllowed(format!("a redirect leads from https to http at {host}")));
            }
            let get = match answer.status() {
                StatusCode::SEE_OTHER => method != Method::HEAD,
                StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => method == Method::POST,
                _ => false,
            };
            if get {
                (method, body) = (Method::GET, Bytes::new());
                headers.remove(header::CONTENT_TYPE);
            }
            url = next;
        }
    }

    async fn read(&self, answer: Response<Incoming>) -> Result<Answer, Broken> {
        let (parts, mut incoming) = answer.into_parts();
        let too_large = || {
            Broken::Unusable(format!(
                "the answer is larger than ASYA_HTTP_MAX_ANSWER, {} bytes",
                self.max_answer
            ))
        };
        let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
        let announced = announced.and_then(|text| text.parse::<usize>().ok());
        // Of a failure the beginning says enough.
        let refuses = parts.status.is_success() && !self.cuts;
        if announced.is_some_and(|length| length > self.max_answer) && refuses {
            return Err(too_large());
        }
        let mut whole = true;
        let mut body = BytesMut::new();
        while let Some(frame) = incoming.frame().await {
            let frame = frame.map_err(|error| Broken::Lost(chain(&error)))?;
            if let Ok(data) = frame.into_data() {
                body.extend_from_slice(&data);
            }
            if body.len() > self.max_answer {
                if refuses {
                    return Err(too_large());
                }
                whole = false;
                body.truncate(self.max_answer);
                break;
            }
        }
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.freeze(), whole })
    }
}

fn neutral(
    (name, value): (Option<HeaderName>, hyper::header::HeaderValue),
) -> Option<(HeaderName, hyper::header::HeaderValue)> {
    name.filter(|name| NEUTRAL.contains(name)).map(|name| (name, value))
}

/// Where an answer leads, if it leads anywhere.
fn target(answer: &Response<Incoming>, url: &Url) -> Option<Result<Url, Broken>> {
    if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let target = answer.headers().get(header::LOCATION)?;
    let joined = target.to_str().map_err(|error| error.to_string());
    let joined = joined.and_then(|text| url.join(text).map_err(|error| error.to_string()));
    Some(joined.map_err(|error| Broken::Unusable(format!("the redirect leads nowhere: {error}"))))
}

fn broken(error: &hyper_util::client::legacy::Error) -> Broken {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(refused) = inner.downcast_ref::<NotAllowed>() {
            return Broken::NotAllowed(refused.to_string());
        }
        cause = inner.source();
    }
    let text = chain(error);
    if error.is_connect() { Broken::Unreachable(text) } else { Broken::Lost(text) }
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

/// Resolves names, and gives only addresses that are allowed.
#[derive(Clone)]
pub(crate) struct Guard {
    allow: Arc<Allow>,
    /// For connections to the server of the settings' own URL.
    home: bool,
}

type Resolved = Result<std::vec::IntoIter<SocketAddr>, Box<dyn std::error::Error + Send + Sync>>;

impl tower::Service<Name> for Guard {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Resolved> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let Self { allow, home } = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            let good = allow.addresses(name.as_str(), found, home)?;
            // The port is the URL's.
            let good: Vec<_> = good.into_iter().map(|address| SocketAddr::new(address, 0)).collect();
            Ok(good.into_iter())
        })
    }
}
