//! Settings from variables, and a model from settings.

pub mod names;
mod values;

use std::{path::PathBuf, time::Duration};

use asya_http::proxy::Proxy;
use asya_settings::{Errors, Reader, Secret, filled, number, positive_duration};

use crate::{
    backend::{self, Backend, Speaks},
    breaker::Breaking,
    budget::{Account, Limits, Prices},
    dialect::{
        Defaults, Dialect,
        openai::{Azure, OpenAi},
    },
    guarded::{Guard, Guarded},
    model::Model,
    noop::Noop,
    provider::{Endpoint, Provider, Timeouts},
    retry::Retry,
    tape::{Record, Replay},
};

pub use names::*;
use values::{address, headers, money, positive, whole_seconds, within};

/// What K8sGPT asks for as well; enough for an explanation, bounded for the bill.
const DEFAULT_MAX_TOKENS: u32 = 2048;
/// Providers' smallest plans allow a few calls at a time; local models work on one or two.
const DEFAULT_CONCURRENCY: usize = 4;
/// The stable version of Azure's API that knows all that is sent.
const DEFAULT_AZURE_VERSION: &str = "2024-10-21";
/// The region that AWS's own programs read.
const AWS_REGION: &str = "AWS_REGION";
/// A bill's rhythm.
const DEFAULT_WINDOW: Duration = Duration::from_secs(24 * 3600);

/// Everything about a model. Its `Debug` shows no key.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    source: Source,
    record: Option<PathBuf>,
    guard: Guard,
}

#[derive(Clone, Debug, PartialEq)]
enum Source {
    Endpoint(Box<Endpoint>),
    Echo,
    Replay(PathBuf),
}

impl Settings {
    /// Reads the variables; `None`: neither [`BACKEND`] nor [`REPLAY`] is set, so there is no model.
    ///
    /// # Errors
    /// Everything that is wrong, by the name of its variable.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, Errors> {
        let get = |name: &str| filled(lookup(name));
        let (backend, replay) = (get(BACKEND), get(REPLAY));
        if backend.is_none() && replay.is_none() {
            return Ok(None);
        }
        let mut reader = Reader::default();
        let max_tokens = reader.or(MAX_TOKENS, get(MAX_TOKENS), DEFAULT_MAX_TOKENS, positive);
        let guard = guard(&mut reader, &get, max_tokens);
        let record = get(RECORD).map(PathBuf::from);
        let source = match (backend, replay) {
            (_, Some(replay)) => {
                if record.is_some() {
                    reader
                        .wrong(RECORD, &format!("is set, and {REPLAY} as well; only one of them can count"));
                }
                Some(Source::Replay(replay.into()))
            }
            (backend, None) => reader
                .required(BACKEND, backend, backend::find)
                .and_then(|backend| source(&mut reader, &get, backend, max_tokens)),
        };
        reader.done(source)?.map_or_else(
            || Err(Errors(vec![format!("{BACKEND}: cannot be used")])),
            |source| Ok(Some(Self { source, record, guard })),
        )
    }

    /// The model, guarded, going on with `account`. Connections are made when they are needed; a recording is read now.
    ///
    /// # Errors
    /// A sentence: a file cannot be read, or no trusted certificates are found.
    pub fn build(&self, account: Account) -> Result<Guarded<Box<dyn Model>>, String> {
        let model: Box<dyn Model> = match &self.source {
            Source::Echo => Box::new(Noop),
            Source::Replay(path) => Box::new(Replay::open(path)?),
            Source::Endpoint(endpoint) => Box::new(Provider::new(Endpoint::clone(endpoint))?),
        };
        let model = match &self.record {
            Some(path) => Box::new(Record::new(model, path)?),
            None => model,
        };
        Ok(Guarded::new(model, self.guard.clone(), account))
    }
}

fn guard(reader: &mut Reader, get: &impl Fn(&str) -> Option<String>, max_tokens: u32) -> Guard {
    let (retry, breaking) = (Retry::default(), Breaking::default());
    let pause = reader.or(BREAK_PAUSE, get(BREAK_PAUSE), breaking.pause, positive_duration);
    let price = |reader: &mut Reader, name: &str| reader.or(name, get(name), 0, money);
    let prices = Prices {
        input: price(reader, PRICE_INPUT),
        cached: price(reader, PRICE_CACHED),
        output: price(reader, PRICE_OUTPUT),
    };
    let prices = if get(PRICE_CACHED).is_some() { prices } else { Prices { cached: prices.input, ..prices } };
    let limits = Limits {
        window: reader.or(BUDGET_WINDOW, get(BUDGET_WINDOW), DEFAULT_WINDOW, whole_seconds),
        calls: reader.or(BUDGET_CALLS, get(BUDGET_CALLS), None, |text| number(text).map(Some)),
        tokens: reader.or(BUDGET_TOKENS, get(BUDGET_TOKENS), None, |text| number(text).map(Some)),
        spend: reader.or(BUDGET_SPEND, get(BUDGET_SPEND), None, |text| money(text).map(Some)),
        prices,
    };
    if limits.spend.is_some() && prices == Prices::default() {
        reader.wrong(BUDGET_SPEND, &format!("needs prices: {PRICE_INPUT} and {PRICE_OUTPUT}"));
    }
    Guard {
        concurrency: reader.or(CONCURRENCY, get(CONCURRENCY), DEFAULT_CONCURRENCY, positive),
        retry: Retry {
            tries: reader.or(TRIES, get(TRIES), retry.tries, positive),
            most: reader.or(MAX_PAUSE, get(MAX_PAUSE), retry.most, positive_duration),
            base: retry.base,
        },
        breaking: Breaking {
            failures: reader.or(BREAK_AFTER, get(BREAK_AFTER), breaking.failures, positive),
            pause,
            most: breaking.most.max(pause),
        },
        limits,
        max_tokens,
    }
}

fn source(
    reader: &mut Reader,
    get: &impl Fn(&str) -> Option<String>,
    backend: Backend,
    max_tokens: u32,
) -> Option<Source> {
    if backend.speaks == Speaks::Echo {
        return Some(Source::Echo);
    }
    let key = reader.secret(API_KEY, get(API_KEY), get(&format!("{API_KEY}_FILE")));
    if backend.key && key.is_none() {
        reader.wrong(API_KEY, &format!("is required by the backend {:?} (or {API_KEY}_FILE)", backend.name));
    }
    let signed = if backend.speaks == Speaks::Converse && key.is_none() {
        if cfg!(not(feature = "bedrock")) {
            let words = "is required: this program was built without AWS credentials (feature \"bedrock\")";
            reader.wrong(API_KEY, words);
        }
        region(reader, get)
    } else {
        None
    };
    let deployment = get(AZURE_DEPLOYMENT);
    let model = get(MODEL).or(backend.model.map(str::to_owned)).or(deployment.clone());
    let model = reader.required(MODEL, model, |text| Ok(text.to_owned()));
    let base = base(reader, get, backend);
    let dialect = match backend.dialect() {
        Some(dialect) => {
            // Behind OpenAI's name stands many another server, and not all of them know its newer parameter.
            let elsewhere = base.as_deref().is_some_and(|base| !base.contains("openai.com"));
            let dialect = if backend.speaks == Speaks::OpenAiItself && elsewhere {
                Dialect::OpenAi(OpenAi::default())
            } else {
                dialect
            };
            for name in [AZURE_DEPLOYMENT, AZURE_API_VERSION, AZURE_API_TYPE] {
                if get(name).is_some() {
                    reader
                        .wrong(name, &format!("is for the backend \"azureopenai\", not {:?}", backend.name));
                }
            }
            Some(dialect)
        }
        None => azure(reader, get, deployment),
    };
    let mut headers = reader.or(HEADERS, get(HEADERS), Vec::new(), headers);
    if let Some(organization) = get(ORGANIZATION) {
        headers.push(("openai-organization".to_owned(), Secret::Plain(organization)));
    }
    let timeouts = Timeouts::default();
    let timeouts = Timeouts {
        connect: reader.or(CONNECT_TIMEOUT, get(CONNECT_TIMEOUT), timeouts.connect, positive_duration),
        total: reader.or(TIMEOUT, get(TIMEOUT), timeouts.total, positive_duration),
        idle: reader.or(IDLE_TIMEOUT, get(IDLE_TIMEOUT), timeouts.idle, positive_duration),
    };
    let proxy = reader.or(PROXY, get(PROXY), None, |text| Proxy::parse(text).map(Some));
    let temperature = reader.or(TEMPERATURE, get(TEMPERATURE), None, |text| within(text, 2.0).map(Some));
    let top_p = reader.or(TOP_P, get(TOP_P), None, |text| within(text, 1.0).map(Some));
    let top_k = reader.or(TOP_K, get(TOP_K), None, |text| positive(text).map(Some));
    let authorities = get(CA_FILE).map(PathBuf::from);
    let defaults = Defaults { model: model?, max_tokens, temperature, top_p, top_k };
    Some(Source::Endpoint(Box::new(Endpoint {
        provider: backend.name.to_owned(),
        dialect: dialect?,
        base: base?,
        key,
        headers,
        authorities,
        proxy,
        defaults,
        timeouts,
        signed,
    })))
}

fn azure(
    reader: &mut Reader,
    get: &impl Fn(&str) -> Option<String>,
    deployment: Option<String>,
) -> Option<Dialect> {
    let version = get(AZURE_API_VERSION).unwrap_or_else(|| DEFAULT_AZURE_VERSION.to_owned());
    let kinds = |text: &str| match text {
        "AZURE" => Ok((false, true)),
        "AZURE_AD" => Ok((true, true)),
        "CLOUDFLARE_AZURE" => Ok((false, false)),
        _ => Err(format!("{text:?} must be AZURE, AZURE_AD or CLOUDFLARE_AZURE")),
    };
    let (token, deployed) = reader.or(AZURE_API_TYPE, get(AZURE_API_TYPE), (false, true), kinds);
    let known = version.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !known {
        reader.wrong(AZURE_API_VERSION, &format!("{version:?} must be such as {DEFAULT_AZURE_VERSION}"));
    }
    if deployed && deployment.is_none() {
        reader.wrong(AZURE_DEPLOYMENT, "is required by the backend \"azureopenai\"");
    }
    // Versions are dates; from this one on the newer name is known, which newer models insist on.
    let completion_tokens = version.as_str() >= "2024-12-01";
    let azure = Azure { version, deployment: deployment.filter(|_| deployed), token };
    Some(Dialect::OpenAi(OpenAi { azure: Some(azure), completion_tokens, ..OpenAi::default() }))
}

/// The region, as it stands in addresses and signatures.
fn region(reader: &mut Reader, get: &impl Fn(&str) -> Option<String>) -> Option<String> {
    let region = |text: &str| {
        let known =
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if known { Ok(text.to_owned()) } else { Err(format!("{text:?} must be such as us-east-1")) }
    };
    // The second is what AWS's own programs read, and what a ServiceAccount with a role gives its pods.
    reader.required(REGION, get(REGION).or(get(AWS_REGION)), region)
}

fn base(reader: &mut Reader, get: &impl Fn(&str) -> Option<String>, backend: Backend) -> Option<String> {
    if let Some(text) = get(BASE_URL) {
        return reader.required(BASE_URL, Some(text), address);
    }
    let Some(base) = backend.base else {
        reader.wrong(BASE_URL, &format!("is required by the backend {:?}", backend.name));
        return None;
    };
    if !base.contains("{region}") {
        return Some(base.to_owned());
    }
    let region = region(reader, get)?;
    Some(base.replace("{region}", &region))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Option<Settings>, Errors> {
        Settings::read(|name| {
            pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn endpoint(pairs: &[(&str, &str)]) -> Endpoint {
        match read(pairs).unwrap().unwrap().source {
            Source::Endpoint(endpoint) => *endpoint,
            other => panic!("{other:?}"),
        }
    }

    fn address_of(pairs: &[(&str, &str)]) -> String {
        let endpoint = endpoint(pairs);
        endpoint.dialect.address(&endpoint.base, &endpoint.defaults.model, false)
    }

    #[test]
    fn every_backend_and_every_variable_is_documented() {
        let page = include_str!("../../../../docs/models.md");
        for backend in backend::BACKENDS {
            assert!(page.contains(&format!("| `{}`", backend.name)), "{}", backend.name);
        }
        let names = include_str!("names.rs").lines().filter_map(|line| line.split('"').nth(1));
        for name in names {
            // The table names those of one kind by their ends: `ASYA_LLM_BUDGET_CALLS`, `_TOKENS`.
            let mut ends = name.match_indices('_').map(|(at, _)| &name[at..]);
            assert!(page.contains(name) || ends.any(|end| page.contains(&format!("`{end}`"))), "{name}");
        }
    }

    #[test]
    fn without_a_backend_there_is_no_model() {
        assert!(read(&[(MODEL, "x"), (API_KEY, "y")]).unwrap().is_none());
        assert!(read(&[(BACKEND, "  ")]).unwrap().is_none());
    }

    #[test]
    fn every_backend_has_its_address() {
        let k = (API_KEY, "k");
        for (pairs, address) in [
            (vec![(BACKEND, "openai"), k], "https://api.openai.com/v1/chat/completions"),
            (
                vec![(BACKEND, "ollama"), (BASE_URL, "http://ollama:11434/")],
                "http://ollama:11434/v1/chat/completions",
            ),
            (vec![(BACKEND, "vllm"), (MODEL, "m")], "http://localhost:8000/v1/chat/completions"),
            (vec![(BACKEND, "groq"), (MODEL, "m"), k], "https://api.groq.com/openai/v1/chat/completions"),
            (
                vec![(BACKEND, "bedrockmantle"), (MODEL, "m"), k, (REGION, "eu-west-1")],
                "https://bedrock-mantle.eu-west-1.api.aws/v1/chat/completions",
            ),
            (
                vec![
                    (BACKEND, "azureopenai"),
                    k,
                    (BASE_URL, "https://x.openai.azure.com/"),
                    (AZURE_DEPLOYMENT, "my dep"),
                ],
                "https://x.openai.azure.com/openai/deployments/my%20dep/chat/completions?api-version=2024-10-21",
            ),
            (
                vec![
                    (BACKEND, "azureopenai"),
                    k,
                    (BASE_URL, "https://gateway.ai.cloudflare.com/v1/a/g/azure-openai/r/d"),
                    (AZURE_API_TYPE, "CLOUDFLARE_AZURE"),
                    (MODEL, "m"),
                    (AZURE_API_VERSION, "2023-05-15"),
                ],
                "https://gateway.ai.cloudflare.com/v1/a/g/azure-openai/r/d/chat/completions?api-version=2023-05-15",
            ),
            (
                vec![
                    (BACKEND, "amazonbedrockconverse"),
                    (MODEL, "us.x.y-v1:0"),
                    k,
                    ("AWS_REGION", "us-east-1"),
                ],
                "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.x.y-v1%3A0/converse",
            ),
            (vec![(BACKEND, "anthropic"), (MODEL, "m"), k], "https://api.anthropic.com/v1/messages"),
            (
                vec![(BACKEND, "google"), (MODEL, "gemini-2.5-flash"), k],
                "https://generativelanguage.googleapis.com/v1beta/models/gemini-2.5-flash:generateContent",
            ),
            (
                vec![(BACKEND, "customrest"), (MODEL, "m"), (BASE_URL, "http://mine:1234/ask")],
                "http://mine:1234/ask",
            ),
        ] {
            assert_eq!(address_of(&pairs), address, "{pairs:?}");
        }
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once_by_its_variable() {
        let Errors(errors) = read(&[
            (BACKEND, "openai"),
            (BASE_URL, "ftp://x"),
            (HEADERS, "X-A:1,broken"),
            (PROXY, "socks5://u:hunter2@p"),
            (MAX_TOKENS, "0"),
            (TEMPERATURE, "3"),
            (TOP_P, "NaN"),
            (TOP_K, "x"),
            (TIMEOUT, "0s"),
            (TRIES, "0"),
            (CONCURRENCY, "-1"),
            (BUDGET_WINDOW, "500ms"),
            (BUDGET_SPEND, "5"),
            (AZURE_DEPLOYMENT, "d"),
        ])
        .unwrap_err();
        for name in [
            API_KEY,
            BASE_URL,
            HEADERS,
            PROXY,
            MAX_TOKENS,
            TEMPERATURE,
            TOP_P,
            TOP_K,
            TIMEOUT,
            TRIES,
            CONCURRENCY,
            BUDGET_WINDOW,
            BUDGET_SPEND,
            AZURE_DEPLOYMENT,
        ] {
            assert!(
                errors.iter().any(|error| error.starts_with(&format!("{name}: "))),
                "{name}: {errors:#?}"
            );
        }
        assert_eq!(errors.len(), 14, "{errors:#?}");
        assert!(!errors.join("").contains("hunter2"), "{errors:#?}");
    }

    #[test]
    fn what_a_backend_needs_is_required() {
        for (pairs, missing) in [
            (vec![(BACKEND, "skynet")], "is not known; there are openai"),
            (vec![(BACKEND, "oci")], "the backend \"oci\" is not built in"),
            (vec![(BACKEND, "amazonbedrock"), (MODEL, "m"), (API_KEY, "k")], "ASYA_LLM_REGION: is required"),
            (vec![(BACKEND, "anthropic"), (API_KEY, "k")], "ASYA_LLM_MODEL: is required"),
            (vec![(BACKEND, "customrest"), (MODEL, "m")], "ASYA_LLM_BASE_URL: is required"),
            (vec![(BACKEND, "bedrockmantle"), (MODEL, "m"), (API_KEY, "k")], "ASYA_LLM_REGION: is required"),
            (
                vec![(BACKEND, "azureopenai"), (API_KEY, "k"), (MODEL, "m"), (BASE_URL, "https://x")],
                "ASYA_LLM_AZURE_DEPLOYMENT: is required",
            ),
            (
                vec![(BACKEND, "openai"), (API_KEY, "k"), ("ASYA_LLM_API_KEY_FILE", "/x")],
                "ASYA_LLM_API_KEY: is set, and ASYA_LLM_API_KEY_FILE as well",
            ),
            (
                vec![(BACKEND, "ollama"), (BASE_URL, "http://u:hunter2@x")],
                "must not hold a user or a password",
            ),
            (vec![(REPLAY, "a"), (RECORD, "b")], "only one of them can count"),
        ] {
            let error = read(&pairs).unwrap_err().to_string();
            assert!(error.contains(missing) && !error.contains("hunter2"), "{missing}: {error}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let settings = read(&[
            (BACKEND, "openai"),
            (API_KEY, "sk-very-secret"),
            (HEADERS, "X-Token:hunter2"),
            (PROXY, "http://u:hunter2@proxy:1"),
        ]);
        let settings = settings.unwrap().unwrap();
        let model = settings.build(Account::default());
        assert!(model.is_ok());
        let text = format!("{settings:?}");
        assert!(!text.contains("hunter2") && !text.contains("sk-very-secret"), "{text}");
    }

    #[test]
    fn prices_and_budgets_are_read() {
        let settings = read(&[
            (BACKEND, "noopai"),
            (BUDGET_SPEND, "2.50"),
            (PRICE_INPUT, "0.15"),
            (PRICE_OUTPUT, "0.60"),
            (BUDGET_TOKENS, "100000"),
            (BUDGET_WINDOW, "1h"),
        ]);
        let limits = settings.unwrap().unwrap().guard.limits;
        assert_eq!((limits.spend, limits.tokens, limits.calls), (Some(2_500_000), Some(100_000), None));
        assert_eq!(limits.prices, Prices { input: 150_000, cached: 150_000, output: 600_000 });
        assert_eq!(limits.window, Duration::from_secs(3600));
    }
}
