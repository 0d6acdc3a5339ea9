//! One question to the API server, with its retries.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use asya_analysis::Unverified;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use crate::fence::Fence;

/// Says to the API server who asks: the name in its audit log.
pub fn introduce(config: &mut kube::Config, agent: &'static str) {
    config.headers.push((header::USER_AGENT, HeaderValue::from_static(agent)));
}

/// How long is waited, and how often it is tried again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For one answer, the whole body included.
    pub answer: Duration,
    /// How often one question is asked at most.
    pub tries: u32,
    /// Before the second try; doubled for each one after, unless the server says how long (`Retry-After`).
    pub pause: Duration,
    /// Longest that a server may make us wait; one that says more is left alone.
    pub longest_pause: Duration,
    /// When all of it ends: what was not read by then is not read.
    pub end: Option<Instant>,
}

impl Default for Patience {
    /// Half of what the API server itself allows for an answer, four tries, and pauses that a busy server asks for.
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(30),
            tries: 4,
            pause: Duration::from_millis(250),
            longest_pause: Duration::from_secs(30),
            end: None,
        }
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A right is missing; the API server's own sentence.
    #[error("{0}")]
    Forbidden(String),
    /// Whoever it is read for may not, or not there; a sentence. The API server was not asked for it.
    #[error("{0}")]
    Denied(String),
    /// There is no such object, or, without a name in the answer, no such path.
    #[error("not found")]
    NotFound {
        /// Whether it is an object that is missing rather than its kind.
        object: bool,
    },
    /// The rest of a list is older than what the API server keeps: the list must start anew.
    #[error("the list changed too much while it was read")]
    Expired,
    /// The question is wrong: a selector that nobody understands, a log that does not exist.
    #[error("{0}")]
    Wrong(String),
    /// More would have to be read than whoever asks allows; how much that is, in bytes.
    #[error("more than {0} bytes would have to be read")]
    TooMuch(u64),
    /// The API server failed, was too busy, did not answer in time, or said something that is no answer.
    #[error("{0}")]
    Failed(String),
}

impl Refusal {
    /// What it is to an analyzer. A path that does not exist is a kind that is not served any more.
    #[must_use]
    pub fn unverified(&self) -> Unverified {
        match self {
            Self::Forbidden(_) | Self::Denied(_) => Unverified::Forbidden,
            Self::NotFound { object: false } => Unverified::NotInstalled,
            refusal => Unverified::Failed(refusal.to_string()),
        }
    }
}

/// What the API server says when it says no.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    message: String,
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    name: String,
    retry_after_seconds: u64,
}

/// Whether it is worth asking again, and when.
enum Outcome {
    Final(Refusal),
    Again(String, Option<Duration>),
}

/// The way to an API server. Cheap to clone.
///
/// It does no throttling of its own: how many questions are under way at once is up to the caller, and a server that has
/// too much to do says so. The client should be made without retries of its own (`default_retry: false`), because these
/// here know when the whole must end.
#[derive(Clone)]
pub struct Api {
    client: Client,
    patience: Patience,
    asked: Arc<AtomicU64>,
    bound: Option<Bound>,
    fence: Option<Arc<Fence>>,
}

/// What may be read in all, in bytes, and what of it is left.
#[derive(Clone)]
struct Bound {
    whole: u64,
    left: Arc<AtomicU64>,
}

impl Bound {
    fn take(&self, bytes: usize) -> Result<(), Refusal> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let taken =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        taken.map(drop).map_err(|_| Refusal::TooMuch(self.whole))
    }
}

impl Api {
    /// Asks by `client`.
    #[must_use]
    pub fn new(client: Client, patience: Patience) -> Self {
        Self { client, patience, asked: Arc::default(), bound: None, fence: None }
    }

    /// The same, reading at most so many bytes of answers in all, clones and tries included. An answer that goes beyond
    /// is not read to its end.
    #[must_use]
    pub fn within(mut self, bytes: u64) -> Self {
        self.bound = Some(Bound { whole: bytes, left: Arc::new(AtomicU64::new(bytes)) });
        self
    }

    /// The same, asking only what the fence lets pass.
    #[must_use]
    pub fn behind(mut self, fence: Fence) -> Self {
        self.fence = Some(Arc::new(fence));
        self
    }

    /// How many requests were sent so far, tries included.
    #[must_use]
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// The answer to a GET of `path`, as JSON.
    ///
    /// # Errors
    /// [`Refusal`], after as many tries as [`Patience`] allows.
    pub async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        self.accepting(path, "application/json").await
    }

    /// The same, where the answer's form depends on what is accepted.
    ///
    /// # Errors
    /// As [`Api::json`].
    pub async fn accepting<T: DeserializeOwned>(&self, path: &str, accept: &str) -> Result<T, Refusal> {
        let body = self.body(path, accept).await?;
        serde_json::from_slice(&body)
            .map_err(|error| Refusal::Failed(format!("{path}: the answer cannot be read: {error}")))
    }

    /// The answer to a GET of `path`, as text; bytes that are no UTF-8 are replaced.
    ///
    /// # Errors
    /// As [`Api::json`].
    pub async fn text(&self, path: &str) -> Result<String, Refusal> {
        Ok(String::from_utf8_lossy(&self.body(path, "*/*").await?).into_owned())
    }

    async fn body(&self, path: &str, accept: &str) -> Result<Vec<u8>, Refusal> {
        if let Some(fence) = &self.fence {
            let late = |_| Err(Refusal::Failed("no time was left to review who asked".to_owned()));
            timeout(self.left(), fence.lets(path)).await.unwrap_or_else(late)?;
        }
        let Patience { tries, longest_pause, end, .. } = self.patience;
        let mut pause = self.patience.pause;
        let mut tried = 0;
        loop {
            tried += 1;
            let (why, told) = match self.once(path, accept).await {
                Ok(body) => return Ok(body),
                Err(Outcome::Final(refusal)) => return Err(refusal),
                Err(Outcome::Again(why, told)) => (why, told),
            };
            let wait = told.unwrap_or(pause);
            if tried >= tries || wait > longest_pause {
                return Err(Refusal::Failed(why));
            }
            if end.is_some_and(|end| Instant::now() + wait >= end) {
                return Err(Refusal::Failed(format!("{why}, and no time is left to ask again")));
            }
            sleep(wait).await;
            pause = (pause * 2).min(longest_pause);
        }
    }

    /// How long an answer may take now.
    fn left(&self) -> Duration {
        let Patience { answer, end, .. } = self.patience;
        end.map_or(answer, |end| end.saturating_duration_since(Instant::now()).min(answer))
    }

    async fn once(&self, path: &str, accept: &str) -> Result<Vec<u8>, Outcome> {
        let limit = self.left();
        if limit.is_zero() {
            return Err(Outcome::Final(Refusal::Failed("no time was left to read it".to_owned())));
        }
        let request = Request::get(path).header(header::ACCEPT, accept).body(Body::empty());
        let request = request.map_err(|error| Outcome::Final(Refusal::Wrong(format!("{path}: {error}"))))?;
        self.asked.fetch_add(1, Ordering::Relaxed);
        let exchange = async {
            let again = |error: &dyn Error| {
                Outcome::Again(format!("the API server does not answer: {}", root(error)), None)
            };
            let answer = self.client.send(request).await.map_err(|error| again(&error))?;
            let (parts, mut body) = answer.into_parts();
            let mut whole = Vec::new();
            while let Some(frame) = body.frame().await {
                let Ok(part) = frame.map_err(|error| again(&error))?.into_data() else { continue };
                if let Some(bound) = &self.bound {
                    bound.take(part.len()).map_err(Outcome::Final)?;
                }
                whole.extend_from_slice(&part);
            }
            Ok((parts, whole))
        };
        match timeout(limit, exchange).await {
            Ok(Ok((parts, body))) if parts.status.is_success() => Ok(body),
            Ok(Ok((parts, body))) => Err(refused(parts.status, &parts.headers, &body)),
            Ok(Err(outcome)) => Err(outcome),
            Err(_) => Err(Outcome::Again(format!("the API server did not answer within {limit:?}"), None)),
        }
    }
}

/// What an answer that is no success means.
fn refused(code: StatusCode, headers: &HeaderMap, body: &[u8]) -> Outcome {
    // A proxy in between answers in words of its own.
    let status: Status = serde_json::from_slice(body).unwrap_or_default();
    let message = if status.message.is_empty() {
        format!("the API server answers {code}")
    } else {
        status.message.clone()
    };
    let told = headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let told = told.or(Some(status.details.retry_after_seconds)).filter(|seconds| *seconds > 0);
    match code.as_u16() {
        403 => Outcome::Final(Refusal::Forbidden(message)),
        404 => Outcome::Final(Refusal::NotFound { object: !status.details.name.is_empty() }),
        410 => Outcome::Final(Refusal::Expired),
        401 => Outcome::Final(Refusal::Failed(format!("the credentials are not accepted: {message}"))),
        429 => Outcome::Again(message, Some(Duration::from_secs(told.unwrap_or(1)))),
        500..=599 => Outcome::Again(message, told.map(Duration::from_secs)),
        _ => Outcome::Final(Refusal::Wrong(message)),
    }
}

/// The innermost words of an error: `connection refused` rather than what was being done.
fn root(error: &dyn Error) -> String {
    let mut deepest = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        deepest = source.to_string();
        next = source.source();
    }
    deepest
}
