//! What an explanation may cite: the evidence of a finding under short names.

use crate::failure::{Evidence, Failure};

/// One piece of what is known of a finding, under the name that it has in the question to a model, in its answer and in a
/// Result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Citable<'a> {
    /// Its name: `e1`, `e2` and so on.
    pub id: String,
    /// The failure that it is evidence for.
    pub failure: &'a Failure,
    /// Where it is seen; none: it is the failure's own sentence.
    pub evidence: Option<&'a Evidence>,
}

/// All of it. First what says something, in the order of the failures: the sentence of each, then its evidence. Last the
/// places at which there is nothing: no model is shown these.
#[must_use]
pub fn citable(failures: &[Failure]) -> Vec<Citable<'_>> {
    let says = failures.iter().flat_map(|failure| {
        let seen = failure.evidence.iter().filter(|evidence| evidence.value.is_some());
        std::iter::once((failure, None)).chain(seen.map(move |evidence| (failure, Some(evidence))))
    });
    let missing = failures.iter().flat_map(|failure| {
        let seen = failure.evidence.iter().filter(|evidence| evidence.value.is_none());
        seen.map(move |evidence| (failure, Some(evidence)))
    });
    let all = says.chain(missing).zip(1..);
    all.map(|((failure, evidence), n)| Citable { id: format!("e{n}"), failure, evidence }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GroupKind, ObjectRef, Severity};

    #[test]
    fn what_says_nothing_comes_last_and_changes_no_other_name() {
        let object = ObjectRef { kind: GroupKind::named("v1", "Pod"), namespace: None, name: "a".to_owned() };
        let failure = |code, value: Option<&str>| {
            Failure::new(code, Severity::Error, "text").seen(&object, ".missing", None).seen(
                &object,
                ".there",
                value.map(str::to_owned),
            )
        };
        let failures = [failure("A", Some("x")), failure("B", None)];
        let named: Vec<_> = citable(&failures)
            .into_iter()
            .map(|it| (it.id, it.failure.code.as_str(), it.evidence.map(|evidence| evidence.path.as_str())))
            .collect();
        let expected = [
            ("e1", "A", None),
            ("e2", "A", Some(".there")),
            ("e3", "B", None),
            ("e4", "A", Some(".missing")),
            ("e5", "B", Some(".missing")),
            ("e6", "B", Some(".there")),
        ];
        assert_eq!(named, expected.map(|(id, code, path)| (id.to_owned(), code, path)));
    }
}
