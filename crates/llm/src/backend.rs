//! The providers by name, those of K8sGPT among them.

use crate::dialect::{Dialect, openai::OpenAi};

/// A provider that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) speaks: Speaks,
    /// Where it is, unless a base URL says otherwise; `{region}` is the region. `None`: a base URL is required.
    pub(crate) base: Option<&'static str>,
    /// Whether a key is required.
    pub(crate) key: bool,
    /// The model, unless one is named. `None`: it is required.
    pub(crate) model: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speaks {
    OpenAi,
    /// OpenAI itself: it insists on `max_completion_tokens`.
    OpenAiItself,
    /// Compatible, without `stream_options`.
    Cohere,
    Azure,
    Anthropic,
    Gemini,
    Converse,
    Rest,
    Echo,
}

const fn backend(
    name: &'static str,
    speaks: Speaks,
    base: Option<&'static str>,
    key: bool,
    model: Option<&'static str>,
) -> Backend {
    Backend { name, speaks, base, key, model }
}

/// Addresses are those of the providers' documentation; models those of K8sGPT, where it has a default that still works.
pub(crate) const BACKENDS: [Backend; 16] = [
    backend("openai", Speaks::OpenAiItself, Some("https://api.openai.com/v1"), true, Some("gpt-4o-mini")),
    backend("azureopenai", Speaks::Azure, None, true, None),
    backend("openai-compatible", Speaks::OpenAi, None, false, None),
    backend("localai", Speaks::OpenAi, Some("http://localhost:8080/v1"), false, None),
    backend("ollama", Speaks::OpenAi, Some("http://localhost:11434/v1"), false, Some("llama3")),
    backend("vllm", Speaks::OpenAi, Some("http://localhost:8000/v1"), false, None),
    backend("litellm", Speaks::OpenAi, Some("http://localhost:4000/v1"), false, None),
    backend("groq", Speaks::OpenAi, Some("https://api.groq.com/openai/v1"), true, None),
    backend("huggingface", Speaks::OpenAi, Some("https://router.huggingface.co/v1"), true, None),
    backend("cohere", Speaks::Cohere, Some("https://api.cohere.ai/compatibility/v1"), true, None),
    backend("bedrockmantle", Speaks::OpenAi, Some("https://bedrock-mantle.{region}.api.aws/v1"), true, None),
    backend(
        "amazonbedrock",
        Speaks::Converse,
        Some("https://bedrock-runtime.{region}.amazonaws.com"),
        false,
        None,
    ),
    backend("anthropic", Speaks::Anthropic, Some("https://api.anthropic.com/v1"), true, None),
    backend("google", Speaks::Gemini, Some("https://generativelanguage.googleapis.com/v1beta"), true, None),
    backend("customrest", Speaks::Rest, None, false, None),
    backend("noopai", Speaks::Echo, Some(""), false, Some("echo")),
];

/// Other names of the same.
const ALIASES: [(&str, &str); 6] = [
    ("amazonbedrockconverse", "amazonbedrock"),
    ("azure", "azureopenai"),
    ("compatible", "openai-compatible"),
    ("gemini", "google"),
    ("noop", "noopai"),
    ("lmstudio", "openai-compatible"),
];

/// Backends of K8sGPT that are not here, and what to take instead.
const MISSING: [(&str, &str); 4] = [
    ("amazonsagemaker", "put an OpenAI-compatible server such as LiteLLM in front of it"),
    ("googlevertexai", "use google with a key of the Gemini API, or put LiteLLM in front of it"),
    ("oci", "put an OpenAI-compatible server such as LiteLLM in front of it"),
    ("ibmwatsonxai", "put an OpenAI-compatible server such as LiteLLM in front of it"),
];

/// The backend of this name.
///
/// # Errors
/// A sentence that lists what there is.
pub(crate) fn find(name: &str) -> Result<Backend, String> {
    let lower = name.to_ascii_lowercase();
    let real = ALIASES.iter().find(|(alias, _)| *alias == lower).map_or(lower.as_str(), |(_, real)| real);
    if let Some(backend) = BACKENDS.iter().find(|backend| backend.name == real) {
        return Ok(*backend);
    }
    let there_are = BACKENDS.map(|backend| backend.name).join(", ");
    Err(match MISSING.iter().find(|(missing, _)| *missing == real) {
        Some((_, instead)) => {
            format!("the backend {name:?} is not built in: {instead}; there are {there_are}")
        }
        None => format!("the backend {name:?} is not known; there are {there_are}"),
    })
}

impl Backend {
    /// How it is spoken to; Azure's and the echo's are not said by the name alone.
    pub(crate) fn dialect(&self) -> Option<Dialect> {
        Some(match self.speaks {
            Speaks::OpenAi => Dialect::OpenAi(OpenAi::default()),
            Speaks::OpenAiItself => Dialect::OpenAi(OpenAi { completion_tokens: true, ..OpenAi::default() }),
            Speaks::Cohere => Dialect::OpenAi(OpenAi { no_stream_options: true, ..OpenAi::default() }),
            Speaks::Anthropic => Dialect::Anthropic,
            Speaks::Gemini => Dialect::Gemini,
            Speaks::Converse => Dialect::Converse,
            Speaks::Rest => Dialect::Rest,
            Speaks::Azure | Speaks::Echo => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_backend_of_k8sgpt_is_here_or_refused_with_what_to_do() {
        // The reference's list.
        for name in "openai anthropic localai ollama azureopenai cohere amazonbedrock amazonbedrockconverse \
                     amazonsagemaker google noopai huggingface googlevertexai oci customrest ibmwatsonxai groq \
                     bedrockmantle litellm"
            .split_whitespace()
        {
            match find(name) {
                Ok(backend) => assert!(name.starts_with(backend.name)),
                Err(error) => assert!(error.contains("is not built in: ") && error.contains("litellm"), "{error}"),
            }
        }
    }

    #[test]
    fn an_unknown_backend_is_told_what_there_is() {
        let error = find("skynet").unwrap_err();
        assert!(
            error.starts_with("the backend \"skynet\" is not known; there are openai, azureopenai, "),
            "{error}"
        );
    }

    #[test]
    fn other_names_are_the_same_backend() {
        assert_eq!(find("Gemini").unwrap().name, "google");
        assert_eq!(find("noop").unwrap().name, "noopai");
    }
}
