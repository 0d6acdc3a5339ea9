//! The seam of the analyzers, and which of them run.

use std::collections::BTreeSet;

use crate::analyzers;
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::view::View;

/// Looks at the objects of one kind. A pure function: what it knows, the object and the view told it.
pub trait Analyzer: Send + Sync {
    /// Its name, as filters have it: mostly the kind.
    fn name(&self) -> &'static str;

    /// The kind it looks at.
    fn subject(&self) -> GroupKind;

    /// Whether it runs when nobody chose: the reference's "core" analyzers do.
    fn by_default(&self) -> bool {
        true
    }

    /// Looks at one object and adds to `report` what is wrong with it, and what could not be verified.
    ///
    /// # Errors
    /// [`Malformed`] if the object's fields are not what its kind says; what was found before stays in doubt.
    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed>;
}

/// A name that no analyzer has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no analyzer {name:?}; there are {}", known.join(", "))]
pub struct UnknownAnalyzer {
    /// The name.
    pub name: String,
    /// The names that there are.
    pub known: Vec<&'static str>,
}

/// The analyzers that run.
#[derive(Clone)]
pub struct Selection(Vec<&'static dyn Analyzer>);

impl Selection {
    /// Those that run by default.
    #[must_use]
    pub fn standard() -> Self {
        Self(analyzers::all().iter().copied().filter(|analyzer| analyzer.by_default()).collect())
    }

    /// Those named by `filters`, or the default ones if it is empty, with `enable` and without `disable`. Names are
    /// taken in any case.
    ///
    /// # Errors
    /// [`UnknownAnalyzer`] for a name that none has: a misspelt filter must not look like a healthy cluster.
    pub fn new<S: AsRef<str>>(filters: &[S], enable: &[S], disable: &[S]) -> Result<Self, UnknownAnalyzer> {
        let resolve = |names: &[S]| -> Result<BTreeSet<&'static str>, UnknownAnalyzer> {
            names.iter().map(|name| named(name.as_ref()).map(Analyzer::name)).collect()
        };
        let (filters, enable, disable) = (resolve(filters)?, resolve(enable)?, resolve(disable)?);
        let chosen = |analyzer: &&'static dyn Analyzer| {
            let name = analyzer.name();
            let first = if filters.is_empty() { analyzer.by_default() } else { filters.contains(name) };
            (first || enable.contains(name)) && !disable.contains(name)
        };
        Ok(Self(analyzers::all().iter().copied().filter(chosen).collect()))
    }

    /// The kinds that they look at.
    #[must_use]
    pub fn subjects(&self) -> BTreeSet<GroupKind> {
        self.0.iter().map(|analyzer| analyzer.subject()).collect()
    }

    /// Those that look at `kind`.
    pub fn of<'a>(&'a self, kind: &'a GroupKind) -> impl Iterator<Item = &'static dyn Analyzer> + 'a {
        self.0.iter().copied().filter(move |analyzer| analyzer.subject() == *kind)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.0.iter().map(|analyzer| analyzer.name())
    }
}

fn named(name: &str) -> Result<&'static dyn Analyzer, UnknownAnalyzer> {
    let all = analyzers::all();
    all.iter().copied().find(|analyzer| analyzer.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
        UnknownAnalyzer { name: name.to_owned(), known: all.iter().map(|analyzer| analyzer.name()).collect() }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn no_two_analyzers_have_one_name() {
        let mut names = BTreeSet::new();
        for analyzer in analyzers::all() {
            assert!(names.insert(analyzer.name().to_lowercase()), "{}", analyzer.name());
        }
    }

    #[test]
    fn filters_replace_the_default_and_deltas_change_it() {
        let only = Selection::new(&["pod"], &[], &[]).unwrap();
        assert_eq!(only.names().collect::<Vec<_>>(), ["Pod"], "in any case");
        let without = Selection::new(&[], &[], &["Pod"]).unwrap();
        assert_eq!(without.names().count(), Selection::standard().names().count() - 1);
        let none: [&str; 0] = [];
        assert_eq!(
            Selection::new(&none, &none, &none).unwrap().names().count(),
            Selection::standard().names().count()
        );
    }

    #[test]
    fn a_misspelt_filter_is_an_error_that_lists_the_names() {
        let error = Selection::new(&["Pods"], &[], &[]).err().unwrap().to_string();
        assert!(error.contains("\"Pods\"") && error.contains("Pod"), "{error}");
    }
}
