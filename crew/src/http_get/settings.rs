//! What http-get is told, read into types.

use std::{num::NonZeroUsize, path::PathBuf, time::Duration};

use asya_settings::{Errors, Reader, number, positive_duration, units};

use super::MOST_READ;
use crate::{
    http_call::{
        allow::Allow,
        settings::{DEFAULT_CONCURRENCY, DEFAULT_REDIRECTS, DEFAULT_TIMEOUT},
    },
    shipped::Variables,
};

/// Longest text of an answer: what a model reads for one call of a tool, some ten thousand tokens.
const DEFAULT_MAX_ANSWER: usize = 32 * 1024;

/// What http-get does, completely.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub(super) allow: Allow,
    pub(super) redirects: u32,
    pub(super) timeout: Duration,
    pub(super) max_answer: usize,
    pub(super) authorities: Option<PathBuf>,
    pub(super) concurrency: usize,
}

impl Settings {
    /// Reads the variables `ASYA_HTTP_*` that are meant for it.
    ///
    /// # Errors
    /// All that is wrong with them, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let mut read = Reader::default();
        let allow = read.required("ASYA_HTTP_ALLOW", variables.get("ASYA_HTTP_ALLOW"), |text| {
            Allow::parse(text).map_err(|errors| errors.join("; "))
        });
        let settings = Self {
            allow: allow.unwrap_or_default(),
            redirects: read.or(
                "ASYA_HTTP_REDIRECTS",
                variables.get("ASYA_HTTP_REDIRECTS"),
                DEFAULT_REDIRECTS,
                number,
            ),
            timeout: read.or(
                "ASYA_HTTP_TIMEOUT",
                variables.get("ASYA_HTTP_TIMEOUT"),
                DEFAULT_TIMEOUT,
                positive_duration,
            ),
            max_answer: read.or(
                "ASYA_HTTP_MAX_ANSWER",
                variables.get("ASYA_HTTP_MAX_ANSWER"),
                DEFAULT_MAX_ANSWER,
                |text| {
                    let fits = |size: &usize| (1..=MOST_READ).contains(size);
                    let size = units::bytes(text)?;
                    Some(size)
                        .filter(fits)
                        .ok_or_else(|| format!("{text} must be from 1 to {MOST_READ} bytes"))
                },
            ),
            authorities: variables.get("ASYA_HTTP_CA_FILE").map(|file| variables.base.join(file)),
            concurrency: read
                .or(
                    "ASYA_HTTP_CONCURRENCY",
                    variables.get("ASYA_HTTP_CONCURRENCY"),
                    NonZeroUsize::new(DEFAULT_CONCURRENCY).unwrap_or(NonZeroUsize::MIN),
                    number,
                )
                .get(),
        };
        read.done(settings).map_err(|Errors(errors)| errors)
    }
}
