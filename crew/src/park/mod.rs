//! Keeps envelopes until an event comes: approvals, answers of other systems, long waits.
//!
//! | module | holds |
//! |---|---|
//! | `kept` | what is in the store |
//! | [`sweep`] | [`Sweeper`]: deadlines |
//!
//! An envelope with the header [`KEY`] is stored and its message acknowledged. An envelope with the header [`EVENT`] and
//! the same value lets it go on, with the payload `{"parked": ..., "event": ...}`; which of the two comes first does not
//! matter. An envelope for which no event comes before its deadline fails with the code [`EXPIRED`].
//!
//! States of a key, each change a compare-and-set:
//! - nothing: what comes is kept, as parked or as an early event.
//! - parked, or early: the other one makes it done. A second envelope under a parked key is refused; of several events
//!   the first counts.
//! - expiring: the deadline has passed and a sweeper reports it; events are too late.
//! - done: what went on is kept for a while, because where queue and store are not one transaction the message that
//!   caused it may come again, and then it must be sent again.

mod kept;
pub mod sweep;

use std::{sync::Arc, time::Duration};

use asya_envelope::{Envelope, Raw};
use asya_handler::{End, Fate, Request};
use asya_settings::units;
use asya_store::{Store, Write, due::Due};
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::{
    actor::{Act, ActError},
    deadlines::later,
};
use kept::{DONE, Done, EARLY, Early, PARKED, Parked};
pub use sweep::Sweeper;

/// Header: the correlation key under which an envelope is parked.
pub const KEY: &str = "park-key";
/// Header: how long it waits at most, as in `36h`.
pub const TIMEOUT: &str = "park-timeout";
/// Header: the key whose envelope this event lets go on.
pub const EVENT: &str = "park-event";
/// Code of an envelope for which no event came in time; has a page under docs/errors.
pub const EXPIRED: &str = "park_expired";
/// How long an envelope waits unless it says otherwise, and how long an event that came first is kept.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// How long it is remembered what went on.
const KEEP_DONE: Duration = Duration::from_secs(60 * 60);

/// Parks envelopes and lets them go on.
pub struct Park {
    store: Arc<dyn Store>,
    timeout: Duration,
}

impl Park {
    /// The actor's decisions; what it writes is to be committed by whoever calls it.
    pub fn new(store: Arc<dyn Store>, timeout: Duration) -> Self {
        Self { store, timeout }
    }

    async fn park(&self, envelope: &Envelope, key: &str, now: Timestamp) -> Result<End, ActError> {
        let place = kept::place(key);
        if let Some((parked, _)) = kept::get::<Parked>(&*self.store, PARKED, &place).await? {
            if parked.id == envelope.id {
                return Ok(platform(Vec::new(), Vec::new()));
            }
            return Err(ActError::Unfit(format!(
                "key {key:?} is taken: envelope {:?} is parked under it",
                parked.id
            )));
        }
        let done = kept::get::<Done>(&*self.store, DONE, &place).await?;
        if let Some((done, _)) = &done
            && done.id == envelope.id
        {
            return Ok(platform(vec![kept::parse(&done.envelope)?], Vec::new()));
        }
        let until = match envelope.headers.get_text(TIMEOUT) {
            Some(text) => {
                let timeout = units::duration(&text);
                later(now, timeout.map_err(|error| ActError::Unfit(format!("header {TIMEOUT}: {error}")))?)
            }
            None => later(now, self.timeout),
        };
        if let Some((early, version)) = kept::get::<Early>(&*self.store, EARLY, &place).await? {
            let released = released(envelope, Some(&early.payload))?;
            let mut writes = vec![kept::delete(EARLY, &place, version)];
            writes.push(Due::remove(kept::DUE, early.until.into(), &kept::due(EARLY, &place)));
            let done = done.map(|(_, version)| version);
            writes.extend(self.done(&place, &envelope.id, &early.id, &released, done, now));
            return Ok(platform(vec![released], writes));
        }
        let parked = Parked {
            id: envelope.id.clone(),
            key: key.to_owned(),
            envelope: kept::boxed(&envelope.encode()),
            until,
            expiring: None,
        };
        let writes = vec![
            kept::create(PARKED, &place, &parked),
            Due::enter(kept::DUE, until.into(), &kept::due(PARKED, &place)),
        ];
        tracing::info!(id = envelope.id, key, %until, "parked");
        Ok(platform(Vec::new(), writes))
    }

    async fn event(&self, event: &Envelope, key: &str, now: Timestamp) -> Result<End, ActError> {
        let place = kept::place(key);
        let mut onward = event.clone();
        onward.route = event.route.advanced();
        let done = kept::get::<Done>(&*self.store, DONE, &place).await?;
        if let Some((done, _)) = &done
            && done.event == event.id
        {
            return Ok(platform(vec![kept::parse(&done.envelope)?, onward], Vec::new()));
        }
        match kept::get::<Parked>(&*self.store, PARKED, &place).await? {
            Some((parked, _)) if parked.expiring.is_some() => {
                tracing::warn!(id = event.id, key, "event came too late: the deadline has passed");
                Ok(platform(vec![onward], Vec::new()))
            }
            Some((parked, version)) => {
                let released = released(&kept::parse(&parked.envelope)?, Some(&kept::raw(&event.payload)))?;
                let mut writes = vec![kept::delete(PARKED, &place, version)];
                writes.push(Due::remove(kept::DUE, parked.until.into(), &kept::due(PARKED, &place)));
                let done = done.map(|(_, version)| version);
                writes.extend(self.done(&place, &parked.id, &event.id, &released, done, now));
                tracing::info!(id = parked.id, key, event = event.id, "goes on");
                Ok(platform(vec![released, onward], writes))
            }
            None => {
                if kept::get::<Early>(&*self.store, EARLY, &place).await?.is_some() {
                    return Ok(platform(vec![onward], Vec::new()));
                }
                let until = later(now, self.timeout);
                let early = Early { id: event.id.clone(), payload: kept::raw(&event.payload), until };
                let writes = vec![
                    kept::create(EARLY, &place, &early),
                    Due::enter(kept::DUE, until.into(), &kept::due(EARLY, &place)),
                ];
                tracing::info!(id = event.id, key, "event came before the envelope it is for");
                Ok(platform(vec![onward], writes))
            }
        }
    }

    /// Remembers what went on.
    fn done(
        &self,
        place: &str,
        id: &str,
        event: &str,
        released: &Envelope,
        known: Option<u64>,
        now: Timestamp,
    ) -> [Write; 2] {
        let until = later(now, KEEP_DONE);
        let done = Done {
            id: id.to_owned(),
            event: event.to_owned(),
            envelope: kept::boxed(&released.encode()),
            until,
        };
        let entry = Due::enter(kept::DUE, until.into(), &kept::due(DONE, place));
        [kept::put(DONE, place, &done, known), entry]
    }
}

impl Act for Park {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move {
            let (envelope, now) = (&request.envelope, Timestamp::now());
            let text = |name| envelope.headers.get_text(name).filter(|text| !text.is_empty());
            match (text(KEY), text(EVENT)) {
                (Some(key), None) => self.park(envelope, &key, now).await,
                (None, Some(key)) => self.event(envelope, &key, now).await,
                _ => Err(ActError::Unfit(format!(
                    "park needs the header {KEY} (this envelope waits) or {EVENT} (this is what is waited for), one of \
                     them, with a text"
                ))),
            }
        })
    }
}

/// The envelope as it goes on: one actor further, without the headers of its parking.
fn released(parked: &Envelope, event: Option<&serde_json::value::RawValue>) -> Result<Envelope, ActError> {
    let mut released = parked.clone();
    released.route = parked.route.advanced();
    released.headers.remove(KEY);
    released.headers.remove(TIMEOUT);
    let event = event.map_or("null", |event| event.get());
    let payload = format!("{{\"parked\":{},\"event\":{event}}}", parked.payload.as_str());
    released.payload = Raw::parse(payload.into()).map_err(|error| ActError::Unfit(error.to_string()))?;
    Ok(released)
}

fn platform(envelopes: Vec<Envelope>, writes: Vec<Write>) -> End {
    End::Platform { envelopes, writes, fate: Fate::GoesOn }
}
