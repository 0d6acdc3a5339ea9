//! Which worker gets which request. Pure bookkeeping behind one short lock; workers take from their inboxes.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::{Notify, watch};

use crate::{Capacity, Code, End, Failure, Fault, Readiness, Reply, ReplySender, Request};

/// Deaths charged to one envelope before it is given up: one may be an accident, two a coincidence.
pub(super) const MAX_DEATHS: u32 = 3;
/// Most requests that one sync worker is sent ahead while it is fast. More bought little when measured.
pub(super) const MAX_DEPTH: usize = 16;
/// Envelopes whose deaths are remembered after their request has ended; the oldest knowledge is lost first.
const REMEMBERED: usize = 1024;
/// Why a request ends that has waited for a worker in vain.
const NO_WORKER: &str = "there has been no worker for too long";

/// One request on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) sender: ReplySender,
    /// Runs alone on a worker, because a worker died or hung with it and others.
    pub(super) solo: bool,
    /// Worker deaths charged to it.
    pub(super) deaths: u32,
    /// Items that have been handed on; such a request cannot be run again in secret.
    pub(super) yielded: bool,
}

impl Job {
    /// Ends the job. Never waits: ends that follow other replies go through the worker's connection instead.
    pub(super) fn end(self, end: End) {
        if let Err(reply) = self.sender.try_send(Reply::End(end))
            && !self.sender.is_cancelled()
        {
            // Yields fill the channel and the worker is gone: somebody has to wait.
            tokio::spawn(async move { self.sender.send(reply).await });
        }
    }

    pub(super) fn fail(self, code: Code, fault: Fault, message: impl Into<String>) {
        self.end(End::Failed(Failure::new(code, fault, message)));
    }
}

/// One worker, as the dispatcher sees it.
#[derive(Debug)]
struct Slot {
    id: u64,
    /// Requests that run at the same time.
    slots: usize,
    /// Requests that it is given at most; at least `slots`.
    depth: usize,
    /// Requests that it has, inbox included.
    load: usize,
    /// Works on one request that must be alone.
    solo: bool,
    inbox: Vec<Job>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct State {
    workers: Vec<Slot>,
    waiting: VecDeque<Job>,
    solo: VecDeque<Job>,
    deaths: HashMap<String, u32>,
    remembered: VecDeque<String>,
    closed: bool,
    /// No worker has been there for so long that nothing waits for one any more.
    abandoned: bool,
}

/// Distributes requests over workers.
#[derive(Debug)]
pub(super) struct Dispatcher {
    state: Mutex<State>,
    capacity: watch::Sender<Capacity>,
    readiness: watch::Sender<Readiness>,
    /// Counts dropped [`crate::Replies`].
    pub(super) cancels: watch::Sender<u64>,
    idle: Notify,
}

impl Dispatcher {
    pub(super) fn new(waiting_for: String) -> Self {
        Self {
            state: Mutex::default(),
            capacity: watch::Sender::new(Capacity::ONE),
            readiness: watch::Sender::new(Readiness::NotReady(waiting_for)),
            cancels: watch::Sender::new(0),
            idle: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the dispatcher")
    }

    pub(super) fn capacity(&self) -> watch::Receiver<Capacity> {
        self.capacity.subscribe()
    }

    pub(super) fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    pub(super) fn set_readiness(&self, readiness: Readiness) {
        self.readiness.send_if_modified(|now| {
            let changed = *now != readiness;
            *now = readiness;
            changed
        });
    }

    /// Takes a request; it goes to a worker at once if one has room.
    pub(super) fn submit(&self, request: Request, sender: ReplySender) {
        let mut state = self.state();
        let deaths = match state.deaths.is_empty() {
            true => 0,
            false => state.deaths.remove(&request.envelope.id).unwrap_or(0),
        };
        let job = Job { request, sender, solo: deaths > 0, deaths, yielded: false };
        if state.closed {
            drop(state);
            return job.fail(Code::Connection, Fault::Infrastructure, "the handler is closed");
        }
        if state.abandoned {
            drop(state);
            return job.fail(Code::Connection, Fault::Infrastructure, NO_WORKER);
        }
        // What nobody waits for any more must not pile up while there is no runtime.
        while state.waiting.front().is_some_and(|job| job.sender.is_cancelled()) {
            state.waiting.pop_front();
        }
        state.queue(job);
        state.dispatch();
    }

    /// Gives jobs back that a worker had not begun, or that must run again; they go before all others.
    pub(super) fn resubmit(&self, jobs: impl DoubleEndedIterator<Item = Job>) {
        let mut state = self.state();
        for job in jobs.rev() {
            let queue = if job.solo { &mut state.solo } else { &mut state.waiting };
            queue.push_front(job);
        }
        if (state.closed || state.abandoned) && state.workers.is_empty() {
            let why =
                if state.closed { "the runtime went away while the handler was closing" } else { NO_WORKER };
            let orphans = state.take_waiting();
            drop(state);
            return self.refuse(orphans, why);
        }
        state.dispatch();
    }

    /// Adds a worker that is connected.
    pub(super) fn add_worker(&self, id: u64, slots: usize) -> Arc<Notify> {
        let wake = Arc::new(Notify::new());
        let mut state = self.state();
        let slots = slots.max(1);
        let slot = Slot {
            id,
            slots,
            depth: slots,
            load: 0,
            solo: false,
            inbox: Vec::new(),
            wake: Arc::clone(&wake),
        };
        state.workers.push(slot);
        state.abandoned = false;
        state.dispatch();
        self.publish(&state);
        wake
    }

    /// Removes a worker and returns what it had not even taken from its inbox.
    pub(super) fn remove_worker(&self, id: u64) -> Vec<Job> {
        let mut state = self.state();
        let at = state.workers.iter().position(|slot| slot.id == id);
        let jobs = at.map(|at| state.workers.swap_remove(at).inbox).unwrap_or_default();
        self.publish(&state);
        self.tell_if_idle(&state);
        jobs
    }

    /// Moves what waits in a worker's inbox into `jobs`.
    pub(super) fn take_inbox(&self, id: u64, jobs: &mut Vec<Job>) {
        if let Some(slot) = self.state().slot(id) {
            jobs.append(&mut slot.inbox);
        }
    }

    /// A worker has ended `count` requests, and may be given up to `depth` at a time from now on. Jobs that come to it
    /// at once are put into `jobs`.
    pub(super) fn finished(&self, id: u64, count: usize, depth: usize, jobs: &mut Vec<Job>) {
        let mut state = self.state();
        let Some(slot) = state.slot(id) else { return };
        slot.load = slot.load.saturating_sub(count);
        if slot.load == 0 {
            slot.solo = false;
        }
        let depth = depth.max(slot.slots);
        let changed = std::mem::replace(&mut slot.depth, depth) != depth;
        state.dispatch();
        if let Some(slot) = state.slot(id) {
            jobs.append(&mut slot.inbox);
        }
        if changed {
            self.publish(&state);
        }
        self.tell_if_idle(&state);
    }

    /// Remembers deaths of an envelope whose request ends for a reason that lets it come back.
    pub(super) fn remember(&self, id: &str, deaths: u32) {
        let mut state = self.state();
        if state.remembered.len() >= REMEMBERED
            && let Some(oldest) = state.remembered.pop_front()
        {
            state.deaths.remove(&oldest);
        }
        state.deaths.insert(id.to_owned(), deaths);
        state.remembered.push_back(id.to_owned());
    }

    /// Refuses new requests and those that have not been sent; returns when the sent ones have ended.
    pub(super) async fn close(&self) {
        let waiting = {
            let mut state = self.state();
            state.closed = true;
            state.take_waiting()
        };
        self.refuse(waiting, "the handler is closing");
        loop {
            let idle = self.idle.notified();
            if self.state().workers.iter().all(|slot| slot.load == 0) {
                return;
            }
            idle.await;
        }
    }

    /// Refuses what waits, and from now on everything, until a worker is there again.
    pub(super) fn give_up(&self, after: Duration) {
        let mut state = self.state();
        if !state.workers.is_empty() {
            return;
        }
        state.abandoned = true;
        let waiting = state.take_waiting();
        drop(state);
        if !waiting.is_empty() {
            tracing::warn!(
                requests = waiting.len(),
                ?after,
                "no worker came back; giving up what waits for one"
            );
        }
        self.refuse(waiting, NO_WORKER);
    }

    fn refuse(&self, jobs: Vec<Job>, why: &str) {
        for job in jobs {
            job.fail(Code::Connection, Fault::Infrastructure, why);
        }
    }

    fn tell_if_idle(&self, state: &State) {
        if state.closed && state.workers.iter().all(|slot| slot.load == 0) {
            self.idle.notify_waiters();
        }
    }

    fn publish(&self, state: &State) {
        if state.workers.is_empty() {
            // The capacity stays as it was known: the same runtime usually comes back.
            return self.set_readiness(Readiness::NotReady("no worker is ready".to_owned()));
        }
        let running = state.workers.iter().map(|slot| slot.slots).sum();
        let total: usize = state.workers.iter().map(|slot| slot.depth).sum();
        let capacity = Capacity { running, look_ahead: total - running };
        self.capacity.send_if_modified(|now| std::mem::replace(now, capacity) != capacity);
        // Last, so that whoever sees it sees the capacity too.
        self.set_readiness(Readiness::Ready);
    }
}

impl State {
    fn slot(&mut self, id: u64) -> Option<&mut Slot> {
        self.workers.iter_mut().find(|slot| slot.id == id)
    }

    fn queue(&mut self, job: Job) {
        if job.solo { self.solo.push_back(job) } else { self.waiting.push_back(job) }
    }

    fn take_waiting(&mut self) -> Vec<Job> {
        self.waiting.drain(..).chain(self.solo.drain(..)).collect()
    }

    /// Hands waiting jobs out. Jobs that must be alone come first: the least loaded worker gets nothing else until it
    /// is empty, then one of them.
    fn dispatch(&mut self) {
        let mut reserved = None;
        while let Some(job) = next_wanted(&mut self.solo) {
            let free = self.workers.iter_mut().filter(|slot| !slot.solo).min_by_key(|slot| slot.load);
            match free {
                Some(slot) if slot.load == 0 => {
                    slot.solo = true;
                    slot.give(job);
                }
                busy => {
                    reserved = busy.map(|slot| slot.id);
                    self.solo.push_front(job);
                    break;
                }
            }
        }
        while let Some(job) = next_wanted(&mut self.waiting) {
            let free = self
                .workers
                .iter_mut()
                .filter(|slot| !slot.solo && slot.load < slot.depth && Some(slot.id) != reserved)
                .min_by_key(|slot| slot.load);
            let Some(slot) = free else {
                self.waiting.push_front(job);
                break;
            };
            slot.give(job);
        }
    }
}

impl Slot {
    fn give(&mut self, job: Job) {
        self.load += 1;
        if self.inbox.is_empty() {
            self.wake.notify_one();
        }
        self.inbox.push(job);
    }
}

/// The first job that somebody still waits for.
fn next_wanted(queue: &mut VecDeque<Job>) -> Option<Job> {
    std::iter::from_fn(|| queue.pop_front()).find(|job| !job.sender.is_cancelled())
}

#[cfg(test)]
mod tests {
    use asya_envelope::{Envelope, Raw, Route};
    use bytes::Bytes;

    use super::*;
    use crate::Replies;

    fn job(dispatcher: &Dispatcher, id: &str) -> Replies {
        let request = Request {
            envelope: Envelope::new(id, Route::new(["a"]), Raw::null()),
            body: Bytes::new(),
            actor: "a".to_owned(),
            attempt: 1,
            timeout: Duration::from_secs(1),
        };
        let (sender, replies) = Replies::channel();
        dispatcher.submit(request, sender);
        replies
    }

    fn inbox(dispatcher: &Dispatcher, worker: u64) -> Vec<Job> {
        let mut jobs = Vec::new();
        dispatcher.take_inbox(worker, &mut jobs);
        jobs
    }

    #[test]
    fn requests_spread_over_workers_and_wait_when_all_are_full() {
        let dispatcher = Dispatcher::new(String::new());
        dispatcher.add_worker(1, 1);
        dispatcher.add_worker(2, 1);
        let _replies: Vec<_> = (0..3).map(|n| job(&dispatcher, &n.to_string())).collect();
        assert_eq!((inbox(&dispatcher, 1).len(), inbox(&dispatcher, 2).len()), (1, 1));
        let mut next = Vec::new();
        dispatcher.finished(2, 1, 1, &mut next);
        assert_eq!(next[0].request.envelope.id, "2");
    }

    #[test]
    fn depth_beyond_the_slots_is_look_ahead() {
        let dispatcher = Dispatcher::new(String::new());
        dispatcher.add_worker(1, 1);
        assert_eq!(*dispatcher.capacity().borrow(), Capacity { running: 1, look_ahead: 0 });
        dispatcher.finished(1, 0, 16, &mut Vec::new());
        assert_eq!(*dispatcher.capacity().borrow(), Capacity { running: 1, look_ahead: 15 });
        let _replies: Vec<_> = (0..20).map(|n| job(&dispatcher, &n.to_string())).collect();
        assert_eq!(inbox(&dispatcher, 1).len(), 16);
    }

    #[test]
    fn a_suspect_runs_alone_and_before_all_others() {
        let dispatcher = Dispatcher::new(String::new());
        dispatcher.add_worker(1, 4);
        let _replies: Vec<_> = (0..4).map(|n| job(&dispatcher, &n.to_string())).collect();
        let mut running = inbox(&dispatcher, 1);
        let mut suspect = running.pop().unwrap();
        suspect.solo = true;
        dispatcher.finished(1, 1, 4, &mut Vec::new());
        dispatcher.resubmit([suspect].into_iter());
        let _late = job(&dispatcher, "late");
        assert!(inbox(&dispatcher, 1).is_empty(), "the worker must run empty first");
        let mut next = Vec::new();
        dispatcher.finished(1, 3, 4, &mut next);
        assert_eq!(next.iter().map(|job| job.request.envelope.id.as_str()).collect::<Vec<_>>(), ["3"]);
        dispatcher.finished(1, 1, 4, &mut next);
        assert_eq!(next.last().unwrap().request.envelope.id, "late");
    }

    #[test]
    fn requests_that_nobody_waits_for_are_not_sent() {
        let dispatcher = Dispatcher::new(String::new());
        drop(job(&dispatcher, "gone"));
        let _kept = job(&dispatcher, "kept");
        dispatcher.add_worker(1, 1);
        assert_eq!(inbox(&dispatcher, 1)[0].request.envelope.id, "kept");
    }

    #[tokio::test]
    async fn closing_refuses_what_waits_and_waits_for_what_runs() {
        let dispatcher = Dispatcher::new(String::new());
        dispatcher.add_worker(1, 1);
        let _running = job(&dispatcher, "running");
        let mut waiting = job(&dispatcher, "waiting");
        let close = dispatcher.close();
        tokio::pin!(close);
        assert!(futures::poll!(close.as_mut()).is_pending());
        assert!(
            matches!(waiting.recv().await, Some(Reply::End(End::Failed(f))) if f.fault == Fault::Infrastructure)
        );
        dispatcher.finished(1, 1, 1, &mut Vec::new());
        close.await;
    }
}
