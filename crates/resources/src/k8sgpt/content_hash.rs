//! When the texts of a `Result` have changed.

use std::collections::BTreeSet;

use super::{ResultSpec, name::hash};

/// The texts of a result as they stand, as hex SHA-256: kind, name, parent and texts, in any order. It changes with every
/// number, so it is no fingerprint: what makes a finding the same finding is worked out where findings are.
pub fn content_hash(result: &ResultSpec) -> String {
    let texts: BTreeSet<&str> = result.error.iter().map(|failure| failure.text.as_str()).collect();
    let mut parts = vec![result.kind.as_str(), &result.name, &result.parent_object];
    parts.extend(texts);
    hash(&parts)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn result(failures: Value) -> ResultSpec {
        from_value(json!({ "kind": "Pod", "name": "shop/web", "error": failures })).unwrap()
    }

    #[test]
    fn order_repetition_and_explanation_change_nothing_and_texts_do() {
        let one = result(json!([{ "text": "a" }, { "text": "b" }]));
        let other = result(json!([{ "text": "b" }, { "text": "a", "code": "A" }, { "text": "b" }]));
        assert_eq!(content_hash(&one), content_hash(&other));
        let explained =
            ResultSpec { details: "because".to_owned(), backend: "openai".to_owned(), ..one.clone() };
        assert_eq!(content_hash(&one), content_hash(&explained));
        for other in [json!([{ "text": "a" }, { "text": "c" }]), json!([{ "text": "ab" }]), json!([])] {
            assert_ne!(content_hash(&one), content_hash(&result(other)));
        }
    }
}
