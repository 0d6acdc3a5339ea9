//! Headers: what travels beside the payload, and which names belong to the platform.

use std::collections::{HashMap, HashSet};

use bytes::{BufMut, BytesMut};

use crate::Raw;

/// Names that begin so are the platform's: a handler's or a client's change to them is dropped.
pub const RESERVED_PREFIX: &str = "x-asya-";
/// How many child numbers of this id are used up; absent means none.
pub const CHILDREN: &str = "x-asya-children";
/// How many times this envelope has been published by a sidecar.
pub const HOPS: &str = "x-asya-hops";
/// Which run of the producing handler made this copy (1 = first); receivers that keep state keep the highest.
pub const ATTEMPT: &str = "x-asya-attempt";
/// How many runs the actor that receives this copy has already given it: set by an end actor that sends a failed
/// envelope to where it failed, so that those runs count. The next publish takes it off.
pub const RUNS: &str = "x-asya-runs";
/// On every item of a fan-out: the groups it belongs to, innermost last (see [`crate::lineage::Part`]). Fan-in takes
/// the innermost one off.
pub const FAN: &str = "x-asya-fan";
/// On the notice that a part of a fan-out failed and will not come: why.
pub const GAP: &str = "x-asya-gap";
/// On the result of a fan-in: the parts that failed.
pub const GAPS: &str = "x-asya-gaps";
/// What the envelope may use up (see [`crate::Budget`]).
pub const BUDGET: &str = "x-asya-budget";
/// What it has used (see [`crate::Spent`]).
pub const SPENT: &str = "x-asya-spent";
/// That somebody approved what it is about to do (see [`crate::Approved`]). The next publish of a handler's answer takes
/// it off: the route may lead back to that hop with another payload.
pub const APPROVED: &str = "x-asya-approved";
/// Who asked for an envelope, as a gateway has signed it.
pub const SUBJECT: &str = "x-asya-subject";
/// What a run has used, by the handler's own word, in what it returns. Taken off and added to [`SPENT`].
pub const COST: &str = "asya-cost";
/// W3C trace context; continued by the sidecar, not by handlers.
pub const TRACEPARENT: &str = "traceparent";
/// W3C trace context, vendors' part.
pub const TRACESTATE: &str = "tracestate";

/// Up to so many headers are compared each with all others. A message of a megabyte holds a hundred thousand, for which
/// that takes half a minute.
const FEW: usize = 32;

/// The headers of an envelope in their order, values undecoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Raw)>);

impl Headers {
    /// Headers from pairs, in order; of two with the same name the last one counts.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, Raw)>) -> Self {
        let mut headers: Vec<(String, Raw)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        for (name, value) in pairs {
            if headers.len() >= FEW && places.is_empty() {
                places = headers.iter().enumerate().map(|(at, (name, _))| (name.clone(), at)).collect();
            }
            let known = match headers.len() {
                0..FEW => headers.iter().position(|(known, _)| *known == name),
                _ => places.get(&name).copied(),
            };
            match known {
                Some(at) => headers[at].1 = value,
                None => {
                    if headers.len() >= FEW {
                        places.insert(name.clone(), headers.len());
                    }
                    headers.push((name, value));
                }
            }
        }
        Self(headers)
    }

    /// The value of a header.
    pub fn get(&self, name: &str) -> Option<&Raw> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The value of a header that is a non-negative integer; anything else counts as absent.
    pub fn get_u64(&self, name: &str) -> Option<u64> {
        self.get(name).and_then(Raw::to_u64)
    }

    /// The decoded value of a header that is a string; anything else counts as absent.
    pub fn get_text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(Raw::to_text)
    }

    /// Sets a header in place, or appends it.
    pub fn set(&mut self, name: impl Into<String>, value: Raw) {
        let name = name.into();
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, slot)) => *slot = value,
            None => self.0.push((name, value)),
        }
    }

    /// Removes a header.
    pub fn remove(&mut self, name: &str) -> Option<Raw> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.remove(at).1)
    }

    /// All headers in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Raw)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v))
    }

    /// True without any header.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a handler returned, with the platform's headers of the input put back: the answer and the number of
    /// changes to platform headers that were dropped.
    #[must_use]
    pub fn merged(input: &Self, returned: Self) -> (Self, usize) {
        let ours = |headers: &Self| -> Vec<(String, Raw)> {
            headers.0.iter().filter(|(name, _)| is_platform(name)).cloned().collect()
        };
        let (kept, theirs) = (ours(input), ours(&returned));
        let came: HashMap<&str, &Raw> = kept.iter().map(|(name, value)| (&**name, value)).collect();
        let names: HashSet<&str> = theirs.iter().map(|(name, _)| &**name).collect();
        let dropped = theirs.iter().filter(|(name, value)| came.get(&**name) != Some(&value)).count()
            + kept.iter().filter(|(name, _)| !names.contains(&**name)).count();
        let others = returned.0.into_iter().filter(|(name, _)| !is_platform(name));
        (Self(others.chain(kept.iter().cloned()).collect()), dropped)
    }

    pub(crate) fn encode(&self, out: &mut BytesMut) {
        out.put_u8(b'{');
        for (i, (name, value)) in self.0.iter().enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            crate::envelope::put_json_string(out, name);
            out.put_u8(b':');
            out.put_slice(value.as_bytes());
        }
        out.put_u8(b'}');
    }

    /// The headers as a JSON object.
    pub fn to_raw(&self) -> Raw {
        let mut out = BytesMut::with_capacity(64);
        self.encode(&mut out);
        Raw::parse(out.freeze()).expect("encoded headers are valid JSON")
    }
}

/// True for headers that only the sidecar writes: `x-asya-*` and the trace context.
pub fn is_platform(name: &str) -> bool {
    name.starts_with(RESERVED_PREFIX) || name == TRACEPARENT || name == TRACESTATE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> Headers {
        Headers::from_pairs(
            pairs.iter().map(|(n, v)| ((*n).to_owned(), Raw::parse(v.to_string().into()).unwrap())),
        )
    }

    #[test]
    fn a_hundred_thousand_headers_are_read_and_merged_in_no_time() {
        let many =
            |prefix: &str| Headers::from_pairs((0..100_000).map(|n| (format!("{prefix}{n}"), Raw::of(&n))));
        let began = std::time::Instant::now();
        let (merged, dropped) = Headers::merged(&many("x-asya-"), many("x-asya-n"));
        assert_eq!((merged.iter().count(), dropped), (100_000, 200_000));
        // Pair by pair it is minutes.
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
    }

    #[test]
    fn of_two_headers_with_one_name_the_last_counts_in_the_place_of_the_first() {
        let read = headers(&[("a", "1"), ("b", "2"), ("a", "3")]);
        assert_eq!(read.iter().map(|(n, v)| (n, v.as_str())).collect::<Vec<_>>(), [("a", "3"), ("b", "2")]);
    }

    #[test]
    fn a_handler_cannot_set_change_or_drop_platform_headers() {
        let input = headers(&[("x-asya-hops", "3"), ("traceparent", "\"00-a\""), ("tenant", "\"t\"")]);
        let returned = headers(&[("x-asya-hops", "0"), ("x-asya-children", "9"), ("lang", "\"en\"")]);
        let (merged, dropped) = Headers::merged(&input, returned);
        assert_eq!(merged, headers(&[("lang", "\"en\""), ("x-asya-hops", "3"), ("traceparent", "\"00-a\"")]));
        assert_eq!(dropped, 3);
    }
}
