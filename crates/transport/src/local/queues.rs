//! Managing queues.

use asya_envelope::Queue;
use futures::future::BoxFuture;

use super::{Local, now, rows};
use crate::{Depth, Queues, TransportError};

impl Local {
    /// Every queue of the file by name, with its depth.
    ///
    /// # Errors
    /// [`TransportError::Unavailable`] if the file cannot be read.
    pub async fn queues(&self) -> Result<Vec<(Queue, Depth)>, TransportError> {
        let read = self.core.read(|connection| {
            let mut select = connection.prepare_cached("SELECT id, name FROM queues ORDER BY name")?;
            let rows = select.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)))?;
            let mut queues = Vec::new();
            for row in rows {
                let (id, name) = row?;
                queues.push((Queue::named(name), rows::depth(connection, id, now())?));
            }
            Ok(queues)
        });
        read.await
    }
}

impl Queues for Local {
    fn ensure<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        let queue = queue.clone();
        Box::pin(async move {
            let work = self.core.writer.run(move |connection, touched| {
                rows::ensure(connection, &queue)?;
                touched.push(queue);
                Ok(())
            });
            Ok(work.await?)
        })
    }

    fn delete<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<(), TransportError>> {
        let queue = queue.clone();
        Box::pin(async move {
            let work = self.core.writer.run(move |connection, touched| {
                rows::delete(connection, &queue)?;
                touched.push(queue);
                Ok(())
            });
            Ok(work.await?)
        })
    }

    fn depth<'a>(&'a self, queue: &'a Queue) -> BoxFuture<'a, Result<Depth, TransportError>> {
        let queue = queue.clone();
        Box::pin(
            self.core
                .read(move |connection| rows::depth(connection, rows::queue_id(connection, &queue)?, now())),
        )
    }
}
