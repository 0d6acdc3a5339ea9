//! Which evidence an answer cites, and whether it exists.

use std::sync::LazyLock;

use regex::Regex;

/// What stands in brackets; longer ones are prose.
static BRACKETS: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"\[([^\[\]\n]{1,200})\]").expect("the pattern is constant and has a test"));
/// An id, or a range of ids.
static ID: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^(?i-u)e([0-9]{1,6})(?:\s*(?:-|–|—|\.\.|to)\s*e?([0-9]{1,6}))?$")
        .expect("the pattern is constant and has a test")
});
/// Ids of one range that are counted: no finding has more evidence.
const RANGE: u32 = 100;

/// What an answer cites, each id once, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Citations {
    /// Evidence that there is.
    pub cited: Vec<String>,
    /// Ids that are made up: the answer is to be shown with a warning.
    pub unknown: Vec<String>,
}

impl Citations {
    /// Whether every id exists and there is at least one.
    pub fn hold(&self) -> bool {
        self.unknown.is_empty() && !self.cited.is_empty()
    }
}

/// Reads `[e1]`, `[e1, e2]`, `[e1][e2]`, `[e1-e3]`, `[E1; e2]` and the like; other brackets are prose. `ids` are those
/// of the question ([`Prompt`](crate::prompt::Prompt)).
pub fn check<T: AsRef<str>>(answer: &str, ids: &[T]) -> Citations {
    let mut citations = Citations::default();
    for found in BRACKETS.captures_iter(answer).filter_map(|found| found.get(1)) {
        let parts: Vec<_> =
            found.as_str().split([',', ';']).flat_map(|part| part.split(" and ")).map(str::trim).collect();
        let read: Vec<_> = parts.iter().filter_map(|part| ID.captures(part)).collect();
        // "[error e5, try again]" is prose; "[e1, see logs]" still cites e1.
        for id in read {
            let number = |group: usize| id.get(group).and_then(|digits| digits.as_str().parse::<u32>().ok());
            let Some(first) = number(1) else { continue };
            let last = number(2).unwrap_or(first);
            for number in first..=last.min(first.saturating_add(RANGE)).max(first) {
                let id = format!("e{number}");
                let known = ids.iter().any(|known| known.as_ref().eq_ignore_ascii_case(&id));
                let list = if known { &mut citations.cited } else { &mut citations.unknown };
                if !list.contains(&id) {
                    list.push(id);
                }
            }
        }
    }
    citations
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn citations_of_every_form_are_read() {
        for (answer, cited) in [
            ("It fails [e1].", vec!["e1"]),
            ("a [e2, E1] b [e1]", vec!["e2", "e1"]),
            ("a [e1][e3]; b [e2 and e3]", vec!["e1", "e3", "e2"]),
            ("a [e1-e3]", vec!["e1", "e2", "e3"]),
            ("a [e1–3]", vec!["e1", "e2", "e3"]),
            ("a [e1; see the logs]", vec!["e1"]),
            ("none [x] [note: e1 matters] e2 (e3) []", vec![]),
        ] {
            assert_eq!(check(answer, &["e1", "e2", "e3"]).cited, cited, "{answer}");
        }
    }

    #[test]
    fn what_does_not_exist_is_flagged() {
        let citations = check("a [e1] b [e9, e9] c [e1-e3] d [e3-e1]", &["e1", "e2"]);
        assert_eq!(citations.unknown, ["e9", "e3"]);
        assert!(!citations.hold());
        assert!(check("a [e1]", &["e1"]).hold());
        assert!(!check("nothing", &["e1"]).hold());
    }

    #[test]
    fn a_huge_range_is_bounded() {
        assert!(check("[e1-e999999]", &["e1"]).unknown.len() <= 100);
    }

    proptest! {
        #[test]
        fn no_answer_breaks_the_check(answer in r"(\[|\]|e[0-9]{0,8}|[,;\- ]|é|to|\PC){0,60}") {
            let citations = check(&answer, &["e1"]);
            prop_assert!(citations.cited.iter().all(|id| id == "e1"));
        }
    }
}
