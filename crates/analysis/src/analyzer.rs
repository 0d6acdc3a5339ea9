//! The seam of the analyzers, and which of them run.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::analyzers;
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::rules::{InvalidRules, KindRules, ResourceAnalyzer};
use crate::view::View;

/// Looks at the objects of one kind. A pure function: what it knows, the object and the view told it.
pub trait Analyzer: Send + Sync {
    /// Its name, as filters have it: mostly the kind.
    fn name(&self) -> &str;

    /// The name that stands for it and its like in filters: `Storage` for `Storage/StorageClass`.
    fn group(&self) -> Option<&str> {
        self.name().split_once('/').map(|(group, _)| group)
    }

    /// The kind it looks at.
    fn subject(&self) -> GroupKind;

    /// Whether it runs when nobody chose: the reference's "core" analyzers do.
    fn by_default(&self) -> bool {
        true
    }

    /// Whether it reads logs, which nobody tells of when they change: only who looks once reads them.
    fn reads_logs(&self) -> bool {
        false
    }

    /// Whether it reads what is in ConfigMaps: for the others it need not travel.
    fn reads_config_maps(&self) -> bool {
        false
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

/// A name that an analyzer has already.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is an analyzer {0:?} already")]
pub struct NameTaken(pub String);

/// The analyzers that run.
#[derive(Clone)]
pub struct Selection {
    known: Vec<&'static dyn Analyzer>,
    made: Vec<Arc<dyn Analyzer>>,
}

impl Selection {
    /// Those that run by default.
    #[must_use]
    pub fn standard() -> Self {
        Self::of_known(|analyzer| analyzer.by_default())
    }

    /// Those named by `filters`, or the default ones if it is empty, with `enable` and without `disable`. Names are
    /// taken in any case; one of a group, such as `Security`, stands for all of the group.
    ///
    /// # Errors
    /// [`UnknownAnalyzer`] for a name that none has: a misspelt filter must not look like a healthy cluster.
    pub fn new<S: AsRef<str>>(filters: &[S], enable: &[S], disable: &[S]) -> Result<Self, UnknownAnalyzer> {
        let resolve = |names: &[S]| -> Result<BTreeSet<&'static str>, UnknownAnalyzer> {
            let mut all = BTreeSet::new();
            for name in names {
                all.extend(named(name.as_ref())?);
            }
            Ok(all)
        };
        let (filters, enable, disable) = (resolve(filters)?, resolve(enable)?, resolve(disable)?);
        Ok(Self::of_known(|analyzer| {
            let name = analyzer.name();
            let first = if filters.is_empty() { analyzer.by_default() } else { filters.contains(name) };
            (first || enable.contains(name)) && !disable.contains(name)
        }))
    }

    /// With one more, made at run time: the rules of a custom resource.
    ///
    /// # Errors
    /// [`NameTaken`] if any analyzer has its name, selected or not.
    pub fn with(mut self, analyzer: Arc<dyn Analyzer>) -> Result<Self, NameTaken> {
        let name = analyzer.name();
        let made = self.made.iter().any(|other| other.name().eq_ignore_ascii_case(name));
        if made || named(name).is_ok() {
            return Err(NameTaken(name.to_owned()));
        }
        self.made.push(analyzer);
        Ok(self)
    }

    /// With the analyzers that these rules are.
    ///
    /// # Errors
    /// [`InvalidRules`]: all that is wrong with them, each with its kind.
    pub fn ruled(self, rules: impl IntoIterator<Item = KindRules>) -> Result<Self, InvalidRules> {
        let mut errors = Vec::new();
        let mut selection = self;
        for rules in rules {
            let name = rules.name();
            let made = ResourceAnalyzer::new(rules).map_err(|invalid| format!("{name}: {invalid}"));
            let with = made
                .and_then(|made| selection.clone().with(Arc::new(made)).map_err(|taken| format!("{taken}")));
            match with {
                Ok(with) => selection = with,
                Err(error) => errors.push(error),
            }
        }
        if errors.is_empty() { Ok(selection) } else { Err(InvalidRules(errors)) }
    }

    /// The kinds that they look at.
    #[must_use]
    pub fn subjects(&self) -> BTreeSet<GroupKind> {
        self.all().map(Analyzer::subject).collect()
    }

    /// Those that look at `kind`.
    pub fn of<'a>(&'a self, kind: &'a GroupKind) -> impl Iterator<Item = &'a dyn Analyzer> {
        self.all().filter(move |analyzer| analyzer.subject() == *kind)
    }

    /// The names of those that read logs.
    pub fn reading_logs(&self) -> impl Iterator<Item = &str> {
        self.all().filter(|analyzer| analyzer.reads_logs()).map(Analyzer::name)
    }

    /// Whether one of them reads what is in ConfigMaps.
    #[must_use]
    pub fn reads_config_maps(&self) -> bool {
        self.all().any(Analyzer::reads_config_maps)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all().map(Analyzer::name)
    }

    fn all(&self) -> impl Iterator<Item = &dyn Analyzer> {
        let known = self.known.iter().map(|analyzer| *analyzer as &dyn Analyzer);
        known.chain(self.made.iter().map(AsRef::as_ref))
    }

    fn of_known(chosen: impl Fn(&dyn Analyzer) -> bool) -> Self {
        let known = analyzers::all().iter().copied().filter(|analyzer| chosen(*analyzer)).collect();
        Self { known, made: Vec::new() }
    }
}

/// The names of the analyzers that `name` stands for: one, or those of a group.
fn named(name: &str) -> Result<Vec<&'static str>, UnknownAnalyzer> {
    let all = analyzers::all();
    let is = |other: &str| other.eq_ignore_ascii_case(name);
    let found: Vec<&'static str> = all
        .iter()
        .filter(|analyzer| is(analyzer.name()) || analyzer.group().is_some_and(is))
        .map(|analyzer| analyzer.name())
        .collect();
    if found.is_empty() {
        let known = all.iter().map(|analyzer| analyzer.name()).collect();
        return Err(UnknownAnalyzer { name: name.to_owned(), known });
    }
    Ok(found)
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
    fn the_name_of_a_group_stands_for_all_of_the_group() {
        let parts = |name: &str| Selection::new(&[name], &[], &[]).unwrap().names().count();
        for (group, count) in
            [("Storage", 3), ("deletion", 3), ("SECURITY", 4), ("OLM", 7), ("prometheus", 2)]
        {
            assert_eq!(parts(group), count, "{group}");
        }
        assert_eq!(parts("Storage/StorageClass"), 1, "a part by its own name");
        let less = Selection::new(&["Storage"], &[], &["Storage/PersistentVolume"]).unwrap();
        assert_eq!(less.names().count(), parts("Storage") - 1);
    }

    #[test]
    fn who_reads_logs_or_config_maps_says_so() {
        let of = |name: &str| Selection::new(&[name], &[], &[]).unwrap();
        assert_eq!(of("Log").reading_logs().collect::<Vec<_>>(), ["Log"]);
        assert_eq!(Selection::standard().reading_logs().count(), 0);
        assert!(of("Prometheus").reads_config_maps() && !Selection::standard().reads_config_maps());
    }

    #[test]
    fn a_misspelt_filter_is_an_error_that_lists_the_names() {
        let error = Selection::new(&["Pods"], &[], &[]).err().unwrap().to_string();
        assert!(error.contains("\"Pods\"") && error.contains("Pod"), "{error}");
    }
}
