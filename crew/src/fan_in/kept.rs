//! What is in the store.

use asya_envelope::{Envelope, lineage::Part, report::hex_digest};
use asya_store::{Expect, Store, Write};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{actor::ActError, gap::Gap};

/// Groups, by the digest of their name.
pub(super) const GROUPS: &str = "fan_in_groups";
/// Parts of open groups, key = group, `#`, index.
pub(super) const PARTS: &str = "fan_in_parts";
/// Deadlines of groups: of open ones when they are given up, of the others when they are forgotten.
pub(super) const DUE: &str = "fan_in_due";

/// A group, and what has become of it.
#[derive(Default, Serialize, Deserialize)]
pub(super) struct Group {
    /// How many parts there are, once item 0 has come.
    pub(super) count: Option<u64>,
    /// How many have come.
    pub(super) have: u64,
    /// The joined envelope, and the index of the part that completed it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) done: Option<Done>,
    /// As of its entry in [`DUE`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) until: Option<Timestamp>,
    /// The part that came first, without its payload: what an end is made of when item 0 never comes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) like: Option<Box<RawValue>>,
    /// A sweeper is giving it up; until when no other one does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) expiring: Option<Timestamp>,
    /// It was given up; which parts had come, as ranges from the first to behind the last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) closed: Option<Vec<(u64, u64)>>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Done {
    pub(super) by: u64,
    pub(super) envelope: Box<RawValue>,
}

/// One part, as it is kept.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    /// Of item 0 the whole envelope: the joined one is made from it, because only item 0 carries the id, the parent
    /// and the count of used child numbers of what was fanned out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) gap: Option<Gap>,
}

impl Group {
    /// True if a part with this index came before the group was given up.
    pub(super) fn came(ranges: &[(u64, u64)], index: u64) -> bool {
        ranges.iter().any(|(first, behind)| (*first..*behind).contains(&index))
    }
}

/// Indices in order, as ranges.
pub(super) fn ranges(indices: impl Iterator<Item = u64>) -> Vec<(u64, u64)> {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for index in indices {
        match ranges.last_mut() {
            Some((_, behind)) if *behind == index => *behind += 1,
            _ => ranges.push((index, index + 1)),
        }
    }
    ranges
}

/// Ids are the clients' and may hold any character: a digest keeps the keys of two groups apart.
pub(super) fn group_key(part: &Part) -> String {
    hex_digest(part.group.as_bytes())
}

/// Zero-padded, so that the order of keys is the order of parts.
pub(super) fn part_key(group: &str, index: u64) -> String {
    format!("{group}#{index:06}")
}

/// A group and its version.
pub(super) async fn group(store: &dyn Store, key: &str) -> Result<Option<(Group, u64)>, ActError> {
    let Some(record) = store.get(GROUPS, key).await? else { return Ok(None) };
    Ok(Some((decode(&record.value)?, record.version)))
}

/// The kept parts of a group, in order.
pub(super) async fn parts(store: &dyn Store, group: &str, limit: u64) -> Result<Vec<(u64, Kept)>, ActError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut all = Vec::new();
    for record in store.list(PARTS, &format!("{group}#"), limit).await? {
        let index = record.key.rsplit_once('#').and_then(|(_, index)| index.parse().ok());
        all.push((index.ok_or_else(|| broken(&record.key))?, decode(&record.value)?));
    }
    Ok(all)
}

pub(super) fn put(table: &'static str, key: String, value: &impl Serialize, expect: Expect) -> Write {
    let value = serde_json::to_vec(value).expect("state is valid JSON");
    Write { table, key, value: Some(Bytes::from(value)), expect }
}

pub(super) fn delete(table: &'static str, key: String, expect: Expect) -> Write {
    Write { table, key, value: None, expect }
}

fn decode<T: for<'a> Deserialize<'a>>(value: &[u8]) -> Result<T, ActError> {
    serde_json::from_slice(value).map_err(|error| ActError::Unfit(format!("broken state: {error}")))
}

pub(super) fn parse(envelope: &RawValue) -> Result<Envelope, ActError> {
    Envelope::parse(Bytes::copy_from_slice(envelope.get().as_bytes()))
        .map_err(|error| ActError::Unfit(error.to_string()))
}

pub(super) fn boxed(json: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8(json.to_vec()).expect("JSON that was parsed is UTF-8");
    RawValue::from_string(text).expect("JSON that was parsed is JSON")
}

pub(super) fn broken(what: &str) -> ActError {
    ActError::Unfit(format!("the kept parts of {what} cannot be read"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_parts_have_come_is_kept_as_ranges() {
        let kept = ranges([0, 1, 2, 5, 7, 8].into_iter());
        assert_eq!(kept, [(0, 3), (5, 6), (7, 9)]);
        let came: Vec<_> = (0..10).filter(|index| Group::came(&kept, *index)).collect();
        assert_eq!(came, [0, 1, 2, 5, 7, 8]);
    }
}
