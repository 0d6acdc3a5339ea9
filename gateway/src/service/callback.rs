//! What sidecars report. They may report on envelopes of their own namespace, and never publish by it.
//!
//! An envelope is of the namespace that it was sent to. One that is bound to none (taken over from the Go system, a
//! child whose parent nobody knows) is of the gateway's own: never everybody's. What sidecars of other namespaces tell of
//! envelopes that the gateway has not sent is not about these: it is told to be unknown, and dead letters are kept apart.

use asya_envelope::glob;
use asya_store::envelopes::{
    Creation, DeadLetter, Ended, Ending, NewChild, Offspring, Report, Reported, Within, codes,
};
use jiff::Timestamp;
use serde_json::json;

use super::{Accounts, Error, Service, unknown};
use crate::auth::{Principal, Roles};

/// Entries a second that the audit log takes on refused reports of one namespace: who is refused repeats it.
pub(super) const TOLD_A_SECOND: u32 = 1;

/// Actors that ask the gateway in somebody's name besides agents. Their service accounts are called so, or so behind a `-`, as
/// the chart asya-agents does it.
const TOOLS: [&str; 6] = ["approval", "k8s-read", "k8s-write", "analyze", "helm", "mcp"];

/// A sidecar, as authentication knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporter {
    /// The namespace that it runs in; `None`: trusted for any.
    pub namespace: Option<String>,
    /// The service account that it runs as, where it has shown one.
    pub account: Option<String>,
}

impl Service {
    /// A progress report.
    ///
    /// # Errors
    /// Unknown envelopes, which are not to be reported on again, and those of the store.
    pub async fn progress(&self, from: &Reporter, id: &str, report: &Report) -> Result<Reported, Error> {
        self.may_report(from, id).await?;
        match self.store.report(id, report, Timestamp::now()).await? {
            Reported::Unknown => Err(unknown(id)),
            reported => Ok(reported),
        }
    }

    /// A final report. A second one changes nothing and is no error: sidecars repeat it until it is taken.
    ///
    /// # Errors
    /// As [`Service::progress`].
    pub async fn finish(&self, from: &Reporter, id: &str, ending: &Ending) -> Result<Ended, Error> {
        self.finish_part(from, id, ending, &Offspring::default()).await
    }

    /// A final report of an envelope from which children were made: those that are open, it waits for.
    ///
    /// # Errors
    /// As [`Service::progress`].
    pub async fn finish_part(
        &self,
        from: &Reporter,
        id: &str,
        ending: &Ending,
        offspring: &Offspring,
    ) -> Result<Ended, Error> {
        self.may_report(from, id).await?;
        match self.store.end_part(id, ending, offspring, Timestamp::now()).await? {
            Ended::Unknown => Err(unknown(id)),
            ended => Ok(ended),
        }
    }

    /// A fan-out child that the sidecar has sent.
    ///
    /// # Errors
    /// Reports of another namespace, also of children whose parent is not known, and those of the store.
    pub async fn child(&self, from: &Reporter, child: &NewChild) -> Result<Creation, Error> {
        if from.namespace.is_some() {
            let parent = match &child.parent {
                Some(parent) => self.store.summary(parent).await?,
                None => None,
            };
            match parent {
                Some(parent) => self.permit(from, &child.id, parent.namespace.as_deref()).await?,
                // An operator has one address of a gateway for all namespaces: others' envelopes are not ours.
                None if !self.reports_on(from, None) => {
                    return Err(unknown(child.parent.as_deref().unwrap_or_default()));
                }
                None => {}
            }
        }
        Ok(self.store.add_child(child, Timestamp::now()).await?)
    }

    /// Fan-out children that a sidecar has sent, or reports on; answers how many are known then. Those of envelopes that
    /// are not known here, or that it may not report on, are not kept, and that is no error.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn children_of(&self, from: &Reporter, children: &[NewChild]) -> Result<usize, Error> {
        let within = from.namespace.clone().filter(|_| !self.reports_on_all(from)).map(|namespace| {
            let unbound = self.reports_on(from, None);
            Within { namespace, unbound }
        });
        Ok(self.store.add_children(children, within.as_ref(), Timestamp::now()).await?)
    }

    /// Whether somebody has cancelled it: its sidecar need not go on then.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn is_cancelled(&self, id: &str) -> Result<bool, Error> {
        let known = self.store.summary(id).await?;
        Ok(known.is_some_and(|summary| summary.code.as_deref() == Some(codes::CANCELLED)))
    }

    /// A dead letter of error-end. One that is stored already is no error: error-end repeats it until it is taken. The
    /// envelope may be one that the gateway did not send.
    ///
    /// # Errors
    /// Reports of another namespace, and those of the store: error-end keeps its message then.
    pub async fn bury(&self, from: &Reporter, letter: DeadLetter) -> Result<(), Error> {
        let mut letter = letter;
        if let Some(own) = &from.namespace {
            if let Some(known) = self.store.summary(&letter.envelope).await? {
                self.permit(from, &letter.envelope, known.namespace.as_deref()).await?;
            }
            // So that no namespace replaces the letters of another.
            letter.id = format!("{own}.{}", letter.id);
        }
        Ok(self.store.bury(&letter).await?)
    }

    /// Whether an envelope is still to be worked on; `None` for one that is not known.
    ///
    /// # Errors
    /// Sidecars of another namespace, and those of the store.
    pub async fn asked(&self, from: &Reporter, id: &str) -> Result<Option<bool>, Error> {
        if from.namespace.is_some()
            && let Some(known) = self.store.summary(id).await?
        {
            self.permit(from, id, known.namespace.as_deref()).await?;
        }
        self.active(id).await
    }

    /// Refuses sidecars of namespaces that may not report: what is asked takes no account that may act for agents.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub(super) fn may_ask(&self, from: &Reporter) -> Result<(), Error> {
        if self.reports_on(from, None) {
            return Ok(());
        }
        let own = from.namespace.as_deref().unwrap_or_default();
        Err(Error::Forbidden(format!("sidecars of namespace {own:?} may not ask here")))
    }

    /// Refuses who may not act for agents: accounts of namespaces that may not report, and those that no setting names.
    ///
    /// # Errors
    /// [`Error::Forbidden`].
    pub(super) fn may_act(&self, from: &Reporter) -> Result<(), Error> {
        let Some(namespace) = &from.namespace else { return Ok(()) };
        let name = from.account.as_deref().unwrap_or_default();
        let account = format!("{namespace}/{name}");
        let named = match &self.rules().internal {
            Accounts::Named(globs) => globs.iter().any(|glob| glob::matches(glob, &account)),
            Accounts::OfAgents => is_of_tool(name) || self.runs_agents(name),
        };
        if self.reports_on(from, None) && named {
            return Ok(());
        }
        Err(Error::Forbidden(format!(
            "service account {account:?} may not act for agents; whoever runs the gateway can allow it with \
             ASYA_GATEWAY_INTERNAL_ACCOUNTS"
        )))
    }

    async fn may_report(&self, from: &Reporter, id: &str) -> Result<(), Error> {
        if from.namespace.is_none() {
            return Ok(());
        }
        let known = self.store.summary(id).await?.ok_or_else(|| unknown(id))?;
        self.permit(from, id, known.namespace.as_deref()).await
    }

    /// Whether a sidecar may report on envelopes that are bound to a namespace, or to none.
    fn reports_on(&self, from: &Reporter, bound: Option<&str>) -> bool {
        let rules = self.rules();
        let Some(own) = from.namespace.as_deref() else { return true };
        bound.or(rules.namespace.as_deref()) == Some(own) || self.reports_on_all(from)
    }

    /// Whether a setting lets a sidecar report on whatever there is.
    fn reports_on_all(&self, from: &Reporter) -> bool {
        let Some(own) = from.namespace.as_deref() else { return true };
        self.rules().reporters.iter().any(|name| name == own || name == "*")
    }

    /// Refuses reports on an envelope of another namespace than the sidecar's, and enters that into the audit log.
    async fn permit(&self, from: &Reporter, id: &str, bound: Option<&str>) -> Result<(), Error> {
        if self.reports_on(from, bound) {
            return Ok(());
        }
        let own = from.namespace.as_deref().unwrap_or_default();
        // The group that Kubernetes has all accounts of a namespace in.
        let who = Principal::named(&format!("system:serviceaccounts:{own}"), Roles::NONE);
        if self.told.take(own).is_ok() {
            tracing::warn!(who = who.name, envelope = id, bound, "a report of another namespace was refused");
            self.audit(
                &who,
                "refused",
                Some(id),
                Some(&json!({"namespace": bound.or(self.rules().namespace.as_deref())})),
            )
            .await;
        }
        Err(Error::Forbidden(format!("sidecars of namespace {own:?} may not report on this envelope")))
    }
}

/// Whether a service account is called like a tool.
fn is_of_tool(account: &str) -> bool {
    let fits = |rest: &str| rest.is_empty() || rest.ends_with('-');
    TOOLS.iter().any(|tool| account.strip_suffix(tool).is_some_and(fits))
}
