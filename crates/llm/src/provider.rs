//! A provider over HTTP: one attempt per call, bounded in time and size.

use std::{fmt, path::PathBuf, time::Duration};

use asya_http::{connector::Proxied, proxy::Proxy};
use asya_settings::Secret;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    HeaderMap, Request as HttpRequest,
    body::Incoming,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT},
};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tokio::time::{Instant, timeout_at};

use crate::{
    classify,
    dialect::{Decoder, Defaults, Dialect, KeyHeader},
    error::{Error, Kind},
    frames::Frames,
    model::Model,
    request::Request,
    response::{Event, Events, Response},
};

/// The largest answer that is read: a model's longest is a few hundred thousand tokens, a megabyte or two.
const LARGEST: usize = 16 << 20;
/// What is read of a refusal.
const REFUSAL: usize = 64 << 10;
/// How long an unused connection is kept: shorter than load balancers do, so that few requests meet a closed one.
const IDLE: Duration = Duration::from_secs(30);
/// How long a refusal's body may take.
const REFUSAL_TIME: Duration = Duration::from_secs(10);

/// How long things may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect to one address.
    pub connect: Duration,
    /// The whole of a call, stream or not.
    pub total: Duration,
    /// Between two pieces of a stream, and until its first.
    pub idle: Duration,
}

impl Default for Timeouts {
    /// A slow model on a busy machine answers within two minutes, and says something within one.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            total: Duration::from_secs(120),
            idle: Duration::from_secs(60),
        }
    }
}

/// Where a provider is, and what it is told with every request. `Debug` of its parts shows no secret.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Endpoint {
    pub(crate) provider: String,
    pub(crate) dialect: Dialect,
    pub(crate) base: String,
    /// Read at every call: a key that is rotated in its file counts at once.
    pub(crate) key: Option<Secret>,
    pub(crate) headers: Vec<(String, Secret)>,
    pub(crate) authorities: Option<PathBuf>,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) defaults: Defaults,
    pub(crate) timeouts: Timeouts,
    /// Requests are signed with AWS credentials for this region.
    #[cfg_attr(not(feature = "bedrock"), allow(dead_code, reason = "only what signs reads it"))]
    pub(crate) signed: Option<String>,
}

/// A provider over HTTP. One call is one request: retries, limits and budgets are [`Guarded`](crate::Guarded)'s.
#[derive(Clone)]
pub struct Provider {
    endpoint: Endpoint,
    client: Client<Proxied, Full<Bytes>>,
    #[cfg(feature = "bedrock")]
    signer: Option<std::sync::Arc<crate::aws::Signer>>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoint { provider, dialect, base, key, defaults, .. } = &self.endpoint;
        f.debug_struct("Provider")
            .field("provider", provider)
            .field("dialect", dialect)
            .field("base", base)
            .field("key", key)
            .field("model", &defaults.model)
            .finish_non_exhaustive()
    }
}

impl Provider {
    /// A provider; connections are made when they are needed.
    ///
    /// # Errors
    /// A sentence: trusted certificates are missing, or a header cannot be sent.
    pub(crate) fn new(endpoint: Endpoint) -> Result<Self, String> {
        let connector = asya_http::connector::proxied(
            &endpoint.base,
            endpoint.authorities.as_deref(),
            endpoint.proxy.as_ref(),
            endpoint.timeouts.connect,
        )?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(connector);
        #[cfg(feature = "bedrock")]
        let signer =
            endpoint.signed.clone().map(|region| std::sync::Arc::new(crate::aws::Signer::new(region)));
        Ok(Self {
            endpoint,
            client,
            #[cfg(feature = "bedrock")]
            signer,
        })
    }

    /// Sends the request and waits for the head of a good answer.
    async fn send(
        &self,
        request: &Request,
        key: Option<&str>,
        stream: bool,
    ) -> Result<(HeaderMap, Incoming), Error> {
        let Endpoint { dialect, base, defaults, .. } = &self.endpoint;
        let address = dialect.address(base, defaults.model(request), stream);
        let mut http = HttpRequest::post(&address)
            .header(CONTENT_TYPE, "application/json")
            .header(
                ACCEPT,
                if stream {
                    "text/event-stream, application/vnd.amazon.eventstream, application/json"
                } else {
                    "application/json"
                },
            )
            .header(USER_AGENT, concat!("asya/", env!("CARGO_PKG_VERSION")));
        for (name, value) in dialect.headers() {
            http = http.header(*name, *value);
        }
        let bad = |what: String| Error::new(Kind::BadRequest, what);
        if let Some(key) = key {
            let (name, value) = match dialect.key_header() {
                KeyHeader::Bearer => (AUTHORIZATION, format!("Bearer {key}")),
                KeyHeader::Named(name) => (HeaderName::from_static(name), key.to_owned()),
            };
            http = http.header(
                name,
                sensitive(&value).ok_or_else(|| bad("the key has characters that no key has".to_owned()))?,
            );
        }
        let body = Bytes::from(dialect.body(request, defaults, stream).to_string());
        let mut http = http
            .body(Full::from(body.clone()))
            .map_err(|error| bad(format!("the address {base:?} cannot be used: {error}")))?;
        for (name, value) in &self.endpoint.headers {
            let value = value.read().map_err(bad)?;
            let parsed = HeaderName::try_from(name.as_str()).ok().zip(sensitive(&value));
            let (name, value) = parsed.ok_or_else(|| bad(format!("the header {name:?} cannot be sent")))?;
            http.headers_mut().insert(name, value);
        }
        #[cfg(feature = "bedrock")]
        if let Some(signer) = &self.signer {
            signer.sign(&mut http, &body).await?;
        }
        let answer = self.client.request(http).await.map_err(|error| {
            let what = if error.is_connect() { "cannot connect to" } else { "the connection broke to" };
            Error::new(Kind::Unavailable { after: None }, format!("{what} {base}: {}", chain(&error)))
        })?;
        let (head, body) = answer.into_parts();
        if head.status.is_success() {
            return Ok((head.headers, body));
        }
        // The status is what counts: a body that does not come must not hide it.
        let read = tokio::time::timeout(REFUSAL_TIME, Limited::new(body, REFUSAL).collect()).await;
        let body =
            read.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default();
        Err(classify::refusal(head.status, &head.headers, &body))
    }

    async fn whole(&self, request: &Request, key: Option<&str>) -> Result<Response, Error> {
        let (headers, body) = self.send(request, key, false).await?;
        let body = read(body).await?;
        json(&headers, &body)?;
        self.endpoint.dialect.response(&body)
    }

    fn key(&self) -> Result<Option<String>, Error> {
        let read = self.endpoint.key.as_ref().map(Secret::read).transpose();
        read.map_err(|error| Error::new(Kind::Auth, error).at(&self.endpoint.provider, None))
    }

    fn late(&self, what: &str, limit: Duration) -> Error {
        Error::new(Kind::Timeout, format!("{what} within {limit:?} from {}", self.endpoint.base))
    }
}

#[async_trait]
impl Model for Provider {
    fn provider(&self) -> &str {
        &self.endpoint.provider
    }

    fn model(&self) -> &str {
        &self.endpoint.defaults.model
    }

    async fn complete(&self, request: &Request) -> Result<Response, Error> {
        let (key, total) = (self.key()?, self.endpoint.timeouts.total);
        let answer = tokio::time::timeout(total, self.whole(request, key.as_deref())).await;
        let answer = answer.unwrap_or_else(|_| Err(self.late("nothing whole", total)));
        answer.map_err(|error| error.at(&self.endpoint.provider, key.as_deref()))
    }

    async fn stream(&self, request: &Request) -> Result<Events, Error> {
        if !self.endpoint.dialect.streams() {
            return Ok(self.complete(request).await?.stream());
        }
        let key = self.key()?;
        let Timeouts { total, idle, .. } = self.endpoint.timeouts;
        let ends = Instant::now() + total;
        let begun = async {
            let (headers, body) = self.send(request, key.as_deref(), true).await?;
            if kind_of(&headers) == "application/json" {
                // A server that does not stream answers as a whole; Gemini's errors come like this too.
                return Ok(Begun::Whole(self.endpoint.dialect.response(&read(body).await?)?));
            }
            let Some(frames) = Frames::of(&kind_of(&headers)) else {
                let body = read(body).await?;
                json(&headers, &body)?;
                return Err(Error::malformed("it is no stream"));
            };
            Ok(Begun::Stream(frames, body))
        };
        let first = ends.min(Instant::now() + idle);
        let begun = timeout_at(first, begun).await.unwrap_or_else(|_| Err(self.late("no word", idle)));
        match begun.map_err(|error| error.at(&self.endpoint.provider, key.as_deref()))? {
            Begun::Whole(response) => Ok(response.stream()),
            Begun::Stream(frames, body) => {
                let pieces = Pieces {
                    body,
                    frames,
                    decoder: self.endpoint.dialect.decoder(),
                    ready: std::collections::VecDeque::new(),
                    read: 0,
                    ends,
                    idle,
                    failed: None,
                    over: false,
                };
                let (provider, base) = (self.endpoint.provider.clone(), self.endpoint.base.clone());
                let events = futures::stream::unfold(pieces, move |mut pieces| {
                    let (provider, base, key) = (provider.clone(), base.clone(), key.clone());
                    async move {
                        let event = pieces.next(&base).await?;
                        Some((event.map_err(|error| error.at(&provider, key.as_deref())), pieces))
                    }
                });
                Ok(events.boxed())
            }
        }
    }
}

enum Begun {
    Whole(Response),
    Stream(Frames, Incoming),
}

/// A stream that is being read.
struct Pieces {
    body: Incoming,
    frames: Frames,
    decoder: Decoder,
    ready: std::collections::VecDeque<Event>,
    read: usize,
    ends: Instant,
    idle: Duration,
    /// What went wrong behind the pieces that are ready.
    failed: Option<Error>,
    /// The end or an error was given out.
    over: bool,
}

impl Pieces {
    async fn next(&mut self, base: &str) -> Option<Result<Event, Error>> {
        loop {
            if self.over {
                return None;
            }
            if let Some(event) = self.ready.pop_front() {
                self.over = matches!(event, Event::End(_));
                return Some(Ok(event));
            }
            let failed = match self.failed.take() {
                Some(error) => Some(error),
                None => self.read(base).await.err(),
            };
            if let Some(error) = failed {
                self.over = true;
                return Some(Err(error));
            }
        }
    }

    /// Reads the next bytes. An error among them waits until the pieces before it are given out.
    async fn read(&mut self, base: &str) -> Result<(), Error> {
        let until = self.ends.min(Instant::now() + self.idle);
        let frame = timeout_at(until, self.body.frame()).await.map_err(|_| {
            Error::new(Kind::Timeout, format!("the answer from {base} stopped in the middle"))
        })?;
        let Some(frame) = frame else {
            let last = self.frames.finish();
            if let Some(sse) = last {
                self.ready.extend(self.decoder.push(&sse)?);
            }
            if !self.ready.iter().any(|event| matches!(event, Event::End(_))) {
                self.ready.extend(self.decoder.finish()?);
            }
            return Ok(());
        };
        let frame = frame.map_err(|error| {
            Error::new(Kind::Unavailable { after: None }, format!("the connection broke: {}", chain(&error)))
        })?;
        let Ok(data) = frame.into_data() else { return Ok(()) };
        self.read += data.len();
        if self.read > LARGEST {
            return Err(too_large());
        }
        for sse in self.frames.push(&data)? {
            match self.decoder.push(&sse) {
                Ok(events) => self.ready.extend(events),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        Ok(())
    }
}

/// The whole body, within its bound.
async fn read(body: Incoming) -> Result<Bytes, Error> {
    match Limited::new(body, LARGEST).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Err(error) => {
            let detail = format!("the connection broke in the answer: {}", chain(error.as_ref()));
            Err(Error::new(Kind::Unavailable { after: None }, detail))
        }
    }
}

fn too_large() -> Error {
    Error::malformed(format!("it has more than {LARGEST} bytes"))
}

/// A page instead of an answer is told as such.
fn json(headers: &HeaderMap, body: &[u8]) -> Result<(), Error> {
    let kind = kind_of(headers);
    if kind.ends_with("json") || kind.is_empty() {
        return Ok(());
    }
    // Some servers send JSON as plain text.
    if kind == "text/plain" && body.trim_ascii_start().starts_with(b"{") {
        return Ok(());
    }
    let begin = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
    Err(Error::malformed(format!("it is {kind}, not JSON: {begin}")))
}

fn kind_of(headers: &HeaderMap) -> String {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn sensitive(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// An error with its causes: hyper's own text says only "client error".
pub(crate) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
