//! Asks a model for a changed manifest, without telling it a name or a secret.

use std::sync::Arc;

use asya_analysis::{Finding, Lifecycle};
use asya_llm::{
    Guarded, Kind, Model,
    budget::Account,
    change::{self, Answer, MANIFEST},
    mask::Masking,
    prompt::Evidence,
};
use asya_store::{Expect, Store, Write};
use bytes::Bytes;
use serde_json::{Map, Value};
use tokio::sync::OnceCell;

use super::{kinds::Mendable, record::Remedy, settings::Settings};
use crate::{actor::ActError, analysis::explain::names::Names};

/// What the budget's window has taken; not that of explain, whose process is another.
const BUDGET: &str = "analysis_budget";
const ACCOUNT: &str = "remedy";
/// What every mask begins with: one that is left in an answer stands for nothing.
const MASK: &str = "masked-";

/// What a model says.
pub(super) enum Said {
    /// The object as it is to be.
    Changed(Value),
    /// It knows no fix, or says something that is none; why.
    Nothing(String),
    /// It does not answer now; why.
    Away(String),
}

/// Who asks.
pub(super) struct Asker {
    store: Arc<dyn Store>,
    names: Names,
    settings: asya_llm::Settings,
    model: OnceCell<Guarded<Box<dyn Model>>>,
}

impl Asker {
    /// Somebody who asks the model of the settings; none: they name none.
    pub(super) fn new(store: Arc<dyn Store>, settings: &Settings) -> Option<Self> {
        let model = settings.model.clone()?;
        let names = Names::new(store.clone(), settings.secret.clone());
        Some(Self { names, store, settings: model, model: OnceCell::new() })
    }

    /// What a model makes of an object.
    pub(super) async fn ask(
        &self,
        kind: Mendable,
        remedy: &Remedy,
        object: &Value,
    ) -> Result<Said, ActError> {
        if object.to_string().len() > MANIFEST {
            return Ok(Said::Nothing(format!("its manifest has more than {MANIFEST} bytes")));
        }
        let Remedy { finding, target, .. } = remedy;
        let masker = self.names.of(&finding.cluster).await?;
        let mut masking = masker.masking();
        let evidence = evidence(remedy, &mut masking);
        let namespace = target.namespace.as_deref().unwrap_or_default();
        let name = format!("{}/{}", masking.name(namespace), masking.name(&target.name));
        let manifest = masking.json_naming(object, &own(remedy));
        let request = change::question(kind.kind, &name, &evidence, &manifest);
        let model = self.model().await?;
        let answered = model.complete(&request).await;
        if let Ok(account) = serde_json::to_vec(&model.account()) {
            let (key, value) = (ACCOUNT.to_owned(), Some(Bytes::from(account)));
            self.store.commit(vec![Write { table: BUDGET, key, value, expect: Expect::Anything }]).await?;
        }
        let response = match answered {
            Ok(response) => response,
            Err(error) => {
                return Ok(match error.kind {
                    Kind::TooLong | Kind::Refused | Kind::Malformed | Kind::NotRecorded { .. } => {
                        Said::Nothing(error.to_string())
                    }
                    _ => Said::Away(error.to_string()),
                });
            }
        };
        Ok(match change::answer(&response) {
            Ok(Answer::NoFix) => Said::Nothing("the model knows no fix".to_owned()),
            Err(wrong) => Said::Nothing(wrong.to_string()),
            Ok(Answer::Manifest(manifest)) => {
                let manifest = masking.unmask_json(&manifest);
                let is_left = |value: &Value| value.to_string().contains(MASK);
                if is_left(&manifest) && !is_left(object) {
                    Said::Nothing("the answer names what was not in the question".to_owned())
                } else {
                    Said::Changed(manifest)
                }
            }
        })
    }

    /// A manifest for people: `***` for what looks like a secret.
    pub(super) async fn shown(&self, cluster: &str, value: &Value) -> Result<Value, ActError> {
        let masker = self.names.of(cluster).await?;
        let mut masking = masker.masking();
        let masked = masking.json(value);
        Ok(unmasked(&masked, &masking))
    }

    /// The model, going on with what its window had taken.
    async fn model(&self) -> Result<&Guarded<Box<dyn Model>>, ActError> {
        let begin = async || {
            let record = self.store.get(BUDGET, ACCOUNT).await?;
            let account = record.and_then(|record| serde_json::from_slice::<Account>(&record.value).ok());
            self.settings.build(account.unwrap_or_default()).map_err(ActError::Unfit)
        };
        self.model.get_or_try_init(begin).await
    }
}

/// Names of what is broken and of what is mended.
fn own(remedy: &Remedy) -> Vec<&str> {
    let objects = [&remedy.finding.object, &remedy.target].into_iter();
    objects.flat_map(|object| [Some(object.name.as_str()), object.namespace.as_deref()]).flatten().collect()
}

/// What is wrong, masked: what was found, where it is seen, and what a model said of it.
fn evidence(remedy: &Remedy, masking: &mut Masking<'_>) -> Vec<Evidence> {
    let Remedy { finding, explanation, .. } = remedy;
    let own = own(remedy);
    let mut all = Vec::new();
    for failure in &finding.failures {
        let names: Vec<&str> =
            own.iter().copied().chain(failure.sensitive.iter().map(String::as_str)).collect();
        all.push((failure.code.clone(), masking.naming(&failure.text, &names)));
        for seen in &failure.evidence {
            let Some(value) = &seen.value else { continue };
            all.push((masking.naming(&seen.path, &names), masking.naming(value, &names)));
        }
    }
    all.push(("explanation".to_owned(), masking.naming(explanation, &own)));
    asya_llm::prompt::numbered(all)
}

/// Names as they were, secrets as `***`.
fn unmasked(value: &Value, masking: &Masking<'_>) -> Value {
    match value {
        Value::String(text) => Value::String(masking.unmask_names(text)),
        Value::Array(items) => items.iter().map(|item| unmasked(item, masking)).collect(),
        Value::Object(map) => {
            let fields = map.iter().map(|(key, value)| (masking.unmask_names(key), unmasked(value, masking)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        plain => plain.clone(),
    }
}

/// Whether a finding is open as it was when it was asked about. One that is not in this database nobody can look after.
pub(super) fn stands(now: Option<&Finding>, then: &Finding) -> bool {
    now.is_some_and(|now| now.lifecycle != Lifecycle::Resolved && now.fingerprint == then.fingerprint)
}
