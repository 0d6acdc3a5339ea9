//! What a handler is given, and what it gives back.

use std::time::Duration;

use asya_envelope::{
    Headers, Raw, Route,
    envelope::{parse_headers, parse_route},
};
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;

use super::{Error, outlet::Outlet};
use crate::{Code, Item, message::Part};

/// One run of a handler: the payload, what is known about it, and ways to answer before the end.
#[derive(Debug)]
pub struct Call {
    pub(super) payload: Raw,
    /// JSON object with the members of a REQUEST's metadata.
    pub(super) meta: Bytes,
    pub(super) outlet: Outlet,
}

/// What is known about a call beside its payload.
#[derive(Clone, Debug)]
pub struct CallMeta {
    /// The envelope's id.
    pub id: String,
    /// The id that it was made from, if it is a part of a fan-out.
    pub parent_id: Option<String>,
    /// The envelope's route, at this actor.
    pub route: Route,
    /// Its headers.
    pub headers: Headers,
    /// RFC 3339 instant after which nobody wants the result.
    pub deadline: Option<String>,
    /// This actor.
    pub actor: String,
    /// Which run it is, from 1.
    pub attempt: u32,
    /// How long it may take.
    pub timeout: Duration,
}

#[derive(Deserialize)]
struct RawMeta<'a> {
    id: String,
    parent_id: Option<String>,
    #[serde(borrow)]
    route: &'a RawValue,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
    deadline: Option<String>,
    #[serde(default)]
    actor: String,
    #[serde(default = "first")]
    attempt: u32,
    #[serde(default)]
    timeout_ms: u64,
}

fn first() -> u32 {
    1
}

impl Call {
    /// The payload, undecoded.
    pub fn payload(&self) -> &Raw {
        &self.payload
    }

    /// The payload, decoded.
    ///
    /// # Errors
    /// A validation failure, which is not retried, when it does not fit `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(self.payload.as_bytes()).map_err(|error| Error::Failed {
            code: Code::Validation,
            message: format!("the payload does not fit: {error}"),
            type_name: std::any::type_name::<T>().replace("::", "."),
        })
    }

    /// Id, route, headers and the rest. Decoded on each call, because most handlers do not ask.
    ///
    /// # Errors
    /// A parse failure when the sidecar sent something else.
    pub fn meta(&self) -> Result<CallMeta, Error> {
        let wrong = |message: String| Error::Failed {
            code: Code::Parsing,
            message,
            type_name: "asya_handler.ProtocolError".to_owned(),
        };
        let meta: RawMeta<'_> = serde_json::from_slice(&self.meta).map_err(|e| wrong(e.to_string()))?;
        let part = |value: &RawValue| {
            Raw::parse(self.meta.slice_ref(value.get().as_bytes())).expect("a RawValue is valid JSON")
        };
        let headers = meta.headers.map(|headers| parse_headers(&part(headers))).transpose();
        Ok(CallMeta {
            route: parse_route(&part(meta.route)).map_err(|e| wrong(e.to_string()))?,
            headers: headers.map_err(|e| wrong(e.to_string()))?.unwrap_or_default(),
            id: meta.id,
            parent_id: meta.parent_id,
            deadline: meta.deadline,
            actor: meta.actor,
            attempt: meta.attempt,
            timeout: Duration::from_millis(meta.timeout_ms),
        })
    }

    /// Sends one item on at once, before the end; waits while the sidecar is busy. Items count from the first yield to
    /// the last item of the result.
    pub async fn send(&self, item: Item) {
        self.outlet.send(part_of(&item)).await;
    }

    /// Says how far the handler is, 0.0 to 1.0. May be dropped.
    pub fn progress(&self, fraction: f64, message: impl Into<String>) {
        self.outlet.progress(fraction, message.into());
    }
}

/// The result of a handler: zero or more items.
#[derive(Debug, Default)]
pub struct Output(pub Vec<Item>);

impl Output {
    /// One item: any value that encodes as JSON.
    ///
    /// # Errors
    /// An invalid result when it does not encode.
    pub fn json(value: &impl Serialize) -> Result<Self, Error> {
        Ok(Self(vec![Item::payload(encoded(value)?)]))
    }

    /// One item for each value: a fan-out.
    ///
    /// # Errors
    /// An invalid result when one does not encode.
    pub fn json_each<T: Serialize>(values: impl IntoIterator<Item = T>) -> Result<Self, Error> {
        values
            .into_iter()
            .map(|value| Ok(Item::payload(encoded(&value)?)))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl From<()> for Output {
    fn from((): ()) -> Self {
        Self::default()
    }
}

impl From<Raw> for Output {
    fn from(payload: Raw) -> Self {
        Self(vec![Item::payload(payload)])
    }
}

impl From<Item> for Output {
    fn from(item: Item) -> Self {
        Self(vec![item])
    }
}

impl From<Vec<Item>> for Output {
    fn from(items: Vec<Item>) -> Self {
        Self(items)
    }
}

fn encoded(value: &impl Serialize) -> Result<Raw, Error> {
    let invalid = |error: serde_json::Error| Error::Failed {
        code: Code::InvalidResult,
        message: format!("the result cannot be written as JSON: {error}"),
        type_name: "serde_json.Error".to_owned(),
    };
    Raw::parse(serde_json::to_vec(value).map_err(invalid)?.into()).map_err(invalid)
}

/// The sections that an item is sent as.
pub(super) fn part_of(item: &Item) -> Part {
    let mut meta = BytesMut::new();
    if item.route.is_some() || item.headers.is_some() {
        let mut members = Vec::new();
        if let Some(route) = &item.route {
            members.push(("route", route.to_raw()));
        }
        if let Some(headers) = &item.headers {
            members.push(("headers", headers_raw(headers)));
        }
        put_object(&mut meta, members.iter().map(|(name, value)| (*name, value)));
    }
    Part { meta: meta.freeze(), payload: item.payload.as_bytes().clone() }
}

pub(super) fn headers_raw(headers: &Headers) -> Raw {
    let mut out = BytesMut::new();
    put_object(&mut out, headers.iter());
    Raw::parse(out.freeze()).expect("an object of raw values is valid JSON")
}

/// Writes a JSON object of members that are JSON already.
pub(super) fn put_object<'a>(out: &mut BytesMut, members: impl Iterator<Item = (&'a str, &'a Raw)>) {
    out.extend_from_slice(b"{");
    for (index, (name, value)) in members.enumerate() {
        if index > 0 {
            out.extend_from_slice(b",");
        }
        out.extend_from_slice(Raw::of(&name).as_bytes());
        out.extend_from_slice(b":");
        out.extend_from_slice(value.as_bytes());
    }
    out.extend_from_slice(b"}");
}
