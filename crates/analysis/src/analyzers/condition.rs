//! Conditions of a status: which of them say that something is wrong, and which say nothing because they are about an
//! older generation of the object.

use jiff::SignedDuration;
use serde_json::Value;

use crate::analyzers::json::{items, number, path, text};
use crate::analyzers::words::text_or;
use crate::failure::{Failure, Severity};
use crate::object::Object;
use crate::report::Report;
use crate::view::{Typed, Unverified, View};

/// How long after an object was made its conditions may be unknown: a controller has to see it first.
const SETTLING: SignedDuration = SignedDuration::from_mins(1);

/// What a condition means.
pub(crate) struct Rule {
    /// The type of the condition.
    pub(crate) kind: &'static str,
    /// The status that is well, `True` or `False`.
    pub(crate) well: &'static str,
    /// The code of the failure if it is not.
    pub(crate) code: &'static str,
    /// How bad that is; a status that nobody knows is at most a warning.
    pub(crate) severity: Severity,
}

impl Rule {
    /// A condition that should be true.
    pub(crate) const fn wanted(kind: &'static str, code: &'static str, severity: Severity) -> Self {
        Self { kind, well: "True", code, severity }
    }

    /// A condition that should not be true.
    pub(crate) const fn unwanted(kind: &'static str, code: &'static str, severity: Severity) -> Self {
        Self { kind, well: "False", code, severity }
    }
}

/// Judges the conditions at `pointer` of `object` by `rules`; `who` says in a sentence whose they are.
///
/// A condition about an older generation is a doubt: the controller has not seen what is written now, so what it said
/// before neither stands nor falls.
pub(crate) fn judge(
    object: &Object,
    pointer: &str,
    rules: &[Rule],
    who: &str,
    view: &dyn View,
    report: &mut Report,
) {
    let generation = number(object.value(), "/metadata/generation");
    let young = object.created().is_some_and(|created| !view.is_past(created, SETTLING));
    for (n, condition) in items(object.value(), pointer) {
        let kind = text(condition, "/type").unwrap_or_default();
        let status = text(condition, "/status").unwrap_or("Unknown");
        let Some(rule) = rules.iter().find(|rule| rule.kind == kind) else { continue };
        if status == rule.well {
            continue;
        }
        let unknown = status != "True" && status != "False";
        if unknown && (young || rule.well == "False") {
            continue;
        }
        let observed = number(condition, "/observedGeneration").filter(|observed| *observed > 0);
        if let (Some(observed), Some(generation)) = (observed, generation)
            && observed < generation
        {
            let why = format!("the condition {kind} is of generation {observed}, the object of {generation}");
            report.doubt(rule.code, object.reference(), Unverified::Failed(why));
            continue;
        }
        report.fail(failure(object, rule, condition, unknown, who, &format!("{pointer}/{n}")));
    }
}

fn failure(
    object: &Object,
    rule: &Rule,
    condition: &Value,
    unknown: bool,
    who: &str,
    pointer: &str,
) -> Failure {
    let kind = rule.kind;
    let reason = text(condition, "/reason").unwrap_or("no reason given");
    let status = text(condition, "/status").unwrap_or("Unknown");
    let why = text_or(text(condition, "/message"), || reason.to_owned());
    let severity = if unknown { rule.severity.min(Severity::Warning) } else { rule.severity };
    Failure::new(rule.code, severity, format!("{who}: {kind} is {status} ({reason}): {why}"))
        .seen(&object.reference(), path(&format!("{pointer}/status")), status.to_owned())
        .hides([object.name()])
}
