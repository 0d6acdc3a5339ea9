//! Words that are no names in running text.

use std::{collections::HashSet, sync::LazyLock};

/// Names shorter than this are syllables: `web`, `db`, `api` stand in any text.
const SHORTEST: usize = 4;

static WORDS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let lines = include_str!("words.txt").lines().filter(|line| !line.starts_with('#'));
    lines.flat_map(str::split_whitespace).collect()
});

/// Whether a text is an English word or a term of Kubernetes.
pub(super) fn is_word(text: &str) -> bool {
    WORDS.contains(text.to_ascii_lowercase().as_str())
}

/// Whether a name is so ordinary that a text is full of it: short, a word, or a number.
pub(super) fn is_ordinary(name: &str) -> bool {
    name.chars().count() < SHORTEST || name.chars().all(|c| c.is_ascii_digit()) || is_word(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_told_from_real_ones() {
        for name in ["db", "web", "default", "Error", "kube-system", "configmap", "8080", "payments"] {
            assert!(is_ordinary(name), "{name}");
        }
        for name in ["payments-api", "acme-prod", "zephyr", "web1", "ip-10-0-3-7.eu-west-1.compute.internal"]
        {
            assert!(!is_ordinary(name), "{name}");
        }
    }
}
