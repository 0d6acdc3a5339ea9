//! Gets a page for a model, from servers that are allowed: an answer as text, bounded, without secrets.
//!
//! | module | holds |
//! |---|---|
//! | `settings` | which servers, and how much of an answer |
//! | `text` | the text of an HTML page |
//!
//! Where it may go, by name, by address and along redirects, is decided as for [`http_call`](crate::http_call). Whatever
//! comes of it is an answer for the model, `{"error": …}` too: the envelope does not fail because a page is not there.

mod settings;
mod text;

use asya_envelope::Raw;
use asya_handler::{End, Item, Request};
use asya_llm::mask::redact;
use futures::future::BoxFuture;
use hyper::{
    HeaderMap, Method,
    header::{self, HeaderValue},
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use url::Url;

use crate::{
    InProcess,
    actor::{Act, ActError},
    http_call::{
        answer::is_json,
        client::{Answer, Broken, Call, Client},
    },
};
pub use settings::Settings;

/// Longest URL: a query is a way to carry something out, and pages have short ones.
const LONGEST_URL: usize = 2048;
/// Most that is read of a page; its text is less.
const MOST_READ: usize = 1024 * 1024;
/// What is looked at for secrets beyond what is answered: one that the end cuts in two would not look like one.
const BEYOND: usize = 4 * 1024;
const ACCEPT: &str = "text/html, text/plain, application/json, */*;q=0.5";
const USER_AGENT: &str = concat!("asya-http-get/", env!("CARGO_PKG_VERSION"));

/// Gets pages.
pub struct HttpGet {
    settings: Settings,
    client: Client,
}

/// The arguments of a call.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    url: String,
}

/// What is answered.
#[derive(Serialize)]
struct Page {
    status: u16,
    #[serde(rename = "type")]
    kind: String,
    text: String,
    truncated: bool,
}

/// Why there is no page.
#[derive(Serialize)]
struct Refused {
    error: String,
}

impl HttpGet {
    /// The actor.
    ///
    /// # Errors
    /// A sentence, if the certificates that it is to trust are not there.
    #[allow(clippy::new_ret_no_self, reason = "what is made is a handler like the others")]
    pub fn new(settings: Settings) -> Result<InProcess<Self>, String> {
        let authorities = settings.authorities.as_deref();
        let client =
            Client::new(settings.allow.clone(), settings.redirects, MOST_READ, authorities, true)?.cutting();
        let running = settings.concurrency;
        Ok(InProcess::new(Self { settings, client }, running))
    }

    async fn get(&self, arguments: &Raw) -> Result<Page, String> {
        let Arguments { url } = serde_json::from_slice(arguments.as_bytes())
            .map_err(|error| format!("the arguments: {error}"))?;
        if url.len() > LONGEST_URL {
            return Err(format!("the URL is longer than {LONGEST_URL} bytes"));
        }
        let url = Url::parse(&url).map_err(|error| format!("url: {error}"))?;
        let server = url.host_str().unwrap_or_default().to_owned();
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(ACCEPT));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        let call = Call { method: Method::GET, url, headers, body: bytes::Bytes::new() };
        let wait = self.settings.timeout;
        match timeout(wait, self.client.exchange(call)).await {
            Ok(Ok(answer)) => self.page(&answer).map_err(|why| format!("{server}: {why}")),
            Ok(Err(Broken::NotAllowed(why))) => Err(format!("not allowed: {why}")),
            Ok(Err(Broken::Unreachable(why))) => Err(format!("{server} cannot be reached: {why}")),
            Ok(Err(Broken::Lost(why) | Broken::Unusable(why))) => Err(format!("{server}: {why}")),
            Err(_) => Err(format!("{server} did not answer within {wait:?}")),
        }
    }

    fn page(&self, answer: &Answer) -> Result<Page, String> {
        let value = |name| answer.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        if let Some(coding) = value(header::CONTENT_ENCODING).filter(|coding| *coding != "identity") {
            return Err(format!("the answer is encoded ({coding}), which was not asked for"));
        }
        let kind = value(header::CONTENT_TYPE).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let read = match kind.as_str() {
            "text/html" | "application/xhtml+xml" => text::of(&String::from_utf8_lossy(&answer.body)),
            kind if is_text(kind) => String::from_utf8_lossy(&answer.body).into_owned(),
            kind => {
                utf8(&answer.body).ok_or_else(|| format!("the answer is no text but {kind:?}"))?.to_owned()
            }
        };
        let most = self.settings.max_answer;
        let shown = redact(&read[..read.floor_char_boundary(most.saturating_add(BEYOND))]);
        let end = shown.floor_char_boundary(most);
        let truncated = !answer.whole || read.len() > most || end < shown.len();
        Ok(Page { status: answer.status.as_u16(), kind, text: shown[..end].to_owned(), truncated })
    }
}

impl Act for HttpGet {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move {
            let payload = match self.get(&request.envelope.payload).await {
                Ok(page) => Raw::of(&page),
                Err(error) => Raw::of(&Refused { error: redact(&error) }),
            };
            Ok(End::Done(vec![Item::payload(payload)]))
        })
    }
}

/// Whether a type is text, whatever its bytes look like.
fn is_text(kind: &str) -> bool {
    kind.starts_with("text/")
        || is_json(kind)
        || kind.ends_with("+xml")
        || ["xml", "yaml", "x-yaml", "javascript", "x-ndjson", "toml"]
            .iter()
            .any(|name| kind.strip_prefix("application/") == Some(name))
}

/// A body of another type, if it is text all the same; its end may have been cut within a character.
fn utf8(body: &[u8]) -> Option<&str> {
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&body[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    (!text.contains('\0')).then_some(text)
}
