//! The envelope: parse and encode.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};
use serde::{
    Deserialize, Serialize,
    de::{Deserializer, IgnoredAny, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::{Deadline, Headers, Raw, Route};

/// What travels from queue to queue. Its JSON form is the contract with every publisher and runtime:
/// `{"id", "parent_id"?, "route", "headers"?, "payload", "deadline"?}` and whatever else was in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// Identity over the envelope's whole life; never empty.
    pub id: String,
    /// On fan-out children: the id they were made from.
    pub parent_id: Option<String>,
    /// Where it goes and where it is.
    pub route: Route,
    /// What travels beside the payload; written only if there are any.
    pub headers: Headers,
    /// The user's data, undecoded.
    pub payload: Raw,
    /// Until when it is worth handling.
    pub deadline: Option<Deadline>,
    /// Unknown members in their order, as they came.
    pub extra: Vec<(String, Raw)>,
}

/// Why a message body is not an envelope. The text goes into the error envelope, as a reason a person reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not JSON at all, or more than one value.
    #[error("Failed to parse message: {0}")]
    NotJson(String),
    /// Valid JSON of another type.
    #[error("Failed to parse message: expected a JSON object, got {0}")]
    NotObject(&'static str),
    /// A required member is not there.
    #[error("Envelope missing required '{0}' field")]
    Missing(&'static str),
    /// A member has the wrong type or value.
    #[error("Envelope field '{field}' {reason}")]
    Wrong {
        /// Path of the member.
        field: &'static str,
        /// What it must be.
        reason: String,
    },
}

impl ParseError {
    /// The stable code of every parse error, the same that runtimes use.
    pub const CODE: &'static str = "msg_parsing_error";
}

impl Envelope {
    /// A new envelope without headers.
    pub fn new(id: impl Into<String>, route: Route, payload: Raw) -> Self {
        Self {
            id: id.into(),
            parent_id: None,
            route,
            headers: Headers::default(),
            payload,
            deadline: None,
            extra: Vec::new(),
        }
    }

    /// Reads a message body. The payload, headers and unknown members are kept as slices of `body`.
    ///
    /// # Errors
    /// [`ParseError`], which names the first member that is missing or wrong.
    pub fn parse(body: Bytes) -> Result<Self, ParseError> {
        let members = members(&body, "")?;
        let mut fields = Fields::default();
        for (name, value) in members {
            let slot = match name.as_str() {
                "id" => &mut fields.id,
                "parent_id" => &mut fields.parent_id,
                "route" => &mut fields.route,
                "headers" => &mut fields.headers,
                "payload" => &mut fields.payload,
                "deadline" => &mut fields.deadline,
                _ => {
                    fields.extra.push((name, value));
                    continue;
                }
            };
            // Of a member written twice the last one counts, as in Go and Python.
            *slot = Some(value);
        }
        fields.check()
    }

    /// Writes the message body.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(self.payload.as_bytes().len() + 256);
        out.put_slice(b"{\"id\":");
        put_json_string(&mut out, &self.id);
        if let Some(parent) = &self.parent_id {
            out.put_slice(b",\"parent_id\":");
            put_json_string(&mut out, parent);
        }
        out.put_slice(b",\"route\":");
        self.route.encode(&mut out);
        if !self.headers.is_empty() {
            out.put_slice(b",\"headers\":");
            self.headers.encode(&mut out);
        }
        out.put_slice(b",\"payload\":");
        out.put_slice(self.payload.as_bytes());
        if let Some(deadline) = &self.deadline {
            out.put_slice(b",\"deadline\":");
            out.put_slice(deadline.as_raw().as_bytes());
        }
        put_members(&mut out, &self.extra);
        out.put_u8(b'}');
        out.freeze()
    }
}

/// The id that a body carries although it is not a valid envelope, so that its error can be found under it.
pub fn salvage_id(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    serde_json::from_slice::<Id>(body).ok().map(|found| found.id).filter(|id| !id.is_empty())
}

/// Reads a JSON object as route; used for envelopes and for what handlers return.
///
/// # Errors
/// [`ParseError`] that names the member.
pub fn parse_route(raw: &Raw) -> Result<Route, ParseError> {
    let wrong = |field, reason: &str| ParseError::Wrong { field, reason: reason.to_owned() };
    let mut route = Route::new(Vec::<String>::new());
    let mut seen_actors = false;
    for (name, value) in members(raw.as_bytes(), "route")? {
        match name.as_str() {
            "actors" => {
                route.actors = serde_json::from_slice(value.as_bytes())
                    .map_err(|_| wrong("route.actors", "must be a list of strings"))?;
                seen_actors = true;
            }
            "current" => {
                route.current = serde_json::from_slice(value.as_bytes())
                    .map_err(|_| wrong("route.current", "must be a non-negative integer"))?;
            }
            _ => route.extra.push((name, value)),
        }
    }
    if !seen_actors {
        return Err(ParseError::Missing("route.actors"));
    }
    if route.actors.is_empty() {
        return Err(wrong("route.actors", "must not be empty"));
    }
    if route.current > route.actors.len() {
        let reason = format!("is {}, but the route has {} actors", route.current, route.actors.len());
        return Err(wrong("route.current", &reason));
    }
    Ok(route)
}

/// Reads a JSON object as headers.
///
/// # Errors
/// [`ParseError`] when it is not an object.
pub fn parse_headers(raw: &Raw) -> Result<Headers, ParseError> {
    Ok(Headers::from_pairs(members(raw.as_bytes(), "headers")?))
}

#[derive(Default)]
struct Fields {
    id: Option<Raw>,
    parent_id: Option<Raw>,
    route: Option<Raw>,
    headers: Option<Raw>,
    payload: Option<Raw>,
    deadline: Option<Raw>,
    extra: Vec<(String, Raw)>,
}

impl Fields {
    fn check(self) -> Result<Envelope, ParseError> {
        let present = |value: Option<Raw>| value.filter(|raw| !raw.is_null());
        let text = |field, raw: Raw| {
            raw.to_text().ok_or_else(|| ParseError::Wrong { field, reason: "must be a string".to_owned() })
        };
        let id = text("id", present(self.id).ok_or(ParseError::Missing("id"))?)?;
        if id.is_empty() {
            return Err(ParseError::Missing("id"));
        }
        let route = parse_route(&present(self.route).ok_or(ParseError::Missing("route"))?)?;
        let payload = self.payload.ok_or(ParseError::Missing("payload"))?;
        let deadline = present(self.deadline)
            .map(|raw| Deadline::parse(raw).map_err(|reason| ParseError::Wrong { field: "deadline", reason }))
            .transpose()?;
        Ok(Envelope {
            id,
            parent_id: present(self.parent_id).map(|raw| text("parent_id", raw)).transpose()?,
            route,
            headers: present(self.headers).map(|raw| parse_headers(&raw)).transpose()?.unwrap_or_default(),
            payload,
            deadline,
            extra: self.extra,
        })
    }
}

/// The members of the JSON object in `body`, values shared with it. `field` is its path, empty for the whole message.
fn members(body: &Bytes, field: &'static str) -> Result<Vec<(String, Raw)>, ParseError> {
    struct Members<'a>(&'a Bytes);
    impl<'de> Visitor<'de> for Members<'_> {
        type Value = Vec<(String, Raw)>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::with_capacity(6);
            while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                members.push((name, Raw::slice_of(self.0, value)));
            }
            Ok(members)
        }
    }
    let mut parser = serde_json::Deserializer::from_slice(body);
    let found =
        (&mut parser).deserialize_map(Members(body)).and_then(|members| parser.end().map(|()| members));
    found.map_err(|error| match (type_name(body), field) {
        (Some("object") | None, _) => ParseError::NotJson(error.to_string()),
        (Some(other), "") => ParseError::NotObject(other),
        (Some(_), field) => ParseError::Wrong { field, reason: "must be an object".to_owned() },
    })
}

/// The JSON type of `body`; `None` when it is not valid JSON.
fn type_name(body: &[u8]) -> Option<&'static str> {
    serde_json::from_slice::<IgnoredAny>(body).ok()?;
    Some(match body.iter().find(|b| !b.is_ascii_whitespace())? {
        b'{' => "object",
        b'[' => "a list",
        b'"' => "a string",
        b't' | b'f' => "a boolean",
        b'n' => "null",
        _ => "a number",
    })
}

pub(crate) fn put_json(out: &mut BytesMut, value: &impl Serialize) {
    serde_json::to_writer(out.writer(), value).expect("numbers and strings encode, and memory does not fail");
}

pub(crate) fn put_json_string(out: &mut BytesMut, text: &str) {
    put_json(out, &text);
}

pub(crate) fn put_members(out: &mut BytesMut, members: &[(String, Raw)]) {
    for (name, value) in members {
        out.put_u8(b',');
        put_json_string(out, name);
        out.put_u8(b':');
        out.put_slice(value.as_bytes());
    }
}
