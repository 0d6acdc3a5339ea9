//! From a finding to a `Mutation` that waits for approval: asked, checked, tried without being done, compared.

use std::collections::BTreeMap;

use asya_resources::k8sgpt::{
    self, API_VERSION, MUTATION_KIND, MutationSpec, Phase, RESULT_KIND, mutation::ObjectReference,
    result_name,
};
use asya_store::Write;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    FIELD_MANAGER, guard,
    kinds::Mendable,
    manifest::{diff, difference, similarity, wished, yaml},
    mender::{Mender, Next, POLL},
    policy,
    question::{Said, stands},
    record::{Held, Plan, REMEDIES, Remedy, Stage, hash},
};
use crate::{actor::ActError, deadlines::later};

/// Pause before a model is asked again that does not answer.
const AWAY: std::time::Duration = std::time::Duration::from_secs(60);
/// Dry runs of one change while others write to its object.
const TRIES: u32 = 5;
/// Records of one cluster that are counted.
const MOST: usize = 10_000;
/// What a Mutation says that waits.
const WAITS: &str = "waits for approval; kubectl annotate mutation NAME asya.sh/approve=YOUR-USER-NAME";

/// A change that was tried and may be shown.
struct Tried {
    plan: Plan,
    spec: MutationSpec,
    score: f64,
}

impl Mender {
    /// Asks, checks and tries, and makes a Mutation of what came of it.
    pub(super) async fn propose(
        &self,
        kind: Mendable,
        held: &mut Held<'_>,
        now: Timestamp,
    ) -> Result<Next, ActError> {
        let Remedy { finding, target, .. } = held.remedy.clone();
        if !stands(self.finding(&finding.cluster, &finding.object).await?.as_ref(), &finding) {
            return Ok(Next::Gone(
                "it healed or changed before a model was asked, or this is not the database of findings"
                    .to_owned(),
            ));
        }
        if self.waiting(&finding.cluster).await? >= self.settings.pending as usize {
            return Ok(Next::Again(later(now, AWAY)));
        }
        let object = match self.clusters.get(kind, &target).await? {
            Ok(object) => object,
            Err(no) => return Ok(Next::Gone(no.sentence)),
        };
        if let Some(owner) = owner(&object) {
            return Ok(Next::Gone(format!("it belongs to {owner}, which would undo the change")));
        }
        let before = wished(&object);
        let after = match self.asker.ask(kind, &held.remedy, &before).await? {
            Said::Changed(after) => after,
            Said::Nothing(why) => return Ok(Next::Gone(why)),
            Said::Away(why) => {
                tracing::info!(object = %target, why, "not asked now, trying again later");
                return Ok(Next::Again(later(now, AWAY)));
            }
        };
        match self.tried(kind, &held.remedy, object, &after).await? {
            Ok(tried) => self.show(held, tried, now).await,
            Err(why) => Ok(Next::Gone(why)),
        }
    }

    /// What would come of a change; an error: why it may not be proposed.
    async fn tried(
        &self,
        kind: Mendable,
        remedy: &Remedy,
        mut object: Value,
        after: &Value,
    ) -> Result<Result<Tried, String>, ActError> {
        let cluster = &remedy.finding.cluster;
        let before = wished(&object);
        if let Err(why) = guard::check(kind, &before, after) {
            return Ok(Err(why));
        }
        let patch = difference(&before, after).1;
        let undo = difference(after, &before).1;
        for part in [&patch, &undo] {
            if self.asker.shown(cluster, part).await? != *part {
                return Ok(Err("a fix may not change what looks like a secret".to_owned()));
            }
        }
        let text =
            |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let uid = text(&object, "uid");
        let mut tries = 0;
        let after = loop {
            tries += 1;
            let version = text(&object, "resourceVersion");
            match self.clusters.apply(kind, &remedy.target, (&uid, &version), &patch, true).await? {
                Ok(tried) => break wished(&tried),
                Err(no) if no.changed && tries < TRIES => {}
                Err(no) => return Ok(Err(format!("the API server refuses it: {}", no.sentence))),
            }
            // Its controller writes a status often; that is no other object, and no reason to ask a model again.
            object = match self.clusters.get(kind, &remedy.target).await? {
                Ok(now) if wished(&now) == before => now,
                Ok(_) => {
                    return Err(super::cluster::away("the object changed while a model was asked"));
                }
                Err(no) => return Ok(Err(no.sentence)),
            };
        };
        // Webhooks and the rules of server-side apply have had their say.
        if let Err(why) = guard::check(kind, &before, &after) {
            return Ok(Err(why));
        }
        if before == after {
            return Ok(Err("it changes nothing".to_owned()));
        }
        let shown = |value: Value| yaml(&value).map_err(ActError::Unfit);
        let origin = shown(self.asker.shown(cluster, &before).await?)?;
        let target = shown(self.asker.shown(cluster, &after).await?)?;
        let texts = (origin.clone(), target.clone());
        // Seconds of work where two large manifests differ at both ends.
        let score = tokio::task::spawn_blocking(move || similarity(&texts.0, &texts.1)).await;
        let score = score.map_err(|error| ActError::Unfit(error.to_string()))?;
        let spec = MutationSpec {
            similarity_score: format!("{score:.2}"),
            resource_gvk: format!("{}/{}", kind.api_version(), kind.kind),
            resource: ObjectReference {
                api_version: Some(kind.api_version()),
                kind: Some(kind.kind.to_owned()),
                name: Some(remedy.target.name.clone()),
                namespace: remedy.target.namespace.clone(),
                uid: Some(uid.clone()),
                resource_version: Some(text(&object, "resourceVersion")),
                field_path: None,
            },
            result: self.result(remedy),
            diff: Some(diff(&origin, &target)),
            origin_configuration: origin,
            target_configuration: target,
        };
        let json = serde_json::to_value(&spec).map_err(|error| ActError::Unfit(error.to_string()))?;
        let (before, after) = (hash(&before), hash(&after));
        let name = self.name_of(remedy, &[&before, &after, &uid]);
        let plan = Plan { mutation: name, spec: hash(&json), uid, before, after, patch, undo };
        Ok(Ok(Tried { plan, spec, score }))
    }

    /// Makes the Mutation, and writes down that it waits for approval, or that it is too different.
    async fn show(&self, held: &mut Held<'_>, tried: Tried, now: Timestamp) -> Result<Next, ActError> {
        let Tried { plan, spec, score } = tried;
        let mutation = plan.mutation.clone();
        let made = match self.clusters.propose(&self.mutation(&mutation, &spec)).await? {
            Ok(made) => made,
            Err(no) => {
                return Ok(Next::Gone(format!("the Mutation {mutation} cannot be made: {}", no.sentence)));
            }
        };
        if read_spec(&made)? != plan.spec {
            return Ok(Next::Gone(format!("there is another Mutation {mutation}")));
        }
        let (needed, until) = (self.settings.similarity, later(now, self.settings.expiry));
        let missing = policy::missing(&self.clusters.home, &self.clusters.mutations(), &mutation).await?;
        // Whoever was here before may have made it, and it may have been approved since by anybody.
        let guarded = missing.is_none() && super::approval::approver(&made).is_none();
        let said = missing.map_or_else(|| WAITS.replace("NAME ", &format!("{mutation} ")), |why| off(&why));
        held.remedy.stage = Stage::Proposed { plan, until, guarded, said: said.clone() };
        if score < needed {
            let said = format!("not applied: the manifests are {score:.2} % alike and have to be {needed} %");
            return Ok(Next::Over(Phase::Aborted, said));
        }
        if !held.save(Vec::<Write>::new()).await? {
            return Ok(Next::Changed);
        }
        self.say(held, &mutation, Phase::AwaitingApproval, said, now).await?;
        tracing::info!(object = %held.remedy.target, mutation, "a change waits for approval");
        Ok(Next::Again(later(now, POLL)))
    }

    /// How many proposals wait for approval.
    async fn waiting(&self, cluster: &str) -> Result<usize, ActError> {
        let records = self.store.list(REMEDIES, &format!("{cluster}/"), MOST).await?;
        let records =
            records.iter().filter_map(|record| serde_json::from_slice::<Remedy>(&record.value).ok());
        Ok(records.filter(|remedy| matches!(remedy.stage, Stage::Proposed { .. })).count())
    }

    fn name_of(&self, remedy: &Remedy, parts: &[&str]) -> String {
        let target = &remedy.target;
        let name =
            result_name(&self.settings.k8sgpt, &target.kind.kind, target.namespace.as_deref(), &target.name);
        let text =
            json!([remedy.finding.cluster, remedy.finding.fingerprint, parts, remedy.finding.sequence]);
        format!("{name}-{:.8}", hash(&text))
    }

    fn result(&self, remedy: &Remedy) -> ObjectReference {
        let object = &remedy.finding.object;
        let kind = &object.kind.kind;
        ObjectReference {
            api_version: Some(API_VERSION.to_owned()),
            kind: Some(RESULT_KIND.to_owned()),
            name: Some(result_name(&self.settings.k8sgpt, kind, object.namespace.as_deref(), &object.name)),
            namespace: Some(self.clusters.namespace.clone()),
            ..ObjectReference::default()
        }
    }

    fn mutation(&self, name: &str, spec: &MutationSpec) -> Value {
        let k8sgpt = &self.settings.k8sgpt;
        let mut labels: BTreeMap<String, String> =
            k8sgpt::result_labels(k8sgpt, &self.clusters.namespace, None);
        labels.insert("app.kubernetes.io/managed-by".to_owned(), FIELD_MANAGER.to_owned());
        let owners: Vec<Value> = self
            .settings
            .uid
            .iter()
            .map(|uid| json!({"apiVersion": API_VERSION, "kind": k8sgpt::KIND, "name": k8sgpt, "uid": uid}))
            .collect();
        json!({"apiVersion": API_VERSION, "kind": MUTATION_KIND, "spec": spec, "metadata":
            {"name": name, "namespace": self.clusters.namespace, "labels": labels, "ownerReferences": owners}})
    }
}

/// What a Mutation says while nobody can approve it.
pub(super) fn off(why: &str) -> String {
    format!("nothing is applied: {why}; install crds/remedy/approval.yaml")
}

/// What a Mutation says that waits.
pub(super) fn waits(mutation: &str) -> String {
    WAITS.replace("NAME ", &format!("{mutation} "))
}

/// The hash of a Mutation's spec as this program reads it.
pub(super) fn read_spec(mutation: &Value) -> Result<String, ActError> {
    let wrong = |error: serde_json::Error| ActError::Unfit(error.to_string());
    let spec: MutationSpec = serde_json::from_value(mutation["spec"].clone()).map_err(wrong)?;
    Ok(hash(&serde_json::to_value(spec).map_err(wrong)?))
}

/// Who made the object and would make it again as it was.
fn owner(object: &Value) -> Option<String> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    Some(format!("{} {}", owner["kind"].as_str()?, owner["name"].as_str()?))
}
