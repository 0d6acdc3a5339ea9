//! What there is to see.

use std::{sync::Arc, time::Duration};

use asya_envelope::Raw;
use asya_store::envelopes::{
    AuditEntry, AuditFilter, Counts, Cursor, DeadFilter, DeadGroup, DeadLetter, DeadPage, Filter, Follow,
    Page, Summary, Tracked, Update,
};
use jiff::Timestamp;
use tokio::time::timeout;

use super::{Error, Service, hops::Hop, hops::hops, unknown};
use crate::{
    auth::{Principal, Role},
    tools::{Tool, ToolSet},
};

/// Updates that are read to tell the way of an envelope: hops behind them are not told.
const HOPS_FROM: usize = 1000;

/// Everything that is known of an envelope.
#[derive(Clone, Debug, PartialEq)]
pub struct Whole {
    /// The envelope; without contents unless [`Whole::contents`].
    pub tracked: Tracked,
    /// Whether the principal may see contents.
    pub contents: bool,
    /// How many of its children are in each state.
    pub children: Counts,
    /// The actors it has been at, in order.
    pub hops: Vec<Hop>,
}

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

    /// How many children of an envelope are in each state, and the newest `limit` of them.
    ///
    /// # Errors
    /// Those of [`Service::list`].
    pub async fn family(&self, who: &Principal, id: &str, limit: usize) -> Result<(Counts, Page), Error> {
        let counts = self.children(who, id).await?;
        if counts == Counts::default() {
            return Ok((counts, Page { envelopes: Vec::new(), next: None }));
        }
        let filter = Filter { parent: Some(id.to_owned()), ..Filter::default() };
        Ok((counts, self.list(who, &filter, None, limit).await?))
    }

    /// One envelope with its children and its way.
    ///
    /// # Errors
    /// Those of [`Service::record`].
    pub async fn whole(&self, who: &Principal, id: &str) -> Result<Whole, Error> {
        let tracked = self.record(who, id).await?;
        let children = self.store.children(id).await?;
        let hops = hops(&self.store.updates_since(id, 0, HOPS_FROM).await?);
        Ok(Whole { tracked, contents: who.roles.has(Role::Payload), children, hops })
    }

    /// The tools that can be called. Who may call them may see how.
    ///
    /// # Errors
    /// The roles [`Role::Read`] and [`Role::Send`] both missing.
    pub fn catalogue(&self, who: &Principal) -> Result<Arc<ToolSet>, Error> {
        if !who.roles.has(Role::Send) {
            who.needs(Role::Read)?;
        }
        Ok(self.tools())
    }

    /// One tool.
    ///
    /// # Errors
    /// Unknown tools, and those of [`Service::catalogue`].
    pub fn tool(&self, who: &Principal, name: &str) -> Result<Arc<Tool>, Error> {
        let tools = self.catalogue(who)?;
        tools.get(name).cloned().ok_or_else(|| Error::NotFound { what: "tool", name: name.to_owned() })
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

    /// The updates of an envelope behind number `after`, at most `limit`, as they are now.
    ///
    /// # Errors
    /// Those of [`Service::follow`].
    pub async fn updates(
        &self,
        who: &Principal,
        id: &str,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Update>, Error> {
        who.needs(Role::Read)?;
        self.store.summary(id).await?.ok_or_else(|| unknown(id))?;
        Ok(self.store.updates_since(id, after, limit).await?)
    }

    /// Waits until the envelope has ended, for at most `limit`; `None`: it has not by then. Cancel safe.
    ///
    /// # Errors
    /// Those of [`Service::record`].
    pub async fn wait(&self, who: &Principal, id: &str, limit: Duration) -> Result<Option<Tracked>, Error> {
        who.needs(Role::Read)?;
        match timeout(limit, self.store.ended(id)).await {
            Ok(ended) => drop(ended?),
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

    /// Dead letters, without their bodies, newest first.
    ///
    /// # Errors
    /// The role [`Role::Read`] missing, and those of the store.
    pub async fn dead_letters(
        &self,
        who: &Principal,
        filter: &DeadFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<DeadPage, Error> {
        who.needs(Role::Read)?;
        Ok(self.store.dead_letters(filter, after, limit).await?)
    }

    /// One dead letter. Without [`Role::Payload`] it comes with an empty body.
    ///
    /// # Errors
    /// Unknown letters, the role [`Role::Read`] missing, and those of the store.
    pub async fn dead_letter(&self, who: &Principal, id: &str) -> Result<DeadLetter, Error> {
        who.needs(Role::Read)?;
        let letter = self.store.dead_letter(id).await?;
        let mut letter =
            letter.ok_or_else(|| Error::NotFound { what: "dead letter", name: id.to_owned() })?;
        if !who.roles.has(Role::Payload) {
            letter.body.clear();
        }
        Ok(letter)
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
