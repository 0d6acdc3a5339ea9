//! What is in the store.

use asya_envelope::{Envelope, Raw, report::hex_digest};
use asya_store::{Expect, Store, Write};
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use crate::actor::ActError;

/// Envelopes that wait.
pub(super) const PARKED: &str = "park_parked";
/// Events that came first.
pub(super) const EARLY: &str = "park_early";
/// What went on.
pub(super) const DONE: &str = "park_done";
/// Deadlines of all three; entries are a table's name, `:`, and a place.
pub(super) const DUE: &str = "park_due";

/// An envelope that waits.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Parked {
    pub(super) id: String,
    /// As it came, for people who look.
    pub(super) key: String,
    pub(super) envelope: Box<RawValue>,
    pub(super) until: Timestamp,
    /// A sweeper is reporting the end; until when no other one does.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(super) expiring: Option<Timestamp>,
}

/// An event that came first.
#[derive(Serialize, Deserialize)]
pub(super) struct Early {
    pub(super) id: String,
    pub(super) payload: Box<RawValue>,
    pub(super) until: Timestamp,
}

/// What went on.
#[derive(Serialize, Deserialize)]
pub(super) struct Done {
    /// Of the envelope.
    pub(super) id: String,
    /// Of the event.
    pub(super) event: String,
    pub(super) envelope: Box<RawValue>,
    pub(super) until: Timestamp,
}

/// Keys are the users' and may hold anything: a digest keeps them apart, and entries of a bounded size.
pub(super) fn place(key: &str) -> String {
    hex_digest(key.as_bytes())
}

/// The key of an entry in [`DUE`].
pub(super) fn due(table: &str, place: &str) -> String {
    format!("{table}:{place}")
}

/// A record and its version.
pub(super) async fn get<T: DeserializeOwned>(
    store: &dyn Store,
    table: &'static str,
    place: &str,
) -> Result<Option<(T, u64)>, ActError> {
    let Some(record) = store.get(table, place).await? else { return Ok(None) };
    let value = serde_json::from_slice(&record.value)
        .map_err(|error| ActError::Unfit(format!("record {table}/{place} cannot be read: {error}")))?;
    Ok(Some((value, record.version)))
}

pub(super) fn create(table: &'static str, place: &str, value: &impl Serialize) -> Write {
    put(table, place, value, None)
}

/// Writes a record whose version is `known`, or one that is not there.
pub(super) fn put(table: &'static str, place: &str, value: &impl Serialize, known: Option<u64>) -> Write {
    let value = Bytes::from(serde_json::to_vec(value).expect("a record is JSON"));
    let expect = known.map_or(Expect::Absent, Expect::Version);
    Write { table, key: place.to_owned(), value: Some(value), expect }
}

pub(super) fn delete(table: &'static str, place: &str, version: u64) -> Write {
    Write { table, key: place.to_owned(), value: None, expect: Expect::Version(version) }
}

pub(super) fn parse(envelope: &RawValue) -> Result<Envelope, ActError> {
    Envelope::parse(Bytes::copy_from_slice(envelope.get().as_bytes()))
        .map_err(|error| ActError::Unfit(error.to_string()))
}

pub(super) fn boxed(json: &[u8]) -> Box<RawValue> {
    let text = String::from_utf8(json.to_vec()).expect("JSON that was parsed is UTF-8");
    RawValue::from_string(text).expect("JSON that was parsed is JSON")
}

pub(super) fn raw(payload: &Raw) -> Box<RawValue> {
    boxed(payload.as_bytes())
}
