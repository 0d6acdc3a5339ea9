//! `{prefix}{time}/{last actor}/{id}.json`, and what is in it.

use asya_envelope::report::hex_digest;
use bytes::Bytes;
use jiff::{Timestamp, tz::TimeZone};
use object_store::path::{Path, PathPart};

/// Longest part of a key: file names are limited to 255 bytes, and the file is written under a longer name first.
const LONGEST_PART: usize = 200;
/// What is kept of a longer one, so that a person recognises it; the digest of the whole follows.
const KEPT: usize = LONGEST_PART - 33;

/// The actor that a record is filed under: the one whose turn it is, except for the first and for finished routes,
/// where it is the last one. That is how the Go system files.
pub(super) fn last_actor(actors: &[String], current: usize) -> &str {
    let last = || actors.last().map_or("unknown", String::as_str);
    if current > 0 { actors.get(current).map_or_else(last, String::as_str) } else { last() }
}

/// The key of a record. Ids and actors are one part each, whatever is in them: what a key must not hold is
/// percent-encoded.
pub(super) fn key(prefix: &str, at: Timestamp, actor: &str, id: &str) -> Path {
    let time = at.to_zoned(TimeZone::UTC).strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string();
    let head = format!("{prefix}{time}");
    let head = head.split('/').filter(|part| !part.is_empty()).map(PathPart::from);
    head.chain([PathPart::from(part(actor, "")), PathPart::from(part(id, ".json"))]).collect()
}

/// A part with its ending; a long one keeps its beginning and the digest of the whole.
fn part(text: &str, ending: &str) -> String {
    let whole = format!("{text}{ending}");
    if PathPart::from(whole.as_str()).as_ref().len() <= LONGEST_PART && !text.is_empty() {
        return whole;
    }
    // Encoding may make one byte three.
    let kept = text.floor_char_boundary(KEPT / 3);
    format!("{}-{}{ending}", &text[..kept], &hex_digest(text.as_bytes())[..32])
}

/// JSON with two spaces of indentation. Values stand as they are, numbers of any size among them.
pub(super) fn indented(json: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(json.len() + json.len() / 4 + 64);
    let (mut depth, mut text, mut escaped) = (0_usize, false, false);
    let mut bytes = json.iter().copied().peekable();
    let line = |out: &mut Vec<u8>, depth: usize| {
        out.push(b'\n');
        out.resize(out.len() + 2 * depth, b' ');
    };
    while let Some(byte) = bytes.next() {
        if text {
            out.push(byte);
            (text, escaped) = match byte {
                _ if escaped => (true, false),
                b'\\' => (true, true),
                b'"' => (false, false),
                _ => (true, false),
            };
            continue;
        }
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {}
            b'{' | b'[' => {
                out.push(byte);
                while bytes.next_if(u8::is_ascii_whitespace).is_some() {}
                if let Some(close) = bytes.next_if(|next| matches!(next, b'}' | b']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            _ => {
                text = byte == b'"';
                out.push(byte);
            }
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at() -> Timestamp {
        "2026-11-21T09:08:07.000042Z".parse().unwrap()
    }

    #[test]
    fn keys_are_those_of_the_go_system() {
        let key = key("happy-asya/", at(), "render", "job-7");
        assert_eq!(key.as_ref(), "happy-asya/2026-11-21T09:08:07.000042Z/render/job-7.json");
        let key = super::key("p", at(), "a", "b");
        assert_eq!(key.as_ref(), "p2026-11-21T09:08:07.000042Z/a/b.json");
    }

    #[test]
    fn a_record_is_filed_under_the_actor_that_the_go_system_names() {
        let actors = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        for (current, last) in [(0, "c"), (1, "b"), (2, "c"), (3, "c"), (9, "c")] {
            assert_eq!(last_actor(&actors, current), last, "{current}");
        }
        assert_eq!(last_actor(&[], 0), "unknown");
    }

    #[test]
    fn no_id_leaves_its_folder_or_is_too_long_for_a_file() {
        let name =
            |id: &str| super::key("e/", at(), "a", id).as_ref().split('/').next_back().unwrap().to_owned();
        assert_eq!(name("../../x"), "..%2F..%2Fx.json");
        assert!(!name("..").starts_with("../"));
        assert_eq!(super::key("e/", at(), "..", "x").as_ref().matches('/').count(), 3);
        assert!(name(&"é".repeat(900)).len() < 255);
        assert_ne!(name(&"é".repeat(900)), name(&"é".repeat(901)));
    }

    #[test]
    fn numbers_and_texts_stand_as_they_are() {
        let text = indented(br#"{"a":[1e400, {"b" :"x, {\"y\"}: [" }],"c":{},"d":[ ]}"#);
        let expected = "{\n  \"a\": [\n    1e400,\n    {\n      \"b\": \"x, {\\\"y\\\"}: [\"\n    }\n  ],\n  \"c\": {},\n  \"d\": []\n}";
        assert_eq!(std::str::from_utf8(&text).unwrap(), expected);
    }

    proptest! {
        /// Whatever JSON comes, the indented one is the same value, and what serde makes of it.
        #[test]
        fn indented_json_is_the_same_value(value in values()) {
            let text = indented(&serde_json::to_vec(&value).unwrap());
            prop_assert_eq!(&serde_json::from_slice::<serde_json::Value>(&text).unwrap(), &value);
            prop_assert_eq!(text, serde_json::to_vec_pretty(&value).unwrap());
        }
    }

    fn values() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<i64>().prop_map(Into::into),
            ".{0,12}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
                prop::collection::hash_map(".{0,6}", inner, 0..5)
                    .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
            ]
        })
    }
}
