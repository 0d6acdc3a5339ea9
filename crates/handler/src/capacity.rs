//! How much a handler can do at once, and whether it can do anything.

/// How many requests a handler works on at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Requests that run at the same time: workers times concurrency or batch size. At least 1.
    pub running: usize,
    /// Requests that may wait behind the running ones without harm. 0 for a one-shot runtime; for fast handlers the
    /// pipeline of each worker.
    pub look_ahead: usize,
}

impl Capacity {
    /// A handler that does one thing at a time.
    pub const ONE: Self = Self { running: 1, look_ahead: 0 };

    /// All requests that the handler wants to have at once.
    pub fn total(&self) -> usize {
        self.running + self.look_ahead
    }
}

/// Whether requests can be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Not yet, or not now; being waited for or mended.
    NotReady(String),
    /// Yes.
    Ready,
    /// The handler cannot be mended from here (a one-shot runtime that hangs on): `/healthz` fails, so that the pod is
    /// restarted.
    Stuck(String),
}
