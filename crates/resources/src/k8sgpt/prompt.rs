//! How a model is asked.

use serde::{Deserialize, Serialize};

use super::KeyRef;

/// Kind of the prompt for everything that has none of its own.
pub const ANY_KIND: &str = "*";

/// How a model is asked about objects of a kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Prompt {
    /// Kind of the object, for example Pod; * for every kind that has no prompt of its own.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = 253)))]
    pub kind: String,
    /// The prompt, with the places {kind}, {name}, {language} and {evidence}, which it must have; a brace itself is written
    /// twice. Either this or configMap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Key of a ConfigMap that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<KeyRef>,
}

/// The prompt for objects of a kind, if the manifest has one.
pub fn prompt<'a>(prompts: &'a [Prompt], kind: &str) -> Option<&'a Prompt> {
    let of = |kind: &str| prompts.iter().find(|prompt| prompt.kind == kind);
    of(kind).or_else(|| of(ANY_KIND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_without_a_prompt_of_its_own_has_that_of_all() {
        let of = |kind: &str| Prompt { kind: kind.to_owned(), text: Some(kind.to_owned()), config_map: None };
        let prompts = [of("*"), of("Pod")];
        let found = |prompts: &[Prompt], kind: &str| prompt(prompts, kind).map(|prompt| prompt.kind.clone());
        assert_eq!(found(&prompts, "Pod").as_deref(), Some("Pod"));
        assert_eq!(found(&prompts, "Node").as_deref(), Some("*"));
        assert_eq!(found(&prompts[1..], "Node"), None);
    }
}
