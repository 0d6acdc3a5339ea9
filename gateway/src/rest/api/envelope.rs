//! Envelopes as JSON.

use std::time::Duration;

use asya_envelope::{Headers, Raw};
use asya_store::envelopes::{self, Summary};
use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{SeqAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};
use utoipa::ToSchema;

use super::{Refusal, input::present};
use crate::{
    rest::wire::verbatim,
    service::{
        hops::{self, HopStatus},
        look::Whole,
        send::{Draft, Edits, Extras},
    },
    tools::tool::MAX_TIMEOUT,
};

/// How far an envelope is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Stored, not sent yet.
    Pending,
    /// On its way; also when its own part has succeeded and children of it have not ended.
    Running,
    /// It reached `happy-end` and so did its children, or a handler let it go (then without a result).
    Succeeded,
    /// It reached `error-end`, was cancelled (code `cancelled`), its deadline has passed, or one of its children failed.
    Failed,
    /// Not known: taken over from another database.
    Unknown,
}

impl From<envelopes::Status> for Status {
    fn from(status: envelopes::Status) -> Self {
        match status {
            envelopes::Status::Pending => Self::Pending,
            envelopes::Status::Running => Self::Running,
            envelopes::Status::Succeeded => Self::Succeeded,
            envelopes::Status::Failed => Self::Failed,
            envelopes::Status::Unknown => Self::Unknown,
        }
    }
}

/// What lists show of an envelope. What is not known is missing.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct EnvelopeSummary {
    /// Its id.
    #[schema(example = "01939d2b-7c1f-7d3a-9a51-6f1e8b0c2d4e")]
    pub id: String,
    /// On fan-out children: the id they were made from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// How far it is.
    pub status: Status,
    /// Why it failed, as a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "timeout")]
    pub code: Option<String>,
    /// Why it failed, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What happened last, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The actors of its route.
    #[schema(example = json!(["split", "read"]))]
    pub actors: Vec<String>,
    /// Index of the actor where it is, or where it ended.
    pub current: usize,
    /// Name of that actor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// How many actors have handled it.
    pub completed: usize,
    /// 0 to 100; never goes down.
    #[schema(minimum = 0, maximum = 100)]
    pub percent: f64,
    /// Which run of the handler was reported last; 0 if unknown.
    pub attempt: u32,
    /// The tool that was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Who sent it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// The namespace whose sidecars may report on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The envelope that this one is another try of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resubmit_of: Option<String>,
    /// How long it may take, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
    /// When it fails unless it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub deadline: Option<Timestamp>,
    /// When it was stored.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// When it changed last.
    #[schema(value_type = String, format = DateTime)]
    pub updated: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended: Option<Timestamp>,
}

impl From<Summary> for EnvelopeSummary {
    fn from(summary: Summary) -> Self {
        Self {
            id: summary.id,
            parent: summary.parent,
            status: summary.status.into(),
            code: summary.code,
            error: summary.error,
            message: summary.message,
            actors: summary.actors,
            current: summary.current,
            actor: summary.actor,
            completed: summary.completed,
            percent: summary.percent,
            attempt: summary.attempt,
            tool: summary.tool,
            sender: summary.sender,
            namespace: summary.namespace,
            resubmit_of: summary.resubmit_of,
            timeout_seconds: summary.timeout.map(|timeout| timeout.as_secs()),
            deadline: summary.deadline,
            created: summary.created,
            updated: summary.updated,
            ended: summary.ended,
        }
    }
}

/// An envelope, whole.
#[derive(Debug, Serialize, ToSchema)]
pub struct Envelope {
    /// What lists show too.
    #[serde(flatten)]
    pub summary: EnvelopeSummary,
    /// Whether `payload`, `result` and `headers` are shown: who asks has the role `payload`.
    pub contents: bool,
    /// What was sent. Missing on fan-out children, whose payload the gateway has not seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub payload: Option<Box<RawValue>>,
    /// What came out, once it has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub result: Option<Box<RawValue>>,
    /// Its headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub headers: Option<Box<RawValue>>,
    /// `route.metadata`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Value>)]
    pub metadata: Option<Box<RawValue>>,
    /// How many of its fan-out children are in each state.
    pub children: Counts,
    /// The actors it has been at, in order.
    pub hops: Vec<Hop>,
}

impl From<Whole> for Envelope {
    fn from(whole: Whole) -> Self {
        let Whole { tracked, contents, children, hops } = whole;
        let shown = |content: Option<Raw>| verbatim(content.filter(|_| contents));
        Self {
            summary: tracked.summary.into(),
            contents,
            payload: shown(tracked.payload),
            result: shown(tracked.result),
            headers: shown(tracked.headers),
            metadata: verbatim(tracked.metadata),
            children: children.into(),
            hops: hops.into_iter().map(Hop::from).collect(),
        }
    }
}

/// One actor that an envelope has been at.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Hop {
    /// The actor.
    pub actor: String,
    /// Its place in the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current: Option<usize>,
    /// The first report from there.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Timestamp,
    /// The end of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Timestamp>,
    /// How long the handler took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Runs of the handler.
    pub attempts: u32,
    /// How far it is.
    pub status: HopStatus,
}

impl From<hops::Hop> for Hop {
    fn from(hop: hops::Hop) -> Self {
        let millis = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self {
            actor: hop.actor,
            current: hop.current,
            started_at: hop.started,
            ended_at: hop.ended,
            duration_ms: hop.duration.map(millis),
            attempts: hop.attempts,
            status: hop.status,
        }
    }
}

/// How many envelopes are in each state.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Counts {
    /// Stored, not sent yet.
    pub pending: u64,
    /// On their way.
    pub running: u64,
    /// Ended well.
    pub succeeded: u64,
    /// Ended badly.
    pub failed: u64,
    /// Taken over without a state.
    pub unknown: u64,
}

impl From<envelopes::Counts> for Counts {
    fn from(counts: envelopes::Counts) -> Self {
        let envelopes::Counts { pending, running, succeeded, failed, unknown } = counts;
        Self { pending, running, succeeded, failed, unknown }
    }
}

/// A page of envelopes, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct EnvelopePage {
    /// The envelopes.
    pub envelopes: Vec<EnvelopeSummary>,
    /// What `after` of the next page is; `null` on the last one.
    pub next: Option<String>,
}

/// An envelope to be sent.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"route": ["split", "read"], "payload": {"page": 1}, "timeout_seconds": 60}))]
pub struct NewEnvelope {
    /// Its id; made when there is none. Sending it again changes nothing.
    #[schema(min_length = 1, max_length = 256)]
    id: Option<String>,
    /// Actors in order.
    route: Route,
    /// The data.
    #[schema(value_type = Value)]
    payload: Box<RawValue>,
    /// Headers. Names that begin with `x-asya-` are dropped.
    #[serde(default)]
    #[schema(value_type = Object)]
    headers: Map<String, Value>,
    /// How long it may take, in seconds; without limit when there is none.
    #[schema(minimum = 1, maximum = 2_592_000)]
    timeout_seconds: Option<u64>,
}

impl NewEnvelope {
    /// The draft that it is, on the trace of its request.
    pub(super) fn draft(self, extras: Extras) -> Result<Draft, Refusal> {
        let headers = self.headers.into_iter().map(|(name, value)| (name, Raw::of(&value)));
        Ok(Draft {
            route: self.route.0,
            payload: raw(&self.payload),
            timeout: self.timeout_seconds.map(timeout).transpose()?,
            extras: Extras { id: self.id, headers: Headers::from_pairs(headers), ..extras },
        })
    }
}

fn timeout(seconds: u64) -> Result<Duration, Refusal> {
    let timeout = Duration::from_secs(seconds);
    if timeout.is_zero() || timeout > MAX_TIMEOUT {
        let longest = MAX_TIMEOUT.as_secs();
        return Err(Refusal::field("timeout_seconds", format!("a timeout has 1 to {longest} seconds")));
    }
    Ok(timeout)
}

/// What an envelope that is sent again gets instead of what the first one had.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Changed {
    /// Other data.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Value>)]
    payload: Option<Box<RawValue>>,
    /// Other actors.
    route: Option<Route>,
    /// Index of the actor to begin with.
    current: Option<usize>,
}

impl From<Changed> for Edits {
    fn from(changed: Changed) -> Self {
        Self {
            payload: changed.payload.as_deref().map(raw),
            route: changed.route.map(|route| route.0),
            current: changed.current,
        }
    }
}

/// Actors in order: a list of names, or a text with commas between them.
#[derive(Debug, PartialEq, Eq)]
pub struct Route(pub Vec<String>);

/// Actors in order: a list of names, or a text with commas between them.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[allow(dead_code, reason = "it describes Route")]
enum RouteSchema {
    /// Names.
    #[schema(example = json!(["split", "read"]))]
    List(Vec<String>),
    /// Names with commas between them.
    #[schema(example = "split,read")]
    Text(String),
}

impl utoipa::PartialSchema for Route {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        RouteSchema::schema()
    }
}

impl ToSchema for Route {}

impl<'de> Deserialize<'de> for Route {
    fn deserialize<D: Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = Route;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of actors, or their names with commas between them")
            }

            fn visit_str<E>(self, text: &str) -> Result<Route, E> {
                Ok(Route(text.split(',').map(|name| name.trim().to_owned()).collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Route, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(Route(names))
            }
        }
        value.deserialize_any(Names)
    }
}

/// A value as it stands.
pub(super) fn raw(value: &RawValue) -> Raw {
    Raw::parse(bytes::Bytes::copy_from_slice(value.get().as_bytes())).expect("it was parsed as JSON")
}

/// What sending answers.
#[derive(Debug, Serialize, ToSchema)]
pub struct Handle {
    /// Id of the envelope.
    #[schema(example = "01939d2b-7c1f-7d3a-9a51-6f1e8b0c2d4e")]
    pub id: String,
    /// Where it is looked at.
    #[schema(example = "/api/v1/envelopes/01939d2b-7c1f-7d3a-9a51-6f1e8b0c2d4e")]
    pub status_url: String,
    /// Where it is followed.
    #[schema(example = "/api/v1/envelopes/01939d2b-7c1f-7d3a-9a51-6f1e8b0c2d4e/events")]
    pub stream_url: String,
}

impl Handle {
    /// The handle of this envelope.
    pub fn new(id: String) -> Self {
        let status_url = format!("/api/v1/envelopes/{}", encoded(&id));
        Self { stream_url: format!("{status_url}/events"), status_url, id }
    }
}

/// An id as a segment of a path.
fn encoded(id: &str) -> String {
    use std::fmt::Write;
    let mut text = String::with_capacity(id.len());
    for byte in id.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte.into());
        } else {
            // Writing to a string does not fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}
