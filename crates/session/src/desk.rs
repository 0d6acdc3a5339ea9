//! What actors ask of the gateway under `/internal/v1`, and its answers.
//!
//! | request | body | answer |
//! |---|---|---|
//! | `GET sessions/{id}?from=N` | | [`Transcript`]: entries from N on, at most [`PAGE`] of them |
//! | `POST sessions/{id}/entries/{n}` | [`Append`] | 201 or 200 [`Entry`]; 409 [`Behind`] |
//! | `POST sessions/{id}/stream` | [`Delta`] | 204; lossy |
//! | `PUT operations/{op}` | [`Propose`] | 201 or 200 [`Operation`] |
//! | `GET operations/{op}` | | 200 [`Operation`] |
//! | `POST operations/{op}/claim` | [`Claim`] | 200 [`Claimed`]; 409 with the reason |
//! | `POST operations/{op}/begin` | [`Begin`] | 204; 409 with the reason |
//! | `POST operations/{op}/outcome` | [`Outcome`] | 200 [`Operation`] |
//! | `GET subject-keys` | | a JWK Set |
//!
//! All but the last carry the header [`SUBJECT`] of the envelope that the actor has, and reach only what belongs to its
//! session. Callers show who they are as sidecars do.
//!
//! [`Operation`]: crate::Operation
//! [`Outcome`]: crate::Outcome

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Body, Entry, Operation, Place, Proposal, Session};

/// Header of envelopes and requests: who asked, as a signed compact JWS.
pub const SUBJECT: &str = "x-asya-subject";
/// Header of an envelope that was let go on after approval: `{"operation": "op-…", "hop": 7}`. It counts only at that
/// `route.current`.
pub const APPROVED: &str = "x-asya-approved";
/// Most entries of one answer.
pub const PAGE: usize = 200;
/// Largest body of an entry as JSON, in bytes.
pub const ENTRY: usize = 256 * 1024;

/// Part of a session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Transcript {
    /// The session, as it is now.
    pub session: Session,
    /// Entries in order.
    pub entries: Vec<Entry>,
}

/// An entry to be appended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Append {
    /// The hash of the entry before it.
    pub before: String,
    /// Where the writer stands.
    pub place: Place,
    /// What is appended: anything but [`Body::User`].
    pub body: Body,
}

/// Why an entry was not appended: it is not the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// Number of the last entry.
    pub head: u64,
    /// Its hash.
    pub hash: String,
}

/// A piece of an answer that a model is writing. Pieces may be lost or come twice: `offset` says where each belongs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// Number that the entry will have.
    pub n: u64,
    /// Where the piece begins in the entry's text, in bytes of UTF-8.
    pub offset: u64,
    /// The piece.
    pub text: String,
}

/// An operation to be decided.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Propose {
    /// What is proposed.
    pub proposal: Proposal,
    /// The envelope that goes on: `route.current` is at the actor that carries it out. Rejected, it goes on behind that
    /// actor, with the payload `{"rejected": {"by", "reason"}}`.
    pub envelope: Value,
}

/// An actor wants to carry out an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// The hash of what it would do.
    pub hash: String,
}

/// A sidecar is about to have its actor do what it was approved to be called for. Granted once, whatever becomes of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// The actor.
    pub actor: String,
    /// What it is called with: the payload.
    pub arguments: Value,
}

/// An operation that may be carried out now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Claimed {
    /// It was claimed before, by a delivery that may have died over it: look whether it is done.
    pub again: bool,
    /// The operation; with its outcome if there is one already.
    pub operation: Operation,
}
