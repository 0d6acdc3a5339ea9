//! What there is to see.

use std::time::Duration;

use asya_envelope::Raw;
use asya_store::envelopes::{
    AuditEntry, AuditFilter, Counts, Cursor, DeadFilter, DeadGroup, DeadLetter, Filter, Follow, Page,
    Summary, Tracked,
};
use jiff::Timestamp;
use tokio::time::timeout;

use super::{Error, Service, unknown};
use crate::auth::{Principal, Role};

impl Service {
    /// One envelope. Without [`Role::Payload`] it comes without contents.
    ///
    /// # Errors
    /// Unknown envelopes, the role [`Role::Read`] missing, and those of the store.
    pub async fn record(&self, who: &Principal, id: &str) -> Result<Tracked, Error> {
        who.needs(Role::Read)?;
        let tracked = self.known(id).await?;
        Ok(if who.roles.has(Role::Payload) { tracked } else { without_contents(tracked) })
    }

    /// Envelopes, newest first.
    ///
    /// # Errors
    /// The role [`Role::Read`] missing, and those of the store.
    pub async fn list(
        &self,
        who: &Principal,
        filter: &Filter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page, Error> {
        who.needs(Role::Read)?;
        Ok(self.store.list(filter, after, limit).await?)
    }

    /// How many envelopes are in each state.
    ///
    /// # Errors
    /// The role [`Role::Read`] missing, and those of the store.
    pub async fn counts(&self, who: &Principal) -> Result<Counts, Error> {
        who.needs(Role::Read)?;
        Ok(self.store.counts().await?)
    }

    /// How many children of an envelope are in each state.
    ///
    /// # Errors
    /// The role [`Role::Read`] missing, and those of the store.
    pub async fn children(&self, who: &Principal, id: &str) -> Result<Counts, Error> {
        who.needs(Role::Read)?;
        Ok(self.store.children(id).await?)
    }

    /// The updates of an envelope behind number `after`, then those to come, until its end.
    ///
    /// # Errors
    /// Unknown envelopes, the role [`Role::Read`] missing, and those of the store.
    pub async fn follow(&self, who: &Principal, id: &str, after: i64) -> Result<Follow, Error> {
        who.needs(Role::Read)?;
        self.store.summary(id).await?.ok_or_else(|| unknown(id))?;
        Ok(self.store.follow(id, after))
    }

    /// Waits until the envelope has ended, for at most `limit`; `None`: it has not by then. Cancel safe.
    ///
    /// # Errors
    /// Those of [`Service::follow`].
    pub async fn wait(&self, who: &Principal, id: &str, limit: Duration) -> Result<Option<Tracked>, Error> {
        let mut updates = self.follow(who, id, 0).await?;
        let ended = async {
            while updates.next().await?.is_some() {}
            Ok::<_, Error>(())
        };
        match timeout(limit, ended).await {
            Ok(outcome) => outcome?,
            Err(_) => return Ok(None),
        }
        self.record(who, id).await.map(Some)
    }

    /// Whether a handler should still work on it: `None` for an envelope that is not known here.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn active(&self, id: &str) -> Result<Option<bool>, Error> {
        let now = Timestamp::now();
        Ok(self.store.summary(id).await?.map(|summary: Summary| summary.is_active(now)))
    }

    /// Dead letters, newest first. Without [`Role::Payload`] they come without their bodies.
    ///
    /// # Errors
    /// The role [`Role::Read`] missing, and those of the store.
    pub async fn dead_letters(
        &self,
        who: &Principal,
        filter: &DeadFilter,
        after: Option<&DeadLetter>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, Error> {
        who.needs(Role::Read)?;
        let mut letters = self.store.dead_letters(filter, after, limit).await?;
        if !who.roles.has(Role::Payload) {
            for letter in &mut letters {
                letter.body.clear();
            }
        }
        Ok(letters)
    }

    /// Dead letters counted by actor and code.
    ///
    /// # Errors
    /// The role [`Role::Read`] missing, and those of the store.
    pub async fn dead_groups(&self, who: &Principal, filter: &DeadFilter) -> Result<Vec<DeadGroup>, Error> {
        who.needs(Role::Read)?;
        Ok(self.store.dead_groups(filter).await?)
    }

    /// The audit log, newest first.
    ///
    /// # Errors
    /// The role [`Role::Admin`] missing, and those of the store.
    pub async fn audit_log(
        &self,
        who: &Principal,
        filter: &AuditFilter,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, Error> {
        who.needs(Role::Admin)?;
        Ok(self.store.audits(filter, limit).await?)
    }
}

/// What is left for those who may not see contents.
fn without_contents(tracked: Tracked) -> Tracked {
    let hidden = |there: Option<Raw>| there.map(|_| Raw::null());
    Tracked {
        payload: hidden(tracked.payload),
        result: hidden(tracked.result),
        headers: hidden(tracked.headers),
        ..tracked
    }
}
