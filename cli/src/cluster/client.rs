//! Reading and writing objects as JSON.

use kube::{
    Api, Client,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::Value;

use super::{ClusterError, PATIENCE, Resource, error::Asked};

/// What our writes are known by in `managedFields`, unless a command has a name of its own.
pub(crate) const MANAGER: &str = "asya-cli";

/// A cluster, and the namespace that is meant. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) client: Client,
    /// The namespace that was asked for, else the context's.
    pub(crate) namespace: String,
    /// The context's name; `in-cluster` inside of a pod.
    pub(crate) context: String,
    /// The API server's address.
    pub(crate) server: String,
    /// The API server's version, such as `v1.33.1`.
    pub(crate) version: String,
}

impl Cluster {
    /// The objects of a resource in a namespace; in all of them, or in none, without one.
    pub(crate) fn api(&self, resource: Resource, namespace: Option<&str>) -> Api<DynamicObject> {
        match namespace {
            Some(namespace) if resource.namespaced => {
                Api::namespaced_with(self.client.clone(), namespace, &resource.api())
            }
            _ => Api::all_with(self.client.clone(), &resource.api()),
        }
    }

    /// Waits for one answer, at most [`PATIENCE`].
    pub(crate) async fn ask<T>(
        &self,
        asked: Asked<'_>,
        answer: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, ClusterError> {
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(answer) => answer.map_err(|error| ClusterError::of(&error, asked)),
            Err(_) => Err(ClusterError::late(asked)),
        }
    }

    /// An object; `None` when there is no such name.
    pub(crate) async fn get(
        &self,
        resource: Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<Value>, ClusterError> {
        let asked = Asked { verb: "get", resource, subresource: None, namespace };
        let api = self.api(resource, namespace);
        match tokio::time::timeout(PATIENCE, api.get(name)).await {
            Ok(Ok(object)) => Ok(Some(json(&object))),
            // A resource that does not exist has no name in the details.
            Ok(Err(kube::Error::Api(status)))
                if status.code == 404
                    && status.details.as_ref().is_some_and(|details| !details.name.is_empty()) =>
            {
                Ok(None)
            }
            Ok(Err(error)) => Err(ClusterError::of(&error, asked)),
            Err(_) => Err(ClusterError::late(asked)),
        }
    }

    /// All objects of a resource with these labels (empty: all), in one namespace or all.
    pub(crate) async fn list(
        &self,
        resource: Resource,
        namespace: Option<&str>,
        labels: &str,
    ) -> Result<Vec<Value>, ClusterError> {
        let asked = Asked { verb: "list", resource, subresource: None, namespace };
        let params =
            if labels.is_empty() { ListParams::default() } else { ListParams::default().labels(labels) };
        let found = self.ask(asked, self.api(resource, namespace).list(&params)).await?;
        Ok(found.items.iter().map(json).collect())
    }

    /// Makes an object.
    pub(crate) async fn create(
        &self,
        resource: Resource,
        namespace: Option<&str>,
        object: &Value,
    ) -> Result<Value, ClusterError> {
        let asked = Asked { verb: "create", resource, subresource: None, namespace };
        let object = serde_json::from_value(object.clone())
            .map_err(|error| ClusterError::Refused(format!("not a Kubernetes object: {error}")))?;
        let api = self.api(resource, namespace);
        Ok(json(&self.ask(asked, api.create(&PostParams::default(), &object)).await?))
    }

    /// Applies the fields of `object` as their owner `manager`; with `force`, fields of others are taken over.
    pub(crate) async fn apply(
        &self,
        resource: Resource,
        namespace: Option<&str>,
        object: &Value,
        manager: &str,
        force: bool,
    ) -> Result<Value, ClusterError> {
        let asked = Asked { verb: "patch", resource, subresource: None, namespace };
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let params = PatchParams { force, ..PatchParams::apply(manager) };
        let api = self.api(resource, namespace);
        Ok(json(&self.ask(asked, api.patch(name, &params, &Patch::Apply(object))).await?))
    }

    /// Merges `patch` into an object.
    pub(crate) async fn merge(
        &self,
        resource: Resource,
        namespace: Option<&str>,
        name: &str,
        patch: &Value,
        manager: &str,
    ) -> Result<Value, ClusterError> {
        let asked = Asked { verb: "patch", resource, subresource: None, namespace };
        let params = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
        let api = self.api(resource, namespace);
        Ok(json(&self.ask(asked, api.patch(name, &params, &Patch::Merge(patch))).await?))
    }

    /// Deletes an object; false when there was none.
    pub(crate) async fn delete(
        &self,
        resource: Resource,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<bool, ClusterError> {
        if self.get(resource, namespace, name).await?.is_none() {
            return Ok(false);
        }
        let asked = Asked { verb: "delete", resource, subresource: None, namespace };
        let api = self.api(resource, namespace);
        self.ask(asked, api.delete(name, &DeleteParams::background())).await?;
        Ok(true)
    }
}

fn json(object: &DynamicObject) -> Value {
    serde_json::to_value(object).expect("an object that was read as JSON is written as JSON")
}
