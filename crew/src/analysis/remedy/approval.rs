//! Whether somebody has approved a change, and whether it still is the one that was shown.

use asya_resources::k8sgpt::{Phase, mutation::APPROVE_ANNOTATION};
use asya_store::{Expect, Write};
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    kinds::Mendable,
    manifest::wished,
    mender::{Mender, Next, POLL},
    policy,
    proposal::{off, read_spec, waits},
    question::stands,
    record::{CHANGES, Held, Plan, Stage, hash},
};
use crate::{actor::ActError, deadlines::later};

/// How often a change is proposed anew because its object has changed.
const ROUNDS: u32 = 3;
/// What a Mutation says that was approved by nobody knows whom.
const UNGUARDED: &str = "approved before it was certain who may: remove asya.sh/approve and set it again";

/// Who has approved a Mutation.
pub(super) fn approver(mutation: &Value) -> Option<&str> {
    let annotations = mutation.pointer("/metadata/annotations")?;
    annotations[APPROVE_ANNOTATION].as_str().filter(|name| !name.is_empty())
}

impl Mender {
    /// Waits for approval; goes on to apply what has it.
    pub(super) async fn approval(
        &self,
        kind: Mendable,
        held: &mut Held<'_>,
        now: Timestamp,
    ) -> Result<Next, ActError> {
        let Stage::Proposed { plan, until, guarded, said } = held.remedy.stage.clone() else {
            return Ok(Next::Changed);
        };
        let Some(mutation) = self.clusters.mutation(&plan.mutation).await? else {
            return Ok(Next::Gone("its Mutation was deleted, which refuses it".to_owned()));
        };
        let aborted = |why: &str| Ok(Next::Over(Phase::Aborted, why.to_owned()));
        if read_spec(&mutation)? != plan.spec {
            return aborted("not applied: what was proposed was changed afterwards");
        }
        if now >= until {
            return aborted("not applied: nobody has approved it in time");
        }
        let finding = &held.remedy.finding;
        if !stands(self.finding(&finding.cluster, &finding.object).await?.as_ref(), finding) {
            return aborted("not applied: it healed or changed before it was approved");
        }
        let missing =
            policy::missing(&self.clusters.home, &self.clusters.mutations(), &plan.mutation).await?;
        let by = approver(&mutation).map(str::to_owned);
        let (guarded, says) = match (missing, by) {
            (None, Some(by)) if guarded => return self.approved(kind, held, plan, by, until, now).await,
            (None, Some(_)) => (false, UNGUARDED.to_owned()),
            (None, None) => (true, waits(&plan.mutation)),
            (Some(why), _) => (false, off(&why)),
        };
        if says != said {
            self.say(held, &plan.mutation, Phase::AwaitingApproval, says.clone(), now).await?;
        }
        held.remedy.stage = Stage::Proposed { plan, until, guarded, said: says };
        Ok(Next::Again(later(now, POLL)))
    }

    /// Tries it again, and applies it if the same would come of it.
    async fn approved(
        &self,
        kind: Mendable,
        held: &mut Held<'_>,
        plan: Plan,
        by: String,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Next, ActError> {
        let target = held.remedy.target.clone();
        let object = match self.clusters.get(kind, &target).await? {
            Ok(object) => object,
            Err(no) => return Ok(Next::Over(Phase::Aborted, format!("not applied: {}", no.sentence))),
        };
        let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned();
        if object["metadata"]["uid"] != *plan.uid || hash(&wished(&object)) != plan.before {
            return self
                .anew(held, &plan, "not applied: the object is not what was shown any more", now)
                .await;
        }
        match self.clusters.apply(kind, &target, (&plan.uid, &version), &plan.patch, true).await? {
            Ok(tried) if hash(&wished(&tried)) == plan.after => {}
            Ok(_) => {
                return self.anew(held, &plan, "not applied: another change would come of it now", now).await;
            }
            Err(no) if no.changed => return Ok(Next::Again(later(now, POLL))),
            Err(no) => return Ok(Next::Over(Phase::Aborted, format!("not applied: {}", no.sentence))),
        }
        let counted = match self.counted(&held.remedy.finding.cluster, now).await? {
            Ok(counted) => counted,
            Err(at) => {
                let says =
                    format!("approved by {by}; waits until {at}: {} changes an hour", self.settings.per_hour);
                self.say(held, &plan.mutation, Phase::AwaitingApproval, says, now).await?;
                return Ok(Next::Again(at));
            }
        };
        let before = held.remedy.stage.clone();
        let mutation = plan.mutation.clone();
        held.remedy.stage = Stage::Applying { plan, by: by.clone(), version, until };
        if !held.save(vec![counted]).await? {
            // Another change was counted at the same moment, or this one is somebody else's.
            held.remedy.stage = before;
            return Ok(Next::Again(later(now, POLL)));
        }
        self.say(held, &mutation, Phase::InProgress, format!("approved by {by}; is being applied"), now)
            .await?;
        self.apply(kind, held, now).await
    }

    /// The write that counts a change, or when there may be one again.
    async fn counted(&self, cluster: &str, now: Timestamp) -> Result<Result<Write, Timestamp>, ActError> {
        let hour = SignedDuration::from_hours(1);
        let record = self.store.get(CHANGES, cluster).await?;
        let known =
            record.as_ref().and_then(|record| serde_json::from_slice::<Vec<Timestamp>>(&record.value).ok());
        let mut changes = known.unwrap_or_default();
        changes.retain(|at| at.checked_add(hour).is_ok_and(|end| end > now));
        if changes.len() >= self.settings.per_hour as usize {
            return Ok(Err(changes[0].checked_add(hour).unwrap_or(Timestamp::MAX)));
        }
        changes.push(now);
        let value = serde_json::to_vec(&changes).map_err(|error| ActError::Unfit(error.to_string()))?;
        let expect = record.map_or(Expect::Absent, |record| Expect::Version(record.version));
        Ok(Ok(Write { table: CHANGES, key: cluster.to_owned(), value: Some(Bytes::from(value)), expect }))
    }

    /// Gives a proposal up and asks again, unless that was done often enough.
    async fn anew(
        &self,
        held: &mut Held<'_>,
        plan: &Plan,
        why: &str,
        now: Timestamp,
    ) -> Result<Next, ActError> {
        if held.remedy.rounds + 1 >= ROUNDS {
            return Ok(Next::Over(Phase::Aborted, why.to_owned()));
        }
        self.say(held, &plan.mutation, Phase::Aborted, format!("{why}; it is proposed anew"), now).await?;
        held.remedy.rounds += 1;
        held.remedy.stage = Stage::Wanted;
        self.store.commit(vec![self.forgetting(&plan.mutation, now)]).await?;
        Ok(Next::Again(later(now, POLL)))
    }
}
