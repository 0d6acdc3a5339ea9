//! Requests on their way to Python. Tokio's threads never wait for the interpreter's lock here: they leave what they
//! have, and Python fetches it.

use std::{
    collections::VecDeque,
    io::{Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use asya_handler::message::Mode;
use pyo3::prelude::*;

use crate::call::{Call, Job};

/// How long one wait on a condition lasts; nothing depends on it.
const LONG: Duration = Duration::from_secs(3600);

/// How the loaded handler wants to be called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) mode: Mode,
    pub(crate) is_async: bool,
    /// Requests at a time: 1, the size of a batch, or the concurrency of an async handler.
    pub(crate) running: usize,
}

/// What an event loop is told about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Cancel,
    Room,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Arc<Job>>,
    words: VecDeque<(Word, Arc<Job>)>,
    /// What Python has taken and not given back.
    taken: Vec<Arc<Job>>,
    closed: bool,
    /// A byte is on its way to the event loop.
    awake: bool,
}

/// What tokio and Python share.
pub(crate) struct Inlet {
    state: Mutex<State>,
    ready: Condvar,
    setup: OnceLock<Setup>,
    waker: UnixStream,
    woken: UnixStream,
}

impl Inlet {
    pub(crate) fn new() -> std::io::Result<Self> {
        let (waker, woken) = UnixStream::pair()?;
        waker.set_nonblocking(true)?;
        woken.set_nonblocking(true)?;
        Ok(Self { state: Mutex::default(), ready: Condvar::new(), setup: OnceLock::new(), waker, woken })
    }

    /// Says how the handler wants to be called; before it nothing is taken.
    pub(crate) fn prepare(&self, setup: Setup) {
        self.setup.set(setup).expect("a handler is loaded once");
    }

    pub(crate) fn setup(&self) -> Setup {
        *self.setup.get().expect("requests are taken after the handler is loaded")
    }

    pub(crate) fn is_async(&self) -> bool {
        self.setup.get().is_some_and(|setup| setup.is_async)
    }

    /// Leaves a request for Python.
    pub(crate) fn push(&self, job: Arc<Job>) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            return job.done();
        }
        state.waiting.push_back(job);
        self.wake(state);
    }

    /// Takes a request back; false when Python has it.
    pub(crate) fn withdraw(&self, job: &Arc<Job>) -> bool {
        let mut state = self.lock();
        let before = state.waiting.len();
        state.waiting.retain(|waiting| !Arc::ptr_eq(waiting, job));
        state.waiting.len() < before
    }

    /// Cancels what Python has: an async handler at its next `await`, a generator at its next `yield`. What it still
    /// says is not listened to.
    pub(crate) fn cancel(&self, job: &Arc<Job>) {
        job.cancel();
        self.interrupt(job);
    }

    /// Cancels an async handler at its next `await`.
    pub(crate) fn interrupt(&self, job: &Arc<Job>) {
        self.word(Word::Cancel, job);
    }

    /// Tells an async generator that its items have been taken.
    pub(crate) fn room(&self, job: &Arc<Job>) {
        self.word(Word::Room, job);
    }

    fn word(&self, word: Word, job: &Arc<Job>) {
        if self.is_async() {
            let mut state = self.lock();
            state.words.push_back((word, Arc::clone(job)));
            self.wake(state);
        }
    }

    /// Nothing more is accepted; Python ends when it has done what it has.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.wake(state);
    }

    /// Python is gone: whatever it had ends.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        let mut left = std::mem::take(&mut state.taken);
        left.extend(state.waiting.drain(..));
        drop(state);
        left.iter().for_each(|job| job.done());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while it holds the queue")
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let byte = !std::mem::replace(&mut state.awake, true);
        drop(state);
        self.ready.notify_one();
        if byte {
            // Full means that the loop will wake anyway.
            let _ = (&self.waker).write(&[0]);
        }
    }

    /// Gives back what was taken.
    fn give_back(&self) {
        let taken = std::mem::take(&mut self.lock().taken);
        taken.iter().for_each(|job| job.done());
    }

    /// The next request, waiting for at most `limit`; `None` after that, or when closed and empty.
    fn next_within(&self, limit: Duration) -> Option<Arc<Job>> {
        let waits = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let waited = self.ready.wait_timeout_while(self.lock(), limit, waits);
        let (mut state, _) = waited.expect("nothing panics while it holds the queue");
        state.awake = false;
        let job = state.waiting.pop_front()?;
        state.taken.push(Arc::clone(&job));
        drop(state);
        job.started();
        Some(job)
    }

    /// The next request, however long it takes; `None` when closed and empty.
    fn next(&self) -> Option<Arc<Job>> {
        loop {
            if let Some(job) = self.next_within(LONG) {
                return Some(job);
            }
            let state = self.lock();
            if state.closed && state.waiting.is_empty() {
                return None;
            }
        }
    }

    /// What there is for an event loop now: words first, then as many requests as may run beside the others.
    fn take(&self) -> Vec<(&'static str, Option<Arc<Job>>)> {
        let limit = self.setup().running;
        let mut sink = [0; 16];
        while (&self.woken).read(&mut sink).is_ok_and(|count| count > 0) {}
        let mut state = self.lock();
        state.awake = false;
        let mut told: Vec<_> = state
            .words
            .drain(..)
            .map(|(word, job)| (if word == Word::Cancel { "cancel" } else { "room" }, Some(job)))
            .collect();
        while state.taken.len() < limit {
            let Some(job) = state.waiting.pop_front() else { break };
            state.taken.push(Arc::clone(&job));
            job.started();
            told.push(("start", Some(job)));
        }
        if state.closed && state.waiting.is_empty() && state.taken.is_empty() {
            told.push(("stop", None));
        }
        told
    }

    /// An async call has come to its end.
    pub(crate) fn finished(&self, job: &Arc<Job>) {
        let mut state = self.lock();
        state.taken.retain(|taken| !Arc::ptr_eq(taken, job));
        self.wake(state);
        job.done();
    }
}

/// [`Inlet`] as Python sees it.
#[pyclass(frozen, name = "Inlet")]
pub(crate) struct PyInlet(pub(crate) Arc<Inlet>);

#[pymethods]
impl PyInlet {
    /// The descriptor that is readable when `take` has something.
    fn fileno(&self) -> RawFd {
        self.0.woken.as_raw_fd()
    }

    /// What there is for an event loop: pairs of a word and a call. Never waits.
    fn take(&self) -> Vec<(&'static str, Option<Call>)> {
        let call = |job| Call::new(job, Arc::clone(&self.0));
        self.0.take().into_iter().map(|(word, job)| (word, job.map(call))).collect()
    }

    /// Gives back what was taken, then waits for the next request; None: end.
    fn next(&self, py: Python<'_>) -> Option<Call> {
        let job = py.detach(|| {
            self.0.give_back();
            self.0.next()
        });
        job.map(|job| Call::new(job, Arc::clone(&self.0)))
    }

    /// One more request for a batch, if it comes within so many seconds.
    fn more(&self, py: Python<'_>, seconds: f64) -> Option<Call> {
        let limit = Duration::try_from_secs_f64(seconds).unwrap_or_default();
        py.detach(|| self.0.next_within(limit)).map(|job| Call::new(job, Arc::clone(&self.0)))
    }
}
