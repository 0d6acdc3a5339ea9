//! Calls an HTTP endpoint per envelope; the answer is the payload that goes on.
//!
//! | module | holds |
//! |---|---|
//! | [`settings`] | what is called, and how |
//! | [`template`] | texts with places that an envelope fills |
//! | [`allow`] | which servers may be called |
//! | `client` | one exchange, redirects included |
//! | `answer` | from an answer to a payload |
//!
//! A run is one try. While the server is away or asks to wait (no connection, 429, 502, 503, 504) the message goes back
//! to its queue for a while, up to a number of runs of this actor's own; what else may pass (a connection that broke, a
//! timeout, other 5xx) is repeated by the engine's retry policy; what stays the same fails at once.

pub mod allow;
pub(crate) mod answer;
pub(crate) mod client;
pub mod settings;
pub mod template;

use std::{collections::BTreeMap, time::Duration};

use asya_envelope::Envelope;
use asya_handler::{Code, End, Failure, Fault, Item, Request};
use asya_sidecar::{gateway::segment, web::retry_after};
use bytes::Bytes;
use futures::future::BoxFuture;
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;
use url::Url;

use self::{
    client::{Answer, Broken, Call, Client},
    settings::{Body, Part},
    template::Unfilled,
};
use crate::{
    InProcess,
    actor::{Act, ActError},
};
pub use settings::Settings;

/// The member of the payload by which it chooses parts of the request.
const REQUEST: &str = "request";
/// Lets a server know a request that comes again.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const USER_AGENT: &str = concat!("asya-http-call/", env!("CARGO_PKG_VERSION"));

/// Calls an endpoint.
pub struct HttpCall {
    settings: Settings,
    client: Client,
}

/// What the payload chooses.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Asked {
    method: Option<String>,
    url: Option<String>,
    headers: Option<BTreeMap<String, String>>,
    body: Option<Box<RawValue>>,
}

impl HttpCall {
    /// The actor.
    ///
    /// # Errors
    /// A sentence, if the certificates that it is to trust are not there.
    #[allow(clippy::new_ret_no_self, reason = "what is made is a handler like the others")]
    pub fn new(settings: Settings) -> Result<InProcess<Self>, String> {
        let client = Client::new(
            settings.allow.clone(),
            settings.redirects,
            settings.max_answer,
            settings.authorities.as_deref(),
            settings.tls(),
        )?;
        let running = settings.concurrency;
        Ok(InProcess::new(Self { settings, client }, running))
    }

    async fn call(&self, request: &Request) -> End {
        let call = match self.request(&request.envelope) {
            Ok(call) => call,
            Err(failure) => return End::Failed(failure),
        };
        let server = call.url.host_str().unwrap_or_default().to_owned();
        let wait = self.settings.timeout;
        let exchanged = timeout(wait, self.client.exchange(call)).await;
        let failed = |code, fault, text: String| End::Failed(Failure::new(code, fault, text));
        match exchanged {
            Ok(Ok(answer)) => self.answered(request, &server, &answer),
            Ok(Err(Broken::NotAllowed(reason))) => failed(Code::Rejected, Fault::Final, reason),
            Ok(Err(Broken::Unusable(reason))) => {
                failed(Code::InvalidResult, Fault::Final, format!("{server}: {reason}"))
            }
            Ok(Err(Broken::Unreachable(reason))) => {
                let reason = format!("{server} cannot be reached: {reason}");
                self.again(request, None, Failure::new(Code::Connection, Fault::Final, reason))
            }
            Ok(Err(Broken::Lost(reason))) => {
                let reason = format!("{server}: the connection broke: {reason}");
                failed(Code::Connection, Fault::Handler, reason)
            }
            Err(_) => {
                failed(Code::Timeout, Fault::Handler, format!("{server} did not answer within {wait:?}"))
            }
        }
    }

    fn answered(&self, request: &Request, server: &str, answer: &Answer) -> End {
        let status = answer.status;
        if self.settings.good.iter().any(|good| good.contains(&status.as_u16())) {
            let payload = answer::payload(answer, &self.settings.answer_headers);
            let payload = match &self.settings.answer_field {
                Some(field) => answer::within(&request.envelope.payload, field, &payload),
                None => Ok(payload),
            };
            return match payload {
                Ok(payload) => End::Done(vec![Item::payload(payload)]),
                Err(reason) => End::Failed(unfit(reason)),
            };
        }
        let excerpt = answer::excerpt(&answer.body);
        let colon = if excerpt.is_empty() { "" } else { ": " };
        let reason = format!("{server} answers {status}{colon}{excerpt}");
        let mut failure = Failure::new(Code::Processing, Fault::Final, reason);
        // What ASYA_RETRY_NON_RETRYABLE can name.
        failure.type_name = Some(format!("HTTP{}", status.as_u16()));
        match status {
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => {
                let after = retry_after(&answer.headers, std::time::SystemTime::now());
                self.again(request, after, failure)
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
                End::Failed(Failure { fault: Fault::Handler, ..failure })
            }
            status if status.is_server_error() => End::Failed(Failure { fault: Fault::Handler, ..failure }),
            _ => End::Failed(failure),
        }
    }

    /// Later again, or `failure` if this was the last run.
    fn again(&self, request: &Request, after: Option<Duration>, mut failure: Failure) -> End {
        let policy = &self.settings.retry;
        if request.attempt >= policy.attempts {
            failure.message = format!("{} ({} runs)", failure.message, request.attempt);
            return End::Failed(failure);
        }
        let after = after.unwrap_or_else(|| policy.pause(request.attempt, rand::random()));
        End::Retry { after: Some(after), reason: failure.message }
    }

    /// The request that an envelope makes.
    fn request(&self, envelope: &Envelope) -> Result<Call, Failure> {
        let settings = &self.settings;
        let asked = self.asked(envelope)?;
        let method = match &asked.method {
            Some(method) => settings::method(method).map_err(unfit)?,
            None => settings.method.clone(),
        };
        let url = match (&asked.url, &settings.url) {
            (Some(url), _) => Url::parse(url).map_err(|error| unfit(format!("request.url: {error}")))?,
            (None, Some(template)) => {
                let filled = template.fill(envelope, segment).map_err(unfilled)?;
                without_dots(&filled)?;
                Url::parse(&filled).map_err(|error| unfit(error.to_string()))?
            }
            (None, None) => return Err(unfit("the payload has no request.url".to_owned())),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in asked.headers.into_iter().flatten() {
            let name = settings::header_name(&name).map_err(unfit)?;
            headers.insert(name.clone(), header_value(&name, &value)?);
        }
        let own = settings.origin.as_ref().is_none_or(|origin| *origin == url.origin());
        // Those of the settings last: a payload does not replace them.
        for header in &settings.headers {
            headers.remove(&header.name);
            if own || !header.secret {
                let filled = header.value.fill(envelope, str::to_owned).map_err(unfilled)?;
                let mut value = header_value(&header.name, &filled)?;
                value.set_sensitive(header.secret);
                headers.insert(header.name.clone(), value);
            }
        }
        let json = match (&asked.body, &settings.body) {
            (Some(body), _) => Some(body.get().into()),
            (None, Some(Body::Value(place))) => Some(place.json(envelope).map_err(unfit)?),
            (None, Some(Body::Nothing)) => None,
            (None, None) => {
                let has_body = matches!(method, Method::POST | Method::PUT | Method::PATCH);
                has_body.then(|| envelope.payload.as_str().into())
            }
        };
        let body = match json {
            Some(json) => {
                let kind = headers.entry(header::CONTENT_TYPE);
                let kind = kind.or_insert(HeaderValue::from_static("application/json"));
                answer::request_body(&json, kind.to_str().unwrap_or_default())
            }
            None => Bytes::new(),
        };
        if !method.is_safe() {
            let key = format!("{}-{}", segment(&envelope.id), envelope.route.current);
            let key = header_value(&IDEMPOTENCY_KEY, &key)?;
            headers.entry(IDEMPOTENCY_KEY).or_insert(key);
        }
        headers.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        Ok(Call { method, url, headers, body })
    }

    /// What the payload chooses, and may.
    fn asked(&self, envelope: &Envelope) -> Result<Asked, Failure> {
        let choice = &self.settings.choice;
        if choice.is_empty() {
            return Ok(Asked::default());
        }
        let place = template::Place::Payload(vec![REQUEST.to_owned()]);
        let Ok(json) = place.json(envelope) else { return Ok(Asked::default()) };
        let asked: Asked =
            serde_json::from_str(&json).map_err(|error| unfit(format!("payload.{REQUEST}: {error}")))?;
        let parts = [
            ("method", Part::Method, asked.method.is_some()),
            ("url", Part::Url, asked.url.is_some()),
            ("headers", Part::Headers, asked.headers.is_some()),
            ("body", Part::Body, asked.body.is_some()),
        ];
        match parts.iter().find(|(_, part, given)| *given && !choice.contains(part)) {
            Some((name, ..)) => Err(Failure::new(
                Code::Rejected,
                Fault::Final,
                format!("payload.{REQUEST}.{name} is given, and ASYA_HTTP_FROM_PAYLOAD does not name {name}"),
            )),
            None => Ok(asked),
        }
    }
}

impl Act for HttpCall {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { Ok(self.call(&request).await) })
    }
}

fn unfit(reason: String) -> Failure {
    Failure::new(Code::Validation, Fault::Final, reason)
}

fn unfilled(reason: Unfilled) -> Failure {
    match reason {
        Unfilled::Lacking(reason) => unfit(reason),
        // A mounted secret that is not there yet, or just being exchanged.
        Unfilled::File(reason) => Failure::new(Code::Processing, Fault::Infrastructure, reason),
    }
}

fn header_value(name: &HeaderName, text: &str) -> Result<HeaderValue, Failure> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| unfit(format!("the value of the header {name} has characters that no header may have")))
}

/// A value `..` must not lead out of the path that the settings name.
fn without_dots(url: &str) -> Result<(), Failure> {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let dots = path.split(['/', '\\']).find(|segment| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    });
    dots.map_or(Ok(()), |_| Err(unfit("a value would change the path: it is . or ..".to_owned())))
}
