//! The analyzers, a file each with its table of cases beside it.

use crate::analyzer::Analyzer;

mod pod;
mod words;

/// All analyzers there are.
#[must_use]
pub fn all() -> &'static [&'static dyn Analyzer] {
    &[&pod::PodAnalyzer]
}

#[cfg(test)]
pub(crate) mod testing;
