//! The end of an envelope whose turn has not ended by an answer.
//!
//! It is called where an envelope's end is written, in the same transaction, so that nobody who ends one can forget it.

use asya_session::Body;
use jiff::Timestamp;

use super::{append, entries, operations, sessions};
use crate::{
    StoreError,
    envelopes::{Status, bounds, codes},
    session::Session as Transaction,
};

/// Code of the notice where an envelope ended well and there is no answer.
const NO_ANSWER: &str = "no_answer";

/// Ends the turn that an envelope carried, if it still does: with a notice, unless the agent wrote one and ended well.
/// Operations that wait are let go of, and the session is idle.
pub(crate) async fn envelope_ended(
    tx: &mut impl Transaction,
    session: &str,
    envelope: &str,
    status: Status,
    code: Option<&str>,
    error: Option<&str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(mut stored) = sessions::hold_with(tx, session, envelope).await? else { return Ok(()) };
    let last = entries::get(tx, session, stored.session.head).await?;
    let noted = last.is_some_and(|last| {
        matches!(last.body, Body::Notice { .. }) && last.place.is_some_and(|place| place.envelope == envelope)
    });
    if status == Status::Failed || !noted {
        let (code, text) = match code {
            Some(codes::CANCELLED) => {
                (codes::CANCELLED, "The turn was cancelled. Say something to go on.".into())
            }
            code => {
                let why = error.map_or_else(String::new, |error| format!(": {}", bounds::text(error)));
                (
                    code.unwrap_or(NO_ANSWER),
                    format!("The turn ended without an answer{why}. Say something to go on."),
                )
            }
        };
        let body = Body::Notice { code: bounds::name(code).to_owned(), text };
        entries::append(tx, &mut stored, None, body, now).await?;
    }
    append::over(&mut stored);
    sessions::save(tx, &stored, now).await?;
    let why = match code {
        Some(codes::CANCELLED) => "the turn was cancelled",
        _ => "the turn ended",
    };
    operations::abandon(tx, envelope, session, why, now).await
}
