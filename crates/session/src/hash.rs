//! Hashes of JSON that do not depend on the order of keys.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// SHA-256 of a value as canonical JSON (keys sorted, no spaces), in lower-case hexadecimal.
pub fn of(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    hex(&Sha256::digest(text.as_bytes()))
}

/// The hash of what follows on `before`.
pub fn link(before: &str, value: &Value) -> String {
    let mut text = format!("{before}\n");
    canonical(value, &mut text);
    hex(&Sha256::digest(text.as_bytes()))
}

/// JSON with sorted keys, whatever order the map keeps.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.iter().collect();
            keys.sort_by_key(|(key, _)| key.as_str());
            out.push('{');
            for (index, (key, value)) in keys.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                canonical(value, out);
            }
            out.push('}');
        }
        Value::Array(values) => {
            out.push('[');
            for (index, value) in values.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                canonical(value, out);
            }
            out.push(']');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_value_that_was_sent_and_stored_has_its_hash_still(value in values()) {
            let sent: Value = serde_json::from_str(&value.to_string()).unwrap();
            prop_assert_eq!(of(&value), of(&sent));
            prop_assert_eq!(link("x", &value), link("x", &sent));
        }
    }

    #[test]
    fn a_hash_is_that_of_the_text_with_sorted_keys() {
        // printf '{"a":[1,"x"],"b":0.5}' | sha256sum
        let value = json!({"b": 0.5, "a": [1, "x"]});
        assert_eq!(of(&value), "a577ea80d6b4f8ecd6fabc7d64587a88ee0f7514a9d4341192ffab72538b098f");
    }

    #[test]
    fn the_order_of_keys_does_not_count_and_everything_else_does() {
        let one: Value = serde_json::from_str(r#"{"b":[1,{"y":2,"x":"é"}],"a":null}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a":null,"b":[1,{"x":"é","y":2}]}"#).unwrap();
        assert_eq!(of(&one), of(&other));
        for changed in
            [json!({"a": null, "b": [{"x": "é", "y": 2}, 1]}), json!({"b": [1, {"x": "é", "y": 2}]})]
        {
            assert_ne!(of(&one), of(&changed));
        }
        assert_ne!(link("", &one), link("0", &one));
    }
}
