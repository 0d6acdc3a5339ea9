//! A session as it happens: what is stored from an entry on, then live.

use std::{collections::BTreeMap, collections::VecDeque, sync::Arc};

use asya_session::{
    Entry, Operation, Phase, Session,
    desk::{Delta, Transcript},
};
use asya_store::{StoreError, chat::Watch};

use super::{Error, Service, deltas::Pieces, sees};
use crate::auth::Principal;

/// Entries read at once: a slow reader holds no more than this in memory.
const READ: usize = 16;
/// The latest operations of a session, whose phases are told.
const OPERATIONS: usize = 50;

/// Something that happens in a session.
#[derive(Clone, Debug, PartialEq)]
pub enum Happening {
    /// An entry, each once and in order.
    Entry(Entry),
    /// A piece of the next one; some may be missing.
    Delta(Arc<Delta>),
    /// The session is otherwise than it was told to be last.
    Session(Session),
    /// An operation is: all of the latest ones are told first.
    Operation(Box<Operation>),
}

/// What happens in a session, from an entry on, until it is deleted, or not the reader's any more, or the reader is not who
/// they were: their token has expired or was taken away.
#[derive(Debug)]
pub struct Following {
    service: Service,
    who: Principal,
    id: String,
    /// Number of the next entry.
    next: u64,
    ready: VecDeque<Happening>,
    session: Option<Session>,
    phases: BTreeMap<String, Phase>,
    pieces: Pieces,
    watch: Watch,
    /// Whether everything was told that was there when last looked.
    told: bool,
}

impl Service {
    /// Follows a session from entry number `from` on.
    ///
    /// # Errors
    /// Those of [`Service::session`].
    pub async fn follow_session(&self, who: &Principal, id: &str, from: u64) -> Result<Following, Error> {
        self.visible(who, id).await?;
        // Watching begins before the first read: what happens in between wakes the next one.
        Ok(Following {
            service: self.clone(),
            who: who.clone(),
            id: id.to_owned(),
            next: from.max(1),
            ready: VecDeque::new(),
            session: None,
            phases: BTreeMap::new(),
            pieces: self.chat()?.deltas.watch(id),
            watch: self.store.chat_watch(id),
            told: false,
        })
    }
}

impl Following {
    /// What happens next; `None` when there is nothing more for this reader. Cancel safe.
    ///
    /// # Errors
    /// Those of the store. The next call tries again from the same place.
    pub async fn next(&mut self) -> Result<Option<Happening>, StoreError> {
        loop {
            if let Some(happening) = self.ready.pop_front() {
                return Ok(Some(happening));
            }
            if !self.told {
                if !self.look().await? {
                    return Ok(None);
                }
                continue;
            }
            tokio::select! {
                () = self.watch.changed() => self.told = false,
                delta = self.pieces.next() => {
                    // What is stored already was told whole.
                    if delta.n >= self.next {
                        let stays = self.service.stays(&self.who);
                        return Ok(stays.then_some(Happening::Delta(delta)));
                    }
                }
            }
        }
    }

    /// Reads what is new; false: the session is gone, or not the reader's any more.
    async fn look(&mut self) -> Result<bool, StoreError> {
        if !self.service.stays(&self.who) {
            return Ok(false);
        }
        let store = self.service.store();
        let found = store.chat_look(&self.id, self.next, READ, OPERATIONS).await?;
        let found = found.filter(|(Transcript { session, .. }, _)| sees(&self.who, session));
        let Some((Transcript { session, entries }, operations)) = found else { return Ok(false) };
        // Nothing is awaited from here on: what was read is told.
        self.told = entries.len() < READ;
        if let Some(last) = entries.last() {
            self.next = last.n + 1;
        }
        self.ready.extend(entries.into_iter().map(Happening::Entry));
        if !self.told {
            return Ok(true);
        }
        for operation in operations.into_iter().rev() {
            let phase = operation.phase;
            if self.phases.insert(operation.proposal.id.clone(), phase) != Some(phase) {
                self.ready.push_back(Happening::Operation(Box::new(operation)));
            }
        }
        if self.session.as_ref() != Some(&session) {
            self.session = Some(session.clone());
            self.ready.push_back(Happening::Session(session));
        }
        Ok(true)
    }
}
