//! What an error envelope says, and whether another try may help.

use asya_envelope::{Envelope, Raw, headers, original::original};
use asya_handler::{Code, Failure, Fault};
use asya_sidecar::{RetryPolicy, failure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Codes that are retried unless another list is given: what the handler raised, and what befell it. Everything else
/// fails the same way each time.
pub const RETRYABLE: [Code; 4] = [Code::Processing, Code::Connection, Code::Timeout, Code::WorkerDied];

/// Runs in all unless the policy says otherwise: none of error-end's own, as in the Go system.
pub const DEFAULT_ATTEMPTS: u32 = 1;

/// How error-end tries again.
#[derive(Clone, Debug, PartialEq)]
pub struct Again {
    /// Runs in all, those that the sidecar's policy gave included; pauses; exceptions that no retry helps.
    pub policy: RetryPolicy,
    /// Codes for which a later try may help.
    pub codes: Vec<String>,
}

impl Default for Again {
    fn default() -> Self {
        Self {
            policy: RetryPolicy { attempts: DEFAULT_ATTEMPTS, ..RetryPolicy::default() },
            codes: RETRYABLE.iter().map(|code| code.as_str().to_owned()).collect(),
        }
    }
}

/// What is known of a failure. Error envelopes of the Go system say less: what is missing is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Details {
    /// Stable code.
    pub code: String,
    /// The reason, for a person.
    pub message: String,
    /// The actor that failed.
    pub actor: String,
    /// Which run of its handler it was; 0 when none ran.
    pub attempt: u32,
    /// When.
    pub time: Option<Timestamp>,
    /// Class of the exception.
    #[serde(rename = "type")]
    pub type_name: Option<String>,
    /// Its classes, most derived first.
    pub mro: Vec<String>,
}

/// Whether a later try may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// It may: the code is on the list, and the exception is not.
    Retryable,
    /// It fails the same way each time, or its deadline has passed.
    Permanent,
}

/// What is to be done about a failure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Next {
    /// Sent to where it failed, now.
    Send(Box<Envelope>),
    /// The same, but not before so long.
    Wait(std::time::Duration),
    /// It has failed.
    Bury,
}

impl Details {
    /// Reads them from the payload of an error envelope.
    pub fn of(failed: &Envelope) -> Self {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Payload {
            error: Option<String>,
            details: Details,
        }
        let payload: Payload = serde_json::from_slice(failed.payload.as_bytes()).unwrap_or_default();
        let mut details = payload.details;
        let error = payload.error.unwrap_or_default();
        let or = |text: &mut String, other: &str| {
            if text.is_empty() {
                other.clone_into(text);
            }
        };
        or(&mut details.message, &error);
        or(&mut details.code, if error.is_empty() { "unknown" } else { Code::parse(&error).as_str() });
        or(&mut details.actor, failed.route.current_actor().unwrap_or("unknown"));
        details
    }

    /// The reason with the exception's class, for a person: a message alone may be just `'name'`.
    pub fn reason(&self) -> String {
        match self.type_name.as_deref() {
            Some(class) if !class.is_empty() && self.message != self.code => {
                format!("{class}: {}", self.message)
            }
            Some(class) if !class.is_empty() => class.to_owned(),
            _ => self.message.clone(),
        }
    }

    fn failure(&self) -> Failure {
        let mut failure = Failure::new(Code::parse(&self.code), Fault::Handler, self.message.clone());
        failure.type_name.clone_from(&self.type_name);
        failure.mro.clone_from(&self.mro);
        failure
    }
}

impl Again {
    /// Whether a later try of this failure may help.
    pub fn class(&self, failed: &Envelope, details: &Details, now: Timestamp) -> Class {
        let listed = self.codes.contains(&details.code) && self.policy.may_help(&details.failure());
        let late = failed.deadline.as_ref().is_some_and(|deadline| deadline.expired(now.into()));
        // What ran out of time is not a matter of the handler.
        let listed = listed && details.code != failure::DEADLINE;
        if listed && !late { Class::Retryable } else { Class::Permanent }
    }

    /// How often the actor that failed has had the envelope: its runs, or, where it never ran, the times it was sent
    /// from here. Goes up by one at least with each, which is what bounds them.
    pub fn tries(failed: &Envelope, details: &Details) -> u32 {
        let sent = failed.headers.get_u64(headers::RUNS).map_or(0, |runs| runs.saturating_add(1));
        details.attempt.max(u32::try_from(sent).unwrap_or(u32::MAX)).max(1)
    }

    /// What is to be done. `delivery` counts the runs of this end actor on the message, from 1.
    pub(crate) fn next(&self, failed: &Envelope, details: &Details, delivery: u32, now: Timestamp) -> Next {
        let tries = Self::tries(failed, details);
        if tries >= self.policy.attempts || self.class(failed, details, now) == Class::Permanent {
            return Next::Bury;
        }
        let Ok(mut again) = original(failed.clone()) else { return Next::Bury };
        if again.route.current_actor().is_none_or(|actor| actor != details.actor) {
            return Next::Bury;
        }
        let pause = self.policy.pause(tries, chance(&failed.id));
        let left = match details.time {
            Some(time) => {
                let passed = now.duration_since(time).try_into().unwrap_or_default();
                pause.saturating_sub(passed)
            }
            None if delivery > 1 => std::time::Duration::ZERO,
            None => pause,
        };
        if !left.is_zero() {
            return Next::Wait(left);
        }
        again.headers.set(headers::RUNS, Raw::of(&tries));
        Next::Send(Box::new(again))
    }
}

/// 0.0 to 1.0, always the same for one id: the pause must not change while it is waited for.
fn chance(id: &str) -> f64 {
    let digest = asya_envelope::report::hex_digest(id.as_bytes());
    u32::from_str_radix(&digest[..8], 16).map_or(0.0, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use asya_envelope::{ErrorReport, Limits, Route, Wrapped};

    use super::*;

    fn failed(code: &str, attempt: u32, runs: Option<u64>) -> Envelope {
        let mut input = Envelope::new("7", Route::new(["a", "b"]), Raw::of(&1));
        if let Some(runs) = runs {
            input.headers.set(headers::RUNS, Raw::of(&runs));
        }
        let mut report = ErrorReport::new(code, "no", "a", attempt, Timestamp::UNIX_EPOCH);
        report.type_name = Some("CardDeclined".to_owned());
        let Wrapped::Whole(body) = report.wrap(&input, &Limits::default()) else { panic!("it is small") };
        Envelope::parse(body).unwrap()
    }

    fn again(attempts: u32) -> Again {
        let mut again = Again::default();
        again.policy.attempts = attempts;
        again
    }

    fn next(again: &Again, envelope: &Envelope, after: i64) -> Next {
        let now = Timestamp::from_second(after).unwrap();
        again.next(envelope, &Details::of(envelope), 1, now)
    }

    #[test]
    fn by_default_nothing_is_sent_again() {
        assert_eq!(next(&Again::default(), &failed("timeout", 1, None), 900), Next::Bury);
    }

    #[test]
    fn what_is_sent_again_goes_to_where_it_failed_with_its_runs_counted() {
        let Next::Send(sent) = next(&again(5), &failed("timeout", 3, None), 900) else {
            panic!("it may help")
        };
        assert_eq!((sent.route.current_actor(), sent.payload.as_str()), (Some("a"), "1"));
        assert_eq!(sent.headers.get_u64(headers::RUNS), Some(3));
    }

    #[test]
    fn runs_of_the_sidecars_policy_are_not_given_again() {
        assert_eq!(next(&again(3), &failed("timeout", 3, None), 900), Next::Bury);
    }

    #[test]
    fn what_never_runs_is_sent_a_bounded_number_of_times() {
        let mut envelope = failed("worker_died", 0, None);
        for sent in 1..4 {
            let Next::Send(again) = next(&again(4), &envelope, 900) else { panic!("sent {sent}") };
            assert_eq!(again.headers.get_u64(headers::RUNS), Some(sent));
            envelope = failed("worker_died", 0, Some(sent));
        }
        assert_eq!(next(&again(4), &envelope, 900), Next::Bury);
    }

    #[test]
    fn it_waits_for_as_long_as_the_policy_says_counted_from_the_failure() {
        let mut again = again(9);
        again.policy.jitter = 0.0;
        assert_eq!(
            next(&again, &failed("timeout", 2, None), 0),
            Next::Wait(std::time::Duration::from_secs(2))
        );
        assert_eq!(
            next(&again, &failed("timeout", 2, None), 1),
            Next::Wait(std::time::Duration::from_secs(1))
        );
        assert!(matches!(next(&again, &failed("timeout", 2, None), 2), Next::Send(_)));
    }

    #[test]
    fn codes_exceptions_and_deadlines_decide() {
        let mut policy = again(9);
        assert_eq!(next(&policy, &failed("validation_error", 1, None), 900), Next::Bury);
        assert_eq!(next(&policy, &failed("poison", 1, None), 900), Next::Bury);
        let mut late = failed("timeout", 1, None);
        late.deadline = Envelope::parse(bytes::Bytes::from_static(
            br#"{"id":"7","route":{"actors":["a"],"current":0},"payload":1,"deadline":"1970-01-01T00:00:10Z"}"#,
        ))
        .unwrap()
        .deadline;
        assert_eq!(next(&policy, &late, 900), Next::Bury);
        policy.policy.non_retryable = vec!["CardDeclined".to_owned()];
        assert_eq!(next(&policy, &failed("processing_error", 1, None), 900), Next::Bury);
        policy.codes = vec!["poison".to_owned()];
        policy.policy.non_retryable.clear();
        assert!(matches!(next(&policy, &failed("poison", 1, None), 900), Next::Send(_)));
    }

    #[test]
    fn what_error_end_itself_could_not_send_on_is_not_sent_again() {
        // The queue of the actor is missing: the engine around error-end sends this to error-end, once.
        let mut again = again(9);
        again.codes = vec!["unroutable".to_owned()];
        let input = Envelope::new("7", Route::new(["a", "b"]), Raw::of(&1));
        let report = ErrorReport::new("unroutable", "no queue", "error-end", 0, Timestamp::UNIX_EPOCH);
        let Wrapped::Whole(body) = report.wrap(&input, &Limits::default()) else { panic!("it is small") };
        assert_eq!(next(&again, &Envelope::parse(body).unwrap(), 900), Next::Bury);
    }

    #[test]
    fn an_error_envelope_of_the_go_system_is_understood() {
        let body = br#"{"id":"7","route":{"actors":["a","b"],"current":1},"payload":{"error":"processing_error","details":{"message":"x","type":"ValueError"},"original_payload":3}}"#;
        let envelope = Envelope::parse(bytes::Bytes::from_static(body)).unwrap();
        let details = Details::of(&envelope);
        assert_eq!(
            (details.code.as_str(), details.actor.as_str(), details.message.as_str()),
            ("processing_error", "b", "x")
        );
        assert_eq!(details.reason(), "ValueError: x");
        let again = again(2);
        assert!(matches!(again.next(&envelope, &details, 1, Timestamp::UNIX_EPOCH), Next::Wait(_)));
        assert!(matches!(again.next(&envelope, &details, 2, Timestamp::UNIX_EPOCH), Next::Send(_)));
    }

    #[test]
    fn a_payload_that_says_nothing_is_a_permanent_failure() {
        let envelope = Envelope::new("7", Route::new(["a"]), Raw::of(&"text"));
        let details = Details::of(&envelope);
        assert_eq!((details.code.as_str(), details.actor.as_str()), ("unknown", "a"));
        assert_eq!(next(&again(9), &envelope, 900), Next::Bury);
    }
}
