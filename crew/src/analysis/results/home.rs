//! The API server that keeps Results: that of the cluster in which this pod runs, whichever cluster is watched.

use std::time::Duration;

use asya_cluster::introduce;
use asya_resources::k8sgpt::{FINDING_ANNOTATION, GROUP, NAME_LABEL, RESULT_KIND, label_value};
use kube::{
    Api, Client, Config,
    api::{
        ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
        Preconditions,
    },
};
use serde_json::Value;
use tokio::time::timeout;

use crate::actor::ActError;

/// Who writes: the field manager, and the name in the audit log.
const MANAGER: &str = "asya-results";
/// How long one answer may take; less than a message may, so that a slow server counts as away and not as our fault.
const ANSWER: Duration = Duration::from_secs(10);
/// Results of one page of a list.
const PAGE: u32 = 500;

/// The Results of one namespace.
pub(super) struct Home {
    results: Api<DynamicObject>,
    /// The namespace.
    pub(super) namespace: String,
}

/// What a write came to.
pub(super) enum Wrote {
    /// It is written.
    Done(Box<DynamicObject>),
    /// The object is another one than that which was looked at: look again.
    Moved,
}

impl Home {
    /// The pod's own cluster; outside of one, that of the kubeconfig.
    ///
    /// # Errors
    /// [`ActError::Cluster`]: neither is there.
    pub(super) async fn find(namespace: Option<&str>) -> Result<Self, ActError> {
        let away = |error: &dyn std::fmt::Display| ActError::Cluster {
            doing: "finding the cluster for Results".to_owned(),
            reason: error.to_string(),
        };
        let mut config = match Config::incluster() {
            Ok(config) => config,
            Err(_) => Config::infer().await.map_err(|error| away(&error))?,
        };
        introduce(&mut config, MANAGER);
        let namespace = namespace.map_or_else(|| config.default_namespace.clone(), str::to_owned);
        let client = Client::try_from(config).map_err(|error| away(&error))?;
        Ok(Self::of(client, namespace))
    }

    /// The Results that `client` reaches.
    pub(super) fn of(client: Client, namespace: String) -> Self {
        let kind = GroupVersionKind::gvk(GROUP, "v1alpha1", RESULT_KIND);
        let kind = ApiResource::from_gvk_with_plural(&kind, "results");
        Self { results: Api::namespaced_with(client, &namespace, &kind), namespace }
    }

    /// A Result as the server has it.
    pub(super) async fn get(&self, name: &str) -> Result<Option<DynamicObject>, ActError> {
        let doing = || format!("reading the Result {name}");
        match timeout(ANSWER, self.results.get_opt(name)).await {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(error)) => Err(failed(doing(), &error)),
            Err(_) => Err(late(doing())),
        }
    }

    /// Applies a Result without its status.
    pub(super) async fn apply(&self, name: &str, object: &Value) -> Result<Wrote, ActError> {
        let (how, what) = (PatchParams::apply(MANAGER).force(), Patch::Apply(object));
        wrote(format!("writing the Result {name}"), self.results.patch(name, &how, &what)).await
    }

    /// Applies the status of a Result.
    pub(super) async fn apply_status(&self, name: &str, object: &Value) -> Result<Wrote, ActError> {
        let (how, what) = (PatchParams::apply(MANAGER).force(), Patch::Apply(object));
        wrote(
            format!("writing the status of the Result {name}"),
            self.results.patch_status(name, &how, &what),
        )
        .await
    }

    /// Deletes a Result as it was read, and no other of its name.
    pub(super) async fn delete(&self, name: &str, current: &DynamicObject) -> Result<(), ActError> {
        let (resource_version, uid) =
            (current.metadata.resource_version.clone(), current.metadata.uid.clone());
        let how = DeleteParams {
            preconditions: Some(Preconditions { resource_version, uid }),
            ..DeleteParams::default()
        };
        let doing = || format!("deleting the Result {name}");
        match timeout(ANSWER, self.results.delete(name, &how)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_not_found() => Ok(()),
            Ok(Err(error)) => Err(failed(doing(), &error)),
            Err(_) => Err(late(doing())),
        }
    }

    /// Names of the Results of a `K8sGPT`, each with the key of its finding.
    pub(super) async fn shown(&self, k8sgpt: &str) -> Result<Vec<(String, String)>, ActError> {
        let doing = || "listing Results".to_owned();
        let labels = format!("{NAME_LABEL}={}", label_value(k8sgpt));
        let mut page = ListParams::default().labels(&labels).limit(PAGE);
        let mut shown = Vec::new();
        loop {
            let list = timeout(ANSWER, self.results.list_metadata(&page)).await;
            let list = list.map_err(|_| late(doing()))?.map_err(|error| failed(doing(), &error))?;
            shown.extend(list.items.into_iter().filter_map(|object| {
                let key = object.metadata.annotations?.remove(FINDING_ANNOTATION)?;
                Some((object.metadata.name?, key))
            }));
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(shown),
            }
        }
    }
}

async fn wrote(
    doing: String,
    write: impl Future<Output = kube::Result<DynamicObject>>,
) -> Result<Wrote, ActError> {
    match timeout(ANSWER, write).await {
        Ok(Ok(object)) => Ok(Wrote::Done(Box::new(object))),
        Ok(Err(kube::Error::Api(status))) if status.is_conflict() => Ok(Wrote::Moved),
        Ok(Err(kube::Error::Api(status))) if status.is_not_found() && is_of_a_result(&status) => {
            Ok(Wrote::Moved)
        }
        Ok(Err(error)) => Err(failed(doing, &error)),
        Err(_) => Err(late(doing)),
    }
}

/// Whether an answer is about one Result and not about its kind or its namespace.
fn is_of_a_result(status: &kube::core::Status) -> bool {
    status.details.as_ref().is_some_and(|details| details.kind == "results" && !details.name.is_empty())
}

/// What it means that the server does not do it. It will not take another day what it calls wrong; everything else ends
/// some day: a right that is missing, a CRD that is not installed yet, a server that is away.
fn failed(doing: String, error: &kube::Error) -> ActError {
    match error {
        kube::Error::Api(status) if matches!(status.code, 400 | 413 | 422) => {
            ActError::Unfit(format!("{doing}: the API server refuses it: {}", status.message))
        }
        kube::Error::Api(status) if status.code == 404 && !is_of_a_result(status) => ActError::Cluster {
            doing,
            reason: format!(
                "{}; are the CRDs of {GROUP} installed, and is the namespace there?",
                status.message.trim()
            ),
        },
        kube::Error::Api(status) => {
            ActError::Cluster { doing, reason: format!("{} ({})", status.message.trim(), status.code) }
        }
        error => ActError::Cluster { doing, reason: innermost(error) },
    }
}

/// The innermost words of an error: `connection refused` rather than what was being done.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn late(doing: String) -> ActError {
    ActError::Cluster { doing, reason: format!("the API server did not answer within {ANSWER:?}") }
}
