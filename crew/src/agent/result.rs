//! What a tool returned, as an entry: within bounds, and without what looks like a secret.

use asya_envelope::Raw;
use asya_session::{Body, Call};
use serde_json::Value;

use crate::hide;

/// Longest text of a result that is kept, in bytes: about 10,000 tokens, more than a model reads with care.
pub(super) const KEPT: usize = 32 * 1024;
/// A secret is looked for so far behind the bound, in bytes: none is longer and still looks like one.
const SLACK: usize = 4 * 1024;

/// The answer to a call, from the payload that came.
pub(super) fn of(call: &Call, payload: &Raw) -> Body {
    let (text, failed) = match serde_json::from_slice::<Value>(payload.as_bytes()) {
        Ok(Value::String(text)) => (text, false),
        Ok(Value::Object(object)) => match (object.get("rejected"), object.get("error")) {
            (Some(rejected), _) if object.len() == 1 => (refused(rejected), true),
            (_, Some(error)) => (error.as_str().map_or_else(|| error.to_string(), str::to_owned), true),
            _ => (payload.as_str().to_owned(), false),
        },
        _ => (payload.as_str().to_owned(), false),
    };
    answer(call, &text, failed)
}

/// The answer to a call that failed before it was made.
pub(super) fn failed(call: &Call, why: &str) -> Body {
    answer(call, why, true)
}

fn answer(call: &Call, text: &str, failed: bool) -> Body {
    let seen = upto(text, KEPT + SLACK);
    let clean = hide::text(seen);
    let is_whole = seen.len() == text.len() && clean.len() <= KEPT;
    let text = if is_whole { clean } else { noted(upto(&clean, KEPT), text.len()) };
    Body::Tool { call: call.id.clone(), name: call.name.clone(), text, failed }
}

/// Somebody said no to the call, or nobody said anything in time.
fn refused(rejected: &Value) -> String {
    let word = |name: &str| rejected.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let by =
        word("by").map_or_else(|| "nobody approved it in time".to_owned(), |by| format!("{by} refused it"));
    let reason = word("reason").map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("it was not done, {by}{reason}. Do not call it again like this unless you are asked to")
}

/// The first `most` bytes of a text, with a note if that is not all.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.len() <= most { text.to_owned() } else { noted(upto(text, most), text.len()) }
}

fn noted(shown: &str, whole: usize) -> String {
    format!("{shown}\n[cut: {} of {whole} bytes are shown; ask for less]", shown.len())
}

/// The longest beginning of at most `most` bytes.
pub(super) fn upto(text: &str, most: usize) -> &str {
    let at = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..at.unwrap_or(0)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(payload: &Value) -> (String, bool) {
        let call = Call { id: "1".into(), name: "get".into(), arguments: json!({}), signature: None };
        match of(&call, &Raw::of(payload)) {
            Body::Tool { call, name, text, failed } => {
                assert_eq!((call.as_str(), name.as_str()), ("1", "get"));
                (text, failed)
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn whatever_comes_is_a_result_and_errors_are_failures() {
        for (payload, text, failed) in [
            (json!("plain"), "plain", false),
            (json!({"pods": 3}), r#"{"pods":3}"#, false),
            (json!([1, 2]), "[1,2]", false),
            (json!(null), "null", false),
            (json!({"error": "no such pod"}), "no such pod", true),
            (json!({"error": {"code": 7}, "hint": "x"}), r#"{"code":7}"#, true),
            (json!({"rejected": 3, "ok": 4}), &json!({"rejected": 3, "ok": 4}).to_string(), false),
        ] {
            assert_eq!(read(&payload), (text.to_owned(), failed), "{payload}");
        }
    }

    #[test]
    fn a_refusal_says_who_and_why() {
        let (text, failed) = read(&json!({"rejected": {"by": "ann", "reason": "not on Fridays"}}));
        assert!(failed && text.contains("ann refused it: not on Fridays"), "{text}");
        let (text, _) = read(&json!({"rejected": {"by": "", "reason": "expired"}}));
        assert!(text.contains("nobody approved it in time: expired"), "{text}");
    }

    #[test]
    fn a_long_result_is_cut_with_a_note_and_no_secret_survives_at_the_cut() {
        let long = "ü".repeat(KEPT);
        let (text, _) = read(&json!(long));
        assert!(text.len() < KEPT + 100 && text.contains("of 65536 bytes are shown"), "{}", text.len());
        let secret = "password=hunter2hunter2";
        let (text, _) = read(&json!(format!("{} {secret}{}", "a ".repeat(KEPT / 2 - 6), " b".repeat(KEPT))));
        assert!(!text.contains("hunter") && text.contains("password="), "{}", &text[KEPT - 40..]);
    }

    #[test]
    fn a_secret_is_hidden_and_the_lines_around_it_stay() {
        let yaml = "automountServiceAccountToken: true\nsecretName: tls\ntokenExpirationSeconds: 3600\n";
        let payload = json!({"text": format!("{yaml}POST /login password=hunter2\nfailed\n")});
        let (text, _) = read(&payload);
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(answer["text"], format!("{yaml}POST /login password=***\nfailed\n"));
        let (text, _) = read(
            &json!({"object": {"password": "hunter2", "env": [{"name": "A_TOKEN", "value": "hunter2"}]}}),
        );
        assert_eq!(text, r#"{"object":{"env":[{"name":"A_TOKEN","value":"***"}],"password":"***"}}"#);
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]

        #[test]
        fn whatever_a_tool_returns_stays_within_the_bound(text in ".{0,400}", times in 0..400_usize) {
            let (text, _) = read(&json!(text.repeat(times)));
            proptest::prop_assert!(text.len() <= KEPT + 80, "{}", text.len());
            let (text, failed) = read(&json!({"error": text}));
            proptest::prop_assert!(failed && text.len() <= KEPT + 80);
        }
    }
}
