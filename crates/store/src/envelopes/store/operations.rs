//! Changes that are proposed, decided and carried out once.

use asya_session::{Operation, Outcome, desk::Propose};
use jiff::Timestamp;

use super::{Database, EnvelopeStore, cut};
use crate::{
    StoreError,
    chat::{
        Claiming, Decided, OperationFilter, OperationPage, Proposed, Recorded, Renew, Renewed, Ruling,
        operations::{self, claim, decide, list, propose},
    },
    envelopes::Cursor,
    sqlite,
};

impl EnvelopeStore {
    /// Keeps an operation that an actor proposes, asked for by `requester`, and the envelope that goes on. `who` is the
    /// actor's account, for the audit log. May be repeated.
    ///
    /// # Errors
    /// Those of the store; [`StoreError::Refused`] for a hash that is not that of the operation, an envelope that cannot go
    /// on, or what is too large.
    pub async fn operation_propose(
        &self,
        proposed: &Propose,
        requester: &str,
        who: &str,
        now: Timestamp,
    ) -> Result<Proposed, StoreError> {
        let (proposed, requester, who) = (proposed.clone(), requester.to_owned(), who.to_owned());
        let now = cut(now);
        write!(self, |tx| propose::propose(tx, &proposed, &requester, &who, now))
    }

    /// One operation.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn operation(&self, id: &str) -> Result<Option<Operation>, StoreError> {
        let id = id.to_owned();
        read!(self, |tx| operations::get(tx, &id))
    }

    /// Operations that fit `filter`, newest first, behind `after`; at most `limit`, and
    /// [`MAX_PAGE`](crate::envelopes::MAX_PAGE).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn operations(
        &self,
        filter: &OperationFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<OperationPage, StoreError> {
        let (filter, after) = (filter.clone(), after.cloned());
        read!(self, |tx| list::list(tx, &filter, after.as_ref(), limit))
    }

    /// Decides an operation that waits, and sends its envelope on, which `renew` has made good again. One
    /// decision counts.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn operation_decide(
        &self,
        id: &str,
        ruling: &Ruling,
        renew: &Renew,
        now: Timestamp,
    ) -> Result<Decided, StoreError> {
        let (id, ruling, renew, now) = (id.to_owned(), ruling.clone(), renew.clone(), cut(now));
        let decided = write!(self, |tx| decide::decide(tx, &id, &ruling, &renew, now));
        if matches!(decided, Ok(Decided::Now(_) | Decided::Late(_))) {
            self.hub().sendable();
        }
        decided
    }

    /// Has the envelope that waits for an operation say anew that `who` asked, as `renew` does it.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn operation_renew(
        &self,
        id: &str,
        who: &str,
        renew: &Renew,
        now: Timestamp,
    ) -> Result<Renewed, StoreError> {
        let (id, who, renew, now) = (id.to_owned(), who.to_owned(), renew.clone(), cut(now));
        write!(self, |tx| decide::renew(tx, &id, &who, &renew, now))
    }

    /// Rejects up to `limit` operations that nobody decided in time, and sends their envelopes on; answers those that it
    /// rejected, each to one of several replicas. Call it again at once when it answers `limit` of them.
    ///
    /// # Errors
    /// Those of the store. One operation that cannot be rejected is told in the log and tried again with the next call.
    pub async fn operation_expire_due(
        &self,
        renew: &Renew,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Operation>, StoreError> {
        let now = cut(now);
        let due = read!(self, |tx| decide::due(tx, now, limit))?;
        let mut expired = Vec::new();
        // Each in a transaction of its own: several would take rows of several sessions, in no order.
        for id in due {
            let (renew, operation) = (renew.clone(), id.clone());
            match write!(self, |tx| decide::expire(tx, &operation, &renew, now)) {
                Ok(operation) => expired.extend(operation),
                // One that cannot be read must not keep those behind it from their end.
                Err(error) => {
                    tracing::warn!(%error, operation = id, "an operation stays undecided past its time");
                }
            }
        }
        if !expired.is_empty() {
            self.hub().sendable();
        }
        Ok(expired)
    }

    /// Claims an operation of `session` to do what has this hash. The first time it is granted, later it is granted
    /// again and says so. `who` is the actor's account, for the audit log.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn operation_claim(
        &self,
        id: &str,
        hash: &str,
        session: &str,
        who: &str,
        now: Timestamp,
    ) -> Result<Claiming, StoreError> {
        let (id, hash, session) = (id.to_owned(), hash.to_owned(), session.to_owned());
        let (who, now) = (who.to_owned(), cut(now));
        write!(self, |tx| claim::claim(tx, &id, &hash, &session, &who, now))
    }

    /// Writes down what came of an operation of `session`. The first outcome stays. `who` is the actor's account.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn operation_outcome(
        &self,
        id: &str,
        outcome: &Outcome,
        session: &str,
        who: &str,
        now: Timestamp,
    ) -> Result<Recorded, StoreError> {
        let (id, outcome, session) = (id.to_owned(), outcome.clone(), session.to_owned());
        let (who, now) = (who.to_owned(), cut(now));
        write!(self, |tx| claim::outcome(tx, &id, &outcome, &session, &who, now))
    }
}
