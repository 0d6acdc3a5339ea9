//! Large payloads: checked in before an envelope is stored, redeemed when it is sent again under another id.

use asya_envelope::{Envelope, Headers, Raw, Route};
use asya_payload::{ClaimError, Reference};

use super::{Error, Service};

impl Service {
    /// Puts a reference in the place of a large payload, if there is a payload store. It is stored when this returns.
    pub(super) async fn checked_in(&self, mut envelope: Envelope) -> Result<Envelope, Error> {
        let Some(claims) = self.rules.payloads.clone() else { return Ok(envelope) };
        let claims = claims.at_most(self.rules.limits.publishable() / 2);
        if let Some(reference) = claims.check_in(&envelope.id, &envelope.payload).await.map_err(refused)? {
            reference.stand_in(&mut envelope);
        }
        Ok(envelope)
    }

    /// The payload of envelope `id`, whole, for an envelope of another id: that one must not refer to this one's.
    pub(super) async fn redeemed(&self, id: &str, headers: &Headers, payload: Raw) -> Result<Raw, Error> {
        let mut old = Envelope::new(id, Route::new(["none"]), payload);
        old.headers.clone_from(headers);
        let Some(reference) = Reference::of(&old) else { return Ok(old.payload) };
        let Some(claims) = &self.rules.payloads else {
            let reason = "its payload is in a payload store, and this gateway has none (ASYA_PAYLOAD_STORE)";
            return Err(Error::Conflict(reason.to_owned()));
        };
        claims.redeem(id, &reference).await.map_err(refused)
    }
}

fn refused(error: ClaimError) -> Error {
    match error {
        ClaimError::TooLarge { size, most } => Error::TooLarge {
            what: "the payload",
            size: usize::try_from(size).unwrap_or(usize::MAX),
            limit: most,
        },
        ClaimError::Unavailable { .. } => Error::Unavailable(error.to_string()),
        ClaimError::Missing { .. } | ClaimError::Invalid(_) => Error::Conflict(error.to_string()),
    }
}

/// Whether both payloads are references to the same content of the same envelope; until when it is kept may differ.
pub(super) fn same_content(one: &Raw, other: &Raw) -> bool {
    match (Reference::in_stub(one), Reference::in_stub(other)) {
        (Some(one), Some(other)) => Reference { expires: other.expires, ..one } == other,
        _ => false,
    }
}
