//! A server at an address: the requests of the protocol over the HTTP client of this program.
//!
//! What is read is bounded by bytes, not by time: whoever waits for a call says how long. No connection is kept open for
//! what a server says unasked; the only GET is the one by which an answer goes on that broke off.

use std::{collections::HashMap, sync::Arc, time::Duration};

use asya_sidecar::web::retry_after;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use http_body_util::{BodyExt as _, Limited};
use hyper::{
    HeaderMap, Method, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};
use rmcp::{
    model::{ClientJsonRpcMessage, JsonRpcMessage, ServerJsonRpcMessage},
    transport::streamable_http_client::{
        SseError, StreamableHttpClient, StreamableHttpError, StreamableHttpPostResponse as Posted,
    },
};
use sse_stream::{Sse, SseStream};
use url::Url;

use super::hidden::Hidden;
use crate::http_call::{
    answer::{excerpt, is_json},
    client::{Broken, Call, Client},
    settings::Header,
    template::Unfilled,
};

/// Most that is read of one answer, with all that is told on its way.
pub(super) const MOST_READ: usize = 8 * 1024 * 1024;
/// Most that is read of a refusal.
const MOST_REFUSAL: usize = 64 * 1024;
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
const EVENTS: &str = "text/event-stream";
const JSON: &str = "application/json";
const BOTH: &str = "application/json, text/event-stream";
const USER_AGENT: &str = concat!("asya-mcp-call/", env!("CARGO_PKG_VERSION"));

/// A server, as requests go to it.
#[derive(Clone)]
pub(super) struct Endpoint(Arc<Inner>);

struct Inner {
    client: Client,
    headers: Vec<Header>,
    hidden: Hidden,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failed {
    /// It must not be asked.
    #[error("not allowed: {0}")]
    NotAllowed(String),
    /// A credential cannot be read now.
    #[error("the server's credentials: {0}")]
    Credentials(String),
    /// Nothing was sent.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Lost(String),
    /// The answer is none that can be taken.
    #[error("{0}")]
    Unusable(String),
    /// It says no.
    #[error("the server answers {status}{}{said}", if .said.is_empty() { "" } else { ": " })]
    Status {
        /// How.
        status: StatusCode,
        /// When it may be asked again, if it says so.
        after: Option<Duration>,
        /// The beginning of what it says.
        said: String,
    },
}

type Error = StreamableHttpError<Failed>;

impl From<Failed> for Error {
    fn from(failed: Failed) -> Self {
        Self::Client(failed)
    }
}

impl From<Broken> for Failed {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::NotAllowed(reason) => Self::NotAllowed(reason),
            Broken::Unreachable(reason) => Self::Unreachable(reason),
            Broken::Lost(reason) => Self::Lost(reason),
            Broken::Unusable(reason) => Self::Unusable(reason),
        }
    }
}

impl Endpoint {
    /// Requests with these headers; what is secret in them is hidden.
    pub(super) fn new(client: Client, headers: Vec<Header>, hidden: Hidden) -> Self {
        Self(Arc::new(Inner { client, headers, hidden }))
    }

    /// One exchange, up to the answer's body.
    async fn open(
        &self,
        method: Method,
        url: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, Failed> {
        let url = Url::parse(url).map_err(|error| Failed::NotAllowed(error.to_string()))?;
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        // Those of the settings last. Their files are read each time: credentials are exchanged meanwhile.
        for Header { name, value, secret } in &self.0.headers {
            let filled = value
                .fixed()
                .map_err(|(Unfilled::Lacking(why) | Unfilled::File(why))| Failed::Credentials(why))?;
            if *secret {
                self.0.hidden.hide(&filled);
            }
            let mut value = HeaderValue::from_bytes(filled.as_bytes()).map_err(|_| {
                Failed::Credentials(format!("header {name} has characters that none may have"))
            })?;
            value.set_sensitive(*secret);
            headers.insert(name.clone(), value);
        }
        Ok(self.0.client.open(Call { method, url, headers, body }).await?)
    }
}

/// The headers that the protocol says.
fn spoken(session: Option<&str>, more: HashMap<HeaderName, HeaderValue>) -> Result<HeaderMap, Failed> {
    let mut headers: HeaderMap = more.into_iter().collect();
    headers.insert(header::ACCEPT, HeaderValue::from_static(BOTH));
    if let Some(session) = session {
        let wrong = |_| Failed::Unusable("the session's id is none that a header may have".to_owned());
        headers.insert(SESSION, HeaderValue::from_str(session).map_err(wrong)?);
    }
    Ok(headers)
}

/// What a server says beside a success.
async fn refusal(answer: Response<Incoming>) -> (Failed, Bytes) {
    let (status, after) = (answer.status(), retry_after(answer.headers(), std::time::SystemTime::now()));
    // Of a refusal the status says enough.
    let body = read(answer, MOST_REFUSAL).await.unwrap_or_default();
    (Failed::Status { status, after, said: excerpt(&body) }, body)
}

async fn read(answer: Response<Incoming>, most: usize) -> Result<Bytes, Failed> {
    let read = Limited::new(answer.into_body(), most).collect().await;
    read.map(|body| body.to_bytes())
        .map_err(|error| Failed::Unusable(format!("the answer cannot be read: {error}")))
}

/// The events of an answer, which end with an error where they are too many bytes.
fn events(answer: Response<Incoming>) -> BoxStream<'static, Result<Sse, SseError>> {
    let mut left = MOST_READ;
    let pieces = answer.into_body().into_data_stream().map(move |piece| {
        let piece = piece.map_err(std::io::Error::other)?;
        let too_large = || std::io::Error::other(format!("the answer is larger than {MOST_READ} bytes"));
        left = left.checked_sub(piece.len()).ok_or_else(too_large)?;
        Ok::<Bytes, std::io::Error>(piece)
    });
    SseStream::from_bytes_stream(pieces).boxed()
}

fn text<'a>(answer: &'a Response<Incoming>, name: &HeaderName) -> Option<&'a str> {
    answer.headers().get(name).and_then(|value| value.to_str().ok())
}

fn has_events(answer: &Response<Incoming>) -> bool {
    text(answer, &header::CONTENT_TYPE).is_some_and(|kind| kind.starts_with(EVENTS))
}

impl StreamableHttpClient for Endpoint {
    type Error = Failed;

    async fn post_message(
        &self,
        uri: Arc<str>,
        message: ClientJsonRpcMessage,
        session: Option<Arc<str>>,
        _: Option<String>,
        more: HashMap<HeaderName, HeaderValue>,
    ) -> Result<Posted, Error> {
        let mut headers = spoken(session.as_deref(), more)?;
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
        let body = serde_json::to_vec(&message)?.into();
        let answer = self.open(Method::POST, &uri, headers, body).await?;
        let status = answer.status();
        if matches!(status, StatusCode::ACCEPTED | StatusCode::NO_CONTENT) {
            return Ok(Posted::Accepted);
        }
        if status == StatusCode::NOT_FOUND && session.is_some() {
            return Err(Error::SessionExpired);
        }
        let json = text(&answer, &header::CONTENT_TYPE).is_some_and(is_json);
        if !status.is_success() {
            let (failed, body) = refusal(answer).await;
            // An error of the protocol counts as one, but not where the status says more.
            let plain = status.is_client_error()
                && !matches!(status.as_u16(), 401 | 403 | 429)
                && !(status == StatusCode::BAD_REQUEST && session.is_some());
            return match serde_json::from_slice(&body) {
                Ok(error @ JsonRpcMessage::Error(_)) if plain && json => Ok(Posted::Json(error, None)),
                _ => Err(failed.into()),
            };
        }
        let session = text(&answer, &SESSION).map(str::to_owned);
        if has_events(&answer) {
            return Ok(Posted::Sse(events(answer), session));
        }
        let kind = text(&answer, &header::CONTENT_TYPE).unwrap_or_default().to_owned();
        let body = read(answer, MOST_READ).await?;
        // Some servers say so to what needs no answer, instead of 202.
        if body.is_empty() && !matches!(message, ClientJsonRpcMessage::Request(_)) {
            return Ok(Posted::Accepted);
        }
        if !json {
            return Err(Failed::Unusable(format!(
                "the server answers {kind:?}, which is not of the protocol"
            ))
            .into());
        }
        let read = serde_json::from_slice::<ServerJsonRpcMessage>(&body);
        let wrong = |error| Failed::Unusable(format!("the answer is not of the protocol: {error}"));
        Ok(Posted::Json(read.map_err(wrong)?, session))
    }

    async fn delete_session(
        &self,
        uri: Arc<str>,
        session: Arc<str>,
        _: Option<String>,
        more: HashMap<HeaderName, HeaderValue>,
    ) -> Result<(), Error> {
        let headers = spoken(Some(&session), more)?;
        let answer = self.open(Method::DELETE, &uri, headers, Bytes::new()).await?;
        match answer.status() {
            status if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            _ => Err(Error::ServerDoesNotSupportDeleteSession),
        }
    }

    async fn get_stream(
        &self,
        uri: Arc<str>,
        session: Option<Arc<str>>,
        last: Option<String>,
        _: Option<String>,
        more: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Error> {
        let Some(last) = last else { return Err(Error::ServerDoesNotSupportSse) };
        let mut headers = spoken(session.as_deref(), more)?;
        let wrong = |_| Failed::Unusable("the event's id is none that a header may have".to_owned());
        headers.insert(LAST_EVENT, HeaderValue::from_str(&last).map_err(wrong)?);
        let answer = self.open(Method::GET, &uri, headers, Bytes::new()).await?;
        if !answer.status().is_success() || !has_events(&answer) {
            return Err(Error::ServerDoesNotSupportSse);
        }
        Ok(events(answer))
    }
}
