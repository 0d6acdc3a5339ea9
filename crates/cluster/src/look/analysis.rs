//! What is broken: what `asya analyze` does, within bounds.

use std::collections::BTreeSet;

use asya_analysis::{GroupKind, Selection, Severity, scrub::scrub};
use jiff::Timestamp;
use serde_json::Value;

use super::{Error, kinds, version};
use crate::report::{Place, Report};
use crate::{Api, Collector, Scope, scope};

/// Most filters that one call names: as many as there are analyzers, and more.
const MAX_FILTERS: usize = 100;
/// Requests under way at once.
pub const AT_ONCE: usize = 8;

/// What is analysed.
#[derive(Clone)]
pub struct Wanted {
    selection: Selection,
    named: BTreeSet<GroupKind>,
    /// These namespaces; none: all, and what belongs to no namespace.
    pub namespaces: Option<BTreeSet<String>>,
    /// A label selector for what is looked at; empty: all.
    pub labels: String,
    /// Requests at once, at most [`AT_ONCE`].
    pub at_once: usize,
}

impl Wanted {
    /// With these analyzers; none: the usual ones.
    ///
    /// # Errors
    /// A sentence: there is none of such a name, or they are too many.
    pub fn by(filters: &[String]) -> Result<Self, String> {
        if filters.len() > MAX_FILTERS {
            return Err(format!("at most {MAX_FILTERS}"));
        }
        let selection = Selection::new(filters, &[], &[]).map_err(|error| error.to_string())?;
        // What somebody named is looked at even if it belongs to no namespace.
        let named = if filters.is_empty() { BTreeSet::new() } else { selection.subjects() };
        Ok(Self { selection, named, namespaces: None, labels: String::new(), at_once: AT_ONCE })
    }

    /// Looks. Secrets are not read: what depends on one is told as not verified.
    ///
    /// # Errors
    /// [`Error::NotThere`], [`Error::Selector`], and [`Error::Refused`] where not even the discovery is given.
    pub async fn run(self, api: &Api) -> Result<Report, Error> {
        let Self { selection, named, namespaces, labels, at_once } = self;
        let scope = match namespaces {
            None => Scope::Everywhere { without: BTreeSet::new() },
            Some(these) => {
                if let Some(absent) = scope::absent(api, &these).await {
                    return Err(Error::NotThere { name: absent.to_owned() });
                }
                Scope::Namespaces(these)
            }
        };
        let version = version(api).await?.git_version;
        let catalogue = kinds::catalogue(api).await?;
        let analyzers = selection.names().map(str::to_owned).collect();
        let logs = selection.reading_logs().next().is_some();
        let (api, at_once) = (api.clone(), at_once.clamp(1, AT_ONCE));
        let collector =
            Collector { api, catalogue, selection, named, scope, labels, secrets: false, logs, at_once };
        let now = Timestamp::now();
        let collected = collector.run(now, &|_| {}).await;
        if let Some(wrong) = collected.unread.iter().find(|unread| unread.subject && unread.wrong)
            && !collector.labels.is_empty()
        {
            return Err(Error::Selector(scrub(&wrong.said)));
        }
        let skipped: Vec<_> = collected.skipped.iter().map(ToString::to_string).collect();
        let place = Place {
            context: String::new(),
            server: String::new(),
            version,
            scope: collector.scope.to_string(),
        };
        let mut report = Report::new(place, now, analyzers, collected, Severity::Info);
        report.requests = collector.api.asked();
        if !skipped.is_empty() {
            let kinds = skipped.join(", ");
            report.notes.push(format!("not looked at: {kinds}: no part of a namespace; filters names them"));
        }
        Ok(report)
    }
}

/// The report as JSON with as many results, the worst first, as `most` bytes hold.
#[must_use]
pub fn fitting(mut report: Value, most: usize) -> Value {
    let size = |value: &Value| serde_json::to_vec(value).map_or(usize::MAX, |text| text.len());
    let results = report["results"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let all = results.len();
    let mut bytes = size(&report);
    let fits = |result: &Value| {
        bytes = bytes.saturating_add(size(result));
        bytes <= most
    };
    let kept: Vec<_> = results.into_iter().take_while(fits).collect();
    let left = all - kept.len();
    report["results"] = kept.into();
    if left > 0 {
        let note = format!("{left} results were left out, the least severe: narrow by namespace or filters");
        if let Some(notes) = report["notes"].as_array_mut() {
            notes.push(note.into());
        }
    }
    report
}
