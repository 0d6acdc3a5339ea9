//! The Operator Lifecycle Manager, v0 and v1: what its objects have in common.

use jiff::{SignedDuration, Timestamp};

use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::Object;
use crate::rules::condition::Condition;
use crate::view::{Typed, View};

/// The group of the analyzers.
pub(super) const OLM: &str = "OLM";

/// How long a step of an installation may take: images are pulled, bundles unpacked, deployments rolled out.
const PATIENCE: SignedDuration = SignedDuration::from_mins(10);

/// A kind of OLM v0.
pub(super) const fn v0(kind: &'static str) -> GroupKind {
    GroupKind::new("operators.coreos.com", kind)
}

/// A kind of OLM v1.
pub(super) const fn v1(kind: &'static str) -> GroupKind {
    GroupKind::new("olm.operatorframework.io", kind)
}

/// Whether a step that began at `since` may still take; one whose begin nobody knows may not.
pub(super) fn may_take(view: &dyn View, since: Option<Timestamp>) -> bool {
    since.is_some_and(|since| !view.is_past(since, PATIENCE))
}

/// The time in a field.
pub(super) fn time(object: &Object, pointer: &str) -> Option<Timestamp> {
    object.text(pointer)?.parse().ok()
}

/// The text in a field that is not empty.
pub(super) fn said<'a>(object: &'a Object, pointer: &str) -> Option<&'a str> {
    object.text(pointer).filter(|text| !text.is_empty())
}

/// `before: reason: message`, with what there is of the two fields.
pub(super) fn with_reason(object: &Object, before: String, reason: &str, message: &str) -> String {
    [said(object, reason), said(object, message)]
        .into_iter()
        .flatten()
        .fold(before, |text, part| format!("{text}: {part}"))
}

/// A failure in the words of a condition.
pub(super) fn told_by(
    object: &Object,
    condition: &Condition<'_>,
    code: &str,
    severity: Severity,
    what: &str,
) -> Failure {
    let at = object.reference();
    let text = format!("{} {} {what}: {}", at.kind.kind, at.path(), condition.why());
    let failure =
        Failure::new(code, severity, text).seen(&at, condition.path("status"), condition.status.to_owned());
    match condition.message {
        "" => failure.seen(&at, condition.path("reason"), condition.reason.to_owned()),
        message => failure.seen(&at, condition.path("message"), message.to_owned()),
    }
}
