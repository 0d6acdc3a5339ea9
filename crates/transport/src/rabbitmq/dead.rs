//! Looking after dead letters, by `basic.get`: what is looked at and not taken goes back to its place.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hasher as _},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use asya_envelope::Queue;
use bytes::Bytes;
use futures::future::BoxFuture;
use lapin::{
    BasicProperties, Channel,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions},
};

use super::{
    Rabbitmq,
    fault::{self, Fault, short},
    properties,
    publisher::Publish,
};
use crate::{DeadLetter, DeadLetters, Selection, TransportError};

/// Longest wait for letters that were looked at to be back on their queue.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A letter and what a replay needs.
struct Letter {
    tag: u64,
    letter: DeadLetter,
    properties: BasicProperties,
}

/// One pass over the letters that are on a dead-letter queue now, oldest first. Whatever is not removed goes back to its
/// place when the pass ends.
struct Pass {
    channel: Channel,
    queue: Queue,
    began: SystemTime,
    /// The last letter that was looked at and not removed, and the one before it.
    kept: Option<u64>,
    kept_before: Option<u64>,
    count_kept: u64,
    /// How often an id that was made from a body has come.
    made: HashMap<u64, u32>,
}

impl Pass {
    async fn next(&mut self) -> Result<Option<Letter>, TransportError> {
        let get = async {
            let queue = short(self.queue.as_str())?;
            Ok::<_, Fault>(self.channel.basic_get(queue, BasicGetOptions::default()).await?)
        };
        let Some(got) = get.await.map_err(|fault| fault.into_error(Some(&self.queue)))? else {
            return Ok(None);
        };
        let delivery = got.delivery;
        let (body, properties) = (Bytes::from(delivery.data), delivery.properties);
        let id = match properties.message_id() {
            Some(id) => id.to_string(),
            None => self.make_id(&body),
        };
        let seconds = properties::text(&properties, properties::DIED_AT).and_then(|at| at.parse().ok());
        let dead_since = seconds.and_then(|at| UNIX_EPOCH.checked_add(Duration::from_secs(at)));
        self.kept_before = self.kept.replace(delivery.delivery_tag);
        self.count_kept += 1;
        // Came while we looked: without this a pass over a queue that is being filled would have no end.
        if dead_since.is_some_and(|at| at > self.began) {
            return Ok(None);
        }
        let letter = DeadLetter {
            id,
            body,
            reason: properties::text(&properties, properties::REASON).unwrap_or_default(),
            attempts: properties::counters(&properties).attempts,
            dead_since,
            source: properties::text(&properties, properties::SOURCE)
                .or_else(|| properties::text(&properties, "x-first-death-queue"))
                .map(Queue::named),
        };
        Ok(Some(Letter { tag: delivery.delivery_tag, letter, properties }))
    }

    /// Removes the letter that came last.
    async fn remove(&mut self, tag: u64) -> Result<(), TransportError> {
        self.kept = self.kept_before;
        self.count_kept -= 1;
        let removed = self.channel.basic_ack(tag, BasicAckOptions::default()).await;
        removed.map_err(|error| Fault::from(error).into_error(Some(&self.queue)))
    }

    /// Gives back what was kept and waits until it is there: a quorum queue takes it back after it was told.
    async fn end(self, client: &Rabbitmq) {
        let Some(last) = self.kept else { return fault::close(&self.channel).await };
        let options = BasicNackOptions { multiple: true, requeue: true };
        let _ = self.channel.basic_nack(last, options).await;
        fault::close(&self.channel).await;
        let back = async {
            while matches!(client.passive(&self.queue).await, Ok(Some(ready)) if ready < self.count_kept) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        // Somebody else may be taking letters meanwhile.
        let _ = tokio::time::timeout(GIVEN_BACK_WITHIN, back).await;
    }

    /// Publishers need not give ids: the body's hash, and which of several equal ones it is.
    fn make_id(&mut self, body: &[u8]) -> String {
        let mut hasher = DefaultHasher::new();
        hasher.write(body);
        let hash = hasher.finish();
        let count = self.made.entry(hash).or_default();
        *count += 1;
        format!("body-{hash:016x}-{count}")
    }
}

impl Rabbitmq {
    async fn letters(&self, queue: &Queue) -> Result<Pass, TransportError> {
        let dead = queue.dead_letter();
        for queue in [queue, &dead] {
            let depth = self.passive(queue).await.map_err(|fault| fault.into_error(Some(queue)))?;
            depth.ok_or_else(|| TransportError::Unroutable { queue: queue.clone() })?;
        }
        let channel = self.consuming.channel().await.map_err(|fault| fault.into_error(Some(queue)))?;
        Ok(Pass {
            channel,
            queue: dead,
            began: SystemTime::now(),
            kept: None,
            kept_before: None,
            count_kept: 0,
            made: HashMap::new(),
        })
    }
}

impl DeadLetters for Rabbitmq {
    fn list<'a>(
        &'a self,
        queue: &'a Queue,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<DeadLetter>, TransportError>> {
        Box::pin(async move {
            let mut pass = self.letters(queue).await?;
            let mut letters = Vec::new();
            while letters.len() < limit
                && let Some(found) = pass.next().await?
            {
                letters.push(found.letter);
            }
            pass.end(self).await;
            Ok(letters)
        })
    }

    fn show<'a>(
        &'a self,
        queue: &'a Queue,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<DeadLetter>, TransportError>> {
        Box::pin(async move {
            let mut pass = self.letters(queue).await?;
            let mut shown = None;
            while shown.is_none()
                && let Some(found) = pass.next().await?
            {
                shown = Some(found.letter).filter(|letter| letter.id == id);
            }
            pass.end(self).await;
            Ok(shown)
        })
    }

    fn replay<'a>(
        &'a self,
        queue: &'a Queue,
        selection: Selection,
    ) -> BoxFuture<'a, Result<u64, TransportError>> {
        Box::pin(async move {
            let key = short(queue.as_str()).map_err(|fault| fault.into_error(Some(queue)))?;
            let mut pass = self.letters(queue).await?;
            let mut replayed = 0;
            while let Some(found) = pass.next().await? {
                if !selection.contains(&found.letter.id) {
                    continue;
                }
                let publish = Publish {
                    exchange: "".into(),
                    key: key.clone(),
                    queue: queue.clone(),
                    body: found.letter.body,
                    properties: properties::revived(&found.properties),
                };
                self.outlet.publisher.send(publish).await?;
                pass.remove(found.tag).await?;
                replayed += 1;
            }
            pass.end(self).await;
            Ok(replayed)
        })
    }

    fn discard<'a>(
        &'a self,
        queue: &'a Queue,
        selection: Selection,
    ) -> BoxFuture<'a, Result<u64, TransportError>> {
        Box::pin(async move {
            let mut pass = self.letters(queue).await?;
            let mut discarded = 0;
            while let Some(found) = pass.next().await? {
                if selection.contains(&found.letter.id) {
                    pass.remove(found.tag).await?;
                    discarded += 1;
                }
            }
            pass.end(self).await;
            Ok(discarded)
        })
    }
}
