//! Large payloads beside the queues: redeemed before a handler sees an envelope, checked in before its answer is sent.
//!
//! A handler never sees a reference: it gets the whole payload, and what it returns is stored before any message that
//! refers to it is published. The message as it came is kept beside the whole one, because it is what goes to the error
//! end: small, and to be replayed as long as the store keeps the payload.

use std::{collections::HashSet, time::Duration};

use asya_envelope::{Envelope, Raw, headers::COST};
use asya_handler::{Item, budget::Grant};
use asya_payload::{ClaimError, Reference, reference::HEADER};
use asya_transport::Meta;
use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::{
    failure::{PAYLOAD_INVALID, PAYLOAD_MISSING, PAYLOAD_NO_STORE, PAYLOAD_UNAVAILABLE, Refusal, TOO_LARGE},
    settle::Resolution,
    shared::Shared,
};

/// First pause before a store is asked again to take what a handler returned.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long a store that is away is waited for with a handler's answer in hand: running the handler again may cost more
/// than waiting, but it must not hold the handler's slot for long.
const PATIENCE: Duration = Duration::from_secs(60);
/// A redeemed payload is in memory twice: as it was read, and in the message that the handler gets.
const COPIES: usize = 2;

/// An envelope with the payload that it referred to.
pub(crate) struct Whole {
    pub(crate) envelope: Envelope,
    /// The message that it would have been.
    pub(crate) body: Bytes,
    _memory: Grant,
}

/// What a handler returned, on its way: checked in if it is large.
#[derive(Clone)]
pub(crate) struct Leaving {
    pub(crate) item: Item,
    pub(crate) reference: Option<Reference>,
}

impl From<Item> for Leaving {
    fn from(item: Item) -> Self {
        Self { item, reference: None }
    }
}

/// Why a payload was not redeemed or checked in.
pub(crate) enum Unclaimed {
    /// The same at each try.
    Refused(Refusal),
    /// The store is away.
    Unavailable(String),
    /// The engine stops.
    Released,
}

impl From<ClaimError> for Unclaimed {
    fn from(error: ClaimError) -> Self {
        let code = match &error {
            ClaimError::Missing { .. } => PAYLOAD_MISSING,
            ClaimError::Invalid(_) => PAYLOAD_INVALID,
            ClaimError::TooLarge { .. } => TOO_LARGE,
            ClaimError::Unavailable { .. } => return Self::Unavailable(error.to_string()),
        };
        Self::Refused(Refusal::new(code, error.to_string()))
    }
}

/// Payloads that this run has stored already: children with the same payload share one.
#[derive(Default)]
pub(crate) struct Stored(HashSet<String>);

impl Shared {
    /// The envelope with its payload; none if it carries its payload itself.
    pub(crate) async fn redeemed(&self, input: &Envelope) -> Result<Option<Whole>, Unclaimed> {
        let Some(reference) = Reference::of(input) else { return Ok(None) };
        let Some(claims) = &self.config.payloads else {
            let reason = "the payload is in a payload store, and this actor has none (ASYA_PAYLOAD_STORE)";
            return Err(Unclaimed::Refused(Refusal::new(PAYLOAD_NO_STORE, reason)));
        };
        let size = usize::try_from(reference.size).unwrap_or(usize::MAX).min(claims.options().most);
        let got = tokio::select! {
            biased;
            () = self.abort.cancelled() => return Err(Unclaimed::Released),
            got = async {
                let memory = self.redeeming.take(COPIES * size).await;
                claims.redeem(&input.id, &reference).await.map(|payload| (payload, memory))
            } => got,
        };
        let (payload, memory) = got?;
        let mut envelope = Envelope { payload, ..input.clone() };
        envelope.headers.remove(HEADER);
        envelope.headers.remove(COST);
        let body = envelope.encode();
        // Shares the body's bytes; those that were read are given back.
        let envelope = Envelope::parse(body.clone()).unwrap_or(envelope);
        Ok(Some(Whole { envelope, body, _memory: memory }))
    }

    /// What becomes of an envelope whose payload cannot be had, at an actor.
    pub(crate) fn not_redeemed(&self, input: &Envelope, meta: &Meta, why: Unclaimed) -> Resolution {
        let refusal = match why {
            Unclaimed::Released => return Resolution::release(),
            Unclaimed::Refused(refusal) => refusal,
            Unclaimed::Unavailable(reason) => match self.store_again(meta, &reason) {
                Some(again) => return again,
                None => Refusal::new(PAYLOAD_UNAVAILABLE, reason),
            },
        };
        tracing::warn!(id = input.id, code = refusal.code, reason = refusal.message, "no payload");
        self.refused(input, &refusal)
    }

    /// Later again, as long as the message may be delivered: the store's outage is not the handler's failure.
    pub(crate) fn store_again(&self, meta: &Meta, reason: &str) -> Option<Resolution> {
        if meta.last_chance || meta.deliveries >= self.config.max_deliveries {
            return None;
        }
        tracing::warn!(reason, "payload store is away; the message comes again");
        let pause = self.config.retry.pause(meta.deliveries, rand::random());
        Some(Resolution::retry(pause, meta.attempts, PAYLOAD_UNAVAILABLE))
    }

    /// An item of a handler's answer to envelope `id`, its payload stored if it is large.
    pub(crate) async fn leaving(
        &self,
        id: &str,
        mut item: Item,
        stored: &mut Stored,
    ) -> Result<Leaving, Unclaimed> {
        let reference = self.checked_in(id, &item.payload, stored).await?;
        if let Some(reference) = &reference {
            item.payload = reference.stub();
        }
        Ok(Leaving { item, reference })
    }

    /// An envelope of a platform actor, its payload stored if it is large.
    pub(crate) async fn sent_on(&self, mut envelope: Envelope) -> Result<Envelope, Unclaimed> {
        if Reference::of(&envelope).is_some() {
            return Ok(envelope);
        }
        envelope.headers.remove(HEADER);
        if let Some(reference) =
            self.checked_in(&envelope.id, &envelope.payload, &mut Stored::default()).await?
        {
            reference.stand_in(&mut envelope);
        }
        Ok(envelope)
    }

    /// Stores a payload if it is large. A store that is away is waited for, for a while.
    async fn checked_in(
        &self,
        owner: &str,
        payload: &Raw,
        stored: &mut Stored,
    ) -> Result<Option<Reference>, Unclaimed> {
        let Some(claims) = &self.config.payloads else { return Ok(None) };
        let Some(reference) = claims.reference(owner, payload).await? else { return Ok(None) };
        if stored.0.contains(&reference.sha256) {
            return Ok(Some(reference));
        }
        let (began, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            let put = tokio::select! {
                biased;
                () = self.abort.cancelled() => return Err(Unclaimed::Released),
                put = claims.put(&reference, payload) => put,
            };
            match put {
                Ok(()) => break,
                Err(error) if began.elapsed() + pause >= PATIENCE => return Err(error.into()),
                Err(error) => tracing::warn!(%error, "payload store does not take a payload, trying again"),
            }
            tokio::select! {
                biased;
                () = self.abort.cancelled() => return Err(Unclaimed::Released),
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        stored.0.insert(reference.sha256.clone());
        Ok(Some(reference))
    }
}
