//! From an answer to the payload that goes on.

use std::fmt;

use asya_envelope::Raw;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hyper::header::{self, HeaderName};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::value::RawValue;

use super::client::Answer;

/// What is shown of the body of a failure.
const EXCERPT: usize = 300;

/// `{"status", "headers", "body"}`, with `body_base64` instead of `body` for what is neither JSON nor text.
#[derive(Serialize)]
struct Payload<'a> {
    status: u16,
    headers: Members<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// Members of an object in their order.
struct Members<'a>(Vec<(String, std::borrow::Cow<'a, RawValue>)>);

/// The answer as a payload; `names` are the headers that are wanted.
pub(super) fn payload(answer: &Answer, names: &[HeaderName]) -> Raw {
    let (body, body_base64) = body(answer);
    Raw::of(&Payload { status: answer.status.as_u16(), headers: headers(answer, names), body, body_base64 })
}

/// The answer as the member `field` of the payload that was handled, in its place if there is one.
///
/// # Errors
/// A sentence, if the payload is no object.
pub(super) fn within(payload: &Raw, field: &str, answer: &Raw) -> Result<Raw, String> {
    let mut members: Members<'_> = serde_json::from_slice(payload.as_bytes())
        .map_err(|_| "the payload is no object, so ASYA_HTTP_ANSWER_FIELD has no place".to_owned())?;
    let answer = std::borrow::Cow::Owned(raw(answer.as_str()));
    match members.0.iter_mut().find(|(name, _)| name == field) {
        Some((_, slot)) => *slot = answer,
        None => members.0.push((field.to_owned(), answer)),
    }
    Ok(Raw::of(&members))
}

/// The beginning of an answer's body, for a person.
pub(crate) fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(EXCERPT)]).trim().to_owned()
}

/// JSON as it is, if it is called so; other text as a string; the rest as base64. Nothing is `null`.
fn body(answer: &Answer) -> (Option<Box<RawValue>>, Option<String>) {
    if answer.body.is_empty() {
        return (Some(raw("null")), None);
    }
    let kind = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if kind.is_some_and(is_json)
        && let Ok(value) = serde_json::from_slice::<Box<RawValue>>(&answer.body)
    {
        return (Some(value), None);
    }
    match std::str::from_utf8(&answer.body) {
        Ok(text) => (Some(encoded(text)), None),
        Err(_) => (None, Some(STANDARD.encode(&answer.body))),
    }
}

/// Whether a content type is JSON, or something written in it.
pub(crate) fn is_json(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    kind == "application/json" || kind == "text/json" || kind.ends_with("+json")
}

fn headers<'a>(answer: &Answer, names: &[HeaderName]) -> Members<'a> {
    let wanted = names.iter().filter_map(|name| {
        let values: Vec<_> = answer.headers.get_all(name).iter().collect();
        let text: Vec<_> = values.iter().map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
        let value = || std::borrow::Cow::Owned(encoded(&text.join(", ")));
        (!values.is_empty()).then(|| (name.to_string(), value()))
    });
    Members(wanted.collect())
}

fn encoded(text: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(text).expect("a text is JSON")
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("JSON that was parsed is JSON")
}

/// The body of a request from a value of the payload: what is not sent as JSON and is a string is sent as its text.
pub(super) fn request_body(json: &str, content_type: &str) -> Bytes {
    if !is_json(content_type)
        && let Ok(text) = serde_json::from_str::<String>(json)
    {
        return text.into();
    }
    Bytes::copy_from_slice(json.as_bytes())
}

impl Serialize for Members<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, &**value)?;
        }
        map.end()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((name, std::borrow::Cow::Borrowed(value)));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

#[cfg(test)]
mod tests {
    use hyper::{HeaderMap, StatusCode, header::HeaderValue};

    use super::*;

    fn answer(kind: &'static str, body: &'static [u8]) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.append("x-a", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_static("2"));
        Answer { status: StatusCode::OK, headers, body: Bytes::from_static(body), whole: true }
    }

    fn body(kind: &'static str, body: &'static [u8]) -> String {
        payload(&answer(kind, body), &[]).as_str().to_owned()
    }

    #[test]
    fn json_stays_as_it_was_written_and_text_becomes_a_string() {
        let start = r#"{"status":200,"headers":{},"body"#;
        assert_eq!(
            body("application/json; charset=utf-8", br#"{"n":1.00}"#),
            format!("{start}\":{{\"n\":1.00}}}}")
        );
        assert_eq!(body("application/problem+json", b"[1]"), format!("{start}\":[1]}}"));
        assert_eq!(body("application/json", b"no json"), format!("{start}\":\"no json\"}}"));
        assert_eq!(body("text/plain", b"[1]"), format!("{start}\":\"[1]\"}}"));
        assert_eq!(body("application/json", b""), format!("{start}\":null}}"));
        assert_eq!(body("image/png", b"\xff\x00"), format!("{start}_base64\":\"/wA=\"}}"));
    }

    #[test]
    fn only_the_headers_that_are_wanted_are_kept() {
        let wanted = [HeaderName::from_static("x-a"), HeaderName::from_static("x-b")];
        let payload = payload(&answer("text/plain", b"x"), &wanted);
        assert!(payload.as_str().contains(r#""headers":{"x-a":"1, 2"}"#), "{}", payload.as_str());
    }

    #[test]
    fn an_answer_takes_its_place_in_the_payload_and_the_rest_stays() {
        let object = |text: &'static str| Raw::parse(Bytes::from_static(text.as_bytes())).unwrap();
        let new = within(&object(r#"{"b":1.0,"a":2,"z":3}"#), "a", &object("[7]")).unwrap();
        assert_eq!(new.as_str(), r#"{"b":1.0,"a":[7],"z":3}"#);
        let new = within(&object(r#"{"b":1.0}"#), "a", &object("[7]")).unwrap();
        assert_eq!(new.as_str(), r#"{"b":1.0,"a":[7]}"#);
        assert!(within(&object("[1]"), "a", &object("[7]")).is_err());
    }

    #[test]
    fn text_is_sent_as_text_unless_json_is_what_is_sent() {
        assert_eq!(request_body(r#""a=1&b=2""#, "application/x-www-form-urlencoded"), "a=1&b=2");
        assert_eq!(request_body(r#""text""#, "application/json"), r#""text""#);
        assert_eq!(request_body("[1.0]", "text/plain"), "[1.0]");
    }
}
