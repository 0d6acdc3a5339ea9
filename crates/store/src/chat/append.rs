//! An actor writes down what it did.

use asya_session::{
    Body, Entry, State,
    desk::{Append, Behind},
};
use jiff::Timestamp;

use super::{
    entries,
    sessions::{self, Stored},
};
use crate::{StoreError, session::Session as Transaction};

/// What became of an entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Appended {
    /// It is the last one now.
    New {
        /// The entry.
        entry: Entry,
        /// The turn has ended by it, and a message waits: somebody must begin its turn.
        waits: bool,
    },
    /// It was appended before, from the same place, as this.
    Repeated(Entry),
    /// It is not the next one, or its envelope is not the session's (the turn has ended), or an operation waits. Read the
    /// session.
    Behind(Behind),
    /// There is no such session.
    Unknown,
}

/// Appends entry `n` to a session, if it follows on the last one and comes from the session's envelope. The state of the
/// session follows from it: an answer without calls ends the turn. A notice changes no state: it says why an answer is
/// other than asked for, or, as the last entry of an envelope that succeeds, why there is none.
pub(crate) async fn append(
    tx: &mut impl Transaction,
    id: &str,
    n: u64,
    append: &Append,
    now: Timestamp,
) -> Result<Appended, StoreError> {
    let Append { before, place, body } = append;
    if matches!(body, Body::User { .. }) {
        return Err(StoreError::Refused("what a person says is no actor's to append".to_owned()));
    }
    let Some(mut stored) = sessions::hold(tx, id).await? else { return Ok(Appended::Unknown) };
    let session = &stored.session;
    let behind = || Appended::Behind(Behind { head: session.head, hash: session.hash.clone() });
    if n <= session.head {
        let there = entries::get(tx, id, n).await?.filter(|there| there.place.as_ref() == Some(place));
        return Ok(there.map_or_else(behind, Appended::Repeated));
    }
    let theirs = session.envelope.as_ref() == Some(&place.envelope) && session.state == State::Running;
    if n != session.head + 1 || *before != session.hash || !theirs {
        return Ok(behind());
    }
    // Entries of an envelope are together, and places only go up: an earlier one is an old delivery.
    let last = entries::get(tx, id, session.head).await?.and_then(|last| last.place);
    if last.is_some_and(|last| {
        last.envelope == place.envelope && (last.hop, last.step) >= (place.hop, place.step)
    }) {
        return Ok(behind());
    }
    let entry = entries::append(tx, &mut stored, Some(place.clone()), body.clone(), now).await?;
    let ends = matches!(body, Body::Assistant { calls, .. } if calls.is_empty());
    if ends {
        over(&mut stored);
    }
    sessions::save(tx, &stored, now).await?;
    Ok(Appended::New { entry, waits: ends && !stored.waiting.is_empty() })
}

/// The turn has ended.
pub(super) fn over(stored: &mut Stored) {
    stored.session.state = State::Idle;
    stored.session.envelope = None;
}
