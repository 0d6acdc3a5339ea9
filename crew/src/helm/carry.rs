//! An approved change is carried out, once.
//!
//! All that can fail for a while is done before the operation is claimed: what comes after that is one run of helm. What came
//! of that run the history of the release says, under the id of the operation: nothing is done that may have been done.

use asya_session::{Outcome, Proposal};
use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::Value;

use super::{
    Helm, deed::Deed, found::Found, objects::keeping, picture::Picture, program::Room, shown::Shown,
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

/// How much longer than one change whoever has claimed an operation may still be at it.
const AT_IT: SignedDuration = SignedDuration::from_secs(90);
/// How much longer than its own limit helm may take to say that it was over.
const MORE: std::time::Duration = std::time::Duration::from_secs(10);

impl Helm {
    /// Carries out what was approved; the result for the model.
    pub(super) async fn carry(
        &self,
        proposal: &Proposal,
        asked: &Asked,
        cluster: &Client,
        now: Timestamp,
    ) -> Result<Value, Stop> {
        let deed: Deed = serde_json::from_value(proposal.operation.clone())
            .map_err(|error| Refused(format!("this is no change of this tool: {error}")))?;
        deed.check()?;
        let room = self.program.room()?;
        let looked = match self.look_again(&deed, proposal, asked, cluster, &room).await {
            Err(Stop::Later(error)) => return Err(Stop::Later(error)),
            Err(Stop::Refused(why) | Stop::Moved(why)) => Err(why),
            Ok(picture) => Ok(picture),
        };
        let claimed = outcome::claim(&self.desk, asked, proposal).await?;
        let operation = claimed.operation;
        if let Some(outcome) = operation.outcome {
            return Ok(result(&outcome));
        }
        let outcome = if !is_that(&operation.proposal, proposal) {
            failed(proposal, "what was approved is not what was proposed")
        } else if claimed.again {
            self.again(&deed, proposal, looked, operation.claimed, &room, now).await?
        } else {
            match looked {
                Ok(picture) => self.change(&deed, proposal, &picture, &room).await?,
                Err(why) => failed(proposal, &why.0),
            }
        };
        outcome::tell(&self.desk, asked, proposal, outcome).await
    }

    /// Whether it may and can be done still, and is what was shown.
    async fn look_again(
        &self,
        deed: &Deed,
        proposal: &Proposal,
        asked: &Asked,
        cluster: &Client,
        room: &Room,
    ) -> Result<Picture, Stop> {
        self.settings.rules.check_namespace(&deed.namespace)?;
        let person = self.settings.consent.person(asked)?;
        review::both(cluster, &person, &keeping(&deed.namespace, &["get", "list"])).await?;
        let now = self.history(deed.on(), room).await?.last().map(super::release::Revision::upon);
        if now != deed.upon {
            return refuse("the release has changed since it was proposed: propose it again")?;
        }
        let archive = match &deed.chart {
            Some(chart) => Some(self.fetch(&chart.named(), room).await?),
            None => None,
        };
        if archive.as_ref().map(|archive| &archive.chart) != deed.chart.as_ref() {
            return refuse("the repository has another archive of this version now: propose it again")?;
        }
        let picture = self.picture(deed, archive, &person, cluster, room).await?;
        let Shown { summary, diff, risk } = &picture.shown;
        let (verb, target) = (deed.verb.name(), deed.target());
        let is = (summary, diff, *risk, verb, &target);
        if is != (&proposal.summary, &proposal.diff, proposal.risk, &proposal.verb, &proposal.target) {
            return refuse("it would change something else now than what was shown: propose it again")?;
        }
        self.holds(&picture, deed, room).await?;
        Ok(picture)
    }

    /// Makes the change, of which nobody has made a try that has left a trace.
    async fn change(
        &self,
        deed: &Deed,
        proposal: &Proposal,
        picture: &Picture,
        room: &Room,
    ) -> Result<Outcome, Stop> {
        let timeout = self.settings.timeout;
        let mut arguments = picture.arguments(deed, &proposal.id)?;
        arguments.push(format!("--timeout={}s", timeout.as_secs().max(1)));
        let why = match self.program.run(room, &arguments, timeout + MORE).await {
            Ok(_) => return Ok(done(proposal)),
            Err(why) => why.sentence(picture.secrets()),
        };
        Ok(match self.found(deed, &proposal.id, room).await? {
            // Somebody was faster, which may have been this actor itself.
            Found::Done => done(proposal),
            Found::Half(next) => failed(proposal, &format!("{why}; {next}")),
            Found::Untouched | Found::Other => failed(proposal, &why),
        })
    }

    /// Ends what somebody has claimed before and said no more about.
    async fn again(
        &self,
        deed: &Deed,
        proposal: &Proposal,
        looked: Result<Picture, Refused>,
        claimed: Option<Timestamp>,
        room: &Room,
        now: Timestamp,
    ) -> Result<Outcome, Stop> {
        let found = self.found(deed, &proposal.id, room).await?;
        if found == Found::Done {
            return Ok(done(proposal));
        }
        let at_it = AT_IT
            .saturating_add(SignedDuration::try_from(self.settings.timeout).unwrap_or(SignedDuration::MAX));
        if claimed.is_some_and(|claimed| now.duration_since(claimed) < at_it) {
            let reason = format!("operation {} was claimed a moment ago, and may be under way", proposal.id);
            return Err(Stop::Later(ActError::Cluster { doing: "waiting".to_owned(), reason }));
        }
        match (found, looked) {
            (Found::Untouched, Ok(picture)) => self.change(deed, proposal, &picture, room).await,
            (Found::Untouched, Err(why)) => Ok(failed(proposal, &why.0)),
            (Found::Half(next), _) => Ok(failed(proposal, &format!("it was interrupted; {next}"))),
            _ => Ok(failed(
                proposal,
                "it was interrupted, and it cannot be told whether it was done before the release changed: look at its history, \
                 and propose again what is missing",
            )),
        }
    }
}
