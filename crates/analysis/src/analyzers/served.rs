//! Answers about kinds that a cluster need not have: one that is not installed is no doubt, because nobody can grant or
//! repair what is not there.

use crate::report::Report;
use crate::view::{Lookup, Unverified};

/// As [`Report::known`], for a kind that a cluster need not have: none, nobody can say; some none, it is not there.
pub(crate) fn known_if_served<T>(
    report: &mut Report,
    code: &str,
    about: impl ToString,
    lookup: Lookup<T>,
) -> Option<Option<T>> {
    match lookup {
        Lookup::Unverified(Unverified::NotInstalled) => None,
        lookup => report.known(code, about, lookup),
    }
}

/// As [`Report::listed`], for a kind that a cluster need not have.
pub(crate) fn listed_if_served<T>(
    report: &mut Report,
    code: &str,
    about: impl ToString,
    list: Result<Vec<T>, Unverified>,
) -> Option<Vec<T>> {
    match list {
        Err(Unverified::NotInstalled) => None,
        list => report.listed(code, about, list),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_that_is_not_installed_is_no_doubt() {
        let mut report = Report::default();
        let lookup = |why| Lookup::<()>::Unverified(why);
        assert_eq!(known_if_served(&mut report, "Code", "it", lookup(Unverified::NotInstalled)), None);
        let list = Err(Unverified::NotInstalled);
        assert_eq!(listed_if_served::<()>(&mut report, "Code", "all", list), None);
        assert!(report.doubts().is_empty());
        assert_eq!(known_if_served(&mut report, "Code", "it", lookup(Unverified::Forbidden)), None);
        assert_eq!(report.doubts().len(), 1);
    }
}
