//! The byte budget: how much memory replies may take at once.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that one permit stands for: a semaphore counts no further than `u32`, and 1 KiB steps reach 4 TiB.
const UNIT: usize = 1024;

/// A budget of bytes, shared by everything that holds messages in memory. Cloning shares it.
#[derive(Clone, Debug)]
pub struct Budget {
    semaphore: Arc<Semaphore>,
    units: usize,
}

/// Bytes taken from a [`Budget`]; given back on drop.
#[derive(Debug)]
pub struct Grant {
    _permit: OwnedSemaphorePermit,
}

impl Budget {
    /// A budget of this many bytes, at least 1 KiB; counted in KiB, rounded up.
    pub fn new(bytes: usize) -> Self {
        let units = bytes.div_ceil(UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { semaphore: Arc::new(Semaphore::new(units)), units }
    }

    /// Waits until `bytes` are free and takes them. What is larger than the whole budget takes the whole budget, so
    /// that it passes alone instead of never. Cancel safe; callers are served in order.
    pub async fn take(&self, bytes: usize) -> Grant {
        let units =
            u32::try_from(bytes.div_ceil(UNIT).min(self.units)).expect("new() keeps units within u32");
        let permit = Arc::clone(&self.semaphore).acquire_many_owned(units).await;
        Grant { _permit: permit.expect("the semaphore of a budget is never closed") }
    }

    /// Takes `bytes` if they are free now.
    pub fn try_take(&self, bytes: usize) -> Option<Grant> {
        let units =
            u32::try_from(bytes.div_ceil(UNIT).min(self.units)).expect("new() keeps units within u32");
        let permit = Arc::clone(&self.semaphore).try_acquire_many_owned(units).ok()?;
        Some(Grant { _permit: permit })
    }

    /// Bytes that are free.
    pub fn free(&self) -> usize {
        self.semaphore.available_permits() * UNIT
    }
}
