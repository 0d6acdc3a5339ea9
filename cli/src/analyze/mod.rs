//! What is broken in a cluster, as text, JSON, SARIF and HTML.
//!
//! | module | holds |
//! |---|---|
//! | this | [`Report`]: everything that one run found, sorted and counted |
//! | [`explain`] | what a model says of the findings |
//! | [`text`] | for people |
//! | [`json`] | for programs; the fields of K8sGPT's JSON are among it |
//! | [`sarif`] | for tools that collect findings |
//! | [`html`] | for a browser |
//!
//! The invariant: **what could not be looked at is told in every form**, and text from the cluster steers neither a
//! terminal nor a browser.

pub(crate) mod explain;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod sarif;
pub(crate) mod text;

use std::collections::{BTreeMap, BTreeSet};

use asya_analysis::{Doubt, Failure, ObjectRef, Severity, Unverified};
use asya_cluster::{Collected, Fields, Rights};
use jiff::Timestamp;

use self::explain::Explanation;

/// Examples of what could not be verified that are named; the rest is only counted.
const NAMED: usize = 5;

/// Where it was looked.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The context's name.
    pub(crate) context: String,
    /// The API server's address.
    pub(crate) server: String,
    /// The API server's version.
    pub(crate) version: String,
    /// In words: `namespace shop`, `all namespaces but kube-system`.
    pub(crate) scope: String,
}

/// An object with what is wrong with it.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) object: ObjectRef,
    pub(crate) uid: Option<String>,
    pub(crate) resource_version: Option<String>,
    /// The owner at the top.
    pub(crate) parent: Option<ObjectRef>,
    /// That of the worst failure.
    pub(crate) severity: Severity,
    /// The worst first; never empty.
    pub(crate) failures: Vec<Failure>,
    pub(crate) doubts: Vec<Doubt>,
    /// What a model says of it.
    pub(crate) explanation: Option<Explanation>,
}

/// Things that could not be verified for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) why: Unverified,
    /// How many codes of how many objects, in all.
    pub(crate) count: usize,
    /// What would have had to be read; the first few.
    pub(crate) about: Vec<String>,
}

/// Everything that one run found.
pub(crate) struct Report {
    pub(crate) place: Place,
    pub(crate) time: Timestamp,
    /// The analyzers that ran.
    pub(crate) analyzers: Vec<String>,
    /// The worst first, then by kind, namespace and name.
    pub(crate) findings: Vec<Finding>,
    /// What could not be verified, by reason.
    pub(crate) open: Vec<Open>,
    /// Kinds that were to be looked at and could not be listed: nobody knows what is wrong with their objects.
    pub(crate) errors: Vec<String>,
    /// What else one must know: kinds that were not looked at, findings that were not explained.
    pub(crate) notes: Vec<String>,
    /// Rights that were missing.
    pub(crate) rights: Rights,
    /// Objects that were looked at.
    pub(crate) objects: usize,
    /// Requests to the API server.
    pub(crate) requests: u64,
    /// What the API server says of fields.
    pub(crate) fields: Fields,
    /// The names and namespaces of all objects that were looked at.
    pub(crate) names: BTreeSet<String>,
    /// Who explained the findings; empty: nobody was asked.
    pub(crate) provider: String,
}

impl Report {
    /// What `collected` says, without failures below `least`.
    pub(crate) fn new(
        place: Place,
        time: Timestamp,
        analyzers: Vec<String>,
        collected: Collected,
        least: Severity,
    ) -> Self {
        let rights = Rights::missing(&collected.unread);
        let mut errors: Vec<String> = collected
            .unread
            .iter()
            .filter(|unread| unread.subject)
            .map(|unread| format!("{}: {}", unread.words(), unread.why))
            .collect();
        errors.sort();
        let objects = collected.evaluations.len();
        let open = open(collected.evaluations.iter().flat_map(|evaluation| evaluation.report.doubts()));
        let mut names = BTreeSet::new();
        for object in collected.evaluations.iter().map(|evaluation| &evaluation.object) {
            names.extend(object.namespace.clone().into_iter().chain([object.name.clone()]));
        }
        let mut findings: Vec<Finding> = Vec::new();
        for evaluation in collected.evaluations {
            let mut failures: Vec<Failure> = evaluation
                .report
                .failures()
                .iter()
                .filter(|failure| failure.severity >= least)
                .cloned()
                .collect();
            failures.sort_by_key(|failure| std::cmp::Reverse(failure.severity));
            let Some(severity) = failures.first().map(|worst| worst.severity) else { continue };
            findings.push(Finding {
                doubts: evaluation.report.doubts().to_vec(),
                object: evaluation.object,
                uid: evaluation.uid,
                resource_version: evaluation.resource_version,
                parent: evaluation.parent,
                severity,
                failures,
                explanation: None,
            });
        }
        findings.sort_by(|a, b| b.severity.cmp(&a.severity).then_with(|| a.object.cmp(&b.object)));
        Self {
            place,
            time,
            analyzers,
            findings,
            open,
            errors,
            notes: Vec::new(),
            rights,
            objects,
            requests: 0,
            fields: Fields::default(),
            names,
            provider: String::new(),
        }
    }

    /// How many failures there are.
    pub(crate) fn problems(&self) -> usize {
        self.findings.iter().map(|finding| finding.failures.len()).sum()
    }

    /// How many of each severity, the worst first; those that there are.
    pub(crate) fn counts(&self) -> Vec<(Severity, usize)> {
        let mut counts: BTreeMap<Severity, usize> = BTreeMap::new();
        for failure in self.findings.iter().flat_map(|finding| &finding.failures) {
            *counts.entry(failure.severity).or_default() += 1;
        }
        counts.into_iter().rev().collect()
    }

    /// How many things could not be verified.
    pub(crate) fn unverified(&self) -> usize {
        self.open.iter().map(|open| open.count).sum()
    }

    /// The fields whose documentation would explain something.
    pub(crate) fn documented(&self) -> BTreeSet<String> {
        let failures = self.findings.iter().flat_map(|finding| &finding.failures);
        failures.filter_map(|failure| failure.field.clone()).collect()
    }

    /// What the API server says of a failure's field.
    pub(crate) fn documentation(&self, failure: &Failure) -> Option<&str> {
        self.fields.of(failure.field.as_deref()?)
    }
}

/// The word of a severity, in every form of a report.
pub(crate) const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
        Severity::Critical => "critical",
    }
}

/// `1 critical, 2 errors`
pub(crate) fn counted(counts: &[(Severity, usize)]) -> String {
    let words: Vec<String> = counts
        .iter()
        .map(|(severity, count)| match (severity, count) {
            (Severity::Error | Severity::Warning, 2..) => format!("{count} {}s", word(*severity)),
            _ => format!("{count} {}", word(*severity)),
        })
        .collect();
    words.join(", ")
}

/// What a number of things is called: `1 problem`, `2 problems`.
pub(crate) fn number(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// Doubts by their reason, the most first.
fn open<'a>(doubts: impl Iterator<Item = &'a Doubt>) -> Vec<Open> {
    let mut open: Vec<Open> = Vec::new();
    for doubt in doubts {
        let known = open.iter_mut().find(|open| open.why == doubt.why);
        let group = match known {
            Some(group) => group,
            None => {
                open.push(Open { why: doubt.why.clone(), count: 0, about: Vec::new() });
                open.last_mut().expect("just pushed")
            }
        };
        group.count += 1;
        if group.about.len() < NAMED && !group.about.contains(&doubt.about) {
            group.about.push(doubt.about.clone());
        }
    }
    open.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.why.to_string().cmp(&b.why.to_string())));
    open
}

#[cfg(test)]
pub(crate) mod testing {
    //! A report with everything in it.

    use asya_analysis::{GroupKind, Inventory, Report as Found, evaluate::Evaluation};
    use asya_cluster::{Fetch, Unread};
    use k8s_openapi::api::core::v1::{Event, Node, Pod, Secret};

    use super::*;

    pub(crate) fn place() -> Place {
        Place {
            context: "prod".to_owned(),
            server: "https://10.0.0.1:6443".to_owned(),
            version: "v1.33.1".to_owned(),
            scope: "all namespaces".to_owned(),
        }
    }

    fn evaluation(object: ObjectRef, parent: Option<ObjectRef>, report: Found) -> Evaluation {
        Evaluation {
            object,
            uid: Some("u-1".to_owned()),
            resource_version: Some("7".to_owned()),
            parent,
            backstage: None,
            report,
        }
    }

    /// A node that is not ready, a pod with two failures and names that attack terminals and browsers, and doubts.
    pub(crate) fn collected() -> Collected {
        let node = ObjectRef::of::<Node>(None, "worker-3");
        let mut not_ready = Found::default();
        not_ready.fail(
            Failure::new("NodeNotReady", Severity::Critical, "node worker-3 is not ready")
                .seen(&node, ".status.conditions[3].status", "False".to_owned())
                .hides(["worker-3"]),
        );
        let pod = ObjectRef::of::<Pod>(Some("shop"), "web-1");
        let event = ObjectRef::of::<Event>(Some("shop"), "web-1.17");
        let text = "<script>alert(\"x\")</script> & 'y'\n\u{1b}[31msecond line";
        let mut broken = Found::default();
        broken.fail(
            Failure::new("ContainerRestarts", Severity::Warning, "container c was restarted 7 times").seen(
                &pod,
                ".status.containerStatuses[0].restartCount",
                "7".to_owned(),
            ),
        );
        broken.fail(
            Failure::new("VolumeMountFails", Severity::Error, text)
                .seen(
                    &pod,
                    ".status.containerStatuses[0].state.waiting.reason",
                    "ContainerCreating".to_owned(),
                )
                .seen(&event, ".message", text.to_owned())
                .explained_by("pod.spec.volumes"),
        );
        broken.doubt("SecretMissing", "Secret shop/db", Unverified::NotRead);
        let mut doubtful = Found::default();
        doubtful.doubt("VolumeMountFails", "events of Pod pay/p", Unverified::Forbidden);
        let owner = ObjectRef {
            kind: GroupKind::new("apps", "Deployment"),
            namespace: Some("shop".to_owned()),
            name: "web".to_owned(),
        };
        let unread = |fetch: Fetch, verb, resource: &str, why, said: &str, subject| Unread {
            namespace: fetch.namespace().map(str::to_owned),
            fetch,
            verb,
            resource: resource.to_owned(),
            why,
            said: said.to_owned(),
            wrong: false,
            subject,
        };
        Collected {
            evaluations: vec![
                evaluation(pod, Some(owner), broken),
                evaluation(ObjectRef::of::<Pod>(Some("pay"), "p"), None, doubtful),
                evaluation(node, None, not_ready),
            ],
            unread: vec![
                unread(
                    Fetch::List(GroupKind::of::<Event>(), Some("pay".to_owned())),
                    "list",
                    "events",
                    Unverified::Forbidden,
                    "events is forbidden: User \"alice\" cannot list resource \"events\"",
                    false,
                ),
                unread(
                    Fetch::List(GroupKind::of::<Secret>(), None),
                    "list",
                    "jobs.batch",
                    Unverified::Failed("etcd timed out".to_owned()),
                    "etcd timed out",
                    true,
                ),
            ],
            absent: BTreeSet::new(),
            skipped: BTreeSet::new(),
            inventory: Inventory::default(),
            rounds: 2,
        }
    }

    pub(crate) fn report() -> Report {
        let time = "2026-06-01T12:00:00Z".parse().expect("a time");
        let mut report = Report::new(
            place(),
            time,
            vec!["Node".to_owned(), "Pod".to_owned()],
            collected(),
            Severity::Info,
        );
        report.requests = 9;
        report
    }

    /// Of a cluster without any failure, read to the end.
    pub(crate) fn healthy() -> Report {
        let mut collected = collected();
        collected.unread.clear();
        collected.evaluations.truncate(2);
        collected.evaluations.iter_mut().for_each(|evaluation| evaluation.report = Found::default());
        let time = "2026-06-01T12:00:00Z".parse().expect("a time");
        Report::new(place(), time, vec!["Pod".to_owned()], collected, Severity::Info)
    }
}

#[cfg(test)]
mod tests {
    use super::{testing::*, *};

    #[test]
    fn the_worst_is_first_among_objects_and_within_each() {
        let report = report();
        let objects: Vec<&str> = report.findings.iter().map(|finding| finding.object.name.as_str()).collect();
        assert_eq!(objects, ["worker-3", "web-1"]);
        let codes: Vec<&str> =
            report.findings[1].failures.iter().map(|failure| failure.code.as_str()).collect();
        assert_eq!(codes, ["VolumeMountFails", "ContainerRestarts"]);
        assert_eq!(counted(&report.counts()), "1 critical, 1 error, 1 warning");
        assert_eq!((report.problems(), report.unverified(), report.objects), (3, 2, 3));
    }

    #[test]
    fn failures_below_the_least_severity_are_left_out() {
        let time = Timestamp::UNIX_EPOCH;
        let of = |least| Report::new(place(), time, Vec::new(), collected(), least).problems();
        assert_eq!(
            [Severity::Info, Severity::Warning, Severity::Error, Severity::Critical].map(of),
            [3, 3, 2, 1]
        );
    }

    #[test]
    fn a_kind_that_could_not_be_listed_is_an_error_and_a_dependency_is_not() {
        assert_eq!(report().errors, ["list jobs.batch: etcd timed out"]);
    }
}
