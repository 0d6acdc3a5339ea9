//! Pure: what was observed of an agent becomes its status.

use asya_resources::{
    Condition,
    agent::{
        About, AgentStatus, Objection,
        status::{DEFINITION, POLICY, READY, SECRETS, WORKLOAD},
    },
    conditions::SUMMARY,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{sources::Secrets, subject::Subject};

/// Longest sentence of a condition.
const MESSAGE: usize = 2000;

/// How the agent's actor is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Runs {
    /// Nothing speaks against it.
    Well,
    /// Nobody has looked at it yet, or it is not there.
    #[default]
    Unseen,
    /// Something is wrong: the words of its conditions.
    Badly(String),
}

/// What a status is made from.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Why it was not compiled.
    pub objections: Vec<Objection>,
    /// Why its actor is not as it should be: one word, and a sentence.
    pub refused: Option<(&'static str, String)>,
    /// How its actor is.
    pub runs: Runs,
    /// What its move to another account waits for.
    pub moves: Option<String>,
    /// What is known of its Secrets.
    pub secrets: Secrets,
    /// The model that answers.
    pub model: Option<String>,
    /// Tools that it is granted.
    pub tools: Vec<String>,
    /// Actors that it calls after approval only, and that let in others' calls without.
    pub unguarded: Vec<String>,
    /// SHA-256 of the text that a ConfigMap holds for it.
    pub definition: Option<String>,
}

type Said = (&'static str, Holds, &'static str, String);

#[derive(Clone, Copy, PartialEq)]
enum Holds {
    Yes,
    No,
    Unknown,
}
use Holds::{No, Unknown, Yes};

impl Holds {
    fn word(self) -> &'static str {
        match self {
            Yes => "True",
            No => "False",
            Unknown => "Unknown",
        }
    }
}

impl Runs {
    /// What the conditions of an actor come to.
    pub fn of(status: &Value) -> Self {
        let conditions = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        let mut counted =
            conditions.iter().filter(|it| SUMMARY.iter().any(|name| it["type"] == *name)).peekable();
        if counted.peek().is_none() {
            return Self::Unseen;
        }
        let bad = counted.find(|condition| condition["status"] == "False");
        bad.map_or(Self::Well, |bad| {
            let text = |field: &str| bad[field].as_str().unwrap_or_default();
            Self::Badly(format!("{}: {}", text("reason"), text("message")))
        })
    }
}

/// The status that follows; conditions keep their time as long as they say the same.
pub fn status(subject: &Subject, observed: &Observed, now: Timestamp) -> AgentStatus {
    let parts = [definition(observed), secrets(observed), policy(observed), workload(observed)];
    let said = std::iter::once(ready(&parts)).chain(parts.clone());
    let time = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let conditions = said.map(|(r#type, holds, reason, message)| {
        let before = subject.status.condition(r#type).filter(|before| before.status == holds.word());
        Condition {
            r#type: r#type.to_owned(),
            status: holds.word().to_owned(),
            observed_generation: Some(subject.generation),
            last_transition_time: before.map_or_else(|| time.clone(), |it| it.last_transition_time.clone()),
            reason: reason.to_owned(),
            message: message.chars().take(MESSAGE).collect(),
        }
    });
    AgentStatus {
        conditions: conditions.collect(),
        observed_generation: Some(subject.generation),
        model: observed.model.clone(),
        tools: observed.tools.clone(),
        definition: observed.definition.clone(),
    }
}

/// What is objected to about one thing: the first one's word, and all sentences.
fn objected(observed: &Observed, about: About) -> Option<(&'static str, String)> {
    let own: Vec<_> = observed.objections.iter().filter(|objection| objection.about() == about).collect();
    let sentences: Vec<_> =
        own.iter().map(|objection| format!("{}: {objection}", objection.field())).collect();
    Some((own.first()?.reason(), sentences.join("; ")))
}

fn definition(observed: &Observed) -> Said {
    match objected(observed, About::Definition) {
        Some((reason, message)) => (DEFINITION, No, reason, message),
        None => (DEFINITION, Yes, "Resolved", "prompt, tools and model are known".to_owned()),
    }
}

fn policy(observed: &Observed) -> Said {
    if let Some((reason, message)) = objected(observed, About::Policy) {
        return (POLICY, No, reason, format!("{message}. Until then no actor runs"));
    }
    if objected(observed, About::Definition).is_some() {
        return (POLICY, Unknown, "NotResolved", "what it is granted is not known yet".to_owned());
    }
    let message = match &observed.tools[..] {
        [] => "it is granted no tool".to_owned(),
        tools => format!("it is granted {}", tools.join(", ")),
    };
    if !observed.unguarded.is_empty() {
        let message = format!(
            "{message}. Whoever else sends to {} needs no approval: set ASYA_APPROVED_ONLY=true in spec.sidecar.env of each",
            observed.unguarded.join(", ")
        );
        return (POLICY, Yes, "Unguarded", message);
    }
    (POLICY, Yes, "Compliant", message)
}

fn secrets(observed: &Observed) -> Said {
    if let Some((reason, message)) = objected(observed, About::Secrets) {
        return (SECRETS, No, reason, message);
    }
    if !observed.objections.is_empty() {
        return (SECRETS, Unknown, "NotResolved", "which Secrets it needs is not known yet".to_owned());
    }
    match &observed.secrets {
        Secrets::Needless => (SECRETS, Yes, "NotNeeded", "it needs no Secret".to_owned()),
        Secrets::There => (SECRETS, Yes, "Found", "every Secret is there".to_owned()),
        Secrets::Missing(reason, message) => (SECRETS, No, reason, message.clone()),
        Secrets::Hidden(name) => {
            let message = format!(
                "the operator may not look whether the Secret {name:?} is there: name it in agents.secrets of the chart \
                 asya-operator. Without it pods wait"
            );
            (SECRETS, Unknown, "MayNotLook", message)
        }
    }
}

fn workload(observed: &Observed) -> Said {
    let (r#type, holds, reason, mut message) = actor(observed);
    if let Some(moves) = &observed.moves {
        message = format!("{message}; {moves}");
    }
    (r#type, holds, reason, message)
}

fn actor(observed: &Observed) -> Said {
    if let Some((reason, message)) = &observed.refused {
        return (WORKLOAD, No, reason, message.clone());
    }
    match (&observed.runs, objected(observed, About::Policy).is_some()) {
        (_, true) => (WORKLOAD, No, "NotAllowed", "no actor runs while PolicyCompliant is False".to_owned()),
        (Runs::Well, _) => (WORKLOAD, Yes, "Running", "its actor is ready".to_owned()),
        (Runs::Unseen, _) if observed.objections.is_empty() => {
            (WORKLOAD, Unknown, "Starting", "its actor is being made".to_owned())
        }
        (Runs::Unseen, _) => {
            (WORKLOAD, Unknown, "NotMade", "its actor waits for the rest to be known".to_owned())
        }
        (Runs::Badly(words), _) => (WORKLOAD, No, "ActorNotReady", words.clone()),
    }
}

/// All of them together. A Secret that may not be looked at does not count: what comes of it if it is missing is seen at
/// the pods.
fn ready(parts: &[Said]) -> Said {
    let counted = |wanted: Holds| {
        parts.iter().find(move |(r#type, holds, ..)| *holds == wanted && (*r#type != SECRETS || *holds == No))
    };
    for holds in [No, Unknown] {
        if let Some((_, _, reason, message)) = counted(holds) {
            return (READY, holds, reason, message.clone());
        }
    }
    (READY, Yes, "Ready", "it can be talked to".to_owned())
}

#[cfg(test)]
mod tests {
    use asya_resources::agent::Risk;
    use serde_json::json;

    use super::*;

    fn subject(status: AgentStatus) -> Subject {
        Subject {
            name: "ops".to_owned(),
            namespace: "shop".to_owned(),
            uid: "1".to_owned(),
            generation: 3,
            agent: Err(String::new()),
            status,
            deleting: false,
        }
    }

    fn told(observed: &Observed) -> Vec<(String, String)> {
        let status = status(&subject(AgentStatus::default()), observed, Timestamp::UNIX_EPOCH);
        assert_eq!(status.observed_generation, Some(3));
        status.conditions.into_iter().map(|it| (it.status, it.reason)).collect()
    }

    fn says(observed: &Observed, expected: [(&str, &str); 5]) {
        let expected = expected.map(|(status, reason)| (status.to_owned(), reason.to_owned()));
        assert_eq!(told(observed), expected, "{observed:?}");
    }

    /// In the order Ready, DefinitionResolved, SecretsReady, PolicyCompliant, WorkloadReady.
    #[test]
    fn ready_says_what_is_missing_first() {
        let well = Observed { runs: Runs::Well, ..Observed::default() };
        let good = [
            ("True", "Ready"),
            ("True", "Resolved"),
            ("True", "NotNeeded"),
            ("True", "Compliant"),
            ("True", "Running"),
        ];
        says(&well, good);
        let with = |secrets| Observed { secrets, ..well.clone() };
        let missing = Secrets::Missing("SecretMissing", "make it".to_owned());
        says(
            &with(missing),
            [("False", "SecretMissing"), good[1], ("False", "SecretMissing"), good[3], good[4]],
        );
        says(
            &with(Secrets::Hidden("s".to_owned())),
            [good[0], good[1], ("Unknown", "MayNotLook"), good[3], good[4]],
        );
        let worse = Objection::TierExceeded { tool: "helm".to_owned(), risk: Risk::High, tier: Risk::Low };
        let worse = Observed { objections: vec![worse], ..well.clone() };
        says(
            &worse,
            [
                ("False", "TierExceeded"),
                good[1],
                ("Unknown", "NotResolved"),
                ("False", "TierExceeded"),
                ("False", "NotAllowed"),
            ],
        );
        let unresolved = Objection::ConfigMapMissing("c".to_owned());
        let unresolved = Observed { objections: vec![unresolved], ..well.clone() };
        says(
            &unresolved,
            [
                ("False", "ConfigMapMissing"),
                ("False", "ConfigMapMissing"),
                ("Unknown", "NotResolved"),
                ("Unknown", "NotResolved"),
                good[4],
            ],
        );
        says(
            &Observed::default(),
            [("Unknown", "Starting"), good[1], good[2], good[3], ("Unknown", "Starting")],
        );
        let moves = Observed { moves: Some("the pod ops-1".to_owned()), ..well.clone() };
        says(&moves, good);
        assert_eq!(workload(&moves).3, "its actor is ready; the pod ops-1");
        let open = Observed { unguarded: vec!["refund".to_owned()], ..well.clone() };
        says(&open, [good[0], good[1], good[2], ("True", "Unguarded"), good[4]]);
        let taken = Some(("NameTaken", "rename".to_owned()));
        says(
            &Observed { refused: taken, ..well.clone() },
            [("False", "NameTaken"), good[1], good[2], good[3], ("False", "NameTaken")],
        );
    }

    #[test]
    fn a_condition_keeps_its_time_while_it_says_the_same() {
        let well = Observed { runs: Runs::Well, ..Observed::default() };
        let first = status(&subject(AgentStatus::default()), &well, Timestamp::UNIX_EPOCH);
        let later = Timestamp::from_second(60).unwrap();
        assert_eq!(status(&subject(first.clone()), &well, later), first);
        let badly = Observed { runs: Runs::Badly("PodsFailing: no image".to_owned()), ..well };
        let second = status(&subject(first.clone()), &badly, later);
        let time =
            |status: &AgentStatus, r#type| status.condition(r#type).unwrap().last_transition_time.clone();
        assert_eq!(time(&second, DEFINITION), time(&first, DEFINITION));
        assert_ne!(time(&second, READY), time(&first, READY));
        assert_eq!(second.condition(READY).unwrap().message, "PodsFailing: no image");
    }

    #[test]
    fn an_actor_is_as_its_conditions_say() {
        let of = |conditions: Value| Runs::of(&json!({"conditions": conditions}));
        assert_eq!((of(json!([])), Runs::of(&Value::Null)), (Runs::Unseen, Runs::Unseen));
        assert_eq!(of(json!([{"type": "TransportReady", "status": "True"}])), Runs::Well);
        let bad = json!([{"type": "WorkloadReady", "status": "False", "reason": "PodsFailing", "message": "no image"}]);
        assert_eq!(of(bad), Runs::Badly("PodsFailing: no image".to_owned()));
    }
}
