//! Watches a cluster and sends each object that has to be looked at, with what its analyzers read.
//!
//! A source: what it sends comes from the cluster and not from its queue. A message to its queue makes it send everything
//! again. One of it per cluster; a second one says everything twice.

use std::sync::Arc;
use std::time::Duration;

use asya_analysis::message::{Subject, Task};
use asya_analysis::{Looked, Selection, Sequence, Step};
use asya_cluster::{Api, Catalogue, Patience, Watch, WatchOptions};
use asya_envelope::{Envelope, Naming, Queue, Raw, Route};
use asya_handler::{End, Fate, Request};
use asya_settings::units;
use asya_sidecar::Means;
use asya_transport::{Outgoing, TransportError};
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc};
use tokio::time::sleep;

use crate::InProcess;
use crate::actor::{Act, ActError};
use crate::deadlines::checked_in;
use crate::shipped::Variables;

/// Objects that were looked at and are not sent yet. Few: what waits in the planner instead is looked at once, however
/// often it changes.
const UNSENT: usize = 16;
/// Pause before the cluster or the broker is tried again.
const PAUSE: Duration = Duration::from_secs(5);

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How the cluster is called in findings.
    pub cluster: String,
    /// Where what it sends goes.
    pub route: Vec<String>,
    /// Names of analyzers; empty: those that run by default.
    pub analyzers: Vec<String>,
    /// How changes of one object are collected, in milliseconds.
    pub debounce: Duration,
    /// How often everything is sent again.
    pub resync: Duration,
    /// Whether Secrets are watched.
    pub secrets: bool,
}

impl Settings {
    /// Reads `ASYA_WATCH_…`.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let list = |name: &str| -> Option<Vec<String>> {
            let text = variables.get(name)?;
            Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
        };
        let mut time =
            |name: &str, otherwise: Duration| match variables.get(name).map(|text| units::duration(&text)) {
                None => otherwise,
                Some(Ok(given)) => given,
                Some(Err(error)) => {
                    errors.push(format!("{name}: {error}"));
                    otherwise
                }
            };
        let usual = WatchOptions::default();
        let debounce = time("ASYA_WATCH_DEBOUNCE", usual.debounce);
        let resync = time("ASYA_WATCH_RESYNC", usual.resync);
        if resync < SHORTEST_RESYNC {
            errors.push(format!(
                "ASYA_WATCH_RESYNC: at least {SHORTEST_RESYNC:?}; changes are seen without it"
            ));
        }
        let cluster = variables.get("ASYA_WATCH_CLUSTER").unwrap_or_else(|| "default".to_owned());
        if cluster.contains('/') {
            errors.push(format!(
                "ASYA_WATCH_CLUSTER: {cluster:?} has a slash, which separates the parts of a finding's key"
            ));
        }
        let route = list("ASYA_WATCH_ROUTE").unwrap_or_else(|| ROUTE.map(str::to_owned).to_vec());
        if route.is_empty() {
            errors.push("ASYA_WATCH_ROUTE: names no actor".to_owned());
        }
        let analyzers = list("ASYA_WATCH_ANALYZERS").unwrap_or_default();
        if let Err(unknown) = Selection::new(&analyzers, &[], &[]) {
            errors.push(format!("ASYA_WATCH_ANALYZERS: {unknown}"));
        }
        let secrets = match variables.get("ASYA_WATCH_SECRETS").as_deref() {
            None | Some("none") => false,
            Some("metadata") => true,
            Some(other) => {
                errors.push(format!("ASYA_WATCH_SECRETS: {other:?} is neither none nor metadata"));
                false
            }
        };
        if errors.is_empty() {
            Ok(Self { cluster, route, analyzers, debounce, resync, secrets })
        } else {
            Err(errors)
        }
    }
}

/// Where what is seen goes, unless settings say otherwise.
const ROUTE: [&str; 2] = ["k8s-analyze", "findings"];
/// A shorter one is a poll by another name.
const SHORTEST_RESYNC: Duration = Duration::from_secs(60);

/// The actor `k8s-watch`: a message to it makes it send everything again.
pub struct Again(Arc<Notify>);

impl Again {
    /// The actor, and what it wakes.
    pub fn handler() -> (InProcess<Self>, Arc<Notify>) {
        let again = Arc::new(Notify::new());
        (InProcess::new(Self(again.clone()), 1), again)
    }
}

impl Act for Again {
    fn act(&self, _request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        self.0.notify_one();
        Box::pin(async {
            Ok(End::Platform { envelopes: Vec::new(), writes: Vec::new(), fate: Fate::GoesOn })
        })
    }
}

/// Watches the cluster of the environment (a kubeconfig, or the pod's own service account) and sends, for ever. Where
/// cluster or broker are away it tries again. Cancel safe: what was seen and not sent is sent at the next start, because
/// then everything is.
pub async fn run(settings: Settings, naming: Naming, means: Means, again: Arc<Notify>) {
    loop {
        if let Err(reason) = watch(&settings, &naming, &means, &again).await {
            tracing::warn!(reason, "the cluster cannot be watched, trying again");
        }
        sleep(PAUSE).await;
    }
}

async fn watch(
    settings: &Settings,
    naming: &Naming,
    means: &Means,
    again: &Arc<Notify>,
) -> Result<(), String> {
    let client = kube::Client::try_default().await.map_err(|error| error.to_string())?;
    let api = Api::new(client.clone(), Patience::default());
    let catalogue = Catalogue::read(&api).await.map_err(|error| error.to_string())?;
    let selection = Selection::new(&settings.analyzers, &[], &[]).map_err(|error| error.to_string())?;
    let Settings { debounce, resync, secrets, .. } = *settings;
    let options = WatchOptions { debounce, resync, secrets };
    let (sender, mut told) = mpsc::channel(UNSENT);
    // Ends with the receiver: a change that nobody sends must not be taken as told.
    let watch = Watch::new(client, catalogue, selection, options).again(again.clone()).run(sender);
    let send = async {
        let mut last = Sequence { at: 0, number: 0 };
        while let Some(step) = told.recv().await {
            let now = u64::try_from(Timestamp::now().as_millisecond()).unwrap_or_default();
            last = Sequence { at: now.max(last.at), number: last.number + 1 };
            send(settings, naming, means, last, step).await;
        }
    };
    tracing::info!(cluster = settings.cluster, "watching the cluster");
    futures::future::join(watch, send).await;
    Ok(())
}

/// Sends one step, as often as it takes: the next one waits meanwhile. An object that no message can take is told as one
/// that nobody could look at.
async fn send(settings: &Settings, naming: &Naming, means: &Means, sequence: Sequence, step: Step) {
    let (object, subject) = match step {
        Step::Look(looked) => {
            let Looked { object, snapshot, evaluation } = *looked;
            (evaluation.object, Subject::Look { object: Box::new(object), snapshot })
        }
        Step::Gone(object) => (object.clone(), Subject::Gone(object)),
    };
    let cluster = settings.cluster.clone();
    let id = format!("{cluster}-{}-{}", sequence.at, sequence.number);
    let mut task = Task { cluster, sequence, analyzers: settings.analyzers.clone(), subject };
    let mut envelope = Envelope::new(id, Route::new(settings.route.clone()), Raw::of(&task));
    let Some(first) = envelope.route.current_actor() else { return };
    let queue = naming.queue(first);
    loop {
        match publish(means, &queue, &envelope).await {
            Ok(()) => return,
            Err(Unsent::TooLarge) if !matches!(task.subject, Subject::TooLarge(_)) => {
                let bytes = envelope.payload.as_bytes().len();
                tracing::warn!(
                    %object, bytes,
                    "no message can take this object and what was read with it: it is not looked at; a payload store \
                     (ASYA_PAYLOAD_STORE) takes it"
                );
                task.subject = Subject::TooLarge(object.clone());
                envelope.payload = Raw::of(&task);
            }
            Err(error) => {
                tracing::warn!(id = envelope.id, %error, "not sent, trying again");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
enum Unsent {
    /// No later try can help.
    #[error("it is too large")]
    TooLarge,
    /// Again, later.
    #[error("{0}")]
    Away(String),
}

async fn publish(means: &Means, queue: &Queue, envelope: &Envelope) -> Result<(), Unsent> {
    let away = |error: &dyn std::fmt::Display| Unsent::Away(error.to_string());
    let envelope =
        checked_in(means.payloads.as_ref(), envelope.clone()).await.map_err(|error| away(&error))?;
    let message = Outgoing { queue: queue.clone(), body: envelope.encode() };
    means.transport.publish(message, None).await.map_err(|error| match error {
        TransportError::TooLarge { .. } => Unsent::TooLarge,
        error => away(&error),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let find =
            |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Settings::read(&Variables { find: &find, base: Path::new("/") })
    }

    #[test]
    fn nothing_has_to_be_said() {
        let settings = read(&[]).expect("defaults");
        assert_eq!(
            (settings.cluster.as_str(), settings.route, settings.secrets),
            ("default", ROUTE.map(str::to_owned).to_vec(), false)
        );
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let errors = read(&[
            ("ASYA_WATCH_CLUSTER", "a/b"),
            ("ASYA_WATCH_ROUTE", ","),
            ("ASYA_WATCH_ANALYZERS", "Pod,Pods"),
            ("ASYA_WATCH_SECRETS", "yes"),
            ("ASYA_WATCH_DEBOUNCE", "soon"),
            ("ASYA_WATCH_RESYNC", "1s"),
        ])
        .expect_err("mistakes");
        for name in ["CLUSTER", "ROUTE", "ANALYZERS", "SECRETS", "DEBOUNCE", "RESYNC"] {
            assert!(
                errors.iter().any(|error| error.starts_with(&format!("ASYA_WATCH_{name}"))),
                "{name} in {errors:?}"
            );
        }
    }
}
