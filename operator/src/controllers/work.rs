//! What is to be looked at, and when: each thing once, never twice at a time.
//!
//! One queue is fed by many watches, which come and go, and is bounded by the number of things that exist.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    hash::Hash,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// Namespace and name.
pub type Key = (String, String);

/// One thing to look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Work {
    /// An actor.
    Actor(Key),
    /// The runtime's ConfigMaps of a namespace.
    Runtime(String),
    /// The credentials that are written into a namespace.
    Projection(String),
}

/// Work that waits for its time.
#[derive(Debug)]
pub struct Queue<W = Work> {
    state: Mutex<State<W>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<W> {
    order: BTreeSet<(Instant, W)>,
    due: HashMap<W, Instant>,
    /// What is being worked on, and when it is wanted again.
    running: HashMap<W, Option<Instant>>,
    failures: HashMap<W, u32>,
}

impl<W> Default for State<W> {
    fn default() -> Self {
        Self {
            order: BTreeSet::new(),
            due: HashMap::new(),
            running: HashMap::new(),
            failures: HashMap::new(),
        }
    }
}

impl<W> Default for Queue<W> {
    fn default() -> Self {
        Self { state: Mutex::default(), changed: Notify::new() }
    }
}

impl<W: Clone + Eq + Hash + Ord> State<W> {
    fn add(&mut self, work: W, at: Instant) {
        if let Some(again) = self.running.get_mut(&work) {
            *again = Some(again.map_or(at, |before| before.min(at)));
            return;
        }
        match self.due.entry(work.clone()) {
            Entry::Occupied(known) if *known.get() <= at => {}
            Entry::Occupied(mut known) => {
                self.order.remove(&(known.insert(at), work.clone()));
                self.order.insert((at, work));
            }
            Entry::Vacant(free) => {
                free.insert(at);
                self.order.insert((at, work));
            }
        }
    }
}

impl<W: Clone + Eq + Hash + Ord> Queue<W> {
    fn with<T>(&self, change: impl FnOnce(&mut State<W>) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Wants this looked at now.
    pub fn now(&self, work: W) {
        self.after(work, Duration::ZERO);
    }

    /// Wants this looked at after a while, unless it is sooner anyway.
    pub fn after(&self, work: W, wait: Duration) {
        self.with(|state| state.add(work, Instant::now() + wait));
        self.changed.notify_one();
    }

    /// Waits for the next thing that is due. Cancel safe. It must be given back by [`done`](Self::done).
    pub async fn next(&self) -> W {
        loop {
            let changed = self.changed.notified();
            let wait = self.with(|state| match state.order.first() {
                Some((at, _)) if *at <= Instant::now() => {
                    let (_, work) = state.order.pop_first().expect("the first was just seen");
                    state.due.remove(&work);
                    state.running.insert(work.clone(), None);
                    Ok(work)
                }
                Some((at, _)) => Err(Some(*at)),
                None => Err(None),
            });
            match wait {
                Ok(work) => {
                    // Another worker may sleep while more is due.
                    self.changed.notify_one();
                    return work;
                }
                Err(Some(at)) => {
                    tokio::select! {
                        () = changed => {}
                        () = tokio::time::sleep_until(at) => {}
                    }
                }
                Err(None) => changed.await,
            }
        }
    }

    /// Ends one look; `again` asks for the next.
    pub fn done(&self, work: W, again: Option<Duration>) {
        self.with(|state| {
            let wanted = state.running.remove(&work).flatten();
            for at in wanted.into_iter().chain(again.map(|wait| Instant::now() + wait)) {
                state.add(work.clone(), at);
            }
        });
        self.changed.notify_one();
    }

    /// Counts a failure; the number of failures in a row.
    pub fn failed(&self, work: &W) -> u32 {
        self.with(|state| {
            let count = state.failures.entry(work.clone()).or_default();
            *count = count.saturating_add(1);
            *count
        })
    }

    /// Ends a row of failures.
    pub fn succeeded(&self, work: &W) {
        self.with(|state| state.failures.remove(work));
    }

    /// Forgets what waits: the term of a leader is over.
    pub fn clear(&self) {
        self.with(|state| *state = State::default());
    }

    /// Things that are due now or being worked on.
    pub fn busy(&self) -> usize {
        let now = Instant::now();
        self.with(|state| state.running.len() + state.order.iter().take_while(|(at, _)| *at <= now).count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(name: &str) -> Work {
        Work::Actor(("ns".to_owned(), name.to_owned()))
    }

    #[tokio::test(start_paused = true)]
    async fn the_same_work_is_never_handed_out_twice_at_a_time() {
        let queue = Queue::default();
        queue.now(actor("a"));
        queue.now(actor("a"));
        let work = queue.next().await;
        queue.now(actor("a"));
        let second = tokio::time::timeout(Duration::from_secs(1), queue.next()).await;
        assert!(second.is_err(), "it was handed out while it was worked on");
        queue.done(work, None);
        assert_eq!(queue.next().await, actor("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn an_earlier_wish_replaces_a_later_one() {
        let queue = Queue::default();
        let start = Instant::now();
        queue.after(actor("a"), Duration::from_secs(300));
        queue.after(actor("a"), Duration::from_secs(5));
        queue.after(actor("a"), Duration::from_secs(60));
        assert_eq!(queue.next().await, actor("a"));
        assert_eq!(start.elapsed().as_secs(), 5);
        queue.done(actor("a"), None);
        let more = tokio::time::timeout(Duration::from_secs(600), queue.next()).await;
        assert!(more.is_err(), "the later wishes were kept");
    }

    #[tokio::test(start_paused = true)]
    async fn several_workers_share_what_is_due() {
        let queue = std::sync::Arc::new(Queue::default());
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move { queue.next().await })
            })
            .collect();
        tokio::task::yield_now().await;
        for name in ["a", "b", "c"] {
            queue.now(actor(name));
        }
        let mut seen = BTreeSet::new();
        for worker in workers {
            seen.insert(worker.await.unwrap());
        }
        assert_eq!(seen.len(), 3);
    }
}
