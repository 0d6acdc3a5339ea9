//! The kind `Agent`, group `asya.sh`, version `v1alpha1`: who answers in a conversation, with which model and which tools.
//!
//! | module | holds |
//! |---|---|
//! | [`spec`] | [`Agent`] and its spec |
//! | [`model`] | [`Model`]: which model answers; [`ApiKey`] |
//! | [`tools`] | [`Tools`]: what may be called; [`Declared`] tools; [`Risk`] |
//! | [`catalogue`] | the tools that are shipped, and which of all an agent is granted |
//! | [`limits`] | [`Budgets`], [`Concurrency`], [`AgentScaling`], [`Approval`], [`Observability`] |
//! | [`pod`] | [`AgentPod`]: what the pods have besides what they need |
//! | [`definition`] | texts from ConfigMaps, put where the spec names them |
//! | [`mod@compile`] | pure: an agent becomes one [`AsyncActor`](crate::AsyncActor) and its entry for the gateway |
//! | [`objection`] | [`Objection`]: why it does not |
//! | [`status`] | [`AgentStatus`] and its conditions |
//! | [`rules`] | what a schema cannot say |
//!
//! The invariant: **the route that an agent's actor may make holds the actors of the tools that it is granted, the approval
//! actor where one of them needs it, and the agent itself; nothing else.** The grant is compiled here and checked by the
//! sidecar, so that whatever a model says does not matter.

pub mod catalogue;
pub mod compile;
pub mod definition;
pub mod limits;
pub mod model;
pub mod objection;
pub mod pod;
pub mod rules;
pub mod spec;
pub mod status;
pub mod tools;

pub use catalogue::{Granted, SHIPPED, Shipped};
pub use compile::{Around, Compiled, compile, policy};
pub use limits::{AgentScaling, Approval, Budgets, Concurrency, LogPrompts, Observability};
pub use model::{ApiKey, Model, SecretKey};
pub use objection::{About, Objection};
pub use pod::AgentPod;
pub use spec::{Agent, AgentSpec, ConfigKey, DefinitionRef};
pub use status::AgentStatus;
pub use tools::{Declared, Risk, Tools};

/// Kind of [`Agent`].
pub const KIND: &str = "Agent";
/// Its name in addresses.
pub const PLURAL: &str = "agents";
/// The CustomResourceDefinition as YAML, made by `make generate`.
pub const CRD: &str = include_str!("../../../../crds/asya.sh_agents.yaml");
/// The JSON schema of a manifest for editors, made by `make generate`.
pub const JSON_SCHEMA: &str = include_str!("../../../../crds/agent.schema.json");

/// Label of what is made from an agent, with the agent's name.
pub const LABEL: &str = "agents.asya.sh/agent";
/// The ConfigMap of a namespace that tells a gateway which agents there are: a key `<agent>.json` each.
pub const REGISTRY: &str = "asya-agents";
