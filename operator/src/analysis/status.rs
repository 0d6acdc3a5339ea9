//! Pure: what was observed of an analysis becomes its status.

use std::time::Duration;

use asya_resources::{
    Condition,
    k8sgpt::{
        Backend, Counts, K8sGptStatus, Warning, WatchedCluster,
        status::{ANOTHER, CLUSTER, MODEL, READY, SINKS, WARNING},
    },
};
use jiff::{SignedDuration, Timestamp};

use super::{desired::model::Model, subject::Subject};

/// What the watcher says about itself, as annotations of its Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pass {
    /// When it had looked at everything last.
    pub at: Option<Timestamp>,
    /// Address of the API server.
    pub server: Option<String>,
    /// Version of Kubernetes.
    pub version: Option<String>,
    /// Objects of which something could not be read.
    pub unverified: Option<u32>,
}

/// How one actor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Runs {
    /// Nothing speaks against it.
    Well,
    /// Nobody has looked at it yet.
    Unseen,
    /// Something is wrong: the words of its conditions.
    Badly(String),
}

/// One word, and a sentence.
pub type Problem = (&'static str, String);

/// What a status is made from.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Another operator looks after these kinds: who.
    pub another: Option<String>,
    /// What stands in the way of everything.
    pub problem: Option<Problem>,
    /// Why the cluster that is named cannot be watched.
    pub refused: Option<Problem>,
    /// The actors by the end of their name.
    pub actors: Vec<(String, Runs)>,
    /// What the watcher says.
    pub pass: Pass,
    /// What is broken.
    pub counts: Counts,
    /// What works in another way than the manifest says.
    pub warnings: Vec<Warning>,
    /// Sinks of which too little is known.
    pub incomplete_sinks: Vec<String>,
}

/// A watcher that has not looked at everything for so long, besides the time between two looks, is in trouble.
const LATE: Duration = Duration::from_secs(5 * 60);
/// Longest sentence of a condition.
const MESSAGE: usize = 2000;

enum Holds {
    Yes,
    No,
    Unknown,
}
use Holds::{No, Unknown, Yes};

/// The status that follows; conditions keep their time as long as they say the same.
pub fn status(subject: &Subject, observed: &Observed, now: Timestamp) -> K8sGptStatus {
    let mut said: Vec<(&str, Holds, &str, String)> = Vec::new();
    if let Some(another) = &observed.another {
        let sentence = format!(
            "{another}. Two operators on one kind fight, so nothing is made or taken away here until the other is gone"
        );
        said.push((READY, No, "AnotherOperator", sentence.clone()));
        said.push((ANOTHER, Yes, "AnotherOperator", sentence));
    } else {
        let cluster = cluster(subject, observed, now);
        said.push(ready(observed, &cluster));
        said.push(cluster);
        said.extend(model(subject, observed));
        said.extend(sinks(subject, observed));
        said.extend(warning(&observed.warnings));
    }
    let time = seconds(now);
    let conditions = said
        .into_iter()
        .map(|(r#type, holds, reason, message)| {
            let status = match holds {
                Yes => "True",
                No => "False",
                Unknown => "Unknown",
            };
            let before = subject.status.condition(r#type).filter(|before| before.status == status);
            Condition {
                r#type: r#type.to_owned(),
                status: status.to_owned(),
                observed_generation: Some(subject.generation),
                last_transition_time: before
                    .map_or_else(|| time.clone(), |it| it.last_transition_time.clone()),
                reason: reason.to_owned(),
                message: message.chars().take(MESSAGE).collect(),
            }
        })
        .collect();
    if observed.another.is_some() {
        // Numbers of somebody else's work are not ours to say.
        return K8sGptStatus {
            conditions,
            observed_generation: Some(subject.generation),
            ..K8sGptStatus::default()
        };
    }
    K8sGptStatus {
        conditions,
        observed_generation: Some(subject.generation),
        last_run: observed.pass.at.map(seconds),
        findings: Some(Counts { unverified: observed.pass.unverified, ..observed.counts.clone() }),
        cluster: Some(WatchedCluster {
            name: subject.spec.kubeconfig().map_or("in-cluster", |(name, _)| name).to_owned(),
            server: observed.pass.server.clone(),
            version: observed.pass.version.clone(),
        }),
    }
}

fn seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

type Said = (&'static str, Holds, &'static str, String);

fn ready(observed: &Observed, cluster: &Said) -> Said {
    if let Some((reason, message)) = &observed.problem {
        return (READY, No, reason, message.clone());
    }
    if let (_, No, reason, message) = cluster {
        return (READY, No, reason, message.clone());
    }
    // A broker that is away is told once, with all that wait for it.
    let mut badly: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, runs) in &observed.actors {
        let Runs::Badly(words) = runs else { continue };
        match badly.iter_mut().find(|(said, _)| said == words) {
            Some((_, names)) => names.push(name),
            None => badly.push((words, vec![name])),
        }
    }
    if !badly.is_empty() {
        let said: Vec<_> =
            badly.iter().map(|(words, names)| format!("{}: {words}", names.join(", "))).collect();
        return (READY, No, "ActorsNotReady", said.join("; "));
    }
    let unseen: Vec<_> = observed
        .actors
        .iter()
        .filter(|(_, runs)| *runs == Runs::Unseen)
        .map(|(name, _)| name.as_str())
        .collect();
    if !unseen.is_empty() {
        let names = unseen.join(", ");
        return (
            READY,
            Unknown,
            "ActorsStarting",
            format!("{names} are being made: is asya-operator running?"),
        );
    }
    match cluster {
        (_, Unknown, reason, message) => (READY, Unknown, reason, message.clone()),
        _ => (READY, Yes, "Watching", "the cluster is analysed".to_owned()),
    }
}

fn cluster(subject: &Subject, observed: &Observed, now: Timestamp) -> Said {
    if let Some((reason, message)) = &observed.refused {
        return (CLUSTER, No, reason, message.clone());
    }
    let Some(at) = observed.pass.at else {
        let message = "the watcher has not looked at everything yet".to_owned();
        return (CLUSTER, Unknown, "NotLookedYet", message);
    };
    let bound = subject.spec.analysis().interval().saturating_mul(2).saturating_add(LATE);
    let since = now.duration_since(at);
    if since > SignedDuration::try_from(bound).unwrap_or(SignedDuration::MAX) {
        let (namespace, watch) = (&subject.namespace, subject.object("watch"));
        let message = format!(
            "everything was looked at last at {}: kubectl logs deployment/{watch} -n {namespace} says what it cannot reach",
            seconds(at)
        );
        return (CLUSTER, No, "NotLookedLately", message);
    }
    (CLUSTER, Yes, "Answers", "the cluster answers".to_owned())
}

fn runs<'a>(observed: &'a Observed, part: &str) -> Option<&'a Runs> {
    observed.actors.iter().find(|(name, _)| name == part).map(|(_, runs)| runs)
}

/// Whether the model answers is seen by its answers alone.
fn model(subject: &Subject, observed: &Observed) -> Option<Said> {
    let backend = subject.spec.ai.as_ref().map_or(Backend::default(), |ai| ai.backend).as_str();
    match Model::of(&subject.spec) {
        Model::Off => None,
        Model::Impossible(reason, message) => Some((MODEL, No, reason, message)),
        Model::Explains(_) => Some(match runs(observed, "explain") {
            Some(Runs::Badly(words)) => (MODEL, No, "ActorNotReady", words.clone()),
            Some(Runs::Well) => {
                let total = observed.counts.total;
                let explained = total - observed.counts.unexplained.unwrap_or_default().min(total);
                if explained > 0 {
                    (MODEL, Yes, "Answers", format!("{backend} has explained what is open"))
                } else {
                    let (namespace, explain) = (&subject.namespace, subject.object("explain"));
                    let message = format!(
                        "nothing that is open was explained by {backend} yet; \
                         kubectl logs deployment/{explain} -n {namespace} says why"
                    );
                    (MODEL, Unknown, "NotAnsweredYet", message)
                }
            }
            Some(Runs::Unseen) | None => {
                (MODEL, Unknown, "ActorsStarting", "the actor that asks it is being made".to_owned())
            }
        }),
    }
}

fn sinks(subject: &Subject, observed: &Observed) -> Option<Said> {
    subject.spec.sinks().next()?;
    if !observed.incomplete_sinks.is_empty() {
        let names = observed.incomplete_sinks.join(", ");
        let message = format!("{names}: nobody is told; set webhook, or secret with name and key");
        return Some((SINKS, No, "SinkIncomplete", message));
    }
    Some(match runs(observed, "notify") {
        Some(Runs::Badly(words)) => (SINKS, No, "ActorNotReady", words.clone()),
        Some(Runs::Well) => {
            let message =
                "the actor that tells them runs; notifications_total counts what they take".to_owned();
            (SINKS, Yes, "ActorReady", message)
        }
        Some(Runs::Unseen) | None => {
            (SINKS, Unknown, "ActorsStarting", "the actor that tells them is being made".to_owned())
        }
    })
}

fn warning(warnings: &[Warning]) -> Option<Said> {
    let first = warnings.first()?;
    let reason = if warnings.iter().all(|it| it.reason == first.reason) { first.reason } else { "Several" };
    let all: Vec<_> = warnings.iter().map(|it| format!("{}: {}", it.field, it.message)).collect();
    Some((WARNING, Yes, reason, all.join("; ")))
}

#[cfg(test)]
mod tests {
    use asya_resources::k8sgpt::K8sGptSpec;
    use serde_json::{Value, from_value, json};

    use super::*;

    fn subject(spec: Value) -> Subject {
        Subject {
            name: "gpt".to_owned(),
            namespace: "ops".to_owned(),
            uid: "u".to_owned(),
            generation: 3,
            spec: from_value::<K8sGptSpec>(spec).unwrap(),
            status: K8sGptStatus::default(),
            deleting: false,
            finalizer: false,
            writer: None,
        }
    }

    fn now() -> Timestamp {
        "2026-11-22T02:00:00Z".parse().unwrap()
    }

    fn well(parts: &[&str]) -> Observed {
        Observed {
            actors: parts.iter().map(|part| ((*part).to_owned(), Runs::Well)).collect(),
            pass: Pass { at: Some(now()), version: Some("v1.33.1".to_owned()), ..Pass::default() },
            ..Observed::default()
        }
    }

    #[track_caller]
    fn says(status: &K8sGptStatus, r#type: &str, holds: &str, reason: &str) {
        let condition = status.condition(r#type).expect(r#type);
        assert_eq!((condition.status.as_str(), condition.reason.as_str()), (holds, reason), "{condition:?}");
    }

    #[test]
    fn an_analysis_that_runs_is_ready_and_says_what_it_watches() {
        let status = status(&subject(json!({})), &well(&["watch", "findings"]), now());
        says(&status, READY, "True", "Watching");
        says(&status, CLUSTER, "True", "Answers");
        assert_eq!(status.condition(MODEL), None, "nothing explains");
        assert_eq!(status.condition(SINKS), None, "nobody is told");
        assert_eq!(status.condition(ANOTHER), None);
        assert_eq!(status.last_run.as_deref(), Some("2026-11-22T02:00:00Z"));
        assert_eq!(status.cluster.unwrap().name, "in-cluster");
    }

    #[test]
    fn a_watcher_that_is_late_is_not_ready() {
        let subject = subject(json!({"analysis": {"interval": "10m"}}));
        let mut observed = well(&["watch"]);
        observed.pass.at = Some(now() - SignedDuration::from_mins(24));
        says(&status(&subject, &observed, now()), CLUSTER, "True", "Answers");
        observed.pass.at = Some(now() - SignedDuration::from_mins(26));
        let late = status(&subject, &observed, now());
        says(&late, CLUSTER, "False", "NotLookedLately");
        says(&late, READY, "False", "NotLookedLately");
        observed.pass.at = None;
        says(&status(&subject, &observed, now()), READY, "Unknown", "NotLookedYet");
    }

    #[test]
    fn another_operator_is_all_that_is_said() {
        let observed = Observed { another: Some("Deployment x".to_owned()), ..well(&["watch"]) };
        let status = status(&subject(json!({})), &observed, now());
        says(&status, ANOTHER, "True", "AnotherOperator");
        says(&status, READY, "False", "AnotherOperator");
        assert_eq!((status.conditions.len(), status.findings), (2, None));
    }

    #[test]
    fn what_keeps_an_actor_from_running_is_said() {
        let mut observed = well(&["watch"]);
        observed.actors.push(("notify".to_owned(), Runs::Badly("secret \"slack\" not found".to_owned())));
        let status = status(&subject(json!({"sink": {"webhook": "http://x"}})), &observed, now());
        says(&status, READY, "False", "ActorsNotReady");
        says(&status, SINKS, "False", "ActorNotReady");
        assert!(status.condition(READY).unwrap().message.contains("notify: secret \"slack\" not found"));
    }

    #[test]
    fn what_all_wait_for_is_said_once() {
        let mut observed = well(&["watch"]);
        let badly = |name: &str, words: &str| (name.to_owned(), Runs::Badly(words.to_owned()));
        observed.actors.extend([
            badly("analyze", "no broker"),
            badly("notify", "no key"),
            badly("results", "no broker"),
        ]);
        let status = status(&subject(json!({})), &observed, now());
        let message = &status.condition(READY).unwrap().message;
        assert_eq!(message, "analyze, results: no broker; notify: no key");
    }

    #[test]
    fn a_model_is_ready_once_it_has_answered() {
        let spec = json!({"ai": {"enabled": true, "backend": "ollama", "baseUrl": "http://o:11434"}});
        let mut observed = well(&["watch", "explain"]);
        observed.counts = Counts { total: 3, unexplained: Some(3), ..Counts::default() };
        says(&status(&subject(spec.clone()), &observed, now()), MODEL, "Unknown", "NotAnsweredYet");
        observed.counts.unexplained = Some(1);
        says(&status(&subject(spec), &observed, now()), MODEL, "True", "Answers");
    }

    #[test]
    fn a_backend_without_a_client_says_which_to_use() {
        for backend in ["ibmwatsonxai", "amazonsagemaker", "googlevertexai", "oci"] {
            let spec =
                json!({"ai": {"enabled": true, "backend": backend, "secret": {"name": "s", "key": "k"}}});
            let status = status(&subject(spec), &well(&["watch"]), now());
            says(&status, MODEL, "False", "BackendUnsupported");
            says(&status, READY, "True", "Watching");
            let message = &status.condition(MODEL).unwrap().message;
            assert!(message.contains("set backend ") && message.contains("baseUrl"), "{message}");
        }
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_says_something_else() {
        let mut subject = subject(json!({}));
        let first = status(&subject, &well(&["watch"]), now());
        subject.status = first.clone();
        let later = now() + SignedDuration::from_mins(1);
        assert_eq!(status(&subject, &well(&["watch"]), later), first, "nothing changed");
        let observed = Observed { problem: Some(("NoDatabase", "no".to_owned())), ..well(&["watch"]) };
        let changed = status(&subject, &observed, later);
        assert_eq!(changed.condition(READY).unwrap().last_transition_time, "2026-11-22T02:01:00Z");
        assert_eq!(changed.condition(CLUSTER), first.condition(CLUSTER));
    }

    #[test]
    fn warnings_are_one_condition() {
        let of = |reason, field: &str| Warning { reason, field: field.to_owned(), message: "m".to_owned() };
        let mut observed = well(&[]);
        observed.warnings = vec![of("ImageIgnored", "a"), of("Incomplete", "b")];
        let status = status(&subject(json!({})), &observed, now());
        says(&status, WARNING, "True", "Several");
        assert_eq!(status.condition(WARNING).unwrap().message, "a: m; b: m");
    }
}
