//! Actors that look at objects too, each a custom analyzer of its own: a function of yours on a queue.
//!
//! `k8s-watch` sends them the objects of some kinds; what they answer goes on to `k8s-analyze`, which makes an observation
//! of it, under a name that no other analyzer's findings have. What is gone they are not asked about: that is told to
//! the findings in their name.
//!
//! None of them holds the watcher up: where the queue of one takes nothing its messages are left out for a while, and
//! everything is told again when it does.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use asya_analysis::custom::{Asked, Name, answer};
use asya_analysis::message::{Subject, Task};
use asya_analysis::{GroupKind, Looked, Sequence, Step};
use asya_envelope::{Envelope, Naming, Raw, Route};
use asya_sidecar::Means;
use tokio::time::Instant;

use super::watch::{LARGEST, Unsent, publish};
use crate::shipped::Variables;

/// How long the messages of an analyzer are left out whose queue took none.
const AWAY: Duration = Duration::from_secs(30);

/// Which actors look at which objects too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Also {
    /// The actors, which are analyzers of these names.
    pub analyzers: Vec<Name>,
    /// The kinds whose objects they get.
    pub kinds: BTreeSet<GroupKind>,
}

impl Also {
    /// Reads `ASYA_WATCH_ALSO` and `ASYA_WATCH_ALSO_KINDS`; what is wrong goes to `errors`. Only objects of `watched` are
    /// known.
    pub(super) fn read(
        variables: &Variables<'_>,
        watched: &BTreeSet<GroupKind>,
        errors: &mut Vec<String>,
    ) -> Self {
        let list = |name: &str| -> Vec<String> {
            let text = variables.get(name).unwrap_or_default();
            text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
        };
        let (names, kinds) = (list("ASYA_WATCH_ALSO"), list("ASYA_WATCH_ALSO_KINDS"));
        let mut also = Self::default();
        for name in &names {
            match Name::parse(name) {
                Ok(name) if also.analyzers.contains(&name) => {
                    errors.push(format!("ASYA_WATCH_ALSO: {name} is named twice"));
                }
                Ok(name) => also.analyzers.push(name),
                Err(error) => errors.push(format!("ASYA_WATCH_ALSO: {error}")),
            }
        }
        for name in &kinds {
            let (kind, group) = name.split_once('.').unwrap_or((name, ""));
            let kind = GroupKind { group: group.to_owned().into(), kind: kind.to_owned().into() };
            if !watched.contains(&kind) {
                errors.push(format!(
                    "ASYA_WATCH_ALSO_KINDS: no analyzer looks at {name}, so it is not watched; a kind is written as in \
                     Deployment.apps, and a rule for it (ASYA_WATCH_RULES_FILE) makes it watched"
                ));
            }
            also.kinds.insert(kind);
        }
        if names.is_empty() != kinds.is_empty() {
            errors.push("ASYA_WATCH_ALSO and ASYA_WATCH_ALSO_KINDS: only one of them is set".to_owned());
        }
        also
    }

    /// The kinds that these analyzers speak of: what others are told of is closed.
    pub(super) fn spoken_of(&self) -> Subject {
        let kinds = |name: &Name| self.kinds.iter().map(|kind| name.kind(kind)).collect::<Vec<_>>();
        Subject::Custom(self.analyzers.iter().flat_map(kinds).collect())
    }

    /// What each analyzer is to be sent of a step.
    pub(super) fn told(&self, told: &Told<'_>, step: &Step) -> Vec<(&Name, Vec<Envelope>)> {
        self.analyzers.iter().map(|name| (name, self.forms(name, told, step))).collect()
    }

    /// What the analyzer `name` is sent of a step, or what the findings are in its name: the most first.
    fn forms(&self, name: &Name, told: &Told<'_>, step: &Step) -> Vec<Envelope> {
        match step {
            Step::Look(looked) if self.kinds.contains(&looked.evaluation.object.kind) => {
                let object = name.object(&looked.evaluation.object);
                let question = Some(told.question(name, looked));
                let question = question.filter(|question| question.payload.as_bytes().len() <= LARGEST);
                question.into_iter().chain([told.task(name, Subject::TooLarge(object))]).collect()
            }
            Step::Gone(object) if self.kinds.contains(&object.kind) => {
                vec![told.task(name, Subject::Gone(name.object(object)))]
            }
            Step::Live(live) if self.kinds.contains(&live.kind) => {
                let mut live = live.clone();
                live.kind = name.kind(&live.kind);
                vec![told.task(name, Subject::Live(live))]
            }
            Step::Look(_) | Step::Gone(_) | Step::Live(_) => Vec::new(),
        }
    }
}

/// Whom what is told of a step.
pub(super) struct Told<'a> {
    pub(super) cluster: &'a str,
    pub(super) route: &'a [String],
    pub(super) sequence: Sequence,
}

impl Told<'_> {
    fn id(&self, name: &Name) -> String {
        format!("{}-{}-{}-{name}", self.cluster, self.sequence.at, self.sequence.number)
    }

    fn task(&self, name: &Name, subject: Subject) -> Envelope {
        let (cluster, sequence) = (self.cluster.to_owned(), self.sequence);
        let task = Task { cluster, sequence, analyzers: Vec::new(), subject };
        Envelope::new(self.id(name), Route::new(self.route.to_vec()), Raw::of(&task))
    }

    fn question(&self, name: &Name, looked: &Looked) -> Envelope {
        let Looked { object, snapshot, evaluation } = looked;
        let asked = Asked {
            analyzer: name.clone(),
            cluster: self.cluster.to_owned(),
            sequence: self.sequence,
            object: evaluation.object.clone(),
            uid: evaluation.uid.clone(),
            resource_version: evaluation.resource_version.clone(),
            parent: evaluation.parent.clone(),
        };
        let question = answer::Question { cluster: self.cluster, object, snapshot };
        let route = Route::new([name.as_str()].into_iter().chain(self.route.iter().map(String::as_str)));
        let mut envelope = Envelope::new(self.id(name), route, Raw::of(&question));
        envelope.headers.set(answer::HEADER, Raw::of(&asked));
        envelope
    }
}

/// Tells analyzers, and knows which of them take nothing at present.
#[derive(Default)]
pub(super) struct Teller<'a> {
    away: BTreeMap<&'a Name, Instant>,
}

impl<'a> Teller<'a> {
    /// Sends each analyzer its part of a step. Says whether one takes messages again that took none: it has missed some.
    pub(super) async fn tell(
        &mut self,
        naming: &Naming,
        means: &Means,
        told: Vec<(&'a Name, Vec<Envelope>)>,
    ) -> bool {
        let mut is_back = false;
        for (name, forms) in told {
            if self.away.get(name).is_some_and(|until| *until > Instant::now()) {
                continue;
            }
            for envelope in forms {
                match publish(naming, means, &envelope).await {
                    Ok(()) => is_back |= self.away.remove(name).is_some(),
                    Err(Unsent::TooLarge) => continue,
                    Err(error @ Unsent::Away(_)) => {
                        tracing::warn!(analyzer = %name, %error, "not sent; it is left out for {AWAY:?}");
                        self.away.insert(name, Instant::now() + AWAY);
                    }
                }
                break;
            }
        }
        is_back
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use asya_analysis::{Live, Object, Planner, Selection};
    use asya_transport::{
        Queues as _,
        local::{Local, LocalOptions},
    };
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    fn also(names: &[&str]) -> Also {
        Also {
            analyzers: names.iter().map(|name| Name::parse(name).unwrap()).collect(),
            kinds: BTreeSet::from([GroupKind::new("", "Pod")]),
        }
    }

    fn look(size: usize) -> Step {
        let mut planner = Planner::new(Selection::new(&["Pod"], &[], &[]).unwrap(), Duration::ZERO);
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "shop",
            "uid": "u", "annotations": {"a": "x".repeat(size)}}, "status": {"phase": "Running"}});
        planner.put(&Object::new(pod).unwrap(), Timestamp::UNIX_EPOCH);
        planner.next(Timestamp::UNIX_EPOCH).unwrap()
    }

    const SEQUENCE: Sequence = Sequence { at: 7, number: 2 };

    fn sent(step: &Step) -> Vec<Envelope> {
        let (also, route) = (also(&["mine"]), ["k8s-analyze".to_owned(), "findings".to_owned()]);
        let told = Told { cluster: "here", route: &route, sequence: SEQUENCE };
        also.told(&told, step).into_iter().flat_map(|(_, forms)| forms).collect()
    }

    fn payload(envelope: &Envelope) -> Value {
        serde_json::from_slice(envelope.payload.as_bytes()).unwrap()
    }

    #[test]
    fn an_analyzer_gets_the_object_and_what_it_answers_goes_where_all_answers_go() {
        let forms = sent(&look(10));
        let [question, doubt] = &forms[..] else { panic!("{forms:?}") };
        assert_eq!(question.route.actors, ["mine", "k8s-analyze", "findings"]);
        assert_eq!(payload(question)["object"]["metadata"]["name"], "web");
        assert_eq!((question.id.as_str(), &payload(question)["cluster"]), ("here-7-2-mine", &json!("here")));
        let asked: Asked =
            serde_json::from_slice(question.headers.get(answer::HEADER).unwrap().as_bytes()).unwrap();
        assert_eq!((asked.sequence, asked.uid.as_deref()), (SEQUENCE, Some("u")));
        assert_eq!(payload(doubt)["tooLarge"]["group"], "mine.custom.asya.sh");
        let large = sent(&look(LARGEST));
        assert_eq!((large.len(), large[0].route.current_actor()), (1, Some("k8s-analyze")));
    }

    #[test]
    fn what_is_gone_is_told_to_the_findings_in_its_name() {
        let Step::Look(looked) = look(1) else { panic!("not looked at") };
        let gone = sent(&Step::Gone(looked.evaluation.object));
        assert_eq!(payload(&gone[0])["gone"]["group"], "mine.custom.asya.sh");
        let live = |kind| Step::Live(Live::page(GroupKind::new("", kind), None, ["shop/web".to_owned()]));
        assert_eq!(payload(&sent(&live("Pod"))[0])["live"]["group"], "mine.custom.asya.sh");
        assert_eq!(sent(&live("Node")), [], "a kind that it does not get");
    }

    #[tokio::test]
    async fn an_analyzer_without_a_queue_is_left_out_and_missed_when_it_is_back() {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
        let naming = Naming::bare();
        local.ensure(&naming.queue("there")).await.unwrap();
        let means = Means { transport: local.clone(), metrics: None, payloads: None };
        let (also, route) = (also(&["away", "there"]), ["k8s-analyze".to_owned()]);
        let told = Told { cluster: "here", route: &route, sequence: SEQUENCE };
        let step = look(1);
        let mut teller = Teller::default();
        assert!(!teller.tell(&naming, &means, also.told(&told, &step)).await);
        local.ensure(&naming.queue("away")).await.unwrap();
        assert!(
            !teller.tell(&naming, &means, also.told(&told, &step)).await,
            "it is not tried again at once"
        );
        let until = teller.away.values_mut().next().unwrap();
        *until = Instant::now();
        assert!(teller.tell(&naming, &means, also.told(&told, &step)).await, "it has missed one");
        assert!(!teller.tell(&naming, &means, also.told(&told, &step)).await);
        let depth = async |name| local.depth(&naming.queue(name)).await.unwrap().ready;
        assert_eq!((depth("away").await, depth("there").await), (2, 4));
    }
}
