//! What is to be told, and what was: written down in the commit that acknowledges the change.
//!
//! One record per sink and finding says what the sink was told last; of changes that come again, late or out of order only
//! those that say something new become entries. Entries of a sink are in the order of time. Who sends for a sink has
//! claimed it, so that two processes do not send the same. A message of somebody stands in the same order, and that it was
//! taken is remembered in the same way.

use std::{sync::Arc, time::Duration};

use asya_analysis::{Change, Sequence, Severity, message::Told};
use asya_store::{Expect, Record, Store, StoreError, Write, due::Due};
use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    batch::{Batch, Waiting},
    message::Message,
    sink::Sink,
};
use crate::{
    actor::ActError,
    analysis::key,
    deadlines::{Ending, Step, later},
};

/// What is to be told, by sink, time and finding.
const OUTBOX: &str = "analysis_outbox";
/// What of it cannot be read, under the same keys.
const UNREADABLE: &str = "analysis_outbox_unreadable";
/// What was told last, by sink and finding; and which messages were taken, by sink, nothing and id.
const TOLD: &str = "analysis_told";
/// When it is forgotten that something is well.
pub(super) const FORGET: &str = "analysis_told_due";
/// Who sends for a sink.
const CLAIMS: &str = "analysis_sinks";
/// How long it is remembered that a sink was told that something is well: an older change must not break it again. And that
/// a message was taken, whose delivery may come again.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);
/// How much longer than one try a sink is claimed.
const CLAIM: Duration = Duration::from_secs(10);
/// A claim that does not last for one try and this much is renewed.
const RENEW: Duration = Duration::from_secs(5);

/// What happened, for the one who is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum News {
    Opened,
    Changed,
    Resolved,
    /// An explanation that comes after its change.
    Explained,
}

impl News {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Changed => "changed",
            Self::Resolved => "resolved",
            Self::Explained => "explained",
        }
    }
}

/// What a sink was told last of a finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Last {
    sequence: Sequence,
    fingerprint: String,
    severity: Option<Severity>,
    /// Whether it believes that something is wrong.
    open: bool,
    /// Whether it was told why.
    explained: bool,
    /// When the change was taken.
    at: Timestamp,
}

/// Something that is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    /// Its key.
    #[serde(skip)]
    pub(super) key: String,
    /// When it was written down.
    pub(super) at: Timestamp,
    /// What happened.
    pub(super) news: News,
    /// To what, and why.
    pub(super) told: Told,
}

/// The writes by which a sink will be told of a change; none if it says nothing new.
pub(super) async fn enter(
    store: &dyn Store,
    sink: &Sink,
    told: &Told,
    now: Timestamp,
) -> Result<Vec<Write>, ActError> {
    let finding = &told.transition.finding;
    let finding_key = key(&finding.cluster, &finding.object);
    let place = format!("{}/{finding_key}", sink.name);
    let (last, version) = match store.get(TOLD, &place).await? {
        Some(record) => (serde_json::from_slice::<Last>(&record.value).ok(), Some(record.version)),
        None => (None, None),
    };
    let open = last.as_ref().is_some_and(|last| last.open);
    let seen = last.as_ref().is_some_and(|last| last.sequence >= finding.sequence);
    let mut next = Last {
        sequence: finding.sequence,
        fingerprint: finding.fingerprint.clone(),
        severity: finding.severity(),
        open: true,
        explained: told.explanation.is_some(),
        at: now,
    };
    let news = match (told.transition.change, &last) {
        // The explanation of what was told before.
        (Change::Opened | Change::Changed, Some(last)) if seen => {
            let same = last.sequence == finding.sequence && last.open && !last.explained;
            if !(told.late && same && sink.late) {
                return Ok(Vec::new());
            }
            Some(News::Explained)
        }
        (Change::Opened | Change::Changed, last) => {
            let known = last.as_ref().filter(|last| last.open);
            let same = known
                .is_some_and(|last| last.fingerprint == next.fingerprint && next.severity <= last.severity);
            if same || !sink.wants(finding) {
                // What was told stays what was told; only what is older than this is no news any more.
                next.open = open;
                if let Some(last) = last {
                    next.explained |= last.explained;
                    (next.fingerprint, next.severity) = (last.fingerprint.clone(), last.severity);
                }
                None
            } else if open {
                Some(News::Changed)
            } else {
                Some(News::Opened)
            }
        }
        (Change::Resolved, _) if seen => return Ok(Vec::new()),
        (Change::Resolved, _) => {
            next.open = false;
            (open && sink.resolved).then_some(News::Resolved)
        }
        _ => return Ok(Vec::new()),
    };
    let mut writes = vec![put(TOLD, &place, &next, version.map_or(Expect::Absent, Expect::Version))?];
    if !next.open {
        writes.push(Due::enter(FORGET, later(now, KEEP).into(), &place));
    }
    if let Some(news) = news {
        let millis = now.as_millisecond().max(0);
        let key = format!("{}/{millis:013}/{finding_key}/{}", sink.name, news.as_str());
        let entry = Entry { key: key.clone(), at: now, news, told: told.clone() };
        writes.push(put(OUTBOX, &key, &entry, Expect::Anything)?);
    }
    Ok(writes)
}

/// A message in the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// Its key.
    #[serde(skip)]
    pub(super) key: String,
    /// What it says.
    pub(super) message: Message,
}

/// That a message was taken.
#[derive(Serialize)]
struct Taken {
    at: Timestamp,
}

/// The writes by which a sink will be told this; none if it was taken before.
pub(super) async fn enter_message(
    store: &dyn Store,
    sink: &Sink,
    message: Message,
) -> Result<Vec<Write>, ActError> {
    let (name, at) = (&sink.name, message.at);
    // No cluster has an empty name: no finding has such a key.
    let place = format!("{name}//{}", message.id);
    if store.get(TOLD, &place).await?.is_some() {
        return Ok(Vec::new());
    }
    let key = format!("{name}/{:013}//{}", at.as_millisecond().max(0), message.id);
    Ok(vec![
        put(TOLD, &place, &Taken { at }, Expect::Absent)?,
        Due::enter(FORGET, later(at, KEEP).into(), &place),
        put(OUTBOX, &key, &Note { key: key.clone(), message }, Expect::Anything)?,
    ])
}

/// What is told next of the oldest entries of a sink. One that cannot be read is set aside: it must not hold up those
/// behind it for ever.
pub(super) async fn oldest(store: &dyn Store, sink: &str, most: usize) -> Result<Option<Batch>, ActError> {
    let mut waiting = Vec::new();
    for record in store.list(OUTBOX, &format!("{sink}/"), most).await? {
        match serde_json::from_slice::<Entry>(&record.value) {
            Ok(entry) => waiting.push(Waiting::Change(Box::new(Entry { key: record.key, ..entry }))),
            Err(error) => match serde_json::from_slice::<Note>(&record.value) {
                Ok(note) => waiting.push(Waiting::Message(Box::new(Note { key: record.key, ..note }))),
                Err(_) => {
                    tracing::error!(sink, key = record.key, %error, "never told: it cannot be read, and is kept in {UNREADABLE}");
                    set_aside(store, record).await?;
                }
            },
        }
    }
    Ok(Batch::of(waiting, most))
}

async fn set_aside(store: &dyn Store, record: Record) -> Result<(), ActError> {
    let Record { key, value, version } = record;
    let kept = Write { table: UNREADABLE, key: key.clone(), value: Some(value), expect: Expect::Anything };
    let gone = Write { table: OUTBOX, key, value: None, expect: Expect::Version(version) };
    match store.commit(vec![kept, gone]).await {
        // Another process was faster.
        Ok(()) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Takes the entries of these keys out that were told, or cannot be; `release` is given back, where nothing more waits.
pub(super) async fn remove(
    store: &dyn Store,
    keys: Vec<String>,
    release: Option<Claimed<'_>>,
) -> Result<(), ActError> {
    let gone = |key| Write { table: OUTBOX, key, value: None, expect: Expect::Anything };
    let told: Vec<_> = keys.into_iter().map(gone).collect();
    let Some(Claimed { sink, version }) = release else { return Ok(store.commit(told).await?) };
    let (table, key, expect) = (CLAIMS, sink.to_owned(), Expect::Version(version));
    let released = told.iter().cloned().chain([Write { table, key, value: None, expect }]);
    match store.commit(released.collect()).await {
        Ok(()) => Ok(()),
        // It has run out, and somebody else has the sink: theirs to give back.
        Err(StoreError::Conflict { .. }) => Ok(store.commit(told).await?),
        Err(error) => Err(error.into()),
    }
}

/// Who sends for a sink, until when.
#[derive(Serialize, Deserialize)]
struct Claim {
    by: u64,
    until: Timestamp,
}

/// A sink that was claimed, and the version of the claim: another one is somebody else's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimed<'a> {
    sink: &'a str,
    version: u64,
}

/// Claims a sink for `by` for longer than one try, or renews the claim; none: somebody else has it.
pub(super) async fn claim<'a>(
    store: &dyn Store,
    sink: &'a Sink,
    by: u64,
) -> Result<Option<Claimed<'a>>, ActError> {
    let (name, now) = (sink.name.as_str(), Timestamp::now());
    let after = |more: Duration| later(now, sink.timeout + more);
    let claimed = |version: u64| Some(Claimed { sink: name, version });
    let (expect, version) = match store.get(CLAIMS, name).await? {
        None => (Expect::Absent, 1),
        Some(record) => {
            let claim: Option<Claim> = serde_json::from_slice(&record.value).ok();
            match claim {
                Some(claim) if claim.by == by && claim.until > after(RENEW) => {
                    return Ok(claimed(record.version));
                }
                Some(claim) if claim.by != by && claim.until > now => return Ok(None),
                _ => (Expect::Version(record.version), record.version + 1),
            }
        }
    };
    let claim = Claim { by, until: after(CLAIM) };
    match store.commit(vec![put(CLAIMS, name, &claim, expect)?]).await {
        Ok(()) => Ok(claimed(version)),
        Err(StoreError::Conflict { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn put(table: &'static str, key: &str, value: &impl Serialize, expect: Expect) -> Result<Write, ActError> {
    let value = serde_json::to_vec(value).map_err(|error| ActError::Unfit(error.to_string()))?;
    Ok(Write { table, key: key.to_owned(), value: Some(Bytes::from(value)), expect })
}

/// Forgets what has been well for long enough, and messages.
pub(super) struct Forget(pub(super) Arc<dyn Store>);

impl Ending for Forget {
    fn end<'a>(&'a self, due: &'a Due, now: Timestamp) -> BoxFuture<'a, Result<Step, ActError>> {
        Box::pin(async move {
            let Some(record) = self.0.get(TOLD, &due.key).await? else { return Ok(Step::End(Vec::new())) };
            let last: Option<Last> = serde_json::from_slice(&record.value).ok();
            match last {
                // Broken again: it is entered anew when it is well.
                Some(last) if last.open => Ok(Step::End(Vec::new())),
                Some(last) if later(last.at, KEEP) > now => Ok(Step::Taken(later(last.at, KEEP))),
                // A message is taken once, and its time is up.
                _ => {
                    let (key, expect) = (due.key.clone(), Expect::Version(record.version));
                    Ok(Step::End(vec![Write { table: TOLD, key, value: None, expect }]))
                }
            }
        })
    }
}
