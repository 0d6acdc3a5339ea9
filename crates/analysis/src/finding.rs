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
use crate::kind::GroupKind;
use crate::live::Live;
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

/// What was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Observation {
    /// Its analyzers looked at it.
    Evaluated(Evaluation),
    /// It is gone: the API server said so.
    Gone(ObjectRef),
    /// Of no single object: which ones of a kind there are. What it misses is to be taken as gone, one by one.
    Live(Live),
    /// Of no single object either: the kinds of which custom analyzers speak, and no others. See [`crate::custom::is_of_one`].
    Custom(BTreeSet<GroupKind>),
}

impl Observation {
    /// The object, if it is of one.
    #[must_use]
    pub const fn object(&self) -> Option<&ObjectRef> {
        match self {
            Self::Evaluated(evaluation) => Some(&evaluation.object),
            Self::Gone(object) => Some(object),
            Self::Live(_) | Self::Custom(_) => None,
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
    /// The name of the component that it belongs to in Backstage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backstage: Option<String>,
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
    /// A failure of which `is_told` says no is as good as not there, also one that was told before.
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
        is_told: impl Fn(&Failure) -> bool,
    ) -> (Option<Self>, Change) {
        let Some(object) = observation.object().cloned() else { return (None, Change::Nothing) };
        if stored.is_some_and(|stored| stored.sequence >= sequence) {
            return (None, Change::Nothing);
        }
        let before = stored.filter(|stored| stored.lifecycle != Lifecycle::Resolved);
        let seen = match observation {
            Observation::Gone(_) | Observation::Live(_) | Observation::Custom(_) => None,
            Observation::Evaluated(evaluation) => Some(evaluation),
        };
        let uid = seen.and_then(|evaluation| evaluation.uid.clone());
        let open = before.filter(|before| !is_other(before.uid.as_deref(), uid.as_deref()));
        let told = before.is_some_and(|before| before.lifecycle != Lifecycle::Pending);
        let grace = if told { SignedDuration::ZERO } else { grace };
        let mut failures = seen.map(|evaluation| merged(open, evaluation)).unwrap_or_default();
        failures.retain(is_told);
        let parent = seen.and_then(|evaluation| evaluation.parent.clone());
        if failures.is_empty() {
            return Self::healed(stored, cluster, object, uid, sequence, now);
        }
        let uid = uid.or_else(|| open.and_then(|open| open.uid.clone()));
        let parent = parent.or_else(|| open.and_then(|open| open.parent.clone()));
        let backstage = seen.and_then(|evaluation| evaluation.backstage.clone());
        let backstage = backstage.or_else(|| open.and_then(|open| open.backstage.clone()));
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
            backstage,
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
                backstage: None,
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
    let before = open.into_iter().flat_map(|open| &open.failures);
    let kept = before.filter(|before| doubtful.contains("*") || doubtful.contains(before.code.as_str()));
    // What was found replaces what it was at that place: of two containers one may be in doubt.
    let kept = kept.filter(|before| !evaluation.report.failures().iter().any(|now| is_same(before, now)));
    failures.extend(kept.cloned());
    failures.sort();
    failures
}

/// Whether two failures are of one code and have a place in common, or one of them has none.
fn is_same(before: &Failure, now: &Failure) -> bool {
    let places = |failure: &Failure| places(failure).collect::<BTreeSet<_>>();
    let (there, here) = (places(before), places(now));
    before.code == now.code && (there.is_empty() || here.is_empty() || !there.is_disjoint(&here))
}

/// Where a failure is seen, of a list in which item; events come and go.
fn places(failure: &Failure) -> impl Iterator<Item = String> {
    let lasting = failure.evidence.iter().filter(|evidence| !evidence.object.kind.is::<Event>());
    lasting.map(|evidence| format!("{} {}", evidence.object, item(&evidence.path)))
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
        parts.extend(places(failure).map(|place| (failure.code.as_str(), place)));
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
mod tests;
