//! An actor whose records are in a database beside the queue.
//!
//! On the local transport an actor's writes are part of the transaction that settles the delivery. Elsewhere they are
//! committed here, before what follows from them is sent: a crash in between delivers the message again, and the actor
//! finds what it had written.

use std::sync::Arc;

use asya_handler::{End, Request};
use asya_store::{Store, StoreError};
use futures::future::BoxFuture;

use crate::{
    InProcess,
    actor::{Act, ActError},
};

/// How often an actor decides anew because a record had moved on, before the message goes back to its queue.
const MAX_CONFLICTS: u32 = 16;

/// Commits what an actor writes.
pub struct Committed<A> {
    store: Arc<dyn Store>,
    act: A,
}

impl<A: Act> Committed<A> {
    /// The actor, working on up to `running` envelopes at the same time.
    #[allow(clippy::new_ret_no_self, reason = "what is made is a handler like the others")]
    pub fn new(store: Arc<dyn Store>, act: A, running: usize) -> InProcess<Self> {
        InProcess::new(Self { store, act }, running)
    }
}

impl<A: Act> Act for Committed<A> {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move {
            let mut conflicts = 0;
            loop {
                let end = self.act.act(request.clone()).await?;
                let End::Platform { envelopes, writes, fate } = end else { return Ok(end) };
                match self.store.commit(writes).await {
                    Ok(()) => return Ok(End::Platform { envelopes, writes: Vec::new(), fate }),
                    Err(StoreError::Conflict { .. }) if conflicts < MAX_CONFLICTS => conflicts += 1,
                    Err(error) => return Err(error.into()),
                }
            }
        })
    }
}
