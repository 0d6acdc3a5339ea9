//! `analyze`: what `asya analyze` does, within bounds.

use std::collections::BTreeSet;

use asya_cluster::{
    Api,
    look::{
        analysis,
        arguments::{Count, Labels, Namespace},
    },
    report::json::json,
};
use serde::Deserialize;
use serde_json::Value;

use super::ANSWER;
use crate::service::Error;

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
    pub(super) async fn answer(self, api: &Api) -> Result<Value, Error> {
        let Self { namespace: Namespace(namespace), label_selector: Labels(labels), filters, .. } = self;
        let wrong =
            |reason: String| Error::invalid("filters", format!("filters: {reason}; list-filters has them"));
        let mut wanted = analysis::Wanted::by(&filters).map_err(wrong)?;
        wanted.namespaces = namespace.map(|namespace| BTreeSet::from([namespace]));
        wanted.labels = labels;
        if let Some(Count(most)) = self.max_concurrency {
            wanted.at_once = usize::try_from(most).unwrap_or(analysis::AT_ONCE);
        }
        let mut report = wanted.run(api).await?;
        if self.explain {
            report.notes.push(UNEXPLAINED.to_owned());
        }
        Ok(analysis::fitting(json(&report), ANSWER))
    }
}
