//! What the analyzers found about an object, and what they could not verify.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::scrub::scrub;
use crate::view::{Lookup, Unverified};

/// A failure that may or may not be there: what would show it could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The code of the failure; a finding with it keeps its last state. `*` stands for all.
    pub code: String,
    /// What was asked for.
    pub about: String,
    /// Why there is no answer.
    pub why: Unverified,
}

/// What the analyzers of one object found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    failures: Vec<Failure>,
    doubts: Vec<Doubt>,
    /// Who is looking.
    #[serde(skip)]
    analyzer: Option<String>,
}

impl Report {
    /// Adds a failure; the same one twice counts once, whoever found it.
    pub fn fail(&mut self, mut failure: Failure) {
        let is_known = self.failures.iter().any(|known| {
            failure.analyzer.clone_from(&known.analyzer);
            *known == failure
        });
        if !is_known {
            failure.analyzer.clone_from(&self.analyzer);
            self.failures.push(failure);
        }
    }

    /// Says who is looking from now on; none: nobody does any more.
    pub(crate) fn by(&mut self, analyzer: Option<&str>) {
        self.analyzer = analyzer.map(str::to_owned);
    }

    /// Notes that failures of `code` could not be looked for, because `about` could not be read.
    pub fn doubt(&mut self, code: &str, about: impl ToString, why: Unverified) {
        let doubt = Doubt { code: code.to_owned(), about: about.to_string(), why };
        if !self.doubts.contains(&doubt) {
            self.doubts.push(doubt);
        }
    }

    /// What was found, or nothing with a doubt about `code` if nobody could say. The outer `None` is the doubt.
    pub fn known<T>(&mut self, code: &str, about: impl ToString, lookup: Lookup<T>) -> Option<Option<T>> {
        match lookup {
            Lookup::Found(found) => Some(Some(found)),
            Lookup::NotFound => Some(None),
            Lookup::Unverified(why) => {
                self.doubt(code, about, why);
                None
            }
        }
    }

    /// What was listed, or nothing with a doubt about `code`.
    pub fn listed<T>(
        &mut self,
        code: &str,
        about: impl ToString,
        list: Result<Vec<T>, Unverified>,
    ) -> Option<Vec<T>> {
        list.map_err(|why| self.doubt(code, about, why)).ok()
    }

    /// The failures, in an order that does not depend on that of the analyzers.
    #[must_use]
    pub fn failures(&self) -> &[Failure] {
        &self.failures
    }

    /// What could not be verified.
    #[must_use]
    pub fn doubts(&self) -> &[Doubt] {
        &self.doubts
    }

    /// The codes in doubt.
    #[must_use]
    pub fn doubtful(&self) -> BTreeSet<&str> {
        self.doubts.iter().map(|doubt| doubt.code.as_str()).collect()
    }

    /// Takes what looks like a secret out of all that is told: words of containers, events and logs are in it.
    pub(crate) fn scrub(&mut self) {
        for failure in &mut self.failures {
            failure.text = scrub(&failure.text);
            for evidence in &mut failure.evidence {
                evidence.value = evidence.value.as_deref().map(scrub);
            }
        }
    }

    /// Sorts the failures; [`evaluate`](crate::evaluate()) does it once.
    pub(crate) fn sort(&mut self) {
        self.failures.sort();
    }
}
