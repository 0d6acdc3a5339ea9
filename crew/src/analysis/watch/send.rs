//! How what was seen of a cluster becomes a message.

use std::time::Duration;

use asya_analysis::message::{Subject, Task};
use asya_analysis::{Looked, Sequence, Step};
use asya_envelope::{Envelope, Naming, Queue, Raw, Route};
use asya_sidecar::Means;
use asya_transport::{Outgoing, TransportError};
use tokio::time::sleep;

use super::Settings;
use crate::deadlines::checked_in;

/// Bytes of a task with the object and all that was read with it; of a larger one only what was found is sent.
const LARGEST: usize = 128 * 1024;
/// Pause before the broker is tried again.
const PAUSE: Duration = Duration::from_secs(5);

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
pub(super) async fn send(
    settings: &Settings,
    naming: &Naming,
    means: &Means,
    sequence: Sequence,
    step: Step,
) {
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

    use asya_analysis::{GroupKind, Live, Object, Planner, Selection};
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::shipped::Variables;

    fn settings() -> Settings {
        Settings::read(&Variables { find: &|_| None, base: Path::new("/") }).unwrap()
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
            let tasks: Vec<Raw> = tasks(&settings(), sequence, step).collect();
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
        assert_eq!(tasks(&settings(), sequence, live).count(), 1, "what has no shorter form goes as it is");
    }
}
