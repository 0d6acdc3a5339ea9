//! JSON as clients and sidecars of the Go system know it; what is new comes behind.

use std::time::Duration;

use asya_envelope::Raw;
use asya_store::envelopes::{
    Counts, DeadLetter, Ending, NewChild, Offspring, Page, Report, Status, Step, Summary, Tracked, Update,
    codes,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::service::Error;

/// An envelope, whole.
#[derive(Debug, Serialize, ToSchema)]
pub struct Record {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_id: Option<String>,
    #[schema(value_type = super::api::envelope::Status)]
    status: Status,
    route: RouteOut,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    headers: Option<Box<RawValue>>,
    #[schema(value_type = Value)]
    payload: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    deadline: Option<Timestamp>,
    #[schema(minimum = 0, maximum = 100)]
    progress_percent: f64,
    current_actor_idx: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_actor_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    actors_completed: usize,
    total_actors: usize,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// Why it failed, as a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resubmit_of: Option<String>,
    /// How many fan-outs lead to it.
    #[serde(skip_serializing_if = "is_zero")]
    depth: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    children: Option<Family>,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// The children that fan-outs have made of an envelope.
#[derive(Debug, Serialize, ToSchema)]
pub struct Family {
    total: u64,
    running: u64,
    succeeded: u64,
    failed: u64,
    /// The newest.
    envelopes: Vec<Member>,
    /// Whether there are more.
    more: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = FamilyMember)]
struct Member {
    id: String,
    #[schema(value_type = super::api::envelope::Status)]
    status: Status,
}

impl Family {
    /// These children; `None` if there are none.
    pub fn of(counts: Counts, page: Page) -> Option<Self> {
        let Counts { pending, running, succeeded, failed, unknown } = counts;
        let running = pending + running + unknown;
        let total = running + succeeded + failed;
        let member = |child: Summary| Member { id: child.id, status: child.status };
        (total > 0).then(|| Self {
            total,
            running,
            succeeded,
            failed,
            more: page.next.is_some(),
            envelopes: page.envelopes.into_iter().map(member).collect(),
        })
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RecordRoute)]
struct RouteOut {
    actors: Vec<String>,
    current: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    metadata: Option<Box<RawValue>>,
}

impl From<Tracked> for Record {
    fn from(tracked: Tracked) -> Self {
        let Tracked { summary, metadata, headers, payload, result } = tracked;
        Self {
            id: summary.id,
            parent_id: summary.parent,
            status: summary.status,
            total_actors: summary.actors.len(),
            route: RouteOut {
                actors: summary.actors,
                current: summary.current,
                metadata: verbatim(metadata),
            },
            headers: verbatim(headers),
            payload: verbatim(payload),
            error: reported(summary.status, result.as_ref()).or(summary.error),
            result: verbatim(result),
            timeout_seconds: summary.timeout.map(|timeout| timeout.as_secs()),
            deadline: summary.deadline,
            progress_percent: summary.percent,
            current_actor_idx: summary.current,
            current_actor_name: summary.actor,
            message: summary.message,
            actors_completed: summary.completed,
            created_at: summary.created,
            updated_at: summary.updated,
            code: summary.code,
            tool: summary.tool,
            resubmit_of: summary.resubmit_of,
            depth: summary.depth,
            children: None,
        }
    }
}

impl Record {
    /// The record, with these children.
    #[must_use]
    pub fn with(self, children: Option<Family>) -> Self {
        Self { children, ..self }
    }
}

/// One thing that happened to an envelope.
#[derive(Debug, Serialize)]
pub struct UpdateOut {
    id: String,
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress_percent: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actors: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    current_actor_idx: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    envelope_state: Option<Step>,
    timestamp: Timestamp,
}

impl UpdateOut {
    /// The update; without contents for those who may not see them.
    pub fn new(update: Update, contents: bool) -> Self {
        Self {
            id: update.id,
            status: update.status,
            message: update.message,
            error: reported(update.status, update.result.as_ref()).or(update.error),
            result: verbatim(update.result).filter(|_| contents),
            progress_percent: update.percent,
            actor: update.actor,
            actors: update.actors,
            current_actor_idx: update.current,
            envelope_state: update.step,
            timestamp: update.at,
        }
    }
}

/// The error of an envelope that failed as its sidecar reported it, which clients of the Go system compare: often a word.
/// What it means to a person is the record's own.
fn reported(status: Status, result: Option<&Raw>) -> Option<String> {
    #[derive(Deserialize)]
    struct Failed {
        error: String,
        #[serde(rename = "details")]
        _details: serde::de::IgnoredAny,
    }
    let result = result.filter(|_| status == Status::Failed)?;
    serde_json::from_str::<Failed>(result.as_str()).ok().map(|failed| failed.error)
}

/// Body of `POST /envelopes`, or of our sidecars one of a list of such.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Child)]
pub struct ChildIn {
    #[schema(min_length = 1, max_length = 512)]
    id: String,
    parent_id: Option<String>,
    #[schema(min_items = 1)]
    actors: Vec<String>,
    #[serde(default)]
    current: usize,
}

impl ChildIn {
    /// The child, checked.
    ///
    /// # Errors
    /// An empty id or route.
    pub fn checked(self) -> Result<NewChild, Error> {
        if self.id.is_empty() {
            return Err(Error::invalid("id", "missing envelope id"));
        }
        if self.actors.is_empty() {
            return Err(Error::invalid("actors", "a route has at least one actor"));
        }
        let parent = self.parent_id.filter(|parent| !parent.is_empty());
        Ok(NewChild { id: self.id, parent, actors: self.actors, current: self.current })
    }
}

/// One child, or a list of them.
#[derive(ToSchema)]
#[schema(as = Children)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes what is read where it is taken")]
pub enum ChildrenIn {
    /// One.
    One(ChildIn),
    /// Some, at most 1,000.
    Many(Vec<ChildIn>),
}

/// The member `children` of reports: what is left of the fan-outs of an envelope that ends.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = Offspring)]
struct OffspringIn {
    /// First and last number of children that no fan-in joins.
    #[serde(default)]
    #[schema(value_type = Vec<(usize, usize)>)]
    open: Vec<(u64, u64)>,
    #[serde(default)]
    joined: bool,
}

impl From<OffspringIn> for Offspring {
    fn from(children: OffspringIn) -> Self {
        let OffspringIn { open, joined } = children;
        Self { open: open.into_iter().map(|(first, last)| first..=last).collect(), joined }
    }
}

/// The child that a report is about; `None`: it says nothing of a parent.
fn child(id: &str, parent: Option<&String>, actors: &[String], current: usize) -> Option<NewChild> {
    let parent = parent.filter(|parent| !parent.is_empty())?.clone();
    Some(NewChild { id: id.to_owned(), parent: Some(parent), actors: actors.to_vec(), current })
}

/// Body of `POST /envelopes/{id}/progress`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Progress)]
pub struct ProgressIn {
    #[serde(default)]
    actors: Vec<String>,
    #[serde(default)]
    current_actor_idx: usize,
    current_actor_name: Option<String>,
    #[schema(value_type = super::api::update::Step)]
    status: Step,
    message: Option<String>,
    fraction: Option<f64>,
    #[serde(default)]
    #[schema(value_type = usize, maximum = 4_294_967_295_u32)]
    attempt: u32,
    #[serde(default)]
    #[schema(value_type = usize, maximum = 4_294_967_295_u32)]
    seq: u32,
    #[schema(value_type = Option<usize>)]
    duration_ms: Option<u64>,
    message_size_kb: Option<f64>,
    parent_id: Option<String>,
    #[serde(default)]
    children: OffspringIn,
}

impl ProgressIn {
    /// The child that it is about, if it says of whom.
    pub fn child(&self, id: &str) -> Option<NewChild> {
        child(id, self.parent_id.as_ref(), &self.actors, self.current_actor_idx)
    }
}

impl From<ProgressIn> for Report {
    fn from(report: ProgressIn) -> Self {
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a size in bytes, cut at 0"
        )]
        let size = report.message_size_kb.map(|size| (size * 1024.0).max(0.0) as u64);
        Self {
            actors: report.actors,
            current: report.current_actor_idx,
            actor: filled(report.current_actor_name),
            step: report.status,
            message: filled(report.message),
            fraction: report.fraction,
            attempt: report.attempt,
            seq: report.seq,
            duration: report.duration_ms.map(Duration::from_millis),
            size,
            offspring: report.children.into(),
        }
    }
}

/// Body of `POST /envelopes/{id}/final`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Final)]
pub struct FinalIn<'a> {
    /// `succeeded` or `failed`.
    #[schema(pattern = "^(succeeded|failed)$")]
    status: String,
    #[serde(borrow)]
    #[schema(value_type = Option<Value>)]
    result: Option<&'a RawValue>,
    error: Option<String>,
    #[serde(borrow)]
    #[schema(value_type = Option<Value>)]
    error_details: Option<&'a RawValue>,
    #[serde(borrow)]
    #[schema(value_type = Option<Value>)]
    metadata: Option<&'a RawValue>,
    #[serde(default)]
    actors: Vec<String>,
    current_actor_idx: Option<usize>,
    current_actor_name: Option<String>,
    parent_id: Option<String>,
    #[serde(default)]
    children: OffspringIn,
}

impl FinalIn<'_> {
    /// The child that it is about, if it says of whom.
    pub fn child(&self, id: &str) -> Option<NewChild> {
        child(id, self.parent_id.as_ref(), &self.actors, self.current_actor_idx.unwrap_or(0))
    }

    /// What is left of its fan-outs.
    pub fn offspring(&self) -> Offspring {
        self.children.clone().into()
    }

    /// The end that it reports.
    ///
    /// # Errors
    /// A status that is not final.
    pub fn ending(self) -> Result<Ending, Error> {
        #[derive(Deserialize)]
        struct Stored {
            s3_uri: Option<String>,
        }
        #[derive(Deserialize)]
        struct Details {
            code: Option<String>,
        }
        match self.status.as_str() {
            "succeeded" => Ok(Ending::Succeeded {
                result: self.result.map(raw),
                stored_at: self
                    .metadata
                    .and_then(|metadata| serde_json::from_str::<Stored>(metadata.get()).ok())
                    .and_then(|stored| stored.s3_uri),
            }),
            "failed" => Ok(Ending::Failed {
                error: self.error.unwrap_or_else(|| codes::UNKNOWN.to_owned()),
                code: self
                    .error_details
                    .and_then(|details| serde_json::from_str::<Details>(details.get()).ok())
                    .and_then(|details| details.code),
                details: self.error_details.map(raw),
                actor: self.current_actor_name.filter(|actor| !actor.is_empty()),
                current: self.current_actor_idx,
                actors: self.actors,
            }),
            other => Err(Error::invalid("status", format!("status {other:?} must be succeeded or failed"))),
        }
    }
}

/// Body of `POST /envelopes/{id}/dead-letter`.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = Letter)]
pub struct LetterIn<'a> {
    id: String,
    actor: String,
    code: String,
    #[serde(default)]
    error: String,
    #[serde(default)]
    #[schema(value_type = usize, maximum = 4_294_967_295_u32)]
    attempts: u32,
    #[schema(value_type = String, format = DateTime)]
    since: Timestamp,
    #[serde(borrow)]
    #[schema(value_type = Option<Value>)]
    detail: Option<&'a RawValue>,
    /// The error envelope, verbatim.
    #[serde(borrow)]
    #[schema(value_type = Value)]
    envelope: &'a RawValue,
}

impl LetterIn<'_> {
    /// The letter of `envelope`.
    pub fn letter(self, envelope: String) -> DeadLetter {
        DeadLetter {
            id: self.id,
            envelope,
            actor: self.actor,
            code: self.code,
            error: self.error,
            attempts: self.attempts,
            body: raw(self.envelope).as_bytes().clone(),
            detail: self.detail.map(raw),
            since: self.since,
            replayed_as: None,
            replayed: None,
        }
    }
}

fn raw(value: &RawValue) -> Raw {
    Raw::parse(bytes::Bytes::copy_from_slice(value.get().as_bytes())).expect("it was parsed as JSON")
}

/// A value as it stands.
pub(super) fn verbatim(value: Option<Raw>) -> Option<Box<RawValue>> {
    value.map(|raw| RawValue::from_string(raw.as_str().to_owned()).expect("a Raw holds JSON"))
}
