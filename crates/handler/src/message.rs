//! What the frames of the streaming protocol say: see docs/protocol.md.

use asya_envelope::{Envelope, Raw};
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::frame::{HEADER, PREFIX, WriteQueue};

/// First bytes of a handshake, in both directions: never the beginning of valid JSON.
pub const MAGIC: &[u8; 8] = b"\0asya/2 ";

/// Types of streaming frames.
pub mod kind {
    /// To the worker: run the handler.
    pub const REQUEST: u8 = 0x01;
    /// To the supervisor: end this request.
    pub const CANCEL: u8 = 0x02;
    /// To the supervisor: kill this worker.
    pub const KILL: u8 = 0x03;
    /// To the supervisor: no work will come any more.
    pub const SHUTDOWN: u8 = 0x04;
    /// One item of a generator.
    pub const ITEM: u8 = 0x11;
    /// The request succeeded.
    pub const RESULT: u8 = 0x12;
    /// The request failed.
    pub const ERROR: u8 = 0x13;
    /// How far it is.
    pub const PROGRESS: u8 = 0x14;
    /// A worker takes requests.
    pub const WORKER_READY: u8 = 0x21;
    /// A worker is gone.
    pub const WORKER_EXITED: u8 = 0x22;
}

/// A body that does not say what its type promises; the connection is of no use any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The body is shorter than its header.
    #[error("a body of {0} bytes has no room for a header")]
    NoHeader(usize),
    /// A section claims more bytes than there are.
    #[error("a section of {claimed} bytes in {left} bytes")]
    Section {
        /// Length that the section claims.
        claimed: usize,
        /// Bytes that are left.
        left: usize,
    },
    /// The JSON part is not what it must be.
    #[error("frame of type {kind:#04x}: {reason}")]
    Json {
        /// Type of the frame.
        kind: u8,
        /// What the parser says.
        reason: String,
    },
    /// A hello or its answer does not begin as it must.
    #[error("not a handshake")]
    NotHandshake,
}

/// What the sidecar says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Largest body that the sidecar reads.
    pub max_frame: usize,
    /// The actor's name.
    pub actor: String,
}

/// What the payload section of a request holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The envelope's payload.
    Payload,
    /// The whole envelope.
    Envelope,
}

/// How a worker runs its requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerKind {
    /// One after the other, answered in order.
    Sync,
    /// Several at a time.
    Async,
}

/// One worker, as the supervisor announces it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Never used again by the same runtime.
    pub id: u64,
    /// Process id, for logs.
    pub pid: i64,
    /// File name of its socket in the socket directory.
    pub socket: String,
}

/// The runtime's answer to [`Hello`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// Largest body that the runtime reads.
    pub max_frame: usize,
    /// What requests carry.
    pub mode: Mode,
    /// How workers run.
    pub kind: WorkerKind,
    /// Requests that an async worker runs at a time.
    pub concurrency: usize,
    /// Requests in one call of a batch handler; 1 = none.
    pub batch_max: usize,
    /// Workers that are ready.
    pub workers: Vec<WorkerInfo>,
    /// Name and version, for logs.
    #[serde(default)]
    pub runtime: String,
}

/// Body of an ERROR frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ErrorBody {
    /// Stable code.
    pub code: String,
    /// `fail`, `retry`, `drop` or `reject`; empty = `fail`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub action: String,
    /// With `retry`: when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// The reason, for a person.
    pub message: String,
    /// Bare class name of the exception.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// Qualified class names, most derived first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mro: Vec<String>,
    /// The traceback.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceback: Option<String>,
}

/// Body of a PROGRESS frame.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProgressBody {
    /// 0.0 to 1.0.
    pub fraction: f64,
    /// For a person.
    #[serde(default)]
    pub message: String,
}

/// Body of CANCEL and KILL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The worker.
    pub worker: u64,
}

/// Body of WORKER_EXITED.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// The worker.
    pub worker: u64,
    /// `killed`, `retired` or `died`; any other counts as `died`.
    pub reason: String,
    /// How, for logs.
    #[serde(default)]
    pub detail: String,
}

/// One item of an answer, or a request: what is said about it, and the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// JSON object, or empty.
    pub meta: Bytes,
    /// JSON value.
    pub payload: Bytes,
}

/// A streaming frame, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Run the handler.
    Request(u64, Part),
    /// One item of a generator.
    Item(u64, Part),
    /// The end of a request that succeeded.
    Result(u64, Vec<Part>),
    /// The end of a request that failed.
    Error(u64, ErrorBody),
    /// How far a request is.
    Progress(u64, ProgressBody),
    /// End this request.
    Cancel(u64, Target),
    /// Kill this worker.
    Kill(Target),
    /// No work will come any more: end.
    Shutdown,
    /// A worker takes requests.
    Ready(WorkerInfo),
    /// A worker is gone.
    Exited(Exited),
    /// A type that this side does not know: skipped.
    Unknown(u8),
}

impl Message {
    /// Reads the body of a frame after the handshake.
    ///
    /// # Errors
    /// [`Malformed`]: close the connection.
    pub fn parse(body: &Bytes) -> Result<Self, Malformed> {
        let Some((head, _)) = body.split_first_chunk::<HEADER>() else {
            return Err(Malformed::NoHeader(body.len()));
        };
        let kind = head[0];
        let id = u64::from_be_bytes(head[1..].try_into().expect("a header has eight bytes of id"));
        let mut rest = body.slice(HEADER..);
        Ok(match kind {
            kind::REQUEST => {
                let meta = section(&mut rest)?;
                Self::Request(id, Part { meta, payload: rest })
            }
            kind::ITEM => {
                let meta = section(&mut rest)?;
                Self::Item(id, Part { meta, payload: rest })
            }
            kind::RESULT => {
                let mut items = Vec::new();
                while !rest.is_empty() {
                    let meta = section(&mut rest)?;
                    items.push(Part { meta, payload: section(&mut rest)? });
                }
                Self::Result(id, items)
            }
            kind::ERROR => Self::Error(id, json(kind, &rest)?),
            kind::PROGRESS => Self::Progress(id, json(kind, &rest)?),
            kind::CANCEL => Self::Cancel(id, json(kind, &rest)?),
            kind::KILL => Self::Kill(json(kind, &rest)?),
            kind::SHUTDOWN => Self::Shutdown,
            kind::WORKER_READY => Self::Ready(json(kind, &rest)?),
            kind::WORKER_EXITED => Self::Exited(json(kind, &rest)?),
            other => Self::Unknown(other),
        })
    }

    /// Writes the frame.
    pub fn write(&self, out: &mut WriteQueue) {
        match self {
            Self::Request(id, part) => part_frame(out, kind::REQUEST, *id, part),
            Self::Item(id, part) => part_frame(out, kind::ITEM, *id, part),
            Self::Result(id, items) => result_frame(out, *id, items),
            Self::Error(id, body) => json_frame(out, kind::ERROR, *id, body),
            Self::Progress(id, body) => json_frame(out, kind::PROGRESS, *id, body),
            Self::Cancel(id, body) => json_frame(out, kind::CANCEL, *id, body),
            Self::Kill(body) => json_frame(out, kind::KILL, 0, body),
            Self::Shutdown => out.frame(|out| put_head(out, kind::SHUTDOWN, 0)),
            Self::Ready(body) => json_frame(out, kind::WORKER_READY, 0, body),
            Self::Exited(body) => json_frame(out, kind::WORKER_EXITED, 0, body),
            Self::Unknown(kind) => out.frame(|out| put_head(out, *kind, 0)),
        }
    }
}

/// Writes a hello or its answer as a frame.
pub fn write_handshake(out: &mut WriteQueue, body: &impl Serialize) {
    out.frame(|out| {
        out.put(MAGIC);
        out.put(&to_json(body));
    });
}

/// Reads a hello or its answer.
///
/// # Errors
/// [`Malformed`].
pub fn parse_handshake<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Malformed> {
    json(0, body.strip_prefix(MAGIC).ok_or(Malformed::NotHandshake)?)
}

/// What a request says beside its payload, for [`write_request`].
#[derive(Debug)]
pub struct RequestMeta<'a> {
    /// The envelope, at this actor.
    pub envelope: &'a Envelope,
    /// This actor.
    pub actor: &'a str,
    /// Which run, from 1.
    pub attempt: u32,
    /// How long the handler may take.
    pub timeout_ms: u64,
}

/// Writes a REQUEST frame without copying a large payload.
pub fn write_request(out: &mut WriteQueue, id: u64, meta: &RequestMeta<'_>, payload: &Bytes) {
    out.frame(|out| {
        put_head(out, kind::REQUEST, id);
        out.section(|out| meta.encode(out));
        out.put_shared(payload);
    });
}

impl RequestMeta<'_> {
    fn encode(&self, out: &mut BytesMut) {
        let envelope = self.envelope;
        out.put_slice(b"{\"id\":");
        put_text(out, &envelope.id);
        if let Some(parent) = &envelope.parent_id {
            out.put_slice(b",\"parent_id\":");
            put_text(out, parent);
        }
        out.put_slice(b",\"route\":{\"actors\":[");
        for (i, actor) in envelope.route.actors.iter().enumerate() {
            if i > 0 {
                out.put_u8(b',');
            }
            put_text(out, actor);
        }
        out.put_slice(b"],\"current\":");
        put_number(out, envelope.route.current as u64);
        for (name, value) in &envelope.route.extra {
            out.put_u8(b',');
            put_member(out, name, value);
        }
        out.put_u8(b'}');
        if !envelope.headers.is_empty() {
            out.put_slice(b",\"headers\":{");
            for (i, (name, value)) in envelope.headers.iter().enumerate() {
                if i > 0 {
                    out.put_u8(b',');
                }
                put_member(out, name, value);
            }
            out.put_u8(b'}');
        }
        if let Some(deadline) = &envelope.deadline {
            out.put_slice(b",\"deadline\":");
            out.put_slice(deadline.as_raw().as_bytes());
        }
        out.put_slice(b",\"actor\":");
        put_text(out, self.actor);
        out.put_slice(b",\"attempt\":");
        put_number(out, u64::from(self.attempt));
        out.put_slice(b",\"timeout_ms\":");
        put_number(out, self.timeout_ms);
        out.put_u8(b'}');
    }
}

fn part_frame(out: &mut WriteQueue, kind: u8, id: u64, part: &Part) {
    out.frame(|out| {
        put_head(out, kind, id);
        put_section(out, &part.meta);
        out.put_shared(&part.payload);
    });
}

fn result_frame(out: &mut WriteQueue, id: u64, items: &[Part]) {
    out.frame(|out| {
        put_head(out, kind::RESULT, id);
        for item in items {
            put_section(out, &item.meta);
            put_section(out, &item.payload);
        }
    });
}

fn json_frame(out: &mut WriteQueue, kind: u8, id: u64, body: &impl Serialize) {
    out.frame(|out| {
        put_head(out, kind, id);
        out.put(&to_json(body));
    });
}

fn put_head(out: &mut WriteQueue, kind: u8, id: u64) {
    let mut head = [kind; HEADER];
    head[1..].copy_from_slice(&id.to_be_bytes());
    out.put(&head);
}

fn put_section(out: &mut WriteQueue, content: &Bytes) {
    let length = u32::try_from(content.len()).expect("frames are capped far below 4 GiB");
    out.put(&length.to_be_bytes());
    out.put_shared(content);
}

fn put_member(out: &mut BytesMut, name: &str, value: &Raw) {
    put_text(out, name);
    out.put_u8(b':');
    out.put_slice(value.as_bytes());
}

fn put_text(out: &mut BytesMut, text: &str) {
    serde_json::to_writer(out.writer(), text).expect("a string encodes, and memory does not fail");
}

fn put_number(out: &mut BytesMut, number: u64) {
    serde_json::to_writer(out.writer(), &number).expect("a number encodes, and memory does not fail");
}

fn to_json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("the protocol's own values encode as JSON")
}

/// Takes one section off the front of `rest`.
fn section(rest: &mut Bytes) -> Result<Bytes, Malformed> {
    let Some((length, _)) = rest.split_first_chunk::<PREFIX>() else {
        return Err(Malformed::Section { claimed: PREFIX, left: rest.len() });
    };
    let claimed = u32::from_be_bytes(*length) as usize;
    let left = rest.len() - PREFIX;
    if claimed > left {
        return Err(Malformed::Section { claimed, left });
    }
    let mut content = rest.split_to(PREFIX + claimed);
    Ok(content.split_off(PREFIX))
}

fn json<'de, T: Deserialize<'de>>(kind: u8, body: &'de [u8]) -> Result<T, Malformed> {
    serde_json::from_slice(body).map_err(|error| Malformed::Json { kind, reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part() -> impl Strategy<Value = Part> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..20_000).prop_map(Bytes::from);
        (bytes(), bytes()).prop_map(|(meta, payload)| Part { meta, payload })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            id: u64,
            parts in proptest::collection::vec(part(), 0..5),
            text in ".*",
            worker: u64,
        ) {
            let mut messages = vec![Message::Result(id, parts.clone()), Message::Cancel(id, Target { worker })];
            messages.extend(parts.into_iter().map(|part| Message::Item(id, part)));
            messages.push(Message::Error(id, ErrorBody { message: text, ..ErrorBody::default() }));
            for message in messages {
                let mut out = WriteQueue::default();
                message.write(&mut out);
                let frame = out.take();
                prop_assert_eq!(frame[..PREFIX].to_vec(), ((frame.len() - PREFIX) as u32).to_be_bytes());
                prop_assert_eq!(Message::parse(&frame.slice(PREFIX..)).unwrap(), message);
            }
        }

        #[test]
        fn no_body_makes_the_parsers_panic(
            kind in prop_oneof![0_u8..0x30, any::<u8>()],
            rest in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let body: Bytes = [vec![kind], rest].concat().into();
            let _ = Message::parse(&body);
            let _ = parse_handshake::<Hello>(&body);
            let _ = parse_handshake::<HelloAnswer>(&[MAGIC, &body[..]].concat());
            let _ = crate::answer::one_shot(&body);
        }
    }
}
