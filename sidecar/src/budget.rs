//! Budgets: what an envelope may use up, looked at on its arrival and before it is sent on. Pure: no clock, no network.
//!
//! A limit of `n` is kept by `n`. What a run costs is known when its handler says so, so the run that goes beyond is the
//! last one, and its answer is not sent to another actor. An answer that ends the route is: it is paid for, and nothing
//! follows.

use asya_envelope::{Budget, Envelope, Spent, headers, lineage};
use bytes::Bytes;
use jiff::Timestamp;

use crate::failure::{BUDGET_EXCEEDED, BUDGET_INVALID, Refusal};

/// How a limit is raised.
const RAISE: &str =
    "raise it in spec.budget of the agent, or in the header x-asya-budget of whoever sends the envelope";

/// Refuses an envelope that has used up more than it may, in anything but time.
pub(crate) fn check(envelope: &Envelope) -> Result<(), Refusal> {
    let Some((budget, spent)) = read(envelope)? else { return Ok(()) };
    spending(&budget, spent)?;
    shape(&budget, envelope)
}

/// Refuses an envelope whose time is over.
pub(crate) fn in_time(envelope: &Envelope, now: Timestamp) -> Result<(), Refusal> {
    let until = read(envelope)?.and_then(|(budget, _)| budget.until);
    match until.filter(|until| now >= *until) {
        None => Ok(()),
        Some(until) => {
            Err(Refusal::new(BUDGET_EXCEEDED, format!("until: the time was over at {until}; {RAISE}")))
        }
    }
}

/// Refuses a message that a handler's answer became and that is more than its budget permits.
pub(crate) fn leaving(envelope: &Envelope) -> Result<(), Refusal> {
    let Some((budget, spent)) = read(envelope)? else { return Ok(()) };
    if envelope.route.current_actor().is_some() {
        spending(&budget, spent)?;
    }
    shape(&budget, envelope)
}

/// Adds what a handler reports to what was spent; a report that is not counted is told of.
pub(crate) fn charge(envelope: &mut Envelope) -> Result<Option<String>, Refusal> {
    let Some(cost) = envelope.headers.remove(headers::COST) else { return Ok(None) };
    let spent = Spent::of(&envelope.headers).map_err(invalid)?;
    match Spent::reported(&cost) {
        Ok(cost) => {
            envelope.headers.set(headers::SPENT, spent.and(cost).to_raw());
            Ok(None)
        }
        Err(why) => Ok(Some(why)),
    }
}

/// The envelope without the cost that somebody else wrote, which would look as if its handler had said so; none if it
/// carries none.
pub(crate) fn without_cost(envelope: &Envelope) -> Option<(Envelope, Bytes)> {
    envelope.headers.get(headers::COST)?;
    let mut without = envelope.clone();
    without.headers.remove(headers::COST);
    let body = without.encode();
    Some((without, body))
}

/// Budget and spending; none without a budget.
fn read(envelope: &Envelope) -> Result<Option<(Budget, Spent)>, Refusal> {
    let spent = Spent::of(&envelope.headers).map_err(invalid)?;
    Ok(Budget::of(&envelope.headers).map_err(invalid)?.map(|budget| (budget, spent)))
}

fn invalid(why: String) -> Refusal {
    Refusal::new(BUDGET_INVALID, why)
}

fn spending(budget: &Budget, spent: Spent) -> Result<(), Refusal> {
    within("turns", budget.turns, spent.turns, "were taken")?;
    within("tokens", budget.tokens, spent.tokens, "were used")
}

fn shape(budget: &Budget, envelope: &Envelope) -> Result<(), Refusal> {
    within("route", budget.route, envelope.route.actors.len() as u64, "actors are in the route")?;
    if budget.depth.is_none() {
        return Ok(());
    }
    let depth = lineage::depth(&envelope.headers);
    let depth = depth.ok_or_else(|| invalid(format!("the header {} cannot be read", headers::FAN)))?;
    within("depth", budget.depth, depth, "fan-outs are one within the other")
}

fn within(what: &str, limit: Option<u64>, used: u64, word: &str) -> Result<(), Refusal> {
    match limit.filter(|limit| used > *limit) {
        None => Ok(()),
        Some(limit) => Err(Refusal::new(
            BUDGET_EXCEEDED,
            format!("{what}: {used} {word}, at most {limit} are allowed; {RAISE}"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use asya_envelope::{Raw, Route, lineage::Lineage};

    use super::*;

    fn envelope(budget: &str, spent: &str) -> Envelope {
        let mut envelope = Envelope::new("a", Route::new(["b", "c", "d"]), Raw::null());
        for (name, value) in [(headers::BUDGET, budget), (headers::SPENT, spent)] {
            envelope.headers.set(name, Raw::parse(value.to_owned().into()).unwrap());
        }
        envelope
    }

    fn code(outcome: Result<(), Refusal>) -> Option<&'static str> {
        outcome.err().map(|refusal| refusal.code)
    }

    #[test]
    fn a_limit_is_kept_by_its_number_and_broken_by_the_next() {
        for (budget, spent, kept) in [
            (r#"{"turns":2}"#, r#"{"turns":2}"#, true),
            (r#"{"turns":2}"#, r#"{"turns":3}"#, false),
            (r#"{"turns":0}"#, "{}", true),
            (r#"{"tokens":10,"turns":9}"#, r#"{"tokens":11,"turns":1}"#, false),
            (r#"{"route":3}"#, "{}", true),
            (r#"{"route":2}"#, "{}", false),
            ("{}", r#"{"turns":9,"tokens":9}"#, true),
        ] {
            let expected = (!kept).then_some(BUDGET_EXCEEDED);
            assert_eq!(code(check(&envelope(budget, spent))), expected, "{budget} {spent}");
            assert_eq!(code(leaving(&envelope(budget, spent))), expected, "{budget} {spent}");
        }
    }

    #[test]
    fn the_message_says_which_limit_and_how_it_is_raised() {
        let refusal = check(&envelope(r#"{"tokens":10}"#, r#"{"tokens":12}"#)).unwrap_err();
        assert!(
            refusal.message.starts_with("tokens: 12 were used, at most 10 are allowed; raise it in"),
            "{refusal:?}"
        );
    }

    #[test]
    fn an_answer_that_ends_the_route_is_not_thrown_away_for_what_it_cost() {
        let mut ended = envelope(r#"{"turns":1}"#, r#"{"turns":2}"#);
        ended.route.current = 3;
        assert_eq!(leaving(&ended), Ok(()));
    }

    #[test]
    fn depth_counts_fan_outs_within_each_other() {
        let mut child = envelope(r#"{"depth":1}"#, "{}");
        Lineage::of(&child).assign(&mut child, 1, None);
        assert_eq!(check(&child), Ok(()));
        let lineage = Lineage::of(&child);
        lineage.assign(&mut child, 1, None);
        assert_eq!(code(leaving(&child)), Some(BUDGET_EXCEEDED));
        child.headers.set(headers::FAN, Raw::of(&"nothing"));
        assert_eq!(code(check(&child)), Some(BUDGET_INVALID));
    }

    #[test]
    fn time_is_over_at_its_end() {
        let until: Timestamp = "2026-11-22T10:00:00Z".parse().unwrap();
        let envelope = envelope(r#"{"until":"2026-11-22T10:00:00Z"}"#, "{}");
        assert_eq!(in_time(&envelope, until - std::time::Duration::from_secs(1)), Ok(()));
        assert_eq!(code(in_time(&envelope, until)), Some(BUDGET_EXCEEDED));
        assert_eq!(check(&envelope), Ok(()), "that has no clock");
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_and_without_the_other() {
        for (budget, spent) in [("[]", "{}"), (r#"{"turn":1}"#, "{}"), ("{}", r#"{"turns":-1}"#)] {
            assert_eq!(code(check(&envelope(budget, spent))), Some(BUDGET_INVALID), "{budget} {spent}");
            assert_eq!(code(in_time(&envelope(budget, spent), Timestamp::now())), Some(BUDGET_INVALID));
        }
    }
}
