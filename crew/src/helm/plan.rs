//! From what is asked for to an answer or a proposal: everything is looked at, nothing is changed.

use asya_session::{Proposal, hash};
use jiff::Timestamp;
use kube::Client;
use serde_json::{Value, json};

use super::{
    Helm,
    arguments::{self, Verb, Wanted},
    deed::Deed,
    objects::keeping,
    program::Room,
    release::{DEPLOYED, Release, Revision},
    shown::Shown,
};
use crate::{
    approval::place::Place,
    asked::Asked,
    deadlines::later,
    kube::consent::{
        refused::{Refused, Stop, refuse},
        review,
        way::{self, Plan},
    },
};

impl Helm {
    /// Answers what only looks; looks what else would change, and proposes it.
    pub(super) async fn plan(
        &self,
        payload: &Value,
        asked: &Asked,
        place: &Place<'_>,
        cluster: &Client,
        now: Timestamp,
    ) -> Result<Plan, Stop> {
        let wanted = arguments::read(payload)?;
        let room = self.program.room()?;
        if wanted.verb == Verb::Template {
            return self.template_shown(&wanted, &room).await.map(Plan::Answer);
        }
        self.settings.rules.check_namespace(&wanted.namespace)?;
        let person = self.settings.consent.person(asked)?;
        // What helm knows of releases is in Secrets: who may not list those learns nothing of it here.
        review::both(cluster, &person, &keeping(&wanted.namespace, &["get", "list"])).await?;
        if matches!(wanted.verb, Verb::List | Verb::Status | Verb::Values | Verb::History) {
            return self.look(&wanted, &room).await.map(Plan::Answer);
        }
        let (deed, archive) = self.deed(&wanted, &room).await?;
        let picture = self.picture(&deed, archive, &person, cluster, &room).await?;
        let Shown { summary, diff, risk } = picture.shown;
        let sound = deed.upon.as_ref().is_none_or(|upon| upon.status == DEPLOYED);
        if diff.is_empty() && sound && deed.verb != Verb::Uninstall {
            let said = format!("nothing to change: {} is so already", deed.target());
            return Ok(Plan::Answer(json!({"done": false, "summary": said})));
        }
        if wanted.dry_run || wanted.verb == Verb::Diff {
            let said = format!("{summary}: this is what it would change, nothing was done");
            return Ok(Plan::Answer(json!({"done": false, "summary": said, "diff": within(&diff)})));
        }
        let call = way::call(&self.desk, asked).await?;
        let operation = serde_json::to_value(&deed).map_err(|error| Refused(error.to_string()))?;
        Ok(Plan::Propose(Box::new(Proposal {
            id: place.operation(&call),
            session: asked.claims.session.clone(),
            call,
            tool: crate::tool::helm::NAME.to_owned(),
            actor: place.actor.to_owned(),
            summary,
            verb: deed.verb.name().to_owned(),
            target: deed.target(),
            hash: hash::of(&operation),
            operation,
            diff,
            review: picture.review,
            risk,
            expires: later(now, self.settings.consent.timeout),
            four_eyes: self.settings.consent.four_eyes,
        })))
    }

    /// What is asked for as a deed, upon the release as it is.
    async fn deed(
        &self,
        wanted: &Wanted,
        room: &Room,
    ) -> Result<(Deed, Option<super::chart::Archive>), Stop> {
        let Wanted { verb, namespace, release, .. } = wanted;
        let history = self.history(Release { namespace, name: release }, room).await?;
        let last = history.last();
        let verb = match (verb, last) {
            (Verb::Diff, None) => Verb::Install,
            (Verb::Diff, Some(_)) => Verb::Upgrade,
            (verb, _) => *verb,
        };
        fits(verb, wanted, &history)?;
        let archive = match &wanted.chart {
            Some(named) => Some(self.fetch(named, room).await?),
            None => None,
        };
        let deed = Deed {
            verb,
            namespace: namespace.clone(),
            release: release.clone(),
            chart: archive.as_ref().map(|archive| archive.chart.clone()),
            values: wanted.values.clone(),
            reset_values: wanted.reset_values,
            to: wanted.revision.filter(|_| verb == Verb::Rollback),
            upon: last.map(Revision::upon),
        };
        Ok((deed, archive))
    }
}

/// Whether helm does this to a release with such a history; what it does else is not to be found out by trying.
fn fits(verb: Verb, wanted: &Wanted, history: &[Revision]) -> Result<(), Refused> {
    let target = format!("{}/{}", wanted.namespace, wanted.release);
    let Some(last) = history.last() else {
        return match verb {
            Verb::Install => Ok(()),
            _ => refuse(format!("there is no release {target}; list shows which there are")),
        };
    };
    match verb {
        Verb::Install => {
            refuse(format!("there is a release {target} already, {}: upgrade or uninstall it", last.status))
        }
        Verb::Upgrade if last.is_pending() => refuse(format!(
            "release {target} is {}: somebody is at it, or was interrupted. If nobody is, {}",
            last.status,
            super::found::next(history)
        )),
        Verb::Upgrade if !history.iter().any(Revision::worked) => {
            refuse(format!("release {target} never worked: {}", super::found::next(history)))
        }
        Verb::Rollback => match history.iter().find(|one| Some(one.revision) == wanted.revision) {
            Some(one) if one.worked() => Ok(()),
            Some(one) => refuse(format!("revision {} never worked: it is {}", one.revision, one.status)),
            None => refuse(format!("release {target} has no such revision; history shows which there are")),
        },
        _ => Ok(()),
    }
}

/// So much of a diff as an answer holds.
fn within(diff: &str) -> String {
    let mut text = crate::kube::answer::Text::default();
    text.lines(diff);
    text.into_text()
}
