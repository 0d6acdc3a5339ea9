//! Dead letters: a table of the same file.

use asya_envelope::Queue;
use bytes::Bytes;
use futures::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::{
    Local, now, rows, system_time,
    writer::{Fault, Touched},
};
use crate::{DeadLetter, DeadLetters, Selection, TransportError};

/// The columns of [`letter`].
const SELECT: &str =
    "SELECT id, body, reason, attempts, dead_since FROM dead JOIN bodies USING (id) WHERE queue = ?1";

impl DeadLetters for Local {
    fn list<'a>(
        &'a self,
        queue: &'a Queue,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<DeadLetter>, TransportError>> {
        let queue = queue.clone();
        Box::pin(self.core.read(move |connection| {
            let mut select =
                connection.prepare_cached(&format!("{SELECT} ORDER BY dead_since, id LIMIT ?2"))?;
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            let rows = select
                .query_map(params![rows::queue_id(connection, &queue)?, limit], |row| letter(row, &queue))?;
            Ok(rows.collect::<Result<_, _>>()?)
        }))
    }

    fn show<'a>(
        &'a self,
        queue: &'a Queue,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<DeadLetter>, TransportError>> {
        let (queue, id) = (queue.clone(), id.parse::<i64>().ok());
        Box::pin(self.core.read(move |connection| {
            let row = rows::queue_id(connection, &queue)?;
            let mut select = connection.prepare_cached(&format!("{SELECT} AND id = ?2"))?;
            Ok(select.query_row(params![row, id], |row| letter(row, &queue)).optional()?)
        }))
    }

    fn replay<'a>(
        &'a self,
        queue: &'a Queue,
        selection: Selection,
    ) -> BoxFuture<'a, Result<u64, TransportError>> {
        let queue = queue.clone();
        Box::pin(
            self.for_each(queue, selection, |connection, queue, id| {
                rows::revive(connection, queue, id, now())
            }),
        )
    }

    fn discard<'a>(
        &'a self,
        queue: &'a Queue,
        selection: Selection,
    ) -> BoxFuture<'a, Result<u64, TransportError>> {
        let queue = queue.clone();
        Box::pin(self.for_each(queue, selection, rows::discard))
    }
}

impl Local {
    /// Does something with each of the selected dead letters in one transaction, and counts.
    async fn for_each(
        &self,
        queue: Queue,
        selection: Selection,
        each: fn(&Connection, i64, i64) -> Result<bool, Fault>,
    ) -> Result<u64, TransportError> {
        let work = self.core.writer.run(move |connection, touched: &mut Touched| {
            let row = rows::queue_id(connection, &queue)?;
            let ids: Vec<i64> = match &selection {
                Selection::Ids(ids) => ids.iter().filter_map(|id| id.parse().ok()).collect(),
                Selection::All => connection
                    .prepare_cached("SELECT id FROM dead WHERE queue = ?1 ORDER BY dead_since, id")?
                    .query_map([row], |row| row.get(0))?
                    .collect::<Result<_, _>>()?,
            };
            let mut count = 0;
            for id in ids {
                count += u64::from(each(connection, row, id)?);
            }
            touched.push(queue);
            Ok(count)
        });
        Ok(work.await?)
    }
}

fn letter(row: &Row<'_>, queue: &Queue) -> rusqlite::Result<DeadLetter> {
    Ok(DeadLetter {
        id: row.get::<_, i64>(0)?.to_string(),
        body: Bytes::from(row.get::<_, Vec<u8>>(1)?),
        reason: row.get(2)?,
        attempts: row.get(3)?,
        dead_since: Some(system_time(row.get(4)?)),
        source: Some(queue.clone()),
    })
}
