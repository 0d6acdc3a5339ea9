//! One object through all its analyzers.

use asya_resources::k8sgpt::BACKSTAGE_LABEL;
use serde::{Deserialize, Serialize};

use crate::analyzer::Selection;
use crate::failure::Failure;
use crate::object::{Object, ObjectRef};
use crate::owner;
use crate::report::Report;
use crate::view::{Unverified, View};

/// What the analyzers say of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Evaluation {
    /// The object.
    pub object: ObjectRef,
    /// Its uid, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The version that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_version: Option<String>,
    /// The owner at the top, if somebody owns it and something is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<ObjectRef>,
    /// The name of the component that it belongs to in Backstage, if its label says one and something is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backstage: Option<String>,
    /// What was found.
    #[serde(flatten)]
    pub report: Report,
}

impl Evaluation {
    /// What somebody else found: in order, and without what looks like a secret.
    #[must_use]
    pub fn found(object: ObjectRef, failures: impl IntoIterator<Item = Failure>) -> Self {
        let mut report = Report::default();
        failures.into_iter().for_each(|failure| report.fail(failure));
        report.scrub();
        report.sort();
        Self { object, uid: None, resource_version: None, parent: None, backstage: None, report }
    }

    /// Of an object that nobody could look at: whatever was found before stays.
    #[must_use]
    pub fn doubtful(object: ObjectRef, why: Unverified) -> Self {
        let mut report = Report::default();
        report.doubt("*", &object, why);
        Self { object, uid: None, resource_version: None, parent: None, backstage: None, report }
    }
}

/// Looks at `object` with those of `selection` that look at its kind.
#[must_use]
pub fn evaluate(object: &Object, selection: &Selection, view: &dyn View) -> Evaluation {
    let mut report = Report::default();
    let kind = object.kind();
    for analyzer in selection.of(&kind) {
        report.by(Some(analyzer.name()));
        if let Err(malformed) = analyzer.analyze(object, view, &mut report) {
            report.doubt("*", object.reference(), Unverified::Failed(malformed.to_string()));
        }
    }
    report.by(None);
    report.scrub();
    report.sort();
    let is_well = report.failures().is_empty();
    let parent = if is_well { None } else { owner::top(object, view) };
    let backstage = if is_well { None } else { object.labels().remove(BACKSTAGE_LABEL) };
    Evaluation {
        object: object.reference(),
        uid: object.uid().map(str::to_owned),
        resource_version: object.resource_version().map(str::to_owned),
        parent,
        backstage,
        report,
    }
}
