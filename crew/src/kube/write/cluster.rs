//! The API server: what is there, who may, what would become of it, and the change itself.

use std::time::Duration;

use asya_analysis::GroupKind;
use asya_cluster::{
    Catalogue, Patience, Refusal, Served,
    look::{self, kinds},
};
use kube::{
    Api, Client,
    api::{
        DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams, Preconditions,
        PropagationPolicy,
    },
    core::{Request, params::ValidationDirective},
};
use serde_json::Value;
use tokio::time::timeout;

use super::{
    change::Which,
    deed::{Deed, Method, REVISION, Target},
};
use crate::{
    actor::ActError,
    kube::consent::{
        refused::{Refused, Stop, shortened},
        shown::sentence,
    },
};

/// Who changes objects, in their managed fields and in the audit log of the cluster.
pub const FIELD_MANAGER: &str = "asya-k8s-write";
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(20);
/// Earlier templates of one object that are looked at.
const MOST: u32 = 500;
/// The label by which a Deployment tells the pods of its templates apart.
const TEMPLATE_HASH: &str = "pod-template-hash";
/// What the API server says of a manifest with fields that there are not, under the status of a failure of its own.
const NO_SUCH_FIELD: &str = "failed to create typed patch object";

fn away(doing: &str, reason: impl ToString) -> Stop {
    Stop::Later(ActError::Cluster { doing: doing.to_owned(), reason: reason.to_string() })
}

/// A cluster in which something is changed.
#[derive(Clone)]
pub(super) struct Cluster(pub(super) Client);

impl Cluster {
    /// How the kind is served that somebody means.
    pub(super) async fn served(&self, which: &Which) -> Result<Served, Stop> {
        let api = asya_cluster::Api::new(self.0.clone(), Patience::default());
        let refused = |refusal: Refusal| match refusal {
            Refusal::Failed(reason) => away("discovery", reason),
            refusal => Stop::Refused(Refused(format!("discovery: {refusal}"))),
        };
        match which {
            Which::Called(name) => kinds::called(&api, name).await.map_err(|error| match error {
                look::Error::Refused { refusal, .. } => refused(refusal),
                error => Stop::Refused(Refused(error.to_string())),
            }),
            Which::Typed { api_version, kind } => {
                let catalogue = Catalogue::read(&api).await.map_err(refused)?;
                let served = catalogue.find(&GroupKind::named(api_version, kind)).cloned();
                served.map_err(|_| {
                    Refused(format!(
                        "the cluster serves no {} of {}",
                        shortened(kind),
                        shortened(api_version)
                    ))
                    .into()
                })
            }
        }
    }

    fn objects(&self, target: &Target) -> Api<DynamicObject> {
        match &target.namespace {
            Some(namespace) => Api::namespaced_with(self.0.clone(), namespace, &target.resource()),
            None => Api::all_with(self.0.clone(), &target.resource()),
        }
    }

    /// The object as it is; none: there is none.
    pub(super) async fn get(&self, target: &Target) -> Result<Option<Value>, Stop> {
        match answer("looking", self.objects(target).get_opt(&target.name)).await? {
            Some(object) => as_json(&object).map(Some),
            None => Ok(None),
        }
    }

    /// Does it to the object of its uid, in this version if one is said; `dry`: says only what would come of it. None: it is
    /// gone.
    pub(super) async fn run(
        &self,
        deed: &Deed,
        version: Option<&str>,
        dry: bool,
    ) -> Result<Option<Value>, Stop> {
        let Deed { target, method, patch, uid, .. } = deed;
        let api = self.objects(target);
        let preconditions = Preconditions { uid: uid.clone(), resource_version: version.map(str::to_owned) };
        let mut body = patch.clone();
        for (field, value) in [("uid", uid.as_deref()), ("resourceVersion", version)] {
            if let Some(value) = value {
                body["metadata"][field] = value.into();
            }
        }
        let mut params = PatchParams { dry_run: dry, ..PatchParams::default() };
        params.field_manager = Some(FIELD_MANAGER.to_owned());
        let done = match method {
            Method::Delete => {
                let policy = Some(PropagationPolicy::Background);
                let params = DeleteParams {
                    dry_run: dry,
                    propagation_policy: policy,
                    preconditions: Some(preconditions),
                    ..DeleteParams::default()
                };
                answer("deleting", api.delete(&target.name, &params)).await?;
                return Ok(None);
            }
            // An apply would change an object that somebody has made meanwhile.
            Method::Apply if uid.is_none() => answer("creating", self.create(&api, &body, dry)).await?,
            Method::Apply => {
                // A person sees in the diff what it takes from others.
                params.force = true;
                params.field_validation = Some(ValidationDirective::Strict);
                answer("applying", api.patch(&target.name, &params, &Patch::Apply(body))).await?
            }
            Method::Merge => {
                answer("patching", api.patch(&target.name, &params, &Patch::Merge(body))).await?
            }
            Method::Strategic => {
                answer("patching", api.patch(&target.name, &params, &Patch::Strategic(body))).await?
            }
        };
        as_json(&done).map(Some)
    }

    /// Makes an object that there is not; fields that there are not are refused.
    async fn create(&self, api: &Api<DynamicObject>, body: &Value, dry: bool) -> kube::Result<DynamicObject> {
        let params = PostParams { dry_run: dry, field_manager: Some(FIELD_MANAGER.to_owned()) };
        let body = serde_json::to_vec(body).map_err(kube::Error::SerdeError)?;
        let mut request =
            Request::new(api.resource_url()).create(&params, body).map_err(kube::Error::BuildRequest)?;
        // The client has no parameter for it.
        let strict = format!("{}&fieldValidation=Strict", request.uri()).parse();
        *request.uri_mut() = strict.map_err(|error| kube::Error::HttpError(Into::into(error)))?;
        self.0.request(request).await
    }

    /// The template of pods that an object had before the one that it has.
    pub(super) async fn earlier(&self, target: &Target, live: &Value) -> Result<Option<Value>, Stop> {
        let (kind, plural) = target.history();
        let history = Target {
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            name: String::new(),
            ..target.clone()
        };
        let labels = live["spec"]["selector"]["matchLabels"].as_object().into_iter().flatten();
        let labels: Vec<String> = labels
            .filter_map(|(name, value)| value.as_str().map(|value| format!("{name}={value}")))
            .collect();
        let params = ListParams::default().labels(&labels.join(",")).limit(MOST);
        let found = answer("looking", self.objects(&history).list(&params)).await?;
        let found: Vec<Value> = found.items.iter().map(as_json).collect::<Result<_, _>>()?;
        Ok(before_last(&found, live))
    }
}

/// Of the revisions that belong to `live`, the template of the last but one.
fn before_last(revisions: &[Value], live: &Value) -> Option<Value> {
    let owned = |revision: &&Value| {
        let owners = revision["metadata"]["ownerReferences"].as_array().into_iter().flatten();
        owners.into_iter().any(|owner| owner["uid"] == live["metadata"]["uid"])
    };
    let number = |revision: &Value| -> u64 {
        let annotated = revision["metadata"]["annotations"][REVISION].as_str();
        revision["revision"].as_u64().or_else(|| annotated?.parse().ok()).unwrap_or_default()
    };
    let mut owned: Vec<&Value> = revisions.iter().filter(owned).collect();
    owned.sort_by_key(|revision| number(revision));
    let before = owned.len().checked_sub(2).and_then(|at| owned.get(at))?;
    let kept = ["/spec/template", "/data/spec/template"].into_iter().find_map(|at| before.pointer(at));
    let mut template = kept.filter(|template| template.is_object()).cloned()?;
    if let Some(Value::Object(labels)) = template.pointer_mut("/metadata/labels") {
        labels.remove(TEMPLATE_HASH);
    }
    Some(template)
}

async fn answer<T>(doing: &str, asked: impl Future<Output = kube::Result<T>>) -> Result<T, Stop> {
    match timeout(ANSWER, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status)))
            if (status.code < 500 && !matches!(status.code, 401 | 408 | 429))
                || status.message.starts_with(NO_SUCH_FIELD) =>
        {
            let refused = Refused(sentence(&status.message));
            Err(if matches!(status.code, 404 | 409) { Stop::Moved(refused) } else { Stop::Refused(refused) })
        }
        Ok(Err(error)) => Err(away(doing, error)),
        Err(_) => Err(away(doing, format!("no answer within {ANSWER:?}"))),
    }
}

fn as_json(object: &DynamicObject) -> Result<Value, Stop> {
    serde_json::to_value(object).map_err(|error| away("reading", error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    fn revision(number: u64, owner: &str, image: &str) -> Value {
        json!({"metadata": {"annotations": {REVISION: number.to_string()}, "ownerReferences": [{"uid": owner}]},
            "spec": {"template": {"metadata": {"labels": {"app": "web", TEMPLATE_HASH: "7d9"}}, "spec": {"image": image}}}})
    }

    #[test]
    fn the_revision_before_is_the_last_but_one_of_its_own() {
        let live = json!({"metadata": {"uid": "u"}});
        let all =
            [revision(10, "u", "d"), revision(2, "u", "b"), revision(9, "u", "c"), revision(11, "v", "x")];
        let template = before_last(&all, &live);
        assert_eq!(template, Some(json!({"metadata": {"labels": {"app": "web"}}, "spec": {"image": "c"}})));
        assert_eq!(before_last(&all[3..], &live), None);
        let of_stateful_set = |revision: u64, image: &str| {
            json!({"revision": revision, "metadata": {"ownerReferences": [{"uid": "u"}]},
                "data": {"spec": {"template": {"$patch": "replace", "spec": {"image": image}}}}})
        };
        let all = [of_stateful_set(3, "b"), of_stateful_set(4, "c"), of_stateful_set(1, "a")];
        assert_eq!(before_last(&all, &live).unwrap()["spec"]["image"], "b");
    }
}
