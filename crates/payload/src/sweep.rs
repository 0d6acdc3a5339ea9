//! Removing what is older than its lifetime.

use std::time::{Duration, SystemTime};

use crate::{Claims, Swept};

/// How often a long-running program sweeps: a lifetime is days.
pub const EVERY: Duration = Duration::from_secs(3600);
/// What is kept beyond its lifetime: clocks of machines and of the store differ, and what is checked in again at the
/// very moment of the sweep must not be removed by it.
pub const MARGIN: Duration = Duration::from_secs(3600);

impl Claims {
    /// Removes payloads that were checked in longer than their lifetime ago.
    ///
    /// # Errors
    /// A sentence.
    pub async fn sweep(&self) -> Result<Swept, String> {
        let kept = self.options().lifetime.saturating_add(MARGIN);
        let before = SystemTime::now().checked_sub(kept).unwrap_or(SystemTime::UNIX_EPOCH);
        self.store().sweep(before).await
    }

    /// Sweeps now and then, until it is dropped.
    pub async fn sweeper(self) {
        loop {
            match self.sweep().await {
                Ok(Swept { kept, removed: 0, .. }) => {
                    tracing::debug!(kept, "no payload was old enough to go");
                }
                Ok(Swept { kept, removed, bytes }) => {
                    tracing::info!(
                        store = self.store().address(),
                        kept,
                        removed,
                        bytes,
                        "removed old payloads"
                    );
                }
                Err(reason) => {
                    tracing::warn!(
                        store = self.store().address(),
                        reason,
                        "old payloads could not be removed"
                    );
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }
}
