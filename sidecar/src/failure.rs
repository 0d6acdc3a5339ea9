//! Why an envelope is not handled or not sent on: the engine's own codes, and what becomes of a failed run.

use asya_envelope::{ErrorReport, ParseError};
use asya_handler::{Code, Failure};
use jiff::Timestamp;

/// A message of this size is not taken, or a result not sent.
pub const TOO_LARGE: &str = "too_large";
/// The route says that it is another actor's turn.
pub const ROUTE_MISMATCH: &str = "route_mismatch";
/// `happy-end` or `error-end` inside a route.
pub const END_IN_ROUTE: &str = "end_actor_in_route";
/// The deadline has passed.
pub const DEADLINE: &str = "deadline";
/// Delivered too often.
pub const POISON: &str = "poison";
/// Published too often.
pub const LOOP: &str = "loop";
/// A handler sent the envelope to itself without advancing the route.
pub const NOT_ADVANCED: &str = "not_advanced";
/// A handler changed what the route has behind it, or left its end.
pub const INVALID_ROUTE: &str = "invalid_route";
/// A handler inserted an actor that it may not insert.
pub const ROUTE_NOT_ALLOWED: &str = "route_not_allowed";
/// More was used up than the envelope's budget permits.
pub const BUDGET_EXCEEDED: &str = "budget_exceeded";
/// The envelope's budget, or what it says it has spent, cannot be read.
pub const BUDGET_INVALID: &str = "budget_invalid";
/// This actor handles only what somebody approved, and nobody approved this.
pub const NOT_APPROVED: &str = "not_approved";
/// The next actor's queue does not exist.
pub const UNROUTABLE: &str = "unroutable";
/// The transport refuses this very message.
pub const REFUSED: &str = "refused";
/// The payload store does not hold what the envelope refers to.
pub const PAYLOAD_MISSING: &str = "payload_missing";
/// The reference is not this envelope's, or what the store holds is not what was checked in.
pub const PAYLOAD_INVALID: &str = "payload_invalid";
/// The payload is in a payload store, and this actor has none.
pub const PAYLOAD_NO_STORE: &str = "payload_no_store";
/// The payload store was away for as long as a message may be delivered.
pub const PAYLOAD_UNAVAILABLE: &str = "payload_unavailable";
/// A handler asked to be called again more often than a message may be delivered.
pub const RETRIES_EXHAUSTED: &str = "retries_exhausted";

/// A failure as the error envelope tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: &'static str,
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn report(&self, actor: &str, attempt: u32) -> ErrorReport {
        ErrorReport::new(self.code, self.message.clone(), actor, attempt, Timestamp::now())
    }
}

/// The report of a body that is not an envelope.
pub(crate) fn unparsed(error: &ParseError, actor: &str) -> ErrorReport {
    ErrorReport::new(ParseError::CODE, error.to_string(), actor, 0, Timestamp::now())
}

/// The report of a failed run. `error` is the code, as existing readers of error envelopes expect of what a runtime
/// says; a timeout and a broken connection are the sidecar's own words.
pub(crate) fn failed_run(failure: &Failure, actor: &str, attempt: u32) -> ErrorReport {
    let code = failure.code.as_str();
    let mut report = ErrorReport::new(code, failure.message.clone(), actor, attempt, Timestamp::now());
    if !matches!(failure.code, Code::Timeout | Code::Connection | Code::WorkerDied) {
        report.error = code.to_owned();
    }
    report.type_name.clone_from(&failure.type_name);
    report.mro.clone_from(&failure.mro);
    report.traceback.clone_from(&failure.traceback);
    report
}

/// The value of the label `reason` of `messages_failed_total`: the words of the Go system where it has one.
pub(crate) fn reason_label(code: &str) -> &str {
    match code {
        ParseError::CODE => "parse_error",
        UNROUTABLE | REFUSED => "routing_error",
        TOO_LARGE | ROUTE_MISMATCH | END_IN_ROUTE | DEADLINE | POISON | LOOP | NOT_ADVANCED
        | INVALID_ROUTE | ROUTE_NOT_ALLOWED | BUDGET_EXCEEDED | BUDGET_INVALID | NOT_APPROVED
        | RETRIES_EXHAUSTED | PAYLOAD_MISSING | PAYLOAD_INVALID | PAYLOAD_NO_STORE | PAYLOAD_UNAVAILABLE => {
            code
        }
        _ => "runtime_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_that_the_go_system_counts_keep_its_words() {
        for (code, label) in [
            (ParseError::CODE, "parse_error"),
            (ROUTE_MISMATCH, "route_mismatch"),
            (UNROUTABLE, "routing_error"),
            (Code::Processing.as_str(), "runtime_error"),
            (POISON, "poison"),
        ] {
            assert_eq!(reason_label(code), label);
        }
    }

    #[test]
    fn every_code_has_a_page() {
        let pages = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/errors");
        for code in [
            TOO_LARGE,
            ROUTE_MISMATCH,
            END_IN_ROUTE,
            DEADLINE,
            POISON,
            LOOP,
            NOT_ADVANCED,
            INVALID_ROUTE,
            ROUTE_NOT_ALLOWED,
            BUDGET_EXCEEDED,
            BUDGET_INVALID,
            NOT_APPROVED,
            UNROUTABLE,
            REFUSED,
            RETRIES_EXHAUSTED,
            PAYLOAD_MISSING,
            PAYLOAD_INVALID,
            PAYLOAD_NO_STORE,
            PAYLOAD_UNAVAILABLE,
            ParseError::CODE,
            Code::Processing.as_str(),
            Code::Connection.as_str(),
            Code::Timeout.as_str(),
            Code::WorkerDied.as_str(),
            Code::InvalidResult.as_str(),
            Code::ReplyTooLarge.as_str(),
            Code::Validation.as_str(),
            Code::Rejected.as_str(),
        ] {
            assert!(
                std::fs::exists(format!("{pages}/{code}.md")).unwrap(),
                "docs/errors/{code}.md is missing"
            );
        }
    }
}
