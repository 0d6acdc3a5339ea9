//! A semaphore whose size follows a number that changes.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// So many may work at once, and the number may change while they do.
#[derive(Clone, Debug)]
pub(crate) struct Permits(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    semaphore: Arc<Semaphore>,
    size: Mutex<usize>,
    /// Permits that are in use and to be withdrawn when they come back.
    debt: AtomicUsize,
}

/// One of the permits; given back on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    permit: Option<OwnedSemaphorePermit>,
    owner: Arc<Inner>,
}

impl Permits {
    pub(crate) fn new(size: usize) -> Self {
        Self(Arc::new(Inner {
            semaphore: Arc::new(Semaphore::new(size)),
            size: Mutex::new(size),
            debt: AtomicUsize::new(0),
        }))
    }

    /// Changes the number. Permits in use are never taken away; a smaller number holds once enough have come back.
    pub(crate) fn resize(&self, size: usize) {
        let mut current = self.0.size.lock().expect("no code panics while it resizes");
        if size > *current {
            let mut grow = size - *current;
            let pay = |debt: usize| debt.checked_sub(grow.min(debt));
            let debt = self.0.debt.fetch_update(Ordering::AcqRel, Ordering::Acquire, pay).unwrap_or(0);
            grow -= grow.min(debt);
            self.0.semaphore.add_permits(grow);
        } else {
            let shrink = *current - size;
            let forgotten = self.0.semaphore.forget_permits(shrink);
            self.0.debt.fetch_add(shrink - forgotten, Ordering::AcqRel);
        }
        *current = size;
    }

    pub(crate) fn size(&self) -> usize {
        *self.0.size.lock().expect("no code panics while it resizes")
    }

    /// Waits for a permit. Cancel safe; served in order.
    pub(crate) async fn take(&self) -> Permit {
        let permit = Arc::clone(&self.0.semaphore).acquire_owned().await;
        Permit { permit: Some(permit.expect("the semaphore is never closed")), owner: Arc::clone(&self.0) }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let withdraw = |debt: usize| debt.checked_sub(1);
        if self.owner.debt.fetch_update(Ordering::AcqRel, Ordering::Acquire, withdraw).is_ok() {
            self.permit.take().expect("a permit is dropped once").forget();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_smaller_number_holds_once_permits_come_back() {
        let permits = Permits::new(3);
        let held = [permits.take().await, permits.take().await, permits.take().await];
        permits.resize(1);
        let [first, second, third] = held;
        drop((first, second));
        assert!(permits.take().now_or_never().is_none(), "one is still in use, and one is all there is");
        drop(third);
        let only = permits.take().now_or_never().expect("one is free again");
        assert!(permits.take().now_or_never().is_none());
        drop(only);
    }

    #[tokio::test]
    async fn growing_pays_off_what_shrinking_still_owes() {
        let permits = Permits::new(2);
        let held = [permits.take().await, permits.take().await];
        permits.resize(1);
        permits.resize(2);
        assert!(permits.take().now_or_never().is_none());
        drop(held);
        let (_a, _b) = (permits.take().await, permits.take().await);
        assert!(permits.take().now_or_never().is_none());
        assert_eq!(permits.size(), 2);
    }
}
