//! Requests to a gateway, with their answers as messages.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use tokio::time::timeout;

use super::message::Message;
use crate::{
    events::Events,
    gateway::connect::{self, Http},
};

/// Where a gateway speaks the protocol.
const PATH: &str = "/mcp";
/// Largest message that is taken: the largest envelope, and what stands around it.
pub(super) const LARGEST: usize = 80 * 1024 * 1024;
/// How much of a refusal is told.
const TOLD: usize = 2048;
/// How long a gateway may take to begin an answer to what is answered at once.
const PATIENCE: Duration = Duration::from_secs(30);
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// A gateway, and the session with it if there is one. Clones share it.
#[derive(Clone)]
pub(crate) struct Gateway {
    address: Uri,
    token: Option<HeaderValue>,
    client: Http,
    session: Arc<Mutex<HeaderMap>>,
}

impl Gateway {
    /// The gateway at this address, with or without `/mcp`.
    ///
    /// # Errors
    /// What is wrong with address or token.
    pub(crate) fn new(url: &str, token: Option<&str>) -> Result<Self, String> {
        let base = url.trim_end_matches('/');
        let address = if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") };
        let address = connect::address(&address)?;
        let token = token.filter(|token| !token.is_empty()).map(connect::bearer);
        let client = connect::http(&address)?;
        Ok(Self { address, token: token.transpose()?, client, session: Arc::default() })
    }

    /// Whether a session was begun.
    pub(super) fn in_session(&self) -> bool {
        self.session.lock().unwrap_or_else(PoisonError::into_inner).contains_key(SESSION)
    }

    /// Sends a message. Where it begins a session, that is kept.
    ///
    /// # Errors
    /// The gateway cannot be reached, or refuses in another way than by a message.
    pub(super) async fn post(&self, message: &Message, text: Bytes) -> anyhow::Result<Answer> {
        let mut request = self.request(Method::POST, text);
        let headers = request.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(version) = message.version() {
            headers.remove(SESSION);
            headers.insert(VERSION, plain(version)?);
            headers.insert(METHOD, plain(message.method.as_deref().unwrap_or_default())?);
            if let Some(name) = message.name() {
                headers.insert(NAME, plain(name)?);
            }
        }
        let response = self.send(request).await?;
        if let Some(session) = response.headers().get(SESSION) {
            let mut kept = self.session.lock().unwrap_or_else(PoisonError::into_inner);
            kept.insert(SESSION, session.clone());
        }
        Answer::of(response).await
    }

    /// Keeps the version that a session was begun with: later requests name it.
    pub(super) fn agree(&self, version: &str) {
        if let Ok(version) = HeaderValue::from_str(version) {
            self.session.lock().unwrap_or_else(PoisonError::into_inner).insert(VERSION, version);
        }
    }

    /// What the gateway says by itself in a session.
    ///
    /// # Errors
    /// As [`Gateway::post`].
    pub(super) async fn listen(&self) -> anyhow::Result<Answer> {
        Answer::of(self.send(self.request(Method::GET, Bytes::new())).await?).await
    }

    /// Ends the session.
    pub(super) async fn leave(&self) {
        if self.in_session() {
            // It is forgotten after a while anyway.
            let _ = timeout(PATIENCE, self.send(self.request(Method::DELETE, Bytes::new()))).await;
        }
    }

    fn request(&self, method: Method, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.address.clone();
        *request.headers_mut() = self.session.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let headers = request.headers_mut();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        if let Some(token) = &self.token {
            headers.insert(header::AUTHORIZATION, token.clone());
        }
        request
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Response<Incoming>> {
        self.client.request(request).await.with_context(|| format!("{} cannot be reached", self.address))
    }
}

/// A header's value; what does not fit into one is encoded as the protocol says.
fn plain(text: &str) -> anyhow::Result<HeaderValue> {
    let fits = text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
    if fits && text.trim() == text && !text.starts_with("=?base64?") {
        return Ok(HeaderValue::from_str(text)?);
    }
    Ok(HeaderValue::from_str(&format!("=?base64?{}?=", BASE64_STANDARD.encode(text)))?)
}

/// The messages that answer one, as they come.
pub(super) enum Answer {
    /// None.
    Nothing,
    /// One.
    One(String),
    /// Any number.
    Stream(Incoming, Events, Vec<String>),
}

impl Answer {
    async fn of(response: Response<Incoming>) -> anyhow::Result<Self> {
        let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is = |wanted: &str| kind.is_some_and(|kind| kind.starts_with(wanted));
        let status = response.status();
        let (stream, json) = (is("text/event-stream"), is("application/json"));
        if status.is_success() && stream {
            return Ok(Self::Stream(response.into_body(), Events::default(), Vec::new()));
        }
        if status == StatusCode::ACCEPTED || status == StatusCode::NO_CONTENT {
            return Ok(Self::Nothing);
        }
        let body = Limited::new(response.into_body(), LARGEST).collect().await;
        let body = body.map_err(|error| anyhow::anyhow!("its answer cannot be read: {error}"))?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        if json && (status.is_success() || text.contains("\"jsonrpc\"")) {
            return Ok(Self::One(text));
        }
        bail!("the gateway answers {status}: {}", text[..text.floor_char_boundary(TOLD)].trim());
    }

    /// The next message, without line breaks: those of JSON mean nothing. `None` after the last. Cancel safe.
    ///
    /// # Errors
    /// The connection breaks, or an event is larger than any message.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            match self {
                Self::Nothing => return Ok(None),
                Self::One(text) => {
                    let line = one_line(text);
                    *self = Self::Nothing;
                    return Ok(Some(line));
                }
                Self::Stream(body, events, waiting) => {
                    if !waiting.is_empty() {
                        return Ok(Some(one_line(&waiting.remove(0))));
                    }
                    let Some(frame) = body.frame().await else { return Ok(None) };
                    if let Ok(data) = frame.context("the connection broke")?.into_data() {
                        waiting.extend(events.take(&data).into_iter().map(|event| event.data));
                    }
                    if events.kept() > LARGEST {
                        bail!("an event of the gateway has more than {LARGEST} bytes");
                    }
                }
            }
        }
    }
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_added_where_it_is_missing() {
        for url in ["http://localhost:8089", "http://localhost:8089/", "http://localhost:8089/mcp"] {
            assert_eq!(Gateway::new(url, None).unwrap().address, "http://localhost:8089/mcp");
        }
        assert_eq!(Gateway::new("https://x/asya/", None).unwrap().address, "https://x/asya/mcp");
        for wrong in ["localhost:8089", "ftp://x", "", "http://"] {
            assert!(Gateway::new(wrong, None).is_err(), "{wrong}");
        }
        assert!(Gateway::new("http://x", Some("a\nb")).is_err());
    }

    #[test]
    fn names_that_do_not_fit_into_a_header_are_encoded() {
        assert_eq!(plain("ocr").unwrap(), "ocr");
        for name in ["Zürich", " x", "a\nb", "=?base64?eA==?="] {
            let value = plain(name).unwrap();
            let coded =
                value.to_str().unwrap().strip_prefix("=?base64?").unwrap().strip_suffix("?=").unwrap();
            assert_eq!(BASE64_STANDARD.decode(coded).unwrap(), name.as_bytes());
        }
    }
}
