//! Model providers behind one trait, and what belongs around a call: masking, prompts, citations, cache keys.
//!
//! | module | holds |
//! |---|---|
//! | [`model`] | the seam: [`Model`] |
//! | [`request`], [`message`], [`response`] | what is asked and answered: [`Request`], [`Message`], [`Response`], [`Event`] |
//! | [`error`] | [`Error`]: what goes wrong, by what the caller can do |
//! | [`provider`] | [`Provider`]: over HTTP, one attempt per call |
//! | `dialect` | what OpenAI and those like it, Anthropic, Google, Bedrock and `customrest` speak; pure |
//! | `aws` | requests signed with AWS credentials (feature `bedrock`) |
//! | `sse`, `frames`, `classify` | server-sent events; AWS's frames; refusals of all formats |
//! | [`guarded`] | [`Guarded`]: concurrency, budget, retries and a circuit breaker around any model |
//! | [`retry`], [`breaker`], [`budget`], [`estimate`] | its parts; pure |
//! | [`noop`], [`tape`] | the echo; [`Record`] and [`Replay`] |
//! | [`settings`], [`k8sgpt`] | from variables, and from `spec.ai` of a K8sGPT resource |
//! | [`mask`] | names and secrets out of texts, and back into answers |
//! | [`prompt`], [`citations`], [`cache`] | templates; evidence that an answer cites; what an answer is kept under |
//!
//! ```
//! use asya_llm::{Model, Settings, budget::Account, citations, mask::Masker, prompt};
//!
//! # async fn explain() -> Result<(), Box<dyn std::error::Error>> {
//! let settings = Settings::read(|name| (name == "ASYA_LLM_BACKEND").then(|| "noop".to_owned()))?;
//! let model = settings.ok_or("no model is configured")?.build(Account::default())?;
//!
//! let masker = Masker::new(b"32 random bytes of this cluster.", ["checkout-api", "acme-prod"])?;
//! let mut masking = masker.masking();
//! let text = masking.naming("Deployment acme-prod/web has no pod: password=hunter2", ["acme-prod", "web"]);
//! let evidence = prompt::numbered([(".status.conditions".to_owned(), text)]);
//! let name = format!("{}/{}", masking.name("acme-prod"), masking.name("web"));
//! let about = prompt::About { analyzer: "Deployment", kind: "Deployment", name: &name, language: "english" };
//! let question = prompt::Templates::default().prompt(&about, &evidence)?;
//!
//! let answer = model.complete(&question.request).await?;
//! let cited = citations::check(&answer.text, &question.ids);
//! let shown = masking.unmask_names(&answer.text);
//! assert!(shown.contains("Deployment acme-prod/web has no pod: password=***"));
//! # assert!(cited.unknown.is_empty() && !answer.text.contains("web"));
//! # Ok(())
//! # }
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(explain()).unwrap();
//! ```
//!
//! The invariant of this crate: **no key and no secret leaves it but in the header that it belongs in**: not in `Debug`,
//! not in an error, not in a recording.

#[cfg(feature = "bedrock")]
mod aws;
mod backend;
pub mod breaker;
pub mod budget;
pub mod cache;
pub mod change;
pub mod citations;
mod classify;
mod dialect;
pub mod error;
pub mod estimate;
mod frames;
pub mod guarded;
pub mod k8sgpt;
pub mod mask;
pub mod message;
pub mod model;
pub mod noop;
pub mod prompt;
pub mod provider;
pub mod request;
pub mod response;
pub mod retry;
pub mod settings;
mod sse;
pub mod tape;

pub use error::{Error, Kind};
pub use guarded::{Guard, Guarded};
pub use message::{Choice, Message, Tool, ToolCall};
pub use model::Model;
pub use noop::Noop;
pub use provider::Provider;
pub use request::Request;
pub use response::{Event, Events, Finish, Response, Usage, collect};
pub use settings::Settings;
pub use tape::{Record, Replay};
