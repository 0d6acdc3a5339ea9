//! Reports to the gateway: progress when it can be sent, ends until they are taken.

use std::{path::PathBuf, sync::Arc, time::Duration};

use asya_envelope::Raw;
use asya_http::{Http, StatusCode};
use asya_telemetry::ActorMetrics;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::{sync::mpsc, time::sleep};

use crate::observe::{Ends, Final, REPORTS_BUFFERED, Report};

/// After a report that nobody took, those of this long are thrown away unsent: a gateway that is away costs nothing.
const AWAY: Duration = Duration::from_secs(2);
/// Tries of one final report before it is left to redelivery.
const FINAL_TRIES: u32 = 3;
/// Pause between them.
const FINAL_PAUSE: Duration = Duration::from_millis(300);

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

    /// Sends progress reports one after the other; the returned channel never makes anybody wait. Ends when the last
    /// sender is gone.
    pub fn progress(self: Arc<Self>, metrics: Option<ActorMetrics>) -> mpsc::Sender<Report> {
        let (sender, mut reports) = mpsc::channel::<Report>(REPORTS_BUFFERED);
        tokio::spawn(async move {
            while let Some(report) = reports.recv().await {
                let path = format!("/envelopes/{}/progress", segment(&report.id));
                let outcome = self.post(&path, &Progress::of(&report)).await;
                if outcome.as_ref().is_ok_and(|status| !status.is_server_error()) {
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
        });
        sender
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<StatusCode, String> {
        // The kubelet replaces the file before the token expires, so it is read each time.
        let token = match &self.token {
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .map_err(|error| format!("token file {}: {error}", path.display()))?,
            ),
            None => None,
        };
        let body = serde_json::to_vec(body).map_err(|error| error.to_string())?;
        self.http.post(&format!("{}{path}", self.base), token.as_deref().map(str::trim), body).await
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
                    // Not the gateway's envelope, or not a final state that it takes: no later try changes that.
                    Ok(
                        status @ (StatusCode::BAD_REQUEST
                        | StatusCode::NOT_FOUND
                        | StatusCode::CONFLICT
                        | StatusCode::GONE),
                    ) => {
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
        }
    }
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
    actors: Vec<String>,
    current_actor_idx: usize,
    current_actor_name: String,
}

impl Ended {
    fn of(end: &Final) -> Self {
        let Final { envelope, succeeded, result } = end;
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
            actors: route.actors.clone(),
            current_actor_idx: route.current,
            current_actor_name: route.actors.get(last).cloned().unwrap_or_default(),
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
fn segment(id: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    id.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}
