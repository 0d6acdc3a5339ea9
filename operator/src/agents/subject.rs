//! One `Agent`, read.

use asya_resources::{
    API_VERSION,
    agent::{Agent, AgentStatus, KIND, PLURAL, rules},
    check::path_text,
};
use kube::api::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use crate::{
    actor::Stored,
    controllers::{live, work::Key},
};

/// What an `Agent` is called on the API server.
pub fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("asya.sh", "v1alpha1", KIND), PLURAL)
}

/// One `Agent`.
#[derive(Clone, Debug, PartialEq)]
pub struct Subject {
    /// Its name, also that of its actor.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid; owner references need it.
    pub uid: String,
    /// The generation of the spec that was read.
    pub generation: i64,
    /// What is wanted, or every problem of what is stored: it may be older than a rule.
    pub agent: Result<Agent, String>,
    /// What was said about it last.
    pub status: AgentStatus,
    /// Whether it is being deleted.
    pub deleting: bool,
}

impl Subject {
    /// Reads what the API server keeps.
    pub fn read(stored: &Stored) -> Self {
        let metadata = &stored.metadata;
        let (namespace, name) = live::key(metadata);
        let manifest = json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": namespace},
            "spec": stored.spec,
        });
        let problems = rules::check(&manifest);
        let agent = if problems.is_empty() {
            Agent::read(&manifest).map_err(|error| error.to_string())
        } else {
            let sentences = problems.iter().map(|it| format!("{}: {}", path_text(&it.path), it.message));
            Err(sentences.collect::<Vec<_>>().join("; "))
        };
        Self {
            name,
            namespace,
            uid: metadata.uid.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            agent,
            status: AgentStatus::read(&json!({"status": stored.status})),
            deleting: metadata.deletion_timestamp.is_some(),
        }
    }

    /// Namespace and name.
    pub fn key(&self) -> Key {
        (self.namespace.clone(), self.name.clone())
    }

    /// The owner reference that its actor carries.
    pub fn owner_reference(&self) -> Value {
        json!({
            "apiVersion": API_VERSION,
            "kind": KIND,
            "name": self.name,
            "uid": self.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }

    /// The same but for its status: our own writes of that come back as well, and are no reason to look.
    pub fn same_wish(&self, other: &Self) -> bool {
        (&self.uid, self.generation, self.deleting) == (&other.uid, other.generation, other.deleting)
    }
}
