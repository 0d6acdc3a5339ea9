//! Reports to the gateway: progress when it can be sent, ends until they are taken.

use std::{path::PathBuf, sync::Arc, time::Duration};

use asya_envelope::{Raw, headers};
use asya_http::{Http, Method, StatusCode};
use asya_telemetry::ActorMetrics;
use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::{
    sync::mpsc,
    time::{interval, sleep},
};

use crate::{
    Cancelled, Observers,
    cancelled::Watched,
    observe::{CHILDREN_BUFFERED, Child, Ends, Final, Offspring, REPORTS_BUFFERED, Report},
};

/// After a report that nobody took, those of this long are thrown away unsent: a gateway that is away costs nothing.
const AWAY: Duration = Duration::from_secs(2);
/// Tries of one final report before it is left to redelivery.
const FINAL_TRIES: u32 = 3;
/// Pause between them.
const FINAL_PAUSE: Duration = Duration::from_millis(300);
/// Children that one request announces.
const CHILDREN_AT_ONCE: usize = 200;
/// How often the gateway is asked about an envelope that an actor has for long. Nobody waits for the answer.
const ASK: Duration = Duration::from_secs(5);
/// Envelopes that are asked about in that time.
const MOST_ASKED: usize = 64;
/// What is read of an answer: those that matter are much shorter.
const ANSWER: usize = 4 * 1024;

/// What the gateway says to what is about to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// It may, this once.
    Now,
    /// It may not, now or later.
    Refused(String),
    /// The gateway cannot say so now.
    Away(String),
}

/// The gateway, as the sidecar sees it.
#[derive(Debug)]
pub struct Gateway {
    http: Http,
    base: String,
    token: Option<PathBuf>,
}

impl Gateway {
    /// The gateway at `base` (`http://host:port`). `token` is the file with the projected ServiceAccount token.
    ///
    /// # Errors
    /// A sentence, if `base` needs TLS and there is none.
    pub fn new(base: &str, token: Option<PathBuf>) -> Result<Arc<Self>, String> {
        let base = base.trim_end_matches('/').to_owned();
        Ok(Arc::new(Self { http: Http::new(&base)?, base, token }))
    }

    /// Has the gateway told of progress and children, and of cancelled envelopes by it; [`Observers::ends`] is left as
    /// it is. What it is told never makes anybody wait. Ends when the last clone of these observers is gone.
    pub fn follow(self: &Arc<Self>, metrics: Option<ActorMetrics>, observers: &mut Observers) {
        self.follow_asking(ASK, metrics, observers);
    }

    /// The same; about what actors have for `every` the gateway is asked as often.
    pub fn follow_asking(
        self: &Arc<Self>,
        every: Duration,
        metrics: Option<ActorMetrics>,
        observers: &mut Observers,
    ) {
        let cancelled = Cancelled::default();
        let (progress, reports) = mpsc::channel(REPORTS_BUFFERED);
        let (children, announced) = mpsc::channel(CHILDREN_BUFFERED);
        tokio::spawn(Arc::clone(self).report(reports, cancelled.clone(), metrics.clone()));
        tokio::spawn(Arc::clone(self).announce(announced, metrics));
        tokio::spawn(Arc::clone(self).ask_about(cancelled.watched(), every));
        observers.progress = Some(progress);
        observers.children = Some(children);
        observers.cancelled = Some(cancelled);
    }

    /// Sends progress reports one after the other.
    async fn report(
        self: Arc<Self>,
        mut reports: mpsc::Receiver<Report>,
        cancelled: Cancelled,
        metrics: Option<ActorMetrics>,
    ) {
        while let Some(report) = reports.recv().await {
            let path = format!("/envelopes/{}/progress", segment(&report.id));
            let outcome = self.ask(&path, &Progress::of(&report)).await;
            if let Ok((status, body)) = &outcome
                && is_taken(*status)
            {
                match status.is_success() && says_cancelled(body) {
                    true => cancelled.note(&report.id),
                    false if status.is_success() => cancelled.followed(&report.id),
                    false => {}
                }
                continue;
            }
            metrics.as_ref().inspect(|metrics| metrics.report_dropped());
            if let Err(reason) = outcome {
                tracing::debug!(reason, "gateway is away");
                sleep(AWAY).await;
                while reports.try_recv().is_ok() {
                    metrics.as_ref().inspect(|metrics| metrics.report_dropped());
                }
            }
        }
    }

    /// Announces children, as many at once as there are. Those of envelopes that the gateway does not follow are
    /// nothing to it.
    async fn announce(self: Arc<Self>, mut announced: mpsc::Receiver<Child>, metrics: Option<ActorMetrics>) {
        let mut children = Vec::new();
        while announced.recv_many(&mut children, CHILDREN_AT_ONCE).await > 0 {
            let outcome = self.post("/envelopes", &children).await;
            let taken = outcome.as_ref().is_ok_and(|status| is_taken(*status));
            let dropped = if taken { 0 } else { children.len() };
            children.clear();
            metrics.as_ref().inspect(|metrics| (0..dropped).for_each(|_| metrics.report_dropped()));
            if let Err(reason) = outcome {
                tracing::debug!(reason, "gateway is away, children are not announced");
                sleep(AWAY).await;
                while announced.try_recv().is_ok() {
                    metrics.as_ref().inspect(|metrics| metrics.report_dropped());
                }
            }
        }
    }

    /// Asks whether what actors have for long is wanted still, as long as somebody uses the answers.
    async fn ask_about(self: Arc<Self>, watched: Watched, every: Duration) {
        let mut looks = interval(every);
        loop {
            looks.tick().await;
            let Some(cancelled) = watched.upgrade() else { return };
            for id in cancelled.to_ask(every, MOST_ASKED) {
                match self.get(&format!("/envelopes/{}/active", segment(&id))).await {
                    Ok((_, body)) if says_cancelled(&body) => cancelled.note(&id),
                    Ok(_) => {}
                    // The next look asks again.
                    Err(_) => break,
                }
            }
        }
    }

    /// Posts a JSON body to `path`, authenticated as this sidecar; one try. The answer's body is thrown away.
    ///
    /// # Errors
    /// A sentence for the log, when there is no answer.
    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<StatusCode, String> {
        let token = self.token()?;
        let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
        self.http.post(&format!("{}{path}", self.base), token.as_deref().map(str::trim), body).await
    }

    /// The same, with the answer's body.
    async fn ask(&self, path: &str, body: &impl Serialize) -> Result<(StatusCode, Bytes), String> {
        let token = self.token()?;
        let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
        self.http.ask(&format!("{}{path}", self.base), token.as_deref().map(str::trim), body, ANSWER).await
    }

    /// Begins what `actor` was approved to be called for with `arguments`, in the name of `subject`; one try. If the answer is
    /// lost it may have been begun all the same, and a second try is refused.
    pub async fn begin(&self, subject: &str, operation: &str, actor: &str, arguments: &Raw) -> Begun {
        #[derive(Serialize)]
        struct Begin<'a> {
            actor: &'a str,
            arguments: Option<Box<RawValue>>,
        }
        #[derive(Deserialize)]
        struct Problem {
            detail: String,
        }
        let body = serde_json::to_vec(&Begin { actor, arguments: verbatim(arguments) });
        let (token, body) = match (self.token(), body.map_err(|error| error.to_string())) {
            (Ok(token), Ok(body)) => (token, body),
            (Err(reason), _) | (_, Err(reason)) => return Begun::Away(reason),
        };
        let address = format!("{}/internal/v1/operations/{}/begin", self.base, segment(operation));
        let (token, subject) = (token.as_deref().map(str::trim), (headers::SUBJECT, subject));
        let (status, body) = match self.http.send(Method::POST, &address, token, subject, body, ANSWER).await
        {
            Ok(answer) => answer,
            Err(reason) => return Begun::Away(reason),
        };
        if status.is_success() {
            return Begun::Now;
        }
        let problem = serde_json::from_slice::<Problem>(&body).map(|problem| problem.detail);
        let reason = format!("{status}: {}", problem.unwrap_or_default());
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                Begun::Away(reason)
            }
            status if status.is_server_error() => Begun::Away(reason),
            _ => Begun::Refused(reason),
        }
    }

    async fn get(&self, path: &str) -> Result<(StatusCode, Bytes), String> {
        let token = self.token()?;
        self.http.get(&format!("{}{path}", self.base), token.as_deref().map(str::trim), ANSWER).await
    }

    /// What shows who this is. The kubelet replaces the file before the token expires, so it is read each time.
    fn token(&self) -> Result<Option<String>, String> {
        let Some(path) = &self.token else { return Ok(None) };
        let token = std::fs::read_to_string(path);
        token.map(Some).map_err(|error| format!("token file {}: {error}", path.display()))
    }
}

impl Ends for Gateway {
    fn ended<'a>(&'a self, end: &'a Final) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            let path = format!("/envelopes/{}/final", segment(&end.envelope.id));
            let body = Ended::of(end);
            let mut last = String::new();
            for attempt in 0..FINAL_TRIES {
                if attempt > 0 {
                    sleep(FINAL_PAUSE).await;
                }
                last = match self.post(&path, &body).await {
                    Ok(status) if status.is_success() => return Ok(()),
                    // Not the gateway's envelope, as most are that others send.
                    Ok(StatusCode::NOT_FOUND) => return Ok(()),
                    // Not a final state that it takes: no later try changes that.
                    Ok(status @ (StatusCode::BAD_REQUEST | StatusCode::CONFLICT | StatusCode::GONE)) => {
                        tracing::warn!(id = end.envelope.id, %status, "gateway refuses the final report");
                        return Ok(());
                    }
                    Ok(status) => format!("gateway answers {status}"),
                    Err(reason) => reason,
                };
            }
            Err(last)
        })
    }
}

/// Body of `POST /envelopes/{id}/progress`, the members of the Go system first.
#[derive(Serialize)]
struct Progress<'a> {
    actors: &'a [String],
    current_actor_idx: usize,
    status: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<u128>,
    message_size_kb: f64,
    current_actor_name: &'a str,
    attempt: u32,
    seq: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    fraction: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Offspring::is_empty")]
    children: &'a Offspring,
}

impl<'a> Progress<'a> {
    fn of(report: &'a Report) -> Self {
        Self {
            actors: &report.actors,
            current_actor_idx: report.current,
            status: report.status.as_str(),
            message: &report.message,
            duration_ms: report.duration.map(|took| took.as_millis()),
            message_size_kb: report.size as f64 / 1024.0,
            current_actor_name: &report.actor,
            attempt: report.attempt,
            seq: report.seq,
            fraction: report.fraction,
            parent_id: report.parent.as_deref(),
            children: &report.offspring,
        }
    }
}

/// Whether the gateway has looked at a report, also if it does not follow that envelope. One that is told to come later
/// is not sent again: the next one says more.
fn is_taken(status: StatusCode) -> bool {
    !status.is_server_error() && status != StatusCode::TOO_MANY_REQUESTS
}

/// Whether an answer says that the envelope is cancelled. A gateway of the Go system says nothing of that.
fn says_cancelled(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default)]
        cancelled: bool,
    }
    serde_json::from_slice::<Answer>(body).is_ok_and(|answer| answer.cancelled)
}

/// Body of `POST /envelopes/{id}/final`.
#[derive(Serialize)]
struct Ended {
    id: String,
    status: &'static str,
    timestamp: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_details: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Stored>,
    actors: Vec<String>,
    current_actor_idx: usize,
    current_actor_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    #[serde(skip_serializing_if = "Offspring::is_empty")]
    children: Offspring,
}

/// The name is the Go system's, whatever kind of store it is.
#[derive(Serialize)]
struct Stored {
    s3_uri: String,
}

impl Ended {
    fn of(end: &Final) -> Self {
        let Final { envelope, succeeded, result, stored } = end;
        let route = &envelope.route;
        let last = route.current.min(route.actors.len().saturating_sub(1));
        let mut ended = Self {
            id: envelope.id.clone(),
            status: if *succeeded { "succeeded" } else { "failed" },
            timestamp: Timestamp::now(),
            progress: None,
            result: None,
            error: None,
            error_details: None,
            metadata: stored.clone().map(|s3_uri| Stored { s3_uri }),
            actors: route.actors.clone(),
            current_actor_idx: route.current,
            current_actor_name: route.actors.get(last).cloned().unwrap_or_default(),
            parent_id: envelope.parent_id.clone(),
            children: Offspring::of(envelope),
        };
        if *succeeded {
            // `{}` is what the Go system's end actors return; the payload is the result then.
            let returned = result.as_ref().filter(|raw| raw.as_str() != "{}" && !raw.is_null());
            ended.progress = Some(1.0);
            ended.result = verbatim(returned.unwrap_or(&envelope.payload));
        } else {
            (ended.error, ended.error_details) = error_of(&envelope.payload);
        }
        ended
    }
}

/// The `error` and `details` members of an error envelope's payload.
fn error_of(payload: &Raw) -> (Option<String>, Option<Box<RawValue>>) {
    #[derive(serde::Deserialize)]
    struct Payload {
        error: String,
        details: Option<Box<RawValue>>,
    }
    match serde_json::from_slice::<Payload>(payload.as_bytes()) {
        Ok(payload) => (Some(payload.error), payload.details),
        Err(_) => (Some("unknown".to_owned()), None),
    }
}

fn verbatim(raw: &Raw) -> Option<Box<RawValue>> {
    RawValue::from_string(raw.as_str().to_owned()).ok()
}

/// An id as one segment of a path.
pub fn segment(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    id.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
