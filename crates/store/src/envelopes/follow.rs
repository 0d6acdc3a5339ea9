//! Following one envelope: history, then live, without a gap.

use std::{collections::VecDeque, time::Duration};

use super::{EnvelopeStore, Summary, Update, hub::Watch};
use crate::StoreError;

/// Pause between looks when no notification comes: one may have been lost, or another process writes the file.
const POLL: Duration = Duration::from_secs(5);
/// Updates read at once. A slow reader holds no more than this in memory.
const READ: usize = 256;

/// The updates of one envelope, from a number on, until its end.
#[derive(Debug)]
pub struct Follow {
    store: EnvelopeStore,
    id: String,
    seen: i64,
    waiting: VecDeque<Update>,
    watch: Watch,
    ended: bool,
}

/// The envelope once it has ended.
pub(crate) async fn ended(store: &EnvelopeStore, id: &str) -> Result<Option<Summary>, StoreError> {
    // Watching begins before the first read, as below.
    let mut watch = store.hub().watch(id);
    loop {
        match store.summary(id).await? {
            Some(summary) if !summary.status.is_final() => {}
            other => return Ok(other),
        }
        tokio::select! {
            () = watch.changed() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}

impl Follow {
    pub(crate) fn new(store: EnvelopeStore, id: &str, after: i64) -> Self {
        // Watching begins before the first read: what is written in between wakes the next one.
        let watch = store.hub().watch(id);
        Self { store, id: id.to_owned(), seen: after, waiting: VecDeque::new(), watch, ended: false }
    }

    /// The next update, in order, each once; `None` after the one that ended the envelope, or at once when the envelope
    /// has ended before and everything was seen, or when it does not exist. Late ones ([`Update::is_late`]) are left
    /// out. Cancel safe.
    ///
    /// # Errors
    /// Those of the store. The next call tries again from the same place.
    pub async fn next(&mut self) -> Result<Option<Update>, StoreError> {
        loop {
            if let Some(update) = self.waiting.pop_front() {
                self.seen = update.seq;
                if update.is_late() {
                    continue;
                }
                self.ended |= update.status.is_final();
                return Ok(Some(update));
            }
            if self.ended {
                return Ok(None);
            }
            // The state first: an end that comes after it is in the updates or wakes us.
            let state = self.store.summary(&self.id).await?;
            self.waiting = self.store.updates_since(&self.id, self.seen, READ).await?.into();
            if !self.waiting.is_empty() {
                continue;
            }
            if state.is_none_or(|summary| summary.status.is_final()) {
                self.ended = true;
                return Ok(None);
            }
            tokio::select! {
                () = self.watch.changed() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }
}
