//! Holds an envelope on its way: the message stays on the actor's own queue until its time.

use std::time::Duration;

use asya_envelope::Headers;
use asya_handler::{End, Item, Request};
use asya_settings::units;
use asya_transport::MAX_DELAY;
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::{
    InProcess,
    actor::{Act, ActError},
};

/// Header: how long the envelope is held, as in `90s` or `1h30m`, counted from its arrival.
pub const DELAY: &str = "delay";
/// Header: the time (RFC 3339) before which it does not go on.
pub const NOT_BEFORE: &str = "not-before";
/// Envelopes that are looked at at the same time; a look takes no time.
const RUNNING: usize = 16;

/// Holds envelopes.
pub struct Delay;

impl Delay {
    /// The actor.
    #[allow(clippy::new_ret_no_self, reason = "what is made is a handler like the others")]
    pub fn new() -> InProcess<Self> {
        InProcess::new(Self, RUNNING)
    }
}

/// How long an envelope is still to be held; the run says how often it was held for the longest time already.
fn left(headers: &Headers, attempt: u32, now: Timestamp) -> Result<Duration, String> {
    if let Some(text) = headers.get_text(NOT_BEFORE) {
        let time: Timestamp = text
            .parse()
            .map_err(|_| format!("header {NOT_BEFORE} {text:?} must be a time as in RFC 3339"))?;
        return Ok(time.duration_since(now).try_into().unwrap_or_default());
    }
    let text = headers.get_text(DELAY).ok_or_else(|| {
        format!("schedule holds envelopes with a header {DELAY} or {NOT_BEFORE}, and this one has neither")
    })?;
    let whole = units::duration(&text).map_err(|error| format!("header {DELAY}: {error}"))?;
    Ok(whole.saturating_sub(MAX_DELAY.saturating_mul(attempt.saturating_sub(1))))
}

impl Act for Delay {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move {
            let headers = &request.envelope.headers;
            let left = left(headers, request.attempt, Timestamp::now()).map_err(ActError::Unfit)?;
            if !left.is_zero() {
                let reason = "its time has not come".to_owned();
                return Ok(End::Retry { after: Some(left.min(MAX_DELAY)), reason });
            }
            let mut headers = headers.clone();
            headers.remove(DELAY);
            headers.remove(NOT_BEFORE);
            let payload = request.envelope.payload.clone();
            Ok(End::Done(vec![Item { payload, route: None, headers: Some(headers) }]))
        })
    }
}
