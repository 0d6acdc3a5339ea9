//! Everything that one look at a cluster found, sorted and counted.
//!
//! | module | holds |
//! |---|---|
//! | this | [`Report`] |
//! | [`json`](mod@json) | the report for programs |
//!
//! The invariant: **what could not be looked at is told in every form.**

pub mod json;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

use std::collections::{BTreeMap, BTreeSet};

use asya_analysis::{Doubt, Failure, ObjectRef, Severity, Unverified};
use jiff::Timestamp;

use crate::{collect::Collected, fields::Fields, rights::Rights};

/// Examples of what could not be verified that are named; the rest is only counted.
const NAMED: usize = 5;

/// Where it was looked.
#[derive(Debug, Clone)]
pub struct Place {
    /// The context's name.
    pub context: String,
    /// The API server's address.
    pub server: String,
    /// The API server's version.
    pub version: String,
    /// In words: `namespace shop`, `all namespaces but kube-system`.
    pub scope: String,
}

/// An object with what is wrong with it.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The object.
    pub object: ObjectRef,
    /// Its uid, where it has one.
    pub uid: Option<String>,
    /// The version that was looked at.
    pub resource_version: Option<String>,
    /// The owner at the top.
    pub parent: Option<ObjectRef>,
    /// That of the worst failure.
    pub severity: Severity,
    /// The worst first; never empty.
    pub failures: Vec<Failure>,
    /// What could not be verified.
    pub doubts: Vec<Doubt>,
    /// What a model says of it.
    pub explanation: Option<Explanation>,
}

/// What a model says of one finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Its words.
    pub text: String,
    /// Evidence that it cites and that does not exist.
    pub made_up: Vec<String>,
}

/// Things that could not be verified for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The reason.
    pub why: Unverified,
    /// How many codes of how many objects, in all.
    pub count: usize,
    /// What would have had to be read; the first few.
    pub about: Vec<String>,
}

/// Everything that one run found.
pub struct Report {
    /// Where it was looked.
    pub place: Place,
    /// When.
    pub time: Timestamp,
    /// The analyzers that ran.
    pub analyzers: Vec<String>,
    /// The worst first, then by kind, namespace and name.
    pub findings: Vec<Finding>,
    /// What could not be verified, by reason.
    pub open: Vec<Open>,
    /// Kinds that were to be looked at and could not be listed: nobody knows what is wrong with their objects.
    pub errors: Vec<String>,
    /// What else one must know: kinds that were not looked at, findings that were not explained.
    pub notes: Vec<String>,
    /// Rights that were missing.
    pub rights: Rights,
    /// Objects that were looked at.
    pub objects: usize,
    /// Requests to the API server.
    pub requests: u64,
    /// What the API server says of fields.
    pub fields: Fields,
    /// The names and namespaces of all objects that were looked at.
    pub names: BTreeSet<String>,
    /// Who explained the findings; empty: nobody was asked.
    pub provider: String,
}

impl Report {
    /// What `collected` says, without failures below `least`.
    #[must_use]
    pub fn new(
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
    #[must_use]
    pub fn problems(&self) -> usize {
        self.findings.iter().map(|finding| finding.failures.len()).sum()
    }

    /// How many of each severity, the worst first; those that there are.
    #[must_use]
    pub fn counts(&self) -> Vec<(Severity, usize)> {
        let mut counts: BTreeMap<Severity, usize> = BTreeMap::new();
        for failure in self.findings.iter().flat_map(|finding| &finding.failures) {
            *counts.entry(failure.severity).or_default() += 1;
        }
        counts.into_iter().rev().collect()
    }

    /// How many things could not be verified.
    #[must_use]
    pub fn unverified(&self) -> usize {
        self.open.iter().map(|open| open.count).sum()
    }

    /// The fields whose documentation would explain something.
    #[must_use]
    pub fn documented(&self) -> BTreeSet<String> {
        let failures = self.findings.iter().flat_map(|finding| &finding.failures);
        failures.filter_map(|failure| failure.field.clone()).collect()
    }

    /// What the API server says of a failure's field.
    #[must_use]
    pub fn documentation(&self, failure: &Failure) -> Option<&str> {
        self.fields.of(failure.field.as_deref()?)
    }
}

/// The word of a severity, in every form of a report.
#[must_use]
pub const fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
        Severity::Critical => "critical",
    }
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
        let counts = [(Severity::Critical, 1), (Severity::Error, 1), (Severity::Warning, 1)];
        assert_eq!(report.counts(), counts);
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
