//! What `explain` is told about the model, or why there is none. An actor whose settings are wrong does not start, and what
//! is on its queue waits: so where no model can answer there is no `explain`, and findings go on without.

use asya_resources::k8sgpt::{Ai, Backend, K8sGptSpec, ai::AzureApiType};

use super::env::Env;

/// Who explains.
#[derive(Clone, Debug, PartialEq)]
pub enum Model {
    /// Nobody: it is not asked for.
    Off,
    /// Nobody, although it is asked for: one word, and what to do about it.
    Impossible(&'static str, String),
    /// A model, with these variables.
    Explains(Env),
}

/// The backend has no client here.
pub const UNSUPPORTED: &str = "BackendUnsupported";
/// Something that the backend needs is missing.
pub const INCOMPLETE: &str = "ModelIncomplete";

impl Model {
    /// Who explains by this manifest.
    pub fn of(spec: &K8sGptSpec) -> Self {
        let Some(ai) = spec.ai.as_ref().filter(|ai| ai.enabled) else { return Self::Off };
        if let Some(instead) = ai.backend.instead() {
            let backend = ai.backend.as_str();
            let message =
                format!("{backend} is not spoken here; {instead}. Findings are told without explanation");
            return Self::Impossible(UNSUPPORTED, message);
        }
        match missing(ai) {
            Some(message) => Self::Impossible(INCOMPLETE, message),
            None => Self::Explains(env(ai)),
        }
    }
}

fn filled(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// The Secret's name, and its key if there is one.
fn secret(ai: &Ai) -> Option<(&str, Option<&str>)> {
    let secret = ai.secret.as_ref()?;
    Some((filled(&secret.name)?, filled(&secret.key)))
}

fn missing(ai: &Ai) -> Option<String> {
    let backend = ai.backend.as_str();
    let key = secret(ai).and_then(|(_, key)| key);
    if ai.backend.needs_key() && key.is_none() {
        return Some(format!("{backend} needs a key: set spec.ai.secret with name and key"));
    }
    if ai.secret.is_some() && secret(ai).is_none() {
        return Some("spec.ai.secret names no Secret".to_owned());
    }
    if key.is_none() && secret(ai).is_some() && !ai.backend.is_aws() {
        return Some("spec.ai.secret needs key: under which one the backend's own stands".to_owned());
    }
    if ai.backend.is_aws() && filled(&ai.region).is_none() {
        return Some(format!("{backend} needs spec.ai.region, for example eu-central-1"));
    }
    if ai.backend == Backend::AzureOpenAi && (filled(&ai.base_url).is_none() || filled(&ai.engine).is_none())
    {
        return Some(format!(
            "{backend} needs spec.ai.baseUrl (the resource) and spec.ai.engine (the deployment)"
        ));
    }
    if ai.backend.needs_address() && filled(&ai.base_url).is_none() {
        return Some(format!("{backend} has no public address: set spec.ai.baseUrl"));
    }
    None
}

fn env(ai: &Ai) -> Env {
    let mut env = Env::default();
    env.plain("ASYA_LLM_BACKEND", ai.backend.as_str());
    env.some("ASYA_LLM_MODEL", Some(&ai.model));
    env.some("ASYA_LLM_BASE_URL", filled(&ai.base_url));
    env.some("ASYA_LLM_REGION", filled(&ai.region));
    env.some("ASYA_LLM_PROXY", filled(&ai.proxy_endpoint));
    match ai.backend {
        Backend::AzureOpenAi => {
            env.some("ASYA_LLM_AZURE_DEPLOYMENT", filled(&ai.engine));
            let kind = ai.azure_api_type.map(|kind| match kind {
                AzureApiType::Azure => "AZURE",
                AzureApiType::AzureAd => "AZURE_AD",
                AzureApiType::CloudflareAzure => "CLOUDFLARE_AZURE",
            });
            env.some("ASYA_LLM_AZURE_API_TYPE", kind);
        }
        Backend::OpenAi => env.some("ASYA_LLM_ORGANIZATION", filled(&ai.provider_id)),
        _ => {}
    }
    match secret(ai) {
        Some((name, Some(key))) => env.secret("ASYA_LLM_API_KEY", name, key),
        // Without a key the Secret holds an identity of AWS, under the names that its tools give.
        Some((name, None)) => {
            env.secret("AWS_ACCESS_KEY_ID", name, "AWS_ACCESS_KEY_ID");
            env.secret("AWS_SECRET_ACCESS_KEY", name, "AWS_SECRET_ACCESS_KEY");
            env.optional_secret("AWS_SESSION_TOKEN", name, "AWS_SESSION_TOKEN");
        }
        None => {}
    }
    let headers: Vec<_> = ai.headers().0.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    env.some("ASYA_LLM_HEADERS", Some(&headers.join(",")));
    env.plain("ASYA_LLM_MAX_TOKENS", ai.max_tokens().to_string());
    env.plain("ASYA_LLM_TOP_K", ai.top_k().to_string());
    if let Some(back_off) = ai.back_off.as_ref().filter(|back_off| back_off.enabled) {
        env.plain("ASYA_LLM_BREAK_AFTER", back_off.max_retries.clamp(1, 1000).to_string());
    }
    let budget = ai.budget.clone().unwrap_or_default();
    env.some("ASYA_LLM_BUDGET_CALLS", budget.calls_per_day.map(|calls| calls.to_string()).as_deref());
    env.some("ASYA_LLM_BUDGET_TOKENS", budget.tokens_per_day.map(|tokens| tokens.to_string()).as_deref());
    let concurrent = ai.rate.as_ref().and_then(|rate| rate.concurrent);
    env.some("ASYA_LLM_CONCURRENCY", concurrent.map(|calls| calls.to_string()).as_deref());
    env
}
