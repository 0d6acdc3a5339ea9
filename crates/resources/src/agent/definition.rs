//! Texts from ConfigMaps, put where the spec names them.

use serde::Deserialize;
use serde_json::json;

use super::{Agent, AgentSpec, KIND, Model, Objection, Tools, rules};
use crate::{API_VERSION, check::path_text};

/// What a `definition.json` holds.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Definition {
    prompt: String,
    #[serde(default)]
    tools: Option<Tools>,
    #[serde(default)]
    model: Option<Model>,
}

impl Agent {
    /// The agent with the text that [`source`](AgentSpec::source) names in its place; itself where it names none. What a
    /// ConfigMap says keeps the same rules as a manifest.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn resolved(&self, text: Option<&str>) -> Result<Self, Objection> {
        let Some(text) = text else { return Ok(self.clone()) };
        let spec = match &self.spec.definition_ref {
            None => AgentSpec { prompt: Some(text.to_owned()), prompt_from: None, ..self.spec.clone() },
            Some(from) => {
                let wrong =
                    |error| Objection::DefinitionInvalid(format!("{} of {}: {error}", from.key, from.name));
                let definition: Definition = serde_json::from_str(text).map_err(wrong)?;
                AgentSpec {
                    prompt: Some(definition.prompt),
                    definition_ref: None,
                    tools: self.spec.tools.clone().or(definition.tools),
                    model: self.spec.model.clone().or(definition.model),
                    ..self.spec.clone()
                }
            }
        };
        let metadata = json!({ "name": self.metadata.name });
        let whole = json!({ "apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": spec });
        let problems = rules::check(&whole);
        if !problems.is_empty() {
            let from = self.spec.source().map_or("", |(name, _)| name);
            let sentences: Vec<_> =
                problems.iter().map(|it| format!("{}: {}", path_text(&it.path), it.message)).collect();
            return Err(Objection::DefinitionInvalid(format!("with {from}: {}", sentences.join("; "))));
        }
        Ok(Self { spec, ..self.clone() })
    }
}
