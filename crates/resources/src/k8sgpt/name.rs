//! Names and labels of `Result` objects.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::{BACKEND_LABEL, Backend, NAME_LABEL, NAMESPACE_LABEL};

/// Longest name: so it can be the value of a label too.
const MAX_NAME: usize = 63;
/// Digits of the hash in a name: 48 bits. Two names that are otherwise the same meet by chance in a cluster with a million
/// findings about once in five hundred such clusters.
const HASH_DIGITS: usize = 12;

/// Name of the `Result` about an object: readable, at most 63 characters, the same each time. It differs for objects that
/// differ in kind, namespace or name, and for different `K8sGPT` objects of one namespace. `kind` is what the analyzer
/// calls it, with its group where two groups have a kind of that name.
pub fn result_name(k8sgpt: &str, kind: &str, namespace: Option<&str>, name: &str) -> String {
    let namespace = namespace.unwrap_or_default();
    let hash = hash(&[k8sgpt, kind, namespace, name]);
    let mut slug = String::new();
    for letter in [kind, namespace, name].join("-").chars() {
        match letter {
            'a'..='z' | '0'..='9' => slug.push(letter),
            'A'..='Z' => slug.push(letter.to_ascii_lowercase()),
            _ if slug.is_empty() || slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    slug.truncate(MAX_NAME - HASH_DIGITS - 1);
    let slug = slug.trim_end_matches('-');
    let hash = &hash[..HASH_DIGITS];
    if slug.is_empty() { hash.to_owned() } else { format!("{slug}-{hash}") }
}

/// Labels of a `Result`, by which those of one `K8sGPT` are found: its name and namespace, and the backend if one explains.
pub fn result_labels(k8sgpt: &str, namespace: &str, backend: Option<Backend>) -> BTreeMap<String, String> {
    let fixed = [(NAME_LABEL, label_value(k8sgpt)), (NAMESPACE_LABEL, label_value(namespace))];
    let backend = backend.map(|backend| (BACKEND_LABEL, backend.as_str().to_owned()));
    fixed.into_iter().chain(backend).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The value of a label for the name of an object, which may be longer than a label's value: then its beginning and a hash.
pub fn label_value(name: &str) -> String {
    if name.len() <= MAX_NAME {
        return name.to_owned();
    }
    let end =
        (0..=MAX_NAME - HASH_DIGITS - 1).rev().find(|at| name.is_char_boundary(*at)).unwrap_or_default();
    let hash = hash(&[name]);
    format!("{}-{}", &name[..end], &hash[..HASH_DIGITS])
}

/// Hex SHA-256 of texts, in which no two lists of texts are alike.
pub(super) fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// RFC 1123, as Kubernetes checks names that are labels of DNS.
    fn is_label(name: &str) -> bool {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&name.len())
            && name.bytes().all(inner)
            && !name.starts_with('-')
            && !name.ends_with('-')
    }

    #[test]
    fn what_shares_a_name_with_the_original_has_names_of_its_own() {
        let names = [
            result_name("k", "Deployment", Some("a-b"), "c"),
            result_name("k", "Deployment", Some("ab"), "c"),
            result_name("k", "Deployment", Some("a"), "bc"),
            result_name("k", "Deployment", Some("a"), "b-c"),
            result_name("k", "Service", Some("a"), "b-c"),
            result_name("other", "Service", Some("a"), "b-c"),
            result_name("k", "Service-a", None, "b-c"),
            result_name("k", "Service", None, "a-b-c"),
        ];
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }

    #[test]
    fn a_name_is_readable_and_does_not_change_between_versions() {
        assert_eq!(result_name("k8sgpt-sample", "Pod", Some("shop"), "web-7d4-x2"), EXPECTED);
        assert_eq!(
            result_name("a", "Node", None, "ip-10-0-0-1.ec2"),
            result_name("a", "Node", Some(""), "ip-10-0-0-1.ec2")
        );
    }

    /// Worked out by another program.
    const EXPECTED: &str = "pod-shop-web-7d4-x2-2f55eb9678f7";

    #[test]
    fn names_that_the_api_server_would_refuse_are_made_right() {
        for name in ["AWS/EKS", "", "--", "Ünïcode", "a..b", "UPPER_case", &"x".repeat(300)] {
            let made = result_name("k", "Kind.group.io", Some("ns"), name);
            assert!(is_label(&made), "{name}: {made}");
        }
        assert!(is_label(&result_name("", "", None, "/")));
    }

    #[test]
    fn a_name_that_is_no_labels_value_is_shortened_and_stays_its_own() {
        let long = |last: &str| format!("{}{last}", "a.b".repeat(40));
        let (one, other) = (label_value(&long("x")), label_value(&long("y")));
        assert!(one.len() == 63 && other.len() == 63 && one != other, "{one} {other}");
        assert_eq!(label_value("k8sgpt-sample.eu"), "k8sgpt-sample.eu");
        let labels = result_labels("capi", "default", Some(Backend::OpenAi));
        assert_eq!(labels["k8sgpts.k8sgpt.ai/name"], "capi");
        assert_eq!(labels["k8sgpts.k8sgpt.ai/namespace"], "default");
        assert_eq!(labels["k8sgpts.k8sgpt.ai/backend"], "openai");
        assert_eq!(result_labels("capi", "default", None).len(), 2);
    }

    proptest! {
        #[test]
        fn every_name_is_a_label(k8sgpt in ".{0,80}", kind in ".{0,80}", namespace in ".{0,80}", name in ".{0,300}") {
            prop_assert!(is_label(&result_name(&k8sgpt, &kind, Some(&namespace), &name)));
        }

        #[test]
        fn different_objects_have_different_names(a in "[a-b/-]{0,4}", b in "[a-b/-]{0,4}", c in "[a-b/-]{0,4}", d in "[a-b/-]{0,4}") {
            prop_assert_eq!(
                result_name("k", "Pod", Some(&a), &b) == result_name("k", "Pod", Some(&c), &d),
                (&a, &b) == (&c, &d)
            );
        }
    }
}
