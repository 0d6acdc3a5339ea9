//! That something happened in a session.

use std::time::Duration;

use crate::envelopes::hub;

/// Pause between looks when no notification comes: one may have been lost, or another process writes the file.
const POLL: Duration = Duration::from_secs(5);

/// Watches one session: entries, state, operations. Of every replica.
#[derive(Debug)]
pub struct Watch(pub(crate) hub::Watch);

impl Watch {
    /// Returns when the session changed since the last call (or since the watch began), and every few seconds: read what is
    /// new. Cancel safe.
    pub async fn changed(&mut self) {
        tokio::select! {
            () = self.0.changed() => {}
            () = tokio::time::sleep(POLL) => {}
        }
    }
}
