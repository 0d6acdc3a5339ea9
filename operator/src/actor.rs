//! One `AsyncActor`, read and checked.

use std::collections::BTreeMap;

use asya_resources::{AsyncActorSpec, Severity, check};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    api::{ApiResource, GroupVersionKind},
    core::Object,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The finalizer that the operator holds while an actor has queues or objects.
pub const FINALIZER: &str = "asya.sh/finalizer";
/// Field manager of everything that is applied.
pub const FIELD_MANAGER: &str = "asya-operator";
/// Field manager of the one creation of a workload whose replicas belong to the autoscaler.
pub const CREATE_MANAGER: &str = "asya-operator-create";
/// Annotation that names the Secret with the transport's credentials in the actor's namespace.
pub const SECRET_ANNOTATION: &str = "asya.sh/transport-secret";
/// Label that every object and pod of an actor carries, with the actor's name.
pub const ACTOR_LABEL: &str = "asya.sh/asya";

/// An actor as the API server keeps it. The spec stays JSON: an object that was stored before a rule existed can
/// then be read, reported on and deleted.
pub type Stored = Object<Value, Value>;

/// What [`Stored`] is called on the API server.
pub fn resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("asya.sh", "v1alpha1", asya_resources::KIND),
        "asyncactors",
    )
}

/// One actor whose spec is sound.
#[derive(Clone, Debug)]
pub struct Actor {
    /// Its name, also that of its workload.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its uid; owner references and the drain token need it.
    pub uid: String,
    /// The generation of the spec that was read.
    pub generation: i64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// What is wanted.
    pub spec: AsyncActorSpec,
}

impl Actor {
    /// Reads and checks a stored actor.
    ///
    /// # Errors
    /// Every problem, each a sentence that begins with its path.
    pub fn read(stored: &Stored) -> Result<Self, Vec<String>> {
        let metadata = &stored.metadata;
        let manifest = json!({
            "apiVersion": asya_resources::API_VERSION,
            "kind": asya_resources::KIND,
            "metadata": {"name": metadata.name, "namespace": metadata.namespace},
            "spec": stored.spec,
        });
        let problems: Vec<String> = check(&manifest)
            .into_iter()
            .filter(|problem| problem.severity == Severity::Error)
            .map(|problem| format!("{}: {}", check::path_text(&problem.path), problem.message))
            .collect();
        if !problems.is_empty() {
            return Err(problems);
        }
        let spec =
            serde_json::from_value(stored.spec.clone()).map_err(|error| vec![format!("spec: {error}")])?;
        Ok(Self::new(metadata, spec))
    }

    fn new(metadata: &ObjectMeta, spec: AsyncActorSpec) -> Self {
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            namespace: metadata.namespace.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            generation: metadata.generation.unwrap_or_default(),
            labels: metadata.labels.clone().unwrap_or_default(),
            annotations: metadata.annotations.clone().unwrap_or_default(),
            spec,
        }
    }

    /// The owner reference that every object of this actor carries.
    pub fn owner_reference(&self) -> Value {
        json!({
            "apiVersion": asya_resources::API_VERSION,
            "kind": asya_resources::KIND,
            "name": self.name,
            "uid": self.uid,
            "controller": true,
            "blockOwnerDeletion": true,
        })
    }

    /// What a call of the sidecar's `/drain` must carry. Per actor, because a kubelet's hook cannot read a variable.
    pub fn drain_token(&self) -> String {
        let digest = Sha256::digest(format!("asya-drain:{}", self.uid));
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
