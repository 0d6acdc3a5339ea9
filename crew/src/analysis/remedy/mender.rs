//! Does the next step of whatever is due.

use std::{sync::Arc, time::Duration};

use asya_analysis::{Finding, Lifecycle, ObjectRef};
use asya_resources::k8sgpt::{MutationStatus, Phase};
use asya_sidecar::Means;
use asya_store::{Store, Write, due::Due};
use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::time::timeout;

use super::{
    cluster::{Clusters, away},
    kinds::Mendable,
    question::Asker,
    record::{DUE, FORGET, Held, Plan, Stage},
    settings::Settings,
};
use crate::{
    actor::ActError,
    analysis::{
        findings::{FINDINGS, Kept},
        key,
    },
    deadlines::{Ending, Look, Step, later},
};

/// How often it is looked whether somebody has approved, and whether it helped.
pub(super) const POLL: Duration = Duration::from_secs(5);
/// How long a step may take, the model's answer included.
const STEP: Duration = Duration::from_secs(240);
/// How long whoever works on one is believed to live: longer than a step, so that no two are at one.
const BUSY: Duration = Duration::from_secs(300);
/// Findings of pods of one namespace that are looked at.
const MOST: usize = 5_000;

/// Mends what is written down as wanted, as far as it is allowed to.
pub struct Mender {
    pub(super) store: Arc<dyn Store>,
    pub(super) settings: Settings,
    pub(super) clusters: Clusters,
    pub(super) asker: Asker,
    look: Look,
    forget: Look,
}

/// What comes after a step.
pub(super) enum Next {
    /// It is looked at again then.
    Again(Timestamp),
    /// It is over, and whoever sees the Mutation is told why.
    Over(Phase, String),
    /// It is over, and there is no Mutation that could say so; why.
    Gone(String),
    /// Somebody else has changed the record.
    Changed,
}

impl Mender {
    /// Somebody who mends; none: there is no model.
    pub fn new(store: Arc<dyn Store>, settings: Settings, clusters: Clusters, means: &Means) -> Option<Self> {
        let asker = Asker::new(store.clone(), &settings)?;
        let look = Look::new(store.clone(), DUE, means);
        let forget = Look::new(store.clone(), FORGET, means);
        Some(Self { store, settings, clusters, asker, look, forget })
    }

    /// Goes on for ever. Cancel safe: what was begun is found by whoever comes next.
    pub async fn run(&self) {
        futures::future::join(self.look.run(&Steps(self)), self.forget.run(&Forget(self))).await;
    }

    /// Does what is due at `now`; returns how many are over.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn look(&self, now: Timestamp) -> Result<usize, ActError> {
        self.forget.once(&Forget(self), now).await?;
        Ok(self.look.once(&Steps(self), now).await?.ended)
    }

    async fn step(&self, held: &mut Held<'_>, now: Timestamp) -> Result<Next, ActError> {
        let Some(kind) = Mendable::of(&held.remedy.target.kind) else {
            return Ok(Next::Gone("this version does not know how to change its kind".to_owned()));
        };
        match held.remedy.stage.clone() {
            Stage::Wanted => self.propose(kind, held, now).await,
            Stage::Proposed { .. } => self.approval(kind, held, now).await,
            Stage::Applying { .. } => self.apply(kind, held, now).await,
            Stage::Applied { .. } => self.verify(kind, held, now).await,
            Stage::TakingBack { .. } => self.take_back(kind, held, now).await,
            Stage::Ended { until, .. } if until > now => Ok(Next::Again(until)),
            Stage::Ended { .. } => Ok(Next::Gone(String::new())),
        }
    }

    /// Writes down what came of a step.
    async fn done(&self, held: &mut Held<'_>, next: Next, now: Timestamp) -> Result<Step, ActError> {
        held.remedy.busy = None;
        match next {
            Next::Again(at) => Ok(if held.save(Vec::new()).await? { Step::Taken(at) } else { Step::Changed }),
            Next::Changed => Ok(Step::Changed),
            Next::Gone(why) => {
                if matches!(held.remedy.stage, Stage::Ended { .. }) {
                    return Ok(Step::End(vec![held.forgotten()]));
                }
                tracing::info!(object = %held.remedy.target, why, "not mended");
                self.end(held, Phase::Aborted, now).await
            }
            Next::Over(phase, said) => {
                tracing::info!(object = %held.remedy.target, phase = i64::from(phase), said, "no longer mended");
                let mutation = held.remedy.plan().map(|plan| plan.mutation.clone());
                let mut more = Vec::new();
                if let Some(mutation) = &mutation {
                    self.say(held, mutation, phase, said, now).await?;
                    more.push(self.forgetting(mutation, now));
                }
                let step = self.end(held, phase, now).await?;
                self.store.commit(more).await?;
                Ok(step)
            }
        }
    }

    async fn end(&self, held: &mut Held<'_>, phase: Phase, now: Timestamp) -> Result<Step, ActError> {
        let until = later(now, self.settings.keep);
        held.remedy.stage = Stage::Ended { phase, until };
        Ok(if held.save(Vec::new()).await? { Step::Taken(until) } else { Step::Changed })
    }

    /// The write by which a Mutation is deleted when it has been over for long enough.
    pub(super) fn forgetting(&self, mutation: &str, now: Timestamp) -> Write {
        Due::enter(FORGET, later(now, self.settings.keep).into(), mutation)
    }

    /// Has a Mutation say how far it is.
    pub(super) async fn say(
        &self,
        held: &Held<'_>,
        mutation: &str,
        phase: Phase,
        said: String,
        now: Timestamp,
    ) -> Result<(), ActError> {
        let applied = match &held.remedy.stage {
            Stage::Applied { at, .. } | Stage::TakingBack { at, .. } => Some(at.to_string()),
            _ => None,
        };
        let status = MutationStatus {
            phase,
            message: Some(said),
            applied_time: applied,
            rolled_back_time: (phase == Phase::RolledBack).then(|| now.to_string()),
            ..MutationStatus::default()
        };
        self.clusters.say(mutation, &status).await
    }

    /// The finding of an object as it is now.
    pub(super) async fn finding(
        &self,
        cluster: &str,
        object: &ObjectRef,
    ) -> Result<Option<Finding>, ActError> {
        let record = self.store.get(FINDINGS, &key(cluster, object)).await?;
        Ok(record
            .and_then(|record| serde_json::from_slice::<Kept>(&record.value).ok())
            .map(|kept| kept.finding))
    }

    /// Whether something is wrong with an object, with what was found first, or with a pod of it. What is wrong for less than the grace
    /// period counts.
    pub(super) async fn is_broken(&self, held: &Held<'_>) -> Result<bool, ActError> {
        let (finding, target) = (&held.remedy.finding, &held.remedy.target);
        let open = |finding: &Finding| finding.lifecycle != Lifecycle::Resolved;
        let first = self.finding(&finding.cluster, &finding.object).await?;
        let own = self.finding(&finding.cluster, target).await?;
        // Of a finding that is not there nobody knows that it is healed.
        if first.is_none_or(|first| open(&first)) || own.is_some_and(|own| open(&own)) {
            return Ok(true);
        }
        let namespace = target.namespace.as_deref().unwrap_or_default();
        let pods = self.store.list(FINDINGS, &format!("{}/Pod/{namespace}/", finding.cluster), MOST).await?;
        let mut pods = pods.iter().filter_map(|record| serde_json::from_slice::<Kept>(&record.value).ok());
        Ok(pods.any(|pod| open(&pod.finding) && pod.finding.parent.as_ref() == Some(target)))
    }
}

impl super::record::Remedy {
    /// The change that was tried.
    pub(super) fn plan(&self) -> Option<&Plan> {
        match &self.stage {
            Stage::Proposed { plan, .. }
            | Stage::Applying { plan, .. }
            | Stage::Applied { plan, .. }
            | Stage::TakingBack { plan, .. } => Some(plan),
            Stage::Wanted | Stage::Ended { .. } => None,
        }
    }
}

/// The steps of what is mended.
struct Steps<'m>(&'m Mender);

impl Ending for Steps<'_> {
    fn end<'a>(&'a self, due: &'a Due, now: Timestamp) -> BoxFuture<'a, Result<Step, ActError>> {
        Box::pin(async move {
            let Some(mut held) = Held::get(&*self.0.store, &due.key).await? else {
                return Ok(Step::End(Vec::new()));
            };
            if let Some(busy) = held.remedy.busy.filter(|busy| *busy > now) {
                return Ok(Step::Taken(busy));
            }
            held.remedy.busy = Some(later(now, BUSY));
            if !held.save(Vec::new()).await? {
                return Ok(Step::Changed);
            }
            let next = match timeout(STEP, self.0.step(&mut held, now)).await {
                Ok(next) => next,
                Err(_) => Err(away(format!("a step took longer than {STEP:?}"))),
            };
            match next {
                Ok(next) => self.0.done(&mut held, next, now).await,
                Err(error) => {
                    held.remedy.busy = None;
                    held.save(Vec::new()).await?;
                    Err(error)
                }
            }
        })
    }
}

/// Deletes Mutations that are over.
struct Forget<'m>(&'m Mender);

impl Ending for Forget<'_> {
    fn end<'a>(&'a self, due: &'a Due, _now: Timestamp) -> BoxFuture<'a, Result<Step, ActError>> {
        Box::pin(async move {
            self.0.clusters.forget(&due.key).await?;
            Ok(Step::End(Vec::new()))
        })
    }
}
