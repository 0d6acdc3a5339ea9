//! The use cases: one place for all ways in.
//!
//! | module | holds |
//! |---|---|
//! | [`send`] | new envelopes: by a tool, by a route, by another try |
//! | [`look`] | what there is to see: envelopes, their updates, counts, the audit log |
//! | `payloads` | large payloads, which are kept beside the queues |
//! | [`change`] | what people do to envelopes: cancel, replay dead letters, delete them |
//! | [`callback`] | what sidecars report |
//! | [`findings`] | what is broken in clusters |
//! | [`chat`] | conversations with agents, and what waits for approval in them |
//! | [`queued`] | dead letters on the brokers' own queues |
//! | [`hops`] | [`Hop`](hops::Hop): the actors that an envelope has been at |
//! | [`error`] | [`Error`]: why a use case was refused |
//!
//! The invariant of this module: **what was answered with success is stored.** Publishing follows from the store's outbox.

pub mod callback;
pub mod change;
pub mod chat;
pub mod error;
pub mod findings;
pub mod hops;
pub mod look;
mod payloads;
pub mod queued;
pub mod send;

use std::sync::Arc;

use asya_envelope::{Limits, Raw};
use asya_payload::Claims;
use asya_store::{
    EnvelopeStore, StoreError,
    envelopes::{AuditEntry, Tracked},
};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

pub use callback::Reporter;
pub use error::Error;

use crate::{
    auth::{Principal, Role, rate::Rates},
    dead_queues::DeadQueues,
    tools::ToolSet,
};

/// What a gateway allows.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Globs (`*`, `?`) of actors that envelopes may be sent to directly; `*` alone allows all, none at all nobody.
    pub routes: Vec<String>,
    /// Largest message in bytes.
    pub limits: Limits,
    /// The namespace of the actors: sidecars of others may not report on envelopes of this gateway.
    pub namespace: Option<String>,
    /// Other namespaces whose sidecars may; `*` is all of them.
    pub reporters: Vec<String>,
    /// Accounts of actors that may use `/internal/v1`, within the namespaces whose sidecars may report.
    pub internal: Accounts,
    /// Where large payloads are kept; without it every payload travels in its envelope.
    pub payloads: Option<Claims>,
    /// Where people find logs: an address in which `{id}`, `{actor}`, `{from}` and `{to}` are to be filled in.
    pub logs: Option<String>,
}

/// Service accounts of actors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Accounts {
    /// Those that agents run as, by their files, and those of their tools, as the chart asya-agents names them.
    OfAgents,
    /// Globs `namespace/account`.
    Named(Vec<String>),
}

impl Rules {
    /// The largest payload or message that a request may hold, in bytes.
    pub fn largest(&self) -> usize {
        let kept = self.payloads.as_ref().map_or(0, |claims| claims.options().most);
        self.limits.max_envelope.max(kept)
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            routes: vec!["*".to_owned()],
            limits: Limits::default(),
            namespace: None,
            reporters: Vec::new(),
            internal: Accounts::OfAgents,
            payloads: None,
            logs: None,
        }
    }
}

/// Everything that use cases need. Clones share it.
#[derive(Clone, Debug)]
pub struct Service {
    store: EnvelopeStore,
    tools: watch::Receiver<Arc<ToolSet>>,
    rules: Arc<Rules>,
    dead_queues: Option<Arc<DeadQueues>>,
    chat: Option<Arc<chat::Chat>>,
    /// How often refused reports are told, by namespace.
    told: Arc<Rates>,
}

impl Service {
    /// The use cases over a store, with these tools as they change.
    pub fn new(store: EnvelopeStore, tools: watch::Receiver<Arc<ToolSet>>, rules: Rules) -> Self {
        Self {
            store,
            tools,
            rules: Arc::new(rules),
            dead_queues: None,
            chat: None,
            told: Arc::new(Rates::new(callback::TOLD_A_SECOND)),
        }
    }

    /// The store, for outbox and sweeps.
    pub fn store(&self) -> &EnvelopeStore {
        &self.store
    }

    /// What this gateway allows.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The tools as they are now.
    pub fn tools(&self) -> Arc<ToolSet> {
        self.tools.borrow().clone()
    }

    /// The tools as they change, for those who announce that.
    pub fn tool_changes(&self) -> watch::Receiver<Arc<ToolSet>> {
        self.tools.clone()
    }

    /// Enters into the audit log what a principal did. It is done by then: an entry that cannot be stored goes to the
    /// process's log instead, for an error would have the caller do it again.
    async fn audit(
        &self,
        who: &Principal,
        action: &str,
        envelope: Option<&str>,
        detail: Option<&impl Serialize>,
    ) {
        let entry = audited(who, action, envelope, detail);
        if let Err(error) = self.store.audit(&entry).await {
            let AuditEntry { who, action, envelope, .. } = &entry;
            tracing::error!(%error, who, action, envelope, "the audit log has no entry for what was done");
        }
    }

    /// The envelope, or that there is none.
    async fn known(&self, id: &str) -> Result<Tracked, Error> {
        self.store.get(id).await?.ok_or_else(|| unknown(id))
    }
}

/// An entry for the audit log: what a principal does now.
fn audited(
    who: &Principal,
    action: &str,
    envelope: Option<&str>,
    detail: Option<&impl Serialize>,
) -> AuditEntry {
    AuditEntry {
        number: 0,
        at: Timestamp::now(),
        who: who.name.clone(),
        action: action.to_owned(),
        envelope: envelope.map(str::to_owned),
        detail: detail.map(|detail| Raw::of(detail)),
    }
}

fn unknown(id: &str) -> Error {
    Error::NotFound { what: "Envelope", name: id.to_owned() }
}

/// Refuses unless `who` sent it or is an admin.
fn own(who: &Principal, sender: Option<&str>) -> Result<(), Error> {
    who.needs(if sender == Some(who.name.as_str()) { Role::Send } else { Role::Admin })
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Refused(why) => Self::invalid("", why),
            StoreError::Conflict { .. } => Self::Conflict(error.to_string()),
            StoreError::Unavailable(_) | StoreError::Contended(_) | StoreError::Full(_) => {
                Self::Unavailable(error.to_string())
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
