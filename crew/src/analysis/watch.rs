//! Watches a cluster and sends each object that has to be looked at, with what its analyzers read.
//!
//! A source: what it sends comes from the cluster and not from its queue. A message to its queue makes it send everything
//! again. Of several in pods one watches, the one that holds the Lease; its sequence goes on where that of the one before
//! has ended.

use std::sync::Arc;
use std::time::Duration;

use asya_analysis::message::{Subject, Task};
use asya_analysis::{Looked, Selection, Sequence, Step};
use asya_cluster::lease::Candidate;
use asya_cluster::{Api, Catalogue, Patience, Watch, WatchOptions, introduce};
use asya_envelope::{Envelope, Naming, Queue, Raw, Route};
use asya_handler::{End, Fate, Request};
use asya_settings::units;
use asya_sidecar::Means;
use asya_transport::{Outgoing, TransportError};
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::InProcess;
use crate::actor::{Act, ActError};
use crate::deadlines::checked_in;
use crate::shipped::Variables;

/// Objects that were looked at and are not sent yet. Few: what waits in the planner instead is looked at once, however
/// often it changes.
const UNSENT: usize = 16;
/// Who asks, as the audit log of an API server says it.
const AGENT: &str = "asya-k8s-watch";
/// Bytes of a task with the object and all that was read with it; of a larger one only what was found is sent.
const LARGEST: usize = 128 * 1024;
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
    /// How long what crashes must run before it counts as healed.
    pub settle: Duration,
    /// Whether Secrets are watched.
    pub secrets: bool,
    /// The Lease that says which of several watches, in the pod's own namespace and nowhere else; none: it is not asked.
    pub lease: Option<String>,
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
        let settle = time("ASYA_WATCH_SETTLE", usual.settle);
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
        match Selection::new(&analyzers, &[], &[]) {
            Err(unknown) => errors.push(format!("ASYA_WATCH_ANALYZERS: {unknown}")),
            Ok(selection) => errors.extend(selection.reading_logs().map(|name| {
                format!(
                    "ASYA_WATCH_ANALYZERS: {name} reads logs, which k8s-watch does not: nobody tells of their changes; \
                     `asya analyze --filter {name}` reads them once"
                )
            })),
        }
        let lease = match variables.get("ASYA_WATCH_LEASE") {
            None => Some(lease_of(&cluster)),
            Some(none) if none == "none" => None,
            Some(name) => Some(name),
        };
        let secrets = match variables.get("ASYA_WATCH_SECRETS").as_deref() {
            None | Some("none") => false,
            Some("metadata") => true,
            Some(other) => {
                errors.push(format!("ASYA_WATCH_SECRETS: {other:?} is neither none nor metadata"));
                false
            }
        };
        if errors.is_empty() {
            Ok(Self { cluster, route, analyzers, debounce, resync, settle, secrets, lease })
        } else {
            Err(errors)
        }
    }
}

/// The name of the Lease for a cluster that is called like this: lower-case letters, digits and dashes.
fn lease_of(cluster: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = cluster.chars().map(plain).collect();
    format!("k8s-watch-{}", name.trim_matches('-'))
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
        let (done, lost) = (CancellationToken::new(), CancellationToken::new());
        // Renewed by a task of its own: looking at many objects does not hold it up.
        let mut holding = JoinSet::new();
        let mut first = 0;
        if let Some(candidate) = candidate(&settings)
            && let Some(term) = candidate.acquire(&done).await
        {
            first = term.begins().map(millis).unwrap_or_default();
            holding.spawn(term.hold(done.clone(), lost.clone()));
        }
        tokio::select! {
            watched = watch(&settings, &naming, &means, &again, first) => {
                if let Err(reason) = watched {
                    tracing::warn!(reason, "the cluster cannot be watched, trying again");
                }
            }
            () = lost.cancelled() => tracing::warn!("another one may watch the cluster now; standing by"),
        }
        done.cancel();
        while holding.join_next().await.is_some() {}
        sleep(PAUSE).await;
    }
}

/// A bid for the Lease, where there is one: it is of the cluster in which this pod runs, not of the one that is watched.
fn candidate(settings: &Settings) -> Option<Candidate> {
    let name = settings.lease.as_ref()?;
    let home = kube::Config::incluster().ok()?;
    let namespace = home.default_namespace.clone();
    let client = kube::Client::try_from(home).inspect_err(
        |error| tracing::warn!(%error, "no lease is asked for: nobody else should watch this cluster"),
    );
    // A pod is called like its host; the same pod that starts again goes on at once.
    let identity = std::env::var("HOSTNAME").unwrap_or_else(|_| format!("k8s-watch-{}", std::process::id()));
    Some(Candidate::new(client.ok()?, &namespace, name, &identity))
}

fn millis(time: Timestamp) -> u64 {
    u64::try_from(time.as_millisecond()).unwrap_or_default()
}

async fn watch(
    settings: &Settings,
    naming: &Naming,
    means: &Means,
    again: &Arc<Notify>,
    first: u64,
) -> Result<(), String> {
    let mut config = kube::Config::infer().await.map_err(|error| error.to_string())?;
    introduce(&mut config, AGENT);
    let client = kube::Client::try_from(config).map_err(|error| error.to_string())?;
    let api = Api::new(client.clone(), Patience::default());
    let catalogue = Catalogue::read(&api).await.map_err(|error| error.to_string())?;
    let selection = Selection::new(&settings.analyzers, &[], &[]).map_err(|error| error.to_string())?;
    let Settings { debounce, resync, settle, secrets, .. } = *settings;
    let options = WatchOptions { debounce, resync, settle, secrets, ..WatchOptions::default() };
    let (sender, mut told) = mpsc::channel(UNSENT);
    // Ends with the receiver: a change that nobody sends must not be taken as told.
    let watch = Watch::new(client, catalogue, selection, options).again(again.clone()).run(sender);
    let send = async {
        let mut last = Sequence { at: first, number: 0 };
        while let Some(step) = told.recv().await {
            last = Sequence { at: millis(Timestamp::now()).max(last.at), number: last.number + 1 };
            send(settings, naming, means, last, step).await;
        }
    };
    tracing::info!(cluster = settings.cluster, "watching the cluster");
    futures::future::join(watch, send).await;
    Ok(())
}

/// What may be said of a step, the most first. The analyzers have run here already, over the same objects: where those
/// are too large for a message, what was found stands for them.
fn subjects(step: Step) -> Vec<Subject> {
    match step {
        Step::Look(looked) => {
            let Looked { object, snapshot, evaluation } = *looked;
            let reference = evaluation.object.clone();
            vec![
                Subject::Look { object: Box::new(object), snapshot },
                Subject::Found(Box::new(evaluation)),
                Subject::TooLarge(reference),
            ]
        }
        Step::Gone(object) => vec![Subject::Gone(object)],
        Step::Live(live) => vec![Subject::Live(live)],
    }
}

/// The payloads that say a step, the most first, without those that are too large while a smaller one is left.
fn tasks(settings: &Settings, sequence: Sequence, step: Step) -> impl Iterator<Item = Raw> {
    let subjects = subjects(step);
    let last = subjects.len().saturating_sub(1);
    subjects.into_iter().enumerate().filter_map(move |(n, subject)| {
        let (cluster, analyzers) = (settings.cluster.clone(), settings.analyzers.clone());
        let task = Raw::of(&Task { cluster, sequence, analyzers, subject });
        (n == last || task.as_bytes().len() <= LARGEST).then_some(task)
    })
}

/// Sends one step, as often as it takes: the next one waits meanwhile.
async fn send(settings: &Settings, naming: &Naming, means: &Means, sequence: Sequence, step: Step) {
    let mut tasks = tasks(settings, sequence, step);
    let id = format!("{}-{}-{}", settings.cluster, sequence.at, sequence.number);
    let Some(payload) = tasks.next() else { return };
    let mut envelope = Envelope::new(id, Route::new(settings.route.clone()), payload);
    let Some(first) = envelope.route.current_actor() else { return };
    let queue = naming.queue(first);
    loop {
        let error = match publish(means, &queue, &envelope).await {
            Ok(()) => return,
            Err(Unsent::TooLarge) => match tasks.next() {
                Some(smaller) => {
                    envelope.payload = smaller;
                    continue;
                }
                None => Unsent::TooLarge,
            },
            Err(error) => error,
        };
        tracing::warn!(id = envelope.id, %error, "not sent, trying again");
        sleep(PAUSE).await;
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
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use asya_analysis::{GroupKind, Live, Object, Planner};
    use serde_json::{Value, json};

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
        assert_eq!(settings.lease.as_deref(), Some("k8s-watch-default"));
        let lease = |name, value| read(&[(name, value)]).expect("a lease").lease;
        assert_eq!(lease("ASYA_WATCH_CLUSTER", "Prod_EU.1-").as_deref(), Some("k8s-watch-prod-eu-1"));
        assert_eq!(lease("ASYA_WATCH_LEASE", "mine").as_deref(), Some("mine"));
        assert_eq!(lease("ASYA_WATCH_LEASE", "none"), None);
    }

    #[test]
    fn of_a_large_object_only_what_was_found_is_sent() {
        let said = |size: usize| {
            let mut planner = Planner::new(Selection::new(&["Pod"], &[], &[]).unwrap(), Duration::ZERO);
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p",
                "annotations": {"a": "x".repeat(size)}}, "status": {"phase": "Failed", "reason": "Evicted"}});
            planner.put(&Object::new(pod).unwrap(), Timestamp::UNIX_EPOCH);
            let step = planner.next(Timestamp::UNIX_EPOCH).unwrap();
            let sequence = Sequence { at: 1, number: 1 };
            let tasks: Vec<Raw> = tasks(&read(&[]).unwrap(), sequence, step).collect();
            let of = |task: &Raw| serde_json::from_slice::<Value>(task.as_bytes()).unwrap();
            let kinds = ["look", "found", "tooLarge"];
            let kind = |task: Value| kinds.into_iter().find(|kind| task.get(*kind).is_some()).unwrap();
            assert!(of(&tasks[tasks.len() - 2])["found"]["failures"][0]["code"] == "PodEvicted");
            tasks.iter().map(|task| kind(of(task))).collect::<Vec<_>>()
        };
        assert_eq!(said(10), ["look", "found", "tooLarge"]);
        assert_eq!(said(LARGEST), ["found", "tooLarge"]);
        let live = Step::Live(Live::page(GroupKind::new("", "Pod"), None, ["x".repeat(LARGEST)]));
        let sequence = Sequence { at: 1, number: 1 };
        assert_eq!(
            tasks(&read(&[]).unwrap(), sequence, live).count(),
            1,
            "what has no shorter form goes as it is"
        );
    }

    #[test]
    fn an_analyzer_that_reads_logs_is_refused_with_what_reads_them() {
        let errors = read(&[("ASYA_WATCH_ANALYZERS", "Pod,Log")]).expect_err("logs");
        assert!(errors.len() == 1 && errors[0].contains("asya analyze --filter Log"), "{errors:?}");
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
