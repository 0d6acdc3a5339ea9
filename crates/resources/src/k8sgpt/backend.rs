//! Who runs the model.

use serde::{Deserialize, Serialize};

/// Who runs the model. Everything that speaks OpenAI's protocol works as openai with baseUrl.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// OpenAI, or any server that speaks its protocol at baseUrl.
    #[default]
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// LocalAI, at baseUrl.
    LocalAi,
    /// Ollama, at baseUrl.
    Ollama,
    /// Azure OpenAI: baseUrl is the resource, engine the deployment.
    AzureOpenAi,
    /// Cohere.
    Cohere,
    /// Amazon Bedrock; region is needed.
    AmazonBedrock,
    /// Amazon Bedrock through its Converse API; region is needed.
    AmazonBedrockConverse,
    /// Amazon SageMaker.
    AmazonSageMaker,
    /// Google AI Studio.
    Google,
    /// Answers with the prompt; for trying out.
    NoOpAi,
    /// Hugging Face.
    HuggingFace,
    /// Google Vertex AI; providerId is the project.
    GoogleVertexAi,
    /// Oracle Cloud.
    Oci,
    /// A server of one's own with K8sGPT's simple protocol, at baseUrl.
    CustomRest,
    /// IBM watsonx.
    IbmWatsonxAi,
    /// Groq.
    Groq,
    /// Amazon Bedrock through its OpenAI-compatible endpoint; region is needed.
    BedrockMantle,
    /// LiteLLM, at baseUrl.
    LiteLlm,
}

impl Backend {
    /// Every backend, in the order of the reference page.
    pub const ALL: [Self; 19] = [
        Self::OpenAi,
        Self::Anthropic,
        Self::LocalAi,
        Self::Ollama,
        Self::AzureOpenAi,
        Self::Cohere,
        Self::AmazonBedrock,
        Self::AmazonBedrockConverse,
        Self::AmazonSageMaker,
        Self::Google,
        Self::NoOpAi,
        Self::HuggingFace,
        Self::GoogleVertexAi,
        Self::Oci,
        Self::CustomRest,
        Self::IbmWatsonxAi,
        Self::Groq,
        Self::BedrockMantle,
        Self::LiteLlm,
    ];

    /// As it is written in a manifest.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::Anthropic => "anthropic",
            Self::LocalAi => "localai",
            Self::Ollama => "ollama",
            Self::AzureOpenAi => "azureopenai",
            Self::Cohere => "cohere",
            Self::AmazonBedrock => "amazonbedrock",
            Self::AmazonBedrockConverse => "amazonbedrockconverse",
            Self::AmazonSageMaker => "amazonsagemaker",
            Self::Google => "google",
            Self::NoOpAi => "noopai",
            Self::HuggingFace => "huggingface",
            Self::GoogleVertexAi => "googlevertexai",
            Self::Oci => "oci",
            Self::CustomRest => "customrest",
            Self::IbmWatsonxAi => "ibmwatsonxai",
            Self::Groq => "groq",
            Self::BedrockMantle => "bedrockmantle",
            Self::LiteLlm => "litellm",
        }
    }

    /// The backend of a name as it is written in a manifest.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|backend| backend.as_str() == text)
    }

    /// Whether it answers without `ai.secret`: it needs no key, or finds credentials in its surroundings.
    pub const fn works_without_secret(self) -> bool {
        matches!(
            self,
            Self::LocalAi
                | Self::Ollama
                | Self::AmazonSageMaker
                | Self::AmazonBedrock
                | Self::AmazonBedrockConverse
                | Self::GoogleVertexAi
                | Self::NoOpAi
                | Self::Oci
                | Self::CustomRest
                | Self::BedrockMantle
                | Self::LiteLlm
        )
    }

    /// Whether a key must be given: it answers nobody without one.
    pub const fn needs_key(self) -> bool {
        !self.works_without_secret() || matches!(self, Self::BedrockMantle)
    }

    /// Whether it has no address that everybody knows.
    pub const fn needs_address(self) -> bool {
        matches!(self, Self::CustomRest | Self::LiteLlm | Self::LocalAi | Self::Ollama | Self::AzureOpenAi)
    }

    /// What to use instead of one that has no client here.
    pub const fn instead(self) -> Option<&'static str> {
        Some(match self {
            Self::GoogleVertexAi => {
                "set backend google with a key of the Gemini API, or backend litellm with the baseUrl of a LiteLLM in front of it"
            }
            Self::AmazonSageMaker => {
                "set backend amazonbedrock for Amazon's own models, or backend localai with the baseUrl of an endpoint \
                 that speaks OpenAI's protocol"
            }
            Self::IbmWatsonxAi | Self::Oci => {
                "set backend litellm with the baseUrl of a LiteLLM in front of it, or backend openai with the baseUrl of \
                 what speaks OpenAI's protocol"
            }
            _ => return None,
        })
    }

    /// Whether credentials of AWS are what `ai.secret` holds.
    pub const fn is_aws(self) -> bool {
        matches!(
            self,
            Self::AmazonBedrock | Self::AmazonBedrockConverse | Self::AmazonSageMaker | Self::BedrockMantle
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, to_value};

    use super::*;

    #[test]
    fn every_backend_is_written_as_its_name_says() {
        for backend in Backend::ALL {
            assert_eq!(to_value(backend).unwrap(), backend.as_str());
            assert_eq!(Backend::parse(backend.as_str()), Some(backend));
            assert_eq!(from_value::<Backend>(Value::from(backend.as_str())).unwrap(), backend);
        }
        assert_eq!(Backend::parse("OpenAI"), None);
    }
}
