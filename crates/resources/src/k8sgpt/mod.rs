//! The kinds of cluster analysis, group `core.k8sgpt.ai`, version `v1alpha1`: those of K8sGPT's operator, with further
//! fields.
//!
//! | module | holds |
//! |---|---|
//! | [`spec`] | [`K8sGpt`] and its spec |
//! | [`ai`], [`backend`] | [`Ai`]: which model explains, within which limits; [`Backend`] |
//! | [`cache`] | [`RemoteCache`]: where explanations are kept |
//! | [`sink`] | [`Sink`] and [`NamedSink`]: who is told |
//! | [`schedule`] | [`Analysis`]: how often, how patient; [`interval`](schedule::interval) |
//! | [`scope`] | [`TargetNamespaces`], [`LabelSelector`], [`Analyzers`]: what is looked at |
//! | [`suppress`], [`prompt`] | [`Suppression`]: what is not told; [`Prompt`]: how a model is asked |
//! | [`pod`] | [`PodDelta`] and [`Image`]: what runs the analysis |
//! | [`status`] | [`K8sGptStatus`] and its conditions |
//! | [`result`], [`severity`] | [`ResultObject`]: a finding; [`Severity`]: how bad it is |
//! | [`mutation`] | [`Mutation`]: a proposed change, and its [`Phase`] |
//! | [`rules`], [`warnings`] | what is refused; what is accepted and works in another way than it says |
//! | [`name`], [`mod@content_hash`] | names and labels of `Result` objects; when their texts have changed |
//! | [`kubeconfig`] | [`RemoteCluster`]: what may be used of somebody's kubeconfig |
//!
//! The invariant: **what the original's CRD accepts, these CRDs accept.** Rules are about fields that are new.

pub mod ai;
pub mod backend;
pub mod cache;
pub mod content_hash;
pub(crate) mod glob;
pub mod kubeconfig;
pub mod mutation;
pub mod name;
pub mod pod;
pub mod prompt;
pub mod result;
pub mod rules;
pub mod schedule;
pub mod scope;
pub mod severity;
pub mod sink;
pub mod spec;
pub mod stamp;
pub mod status;
pub mod suppress;
pub mod warnings;

pub use ai::{Ai, AutoRemediation, BackOff, Budget, Rate, RemediationLimits};
pub use backend::Backend;
pub use cache::RemoteCache;
pub use content_hash::content_hash;
pub use kubeconfig::{Credentials, Refusal, RemoteCluster};
pub use mutation::{Mutation, MutationSpec, MutationStatus, Phase};
pub use name::{label_value, result_labels, result_name};
pub use pod::{Image, PodDelta, Toleration};
pub use prompt::Prompt;
pub use result::{Evidence, Failure, Lifecycle, ResultObject, ResultSpec, ResultStatus};
pub use schedule::{Analysis, Secrets};
pub use scope::{Analyzers, LabelSelector, TargetNamespaces};
pub use severity::Severity;
pub use sink::{NamedSink, Sink, SinkType};
pub use spec::{K8sGpt, K8sGptSpec, KeyRef, ObjectName};
pub use status::{Counts, K8sGptStatus, WatchedCluster};
pub use suppress::Suppression;
pub use warnings::{Warning, warnings};

/// API group of the three kinds.
pub const GROUP: &str = "core.k8sgpt.ai";
/// Group and version of the three kinds.
pub const API_VERSION: &str = "core.k8sgpt.ai/v1alpha1";
/// Kind of [`K8sGpt`].
pub const KIND: &str = "K8sGPT";
/// Kind of [`ResultObject`].
pub const RESULT_KIND: &str = "Result";
/// Kind of [`Mutation`].
pub const MUTATION_KIND: &str = "Mutation";

/// Label of a `Result`: the name of the `K8sGPT` that it belongs to.
pub const NAME_LABEL: &str = "k8sgpts.k8sgpt.ai/name";
/// Label of a `Result`: the namespace of that `K8sGPT`.
pub const NAMESPACE_LABEL: &str = "k8sgpts.k8sgpt.ai/namespace";
/// Label of a `Result`: the backend, if one explains.
pub const BACKEND_LABEL: &str = "k8sgpts.k8sgpt.ai/backend";
/// Label that is copied from an object to its `Result` with `spec.extraOptions.backstage`.
pub const BACKSTAGE_LABEL: &str = "backstage.io/kubernetes-id";
/// Annotation of a `Result`: the finding that it shows, as cluster/kind/namespace/name.
pub const FINDING_ANNOTATION: &str = "analysis.asya.sh/finding";
/// Finalizer of the original on a `K8sGPT`.
pub const FINALIZER: &str = "k8sgpt.ai/finalizer";
/// Annotation of a ServiceAccount that `spec.extraOptions.serviceAccountIRSA` fills.
pub const IRSA_ANNOTATION: &str = "eks.amazonaws.com/role-arn";

/// The CRDs as YAML, made by `make generate`: `K8sGPT`, `Result`, `Mutation`.
pub const CRDS: [&str; 3] = [
    include_str!("../../../../crds/core.k8sgpt.ai_k8sgpts.yaml"),
    include_str!("../../../../crds/core.k8sgpt.ai_results.yaml"),
    include_str!("../../../../crds/core.k8sgpt.ai_mutations.yaml"),
];
/// The JSON schema of a `K8sGPT` for editors, made by `make generate`.
pub const JSON_SCHEMA: &str = include_str!("../../../../crds/k8sgpt.schema.json");
