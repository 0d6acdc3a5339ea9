//! A finding: what is wrong with one object, from when it is seen until it is healed.
//!
//! A pure state machine: [`Finding::take`] has the stored state, one observation and the time, and says what the next
//! state is and which change that was. Whoever stores it does so by compare-and-set on the sequence.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::evaluate::Evaluation;
use crate::failure::{Failure, Severity};
use crate::object::ObjectRef;

/// The order of observations of one cluster: by time, then by number. By time, so that a watcher that goes on after
/// another one has ended is heard; one whose clock is behind is not heard for as long as it is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Sequence {
    /// When it was seen, in milliseconds of the Unix epoch; of one watcher never less than before.
    pub at: u64,
    /// The number of the observation of its watcher, from 1.
    pub number: u64,
}

/// What was seen of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Observation {
    /// Its analyzers looked at it.
    Evaluated(Evaluation),
    /// It is gone: the API server said so.
    Gone(ObjectRef),
}

impl Observation {
    /// The object.
    #[must_use]
    pub const fn object(&self) -> &ObjectRef {
        match self {
            Self::Evaluated(evaluation) => &evaluation.object,
            Self::Gone(object) => object,
        }
    }
}

/// Where a finding stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Lifecycle {
    /// Seen, and not yet for as long as the grace period asks: a rollout may be on its way. Nobody is told.
    Pending,
    /// Seen for long enough, for the first time.
    Created,
    /// What is wrong is not what it was.
    Updated,
    /// As it was when it was looked at last.
    Historical,
    /// Well, or the object is gone. Kept for a while, so that a late and older observation does not open it.
    Resolved,
}

/// What is wrong with one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The cluster, as its watcher is called.
    pub cluster: String,
    /// The object.
    pub object: ObjectRef,
    /// Its uid, where it has one: another object that takes its name later has another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The owner at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ObjectRef>,
    /// What is wrong; of a resolved finding, what was, if anything.
    pub failures: Vec<Failure>,
    /// What makes it the same finding: see [`fingerprint`].
    pub fingerprint: String,
    /// Where it stands.
    pub lifecycle: Lifecycle,
    /// When it was seen first since it was last healed.
    pub first_seen: Timestamp,
    /// When it was seen last.
    pub last_seen: Timestamp,
    /// The newest observation that was taken.
    pub sequence: Sequence,
}

/// What an observation changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// Nothing: it is older than what was taken already, or nothing is wrong and nothing was.
    Nothing,
    /// Something is wrong since less than the grace period. Look again at this time, with [`Finding::due`].
    Waiting(Timestamp),
    /// A finding is open that was not.
    Opened,
    /// What is wrong is not what it was.
    Changed,
    /// It is as it was.
    Seen,
    /// It is healed.
    Resolved,
}

impl Finding {
    /// The state after `observation` of `cluster`, or none if it is too old to change anything.
    ///
    /// An observation that is not newer than what was taken changes nothing. What could not be verified keeps its last
    /// state: a failure whose code is in doubt stays, and only failures that were looked for and not found go.
    ///
    /// An object that took the name of the one before (another uid) inherits nothing. Where that one was told and nobody
    /// said that it is gone, what is wrong with the new one opens at once: a grace period in which it heals would leave
    /// the old one open for whoever was told.
    #[must_use]
    pub fn take(
        stored: Option<&Self>,
        cluster: &str,
        observation: &Observation,
        sequence: Sequence,
        now: Timestamp,
        grace: SignedDuration,
    ) -> (Option<Self>, Change) {
        if stored.is_some_and(|stored| stored.sequence >= sequence) {
            return (None, Change::Nothing);
        }
        let before = stored.filter(|stored| stored.lifecycle != Lifecycle::Resolved);
        let seen = match observation {
            Observation::Gone(_) => None,
            Observation::Evaluated(evaluation) => Some(evaluation),
        };
        let uid = seen.and_then(|evaluation| evaluation.uid.clone());
        let open = before.filter(|before| !is_other(before.uid.as_deref(), uid.as_deref()));
        let told = before.is_some_and(|before| before.lifecycle != Lifecycle::Pending);
        let grace = if told { SignedDuration::ZERO } else { grace };
        let failures = seen.map(|evaluation| merged(open, evaluation)).unwrap_or_default();
        let parent = seen.and_then(|evaluation| evaluation.parent.clone());
        let object = observation.object().clone();
        if failures.is_empty() {
            return Self::healed(stored, cluster, object, uid, sequence, now);
        }
        let uid = uid.or_else(|| open.and_then(|open| open.uid.clone()));
        let parent = parent.or_else(|| open.and_then(|open| open.parent.clone()));
        let fingerprint = fingerprint(cluster, &object, &failures);
        let first_seen = open.map_or(now, |open| open.first_seen);
        let (lifecycle, change) = match open {
            Some(open) if open.lifecycle != Lifecycle::Pending => {
                if open.fingerprint == fingerprint && worst(&failures) <= open.severity() {
                    (Lifecycle::Historical, Change::Seen)
                } else {
                    (Lifecycle::Updated, Change::Changed)
                }
            }
            _ => match shown_at(first_seen, grace) {
                at if at <= now => (Lifecycle::Created, Change::Opened),
                at => (Lifecycle::Pending, Change::Waiting(at)),
            },
        };
        let cluster = cluster.to_owned();
        let next = Self {
            cluster,
            object,
            uid,
            parent,
            failures,
            fingerprint,
            lifecycle,
            first_seen,
            last_seen: now,
            sequence,
        };
        (Some(next), change)
    }

    /// The state of a pending finding when its grace period is over, or none if it is not pending or not yet due. Takes
    /// no observation, so the sequence stays.
    #[must_use]
    pub fn due(&self, now: Timestamp, grace: SignedDuration) -> Option<Self> {
        let due = self.lifecycle == Lifecycle::Pending && shown_at(self.first_seen, grace) <= now;
        due.then(|| Self { lifecycle: Lifecycle::Created, ..self.clone() })
    }

    /// The worst of what is wrong.
    #[must_use]
    pub fn severity(&self) -> Option<Severity> {
        worst(&self.failures)
    }

    /// An object that is well is kept too, with the sequence: without it a late and older answer that it is broken would
    /// open a finding that nothing closes.
    fn healed(
        stored: Option<&Self>,
        cluster: &str,
        object: ObjectRef,
        uid: Option<String>,
        sequence: Sequence,
        now: Timestamp,
    ) -> (Option<Self>, Change) {
        let Some(stored) = stored else {
            let (cluster, failures, lifecycle) = (cluster.to_owned(), Vec::new(), Lifecycle::Resolved);
            let (fingerprint, first_seen, last_seen) = (String::new(), now, now);
            let well = Self {
                cluster,
                object,
                uid,
                parent: None,
                failures,
                fingerprint,
                lifecycle,
                first_seen,
                last_seen,
                sequence,
            };
            return (Some(well), Change::Nothing);
        };
        let change = match stored.lifecycle {
            Lifecycle::Resolved | Lifecycle::Pending => Change::Nothing,
            Lifecycle::Created | Lifecycle::Updated | Lifecycle::Historical => Change::Resolved,
        };
        (Some(Self { lifecycle: Lifecycle::Resolved, sequence, last_seen: now, ..stored.clone() }), change)
    }
}

/// Whether two uids are of two objects; where one is not known, nobody can say so.
fn is_other(before: Option<&str>, now: Option<&str>) -> bool {
    before.zip(now).is_some_and(|(before, now)| before != now)
}

fn worst(failures: &[Failure]) -> Option<Severity> {
    failures.iter().map(|failure| failure.severity).max()
}

/// The failures that were found, and those of before that nobody could look for.
fn merged(open: Option<&Finding>, evaluation: &Evaluation) -> Vec<Failure> {
    let doubtful = evaluation.report.doubtful();
    let mut failures = evaluation.report.failures().to_vec();
    let found: BTreeSet<String> = failures.iter().map(|failure| failure.code.clone()).collect();
    let kept = open.into_iter().flat_map(|open| &open.failures).filter(|before| {
        !found.contains(&before.code) && (doubtful.contains("*") || doubtful.contains(before.code.as_str()))
    });
    failures.extend(kept.cloned());
    failures.sort();
    failures
}

fn shown_at(first_seen: Timestamp, grace: SignedDuration) -> Timestamp {
    first_seen.saturating_add(grace).unwrap_or(Timestamp::MAX)
}

/// What makes a finding the same finding: SHA-256, as hex, over cluster, object and, in one order, the code of each failure
/// and where it is seen, of a list which item. Texts do not count: the kubelet words one and the same failure in turns, and
/// ages, exit codes and pods change in them. Nor do events, which come and go, severity and the answer of a model.
#[must_use]
pub fn fingerprint(cluster: &str, object: &ObjectRef, failures: &[Failure]) -> String {
    let mut parts = BTreeSet::new();
    for failure in failures {
        parts.insert((failure.code.as_str(), String::new()));
        let places = failure.evidence.iter().filter(|evidence| !evidence.object.kind.is::<Event>());
        parts.extend(places.map(|it| (failure.code.as_str(), format!("{} {}", it.object, item(&it.path)))));
    }
    let mut hash = Sha256::new();
    for part in [
        cluster,
        &object.kind.group,
        &object.kind.kind,
        object.namespace.as_deref().unwrap_or_default(),
        &object.name,
    ] {
        add(&mut hash, part);
    }
    for (code, place) in &parts {
        add(&mut hash, code);
        add(&mut hash, place);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The path up to the item of its first list: what is said of one container is one thing, wherever it is said.
fn item(path: &str) -> &str {
    path.find(']').map_or(path, |end| &path[..=end])
}

/// Length first: no two lists of parts run into the same bytes.
fn add(hash: &mut Sha256, part: &str) {
    hash.update(part.len().to_be_bytes());
    hash.update(part.as_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use k8s_openapi::api::core::v1::Pod;

    use super::*;
    use crate::report::Report;
    use crate::view::Unverified;

    const NONE: SignedDuration = SignedDuration::ZERO;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    const fn sequence(number: u64) -> Sequence {
        Sequence { at: 1, number }
    }

    fn pod() -> ObjectRef {
        ObjectRef::of::<Pod>(Some("shop"), "web")
    }

    fn seen(failures: &[(&str, &str)], doubts: &[&str]) -> Observation {
        let mut report = Report::default();
        for (code, text) in failures {
            report.fail(Failure::new(code, Severity::Error, *text));
        }
        for code in doubts {
            report.doubt(code, "something", Unverified::Failed("500".to_owned()));
        }
        Observation::Evaluated(Evaluation {
            object: pod(),
            uid: None,
            resource_version: None,
            parent: None,
            report,
        })
    }

    fn step(stored: &mut Option<Finding>, observation: &Observation, number: u64) -> Change {
        let (next, change) = Finding::take(
            stored.as_ref(),
            "here",
            observation,
            sequence(number),
            at(number.cast_signed()),
            NONE,
        );
        if next.is_some() {
            *stored = next;
        }
        change
    }

    #[test]
    fn a_finding_opens_once_stays_changes_and_heals() {
        let mut stored = None;
        assert_eq!(step(&mut stored, &seen(&[], &[]), 1), Change::Nothing);
        assert_eq!(step(&mut stored, &seen(&[("A", "a")], &[]), 2), Change::Opened);
        for number in 3..6 {
            assert_eq!(
                step(&mut stored, &seen(&[("A", "a")], &[]), number),
                Change::Seen,
                "identical passes"
            );
        }
        assert_eq!(step(&mut stored, &seen(&[("A", "a"), ("B", "b")], &[]), 6), Change::Changed);
        assert_eq!(stored.as_ref().unwrap().first_seen, at(2));
        assert_eq!(step(&mut stored, &seen(&[], &[]), 7), Change::Resolved);
        assert_eq!(step(&mut stored, &seen(&[], &[]), 8), Change::Nothing, "healed once");
        assert_eq!(step(&mut stored, &seen(&[("A", "a")], &[]), 9), Change::Opened);
        assert_eq!(stored.unwrap().first_seen, at(9), "a new one");
    }

    #[test]
    fn a_late_and_older_answer_neither_closes_nor_opens() {
        let mut stored = None;
        step(&mut stored, &seen(&[("A", "a")], &[]), 5);
        assert_eq!(step(&mut stored, &seen(&[], &[]), 4), Change::Nothing);
        assert_eq!(step(&mut stored, &seen(&[], &[]), 5), Change::Nothing, "the same again");
        assert_eq!(step(&mut stored, &seen(&[], &[]), 6), Change::Resolved);
        assert_eq!(step(&mut stored, &seen(&[("A", "a")], &[]), 5), Change::Nothing);
        assert_eq!(stored.unwrap().lifecycle, Lifecycle::Resolved);
    }

    #[test]
    fn an_object_that_is_well_is_not_opened_by_an_older_answer() {
        let mut stored = None;
        assert_eq!(step(&mut stored, &seen(&[], &[]), 2), Change::Nothing);
        assert_eq!(step(&mut stored, &seen(&[("A", "a")], &[]), 1), Change::Nothing);
        assert_eq!(step(&mut stored, &seen(&[("A", "a")], &[]), 3), Change::Opened);
    }

    #[test]
    fn a_watcher_that_goes_on_after_another_is_heard() {
        let stored = Finding::take(
            None,
            "here",
            &seen(&[("A", "a")], &[]),
            Sequence { at: 1, number: 900 },
            at(1),
            NONE,
        )
        .0;
        let first_of_next = Sequence { at: 2, number: 1 };
        assert_eq!(
            Finding::take(stored.as_ref(), "here", &seen(&[], &[]), first_of_next, at(2), NONE).1,
            Change::Resolved
        );
    }

    #[test]
    fn what_could_not_be_verified_keeps_its_last_state() {
        let mut stored = None;
        step(&mut stored, &seen(&[("A", "a"), ("B", "b")], &[]), 1);
        assert_eq!(step(&mut stored, &seen(&[], &["A", "B"]), 2), Change::Seen, "forbidden closes nothing");
        assert_eq!(
            step(&mut stored, &seen(&[], &["*"]), 3),
            Change::Seen,
            "nor does an object that cannot be understood"
        );
        assert_eq!(
            step(&mut stored, &seen(&[], &["A"]), 4),
            Change::Changed,
            "B was looked for and is healed"
        );
        assert_eq!(stored.as_ref().unwrap().failures.len(), 1);
        assert_eq!(step(&mut stored, &seen(&[], &[]), 5), Change::Resolved);
        let mut none = None;
        assert_eq!(step(&mut none, &seen(&[], &["A"]), 1), Change::Nothing, "a doubt opens nothing");
    }

    #[test]
    fn an_object_that_is_gone_has_no_finding_whatever_is_in_doubt() {
        let mut stored = None;
        step(&mut stored, &seen(&[("A", "a")], &[]), 1);
        assert_eq!(step(&mut stored, &Observation::Gone(pod()), 2), Change::Resolved);
    }

    fn of_uid(uid: &str, failures: &[(&str, &str)], doubts: &[&str]) -> Observation {
        let Observation::Evaluated(evaluation) = seen(failures, doubts) else { panic!("evaluated") };
        Observation::Evaluated(Evaluation { uid: Some(uid.to_owned()), ..evaluation })
    }

    #[test]
    fn an_object_made_anew_under_the_same_name_has_a_finding_of_its_own() {
        let mut stored = None;
        step(&mut stored, &of_uid("first", &[("A", "a")], &[]), 1);
        assert_eq!(step(&mut stored, &of_uid("first", &[("A", "a")], &[]), 2), Change::Seen);
        assert_eq!(step(&mut stored, &of_uid("second", &[("A", "a")], &[]), 3), Change::Opened);
        let second = stored.clone().unwrap();
        assert_eq!((second.uid.as_deref(), second.first_seen), (Some("second"), at(3)));
        assert_eq!(step(&mut stored, &seen(&[("A", "a")], &[]), 4), Change::Seen, "nobody says which it is");
        assert_eq!(stored.as_ref().unwrap().uid.as_deref(), Some("second"));
        assert_eq!(
            step(&mut stored, &of_uid("third", &[], &["A"]), 5),
            Change::Resolved,
            "what was wrong with another is not what is in doubt"
        );
    }

    #[test]
    fn what_was_told_of_the_object_before_is_not_lost_in_a_grace_period() {
        let grace = SignedDuration::from_secs(60);
        let take = |stored: Option<&Finding>, uid, second: u64| {
            let broken = of_uid(uid, &[("A", "a")], &[]);
            Finding::take(stored, "here", &broken, sequence(second), at(second.cast_signed()), grace)
        };
        let (first, _) = take(None, "first", 1);
        let (waits, change) = take(first.as_ref(), "second", 2);
        assert_eq!(change, Change::Waiting(at(62)), "of the first nobody was told");
        let (second, change) = take(waits.as_ref(), "second", 70);
        assert_eq!(change, Change::Opened);
        let (third, change) = take(second.as_ref(), "third", 80);
        assert_eq!((change, third.unwrap().first_seen), (Change::Opened, at(80)));
    }

    #[test]
    fn nobody_is_told_before_the_grace_period_is_over() {
        let grace = SignedDuration::from_secs(60);
        let (pending, change) =
            Finding::take(None, "here", &seen(&[("A", "a")], &[]), sequence(1), at(0), grace);
        let pending = pending.unwrap();
        assert_eq!(change, Change::Waiting(at(60)));
        assert_eq!(pending.due(at(59), grace), None);
        assert_eq!(pending.due(at(60), grace).unwrap().lifecycle, Lifecycle::Created);
        let again =
            Finding::take(Some(&pending), "here", &seen(&[("A", "a")], &[]), sequence(2), at(61), grace);
        assert_eq!(again.1, Change::Opened, "an observation after it opens it too");
        let (healed, change) =
            Finding::take(Some(&pending), "here", &seen(&[], &[]), sequence(2), at(30), grace);
        assert_eq!(change, Change::Nothing, "a rollout that went well tells nobody");
        assert_eq!(healed.unwrap().due(at(90), grace), None);
    }

    #[test]
    fn words_do_not_make_a_new_finding_and_places_do() {
        let of = |text: &str, paths: &[&str]| {
            let mut failure = Failure::new("A", Severity::Error, text);
            for path in paths {
                failure = failure.seen(&pod(), *path, text.to_owned());
            }
            fingerprint("here", &pod(), &[failure])
        };
        let first = of("ErrImagePull: not found", &[".status.containerStatuses[0].state.waiting.reason"]);
        assert_eq!(first, of("back-off 1m20s", &[".status.containerStatuses[0].state.waiting.reason"]));
        assert_eq!(first, of("ended", &[".status.containerStatuses[0].state.terminated.exitCode"]));
        assert_ne!(
            first,
            of("not found", &[".status.containerStatuses[1].state.waiting.reason"]),
            "another container"
        );
        let event = ObjectRef::of::<Event>(Some("shop"), "web.18a2");
        let told = |name: &ObjectRef| {
            fingerprint(
                "here",
                &pod(),
                &[Failure::new("A", Severity::Error, "a").seen(name, ".message", None)],
            )
        };
        assert_eq!(
            told(&event),
            told(&ObjectRef::of::<Event>(Some("shop"), "web.18a3")),
            "an event that came again"
        );
        let two = [Failure::new("A", Severity::Error, "a"), Failure::new("B", Severity::Error, "b")];
        let turned = [two[1].clone(), two[0].clone()];
        assert_eq!(
            fingerprint("here", &pod(), &two),
            fingerprint("here", &pod(), &turned),
            "order does not count"
        );
        assert_ne!(fingerprint("here", &pod(), &two), fingerprint("there", &pod(), &two), "the cluster does");
    }

    #[test]
    fn what_gets_worse_is_told() {
        let of = |severity| {
            let mut report = Report::default();
            report.fail(Failure::new("A", severity, "a"));
            let (uid, resource_version, parent) = (None, None, None);
            Observation::Evaluated(Evaluation { object: pod(), uid, resource_version, parent, report })
        };
        let mut stored = None;
        assert_eq!(step(&mut stored, &of(Severity::Warning), 1), Change::Opened);
        assert_eq!(step(&mut stored, &of(Severity::Error), 2), Change::Changed, "2 of 3, then 0 of 3");
        assert_eq!(step(&mut stored, &of(Severity::Warning), 3), Change::Seen);
    }
}
