//! How envelopes ended: their records and those of their fan-out children.

use std::{sync::Arc, time::Duration};

use asya_crew::{ERRORS, RESULTS, Record, Status};
use asya_envelope::{Envelope, headers};
use asya_store::Store;
use bytes::Bytes;
use futures::future::BoxFuture;
use serde::Serialize;
use serde_json::value::RawValue;

/// How often records are looked for: not felt by a person, and cheap.
const PERIOD: Duration = Duration::from_millis(100);
/// Envelopes that are looked for at each turn, so that waiting for many does not read the file all the time.
const AT_ONCE: usize = 256;

/// The end of one envelope.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Ended {
    pub(crate) id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) parent_id: Option<String>,
    pub(crate) status: &'static str,
    pub(crate) at: String,
    /// The result; absent for what failed or was joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) payload: Option<Box<RawValue>>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<Why>,
}

/// Why an envelope failed.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Why {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) actor: String,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) type_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) traceback: Option<String>,
}

impl Ended {
    pub(crate) fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        match (&self.error, &self.payload) {
            (Some(why), _) => {
                let name = why.type_name.as_ref().map_or_else(String::new, |name| format!("{name}: "));
                // A part that failed before it was joined is told like any other: its id says what it was.
                format!("{} failed at {}: {}: {name}{}", self.id, why.actor, why.code, why.message)
            }
            (None, Some(payload)) => format!("{} {}: {}", self.id, self.status, payload.get()),
            (None, None) => format!("{} {}", self.id, self.status),
        }
    }
}

/// The ends of an envelope and of all its children; `None` while one of them is still on its way.
pub(crate) fn ends(store: &dyn Store, id: String) -> BoxFuture<'_, anyhow::Result<Option<Vec<Ended>>>> {
    Box::pin(async move {
        let Some((ended, children)) = end(store, &id).await? else { return Ok(None) };
        let mut all = vec![ended];
        // Item 0 of a fan-out that failed is recorded beside the id, which lives on in the joined result.
        if let Some((part, _)) = end(store, &format!("{id}#part-0")).await? {
            all.push(part);
        }
        for number in 1..=children {
            match ends(store, asya_envelope::lineage::child_id(&id, number)).await? {
                Some(more) => all.extend(more),
                None => return Ok(None),
            }
        }
        Ok(Some(all))
    })
}

/// The record of one envelope, and how many children it had.
pub(crate) async fn end(store: &dyn Store, id: &str) -> anyhow::Result<Option<(Ended, u64)>> {
    for table in [RESULTS, ERRORS] {
        if let Some(record) = store.get(table, id).await? {
            return Ok(Some(read(id, &record.value)?));
        }
    }
    Ok(None)
}

/// Reads a record.
pub(crate) fn read(id: &str, value: &[u8]) -> anyhow::Result<(Ended, u64)> {
    let record: Record = serde_json::from_slice(value)?;
    let status = match record.status {
        Status::Succeeded => "succeeded",
        Status::Failed => "failed",
        Status::Joined => "joined",
        Status::PartFailed => "part_failed",
    };
    let at = record.at.to_string();
    let mut ended = Ended { id: id.to_owned(), parent_id: None, status, at, payload: None, error: None };
    let Some(raw) = record.envelope else { return Ok((ended, 0)) };
    let envelope = Envelope::parse(Bytes::from(raw.get().to_owned()))?;
    let children = envelope.headers.get_u64(headers::CHILDREN).unwrap_or(0);
    ended.parent_id = envelope.parent_id;
    if matches!(record.status, Status::Failed | Status::PartFailed) {
        ended.error = Some(why(envelope.payload.as_bytes()));
    } else {
        ended.payload = RawValue::from_string(envelope.payload.as_str().to_owned()).ok();
    }
    Ok((ended, children))
}

fn why(payload: &[u8]) -> Why {
    let payload: serde_json::Value = serde_json::from_slice(payload).unwrap_or_default();
    let details = &payload["details"];
    let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    Why {
        code: text(&details["code"])
            .or_else(|| text(&payload["error"]))
            .unwrap_or_else(|| "failed".to_owned()),
        message: text(&details["message"]).or_else(|| text(&payload["error"])).unwrap_or_default(),
        actor: text(&details["actor"]).unwrap_or_else(|| "an actor".to_owned()),
        type_name: text(&details["type"]),
        traceback: text(&details["traceback"]),
    }
}

/// Waits until all of `ids` have ended with all their children, and hands each over as it does.
pub(crate) async fn follow(
    store: Arc<dyn Store>,
    mut ids: Vec<String>,
    mut each: impl FnMut(Vec<Ended>),
) -> anyhow::Result<()> {
    while !ids.is_empty() {
        let mut waiting = Vec::new();
        for id in ids.drain(..ids.len().min(AT_ONCE)) {
            match ends(&*store, id.clone()).await? {
                Some(ended) => each(ended),
                None => waiting.push(id),
            }
        }
        if waiting.is_empty() {
            continue;
        }
        // Those that are looked for next are the ones that have not been looked for longest.
        ids.append(&mut waiting);
        tokio::time::sleep(PERIOD).await;
    }
    Ok(())
}
