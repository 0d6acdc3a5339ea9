//! Applied, looked at again, taken back.

use asya_resources::k8sgpt::Phase;
use jiff::Timestamp;
use serde_json::Value;

use super::{
    kinds::Mendable,
    manifest::wished,
    mender::{Mender, Next, POLL},
    record::{Held, Stage, hash},
};
use crate::{actor::ActError, deadlines::later};

impl Mender {
    /// Applies what is written down as approved, unless it is applied already. The object says so: while it has the
    /// version that it is applied to, nothing was applied.
    pub(super) async fn apply(
        &self,
        kind: Mendable,
        held: &mut Held<'_>,
        now: Timestamp,
    ) -> Result<Next, ActError> {
        let Stage::Applying { plan, by, version, until } = held.remedy.stage.clone() else {
            return Ok(Next::Changed);
        };
        let target = held.remedy.target.clone();
        let object = match self.clusters.get(kind, &target).await? {
            Ok(object) => object,
            Err(no) => return Ok(Next::Over(Phase::Aborted, format!("approved by {by}; {}", no.sentence))),
        };
        let is_same = object["metadata"]["uid"] == *plan.uid;
        if is_same && object["metadata"]["resourceVersion"] == *version {
            match self.clusters.apply(kind, &target, (&plan.uid, &version), &plan.patch, false).await? {
                Ok(_) => {}
                Err(no) if no.changed => {
                    // Refused, so not applied: tried again with what the object is now.
                    let said = String::new();
                    held.remedy.stage = Stage::Proposed { plan, until, guarded: true, said };
                    return Ok(Next::Again(later(now, POLL)));
                }
                Err(no) => {
                    return Ok(Next::Over(
                        Phase::Aborted,
                        format!("approved by {by}; refused: {}", no.sentence),
                    ));
                }
            }
        } else if !is_same || hash(&wished(&object)) != plan.after {
            let said =
                format!("approved by {by}; it was interrupted and the object has changed since: look at it");
            return Ok(Next::Over(Phase::Aborted, said));
        }
        let mutation = plan.mutation.clone();
        let ends = later(now, self.settings.verify);
        let said = format!("approved by {by}; applied, and looked at until {ends}");
        held.remedy.stage = Stage::Applied { plan, by, at: now, until: ends, well_since: None };
        if !held.save(Vec::new()).await? {
            return Ok(Next::Changed);
        }
        self.say(held, &mutation, Phase::Completed, said, now).await?;
        Ok(Next::Again(later(now, POLL)))
    }

    /// Looks whether it helped: nothing is wrong with the object or its pods, for long enough.
    pub(super) async fn verify(
        &self,
        kind: Mendable,
        held: &mut Held<'_>,
        now: Timestamp,
    ) -> Result<Next, ActError> {
        let Stage::Applied { plan, by, at, until, well_since } = held.remedy.stage.clone() else {
            return Ok(Next::Changed);
        };
        let well_since = if self.is_broken(held).await? { None } else { Some(well_since.unwrap_or(now)) };
        match well_since {
            Some(since) if later(since, self.settings.settle) <= now => {
                Ok(Next::Over(Phase::Successful, format!("approved by {by}; it helped")))
            }
            None if now >= until => {
                held.remedy.stage = Stage::TakingBack { plan, by, at };
                if !held.save(Vec::new()).await? {
                    return Ok(Next::Changed);
                }
                self.take_back(kind, held, now).await
            }
            well_since => {
                held.remedy.stage = Stage::Applied { plan, by, at, until, well_since };
                Ok(Next::Again(later(now, POLL)))
            }
        }
    }

    /// Takes back what did not help, unless somebody has changed the object since.
    pub(super) async fn take_back(
        &self,
        kind: Mendable,
        held: &mut Held<'_>,
        now: Timestamp,
    ) -> Result<Next, ActError> {
        let Stage::TakingBack { plan, by, .. } = held.remedy.stage.clone() else {
            return Ok(Next::Changed);
        };
        let over = |phase: Phase, what: &str| {
            Ok(Next::Over(phase, format!("approved by {by}; it did not help, {what}")))
        };
        let target = held.remedy.target.clone();
        let object: Value = match self.clusters.get(kind, &target).await? {
            Ok(object) => object,
            Err(no) => return over(Phase::Pending, &format!("and cannot be taken back: {}", no.sentence)),
        };
        let is = hash(&wished(&object));
        if object["metadata"]["uid"] != *plan.uid || (is != plan.after && is != plan.before) {
            return over(Phase::Pending, "and the object was changed since: it is left as it is");
        }
        if is == plan.after {
            let version = object["metadata"]["resourceVersion"].as_str().unwrap_or_default();
            match self.clusters.apply(kind, &target, (&plan.uid, version), &plan.undo, false).await? {
                Ok(_) => {}
                Err(no) if no.changed => return Ok(Next::Again(later(now, POLL))),
                Err(no) => {
                    return over(Phase::Pending, &format!("and cannot be taken back: {}", no.sentence));
                }
            }
        }
        over(Phase::RolledBack, "and was taken back")
    }
}
