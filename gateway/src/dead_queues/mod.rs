//! The brokers' own dead-letter queues, as a gateway looks after them: what sidecars and brokers put there, beside what
//! `error-end` stores.
//!
//! Looking takes a message in hand and gives it back, so that it stays where it is whatever happens meanwhile: a
//! connection that breaks gives it back too. Two who look at one queue at a time would hide messages from each other;
//! of this gateway one does at a time.

use std::{
    collections::BTreeMap,
    fmt,
    future::Future,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use asya_envelope::{ActorName, Naming, Queue, envelope::salvage_id};
use asya_store::envelopes::DeadFilter;
use asya_transport::{DeadLetter, DeadLetters, Selection, TransportError};
use bytes::Bytes;
use futures::{StreamExt, stream};
use jiff::Timestamp;
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::{Instant, timeout_at},
};

use crate::{
    actors::{Actor, Source},
    service::Error,
};

/// What ids of messages on dead-letter queues begin with; the actor and the broker's own id follow.
const PREFIX: &str = "broker:";
/// Most messages of one queue that one list looks at: their bodies are in memory together.
pub const MOST: usize = 200;
/// Queues that are looked at at a time.
const AT_ONCE: usize = 4;
/// How long all queues together may take to answer a list: less than a page waits for its answer.
const PATIENCE: Duration = Duration::from_secs(12);
/// Locks that queues share: enough that two queues seldom wait for each other.
const TURNS: usize = 64;
/// Most actors that a warning names.
const NAMED: usize = 5;
/// The code of a message whose reason has none.
const NO_CODE: &str = "unknown";
/// Why a message is there that came without a reason.
const MOVED: &str = "the broker moved it here by itself";

/// Where a message on a dead-letter queue is found again. As text `broker:ACTOR:ID`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The actor whose queue it was on.
    pub actor: String,
    /// The broker's id of it.
    pub id: String,
}

impl Key {
    /// Reads the text; `None`: it names a letter of the store.
    pub fn parse(text: &str) -> Option<Self> {
        let (actor, id) = text.strip_prefix(PREFIX)?.split_once(':')?;
        ActorName::parse(actor).ok()?;
        Some(Self { actor: actor.to_owned(), id: id.to_owned() })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { actor, id } = self;
        write!(f, "{PREFIX}{actor}:{id}")
    }
}

/// A message on a dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dead {
    /// Where it is found again.
    pub key: Key,
    /// The envelope, if the body says which.
    pub envelope: Option<String>,
    /// Why, as a code.
    pub code: String,
    /// Why, for a person.
    pub error: String,
    /// Runs of the handler that had failed.
    pub attempts: u32,
    /// Since when it is there, if the broker knows.
    pub since: Option<Timestamp>,
    /// The message; empty in lists.
    pub body: Bytes,
}

impl Dead {
    fn of(actor: &str, letter: DeadLetter) -> Self {
        let (code, error) = told(&letter.reason);
        Self {
            key: Key { actor: actor.to_owned(), id: letter.id },
            envelope: salvage_id(&letter.body),
            code: code.to_owned(),
            error: error.to_owned(),
            attempts: letter.attempts,
            since: letter.dead_since.and_then(|at| Timestamp::try_from(at).ok()),
            body: letter.body,
        }
    }

    /// Whether it fulfils what the filter asks, its actor aside. Of an unknown time it is neither before nor after any.
    fn fits(&self, filter: &DeadFilter) -> bool {
        let DeadFilter { ids: _, envelope, actor: _, code, text, from, until, replayed: _ } = filter;
        let has = |text: &String| self.error.to_ascii_lowercase().contains(&text.to_ascii_lowercase());
        envelope.as_ref().is_none_or(|id| self.envelope.as_ref() == Some(id))
            && code.as_ref().is_none_or(|code| *code == self.code)
            && text.as_ref().is_none_or(has)
            && from.is_none_or(|from| self.since.is_some_and(|since| since >= from))
            && until.is_none_or(|until| self.since.is_some_and(|since| since < until))
    }
}

/// Sidecars write `code: sentence`.
fn told(reason: &str) -> (&str, &str) {
    let code = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    match reason.split_once(": ") {
        _ if reason.is_empty() => (NO_CODE, MOVED),
        Some((first, rest)) if code(first) => (first, rest),
        _ => (NO_CODE, reason),
    }
}

/// Whether only the actor matters, so that every message of a queue is meant or none.
pub fn of_actor_only(filter: &DeadFilter) -> bool {
    let whole =
        DeadFilter { actor: filter.actor.clone(), replayed: filter.replayed, ..DeadFilter::default() };
    *filter == whole
}

/// What was found on dead-letter queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The messages, without bodies, newest first; those of an unknown time last.
    pub letters: Vec<Dead>,
    /// What could not be looked at, and why; what is there and not here.
    pub warnings: Vec<String>,
}

/// What is done to messages on dead-letter queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Each goes back to its queue with fresh counters, and leaves the dead-letter queue when that is confirmed.
    Replay,
    /// Each is deleted for good.
    Discard,
}

/// The dead-letter queues of the actors that a gateway knows.
pub struct DeadQueues {
    dead: Arc<dyn DeadLetters>,
    actors: Arc<dyn Source>,
    naming: Naming,
    turns: [Arc<Mutex<()>>; TURNS],
}

impl fmt::Debug for DeadQueues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadQueues").finish_non_exhaustive()
    }
}

impl DeadQueues {
    /// The dead-letter queues of `actors`, whose queues are named like `naming`.
    pub fn new(dead: Arc<dyn DeadLetters>, actors: Arc<dyn Source>, naming: Naming) -> Self {
        Self { dead, actors, naming, turns: std::array::from_fn(|_| Arc::default()) }
    }

    /// The messages that fit, at most `limit`, and at most the oldest [`MOST`] of a queue; all of them stay. Without an
    /// actor in the filter, queues are left alone that are known to have none. What cannot be looked at is a warning.
    ///
    /// Cancel safe: a look that has begun ends by itself.
    pub async fn list(self: &Arc<Self>, filter: &DeadFilter, limit: usize) -> Found {
        let until = Instant::now() + PATIENCE;
        let mut warnings = Warnings::default();
        let mut letters = Vec::new();
        let actors = match timeout_at(until, self.wanted(filter.actor.as_deref())).await {
            Ok(Ok(actors)) => actors,
            Ok(Err(error)) => return Found::warning(format!("which actors there are is not known: {error}")),
            Err(_) => {
                return Found::warning(format!(
                    "the broker did not tell within {PATIENCE:?} where dead letters are"
                ));
            }
        };
        // What does not fit is looked at too.
        let each = if of_actor_only(filter) { limit.min(MOST) } else { MOST };
        let look = |actor: String| {
            let queues = Arc::clone(self);
            async move {
                let seen = queues.look(&actor, each).await;
                (actor, seen)
            }
        };
        let mut looks = stream::iter(actors).map(look).buffered(AT_ONCE);
        loop {
            let (actor, seen) = match timeout_at(until, looks.next()).await {
                Ok(Some(looked)) => looked,
                Ok(None) => break,
                Err(_) => {
                    let late =
                        format!("not every dead-letter queue answered within {PATIENCE:?}: name an actor");
                    warnings.others.push(late);
                    break;
                }
            };
            match seen {
                Ok(seen) => {
                    if seen.len() == each {
                        warnings.cut.push(actor);
                    }
                    letters.extend(seen.into_iter().filter(|dead| dead.fits(filter)));
                }
                // An actor that has not started yet, or a queue without one for dead letters.
                Err(TransportError::Unroutable { .. }) if filter.actor.is_none() => {}
                Err(error @ TransportError::Unavailable(_)) => {
                    warnings
                        .others
                        .push(format!("the broker's dead-letter queues cannot be looked at: {error}"));
                    break;
                }
                Err(error) => warnings.refused.entry(error.to_string()).or_default().push(actor),
            }
            if letters.len() > limit {
                warnings.others.push(format!("there are more: at most {limit} are listed; name an actor"));
                break;
            }
        }
        letters.sort_by(|a: &Dead, b| b.since.cmp(&a.since).then_with(|| a.key.id.cmp(&b.key.id)));
        letters.truncate(limit);
        Found { letters, warnings: warnings.said(each) }
    }

    /// One message with its body; `None` if it is not there.
    ///
    /// # Errors
    /// Those of the transport; [`TransportError::Unavailable`] too when it takes too long. Cancel safe.
    pub async fn show(self: &Arc<Self>, key: &Key) -> Result<Option<Dead>, TransportError> {
        let shown = async {
            let queue = self.naming.queue(&key.actor);
            let turn = self.turn(&queue).await;
            let (queues, key) = (Arc::clone(self), key.clone());
            let look = async move {
                let _turn = turn;
                let letter = queues.dead.show(&queue, &key.id).await?;
                Ok(letter.map(|letter| Dead::of(&key.actor, letter)))
            };
            apart(look).await
        };
        let late = || TransportError::Unavailable(format!("no answer within {PATIENCE:?}"));
        tokio::time::timeout(PATIENCE, shown).await.map_err(|_| late())?
    }

    /// Replays or deletes messages of one actor's dead-letter queue, and says how many. Dropped half way, what was
    /// begun is done or not done, never lost; a message may be on both queues then, and is handled again if it is
    /// replayed again.
    ///
    /// # Errors
    /// Those of the transport; what was done before stays done.
    pub async fn end(&self, act: Act, actor: &str, selection: Selection) -> Result<u64, TransportError> {
        let queue = self.naming.queue(actor);
        let _turn = self.turn(&queue).await;
        match act {
            Act::Replay => self.dead.replay(&queue, selection).await,
            Act::Discard => self.dead.discard(&queue, selection).await,
        }
    }

    /// The actor of this name; without one those that are not known to have no dead letters.
    ///
    /// # Errors
    /// Those of the source of actors.
    pub async fn wanted(&self, actor: Option<&str>) -> Result<Vec<String>, Error> {
        if let Some(actor) = actor {
            return Ok(ActorName::parse(actor).map(|name| name.as_str().to_owned()).into_iter().collect());
        }
        let actors = self.actors.actors().await?.into_iter();
        // Those that read another queue than envelopes are sent to are not this gateway's.
        let ours = |actor: &Actor| self.naming.queue(&actor.name).as_str() == actor.queue;
        Ok(actors.filter(|actor| actor.dead != Some(0) && ours(actor)).map(|actor| actor.name).collect())
    }

    async fn look(self: &Arc<Self>, actor: &str, limit: usize) -> Result<Vec<Dead>, TransportError> {
        let queue = self.naming.queue(actor);
        // Whoever goes away while he waits for his turn leaves nothing behind.
        let turn = self.turn(&queue).await;
        let (queues, actor) = (Arc::clone(self), actor.to_owned());
        let look = async move {
            let _turn = turn;
            let letters = queues.dead.list(&queue, limit).await?;
            let light = |letter| Dead { body: Bytes::new(), ..Dead::of(&actor, letter) };
            Ok(letters.into_iter().map(light).collect())
        };
        apart(look).await
    }

    async fn turn(&self, queue: &Queue) -> OwnedMutexGuard<()> {
        let mut hasher = DefaultHasher::new();
        queue.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or_default();
        Arc::clone(&self.turns[at]).lock_owned().await
    }
}

/// Lets a look go on to its end when nobody waits for it any more: what it has in hand is given back by then, where
/// dropping it would keep it from others until the broker notices.
async fn apart<T: Send + 'static>(
    look: impl Future<Output = Result<T, TransportError>> + Send + 'static,
) -> Result<T, TransportError> {
    tokio::spawn(look).await.unwrap_or_else(|error| Err(TransportError::Unavailable(error.to_string())))
}

impl Found {
    fn warning(text: String) -> Self {
        Self { letters: Vec::new(), warnings: vec![text] }
    }
}

/// What a list could not do.
#[derive(Default)]
struct Warnings {
    /// Actors by why their queues cannot be looked at.
    refused: BTreeMap<String, Vec<String>>,
    /// Actors with more messages than were looked at.
    cut: Vec<String>,
    others: Vec<String>,
}

impl Warnings {
    fn said(self, each: usize) -> Vec<String> {
        let Self { refused, cut, others } = self;
        let refused = refused.into_iter().map(|(why, actors)| {
            format!("the dead-letter queue of {} cannot be looked at: {why}", named(&actors))
        });
        let cut = (!cut.is_empty())
            .then(|| format!("of {} only {each} messages were looked at; there may be more", named(&cut)));
        refused.chain(cut).chain(others).collect()
    }
}

fn named(actors: &[String]) -> String {
    let shown = actors.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match actors.len().saturating_sub(NAMED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
