//! Dead letters that are on the brokers' own queues: looked at, replayed and deleted with the rights that those of the
//! store ask for.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use asya_store::envelopes::DeadFilter;
use asya_transport::{Selection, TransportError};
use futures::{StreamExt, stream};
use serde_json::json;
use tokio::{sync::mpsc, time::timeout};

use super::{Error, Service, change::MAX_REPLAYS};
use crate::{
    auth::{Principal, Role},
    dead_queues::{Act, Dead, DeadQueues, Found, Key, of_actor_only},
};

/// How long one call waits for what it began; that goes on behind it. Less than a page waits for its answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Queues that are worked on at a time.
const AT_ONCE: usize = 4;
/// Most ids that an entry of the audit log names.
const AUDITED: usize = 100;
/// What a gateway says that has not been told of a broker.
const NONE: &str = "this gateway looks at no broker's dead-letter queues";

/// Which messages on dead-letter queues are meant.
#[derive(Clone, Debug)]
pub enum Chosen {
    /// These.
    Keys(Vec<Key>),
    /// Those that fit.
    Fitting(DeadFilter),
}

/// What was done to messages on dead-letter queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// How many were replayed or deleted.
    pub count: u64,
    /// How many were not there any more: somebody else replayed or deleted them, or has them in hand.
    pub gone: u64,
    /// Those that were named and could not be reached, and why; they stay.
    pub refused: Vec<(String, String)>,
    /// What else could not be done, or is not done yet.
    pub warnings: Vec<String>,
}

impl Service {
    /// The use cases with the brokers' dead-letter queues.
    #[must_use]
    pub fn with_dead_queues(self, queues: DeadQueues) -> Self {
        Self { dead_queues: Some(Arc::new(queues)), ..self }
    }

    /// Looks at dead-letter queues: see [`DeadQueues::list`]. What cannot be looked at is a warning.
    ///
    /// # Errors
    /// The role [`Role::Read`] missing.
    pub async fn queued_letters(
        &self,
        who: &Principal,
        filter: &DeadFilter,
        limit: usize,
    ) -> Result<Found, Error> {
        who.needs(Role::Read)?;
        match &self.dead_queues {
            Some(queues) => Ok(queues.list(filter, limit).await),
            None => Ok(Found { warnings: vec![NONE.to_owned()], ..Found::default() }),
        }
    }

    /// One message on a dead-letter queue. Without [`Role::Payload`] it comes with an empty body.
    ///
    /// # Errors
    /// It is not there, the role [`Role::Read`] missing, a broker that is away or refuses.
    pub async fn queued_letter(&self, who: &Principal, key: &Key) -> Result<Dead, Error> {
        who.needs(Role::Read)?;
        let unknown = || Error::NotFound { what: "dead letter", name: key.to_string() };
        let queues = self.dead_queues.as_ref().ok_or_else(unknown)?;
        let mut dead = match queues.show(key).await {
            Err(TransportError::Unroutable { .. }) | Ok(None) => return Err(unknown()),
            Ok(Some(dead)) => dead,
            Err(error) => return Err(Error::Unavailable(error.to_string())),
        };
        if !who.roles.has(Role::Payload) {
            dead.body.clear();
        }
        Ok(dead)
    }

    /// Replays or deletes messages on dead-letter queues. What takes long goes on when the answer is given, and says so.
    ///
    /// Doing it again is safe: what is not there any more is counted as gone. A replay that was cut off may send a message
    /// once more, and loses none.
    ///
    /// # Errors
    /// The role [`Role::Admin`] missing.
    pub async fn end_queued(&self, who: &Principal, act: Act, chosen: Chosen) -> Result<Done, Error> {
        who.needs(Role::Admin)?;
        let mut done = Done::default();
        let Some(queues) = &self.dead_queues else {
            match chosen {
                Chosen::Keys(keys) => {
                    done.refused = keys.iter().map(|key| (key.to_string(), NONE.to_owned())).collect();
                }
                Chosen::Fitting(_) => done.warnings.push(NONE.to_owned()),
            }
            return Ok(done);
        };
        let asked = match &chosen {
            Chosen::Keys(_) => Asked::Messages,
            Chosen::Fitting(filter) if filter.actor.is_some() => Asked::Actor,
            Chosen::Fitting(_) => Asked::Everything,
        };
        let selections = match chosen {
            Chosen::Keys(keys) => by_actor(keys),
            Chosen::Fitting(filter) => match fitting(queues, &filter).await {
                Ok((selections, warnings)) => {
                    done.warnings = warnings;
                    selections
                }
                Err(warning) => {
                    done.warnings.push(warning);
                    return Ok(done);
                }
            },
        };
        let (told, mut heard) = mpsc::unbounded_channel();
        let (service, queues, who) = (self.clone(), Arc::clone(queues), who.clone());
        // On its own, so that nothing is cut off in the middle when who asked goes away.
        tokio::spawn(async move {
            let parts = stream::iter(selections).map(async |(actor, selection)| {
                let outcome = queues.end(act, &actor, selection.clone()).await;
                if !asked.is_nothing(&outcome) {
                    service.audit_queued(&who, act, &actor, &selection, &outcome).await;
                }
                let _ = told.send((actor, selection, outcome));
            });
            parts.buffer_unordered(AT_ONCE).collect::<()>().await;
        });
        let all = async {
            while let Some((actor, selection, outcome)) = heard.recv().await {
                done.add(&actor, &selection, outcome, asked);
            }
        };
        if timeout(PATIENCE, all).await.is_err() {
            done.warnings.push(format!("not done within {PATIENCE:?}; it goes on: look again later"));
        }
        Ok(done)
    }

    async fn audit_queued(
        &self,
        who: &Principal,
        act: Act,
        actor: &str,
        selection: &Selection,
        outcome: &Result<u64, TransportError>,
    ) {
        let action = match act {
            Act::Replay => "replay",
            Act::Discard => "delete",
        };
        let mut detail = json!({"source": "broker", "actor": actor});
        match selection {
            Selection::All => detail["letters"] = json!("all"),
            Selection::Ids(ids) => detail["letters"] = json!(ids.iter().take(AUDITED).collect::<Vec<_>>()),
        }
        match outcome {
            Ok(count) => detail["count"] = json!(count),
            Err(error) => detail["broken_off"] = json!(error.to_string()),
        }
        self.audit(who, action, None, Some(&detail)).await;
    }
}

/// What was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Messages by their ids.
    Messages,
    /// Those of one actor.
    Actor,
    /// Those of all actors, some of which may not have started yet.
    Everything,
}

impl Asked {
    /// Whether nothing was there to be done, as was to be expected.
    fn is_nothing(self, outcome: &Result<u64, TransportError>) -> bool {
        match outcome {
            Ok(count) => *count == 0,
            Err(TransportError::Unroutable { .. }) => self == Self::Everything,
            Err(_) => false,
        }
    }
}

impl Done {
    fn add(
        &mut self,
        actor: &str,
        selection: &Selection,
        outcome: Result<u64, TransportError>,
        asked: Asked,
    ) {
        let ids = match selection {
            Selection::Ids(ids) => &ids[..],
            Selection::All => &[],
        };
        match outcome {
            Ok(count) => {
                self.count += count;
                self.gone += (ids.len() as u64).saturating_sub(count);
            }
            outcome if asked.is_nothing(&outcome) => {}
            Err(error) if asked == Asked::Messages => {
                let reason = error.to_string();
                let key = |id: &String| Key { actor: actor.to_owned(), id: id.clone() }.to_string();
                self.refused.extend(ids.iter().map(|id| (key(id), reason.clone())));
            }
            Err(error) => {
                self.warnings.push(format!("the dead-letter queue of {actor}, broken off: {error}"));
            }
        }
    }
}

type Selections = BTreeMap<String, Selection>;

fn by_actor(keys: Vec<Key>) -> Selections {
    let mut actors = BTreeMap::<String, Vec<String>>::new();
    for Key { actor, id } in keys {
        let ids = actors.entry(actor).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    actors.into_iter().map(|(actor, ids)| (actor, Selection::Ids(ids))).collect()
}

/// What fits, by actor: whole queues where only the actor matters, else those that a look finds.
async fn fitting(queues: &Arc<DeadQueues>, filter: &DeadFilter) -> Result<(Selections, Vec<String>), String> {
    if of_actor_only(filter) {
        let actors = queues.wanted(filter.actor.as_deref()).await;
        let actors = actors.map_err(|error| format!("which actors there are is not known: {error}"))?;
        return Ok((actors.into_iter().map(|actor| (actor, Selection::All)).collect(), Vec::new()));
    }
    let Found { letters, warnings } = queues.list(filter, MAX_REPLAYS).await;
    Ok((by_actor(letters.into_iter().map(|dead| dead.key).collect()), warnings))
}
