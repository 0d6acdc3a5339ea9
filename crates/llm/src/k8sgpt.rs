//! `spec.ai` of a K8sGPT resource as the variables of [`settings`].

use std::collections::BTreeMap;

use asya_settings::Errors;
use serde_json::Value;

use crate::settings::{self, Settings};

/// The resource's own default.
const BACKEND: &str = "openai";
/// The resource's default of `topk`: nobody chose it, and newer models refuse it.
const DEFAULT_TOP_K: &str = "50";
/// Stands for the key, which is in a Secret, while the rest is checked.
const PLACEHOLDER: &str = "in the Secret";

/// Fields that are a variable each.
const FIELDS: [(&str, &str); 9] = [
    ("backend", settings::BACKEND),
    ("model", settings::MODEL),
    ("baseUrl", settings::BASE_URL),
    ("engine", settings::AZURE_DEPLOYMENT),
    ("azureAPIType", settings::AZURE_API_TYPE),
    ("region", settings::REGION),
    ("proxyEndpoint", settings::PROXY),
    ("maxTokens", settings::MAX_TOKENS),
    ("customHeaders", settings::HEADERS),
];

/// The variables that `spec.ai` means, without the key: where `spec.ai.secret` is set, the caller gives it as
/// [`settings::API_KEY`] or a file. `enabled`, `anonymized`, `language`, `autoRemediation` and `secret` are for others.
///
/// `backOff.maxRetries` counts if `backOff.enabled`; without it there are the usual few tries. `topk` counts if it is not
/// the resource's default. `providerId` belongs to backends that are not built in.
///
/// # Errors
/// Everything that is wrong, by the path of its field.
pub fn variables(ai: &Value) -> Result<BTreeMap<&'static str, String>, Errors> {
    let mut wrong = Vec::new();
    let mut variables = BTreeMap::from([(settings::BACKEND, BACKEND.to_owned())]);
    for (field, variable) in FIELDS {
        match text(ai.get(field)) {
            Ok(Some(text)) => {
                variables.insert(variable, text);
            }
            Ok(None) => {}
            Err(what) => wrong.push(format!("spec.ai.{field}: {what}")),
        }
    }
    match text(ai.get("topk")) {
        Ok(Some(text)) if text != DEFAULT_TOP_K => {
            variables.insert(settings::TOP_K, text);
        }
        Ok(_) => {}
        Err(what) => wrong.push(format!("spec.ai.topk: {what}")),
    }
    if ai.pointer("/backOff/enabled").and_then(Value::as_bool).unwrap_or_default() {
        match ai.pointer("/backOff/maxRetries").and_then(Value::as_u64) {
            Some(retries) => {
                variables.insert(settings::TRIES, retries.saturating_add(1).to_string());
            }
            None => wrong.push("spec.ai.backOff.maxRetries: must be a whole number".to_owned()),
        }
    }
    let secret = ai.get("secret").is_some_and(Value::is_object);
    let checked = Settings::read(|name| match name {
        settings::API_KEY if secret => Some(PLACEHOLDER.to_owned()),
        name => variables.get(name).cloned(),
    });
    if let Err(Errors(errors)) = checked {
        wrong.extend(errors.iter().map(|error| by_field(error)));
    }
    if wrong.is_empty() { Ok(variables) } else { Err(Errors(wrong)) }
}

/// Texts, and numbers where people write them instead.
fn text(value: Option<&Value>) -> Result<Option<String>, String> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(other) => Err(format!("{other} must be a text")),
    }
}

/// An error with paths of fields instead of names of variables.
fn by_field(error: &str) -> String {
    let mut text = error.replace(&format!(" (or {}_FILE)", settings::API_KEY), "");
    let others =
        [("topk", settings::TOP_K), ("backOff.maxRetries", settings::TRIES), ("secret", settings::API_KEY)];
    for (field, variable) in FIELDS.into_iter().chain(others) {
        text = text.replace(variable, &format!("spec.ai.{field}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_sample_of_k8sgpt_is_understood() {
        let ai = json!({
            "enabled": true, "model": "gpt-4o-mini", "backend": "openai", "anonymized": true, "language": "english",
            "secret": {"name": "k8sgpt-sample-secret", "key": "openai-api-key"}, "maxTokens": "2048", "topk": "50",
            "backOff": {"enabled": false, "maxRetries": 5}
        });
        assert_eq!(
            variables(&ai).unwrap(),
            BTreeMap::from([
                (settings::BACKEND, "openai".to_owned()),
                (settings::MODEL, "gpt-4o-mini".to_owned()),
                (settings::MAX_TOKENS, "2048".to_owned()),
            ])
        );
    }

    #[test]
    fn every_field_is_its_variable() {
        let ai = json!({
            "backend": "azureopenai", "model": "m", "baseUrl": "https://x.openai.azure.com", "engine": "dep",
            "azureAPIType": "AZURE_AD", "proxyEndpoint": "http://proxy:3128", "maxTokens": 100, "topk": "7",
            "customHeaders": "X-A:1,X-B:2", "region": "r", "backOff": {"enabled": true, "maxRetries": 4},
            "secret": {"name": "s", "key": "k"}
        });
        let read = variables(&ai).unwrap();
        for (variable, value) in [
            (settings::AZURE_DEPLOYMENT, "dep"),
            (settings::AZURE_API_TYPE, "AZURE_AD"),
            (settings::PROXY, "http://proxy:3128"),
            (settings::MAX_TOKENS, "100"),
            (settings::TOP_K, "7"),
            (settings::HEADERS, "X-A:1,X-B:2"),
            (settings::REGION, "r"),
            (settings::TRIES, "5"),
        ] {
            assert_eq!(read.get(variable).map(String::as_str), Some(value), "{variable}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_its_field() {
        for (ai, what) in [
            (
                json!({"backend": "skynet"}),
                "spec.ai.backend: the backend \"skynet\" is not known; there are openai",
            ),
            (
                json!({"backend": "amazonsagemaker"}),
                "spec.ai.backend: the backend \"amazonsagemaker\" is not built in",
            ),
            (json!({}), "spec.ai.secret: is required by the backend \"openai\""),
            (json!({"backend": "localai"}), "spec.ai.model: is required"),
            (
                json!({"backend": "ollama", "engine": "e"}),
                "spec.ai.engine: is for the backend \"azureopenai\"",
            ),
            (json!({"backend": "ollama", "maxTokens": "many"}), "spec.ai.maxTokens: "),
            (json!({"backend": "ollama", "maxTokens": {}}), "spec.ai.maxTokens: {} must be a text"),
            (json!({"backend": "ollama", "topk": "0"}), "spec.ai.topk: "),
            (json!({"backend": "ollama", "backOff": {"enabled": true}}), "spec.ai.backOff.maxRetries: "),
            (json!({"backend": "ollama", "proxyEndpoint": "x"}), "spec.ai.proxyEndpoint: "),
        ] {
            let error = variables(&ai).unwrap_err().to_string();
            assert!(error.contains(what) && !error.contains("ASYA_LLM"), "{what}: {error}");
        }
    }
}
