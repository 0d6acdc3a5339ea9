//! A server at an address: the requests of the protocol over the HTTP client of this program.
//!
//! What is read is bounded by bytes, not by time: whoever waits for a call says how long. No connection is kept open for
//! what a server says unasked, and an answer that broke off is not asked for again: each piece would be as large as the whole
//! may be. What a server says is cleaned here: the library logs errors as they are.

use std::{collections::HashMap, sync::Arc, time::Duration};

use asya_sidecar::web::retry_after;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use http_body_util::{BodyExt as _, Collected, Limited};
use hyper::{
    HeaderMap, Method, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};
use rmcp::{
    model::{ClientJsonRpcMessage, JsonRpcError, JsonRpcMessage, ServerJsonRpcMessage},
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
    /// It does not know the session.
    #[error("{0}")]
    Forgotten(String),
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

    /// What a server says beside a success.
    async fn refusal(&self, answer: Response<Incoming>) -> (Failed, Bytes) {
        let (status, after) = (answer.status(), retry_after(answer.headers(), std::time::SystemTime::now()));
        // Of a refusal the status says enough.
        let body = read(answer, MOST_REFUSAL).await.unwrap_or_default();
        // Whole, and then its beginning: half a secret would not be known.
        let said = excerpt(self.0.hidden.clean(&String::from_utf8_lossy(&body)).as_bytes());
        (Failed::Status { status, after, said }, body)
    }

    /// An answer that cannot be taken, for this reason.
    fn unusable(&self, reason: &str) -> Failed {
        Failed::Unusable(self.0.hidden.clean(reason))
    }
}

/// What a refused message comes to.
fn refused(
    failed: Failed,
    body: &[u8],
    json: bool,
    session: bool,
    message: &ClientJsonRpcMessage,
) -> Result<Posted, Failed> {
    let Failed::Status { status, .. } = &failed else { return Err(failed) };
    let error = serde_json::from_slice::<ServerJsonRpcMessage>(body).ok().filter(|_| json);
    let error =
        error.and_then(|error| if let JsonRpcMessage::Error(error) = error { Some(error) } else { None });
    if *status == StatusCode::BAD_REQUEST && session {
        // Of a session that they forgot some servers say so instead of 404. An error of the call itself has its id.
        let own = match (&error, message) {
            (Some(error), ClientJsonRpcMessage::Request(request)) => error.id.as_ref() == Some(&request.id),
            _ => false,
        };
        return match error {
            Some(error) if own => Ok(Posted::Json(JsonRpcMessage::Error(error), None)),
            error if forgets(error.as_ref(), body) => Err(Failed::Forgotten(failed.to_string())),
            _ => Err(failed),
        };
    }
    // An error of the protocol counts as one, but not where the status says more.
    let plain = status.is_client_error() && !matches!(status.as_u16(), 401 | 403 | 429);
    match error {
        Some(error) if plain => Ok(Posted::Json(JsonRpcMessage::Error(error), None)),
        _ => Err(failed),
    }
}

/// Whether a refusal speaks of the session: in an error for nothing else, or in plain words.
fn forgets(error: Option<&JsonRpcError>, body: &[u8]) -> bool {
    let said = match error {
        Some(error) if matches!(error.error.code.0, -32000 | -32001 | -32600) => {
            error.error.message.to_string()
        }
        Some(_) => return false,
        None => String::from_utf8_lossy(body).into_owned(),
    };
    said.to_ascii_lowercase().contains("session")
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

async fn read(answer: Response<Incoming>, most: usize) -> Result<Bytes, Failed> {
    let read = Limited::new(answer.into_body(), most).collect().await;
    read.map(Collected::to_bytes)
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
            let (failed, body) = self.refusal(answer).await;
            return refused(failed, &body, json, session.is_some(), &message).map_err(Error::from);
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
            let reason = format!("the server answers {kind:?}, which is not of the protocol");
            return Err(self.unusable(&reason).into());
        }
        let read = serde_json::from_slice::<ServerJsonRpcMessage>(&body);
        let wrong = |error| self.unusable(&format!("the answer is not of the protocol: {error}"));
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
        _: Arc<str>,
        _: Option<Arc<str>>,
        _: Option<String>,
        _: Option<String>,
        _: HashMap<HeaderName, HeaderValue>,
    ) -> Result<BoxStream<'static, Result<Sse, SseError>>, Error> {
        Err(Error::ServerDoesNotSupportSse)
    }
}
