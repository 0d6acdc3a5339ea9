//! A [`Report`] of what is broken in a cluster, as text, SARIF and HTML; as JSON it is
//! [`asya_cluster::report::json`].
//!
//! | module | holds |
//! |---|---|
//! | [`explain`] | what a model says of the findings |
//! | [`text`] | for people |
//! | [`sarif`] | for tools that collect findings |
//! | [`html`] | for a browser |
//!
//! The invariant: **what could not be looked at is told in every form**, and text from the cluster steers neither a
//! terminal nor a browser.

pub(crate) mod explain;
pub(crate) mod html;
pub(crate) mod sarif;
pub(crate) mod text;

use asya_analysis::Severity;
use asya_cluster::report::{Explanation, Finding, Open, Report, word};

/// `1 critical, 2 errors`
pub(crate) fn counted(counts: &[(Severity, usize)]) -> String {
    let words: Vec<String> = counts
        .iter()
        .map(|(severity, count)| match (severity, count) {
            (Severity::Error | Severity::Warning, 2..) => format!("{count} {}s", word(*severity)),
            _ => format!("{count} {}", word(*severity)),
        })
        .collect();
    words.join(", ")
}

/// What a number of things is called: `1 problem`, `2 problems`.
pub(crate) fn number(count: usize, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use asya_cluster::report::testing::report;

    use super::*;

    #[test]
    fn counts_are_told_in_words() {
        assert_eq!(counted(&report().counts()), "1 critical, 1 error, 1 warning");
        assert_eq!(counted(&[(Severity::Error, 2), (Severity::Critical, 2)]), "2 errors, 2 critical");
    }
}
