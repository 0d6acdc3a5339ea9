//! What sidecars report. They may report on envelopes of their own namespace, and never publish by it.

use asya_store::envelopes::{
    Creation, DeadLetter, Ended, Ending, NewChild, Offspring, Report, Reported, codes,
};
use jiff::Timestamp;

use super::{Error, Service, unknown};

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
    /// Reports of another namespace, and those of the store.
    pub async fn child(&self, from: &Reporter, child: &NewChild) -> Result<Creation, Error> {
        if let Some(parent) = &child.parent
            && from.namespace.is_some()
            && let Some(parent) = self.store.summary(parent).await?
        {
            permit(from, parent.namespace.as_deref())?;
        }
        Ok(self.store.add_child(child, Timestamp::now()).await?)
    }

    /// Fan-out children that a sidecar has sent, or reports on; answers how many are known then. Those of envelopes that
    /// are not known here, or that it may not report on, are not kept, and that is no error.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn children_of(&self, from: &Reporter, children: &[NewChild]) -> Result<usize, Error> {
        Ok(self.store.add_children(children, from.namespace.as_deref(), Timestamp::now()).await?)
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
                permit(from, known.namespace.as_deref())?;
            }
            // So that no namespace replaces the letters of another.
            letter.id = format!("{own}.{}", letter.id);
        }
        Ok(self.store.bury(&letter).await?)
    }

    async fn may_report(&self, from: &Reporter, id: &str) -> Result<(), Error> {
        if from.namespace.is_none() {
            return Ok(());
        }
        let known = self.store.summary(id).await?.ok_or_else(|| unknown(id))?;
        permit(from, known.namespace.as_deref())
    }
}

fn permit(from: &Reporter, bound: Option<&str>) -> Result<(), Error> {
    match (&from.namespace, bound) {
        (Some(own), Some(bound)) if own != bound => {
            Err(Error::Forbidden(format!("sidecars of namespace {own:?} may not report on this envelope")))
        }
        _ => Ok(()),
    }
}
