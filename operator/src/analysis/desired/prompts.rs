//! How a model is asked: templates as files, `KIND.md` each.

use std::collections::BTreeMap;

use asya_resources::k8sgpt::{K8sGptSpec, Prompt, prompt::ANY_KIND};
use serde_json::{Value, json};

use super::Wanted;

/// Where they are mounted.
pub const DIR: &str = "/run/asya/prompts";
/// End of the ConfigMap's name.
const PART: &str = "prompts";
/// The place that a template must have: without it a model would be asked about nothing.
const EVIDENCE: &str = "{evidence}";

/// Prompts that can be used.
pub fn used(spec: &K8sGptSpec) -> Vec<&Prompt> {
    spec.prompts.iter().filter(|prompt| problem(prompt).is_none()).collect()
}

/// Why a prompt cannot be used.
pub fn problem(prompt: &Prompt) -> Option<String> {
    let kind = &prompt.kind;
    let fits = kind == ANY_KIND || kind.bytes().all(|byte| byte.is_ascii_alphanumeric());
    match (&prompt.text, &prompt.config_map) {
        _ if !fits => Some("is not used: kind must be the name of a kind, or *".to_owned()),
        (Some(text), _) if !text.contains(EVIDENCE) => {
            Some(format!("is not used: a prompt needs the place {EVIDENCE}, where what was found is put"))
        }
        (Some(_), _) => None,
        (None, Some(map)) if filled(&map.name).is_some() && filled(&map.key).is_some() => None,
        (None, _) => Some("is not used: set text, or configMap with name and key".to_owned()),
    }
}

fn filled(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

fn file(prompt: &Prompt) -> String {
    let name = if prompt.kind == ANY_KIND { "default" } else { &prompt.kind };
    format!("{name}.md")
}

/// Those that stand in the manifest itself.
pub fn config_map(wanted: &Wanted<'_>) -> Option<Value> {
    let texts: BTreeMap<_, _> = used(&wanted.subject.spec)
        .into_iter()
        .filter_map(|prompt| Some((file(prompt), prompt.text.as_deref()?)))
        .collect();
    let asked = wanted.subject.spec.explains();
    (asked && !texts.is_empty()).then(
        || json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": wanted.metadata(PART), "data": texts}),
    )
}

/// All of them as sources of one volume.
pub fn sources(wanted: &Wanted<'_>) -> Vec<Value> {
    let own = config_map(wanted).map(|_| json!({"configMap": {"name": wanted.subject.object(PART)}}));
    let theirs =
        used(&wanted.subject.spec).into_iter().filter(|prompt| prompt.text.is_none()).filter_map(|prompt| {
            let map = prompt.config_map.as_ref()?;
            let item = json!({"key": map.key, "path": file(prompt)});
            Some(json!({"configMap": {"name": map.name, "items": [item]}}))
        });
    own.into_iter().chain(theirs).collect()
}
