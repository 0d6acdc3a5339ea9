//! Which model explains findings, and within which limits.

use serde::{Deserialize, Serialize};

use super::{Backend, KeyRef, TargetNamespaces};

/// Model unless told otherwise: the original's.
pub const DEFAULT_MODEL: &str = "gpt-4o-mini";
/// Language of explanations unless told otherwise: the original's.
pub const DEFAULT_LANGUAGE: &str = "english";
/// Most tokens of an answer unless told otherwise: the original's.
pub const DEFAULT_MAX_TOKENS: u32 = 2048;
/// Candidates of each token unless told otherwise: the original's.
pub const DEFAULT_TOP_K: u32 = 50;
/// Failures in a row after which the model is left alone for a while: the original's.
pub const DEFAULT_MAX_RETRIES: i64 = 5;
/// How alike old and new manifest must be, in percent, for a proposal to be kept: the original's.
pub const DEFAULT_SIMILARITY: &str = "90";

/// Which model explains findings, and within which limits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Ai {
    /// Whether findings are explained. While false they are still found and told.
    pub enabled: bool,
    /// Who runs the model. Everything that speaks OpenAI's protocol works as openai with baseUrl.
    pub backend: Backend,
    /// Name of the model, as the backend calls it.
    pub model: String,
    /// Address of the backend. Absent means the backend's public one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// Deployment of azureopenai.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
    /// Region of a cloud's backend, for example eu-central-1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Project or account at the backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_id: Option<String>,
    /// HTTP or HTTPS proxy on the way to the backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy_endpoint: Option<String>,
    /// How azureopenai is asked.
    #[serde(rename = "azureAPIType", skip_serializing_if = "Option::is_none")]
    pub azure_api_type: Option<AzureApiType>,
    /// Secret with the backend's key. For the backends of AWS it may stand without a key: then AWS_ACCESS_KEY_ID and
    /// AWS_SECRET_ACCESS_KEY are read from it. A backend without need of a key needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<KeyRef>,
    /// Whether names and what looks like a secret are masked before a model reads them, and put back into its answer.
    pub anonymized: bool,
    /// Language of explanations.
    pub language: String,
    /// Most tokens of an answer, in quotes.
    pub max_tokens: String,
    /// Candidates of each token, in quotes, for backends that know it.
    pub topk: String,
    /// Further headers of each request, as K1:V1,K2:V2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom_headers: Option<String>,
    /// When a failing backend is left alone for a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub back_off: Option<BackOff>,
    /// What a model may propose to change. Off unless enabled, and nothing is applied without approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_remediation: Option<AutoRemediation>,
    /// How much may be asked in all. What is above it waits and is explained later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// How fast may be asked. What is above it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

impl Default for Ai {
    fn default() -> Self {
        Self {
            enabled: false,
            backend: Backend::default(),
            model: DEFAULT_MODEL.to_owned(),
            base_url: None,
            engine: None,
            region: None,
            provider_id: None,
            proxy_endpoint: None,
            azure_api_type: None,
            secret: None,
            anonymized: true,
            language: DEFAULT_LANGUAGE.to_owned(),
            max_tokens: DEFAULT_MAX_TOKENS.to_string(),
            topk: DEFAULT_TOP_K.to_string(),
            custom_headers: None,
            back_off: None,
            auto_remediation: None,
            budget: None,
            rate: None,
        }
    }
}

/// How azureopenai is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AzureApiType {
    /// With a key.
    Azure,
    /// With a token of the directory.
    AzureAd,
    /// Through Cloudflare's gateway.
    CloudflareAzure,
}

/// When a failing backend is left alone for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct BackOff {
    /// Whether it is left alone.
    pub enabled: bool,
    /// Failures in a row before that.
    pub max_retries: i64,
}

impl Default for BackOff {
    fn default() -> Self {
        Self { enabled: false, max_retries: DEFAULT_MAX_RETRIES }
    }
}

/// What a model may propose to change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct AutoRemediation {
    /// Whether changes are proposed as Mutation objects.
    pub enabled: bool,
    /// How alike old and new manifest must be, in percent and in quotes. A proposal below it is never applied.
    pub similarity_requirement: String,
    /// Kinds that may be changed.
    pub resources: Vec<String>,
    /// How much may be changed, and where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<RemediationLimits>,
}

impl Default for AutoRemediation {
    fn default() -> Self {
        Self {
            enabled: false,
            similarity_requirement: DEFAULT_SIMILARITY.to_owned(),
            resources: ["Pod", "Deployment", "Service", "Ingress"].map(str::to_owned).into(),
            limits: None,
        }
    }
}

/// How much may be changed, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct RemediationLimits {
    /// Most changes that are applied in an hour. Absent means 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_hour: Option<u32>,
    /// Most proposals that wait for approval at a time. Absent means 20.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
    /// Namespaces in which something may be changed. Absent means those that are analysed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<TargetNamespaces>,
}

/// Changes in an hour unless told otherwise: a person can look at each.
pub const DEFAULT_CHANGES_PER_HOUR: u32 = 5;
/// Proposals that wait unless told otherwise: what a person reads at one sitting.
pub const DEFAULT_PENDING_CHANGES: u32 = 20;

/// How much may be asked of a model in all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Budget {
    /// Most requests in 24 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_day: Option<u32>,
    /// Most tokens in 24 hours, of questions and answers together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u32>,
}

/// How fast may be asked of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Rate {
    /// Most requests in a minute.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls_per_minute: Option<u32>,
    /// Most requests at a time.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
}

impl Ai {
    /// Most tokens of an answer: the number, or the default where the text is none.
    pub fn max_tokens(&self) -> u32 {
        positive(&self.max_tokens).unwrap_or(DEFAULT_MAX_TOKENS)
    }

    /// Candidates of each token: the number, or the default where the text is none.
    pub fn top_k(&self) -> u32 {
        positive(&self.topk).unwrap_or(DEFAULT_TOP_K)
    }

    /// Further headers of each request, and the parts of `customHeaders` that are none.
    pub fn headers(&self) -> (Vec<(&str, &str)>, Vec<&str>) {
        let (mut headers, mut wrong) = (Vec::new(), Vec::new());
        let parts = self.custom_headers.as_deref().unwrap_or_default().split(',').map(str::trim);
        for part in parts.filter(|part| !part.is_empty()) {
            match part.split_once(':').map(|(name, value)| (name.trim(), value.trim())) {
                Some((name, value)) if is_header(name, value) => headers.push((name, value)),
                _ => wrong.push(part),
            }
        }
        (headers, wrong)
    }
}

/// A header that no server can take for two.
fn is_header(name: &str, value: &str) -> bool {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(token) && !value.chars().any(char::is_control)
}

pub(super) fn positive(text: &str) -> Option<u32> {
    text.trim().parse().ok().filter(|number| *number > 0)
}

/// Kinds that can be changed: a fix of another one is not known to be safe.
pub const CHANGEABLE: [&str; 6] = ["Pod", "Deployment", "StatefulSet", "DaemonSet", "Service", "Ingress"];

impl AutoRemediation {
    /// Whether something is proposed: it is enabled, and no limit is nothing.
    pub fn proposes(&self) -> bool {
        let none = |limit: Option<u32>| limit == Some(0);
        let limits = self.limits.as_ref();
        let nothing = limits.is_some_and(|limits| none(limits.per_hour) || none(limits.pending));
        self.enabled && !nothing && self.resources.iter().any(|kind| CHANGEABLE.contains(&kind.as_str()))
    }

    /// How alike old and new manifest must be, from 0 to 100. What is no number means 100: nothing but the same passes.
    pub fn similarity(&self) -> f64 {
        let number = self.similarity_requirement.trim().trim_end_matches('%').parse::<f64>();
        number.ok().filter(|number| (0.0..=100.0).contains(number)).unwrap_or(100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_block_has_the_defaults_of_the_original() {
        let ai: Ai = serde_json::from_str("{}").unwrap();
        assert_eq!(ai, Ai::default());
        assert!(ai.anonymized && !ai.enabled);
        assert_eq!((ai.model.as_str(), ai.max_tokens(), ai.top_k()), ("gpt-4o-mini", 2048, 50));
    }

    #[test]
    fn a_number_that_is_none_is_the_default() {
        for wrong in ["", "0", "-5", "many", "99999999999"] {
            let ai = Ai { max_tokens: wrong.to_owned(), topk: wrong.to_owned(), ..Ai::default() };
            assert_eq!((ai.max_tokens(), ai.top_k()), (2048, 50), "{wrong}");
        }
        assert_eq!(Ai { max_tokens: " 512 ".to_owned(), ..Ai::default() }.max_tokens(), 512);
    }

    #[test]
    fn headers_are_split_at_the_first_colon_and_wrong_ones_are_named() {
        let headers = "X-Team: sre,X-Url:http://a:8080/b,nonsense, :x, a b:c,Key:";
        let ai = Ai { custom_headers: Some(headers.to_owned()), ..Ai::default() };
        let (right, wrong) = ai.headers();
        assert_eq!(right, [("X-Team", "sre"), ("X-Url", "http://a:8080/b"), ("Key", "")]);
        assert_eq!(wrong, ["nonsense", ":x", "a b:c"]);
        let split = Ai { custom_headers: Some("X:a\r\nY:b".to_owned()), ..Ai::default() };
        assert_eq!(split.headers().0, []);
    }

    #[test]
    fn a_similarity_that_is_no_percentage_lets_nothing_pass() {
        let of = |text: &str| {
            AutoRemediation { similarity_requirement: text.to_owned(), ..AutoRemediation::default() }
                .similarity()
        };
        assert_eq!([of("90"), of("99.5%"), of("0")], [90.0, 99.5, 0.0]);
        assert_eq!(["", "high", "-1", "101", "NaN", "inf"].map(of), [100.0; 6]);
    }
}
