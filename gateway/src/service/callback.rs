//! What sidecars report. They may report on envelopes of their own namespace, and never publish by it.
//!
//! An envelope is of the namespace that it was sent to. One that is bound to none (taken over from the Go system, a
//! child whose parent nobody knows) is of the gateway's own: never everybody's.

use asya_store::envelopes::{Creation, DeadLetter, Ended, Ending, NewChild, Report, Reported};
use jiff::Timestamp;
use serde_json::json;

use super::{Error, Service, unknown};
use crate::auth::{Principal, Roles};

/// Entries a second that the audit log takes on refused reports of one namespace: who is refused repeats it.
pub(super) const TOLD_A_SECOND: u32 = 1;

/// A sidecar, as authentication knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporter {
    /// The namespace that it runs in; `None`: trusted for any.
    pub namespace: Option<String>,
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
        self.may_report(from, id).await?;
        match self.store.end(id, ending, Timestamp::now()).await? {
            Ended::Unknown => Err(unknown(id)),
            ended => Ok(ended),
        }
    }

    /// A fan-out child that the sidecar has sent.
    ///
    /// # Errors
    /// Reports of another namespace, and those of the store.
    pub async fn child(&self, from: &Reporter, child: &NewChild) -> Result<Creation, Error> {
        if from.namespace.is_some() {
            let parent = match &child.parent {
                Some(parent) => self.store.summary(parent).await?,
                None => None,
            };
            let bound = parent.and_then(|parent| parent.namespace);
            self.permit(from, &child.id, bound.as_deref()).await?;
        }
        Ok(self.store.add_child(child, Timestamp::now()).await?)
    }

    /// A dead letter of error-end. One that is stored already is no error: error-end repeats it until it is taken. The
    /// envelope may be one that the gateway did not send.
    ///
    /// # Errors
    /// Reports of another namespace, and those of the store: error-end keeps its message then.
    pub async fn bury(&self, from: &Reporter, letter: DeadLetter) -> Result<(), Error> {
        let mut letter = letter;
        if let Some(own) = &from.namespace {
            let known = self.store.summary(&letter.envelope).await?;
            let bound = known.and_then(|known| known.namespace);
            self.permit(from, &letter.envelope, bound.as_deref()).await?;
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

    async fn may_report(&self, from: &Reporter, id: &str) -> Result<(), Error> {
        if from.namespace.is_none() {
            return Ok(());
        }
        let known = self.store.summary(id).await?.ok_or_else(|| unknown(id))?;
        self.permit(from, id, known.namespace.as_deref()).await
    }

    /// Refuses reports on an envelope of another namespace than the sidecar's, and enters that into the audit log.
    async fn permit(&self, from: &Reporter, id: &str, bound: Option<&str>) -> Result<(), Error> {
        let Some(own) = from.namespace.as_deref() else { return Ok(()) };
        let rules = self.rules();
        let bound = bound.or(rules.namespace.as_deref());
        if bound == Some(own) || rules.reporters.iter().any(|name| name == own || name == "*") {
            return Ok(());
        }
        // The group that Kubernetes has all accounts of a namespace in.
        let who = Principal { name: format!("system:serviceaccounts:{own}"), roles: Roles::NONE };
        if self.told.take(own).is_ok() {
            tracing::warn!(who = who.name, envelope = id, bound, "a report of another namespace was refused");
            self.audit(&who, "refused", Some(id), Some(&json!({"namespace": bound}))).await;
        }
        Err(Error::Forbidden(format!("sidecars of namespace {own:?} may not report on this envelope")))
    }
}
