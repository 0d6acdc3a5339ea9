//! The objects that are changed, and the Mutations that show it.
//!
//! What is applied names the uid and the version of the object that was looked at: the API server refuses it for any
//! other. So no change is applied twice, and none to an object that somebody has changed meanwhile.

use std::time::Duration;

use asya_analysis::ObjectRef;
use asya_resources::k8sgpt::{API_VERSION, GROUP, MUTATION_KIND, MutationStatus};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{FIELD_MANAGER, kinds::Mendable};
use crate::actor::ActError;

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(30);
/// Bytes of a sentence of the API server that are passed on.
const SENTENCE: usize = 400;

/// The clusters that remedy works with: that of the objects, and that of the Mutations, which is the pod's own.
#[derive(Clone)]
pub struct Clusters {
    /// Where objects are changed.
    pub target: Client,
    /// Where Mutations and the policy are.
    pub home: Client,
    /// The namespace of the Mutations.
    pub namespace: String,
}

/// The API server says no, and would say so again.
#[derive(Debug)]
pub(super) struct No {
    /// Its words, or the beginning of them.
    pub(super) sentence: String,
    /// Whether the object is not there, or not the one that was meant.
    pub(super) changed: bool,
}

/// The API server did not do what it was asked for: again, later.
pub(super) fn away(reason: impl ToString) -> ActError {
    ActError::Cluster { doing: "mending".to_owned(), reason: reason.to_string() }
}

/// What a refusal means; an error where a later try can help.
pub(super) fn refused(error: kube::Error) -> Result<No, ActError> {
    match error {
        kube::Error::Api(status) if status.code < 500 && !matches!(status.code, 401 | 408 | 429) => {
            let mut sentence = status.message.clone();
            let end = (0..=SENTENCE).rev().find(|at| sentence.is_char_boundary(*at)).unwrap_or_default();
            sentence.truncate(end);
            Ok(No { sentence, changed: matches!(status.code, 404 | 409) })
        }
        error => Err(away(error)),
    }
}

impl Clusters {
    /// Those of the environment: objects by a kubeconfig or the pod's account, Mutations by the latter where there is one.
    ///
    /// # Errors
    /// A sentence: there is neither.
    pub async fn infer(namespace: Option<String>) -> Result<Self, String> {
        let client = |mut config: kube::Config| {
            asya_cluster::introduce(&mut config, FIELD_MANAGER);
            Client::try_from(config).map_err(|error| error.to_string())
        };
        let target = kube::Config::infer().await.map_err(|error| error.to_string())?;
        let home = kube::Config::incluster().unwrap_or_else(|_| target.clone());
        let namespace = namespace.unwrap_or_else(|| home.default_namespace.clone());
        Ok(Self { target: client(target)?, home: client(home)?, namespace })
    }

    fn objects(&self, kind: Mendable, target: &ObjectRef) -> Api<DynamicObject> {
        let namespace = target.namespace.as_deref().unwrap_or_default();
        Api::namespaced_with(self.target.clone(), namespace, &kind.resource())
    }

    /// The object as it is; none: it is gone, or may not be read.
    pub(super) async fn get(
        &self,
        kind: Mendable,
        target: &ObjectRef,
    ) -> Result<Result<Value, No>, ActError> {
        answer(self.objects(kind, target).get(&target.name)).await
    }

    /// Applies these fields to the object of this uid in this version; `dry`: says only what would come of it.
    pub(super) async fn apply(
        &self,
        kind: Mendable,
        target: &ObjectRef,
        (uid, version): (&str, &str),
        fields: &Value,
        dry: bool,
    ) -> Result<Result<Value, No>, ActError> {
        let mut object = fields.clone();
        object["apiVersion"] = Value::from(kind.api_version());
        object["kind"] = Value::from(kind.kind);
        for (field, value) in [
            ("name", target.name.as_str()),
            ("namespace", target.namespace.as_deref().unwrap_or_default()),
            ("uid", uid),
            ("resourceVersion", version),
        ] {
            object["metadata"][field] = Value::from(value);
        }
        let params = PatchParams { dry_run: dry, ..PatchParams::apply(FIELD_MANAGER).force() };
        let api = self.objects(kind, target);
        answer(api.patch(&target.name, &params, &Patch::Apply(object))).await
    }

    /// The Mutations.
    pub(super) fn mutations(&self) -> Api<DynamicObject> {
        let of = GroupVersionKind::gvk(GROUP, "v1alpha1", MUTATION_KIND);
        let resource = ApiResource::from_gvk_with_plural(&of, "mutations");
        Api::namespaced_with(self.home.clone(), &self.namespace, &resource)
    }

    /// A Mutation that is there and not on its way out.
    pub(super) async fn mutation(&self, name: &str) -> Result<Option<Value>, ActError> {
        let api = self.mutations();
        match answer(api.get(name)).await? {
            Ok(mutation) => Ok(Some(mutation).filter(|it| it["metadata"]["deletionTimestamp"].is_null())),
            Err(no) if no.changed => Ok(None),
            Err(no) => Err(away(no.sentence)),
        }
    }

    /// Makes a Mutation; the one that is there already if a process before this one made it.
    pub(super) async fn propose(&self, mutation: &Value) -> Result<Result<Value, No>, ActError> {
        let name = mutation["metadata"]["name"].as_str().unwrap_or_default();
        let object: DynamicObject =
            serde_json::from_value(mutation.clone()).map_err(|error| ActError::Unfit(error.to_string()))?;
        let api = self.mutations();
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        match answer(api.create(&params, &object)).await? {
            Err(no) if no.changed => answer(api.get(name)).await,
            made => Ok(made),
        }
    }

    /// What a Mutation says of how far it is.
    pub(super) async fn say(&self, mutation: &str, status: &MutationStatus) -> Result<(), ActError> {
        let status = json!({"apiVersion": API_VERSION, "kind": MUTATION_KIND, "status": status});
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let api = self.mutations();
        if let Err(no) = answer(api.patch_status(mutation, &params, &Patch::Apply(status))).await? {
            tracing::warn!(mutation, no.sentence, "the Mutation does not say how far it is");
        }
        Ok(())
    }

    /// Deletes a Mutation, if it is there.
    pub(super) async fn forget(&self, mutation: &str) -> Result<(), ActError> {
        let api = self.mutations();
        match api.delete(mutation, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(error) => refused(error).map(drop),
        }
    }
}

async fn answer(
    asked: impl Future<Output = kube::Result<DynamicObject>>,
) -> Result<Result<Value, No>, ActError> {
    match timeout(ANSWER, asked).await {
        Ok(Ok(object)) => serde_json::to_value(object).map(Ok).map_err(away),
        Ok(Err(error)) => refused(error).map(Err),
        Err(_) => Err(away(format!("no answer within {ANSWER:?}"))),
    }
}
