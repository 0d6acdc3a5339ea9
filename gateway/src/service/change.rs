//! What people do to envelopes.

use std::time::Duration;

use asya_envelope::{Envelope, original::original};
use asya_store::envelopes::{Cancelled, DeadFilter, DeadLetter, Settling};
use jiff::Timestamp;
use serde_json::json;

use super::{Error, Service, own, send::Edits, send::Sent, unknown};
use crate::auth::{Principal, Role};

/// How long a letter in hand is kept from others.
const LEASE: Duration = Duration::from_secs(60);
/// Letters that one call replays.
pub const MAX_REPLAYS: usize = 1000;

/// What a replay did.
#[derive(Debug, Default)]
pub struct Replayed {
    /// New envelopes, by the letter that each replays.
    pub sent: Vec<(String, Sent)>,
    /// Letters that could not be replayed, and why; they stay.
    pub refused: Vec<(String, String)>,
    /// Whether more letters fit than one call replays.
    pub more: bool,
}

impl Service {
    /// Cancels an envelope and what was made from it: answers the ids that have ended by it.
    ///
    /// # Errors
    /// Unknown envelopes, those that have ended ([`Error::Conflict`]), somebody else's without [`Role::Admin`].
    pub async fn cancel(&self, who: &Principal, id: &str, why: &str) -> Result<Vec<String>, Error> {
        let known = self.store.summary(id).await?.ok_or_else(|| unknown(id))?;
        own(who, known.sender.as_deref())?;
        self.cancel_for(who, id, why).await
    }

    /// Cancels an envelope for a principal who may do so.
    pub(super) async fn cancel_for(
        &self,
        who: &Principal,
        id: &str,
        why: &str,
    ) -> Result<Vec<String>, Error> {
        match self.store.cancel(id, why, Timestamp::now()).await? {
            Cancelled::Applied(ids) => {
                self.audit(who, "cancel", Some(id), Some(&json!({"why": why, "ended": ids.len()}))).await;
                Ok(ids)
            }
            Cancelled::Before(status) => {
                Err(Error::Conflict(format!("the envelope has ended before: {status}")))
            }
            Cancelled::Unknown => Err(unknown(id)),
        }
    }

    /// Sends the originals of dead letters again, oldest first, at most [`MAX_REPLAYS`].
    ///
    /// # Errors
    /// The role [`Role::Admin`] missing, and those of the store. What was sent before an error stays sent.
    pub async fn replay_letters(
        &self,
        who: &Principal,
        filter: &DeadFilter,
        edits: &Edits,
        limit: usize,
    ) -> Result<Replayed, Error> {
        who.needs(Role::Admin)?;
        let limit = limit.min(MAX_REPLAYS);
        let letters = self.store.take(filter, Timestamp::now(), LEASE, limit).await?;
        let mut replayed = Replayed { more: letters.len() == limit, ..Replayed::default() };
        for letter in letters {
            match self.replay_one(who, &letter, edits.clone()).await {
                Ok(sent) => replayed.sent.push((letter.id, sent)),
                Err(error @ Error::Unavailable(_)) => return Err(error),
                Err(error) => {
                    self.store.settle(&letter.id, &Settling::Released, Timestamp::now()).await?;
                    replayed.refused.push((letter.id, error.to_string()));
                }
            }
        }
        Ok(replayed)
    }

    /// Deletes dead letters for good; answers how many.
    ///
    /// # Errors
    /// The role [`Role::Admin`] missing, and those of the store.
    pub async fn delete_letters(&self, who: &Principal, filter: &DeadFilter) -> Result<u64, Error> {
        who.needs(Role::Admin)?;
        let mut deleted = 0;
        loop {
            let letters = self.store.take(filter, Timestamp::now(), LEASE, MAX_REPLAYS).await?;
            for letter in &letters {
                self.store.settle(&letter.id, &Settling::Deleted, Timestamp::now()).await?;
                let detail = json!({"letter": letter.id, "actor": letter.actor, "code": letter.code});
                self.audit(who, "delete", Some(&letter.envelope), Some(&detail)).await;
                deleted += 1;
            }
            if letters.len() < MAX_REPLAYS {
                return Ok(deleted);
            }
        }
    }

    async fn replay_one(&self, who: &Principal, letter: &DeadLetter, edits: Edits) -> Result<Sent, Error> {
        let failed = Envelope::parse(letter.body.clone())
            .map_err(|error| Error::Conflict(format!("the letter is no envelope: {error}")))?;
        let original = original(failed).map_err(|missing| Error::Conflict(missing.to_string()))?;
        self.replay(who, &letter.id, original, edits).await
    }
}
