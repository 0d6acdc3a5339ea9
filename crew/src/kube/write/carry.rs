//! An approved change is carried out, once.
//!
//! All that can fail for a while is done before the operation is claimed: what comes after that is one request. If it is
//! not known what became of that request, the object is looked at, and nothing is done that may have been done.

use asya_session::{Outcome, Proposal};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::{
    Write,
    cluster::{Cluster, FIELD_MANAGER},
    deed::{Deed, Method, Target, state},
    plan::Shown,
};
use crate::{
    actor::ActError,
    asked::Asked,
    kube::consent::{
        outcome::{self, done, failed, is_that, result},
        refused::{Refused, Stop, refuse},
        review,
    },
};

/// How long whoever has claimed an operation may still be at it: longer than the answer to the claim and the change take.
const AT_IT: SignedDuration = SignedDuration::from_secs(90);
/// How often a change is tried of an object whose status moves.
const TRIES: u32 = 5;

/// The change can be made now, to this version of the object; none: there is no object yet.
struct Ready {
    version: Option<String>,
}

impl Write {
    /// Carries out what was approved; the result for the model.
    pub(super) async fn carry(
        &self,
        proposal: &Proposal,
        asked: &Asked,
        cluster: &Cluster,
        now: Timestamp,
    ) -> Result<Value, Stop> {
        let deed: Deed = serde_json::from_value(proposal.operation.clone())
            .map_err(|error| Refused(format!("this is no change of this tool: {error}")))?;
        deed.check()?;
        let looked = match self.look(&deed, proposal, asked, cluster).await {
            Err(Stop::Later(error)) => return Err(Stop::Later(error)),
            Err(Stop::Refused(why) | Stop::Moved(why)) => Err(why),
            Ok(ready) => Ok(ready),
        };
        let claimed = outcome::claim(&self.desk, asked, proposal).await?;
        let operation = claimed.operation;
        if let Some(outcome) = operation.outcome {
            return Ok(result(&outcome));
        }
        let outcome = if !is_that(&operation.proposal, proposal) {
            failed(proposal, "what was approved is not what was proposed")
        } else if claimed.again {
            self.again(&deed, proposal, looked, operation.claimed, cluster, now).await?
        } else {
            match looked {
                Ok(ready) => self.change(&deed, proposal, ready, cluster).await?,
                Err(why) => failed(proposal, &why.0),
            }
        };
        outcome::tell(&self.desk, asked, proposal, outcome).await
    }

    /// Whether it may and can be done still, and is what was shown.
    async fn look(
        &self,
        deed: &Deed,
        proposal: &Proposal,
        asked: &Asked,
        cluster: &Cluster,
    ) -> Result<Ready, Stop> {
        let target = &deed.target;
        let served = cluster.served(&deed.which()).await?;
        if *target != Target::new(&served, target.namespace.clone(), target.name.clone()) {
            return refuse("the cluster serves this kind in another way now: propose it again")?;
        }
        self.settings.rules.check(&served, target.namespace.as_deref(), &target.name)?;
        let person = self.settings.consent.person(asked)?;
        let live = cluster.get(target).await?;
        review::both(&cluster.0, &person, &deed.rights()).await?;
        if !deed.is_for(live.as_ref()) {
            return refuse("the object has changed since it was proposed: propose it again")?;
        }
        let after = cluster.run(deed, None, true).await?;
        let Shown { summary, diff, risk } = Shown::of(deed, live.as_ref(), after.as_ref())?;
        let (verb, target) = (deed.verb.name(), target.to_string());
        let is = (&summary, &diff, risk, verb, &target);
        if is != (&proposal.summary, &proposal.diff, proposal.risk, &proposal.verb, &proposal.target) {
            return refuse("it would change something else now than what was shown: propose it again")?;
        }
        Ok(Ready { version: version_of(live.as_ref()) })
    }

    /// Makes the change, of which nobody has made a try that was not refused.
    async fn change(
        &self,
        deed: &Deed,
        proposal: &Proposal,
        ready: Ready,
        cluster: &Cluster,
    ) -> Result<Outcome, Stop> {
        let mut version = ready.version;
        for _ in 0..TRIES {
            let why = match cluster.run(deed, version.as_deref(), false).await {
                Ok(_) => return Ok(done(proposal)),
                Err(Stop::Refused(why)) => {
                    return Ok(failed(proposal, &format!("the API server refuses it: {}", why.0)));
                }
                Err(Stop::Moved(why)) => why,
                Err(later) => return Err(later),
            };
            // Refused, so not made: its status moved, or somebody was faster, which may have been this actor itself.
            if self.is_done(deed, cluster).await? {
                return Ok(done(proposal));
            }
            let live = cluster.get(&deed.target).await?;
            if !deed.is_for(live.as_ref()) {
                let why = format!("the object changed at this moment: propose it again ({})", why.0);
                return Ok(failed(proposal, &why));
            }
            version = version_of(live.as_ref());
        }
        Ok(failed(proposal, "the object changes all the time: try it again later"))
    }

    /// Ends what somebody has claimed before and said no more about.
    async fn again(
        &self,
        deed: &Deed,
        proposal: &Proposal,
        looked: Result<Ready, Refused>,
        claimed: Option<Timestamp>,
        cluster: &Cluster,
        now: Timestamp,
    ) -> Result<Outcome, Stop> {
        if self.is_done(deed, cluster).await? {
            return Ok(done(proposal));
        }
        if claimed.is_some_and(|claimed| now.duration_since(claimed) < AT_IT) {
            let reason = format!("operation {} was claimed a moment ago, and may be under way", proposal.id);
            return Err(Stop::Later(ActError::Cluster { doing: "waiting".to_owned(), reason }));
        }
        let live = cluster.get(&deed.target).await?;
        if deed.is_untouched(live.as_ref()) {
            return match looked {
                Ok(ready) => self.change(deed, proposal, ready, cluster).await,
                Err(why) => Ok(failed(proposal, &why.0)),
            };
        }
        Ok(failed(
            proposal,
            "it was interrupted, and it cannot be told whether it was done before the object changed: look at the object, and \
             propose again what is missing",
        ))
    }

    /// Whether the object is as the change makes it: making it again would change nothing.
    async fn is_done(&self, deed: &Deed, cluster: &Cluster) -> Result<bool, Stop> {
        let live = cluster.get(&deed.target).await?;
        let same = |live: &Value| live["metadata"]["uid"].as_str() == deed.uid.as_deref();
        match (deed.method, live) {
            (Method::Delete, live) => {
                Ok(live.is_none_or(|live| !same(&live) || !live["metadata"]["deletionTimestamp"].is_null()))
            }
            (_, None) => Ok(false),
            (_, Some(live)) if deed.uid.is_some() && !same(&live) => Ok(false),
            (_, Some(live)) if deed.uid.is_none() && !is_ours(&live) => Ok(false),
            (_, Some(live)) => {
                let uid = live["metadata"]["uid"].as_str().map(str::to_owned);
                match cluster.run(&Deed { uid, ..deed.clone() }, None, true).await {
                    Ok(after) => Ok(after.is_some_and(|after| state(&after) == state(&live))),
                    Err(Stop::Refused(_) | Stop::Moved(_)) => Ok(false),
                    Err(later) => Err(later),
                }
            }
        }
    }
}

/// The version of an object, which its status moves too.
fn version_of(live: Option<&Value>) -> Option<String> {
    live.and_then(|live| live["metadata"]["resourceVersion"].as_str()).map(str::to_owned)
}

/// Whether this tool has written a part of the object: one that somebody else made is not the one that was to be made.
fn is_ours(live: &Value) -> bool {
    let managed = live["metadata"]["managedFields"].as_array().into_iter().flatten();
    managed.into_iter().any(|managed| managed["manager"] == FIELD_MANAGER)
}
