//! `asya pause` and `asya resume`.

use std::time::Duration;

use asya_resources::{API_VERSION, Delay, KIND, Word, conditions};
use clap::Args;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::{
    args::Common,
    cluster::{Actor, Cluster, ClusterArgs, resource::ACTORS},
    exit::{self, misconfigured},
    output::Output,
};

/// Who pauses, in `managedFields`: resuming gives the field back.
const MANAGER: &str = "asya-pause";
/// How long is waited unless told otherwise: the drain of a handler that runs for half a minute, and some more.
const PATIENCE: &str = "2m";
/// Between two looks at an actor: not felt by a person.
const LOOK: Duration = Duration::from_millis(300);
/// Without a sign of the operator for so long, it is not there.
const UNSEEN: Duration = Duration::from_secs(15);

/// Stop actors: no replica runs, messages wait in their queues
#[derive(Debug, Args)]
#[command(after_help = "What is in hand is finished first, for at most timeout.gracefulShutdown.\n\n\
    Examples:\n  asya pause ocr\n  asya pause --all -n staging --timeout 5m")]
pub(crate) struct Pause {
    #[command(flatten)]
    chosen: Chosen,
}

/// Let paused actors run again
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  asya resume ocr\n  asya resume --all -n staging")]
pub(crate) struct Resume {
    #[command(flatten)]
    chosen: Chosen,
}

/// Which actors, and how long to wait.
#[derive(Debug, Args)]
struct Chosen {
    /// The actors
    #[arg(required_unless_present = "all", conflicts_with = "all", value_name = "NAME")]
    names: Vec<String>,
    /// All actors of the namespace
    #[arg(long)]
    all: bool,
    /// How long to wait until the operator says that it is so; 0s does not wait
    #[arg(long, value_name = "DURATION", default_value = PATIENCE, value_parser = duration)]
    timeout: Duration,
    #[command(flatten)]
    cluster: ClusterArgs,
}

fn duration(text: &str) -> Result<Duration, String> {
    Delay::parse(text).map(|delay| delay.0)
}

impl Pause {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        self.chosen.set(&common, true).await
    }
}

impl Resume {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        self.chosen.set(&common, false).await
    }
}

/// How one actor took it.
enum Outcome {
    Done(String),
    /// Written, not waited for.
    Written,
    Failed(String),
}

impl Chosen {
    async fn set(self, common: &Common, paused: bool) -> anyhow::Result<u8> {
        let Self { names, all, timeout, cluster } = self;
        let cluster = cluster.connect(common).await?;
        let actors = if all {
            cluster.actors(false).await?
        } else {
            let mut actors = Vec::new();
            // Nothing is written before every name is known to be right.
            for name in &names {
                actors.push(cluster.actor(name).await?);
            }
            actors
        };
        if actors.is_empty() {
            return Err(misconfigured(format!("no actor in namespace {}", cluster.namespace)));
        }
        let mut written = Vec::new();
        for actor in &actors {
            written.push((actor.name.clone(), write(&cluster, actor, paused).await));
        }
        let verb = if paused { "paused" } else { "resumed" };
        let started = Instant::now();
        let mut failed = false;
        for (name, change) in written {
            let outcome = match change {
                Ok(()) if timeout.is_zero() => Outcome::Written,
                Ok(()) => settled(&cluster, &name, paused, started, timeout).await,
                Err(error) => Outcome::Failed(format!("{error:#}")),
            };
            let (ok, text) = match outcome {
                Outcome::Done(text) => (true, text),
                Outcome::Written => (true, "written, not waited for".to_owned()),
                Outcome::Failed(text) => (false, text),
            };
            failed |= !ok;
            let object = json!({"actor": name, "namespace": cluster.namespace, verb: ok, "message": text});
            if ok || common.output == Output::Json {
                common.output.line(&object, || format!("{name} {verb}: {text}"));
            } else {
                eprintln!("error: {name} is not {verb}: {text}");
            }
        }
        Ok(if failed { exit::FAILED } else { exit::OK })
    }
}

/// Sets or releases `spec.paused`.
async fn write(cluster: &Cluster, actor: &Actor, paused: bool) -> anyhow::Result<()> {
    let namespace = Some(actor.namespace.as_str());
    let mut object = json!({
        "apiVersion": API_VERSION, "kind": KIND,
        // The uid keeps an actor that was deleted in between from being made anew.
        "metadata": {"name": actor.name, "namespace": actor.namespace, "uid": actor.object["metadata"]["uid"]},
    });
    if paused {
        object["spec"] = json!({"paused": true});
        cluster.apply(ACTORS, namespace, &object, MANAGER, true).await?;
        return Ok(());
    }
    // What we set is given back; what a manifest says as well is taken away.
    let released = cluster.apply(ACTORS, namespace, &object, MANAGER, true).await?;
    if released["spec"]["paused"] == true {
        let patch = json!({"spec": {"paused": null}});
        cluster.merge(ACTORS, namespace, &actor.name, &patch, MANAGER).await?;
        let owners = owners(&released);
        if !owners.is_empty() {
            eprintln!(
                "note: spec.paused of {} was also set by {}, whose next apply sets it again: take it out of the manifest",
                actor.name,
                owners.join(" and ")
            );
        }
    }
    Ok(())
}

/// Who else set `spec.paused`.
fn owners(object: &Value) -> Vec<String> {
    let entries = object["metadata"]["managedFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let owning = entries
        .iter()
        .filter(|entry| entry["fieldsV1"]["f:spec"].get("f:paused").is_some() && entry["manager"] != MANAGER);
    owning.filter_map(|entry| entry["manager"].as_str().map(str::to_owned)).collect()
}

/// Waits until the operator says that it is so.
async fn settled(
    cluster: &Cluster,
    name: &str,
    paused: bool,
    started: Instant,
    timeout: Duration,
) -> Outcome {
    loop {
        let actor = match cluster.actor(name).await {
            Ok(actor) => actor,
            Err(error) => return Outcome::Failed(format!("{error:#}")),
        };
        if let Some(outcome) = judge(&actor, paused) {
            return outcome;
        }
        let waited = started.elapsed();
        if waited > timeout.min(UNSEEN) && !actor.is_current() {
            return Outcome::Failed(
                "the operator has not seen the change; `asya doctor --cluster` says whether it runs"
                    .to_owned(),
            );
        }
        if waited > timeout {
            return Outcome::Failed(format!("not within {timeout:?}: {}", because(&actor)));
        }
        sleep(LOOK).await;
    }
}

/// What the status says, once it says something final.
fn judge(actor: &Actor, paused: bool) -> Option<Outcome> {
    if !actor.is_current() {
        return None;
    }
    let word = actor.word().and_then(Word::read);
    let waiting = actor.status.queued_messages.unwrap_or(0);
    if paused {
        let warning = actor.status.condition(conditions::WARNING);
        if let Some(warning) = warning.filter(|warning| warning.reason == "PauseIgnored") {
            return Some(Outcome::Failed(warning.message.clone()));
        }
        let gone = actor.status.total_replicas.unwrap_or(0) == 0;
        return (word == Some(Word::Paused) && gone)
            .then(|| Outcome::Done(format!("no pod runs, {waiting} messages wait")));
    }
    let word = word.filter(|word| *word != Word::Paused)?;
    Some(Outcome::Done(format!("{}: {}", word.as_str(), word.meaning())))
}

/// Why it is not so yet.
fn because(actor: &Actor) -> String {
    let pods = actor.status.total_replicas.unwrap_or(0);
    let bad = actor.status.conditions.iter().find(|condition| condition.is_bad());
    let word = actor.word().unwrap_or("no status yet");
    match bad {
        Some(condition) => format!("{word}; {}: {}", condition.r#type, condition.message),
        None if pods > 0 => format!("{word}; {pods} pods still run, they finish what they have in hand"),
        None => format!("{word}; see `asya explain actor {}`", actor.name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(status: Value) -> Actor {
        Actor::of(
            json!({"metadata": {"name": "ocr", "namespace": "a", "generation": 3}, "spec": {}, "status": status}),
        )
    }

    #[test]
    fn an_actor_is_paused_when_the_operator_says_so_of_this_generation_and_no_pod_is_left() {
        let old = actor(json!({"observedGeneration": 2, "status": "Paused", "totalReplicas": 0}));
        assert!(judge(&old, true).is_none());
        let draining = actor(json!({"observedGeneration": 3, "status": "Paused", "totalReplicas": 1}));
        assert!(judge(&draining, true).is_none());
        let done = actor(
            json!({"observedGeneration": 3, "status": "Paused", "totalReplicas": 0, "queuedMessages": 7}),
        );
        assert!(matches!(judge(&done, true), Some(Outcome::Done(text)) if text.contains("7 messages wait")));
        assert!(judge(&done, false).is_none());
    }

    #[test]
    fn other_owners_of_the_pause_are_named() {
        let object = json!({"metadata": {"managedFields": [
            {"manager": "argocd", "fieldsV1": {"f:spec": {"f:paused": {}}}},
            {"manager": MANAGER, "fieldsV1": {"f:spec": {"f:paused": {}}}},
            {"manager": "kubectl", "fieldsV1": {"f:spec": {"f:transport": {}}}},
        ]}});
        assert_eq!(owners(&object), ["argocd"]);
    }
}
