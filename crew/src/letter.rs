//! Dead letters: what `error-end` hands to the gateway's store, to be looked at and replayed.

use asya_envelope::{Envelope, Raw, report::hex_digest};
use bytes::Bytes;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;

use crate::failure::{Again, Class, Details};

/// Digits of a letter's id: 128 bits of a digest.
const ID_DIGITS: usize = 32;

/// One envelope that failed for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// The same for the same failure, so that a message that comes again is not stored twice; another one when the
    /// envelope fails once more after it was replayed.
    pub id: String,
    /// Id of the envelope.
    pub envelope: String,
    /// The actor that it failed at.
    pub actor: String,
    /// Why, as a code.
    pub code: String,
    /// Why, for a person.
    pub error: String,
    /// Runs of the handler, all policies together.
    pub attempts: u32,
    /// When it failed, or when it came where the failure does not say.
    pub since: Timestamp,
    /// `{"class", "type", "stored"}`: what the classification says, the exception, and the address of the record.
    pub detail: Raw,
    /// The error envelope, as it came.
    pub body: Bytes,
}

impl Letter {
    /// The letter of a failed envelope; `stored` is the address of its record.
    pub fn of(
        failed: &Envelope,
        details: &Details,
        class: Class,
        stored: Option<&str>,
        body: &Bytes,
    ) -> Self {
        #[derive(Serialize)]
        struct Detail<'a> {
            class: Class,
            #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
            type_name: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            stored: Option<&'a str>,
        }
        let occasion = details.time.map_or_else(|| hex_digest(body), |time| time.to_string());
        let identity = format!("{}\n{}\n{occasion}", failed.id, details.actor);
        Self {
            id: hex_digest(identity.as_bytes())[..ID_DIGITS].to_owned(),
            envelope: failed.id.clone(),
            actor: details.actor.clone(),
            code: details.code.clone(),
            error: details.reason(),
            attempts: Again::tries(failed, details),
            since: details.time.unwrap_or_else(Timestamp::now),
            detail: Raw::of(&Detail { class, type_name: details.type_name.as_deref(), stored }),
            body: body.clone(),
        }
    }
}

/// Whether a letter was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Buried {
    /// It is kept.
    Kept,
    /// There is no place for letters: the record and the final report are all there is.
    Nowhere,
    /// It will never be taken, for this reason.
    Refused(String),
}

/// Takes dead letters.
pub trait Letters: Send + Sync {
    /// Stores a letter; one with the same id that is stored already is as good.
    ///
    /// # Errors
    /// A sentence, when a later try may succeed: the message must not be acknowledged.
    fn bury<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<Buried, String>>;
}

/// Straight into the gateway's store.
#[cfg(feature = "store")]
impl Letters for asya_store::EnvelopeStore {
    fn bury<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<Buried, String>> {
        use asya_store::{StoreError, envelopes::DeadLetter};
        let letter = letter.clone();
        Box::pin(async move {
            let letter = DeadLetter {
                id: letter.id,
                envelope: letter.envelope,
                actor: letter.actor,
                code: letter.code,
                error: letter.error,
                attempts: letter.attempts,
                body: letter.body,
                detail: Some(letter.detail),
                since: letter.since,
                replayed_as: None,
                replayed: None,
            };
            match Self::bury(self, &letter).await {
                Ok(()) => Ok(Buried::Kept),
                Err(StoreError::Refused(reason)) => Ok(Buried::Refused(reason)),
                Err(error) => Err(error.to_string()),
            }
        })
    }
}

/// By the gateway: `POST /envelopes/{id}/dead-letter`, authenticated like a final report.
impl Letters for asya_sidecar::gateway::Gateway {
    fn bury<'a>(&'a self, letter: &'a Letter) -> BoxFuture<'a, Result<Buried, String>> {
        #[derive(Serialize)]
        struct Body<'a> {
            id: &'a str,
            actor: &'a str,
            code: &'a str,
            error: &'a str,
            attempts: u32,
            since: Timestamp,
            detail: &'a serde_json::value::RawValue,
            envelope: &'a serde_json::value::RawValue,
        }
        Box::pin(async move {
            let raw = |bytes: &'a [u8]| serde_json::from_slice::<&serde_json::value::RawValue>(bytes);
            let (Ok(detail), Ok(envelope)) = (raw(letter.detail.as_bytes()), raw(&letter.body)) else {
                return Ok(Buried::Refused("the error envelope is not JSON".to_owned()));
            };
            let body = Body {
                id: &letter.id,
                actor: &letter.actor,
                code: &letter.code,
                error: &letter.error,
                attempts: letter.attempts,
                since: letter.since,
                detail,
                envelope,
            };
            let path = format!("/envelopes/{}/dead-letter", asya_sidecar::gateway::segment(&letter.envelope));
            let status = self.post(&path, &body).await?;
            match status.as_u16() {
                200..300 => Ok(Buried::Kept),
                // A gateway without this route: that of the Go system.
                404 | 405 | 501 => Ok(Buried::Nowhere),
                400 | 413 | 422 => Ok(Buried::Refused(format!("the gateway answers {status}"))),
                _ => Err(format!("the gateway answers {status}")),
            }
        })
    }
}
