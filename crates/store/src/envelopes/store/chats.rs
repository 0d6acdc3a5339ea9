//! Conversations with agents.

use asya_session::{
    Entry, Operation, Session,
    desk::{Append, Transcript},
};
use jiff::Timestamp;

use super::{Database, EnvelopeStore, cut};
use crate::{
    StoreError,
    chat::{
        Appended, Begin, Deleted, Heard, NewSession, Said, SessionFilter, SessionPage, Spoken, Watch, append,
        entries, list, say, sessions,
    },
    envelopes::{Creation, Cursor},
    sqlite,
};

impl EnvelopeStore {
    /// Begins a conversation. An id that is known changes nothing.
    ///
    /// # Errors
    /// Those of the store; [`StoreError::Refused`] for names that are empty or too long.
    pub async fn chat_create(&self, new: &NewSession, now: Timestamp) -> Result<Creation, StoreError> {
        let (new, now) = (new.clone(), cut(now));
        write!(self, |tx| sessions::create(tx, &new, now))
    }

    /// Begins a conversation by saying something in it, both or neither. `None`: its id is known, and nothing has changed.
    ///
    /// # Errors
    /// Those of [`EnvelopeStore::chat_create`] and [`EnvelopeStore::chat_say`].
    pub async fn chat_begin(
        &self,
        new: &NewSession,
        said: &Said,
        begin: &Begin,
        now: Timestamp,
    ) -> Result<Option<Session>, StoreError> {
        let (new, said, begin, now) = (new.clone(), said.clone(), begin.clone(), cut(now));
        let begun = write!(self, |tx| say::first(tx, &new, &said, &begin, now));
        if matches!(begun, Ok(Some(_))) {
            self.hub().sendable();
        }
        begun
    }

    /// One conversation.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn chat_session(&self, id: &str) -> Result<Option<Session>, StoreError> {
        let id = id.to_owned();
        read!(self, |tx| sessions::get(tx, &id))
    }

    /// Conversations that fit `filter`, what changed last first, behind `after`; at most `limit`, and
    /// [`MAX_PAGE`](crate::envelopes::MAX_PAGE).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn chat_sessions(
        &self,
        filter: &SessionFilter,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<SessionPage, StoreError> {
        let (filter, after) = (filter.clone(), after.cloned());
        read!(self, |tx| list::list(tx, &filter, after.as_ref(), limit))
    }

    /// Gives a conversation another title; false: there is no such session. Titles that are too long are cut.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn chat_rename(
        &self,
        id: &str,
        title: &str,
        who: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (id, title, who, now) = (id.to_owned(), title.to_owned(), who.to_owned(), cut(now));
        write!(self, |tx| sessions::rename(tx, &id, &title, &who, now))
    }

    /// Says who else may read a conversation and speak in it, instead of who did; false: there is no such session.
    ///
    /// # Errors
    /// Those of the store; [`StoreError::Refused`] for more than
    /// [`MOST_SHARED`](asya_session::session::MOST_SHARED).
    pub async fn chat_share(
        &self,
        id: &str,
        shared: &[String],
        who: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (id, shared, who, now) = (id.to_owned(), shared.to_vec(), who.to_owned(), cut(now));
        write!(self, |tx| sessions::share(tx, &id, &shared, &who, now))
    }

    /// Deletes a conversation in which nothing runs, with its entries and operations.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn chat_delete(&self, id: &str, who: &str, now: Timestamp) -> Result<Deleted, StoreError> {
        let (id, who, now) = (id.to_owned(), who.to_owned(), cut(now));
        write!(self, |tx| sessions::delete(tx, &id, &who, now))
    }

    /// Entries from number `from` on, in order; at most `limit`, and [`PAGE`](asya_session::desk::PAGE).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn chat_entries(&self, id: &str, from: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let id = id.to_owned();
        read!(self, |tx| entries::page(tx, &id, from, limit))
    }

    /// A conversation and its entries from number `from` on, as of one moment; at most `limit`, and
    /// [`PAGE`](asya_session::desk::PAGE). `None`: there is no such conversation.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn chat_transcript(
        &self,
        id: &str,
        from: u64,
        limit: usize,
    ) -> Result<Option<Transcript>, StoreError> {
        let id = id.to_owned();
        read!(self, |tx| entries::transcript(tx, &id, from, limit))
    }

    /// The same, and its latest operations; at most `operations`, and [`MAX_PAGE`](crate::envelopes::MAX_PAGE).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn chat_look(
        &self,
        id: &str,
        from: u64,
        limit: usize,
        operations: usize,
    ) -> Result<Option<(Transcript, Vec<Operation>)>, StoreError> {
        let id = id.to_owned();
        read!(self, |tx| entries::look(tx, &id, from, limit, operations))
    }

    /// Says something: it becomes an entry, with the envelope that `begin` makes, or waits for the turn that runs.
    ///
    /// # Errors
    /// Those of the store; [`StoreError::Refused`] for a message that is too long, or when the envelope's id is known.
    pub async fn chat_say(
        &self,
        id: &str,
        said: &Said,
        begin: &Begin,
        now: Timestamp,
    ) -> Result<Spoken, StoreError> {
        let (id, said, begin, now) = (id.to_owned(), said.clone(), begin.clone(), cut(now));
        let spoken = write!(self, |tx| say::say(tx, &id, &said, &begin, now));
        if matches!(spoken, Ok(Spoken::Began { .. })) {
            self.hub().sendable();
        }
        spoken
    }

    /// Begins the turn of the message that waits longest and is `heard`, if nothing runs; `None` if no turn begins. To be called
    /// when a turn has ended and messages wait ([`Appended::New`], a change of the session), and for every session of
    /// [`EnvelopeStore::chat_waiting`] every few seconds. May be repeated: each message begins one turn.
    ///
    /// # Errors
    /// As [`EnvelopeStore::chat_say`].
    pub async fn chat_continue(
        &self,
        id: &str,
        heard: &Heard,
        begin: &Begin,
        now: Timestamp,
    ) -> Result<Option<Spoken>, StoreError> {
        let (id, heard, begin, now) = (id.to_owned(), heard.clone(), begin.clone(), cut(now));
        let spoken = write!(self, |tx| say::go_on(tx, &id, &heard, &begin, now));
        if matches!(spoken, Ok(Some(_))) {
            self.hub().sendable();
        }
        spoken
    }

    /// Sessions in which nothing runs and messages wait, those that have waited longest first; at most `limit`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn chat_waiting(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        read!(self, |tx| list::waiting(tx, limit))
    }

    /// Appends entry `n` for an actor. May be repeated.
    ///
    /// # Errors
    /// Those of the store; [`StoreError::Refused`] for an entry that is too large or not an actor's.
    pub async fn chat_append(
        &self,
        id: &str,
        n: u64,
        entry: &Append,
        now: Timestamp,
    ) -> Result<Appended, StoreError> {
        let (id, entry, now) = (id.to_owned(), entry.clone(), cut(now));
        write!(self, |tx| append::append(tx, &id, n, &entry, now))
    }

    /// Watches one session, on whichever replica it changes. Watch first, then read.
    pub fn chat_watch(&self, id: &str) -> Watch {
        Watch(self.hub().watch(id))
    }
}
