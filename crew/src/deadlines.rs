//! What actors that wait have in common: times as the entries of [`Due`](asya_store::due::Due) say them, and looking for
//! what is due.

use std::time::Duration;

use asya_envelope::Limits;
use asya_transport::Transport;
use jiff::Timestamp;

use crate::actor::ActError;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(5);
/// Entries of one look; when it finds as many, it looks again at once.
pub(crate) const AT_ONCE: usize = 64;
/// How long a sweeper may take to report an end before another does.
pub(crate) const CLAIM: Duration = Duration::from_secs(30);

/// A time as its entry says it, to the millisecond: what is later than its entry would count as entered anew, and nobody
/// would look at it again.
pub(crate) fn as_entered(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

/// That long after `now`, or the end of time, as an entry says it.
pub(crate) fn later(now: Timestamp, after: Duration) -> Timestamp {
    as_entered(now.checked_add(after).unwrap_or(Timestamp::MAX))
}

/// The pause after a look that has ended so much: none while more is due.
pub(crate) async fn rest(looked: Result<usize, ActError>) {
    match looked {
        Ok(AT_ONCE) => return,
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "deadlines cannot be looked at, trying again"),
    }
    tokio::time::sleep(EVERY).await;
}

/// What a message may hold that a sweeper sends itself.
pub(crate) fn limits(transport: &dyn Transport) -> Limits {
    let mut limits = Limits::default();
    let most = transport.max_message();
    limits.max_envelope = most.map_or(limits.max_envelope, |most| most.min(limits.max_envelope));
    limits
}
