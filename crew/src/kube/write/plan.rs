//! From what is asked for to a proposal: everything is looked at, nothing is changed.

use asya_session::{Proposal, Risk, hash};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Write,
    arguments::{self, Verb},
    cluster::Cluster,
    deed::Deed,
    risk, shown,
};
use crate::{
    approval::place::Place,
    asked::Asked,
    deadlines::later,
    kube::consent::{
        refused::{Refused, Stop},
        review,
        shown::{Diff, UNSEEN, sentence},
        way::{self, Plan},
    },
};

/// What a person is shown of a deed, made from nothing but the deed and the object.
#[derive(Debug, PartialEq)]
pub(super) struct Shown {
    pub(super) summary: String,
    pub(super) diff: String,
    pub(super) risk: Risk,
}

impl Shown {
    /// What is shown of a deed that makes `after` of `before`.
    ///
    /// # Errors
    /// It cannot be shown, or what would run could not be seen.
    pub(super) fn of(deed: &Deed, before: Option<&Value>, after: Option<&Value>) -> Result<Self, Refused> {
        match deed.verb {
            Verb::Apply => shown::commands(&deed.patch)?,
            Verb::RolloutUndo => shown::earlier(deed)?,
            _ => {}
        }
        let Diff { text: diff, hides } = shown::diff(deed, before, after)?;
        let (mut risk, mut because) = risk::of(deed, before, after);
        if hides {
            risk = Risk::High;
            because.insert(0, UNSEEN.to_owned());
        }
        let mut summary = deed.summary(before);
        if !because.is_empty() {
            summary = format!("{summary}; {}", because.join("; "));
        }
        Ok(Self { summary: sentence(&summary), diff, risk })
    }
}

impl Write {
    /// Looks what the arguments would change, and proposes it.
    pub(super) async fn plan(
        &self,
        payload: &Value,
        asked: &Asked,
        place: &Place<'_>,
        cluster: &Cluster,
        now: Timestamp,
    ) -> Result<Plan, Stop> {
        let wanted = arguments::read(payload)?;
        let person = self.settings.consent.person(asked)?;
        let served = cluster.served(&wanted.which).await?;
        let change = wanted.of(&served, &self.settings.rules)?;
        let review = review::both(&cluster.0, &person, &change.rights()).await?;
        let live = cluster.get(&change.target).await?;
        let earlier = match (&live, change.needs_earlier()) {
            (Some(live), true) => cluster.earlier(&change.target, live).await?,
            _ => None,
        };
        let deed = change.deed(live.as_ref(), earlier, &now.to_string())?;
        let after = cluster.run(&deed, None, true).await?;
        let Shown { summary, diff, risk } = Shown::of(&deed, live.as_ref(), after.as_ref())?;
        if diff.is_empty() {
            let said = format!("nothing to change: {} is so already", deed.target);
            return Ok(Plan::Answer(json!({"done": false, "summary": said})));
        }
        if change.dry_run {
            let said = format!("{summary}: this is what it would change, nothing was done");
            return Ok(Plan::Answer(json!({"done": false, "summary": said, "diff": diff})));
        }
        let call = way::call(&self.desk, asked).await?;
        let operation = serde_json::to_value(&deed).map_err(|error| Refused(error.to_string()))?;
        Ok(Plan::Propose(Box::new(Proposal {
            id: place.operation(&call),
            session: asked.claims.session.clone(),
            call,
            tool: crate::tool::k8s_write::NAME.to_owned(),
            actor: place.actor.to_owned(),
            summary,
            verb: deed.verb.name().to_owned(),
            target: deed.target.to_string(),
            hash: hash::of(&operation),
            operation,
            diff,
            review,
            risk,
            expires: later(now, self.settings.consent.timeout),
            four_eyes: self.settings.consent.four_eyes,
        })))
    }
}
