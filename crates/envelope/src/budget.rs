//! What an envelope may use up on its way, and what it has used.

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{Headers, Raw, headers};

/// Most that one run may report: more is no count, and the sums must not overflow.
const MOST_REPORTED: u64 = 1_000_000_000;

/// What an envelope may use up: the header [`headers::BUDGET`]. What is `None` has no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Turns of models.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turns: Option<u64>,
    /// Tokens of models, read and written together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Actors in the route, those that it has behind it included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<u64>,
    /// Fan-outs, one within the other, that no fan-in has joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<u64>,
    /// When its time is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// What was used: the header [`headers::SPENT`], and what a handler reports by [`headers::COST`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// Turns of models.
    pub turns: u64,
    /// Tokens of models.
    pub tokens: u64,
}

impl Budget {
    /// The budget of these headers; none if they have none.
    ///
    /// # Errors
    /// A sentence: a limit that cannot be read, or is not known here, is not one that may be passed over.
    pub fn of(headers: &Headers) -> Result<Option<Self>, String> {
        read(headers, headers::BUDGET)
    }

    /// As the value of a header.
    pub fn to_raw(&self) -> Raw {
        Raw::of(self)
    }
}

impl Spent {
    /// What these headers say was used; nothing if they say nothing.
    ///
    /// # Errors
    /// A sentence, if they cannot be read.
    pub fn of(headers: &Headers) -> Result<Self, String> {
        Ok(read(headers, headers::SPENT)?.unwrap_or_default())
    }

    /// What a handler reports that one run has used.
    ///
    /// # Errors
    /// A sentence: it is not of the form `{"tokens": 1200, "turns": 1}`, or no count that anybody has.
    pub fn reported(cost: &Raw) -> Result<Self, String> {
        let cost: Self = parse(cost)?;
        if cost.turns.max(cost.tokens) > MOST_REPORTED {
            return Err(format!("more than {MOST_REPORTED} at once"));
        }
        Ok(cost)
    }

    /// Both together.
    #[must_use]
    pub fn and(self, more: Self) -> Self {
        Self { turns: self.turns.saturating_add(more.turns), tokens: self.tokens.saturating_add(more.tokens) }
    }

    /// As the value of a header.
    pub fn to_raw(&self) -> Raw {
        Raw::of(self)
    }
}

fn read<T: DeserializeOwned>(headers: &Headers, name: &str) -> Result<Option<T>, String> {
    let value = headers.get(name).map(parse);
    value.transpose().map_err(|error| format!("the header {name} cannot be read: {error}"))
}

/// An object; an array of the members' values, which serde takes too, is none.
fn parse<T: DeserializeOwned>(value: &Raw) -> Result<T, String> {
    if !value.as_str().starts_with('{') {
        return Err("it is not an object".to_owned());
    }
    serde_json::from_slice(value.as_bytes()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(name: &str, value: &str) -> Headers {
        Headers::from_pairs([(name.to_owned(), Raw::parse(value.to_owned().into()).unwrap())])
    }

    #[test]
    fn a_budget_comes_back_as_it_was_written() {
        let budget = Budget {
            turns: Some(3),
            depth: Some(0),
            until: Some("2026-11-22T10:00:00Z".parse().unwrap()),
            ..Budget::default()
        };
        assert_eq!(budget.to_raw().as_str(), r#"{"turns":3,"depth":0,"until":"2026-11-22T10:00:00Z"}"#);
        assert_eq!(Budget::of(&headers(headers::BUDGET, budget.to_raw().as_str())), Ok(Some(budget)));
        assert_eq!(Budget::of(&headers(headers::BUDGET, "{}")), Ok(Some(Budget::default())));
        assert_eq!(Budget::of(&Headers::default()), Ok(None));
    }

    #[test]
    fn a_limit_that_cannot_be_read_is_an_error_and_not_no_limit() {
        for value in [
            r#"{"turns": -1}"#,
            r#"{"turns": 1.5}"#,
            r#"{"turns": "3"}"#,
            r#"{"tokens": 18446744073709551616}"#,
            r#"{"turn": 3}"#,
            r#"{"turns": 3, "turns": 9}"#,
            r#"{"until": "tomorrow"}"#,
            r#"{"until": 1800000000}"#,
            "[]",
            "[3]",
            "null",
            "3",
            "\"{}\"",
        ] {
            let error = Budget::of(&headers(headers::BUDGET, value)).unwrap_err();
            assert!(error.starts_with("the header x-asya-budget cannot be read: "), "{value}: {error}");
        }
        assert!(Spent::of(&headers(headers::SPENT, r#"{"tokens": -5}"#)).is_err());
    }

    #[test]
    fn costs_are_counts_that_somebody_can_have() {
        let reported = |value: &str| Spent::reported(&Raw::parse(value.to_owned().into()).unwrap());
        let (one, more) = (Spent { turns: 1, tokens: 0 }, Spent { turns: 1, tokens: 1_200 });
        assert_eq!(reported(r#"{"turns": 1}"#), Ok(one));
        assert_eq!(reported(r#"{"tokens": 1200, "turns": 1, "model": "m"}"#), Ok(more));
        for absurd in
            [r#"{"tokens": -1}"#, r#"{"tokens": 1e3}"#, r#"{"tokens": 1000000001}"#, "[1]", "7", "null"]
        {
            assert!(reported(absurd).is_err(), "{absurd}");
        }
        let full = Spent { turns: u64::MAX, tokens: u64::MAX };
        assert_eq!(full.and(more), full);
    }
}
