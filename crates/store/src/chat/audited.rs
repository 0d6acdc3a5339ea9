//! What the audit log calls what happens to conversations and operations.

use asya_envelope::Raw;
use jiff::Timestamp;
use serde_json::Value;

use crate::{
    StoreError,
    envelopes::{AuditEntry, audit},
    session::Session as Transaction,
};

/// A session begins.
pub const CREATE: &str = "session.create";
/// A session gets another title.
pub const RENAME: &str = "session.rename";
/// Others may read a session and speak in it.
pub const SHARE: &str = "session.share";
/// A session is deleted, with its entries and operations.
pub const DELETE: &str = "session.delete";
/// Somebody says something.
pub const SAY: &str = "session.say";
/// A message that waited is not heard any more.
pub const UNHEARD: &str = "session.unheard";
/// An actor proposes a change.
pub const PROPOSE: &str = "operation.propose";
/// Somebody allows it, once.
pub const APPROVE: &str = "operation.approve";
/// Somebody refuses it.
pub const REJECT: &str = "operation.reject";
/// Who asked says so once more.
pub const RENEW: &str = "operation.renew";
/// Nobody decided in time, or the turn ended first.
pub const EXPIRE: &str = "operation.expire";
/// An actor begins to carry it out.
pub const CLAIM: &str = "operation.claim";
/// What came of it.
pub const OUTCOME: &str = "operation.outcome";
/// Who does what nobody asked for: the sweep, and the end of an envelope.
pub const NOBODY: &str = "asya";

/// Writes down that `who` did `action`; `envelope` is the one of the turn.
pub(super) async fn write(
    tx: &mut impl Transaction,
    who: &str,
    action: &str,
    envelope: Option<&str>,
    detail: &Value,
    now: Timestamp,
) -> Result<(), StoreError> {
    let entry = AuditEntry {
        number: 0,
        at: now,
        who: who.to_owned(),
        action: action.to_owned(),
        envelope: envelope.map(str::to_owned),
        detail: Some(Raw::of(detail)),
    };
    audit::append(tx, &entry).await
}
