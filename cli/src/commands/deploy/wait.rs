//! Waiting until the operator's word for an actor is a good one.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::time::Instant;

use crate::{
    cluster::{Actor, Cluster},
    output::Output,
};

/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(500);
/// How long an actor may be in trouble before it is believed: images are pulled again, old pods give way.
const GRACE: Duration = Duration::from_secs(15);
/// Words of an actor that is as it should be.
const GOOD: [&str; 3] = ["Running", "Napping", "Paused"];
/// Words of an actor on its way.
const ON_ITS_WAY: [&str; 6] =
    ["Creating", "ScalingUp", "ScalingDown", "PendingResources", "Updating", "Unknown"];

/// How waiting ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// The operator's word; empty when it said none.
    pub(super) word: String,
    pub(super) good: bool,
    /// What does not hold, each with its reason.
    pub(super) troubles: Vec<String>,
    /// Whether the operator said anything about the spec as it is now.
    pub(super) seen: bool,
}

/// Waits until the word is a good one, stays a bad one, or the time is over.
pub(super) async fn until_good(
    cluster: &Cluster,
    name: &str,
    limit: Duration,
    output: Output,
) -> anyhow::Result<Ended> {
    let started = Instant::now();
    let spinner = spinner(output);
    let (mut shown, mut bad_since) = (String::new(), None);
    loop {
        let actor = cluster.actor(name).await?;
        let ended = judge(&actor);
        if ended.good {
            spinner.finish_and_clear();
            return Ok(ended);
        }
        let word = if ended.seen { ended.word.clone() } else { "waiting for the operator".to_owned() };
        if word != shown {
            spinner.set_message(word.clone());
            if output == Output::Json {
                eprintln!("{}", json!({"note": word}));
            } else if spinner.is_hidden() {
                eprintln!("{word}");
            }
            shown = word;
            bad_since = None;
        }
        let stuck = ended.seen && !ON_ITS_WAY.contains(&ended.word.as_str());
        let since = *bad_since.get_or_insert_with(Instant::now);
        if started.elapsed() >= limit || (stuck && since.elapsed() >= GRACE) {
            spinner.finish_and_clear();
            return Ok(ended);
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn judge(actor: &Actor) -> Ended {
    let word = actor.word().unwrap_or_default().to_owned();
    let seen = actor.is_current() && !word.is_empty();
    let troubles = actor.status.conditions.iter().filter(|condition| {
        condition.status == "False" && condition.r#type.ends_with("Ready") && !condition.message.is_empty()
    });
    let troubles = troubles
        .map(|condition| format!("{} ({}): {}", condition.r#type, condition.reason, condition.message))
        .collect();
    let good = seen && !actor.deleting && GOOD.contains(&word.as_str());
    Ended { word, good, troubles, seen }
}

fn spinner(output: Output) -> ProgressBar {
    let target =
        if output == Output::Human { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(None, target);
    let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("the template is valid");
    bar.set_style(style);
    bar.enable_steady_tick(LOOK);
    bar
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn actor(generation: i64, status: &serde_json::Value) -> Actor {
        Actor::of(json!({
            "apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor",
            "metadata": {"name": "a", "namespace": "n", "generation": generation},
            "spec": {"transport": "rabbitmq", "handler": "a.b"}, "status": status,
        }))
    }

    #[test]
    fn an_older_good_word_is_not_taken_for_the_new_specs() {
        let status = json!({"status": "Running", "observedGeneration": 1});
        assert!(judge(&actor(1, &status)).good);
        let old = judge(&actor(2, &status));
        assert!(!old.good && !old.seen);
    }

    #[test]
    fn what_does_not_hold_is_said_with_its_reason() {
        let status = json!({"status": "ScalingError", "observedGeneration": 1, "conditions": [
            {"type": "WorkloadReady", "status": "True", "reason": "WorkloadCreated", "message": "", "lastTransitionTime": ""},
            {"type": "ScalingReady", "status": "False", "reason": "KedaNotInstalled", "message": "install KEDA",
             "lastTransitionTime": ""},
        ]});
        let ended = judge(&actor(1, &status));
        assert_eq!(ended.troubles, ["ScalingReady (KedaNotInstalled): install KEDA"]);
        assert!(!ended.good);
    }
}
