//! What is checked of an envelope before a handler sees it.

use std::time::SystemTime;

use asya_envelope::{Approved, Envelope, headers};
use asya_transport::Meta;
use jiff::Timestamp;

use crate::{
    EngineConfig, budget,
    failure::{DEADLINE, LOOP, NOT_APPROVED, POISON, ROUTE_MISMATCH, Refusal},
    route::end_in_route,
};

/// The first rule that the envelope breaks, if any.
pub(crate) fn check(
    config: &EngineConfig,
    envelope: &Envelope,
    meta: &Meta,
    now: SystemTime,
) -> Result<(), Refusal> {
    if let Some(end) = envelope.route.actors.iter().find(|actor| config.is_end(actor)) {
        return Err(end_in_route(end));
    }
    match envelope.route.current_actor() {
        Some(actor) if actor == config.actor.as_str() => {}
        actual => {
            let actual = actual.unwrap_or("none, the route is finished");
            let reason = format!(
                "Route mismatch: message routed to wrong actor (expected: {}, actual: {actual})",
                config.actor
            );
            return Err(Refusal::new(ROUTE_MISMATCH, reason));
        }
    }
    if config.approved_only && Approved::here(envelope).is_none() {
        let reason = format!(
            "actor {:?} handles only what was approved for it: the envelope carries no approval for its place {} in the \
             route",
            config.actor.as_str(),
            envelope.route.current
        );
        return Err(Refusal::new(NOT_APPROVED, reason));
    }
    let hops = envelope.headers.get_u64(headers::HOPS).unwrap_or(0);
    if hops > config.max_hops {
        let reason = format!("published {hops} times, more than the limit of {}", config.max_hops);
        return Err(Refusal::new(LOOP, reason));
    }
    deadline(envelope, now)?;
    budget::check(envelope)?;
    poison(config, meta)
}

/// Refuses what was delivered too often: it may be what kills the sidecar or the pod.
pub(crate) fn poison(config: &EngineConfig, meta: &Meta) -> Result<(), Refusal> {
    if meta.deliveries <= config.max_deliveries {
        return Ok(());
    }
    let reason = format!(
        "delivered {} times without being settled, more than the limit of {}",
        meta.deliveries, config.max_deliveries
    );
    Err(Refusal::new(POISON, reason))
}

/// Refuses what nobody waits for any more.
pub(crate) fn deadline(envelope: &Envelope, now: SystemTime) -> Result<(), Refusal> {
    match &envelope.deadline {
        Some(deadline) if deadline.expired(now) => {
            Err(Refusal::new(DEADLINE, format!("the deadline {} has passed", deadline.instant())))
        }
        _ => Timestamp::try_from(now).map_or(Ok(()), |now| budget::in_time(envelope, now)),
    }
}
