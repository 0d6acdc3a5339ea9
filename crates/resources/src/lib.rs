//! Kubernetes resources of the platform as plain serde types: `AsyncActor`, group `asya.sh`, version `v1alpha1`, and the
//! kinds of cluster analysis.
//!
//! | module | holds |
//! |---|---|
//! | [`actor`] | [`AsyncActor`] and its spec |
//! | [`workload`] | what runs the handler: [`Workload`], its containers, their environment |
//! | [`scaling`] | [`Scaling`]: how many replicas, when |
//! | [`platform`] | [`SidecarSpec`], [`Binding`], [`DeletionPolicy`]: what the operator adds around the handler |
//! | [`policy`] | [`Retry`], [`Batch`], [`Timeout`], [`Workers`], durations |
//! | [`status`] | [`AsyncActorStatus`]: what an operator says about an actor |
//! | [`word`], [`conditions`] | [`Word`] and the condition types: what they mean, what to do |
//! | [`agent`] | the kind `Agent`, and what it is compiled to |
//! | [`k8sgpt`] | the kinds of cluster analysis: `K8sGPT`, `Result`, `Mutation` |
//! | [`rules`] | what a schema cannot say, once as CEL and once as a function |
//! | [`mod@check`] | everything that is wrong with a manifest, at once, each with its path |
//! | `schema` | the CRD, the JSON schema and the reference page, made from all these; feature `schema` |
//!
//! The invariant of this crate: **what [`check()`] finds no error in can be read, and what it reports has a path.**
//! Defaults apply only inside blocks that are present, as on a cluster.

pub mod actor;
pub mod agent;
pub mod bounds;
pub mod check;
pub mod conditions;
pub mod k8sgpt;
mod part;
pub mod platform;
pub mod policy;
mod quantity;
pub mod rules;
pub mod scaling;
#[cfg(feature = "schema")]
pub mod schema;
pub mod status;
mod walk;
pub mod word;
pub mod workload;

pub use actor::{AsyncActor, AsyncActorSpec, Metadata, Routes};
pub use check::{Problem, Severity, Step, check, check_change};
pub use platform::{
    Binding, DeletionPolicy, HandlerFrom, HttpHandler, Rollout, RolloutPolicy, Security, SecurityPreset,
    SidecarSpec,
};
pub use policy::{Batch, Delay, Retry, Timeout, Workers};
pub use scaling::{Advanced, Scaling};
pub use status::{
    AsyncActorStatus, Condition, DeletionStatus, FormerQueue, QueueStatus, ScaledObjectRef, WorkloadRef,
};
pub use word::Word;
pub use workload::{Container, EnvSource, EnvVar, Job, KeySelector, Kind, PodSpec, PodTemplate, Workload};

/// Group and version of every resource here.
pub const API_VERSION: &str = "asya.sh/v1alpha1";
/// Kind of [`AsyncActor`].
pub const KIND: &str = "AsyncActor";
/// The CustomResourceDefinition as YAML, made by `make generate`.
pub const CRD: &str = include_str!("../../../crds/asya.sh_asyncactors.yaml");
/// The JSON schema of a manifest for editors, made by `make generate`.
pub const JSON_SCHEMA: &str = include_str!("../../../crds/asyncactor.schema.json");
/// Name of the container that runs the handler.
pub const RUNTIME_CONTAINER: &str = "asya-runtime";
/// Name of the container that the operator adds.
pub const SIDECAR_CONTAINER: &str = "asya-sidecar";
/// What the operator begins the names of accounts with that it makes for actors.
pub const ACCOUNT_PREFIX: &str = "asya-";
/// Annotation of an actor: "true" has the operator make the account of its pods, where they run as [`account_name`].
pub const OWN_ACCOUNT: &str = "asya.sh/own-account";

/// Name of the account that the operator makes for an actor. None is cut short, so no two actors have the same.
pub fn account_name(actor: &str) -> String {
    format!("{ACCOUNT_PREFIX}{actor}")
}
