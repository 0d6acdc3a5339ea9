//! Records in the same file.

use std::sync::Arc;

use asya_store::{Record, Store, StoreError, Write, sqlite};
use futures::future::BoxFuture;

use super::{Core, writer::Fault};
use crate::TransportError;

/// Records in the queue file: read on its reading connection, written by its writing thread.
pub(super) struct LocalStore {
    core: Arc<Core>,
}

impl LocalStore {
    pub(super) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}

impl Store for LocalStore {
    fn get<'a>(
        &'a self,
        table: &'static str,
        key: &'a str,
    ) -> BoxFuture<'a, Result<Option<Record>, StoreError>> {
        let key = key.to_owned();
        Box::pin(async move {
            let read = self.core.read(move |connection| Ok(sqlite::get(connection, table, &key)?));
            read.await.map_err(|error| unavailable(&error))
        })
    }

    fn list_after<'a>(
        &'a self,
        table: &'static str,
        prefix: &'a str,
        after: &'a str,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Record>, StoreError>> {
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        Box::pin(async move {
            let read = self
                .core
                .read(move |connection| Ok(sqlite::list(connection, table, &prefix, &after, limit)?));
            read.await.map_err(|error| unavailable(&error))
        })
    }

    fn commit(&self, writes: Vec<Write>) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            // Carried out inside the result, so that a conflict keeps its parts; the job still fails and is undone.
            let (sender, conflict) = tokio::sync::oneshot::channel();
            let work = self.core.writer.run(move |connection, _| {
                sqlite::apply(connection, &writes).map_err(|error| {
                    let fault = Fault::Broken(error.to_string());
                    let _ = sender.send(error);
                    fault
                })
            });
            match work.await {
                Ok(()) => Ok(()),
                Err(fault) => Err(conflict.await.unwrap_or_else(|_| unavailable(&fault.into()))),
            }
        })
    }
}

fn unavailable(error: &TransportError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
