//! One try to tell a sink.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use asya_analysis::scrub::scrub;
use asya_settings::Secret;
use asya_sidecar::web::retry_after;
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderValue},
};
use url::Url;

use super::{
    body::Body,
    settings::address,
    sink::{Format, Sink, Target},
    text,
};
use crate::http_call::{
    allow::Allow,
    client::{Answer, Broken, Call, Client},
};

/// What is read of an answer; nobody asked for it.
const ANSWER: usize = 64 * 1024;
/// Letters of an answer in errors.
const EXCERPT: usize = 200;
const USER_AGENT: &str = concat!("asya-notify/", env!("CARGO_PKG_VERSION"));

/// What became of a try.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// It is told.
    Done,
    /// Not now.
    Later {
        /// How long the sink asks to wait.
        after: Option<Duration>,
        why: String,
    },
    /// Never: the sink does not understand it.
    Refused(String),
}

/// The way to one sink. Its address may change, where it is in a file.
pub(super) struct Delivery {
    sink: Sink,
    client: Mutex<Option<(Url, Arc<Client>)>>,
}

impl Delivery {
    /// # Errors
    /// A sentence: certificates that cannot be read.
    pub(super) fn new(sink: Sink) -> Result<Self, String> {
        let delivery = Self { sink, client: Mutex::default() };
        if let Target::Plain(url) = &delivery.sink.target {
            delivery.client(url)?;
        }
        Ok(delivery)
    }

    /// One try. Cancel safe: what was sent may be told.
    pub(super) async fn send(&self, body: &Body) -> Sent {
        let later = |why: String| Sent::Later { after: None, why: self.clean(&why) };
        let (call, client) = match self.call(body) {
            Ok(ready) => ready,
            Err(why) => return later(why),
        };
        let exchanged = tokio::time::timeout(self.sink.timeout, client.exchange(call)).await;
        match exchanged {
            Ok(Ok(answer)) => self.answered(&answer),
            // A success with more words than anybody wants.
            Ok(Err(Broken::Unusable(_))) => Sent::Done,
            Ok(Err(Broken::NotAllowed(why))) => later(format!("its address must not be called: {why}")),
            Ok(Err(Broken::Unreachable(why))) => later(format!("it cannot be reached: {why}")),
            Ok(Err(Broken::Lost(why))) => later(format!("the connection broke: {why}")),
            Err(_) => later(format!("no answer within {:?}", self.sink.timeout)),
        }
    }

    fn answered(&self, answer: &Answer) -> Sent {
        let said = String::from_utf8_lossy(&answer.body);
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        // Teams' older webhooks answer 200 and say in words that they did not.
        let unsaid = self.sink.format == Format::Teams && said.contains("failed with error");
        if answer.status.is_success() && !unsaid {
            return Sent::Done;
        }
        let colon = if said.is_empty() { "" } else { ": " };
        let why = self.clean(&format!("it answers {}{colon}{}", answer.status, text::cut(&said, EXCERPT)));
        match answer.status {
            StatusCode::BAD_REQUEST | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::UNPROCESSABLE_ENTITY => {
                Sent::Refused(why)
            }
            _ => Sent::Later { after: retry_after(&answer.headers, SystemTime::now()), why },
        }
    }

    fn call(&self, body: &Body) -> Result<(Call, Arc<Client>), String> {
        let url = match &self.sink.target {
            Target::Plain(url) => url.clone(),
            Target::Secret(secret) => {
                address(&secret.read()?).map_err(|error| format!("its address: {error}"))?
            }
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        for (name, value) in &body.headers {
            headers.insert(name.clone(), value.clone());
        }
        for header in &self.sink.headers {
            let value = format!("{}{}", header.prefix, header.value.read()?.trim());
            let value = HeaderValue::from_str(&value);
            let mut value = value.map_err(|_| {
                format!("the value of the header {} has characters that no header may have", header.name)
            })?;
            value.set_sensitive(true);
            headers.insert(header.name.clone(), value);
        }
        let client = self.client(&url)?;
        let body = body.text.clone().into();
        Ok((Call { method: Method::POST, url, headers, body }, client))
    }

    /// The client for an address: the one that there is, unless the address has changed.
    fn client(&self, url: &Url) -> Result<Arc<Client>, String> {
        let mut known = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = known.as_ref().filter(|(of, _)| of == url) {
            return Ok(client.clone());
        }
        let mut allow = Allow::default();
        allow.add(url);
        let tls = url.scheme() == "https";
        let client = Client::new(allow, 0, ANSWER, self.sink.authorities.as_deref(), tls)?;
        let client = Arc::new(client);
        *known = Some((url.clone(), client.clone()));
        Ok(client)
    }

    /// A text without the sink's secrets, and without anything that looks like one: servers repeat what they are sent.
    fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let url = match &self.sink.target {
            Target::Plain(_) => None,
            Target::Secret(secret) => Some(secret),
        };
        let key = match &self.sink.format {
            Format::PagerDuty { key, .. } => Some(key),
            _ => None,
        };
        let values = self.sink.headers.iter().map(|header| &header.value);
        for secret in url.into_iter().chain(key).chain(values).map(Secret::read) {
            let Ok(secret) = secret else { continue };
            let secret = secret.trim();
            let path =
                Url::parse(secret).map(|url| url.path().trim_matches('/').to_owned()).unwrap_or_default();
            for part in [secret, path.as_str()] {
                if part.len() > 3 {
                    text = text.replace(part, "***");
                }
            }
        }
        scrub(&text)
    }
}
