//! What a `K8sGPT` needs in its own cluster: pure, and the same each time.
//!
//! | module | holds |
//! |---|---|
//! | [`actors`] | the AsyncActors and the route between them |
//! | [`watch`] | what the watcher is told |
//! | [`model`] | what `explain` is told about the model, or why there is none |
//! | [`cache`], [`prompts`] | where explanations are kept; how a model is asked |
//! | [`sinks`] | what `notify` is told |
//! | [`remedy`] | what `remedy` is told, and what it may do |
//! | [`custom`] | what `custom` is told, also while it closes what is open |
//! | [`pod`] | what the pods have |
//! | [`accounts`] | accounts, and what they may do |
//! | [`env`] | environment variables |

pub mod accounts;
pub mod actors;
pub mod cache;
pub mod custom;
pub mod env;
pub mod model;
pub mod pod;
pub mod prompts;
pub mod remedy;
pub mod sinks;
#[cfg(test)]
mod tests;
pub mod watch;

use asya_resources::k8sgpt::RemoteCluster;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{LABEL, NAMESPACE_LABEL, config::Config, subject::Subject};

/// The cluster that is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Watched {
    /// This one.
    Here,
    /// Another one.
    Remote(RemoteCluster),
    /// None: what names it is missing or refused.
    Nothing,
}

/// All that objects are made from.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The `K8sGPT`.
    pub subject: &'a Subject,
    /// What the process is told.
    pub config: &'a Config,
    /// The cluster that is watched.
    pub watched: &'a Watched,
    /// Whether KEDA is there to wake actors from zero.
    pub keda: bool,
    /// How long `custom` stays without an analyzer, to close what is open; `None`: it goes at once.
    pub custom_until: Option<&'a str>,
}

impl Wanted<'_> {
    /// Everything that must be there, in the order in which it is applied: rights before who needs them.
    pub fn objects(&self) -> Vec<Value> {
        let mut objects = accounts::objects(self);
        objects.extend(prompts::config_map(self));
        objects.extend(self.kubeconfig());
        objects.extend(actors::objects(self));
        objects
    }

    /// Metadata of an object in the namespace of the `K8sGPT`.
    fn metadata(&self, part: &str) -> Value {
        json!({
            "name": self.subject.object(part),
            "namespace": self.subject.namespace,
            "labels": {LABEL: self.subject.label()},
            "ownerReferences": [self.subject.owner_reference()],
        })
    }

    /// Metadata of an object elsewhere, which no owner reference can hold.
    fn metadata_abroad(&self, part: Option<&str>, namespace: Option<&str>) -> Value {
        let labels = json!({LABEL: self.subject.label(), NAMESPACE_LABEL: self.subject.namespace});
        let mut metadata = json!({"name": self.subject.abroad(part), "labels": labels});
        if let Some(namespace) = namespace {
            metadata["namespace"] = json!(namespace);
        }
        metadata
    }

    /// Of a kubeconfig the parts that are used, for those that work with the cluster that is watched.
    fn kubeconfig(&self) -> Option<Value> {
        let Watched::Remote(cluster) = self.watched else { return None };
        Some(json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": self.metadata(KUBECONFIG_SECRET),
            "type": "Opaque",
            "data": {KUBECONFIG: STANDARD.encode(cluster.kubeconfig().to_string())},
        }))
    }
}

/// End of the Secret's name. `NAME-kubeconfig` is what the Cluster API calls its own, with `NAME` of the cluster, after
/// which a `K8sGPT` is called too.
pub const KUBECONFIG_SECRET: &str = "watch-kubeconfig";
/// Its key, and the file.
pub const KUBECONFIG: &str = "kubeconfig";
