//! Why an envelope failed, and the envelope that `error-end` receives.

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{BufMut, Bytes, BytesMut};
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    Envelope, Raw, Route,
    envelope::{put_json, salvage_id},
    limits::{EXCERPT, Limits, MAX_TRACEBACK},
};

/// One failure: what happened, where, in which run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorReport {
    /// The `error` string of the contract: a runtime's code, or the sidecar's own sentence.
    #[serde(skip)]
    pub error: String,
    /// Stable code; has a page under docs/errors.
    pub code: String,
    /// The reason, for a person.
    pub message: String,
    /// Class name of the exception, if one was raised.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_name: Option<String>,
    /// Names of the exception's classes, most derived first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mro: Vec<String>,
    /// The traceback, cut in the middle to [`MAX_TRACEBACK`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceback: Option<String>,
    /// The actor that failed.
    pub actor: String,
    /// Which run of the handler it was, 1-based; 0 when no handler ran.
    pub attempt: u32,
    /// When.
    pub time: Timestamp,
    /// Items of a failed generator that had already been sent on; they are not recalled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub children_sent: Option<u64>,
}

/// A failed message, ready for `error-end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrapped {
    /// The error envelope holds the whole original.
    Whole(Bytes),
    /// The original does not fit into an error envelope: this one holds its size, digest and beginning, and the
    /// original itself belongs, untouched, on the dead-letter queue.
    Excerpt(Bytes),
}

impl ErrorReport {
    /// A report of the sidecar's own: the sentence is both `error` and `message`.
    pub fn new(code: &str, message: impl Into<String>, actor: &str, attempt: u32, time: Timestamp) -> Self {
        let message = message.into();
        Self {
            error: message.clone(),
            code: code.to_owned(),
            message,
            type_name: None,
            mro: Vec::new(),
            traceback: None,
            actor: actor.to_owned(),
            attempt,
            time,
            children_sent: None,
        }
    }

    /// Wraps a parsed envelope: same id, parent, route, headers and unknown fields; the payload becomes
    /// `{"error", "details", "original_payload"}`.
    pub fn wrap(&self, original: &Envelope, limits: &Limits) -> Wrapped {
        let mut envelope = original.clone();
        envelope.payload = self.payload(&original.payload, None);
        let body = envelope.encode();
        if body.len() <= limits.max_envelope {
            return Wrapped::Whole(body);
        }
        envelope.payload = self.payload(&Raw::null(), Some(&Excerpt::of(original.payload.as_bytes())));
        let body = envelope.encode();
        if body.len() <= limits.max_envelope {
            return Wrapped::Excerpt(body);
        }
        // Headers or unknown fields fill the message: only identity and route are sure to be of a bounded size.
        let bare = Envelope::new(envelope.id, envelope.route, envelope.payload);
        Wrapped::Excerpt(bare.encode())
    }

    /// Wraps a body that is not an envelope. Its id is the one it carries, else one derived from its bytes, so that a
    /// redelivery ends under the same id.
    pub fn wrap_unparsed(&self, body: &Bytes, limits: &Limits) -> Wrapped {
        let id = salvage_id(body).unwrap_or_else(|| format!("unparsed-{}", &hex_digest(body)[..16]));
        let mut envelope = Envelope::new(id, Route::new(["error-end"]), Raw::null());
        let (original, encoding) = match std::str::from_utf8(body) {
            Ok(text) => (Raw::of(&text), "text"),
            Err(_) => (Raw::of(&BASE64_STANDARD.encode(body)), "base64"),
        };
        let encoding = Excerpt { original_encoding: Some(encoding), ..Excerpt::default() };
        envelope.payload = self.payload(&original, Some(&encoding));
        let whole = envelope.encode();
        if whole.len() <= limits.max_envelope {
            return Wrapped::Whole(whole);
        }
        envelope.payload = self.payload(&Raw::null(), Some(&Excerpt::of(body)));
        Wrapped::Excerpt(envelope.encode())
    }

    fn payload(&self, original: &Raw, excerpt: Option<&Excerpt>) -> Raw {
        #[derive(Serialize)]
        struct Details<'a> {
            #[serde(flatten)]
            report: &'a ErrorReport,
            #[serde(flatten)]
            excerpt: Option<&'a Excerpt>,
        }
        let mut report = self.clone();
        report.message = cut_middle(&report.message, MAX_TRACEBACK / 4);
        report.traceback = report.traceback.map(|text| cut_middle(&text, MAX_TRACEBACK));
        report.mro.truncate(32);
        let error = cut_middle(&self.error, MAX_TRACEBACK / 4);
        let mut out = BytesMut::with_capacity(original.as_bytes().len() + 512);
        out.put_slice(b"{\"error\":");
        put_json(&mut out, &error);
        out.put_slice(b",\"details\":");
        put_json(&mut out, &Details { report: &report, excerpt });
        out.put_slice(b",\"original_payload\":");
        out.put_slice(original.as_bytes());
        out.put_u8(b'}');
        Raw::parse(out.freeze()).expect("an error payload is valid JSON")
    }
}

/// What is shown of a body that does not fit.
#[derive(Clone, Debug, Default, Serialize)]
struct Excerpt {
    #[serde(skip_serializing_if = "Option::is_none")]
    original_encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_start: Option<String>,
}

impl Excerpt {
    fn of(body: &[u8]) -> Self {
        let start = &body[..body.len().min(EXCERPT)];
        Self {
            original_encoding: Some("excerpt"),
            original_size: Some(body.len()),
            original_sha256: Some(hex_digest(body)),
            original_start: Some(String::from_utf8_lossy(start).into_owned()),
        }
    }
}

/// SHA-256 of `bytes` in lower-case hexadecimal.
pub fn hex_digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// At most `limit` bytes of `text`: beginning and end are kept, because a traceback says where it started and what
/// was raised.
fn cut_middle(text: &str, limit: usize) -> String {
    const MARK: &str = "\n... cut ...\n";
    if text.len() <= limit {
        return text.to_owned();
    }
    let half = (limit - MARK.len()) / 2;
    let head = text.floor_char_boundary(half);
    let tail = text.ceil_char_boundary(text.len() - half);
    format!("{}{MARK}{}", &text[..head], &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> ErrorReport {
        ErrorReport::new("timeout", "Runtime timeout exceeded after 5m0s", "ocr", 2, Timestamp::UNIX_EPOCH)
    }

    fn decode(body: &Bytes) -> serde_json::Value {
        serde_json::from_slice(body).unwrap()
    }

    #[test]
    fn an_error_envelope_keeps_identity_route_headers_and_the_original() {
        let body = br#"{"id":"1","parent_id":"0","route":{"actors":["ocr","b"],"current":0,"metadata":{"job_id":"1"}},
            "headers":{"t":1},"payload":{"n":1e400},"x":[1.0]}"#;
        let original = Envelope::parse(Bytes::from_static(body)).unwrap();
        let Wrapped::Whole(wrapped) = report().wrap(&original, &Limits::default()) else {
            panic!("must fit")
        };
        let wrapped = Envelope::parse(wrapped).unwrap();
        assert_eq!((&wrapped.id, &wrapped.parent_id), (&original.id, &original.parent_id));
        assert_eq!((&wrapped.route, &wrapped.headers), (&original.route, &original.headers));
        assert_eq!(wrapped.extra, original.extra);
        let payload = wrapped.payload.as_str();
        assert!(
            payload
                .starts_with(r#"{"error":"Runtime timeout exceeded after 5m0s","details":{"code":"timeout""#)
        );
        assert!(payload.ends_with(r#""original_payload":{"n":1e400}}"#), "{payload}");
    }

    #[test]
    fn a_body_that_is_not_json_is_kept_as_text_or_base64() {
        for (body, original, encoding) in
            [(&b"{bad"[..], "{bad", "text"), (&b"\xff\xfe"[..], "//4=", "base64")]
        {
            let Wrapped::Whole(wrapped) =
                report().wrap_unparsed(&Bytes::from_static(body), &Limits::default())
            else {
                panic!("must fit")
            };
            let payload = &decode(&wrapped)["payload"];
            assert_eq!(payload["original_payload"], original);
            assert_eq!(payload["details"]["original_encoding"], encoding);
            assert!(Envelope::parse(wrapped).is_ok(), "an error envelope is itself an envelope");
        }
    }

    #[test]
    fn an_id_in_a_broken_envelope_is_found_again() {
        let body = Bytes::from_static(br#"{"id":"job-7","payload":1}"#);
        let Wrapped::Whole(wrapped) = report().wrap_unparsed(&body, &Limits::default()) else {
            panic!("must fit")
        };
        assert_eq!(Envelope::parse(wrapped).unwrap().id, "job-7");
    }

    #[test]
    fn a_body_over_the_limit_leaves_size_digest_and_beginning() {
        let limits = Limits { max_envelope: 64 * 1024, ..Limits::default() };
        let body = Bytes::from(vec![0xff_u8; 60 * 1024]);
        let Wrapped::Excerpt(wrapped) = report().wrap_unparsed(&body, &limits) else {
            panic!("must not fit")
        };
        assert!(wrapped.len() <= limits.max_envelope);
        let details = &decode(&wrapped)["payload"]["details"];
        assert_eq!(details["original_size"], 60 * 1024);
        assert_eq!(details["original_sha256"], hex_digest(&body));
    }

    #[test]
    fn a_long_traceback_keeps_both_ends() {
        let mut report = report();
        report.traceback = Some(format!("first{}last", "é".repeat(20_000)));
        let envelope = Envelope::new("1", Route::new(["a"]), Raw::null());
        let Wrapped::Whole(wrapped) = report.wrap(&envelope, &Limits::default()) else { panic!("must fit") };
        let traceback = decode(&wrapped)["payload"]["details"]["traceback"].as_str().unwrap().to_owned();
        assert!(
            traceback.len() <= MAX_TRACEBACK && traceback.starts_with("first") && traceback.ends_with("last")
        );
    }
}
