//! Sends the envelope of each tick.
//!
//! Per schedule one record: the last tick that was sent, and who is about to send the next. A replica first claims a
//! tick, then sends, then notes it; the others wait until the note is there or the claim has run out.

use std::{sync::Arc, time::Duration};

use asya_envelope::Naming;
use asya_store::{Expect, Store, StoreError, Write};
use asya_transport::{Outgoing, Transport};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Missed, Plan};

/// Schedules: the last tick, and the claim.
const TABLE: &str = "schedules";
/// How long a replica may take to send what it has claimed, before another does: longer than a broker's hiccup.
const CLAIM: Duration = Duration::from_secs(30);
/// Longest sleep: a clock that was set, or a machine that slept, is noticed.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);
/// Pause after store or broker failed.
const PAUSE: Duration = Duration::from_secs(5);
/// A tick that is no older than this was not missed: something took its time.
const ON_TIME: Duration = Duration::from_secs(60);

/// Sends what is due.
pub struct Clock {
    store: Arc<dyn Store>,
    transport: Arc<dyn Transport>,
    naming: Naming,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct State {
    /// The last tick that was sent or passed over; at first, when the schedule was seen for the first time.
    last: Timestamp,
    /// When the claim on the next one runs out.
    claimed: Option<Timestamp>,
}

/// What a look came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// The envelope of this tick was sent.
    Sent(Timestamp),
    /// Nothing is due for so long.
    Wait(Duration),
    /// The expression has no time to come.
    Over,
}

impl Clock {
    /// A clock that keeps its records in `store` and sends by `transport`.
    pub fn new(store: Arc<dyn Store>, transport: Arc<dyn Transport>, naming: Naming) -> Self {
        Self { store, transport, naming }
    }

    /// Sends the envelopes of a schedule for ever. Cancel safe: what was sent and not noted is sent again, under the
    /// same id.
    pub async fn run(&self, plan: Plan) {
        loop {
            let pause = match self.turn(&plan, Timestamp::now()).await {
                Ok(Turn::Sent(tick)) => {
                    tracing::info!(schedule = plan.name, %tick, "sent");
                    continue;
                }
                Ok(Turn::Wait(pause)) => pause.min(LONGEST_SLEEP),
                Ok(Turn::Over) => {
                    tracing::warn!(schedule = plan.name, "there is no further tick");
                    return;
                }
                Err(reason) => {
                    tracing::warn!(schedule = plan.name, reason, "trying again");
                    PAUSE
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Sends what is due at `now`, if anything is.
    ///
    /// # Errors
    /// A sentence, when store or broker cannot do it now.
    pub async fn turn(&self, plan: &Plan, now: Timestamp) -> Result<Turn, String> {
        let broken = |error: StoreError| error.to_string();
        let record = self.store.get(TABLE, &plan.name).await.map_err(broken)?;
        let Some(record) = record else {
            self.note(plan, State { last: now, claimed: None }, Expect::Absent).await?;
            return Ok(Turn::Wait(Duration::ZERO));
        };
        let state: State = serde_json::from_slice(&record.value).map_err(|error| error.to_string())?;
        let (version, claimed) = (Expect::Version(record.version), Expect::Version(record.version + 1));
        let Some(next) = plan.after(state.last) else { return Ok(Turn::Over) };
        if next > now {
            return Ok(Turn::Wait(between(now, next)));
        }
        let tick = plan.until(now).filter(|last| *last > next).unwrap_or(next);
        if plan.missed == Missed::Skip && between(tick, now) > ON_TIME {
            self.note(plan, State { last: tick, claimed: None }, version).await?;
            return Ok(Turn::Wait(Duration::ZERO));
        }
        if let Some(until) = state.claimed.filter(|until| *until > now) {
            return Ok(Turn::Wait(between(now, until)));
        }
        let claim = State { last: state.last, claimed: now.checked_add(CLAIM).ok() };
        if !self.note(plan, claim, version).await? {
            return Ok(Turn::Wait(Duration::ZERO));
        }
        let envelope = plan.envelope(tick);
        let queue = self.naming.queue(envelope.route.current_actor().unwrap_or_default());
        let message = Outgoing { queue, body: envelope.encode() };
        if let Err(error) = self.transport.publish(message, None).await {
            // Given back, so that nobody waits for a claim that came to nothing.
            self.note(plan, State { last: state.last, claimed: None }, claimed).await?;
            return Err(error.to_string());
        }
        self.note(plan, State { last: tick, claimed: None }, claimed).await?;
        Ok(Turn::Sent(tick))
    }

    /// Writes the record; false when another replica was faster.
    async fn note(&self, plan: &Plan, state: State, expect: Expect) -> Result<bool, String> {
        let value = serde_json::to_vec(&state).expect("a state is JSON").into();
        let write = Write { table: TABLE, key: plan.name.clone(), value: Some(value), expect };
        match self.store.commit(vec![write]).await {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn between(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).try_into().unwrap_or_default()
}
