//! From parts to the one envelope that goes on.

use asya_envelope::{
    Envelope, Raw, headers,
    lineage::{self, Part},
};
use asya_store::{Expect, Write};
use bytes::{BufMut, BytesMut};

use super::kept::{self, Group, Kept, PARTS};
use crate::{actor::ActError, gap::Gap};

/// Parts that are named at most of those that had not come: the header of 100,000 would be no message any more.
const MAX_NAMED: usize = 100;

/// The envelope that goes on when `count` parts have come.
pub(super) fn whole(
    group: &str,
    all: Vec<(u64, Kept)>,
    count: u64,
    outer: &[Part],
) -> Result<Envelope, ActError> {
    let first = all.iter().find_map(|(_, kept)| kept.first.as_deref());
    let mut joined = kept::parse(first.ok_or_else(|| kept::broken(group))?)?;
    joined.route = joined.route.advanced();
    filled(joined, group, all, count, Vec::new(), outer)
}

/// What has come of a group until its deadline, still at the fan-in, and how many parts are missing, where that is
/// known.
pub(super) fn partial(
    group: &str,
    open: &Group,
    all: Vec<(u64, Kept)>,
    actor: &str,
) -> Result<(Envelope, Option<u64>), ActError> {
    let first = all.iter().find_map(|(_, kept)| kept.first.as_deref());
    let from = first.or(open.like.as_deref()).ok_or_else(|| kept::broken(group))?;
    let mut envelope = kept::parse(from)?;
    let mut outer = lineage::parts_of(&envelope.headers);
    let part = outer.pop().ok_or_else(|| kept::broken(group))?;
    if first.is_none() {
        part.id().clone_into(&mut envelope.id);
        envelope.parent_id = None;
    }
    // Without item 0 nobody knows how many there are: those up to the last one that has come, at least.
    let behind = all.last().map_or(0, |(index, _)| index + 1);
    let count = open.count.unwrap_or(behind);
    let have = all.iter().filter(|(index, _)| *index < count).count() as u64;
    let came = kept::ranges(all.iter().map(|(index, _)| *index));
    let absent = (0..count).filter(|index| !Group::came(&came, *index)).take(MAX_NAMED);
    let missing = absent.map(|index| missing(&part, index, actor)).collect();
    let envelope = filled(envelope, group, all, count, missing, &outer)?;
    Ok((envelope, open.count.map(|count| count.saturating_sub(have))))
}

fn missing(part: &Part, index: u64, actor: &str) -> Gap {
    let used = part.group.rsplit_once('/').and_then(|(_, used)| used.parse::<u64>().ok()).unwrap_or(0);
    let id = match index {
        0 => part.id().to_owned(),
        index => lineage::child_id(part.id(), used.saturating_add(index)),
    };
    let message = "it had not come when the group's time was over".to_owned();
    Gap { id, index, code: super::EXPIRED.to_owned(), message, actor: actor.to_owned() }
}

/// The envelope with the payloads in order, and the gaps in its header.
fn filled(
    mut joined: Envelope,
    group: &str,
    all: Vec<(u64, Kept)>,
    count: u64,
    mut gaps: Vec<Gap>,
    outer: &[Part],
) -> Result<Envelope, ActError> {
    joined.headers.remove(headers::GAP);
    joined.headers.remove(super::TIMEOUT);
    set_or_remove(&mut joined, headers::FAN, (!outer.is_empty()).then(|| Raw::of(&outer)));
    let mut list = BytesMut::from(&b"["[..]);
    for (_, kept) in all.into_iter().filter(|(index, _)| *index < count) {
        if let Some(payload) = kept.payload {
            if list.len() > 1 {
                list.put_u8(b',');
            }
            list.put_slice(payload.get().as_bytes());
        }
        gaps.extend(kept.gap);
    }
    list.put_u8(b']');
    gaps.sort_by_key(|gap| gap.index);
    joined.payload = Raw::parse(list.freeze()).map_err(|_| kept::broken(group))?;
    set_or_remove(&mut joined, headers::GAPS, (!gaps.is_empty()).then(|| Raw::of(&gaps)));
    Ok(joined)
}

/// The writes that delete the kept parts of a group.
pub(super) fn forgotten<'a>(
    group: &'a str,
    indices: impl Iterator<Item = u64> + 'a,
) -> impl Iterator<Item = Write> + 'a {
    indices.map(|index| kept::delete(PARTS, kept::part_key(group, index), Expect::Anything))
}

fn set_or_remove(envelope: &mut Envelope, name: &str, value: Option<Raw>) {
    match value {
        Some(value) => envelope.headers.set(name, value),
        None => drop(envelope.headers.remove(name)),
    }
}
