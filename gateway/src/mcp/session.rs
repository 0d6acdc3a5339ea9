//! Sessions of clients that still have them: what a client said of itself, and the calls it waits for, in the store. A
//! replica that has never seen a session takes it up from there.
//!
//! What stays with one replica is what cannot outlive a connection: the stream of a call that is under way.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use asya_store::{EnvelopeStore, Expect, Store, StoreError, Write, due::Due};
use bytes::Bytes;
use rmcp::{
    model::RequestId,
    transport::streamable_http_server::session::{SessionState, SessionStore, SessionStoreError},
};

/// Sessions by id.
const SESSIONS: &str = "mcp_sessions";
/// Envelopes that calls wait for, by session and request.
const CALLS: &str = "mcp_calls";
/// When sessions are forgotten.
const DUE: &str = "mcp_sessions_due";
/// How long a session lasts from its beginning. Clients begin a new one when theirs is gone.
const LIFE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Old sessions that a new one clears away.
const SWEEP: usize = 16;
/// Calls of one session that are cleared away with it, more than run at once.
const CALLS_OF_ONE: usize = 1000;
/// Longest key: ids of sessions are ours and short, those of requests are the client's.
const MAX_KEY: usize = 256;

/// Sessions in a store. Clones share it.
#[derive(Clone)]
pub struct Sessions {
    records: Arc<dyn Store>,
}

impl Sessions {
    /// The sessions of this store.
    pub fn new(store: &EnvelopeStore) -> Self {
        Self { records: store.records() }
    }

    /// Notes which envelope a call waits for, so that any replica can cancel it.
    ///
    /// # Errors
    /// Those of the store; ids that are too long are refused.
    pub async fn remember_call(
        &self,
        session: &str,
        request: &RequestId,
        envelope: &str,
    ) -> Result<(), StoreError> {
        let key = call(session, request)
            .ok_or_else(|| StoreError::Refused("the request's id is too long to be noted".to_owned()))?;
        self.records.commit(vec![write(CALLS, key, Some(Bytes::copy_from_slice(envelope.as_bytes())))]).await
    }

    /// The envelope that a call waits for; it is forgotten by that.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn take_call(&self, session: &str, request: &RequestId) -> Result<Option<String>, StoreError> {
        let Some(key) = call(session, request) else { return Ok(None) };
        let Some(record) = self.records.get(CALLS, &key).await? else { return Ok(None) };
        self.records.commit(vec![write(CALLS, key, None)]).await?;
        Ok(String::from_utf8(record.value.to_vec()).ok())
    }

    async fn forget(&self, id: &str) -> Result<(), StoreError> {
        let calls = self.records.list(CALLS, &format!("{id}/"), CALLS_OF_ONE).await?;
        let mut writes: Vec<_> = calls.into_iter().map(|call| write(CALLS, call.key, None)).collect();
        writes.push(write(SESSIONS, id.to_owned(), None));
        self.records.commit(writes).await
    }

    async fn sweep(&self) -> Result<(), StoreError> {
        for due in Due::by(&*self.records, DUE, SystemTime::now(), SWEEP).await? {
            self.forget(&due.key).await?;
            self.records.commit(vec![Due::remove(DUE, due.at, &due.key)]).await?;
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl SessionStore for Sessions {
    async fn load(&self, id: &str) -> Result<Option<SessionState>, SessionStoreError> {
        if id.len() > MAX_KEY {
            return Ok(None);
        }
        let Some(record) = self.records.get(SESSIONS, id).await? else { return Ok(None) };
        Ok(Some(serde_json::from_slice(&record.value)?))
    }

    async fn store(&self, id: &str, state: &SessionState) -> Result<(), SessionStoreError> {
        self.sweep().await?;
        let state = Bytes::from(serde_json::to_vec(state)?);
        let until = SystemTime::now() + LIFE;
        let writes = vec![write(SESSIONS, id.to_owned(), Some(state)), Due::enter(DUE, until, id)];
        Ok(self.records.commit(writes).await?)
    }

    async fn delete(&self, id: &str) -> Result<(), SessionStoreError> {
        Ok(self.forget(id).await?)
    }
}

fn write(table: &'static str, key: String, value: Option<Bytes>) -> Write {
    Write { table, key, value, expect: Expect::Anything }
}

/// The key of a call. Ids 1 and "1" are two.
fn call(session: &str, request: &RequestId) -> Option<String> {
    let request = serde_json::to_string(request).ok()?;
    Some(format!("{session}/{request}")).filter(|key| key.len() <= MAX_KEY)
}
