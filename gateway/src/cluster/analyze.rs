//! `analyze`: what `asya analyze` does, within bounds.

use std::collections::BTreeSet;

use asya_analysis::{Selection, Severity};
use asya_cluster::{
    Api, Catalogue, Collector, Refusal, Scope,
    report::{Place, Report, json::json},
    scope,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{
    ANSWER, about,
    arguments::{Count, Labels, Namespace},
    refused::refused,
    size,
};
use crate::service::Error;

/// Most filters that one call names: as many as there are analyzers, and more.
const MAX_FILTERS: usize = 100;
/// Requests under way at once.
const AT_ONCE: usize = 8;
/// What is told of explanations.
const UNEXPLAINED: &str =
    "explain: no model is asked here; list-findings has what the actor explain said of what it knows";

/// What is analysed. K8sGPT's other arguments are taken too: they say how a model is asked, and none is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Wanted {
    #[serde(default)]
    namespace: Namespace,
    #[serde(default)]
    label_selector: Labels,
    #[serde(default)]
    filters: Vec<String>,
    #[serde(default)]
    explain: bool,
    max_concurrency: Option<Count>,
    #[serde(default, rename = "backend")]
    _backend: Value,
    #[serde(default, rename = "language")]
    _language: Value,
    #[serde(default, rename = "anonymize")]
    _anonymize: Value,
    #[serde(default, rename = "noCache")]
    _no_cache: Value,
    #[serde(default, rename = "withDoc")]
    _with_doc: Value,
}

impl Wanted {
    /// What is wrong with the arguments, before anything is asked.
    fn selection(&self) -> Result<(Selection, BTreeSet<asya_analysis::GroupKind>), Error> {
        let wrong =
            |reason: String| Error::invalid("filters", format!("filters: {reason}; list-filters has them"));
        if self.filters.len() > MAX_FILTERS {
            return Err(wrong(format!("at most {MAX_FILTERS}")));
        }
        let selection = Selection::new(&self.filters, &[], &[]).map_err(|error| wrong(error.to_string()))?;
        // What somebody named is looked at even if it belongs to no namespace.
        let named = if self.filters.is_empty() { BTreeSet::new() } else { selection.subjects() };
        Ok((selection, named))
    }

    pub(super) async fn answer(self, api: &Api) -> Result<Value, Error> {
        let (selection, named) = self.selection()?;
        let Self { namespace: Namespace(namespace), label_selector: Labels(labels), explain, .. } = self;
        let at_once = self
            .max_concurrency
            .map_or(AT_ONCE, |Count(most)| usize::try_from(most).unwrap_or(AT_ONCE).clamp(1, AT_ONCE));
        let scope = match namespace {
            None => Scope::Everywhere { without: BTreeSet::new() },
            Some(namespace) => {
                let these = BTreeSet::from([namespace]);
                if let Some(absent) = scope::absent(api, &these).await {
                    let name = format!("{absent}; list-namespaces shows which there are");
                    return Err(Error::NotFound { what: "namespace", name });
                }
                Scope::Namespaces(these)
            }
        };
        let version = about::version(api).await?;
        let catalogue =
            Catalogue::read(api).await.map_err(|refusal| refused(&refusal, "get", "discovery", None))?;
        let analyzers = selection.names().map(str::to_owned).collect();
        let logs = selection.reading_logs().next().is_some();
        let api = api.clone();
        // Secrets are not read: what depends on one is told as not verified.
        let collector =
            Collector { api, catalogue, selection, named, scope, labels, secrets: false, logs, at_once };
        let now = Timestamp::now();
        let collected = collector.run(now, &|_| {}).await;
        if let Some(wrong) = collected.unread.iter().find(|unread| unread.subject && unread.wrong)
            && !collector.labels.is_empty()
        {
            let refusal =
                Refusal::Wrong(format!("labelSelector: {}; such as app=web,tier!=test", wrong.said));
            return Err(refused(&refusal, "list", &wrong.resource, None));
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
        if explain {
            report.notes.push(UNEXPLAINED.to_owned());
        }
        Ok(fitting(json(&report)))
    }
}

/// The report with as many results, the worst first, as an answer holds.
fn fitting(mut report: Value) -> Value {
    let results = report["results"].as_array_mut().map(std::mem::take).unwrap_or_default();
    let all = results.len();
    let mut bytes = size(&report);
    let fits = |result: &Value| {
        bytes += size(result);
        bytes <= ANSWER
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
