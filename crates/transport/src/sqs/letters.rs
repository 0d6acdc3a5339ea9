//! Looking after dead letters. SQS can neither list nor address messages, so each call receives what is there, hides it
//! while it looks, and gives back what stays.

use std::{
    collections::HashSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use asya_envelope::Queue;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName as Attribute};
use bytes::Bytes;
use futures::future::{BoxFuture, join_all};

use super::{
    Core, Sqs,
    batch::MAX_ENTRIES,
    config::seconds,
    dead::{ATTEMPTS, REASON, SOURCE, shared_sink, sinks},
    directory::Address,
    failure::Failure,
    requests::Hide,
};
use crate::{DeadLetter, DeadLetters, Selection, TransportError};

/// How long a dead letter is hidden while it is looked at; longer than a call takes.
const LOOK: Duration = Duration::from_secs(60);
/// How long one receive waits; any wait makes the service ask all its machines, so that nothing means empty.
const WAIT: Duration = Duration::from_secs(1);
/// Most dead letters that one call looks at per queue; SQS permits 120,000 in flight, memory less.
const MOST: usize = 10_000;

impl DeadLetters for Sqs {
    fn list<'a>(
        &'a self,
        queue: &'a Queue,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<DeadLetter>, TransportError>> {
        Box::pin(async move {
            let mut letters = Vec::new();
            self.look(queue, &mut |found| {
                if letters.len() < limit {
                    letters.push(found.letter.clone());
                }
                if letters.len() < limit { Verdict::Stays } else { Verdict::Enough }
            })
            .await?;
            letters.sort_by_key(|letter| letter.dead_since);
            Ok(letters)
        })
    }

    fn show<'a>(
        &'a self,
        queue: &'a Queue,
        id: &'a str,
    ) -> BoxFuture<'a, Result<Option<DeadLetter>, TransportError>> {
        Box::pin(async move {
            let mut shown = None;
            self.look(queue, &mut |found| {
                if found.letter.id == id {
                    shown = Some(found.letter.clone());
                    return Verdict::Enough;
                }
                Verdict::Stays
            })
            .await?;
            Ok(shown)
        })
    }

    fn replay<'a>(
        &'a self,
        queue: &'a Queue,
        selection: Selection,
    ) -> BoxFuture<'a, Result<u64, TransportError>> {
        Box::pin(self.end(queue, selection, true))
    }

    fn discard<'a>(
        &'a self,
        queue: &'a Queue,
        selection: Selection,
    ) -> BoxFuture<'a, Result<u64, TransportError>> {
        Box::pin(self.end(queue, selection, false))
    }
}

/// What becomes of a dead letter that was looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Stays,
    /// Stays, and nothing more needs to be looked at.
    Enough,
    Goes,
}

/// A dead letter in hand.
struct Found {
    letter: DeadLetter,
    receipt: String,
}

impl Sqs {
    /// Takes the chosen dead letters off their queue; with `replay`, each is on its old queue before.
    async fn end(&self, queue: &Queue, selection: Selection, replay: bool) -> Result<u64, TransportError> {
        let mut open = match &selection {
            Selection::All => usize::MAX,
            Selection::Ids(ids) => ids.iter().collect::<HashSet<_>>().len(),
        };
        let began = SystemTime::now();
        let mut chosen = |found: &Found| {
            // What dies while this runs is not meant, else a replay of what fails at once would never end.
            let meant = selection.contains(&found.letter.id)
                && found.letter.dead_since.is_none_or(|since| since <= began + CLOCKS_DIFFER);
            match (meant, open) {
                (_, 0) => Verdict::Enough,
                (true, _) => {
                    open -= 1;
                    Verdict::Goes
                }
                (false, _) => Verdict::Stays,
            }
        };
        let name = self.core.physical(queue);
        let mut ended = 0;
        for (sink, address) in self.existing_sinks(queue, &name).await? {
            let mut batches = Batches::new(&self.core, &name, &sink, &address);
            while let Some(found) = batches.next().await.map_err(|failure| failure.publishing(queue))? {
                let (goes, stays): (Vec<_>, Vec<_>) = found
                    .into_iter()
                    .map(|found| (chosen(&found), found))
                    .partition(|(v, _)| *v == Verdict::Goes);
                let enough = stays.iter().any(|(verdict, _)| *verdict == Verdict::Enough);
                batches.stay(stays.into_iter().map(|(_, found)| found.receipt));
                let gone = goes.into_iter().map(|(_, found)| self.end_one(queue, &sink, found, replay));
                for result in join_all(gone).await {
                    match result {
                        Ok(()) => ended += 1,
                        Err(error) => {
                            batches.give_back().await;
                            return Err(error);
                        }
                    }
                }
                if enough {
                    break;
                }
            }
            batches.give_back().await;
        }
        Ok(ended)
    }

    async fn end_one(
        &self,
        queue: &Queue,
        sink: &Queue,
        found: Found,
        replay: bool,
    ) -> Result<(), TransportError> {
        if replay {
            let body = found.letter.body;
            self.core.publish(crate::Outgoing { queue: queue.clone(), body }, None).await?;
        }
        self.core.delete(sink, found.receipt).await.map_err(|failure| failure.publishing(sink))
    }

    /// Shows every dead letter of a queue to `visit`, until it has seen enough; all of them stay.
    async fn look(
        &self,
        queue: &Queue,
        visit: &mut (dyn FnMut(&Found) -> Verdict + Send),
    ) -> Result<(), TransportError> {
        let name = self.core.physical(queue);
        for (sink, address) in self.existing_sinks(queue, &name).await? {
            let mut batches = Batches::new(&self.core, &name, &sink, &address);
            let mut enough = false;
            while !enough {
                let next = batches.next().await;
                let Some(found) = next.map_err(|failure| failure.publishing(queue))? else { break };
                for found in &found {
                    enough |= visit(found) == Verdict::Enough;
                }
                batches.stay(found.into_iter().map(|found| found.receipt));
            }
            batches.give_back().await;
        }
        Ok(())
    }

    /// The sinks of a queue that exist; the shared one only when there is no other.
    async fn existing_sinks(
        &self,
        queue: &Queue,
        name: &Queue,
    ) -> Result<Vec<(Queue, std::sync::Arc<Address>)>, TransportError> {
        let said = |failure: Failure| failure.publishing(queue);
        self.core.service.directory.lookup(name).await.map_err(said)?;
        let mut existing = Vec::new();
        for sink in sinks(&self.core, name).await {
            match self.core.service.directory.lookup(&sink).await {
                Ok(address) => existing.push((sink, address)),
                Err(Failure::Missing) => {}
                Err(failure) => return Err(said(failure)),
            }
        }
        if existing.is_empty() {
            let sink = shared_sink(&self.core);
            let found = self.core.service.directory.lookup(&sink).await;
            existing.extend(found.ok().map(|address| (sink, address)));
        }
        if existing.is_empty() {
            return Err(TransportError::Unroutable { queue: queue.dead_letter() });
        }
        Ok(existing)
    }
}

/// By how much the clock of the service may be ahead of ours.
const CLOCKS_DIFFER: Duration = Duration::from_secs(5);

/// The dead letters of one sink, ten by ten; what stays is given back at the end.
struct Batches<'a> {
    core: &'a Core,
    source: &'a Queue,
    sink: &'a Queue,
    address: &'a Address,
    seen: HashSet<String>,
    stay: Vec<String>,
}

impl<'a> Batches<'a> {
    fn new(core: &'a Core, source: &'a Queue, sink: &'a Queue, address: &'a Address) -> Self {
        Self { core, source, sink, address, seen: HashSet::new(), stay: Vec::new() }
    }

    /// The next ones; `None` when all have been seen.
    async fn next(&mut self) -> Result<Option<Vec<Found>>, Failure> {
        while self.seen.len() < MOST {
            let answered = self
                .core
                .service
                .client
                .receive_message()
                .queue_url(&self.address.url)
                .max_number_of_messages(i32::try_from(MAX_ENTRIES).expect("ten"))
                .wait_time_seconds(seconds(WAIT))
                .visibility_timeout(seconds(LOOK))
                .message_system_attribute_names(Attribute::All)
                .message_attribute_names(REASON)
                .message_attribute_names(ATTEMPTS)
                .message_attribute_names(SOURCE)
                .send()
                .await;
            let messages = match answered {
                Ok(answered) => answered.messages.unwrap_or_default(),
                Err(error) => {
                    self.give_back().await;
                    self.core.service.directory.forget(self.sink);
                    return Err(Failure::of(&error));
                }
            };
            if messages.is_empty() {
                return Ok(None);
            }
            let mut batch = Vec::new();
            let mut repeated = false;
            for message in messages {
                let Some(found) = found(message, &self.core.service.config.queue_prefix) else { continue };
                repeated |= !self.seen.insert(found.letter.id.clone());
                if self.is_ours(&found) { batch.push(found) } else { self.stay.push(found.receipt) }
            }
            // The first ones are visible again: everything was seen.
            if repeated {
                self.stay.extend(batch.into_iter().map(|found| found.receipt));
                return Ok(None);
            }
            if !batch.is_empty() {
                return Ok(Some(batch));
            }
        }
        Ok(None)
    }

    /// A queue's own sink holds nothing else; in another one the source decides.
    fn is_ours(&self, found: &Found) -> bool {
        let source = found.letter.source.as_ref().map(|source| self.core.physical(source));
        *self.sink == self.source.dead_letter() || source.as_ref() == Some(self.source)
    }

    fn stay(&mut self, receipts: impl Iterator<Item = String>) {
        self.stay.extend(receipts);
    }

    /// Makes visible again what was only looked at. What cannot be is visible again after a minute.
    async fn give_back(&mut self) {
        let shown = std::mem::take(&mut self.stay)
            .into_iter()
            .map(|receipt| self.core.hide(self.sink, Hide { receipt, period: Duration::ZERO }));
        for failure in join_all(shown).await.into_iter().filter_map(Result::err) {
            tracing::debug!(sink = %self.sink, ?failure, "a dead letter stays hidden for a minute");
        }
    }
}

/// Reads a dead letter; `None` if it came without what every message has.
fn found(message: Message, prefix: &str) -> Option<Found> {
    let system = |name| message.attributes.as_ref()?.get(&name).cloned();
    let own = |name| message.message_attributes.as_ref()?.get(name)?.string_value.clone();
    let logical = |name: &str| Queue::named(name.strip_prefix(prefix).unwrap_or(name).to_owned());
    let moved_from = || Some(system(Attribute::DeadLetterQueueSourceArn)?.rsplit(':').next()?.to_owned());
    let letter = DeadLetter {
        id: message.message_id.clone()?,
        reason: own(REASON).unwrap_or_default(),
        attempts: own(ATTEMPTS).and_then(|count| count.parse().ok()).unwrap_or(0),
        dead_since: system(Attribute::SentTimestamp)
            .and_then(|millis| millis.parse().ok())
            .map(|millis| UNIX_EPOCH + Duration::from_millis(millis)),
        source: own(SOURCE).or_else(moved_from).map(|name| logical(&name)),
        body: Bytes::from(message.body.clone().unwrap_or_default()),
    };
    Some(Found { letter, receipt: message.receipt_handle? })
}
