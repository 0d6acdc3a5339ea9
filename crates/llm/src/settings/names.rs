//! The names of the variables.

/// Which provider: one of docs/models.md.
pub const BACKEND: &str = "ASYA_LLM_BACKEND";
/// The model's name at the provider.
pub const MODEL: &str = "ASYA_LLM_MODEL";
/// Where the provider is.
pub const BASE_URL: &str = "ASYA_LLM_BASE_URL";
/// The key; with `_FILE` behind it, the file that holds it.
pub const API_KEY: &str = "ASYA_LLM_API_KEY";
/// Further headers: `Name:value,Name:value`.
pub const HEADERS: &str = "ASYA_LLM_HEADERS";
/// OpenAI's organisation.
pub const ORGANIZATION: &str = "ASYA_LLM_ORGANIZATION";
/// Azure's deployment.
pub const AZURE_DEPLOYMENT: &str = "ASYA_LLM_AZURE_DEPLOYMENT";
/// Azure's `api-version`.
pub const AZURE_API_VERSION: &str = "ASYA_LLM_AZURE_API_VERSION";
/// `AZURE`, `AZURE_AD` or `CLOUDFLARE_AZURE`.
pub const AZURE_API_TYPE: &str = "ASYA_LLM_AZURE_API_TYPE";
/// The region, where addresses have one.
pub const REGION: &str = "ASYA_LLM_REGION";
/// An HTTP proxy.
pub const PROXY: &str = "ASYA_LLM_PROXY";
/// Authorities that sign the provider's certificate, PEM.
pub const CA_FILE: &str = "ASYA_LLM_CA_FILE";
/// Bound of an answer.
pub const MAX_TOKENS: &str = "ASYA_LLM_MAX_TOKENS";
/// 0 to 2.
pub const TEMPERATURE: &str = "ASYA_LLM_TEMPERATURE";
/// 0 to 1.
pub const TOP_P: &str = "ASYA_LLM_TOP_P";
/// Where the provider has it.
pub const TOP_K: &str = "ASYA_LLM_TOP_K";
/// Of a whole call.
pub const TIMEOUT: &str = "ASYA_LLM_TIMEOUT";
/// Of a connection.
pub const CONNECT_TIMEOUT: &str = "ASYA_LLM_CONNECT_TIMEOUT";
/// Between pieces of a stream.
pub const IDLE_TIMEOUT: &str = "ASYA_LLM_IDLE_TIMEOUT";
/// Calls in all, the first included.
pub const TRIES: &str = "ASYA_LLM_TRIES";
/// The longest pause before another try.
pub const MAX_PAUSE: &str = "ASYA_LLM_MAX_PAUSE";
/// Calls at the same time.
pub const CONCURRENCY: &str = "ASYA_LLM_CONCURRENCY";
/// Failures in a row after which the provider is left alone.
pub const BREAK_AFTER: &str = "ASYA_LLM_BREAK_AFTER";
/// For how long at first.
pub const BREAK_PAUSE: &str = "ASYA_LLM_BREAK_PAUSE";
/// The window of the budget.
pub const BUDGET_WINDOW: &str = "ASYA_LLM_BUDGET_WINDOW";
/// Calls in a window.
pub const BUDGET_CALLS: &str = "ASYA_LLM_BUDGET_CALLS";
/// Tokens in a window.
pub const BUDGET_TOKENS: &str = "ASYA_LLM_BUDGET_TOKENS";
/// Money in a window, in the currency of the prices.
pub const BUDGET_SPEND: &str = "ASYA_LLM_BUDGET_SPEND";
/// Per million tokens of a question.
pub const PRICE_INPUT: &str = "ASYA_LLM_PRICE_INPUT";
/// Per million cached tokens of a question.
pub const PRICE_CACHED: &str = "ASYA_LLM_PRICE_CACHED";
/// Per million tokens of an answer.
pub const PRICE_OUTPUT: &str = "ASYA_LLM_PRICE_OUTPUT";
/// A file that answers are written to.
pub const RECORD: &str = "ASYA_LLM_RECORD";
/// A file that answers come from, instead of a provider.
pub const REPLAY: &str = "ASYA_LLM_REPLAY";
