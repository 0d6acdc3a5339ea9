//! From what is asked for to a proposal: everything is looked at, nothing is changed.

use asya_cluster::review::Person;
use asya_session::{Proposal, Risk, hash};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Write,
    arguments::{self, Verb},
    cluster::{Cluster, Stop},
    deed::Deed,
    refused::Refused,
    risk,
    shown::{self, Diff},
};
use crate::{approval::place::Place, asked::Asked, deadlines::later};

/// What a person is told at once whose diff has a `***` that is set.
const UNSEEN: &str = "it sets values that are not shown: look at the operation";

/// What a person is shown of a deed, made from nothing but the deed and the object.
#[derive(Debug, PartialEq)]
pub(super) struct Shown {
    pub(super) summary: String,
    pub(super) diff: String,
    pub(super) risk: Risk,
}

/// What comes of a plan.
#[derive(Debug)]
pub(super) enum Plan {
    /// It is to be approved.
    Propose(Box<Proposal>),
    /// That is the answer: nothing would change, or only that was asked.
    Answer(Value),
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
        Ok(Self { summary: shown::sentence(&summary), diff, risk })
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
        let person = self.person(asked)?;
        let served = cluster.served(&wanted.which).await?;
        let change = wanted.of(&served, &self.settings.rules)?;
        let review = cluster.review(&person, &change.rights()).await?;
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
        let call = self.call(asked).await?;
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
            expires: later(now, self.settings.timeout),
            four_eyes: self.settings.four_eyes,
        })))
    }

    /// The user of the cluster who asks.
    pub(super) fn person(&self, asked: &Asked) -> Result<Person, Refused> {
        let users = self.settings.users.as_ref().ok_or_else(|| {
            Refused(
                "nothing is changed, because it is not known which user of the cluster a person is. Whoever runs this tool \
                 can say it with ASYA_KUBE_USER_CLAIM"
                    .to_owned(),
            )
        })?;
        users.person(&asked.claims.sub, &asked.claims.groups).map_err(Refused)
    }
}
