//! Joins the parts of a fan-out into one envelope.
//!
//! Each part is kept until all have come: as many as item 0 says there are, failed ones (see [`crate::gap`]) included.
//! Then one envelope goes on: the id that was fanned out, the payloads of the parts in order as a list, and the failed
//! parts in the header [`headers::GAPS`].
//!
//! States of a group, each change a compare-and-set of its record together with the part's:
//! - open (`done` absent): a part that is not known is kept; the last one to come makes it done.
//! - done: the joined envelope is kept for [`KEEP_DONE`], because where queue and store are not one transaction the part
//!   that completed the group may be delivered again, and then it must be sent again. Any other part is a redelivery
//!   and ends here.

use std::{sync::Arc, time::Duration};

use asya_envelope::{
    Envelope, Raw, headers,
    lineage::{self, Part},
    report::hex_digest,
};
use asya_handler::{End, Fate, Request};
use asya_store::{Expect, Store, Write};
use bytes::{BufMut, Bytes, BytesMut};
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    InProcess,
    actor::{Act, ActError},
    gap::Gap,
    record::{RESULTS, Recorder, Status},
};

/// Groups: count, number of parts so far, and the joined envelope once done.
const GROUPS: &str = "fan_in_groups";
/// Parts of open groups, key = group, `#`, index.
const PARTS: &str = "fan_in_parts";
/// Done groups by time, so that they can be forgotten.
const DONE: &str = "fan_in_done";
/// How long a joined envelope is kept for a redelivery of its last part.
const KEEP_DONE: Duration = Duration::from_secs(60 * 60);
/// Done groups that are forgotten each time another is done: more than one, so that the backlog shrinks.
const FORGET_AT_ONCE: usize = 8;
/// Most parts of one group: keeps the joined envelope, and the memory to make it, bounded.
const MAX_PARTS: u64 = 100_000;

/// Joins the parts of fan-outs.
pub struct FanIn {
    store: Arc<dyn Store>,
    recorder: Recorder,
}

#[derive(Default, Serialize, Deserialize)]
struct Group {
    /// How many parts there are, once item 0 has come.
    count: Option<u64>,
    /// How many have come.
    have: u64,
    /// The joined envelope, and the index of the part that completed it.
    done: Option<Done>,
}

#[derive(Serialize, Deserialize)]
struct Done {
    by: u64,
    envelope: Box<RawValue>,
}

/// One part, as it is kept.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    /// Of item 0 the whole envelope: the joined one is made from it, because only item 0 carries the id, the parent
    /// and the count of used child numbers of what was fanned out.
    #[serde(skip_serializing_if = "Option::is_none")]
    first: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gap: Option<Gap>,
}

impl FanIn {
    /// The actor, keeping its parts in `store`. Parts of one group exclude each other, so it does one at a time.
    #[allow(clippy::new_ret_no_self, reason = "the names of the actors are what users look for")]
    pub fn new(store: Arc<dyn Store>) -> InProcess<Self> {
        InProcess::new(Self::recording(store.clone(), Recorder::Tables(store)), 1)
    }

    /// What joins, not yet an actor: parts that went into a joined envelope are recorded by `recorder`.
    pub fn recording(store: Arc<dyn Store>, recorder: Recorder) -> Self {
        Self { store, recorder }
    }

    async fn join(&self, envelope: &Envelope, body: &Bytes) -> Result<End, ActError> {
        let mut parts = lineage::parts_of(&envelope.headers);
        let Some(part) = parts.pop() else {
            return Err(ActError::Unfit(format!(
                "envelope {:?} is not part of a fan-out: a fan-in joins what an earlier actor of the route split",
                envelope.id
            )));
        };
        if part.index >= MAX_PARTS || part.count.is_some_and(|count| count > MAX_PARTS) {
            return Err(ActError::Unfit(format!("a fan-in joins at most {MAX_PARTS} parts")));
        }
        let group_key = group_key(&part.group);
        let record = self.store.get(GROUPS, &group_key).await?;
        let expect = record.as_ref().map_or(Expect::Absent, |record| Expect::Version(record.version));
        let mut group: Group = decode(record.map(|record| record.value).as_deref())?.unwrap_or_default();
        if let Some(done) = &group.done {
            if done.by != part.index {
                tracing::warn!(
                    id = envelope.id,
                    "part of a fan-out that is joined already: a redelivery, or an id that was used twice"
                );
            }
            let again = (done.by == part.index).then(|| parse(&done.envelope)).transpose()?;
            return Ok(platform(again.into_iter().collect(), Vec::new()));
        }
        if self.store.get(PARTS, &part_key(&group_key, part.index)).await?.is_some() {
            return Ok(platform(Vec::new(), Vec::new()));
        }
        let gap =
            envelope.headers.get(headers::GAP).and_then(|raw| serde_json::from_slice(raw.as_bytes()).ok());
        let kept = Kept {
            first: (part.index == 0).then(|| boxed(&envelope.encode())),
            payload: gap.is_none().then(|| boxed(envelope.payload.as_bytes())),
            gap,
        };
        group.have += 1;
        group.count = group.count.or(part.count);
        let mut writes = match part.index {
            0 => Vec::new(),
            _ if kept.gap.is_some() => Vec::new(),
            _ => self.recorder.record(RESULTS, &envelope.id, Status::Joined, envelope, body).await?.writes,
        };
        let mut envelopes = Vec::new();
        let all = match group.count {
            Some(count) if group.have >= count => self.all(&group_key, &part, &kept, count).await?,
            _ => None,
        };
        if let Some((count, all)) = group.count.zip(all) {
            let joined = joined(&group_key, all, count, &parts, &mut writes)?;
            group.done = Some(Done { by: part.index, envelope: boxed(&joined.encode()) });
            self.forget(&group_key, &mut writes).await?;
            envelopes.push(joined);
        } else {
            writes.push(put(PARTS, part_key(&group_key, part.index), &kept, Expect::Absent));
        }
        writes.push(put(GROUPS, group_key, &group, expect));
        Ok(platform(envelopes, writes))
    }

    /// Every part of a group that is complete with the one in hand, in order; `None` if one is missing. A generator that
    /// failed half-way and ran again may have sent more than it says now: what is beyond the count does not complete it.
    async fn all(
        &self,
        group: &str,
        part: &Part,
        kept: &Kept,
        count: u64,
    ) -> Result<Option<Vec<(u64, Kept)>>, ActError> {
        let limit = usize::try_from(MAX_PARTS).unwrap_or(usize::MAX);
        let mut all = Vec::new();
        for record in self.store.list(PARTS, &format!("{group}#"), limit).await? {
            let index = record.key.rsplit_once('#').and_then(|(_, index)| index.parse().ok());
            let kept = decode(Some(&record.value))?.ok_or_else(|| broken(&record.key))?;
            all.push((index.ok_or_else(|| broken(&record.key))?, kept));
        }
        all.push((part.index, kept.clone()));
        all.sort_by_key(|(index, _)| *index);
        let wanted = all.iter().filter(|(index, _)| *index < count).count();
        Ok((wanted as u64 == count).then_some(all))
    }

    /// Notes that a group is done, and forgets some that were done long ago.
    async fn forget(&self, group: &str, writes: &mut Vec<Write>) -> Result<(), ActError> {
        let now = Timestamp::now();
        let key = format!("{:013}/{group}", now.as_millisecond());
        writes.push(put(DONE, key, &(), Expect::Anything));
        for record in self.store.list(DONE, "", FORGET_AT_ONCE).await? {
            let Some((at, old)) = record.key.split_once('/') else { continue };
            let age = now.as_millisecond() - at.parse::<i64>().unwrap_or(0);
            if u128::try_from(age).unwrap_or(0) > KEEP_DONE.as_millis() {
                writes.push(Write {
                    table: GROUPS,
                    key: old.to_owned(),
                    value: None,
                    expect: Expect::Anything,
                });
                writes.push(Write { table: DONE, key: record.key, value: None, expect: Expect::Anything });
            }
        }
        Ok(())
    }
}

impl Act for FanIn {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { self.join(&request.envelope, &request.body).await })
    }
}

/// Makes the envelope that goes on, and deletes the parts it was made of.
fn joined(
    group: &str,
    all: Vec<(u64, Kept)>,
    count: u64,
    outer: &[Part],
    writes: &mut Vec<Write>,
) -> Result<Envelope, ActError> {
    for (index, _) in &all {
        let key = part_key(group, *index);
        writes.push(Write { table: PARTS, key, value: None, expect: Expect::Anything });
    }
    let first = all.iter().find_map(|(_, kept)| kept.first.as_deref()).ok_or_else(|| broken(group))?;
    let mut joined = parse(first)?;
    joined.route = joined.route.advanced();
    joined.headers.remove(headers::GAP);
    set_or_remove(&mut joined, headers::FAN, (!outer.is_empty()).then(|| Raw::of(&outer)));

    let mut gaps = Vec::new();
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
    joined.payload = Raw::parse(list.freeze()).map_err(|_| broken(group))?;
    set_or_remove(&mut joined, headers::GAPS, (!gaps.is_empty()).then(|| Raw::of(&gaps)));
    Ok(joined)
}

fn set_or_remove(envelope: &mut Envelope, name: &str, value: Option<Raw>) {
    match value {
        Some(value) => envelope.headers.set(name, value),
        None => drop(envelope.headers.remove(name)),
    }
}

fn platform(envelopes: Vec<Envelope>, writes: Vec<Write>) -> End {
    End::Platform { envelopes, writes, fate: Fate::GoesOn }
}

/// Ids are the clients' and may hold any character: a digest keeps the keys of two groups apart.
fn group_key(group: &str) -> String {
    hex_digest(group.as_bytes())
}

/// Zero-padded, so that the order of keys is the order of parts.
fn part_key(group: &str, index: u64) -> String {
    format!("{group}#{index:06}")
}

fn put(table: &'static str, key: String, value: &impl Serialize, expect: Expect) -> Write {
    let value = serde_json::to_vec(value).expect("state is valid JSON");
    Write { table, key, value: Some(Bytes::from(value)), expect }
}

fn decode<T: for<'a> Deserialize<'a>>(value: Option<&[u8]>) -> Result<Option<T>, ActError> {
    value
        .map(|value| serde_json::from_slice(value).map_err(|e| ActError::Unfit(format!("broken state: {e}"))))
        .transpose()
}

fn parse(envelope: &RawValue) -> Result<Envelope, ActError> {
    Envelope::parse(Bytes::copy_from_slice(envelope.get().as_bytes()))
        .map_err(|e| ActError::Unfit(e.to_string()))
}

fn boxed(json: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8(json.to_vec()).expect("JSON that was parsed is UTF-8");
    RawValue::from_string(text).expect("JSON that was parsed is JSON")
}

fn broken(what: &str) -> ActError {
    ActError::Unfit(format!("the kept parts of {what} cannot be read"))
}
