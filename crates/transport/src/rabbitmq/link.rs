//! What the deliveries of one channel share with the task that runs the channel.
//!
//! A link is one generation: it lives as long as its channel, and delivery tags mean nothing beyond it. When the channel
//! ends the link is cut, and whatever is settled afterwards is [`Unsettled::Lost`]: nothing is settled on a dead channel.

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    time::Instant,
};

use super::ledger::Ledger;
use crate::Unsettled;

/// A delivery that nobody settled goes back at the earliest after this, so that a panic on each is not a hot loop.
pub(super) const ABANDON_AFTER: Duration = Duration::from_secs(1);

/// Told when an acknowledgement has reached the broker; dropped when it never will.
pub(super) type Waiter = oneshot::Sender<()>;

/// Shared by a channel's task and the deliveries that came over it.
#[derive(Debug)]
pub(super) struct Link {
    inner: Mutex<Inner>,
    /// There is something for the task to do.
    pub(super) work: Notify,
    /// A delivery that was handed out is settled, or the link is cut.
    pub(super) freed: Notify,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) ledger: Ledger<Waiter>,
    /// To be given back now.
    pub(super) returns: Vec<(u64, Option<Waiter>)>,
    /// To be given back later; in order of time, as the pause is always the same.
    pub(super) later: Vec<(Instant, u64)>,
    /// Handed out by the consumer and not settled.
    handed: usize,
    cut: Option<Arc<str>>,
}

impl Link {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            inner: Mutex::new(Inner {
                ledger: Ledger::new(),
                returns: Vec::new(),
                later: Vec::new(),
                handed: 0,
                cut: None,
            }),
            work: Notify::new(),
            freed: Notify::new(),
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic while held")
    }

    /// Ends the generation: everything outstanding is the broker's again. The first reason stays.
    pub(super) fn cut(&self, reason: &str) {
        let mut inner = self.lock();
        inner.cut.get_or_insert_with(|| reason.into());
        // Drops the waiters, which tells those who wait.
        inner.ledger = Ledger::new();
        inner.returns.clear();
        inner.later.clear();
        drop(inner);
        self.freed.notify_waiters();
        self.work.notify_one();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.lock().cut.is_some()
    }

    /// Deliveries handed out and not settled.
    pub(super) fn handed(&self) -> usize {
        self.lock().handed
    }
}

/// The right to settle one delivery, once. Dropped unused it gives the delivery back after [`ABANDON_AFTER`].
#[derive(Debug)]
pub(super) struct Hold {
    link: Arc<Link>,
    tag: u64,
    handed: bool,
    settled: bool,
}

impl Hold {
    pub(super) fn new(link: Arc<Link>, tag: u64) -> Self {
        Self { link, tag, handed: false, settled: false }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// Counts the delivery as handed out.
    pub(super) fn hand_out(&mut self) {
        if !self.handed {
            self.handed = true;
            self.link.lock().handed += 1;
        }
    }

    /// Still ours to settle?
    pub(super) fn check(&self) -> Result<(), Unsettled> {
        match &self.link.lock().cut {
            Some(reason) => Err(Unsettled::Lost(reason.to_string())),
            None => Ok(()),
        }
    }

    /// Acknowledges; done when the acknowledgement has reached the broker.
    pub(super) async fn acknowledge(mut self) -> Result<(), Unsettled> {
        let (waiter, arrived) = oneshot::channel();
        self.settled = true;
        let marked = {
            let mut inner = self.link.lock();
            self.uncount(&mut inner);
            inner.ledger.done(self.tag, waiter).is_ok()
        };
        self.wake();
        if marked && arrived.await.is_ok() {
            return Ok(());
        }
        self.check()?;
        Err(Unsettled::Lost("delivery is not outstanding on its channel".to_owned()))
    }

    /// Gives the delivery back now; done when that has reached the broker.
    pub(super) async fn give_back(mut self) -> Result<(), Unsettled> {
        let (waiter, arrived) = oneshot::channel();
        self.give_back_soon(Some(waiter));
        if arrived.await.is_ok() {
            return Ok(());
        }
        self.check()?;
        Err(Unsettled::Lost("delivery is not outstanding on its channel".to_owned()))
    }

    /// Gives the delivery back now, without waiting.
    pub(super) fn give_back_soon(&mut self, waiter: Option<Waiter>) {
        self.settled = true;
        {
            let mut inner = self.link.lock();
            self.uncount(&mut inner);
            if inner.ledger.gone(self.tag) {
                inner.returns.push((self.tag, waiter));
            }
        }
        self.wake();
    }

    fn uncount(&self, inner: &mut Inner) {
        if self.handed {
            inner.handed -= 1;
        }
    }

    fn wake(&self) {
        self.link.work.notify_one();
        if self.handed {
            self.link.freed.notify_waiters();
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        {
            let mut inner = self.link.lock();
            self.uncount(&mut inner);
            if inner.cut.is_none() {
                inner.later.push((Instant::now() + ABANDON_AFTER, self.tag));
            }
        }
        self.wake();
    }
}
