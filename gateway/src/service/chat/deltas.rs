//! Pieces of answers on their way to who watches.
//!
//! Lossy by design, and of one process: a piece reaches those who watch at the replica that it was sent to, if they are
//! fast enough. Whoever comes in the middle of an answer hears first what this replica has heard of it so far, where it
//! is kept. Each piece says where it belongs, and what is stored in the end is whole for everybody.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use asya_session::desk::Delta;
use tokio::sync::broadcast;

/// Pieces that somebody may lag behind before some are lost to them.
const BEHIND: usize = 256;
/// Longest beginning of an answer that is kept, in bytes: of longer ones, who comes late hears what comes then.
const KEPT: usize = 64 * 1024;
/// Sessions whose answers are kept while nobody watches: with as many, the oldest gives way.
const UNWATCHED: usize = 128;

/// Who watches which session, and what is being said there.
#[derive(Debug, Default)]
pub struct Deltas(Mutex<Lines>);

#[derive(Debug, Default)]
struct Lines {
    all: HashMap<Arc<str>, Line>,
    /// Answers that have begun: the least is the oldest.
    begun: u64,
}

#[derive(Debug)]
struct Line {
    sender: broadcast::Sender<Arc<Delta>>,
    /// The answer that is being written, from its beginning on without a gap.
    written: Option<Delta>,
    begun: u64,
}

/// The pieces of one session. Dropped with its last watcher, the session is forgotten here, but for an answer that is
/// being written.
#[derive(Debug)]
pub struct Pieces {
    all: Arc<Deltas>,
    session: Arc<str>,
    /// What was said before this watch began.
    first: Option<Arc<Delta>>,
    receiver: Option<broadcast::Receiver<Arc<Delta>>>,
}

impl Deltas {
    /// Tells a piece to whoever watches.
    pub fn tell(&self, session: &str, delta: Delta) {
        let mut lines = self.lines();
        let Some(line) = lines.of_piece(session, &delta) else { return };
        line.keep(&delta);
        // Nobody watching any more is no error.
        let _ = line.sender.send(Arc::new(delta));
    }

    /// Entry `n` is stored: its pieces are not needed any more.
    pub fn stored(&self, session: &str, n: u64) {
        let mut lines = self.lines();
        let Some(line) = lines.all.get_mut(session) else { return };
        line.written.take_if(|written| written.n <= n);
        lines.forget(session);
    }

    /// Watches a session from now on.
    pub fn watch(self: &Arc<Self>, session: &str) -> Pieces {
        let session: Arc<str> = session.into();
        let mut lines = self.lines();
        let line = lines.all.entry(session.clone()).or_insert_with(Line::new);
        let (first, receiver) = (line.written.clone().map(Arc::new), Some(line.sender.subscribe()));
        Pieces { all: Arc::clone(self), session, first, receiver }
    }

    /// The map is whole whatever panicked: each change of it is one call.
    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lines {
    /// The line that a piece belongs on: where nobody watches, only an answer that begins opens one.
    fn of_piece(&mut self, session: &str, delta: &Delta) -> Option<&mut Line> {
        if !self.all.contains_key(session) {
            if delta.offset > 0 {
                return None;
            }
            self.make_room();
            self.all.insert(session.into(), Line::new());
        }
        let line = self.all.get_mut(session)?;
        if delta.offset == 0 {
            self.begun += 1;
            line.begun = self.begun;
        }
        Some(line)
    }

    fn make_room(&mut self) {
        let unwatched = || self.all.iter().filter(|(_, line)| line.sender.receiver_count() == 0);
        if unwatched().count() >= UNWATCHED
            && let Some(oldest) = unwatched().min_by_key(|(_, line)| line.begun).map(|(id, _)| id.clone())
        {
            self.all.remove(&oldest);
        }
    }

    /// Forgets a session that nobody watches and nothing is said in.
    fn forget(&mut self, session: &str) {
        if self
            .all
            .get(session)
            .is_some_and(|line| line.written.is_none() && line.sender.receiver_count() == 0)
        {
            self.all.remove(session);
        }
    }
}

impl Line {
    fn new() -> Self {
        Self { sender: broadcast::Sender::new(BEHIND), written: None, begun: 0 }
    }

    /// Puts a piece where it belongs; nothing is kept behind a gap.
    fn keep(&mut self, delta: &Delta) {
        let begins = delta.offset == 0;
        let known = self.written.take().filter(|written| written.n == delta.n || !begins);
        let mut written = match known {
            Some(written) => written,
            None if begins => Delta { n: delta.n, offset: 0, text: String::new() },
            None => return,
        };
        let end = usize::try_from(delta.offset).unwrap_or(usize::MAX);
        // Where the model begins again, what it says now counts.
        let fits = written.n == delta.n && written.text.is_char_boundary(end);
        if fits && end + delta.text.len() <= KEPT {
            written.text.truncate(end);
            written.text.push_str(&delta.text);
            self.written = Some(written);
        }
    }
}

impl Pieces {
    /// The next piece; whoever was too slow for some goes on behind them. Cancel safe.
    pub async fn next(&mut self) -> Arc<Delta> {
        if let Some(first) = self.first.take() {
            return first;
        }
        while let Some(receiver) = &mut self.receiver {
            match receiver.recv().await {
                Ok(delta) => return delta,
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => break,
            }
        }
        std::future::pending().await
    }
}

impl Drop for Pieces {
    fn drop(&mut self) {
        let mut lines = self.all.lines();
        // Ours first, under the lock: whoever is last then finds none.
        self.receiver = None;
        lines.forget(&self.session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(n: u64, offset: u64, text: &str) -> Delta {
        Delta { n, offset, text: text.to_owned() }
    }

    /// What somebody hears first who begins to watch now.
    fn heard(deltas: &Arc<Deltas>, session: &str) -> Option<(u64, String)> {
        deltas.watch(session).first.as_deref().map(|delta| (delta.n, delta.text.clone()))
    }

    #[tokio::test]
    async fn who_watches_hears_of_one_session_and_who_lags_goes_on_behind_what_was_lost() {
        let deltas = Arc::new(Deltas::default());
        let mut pieces = deltas.watch("a");
        deltas.tell("b", piece(1, 1, "x"));
        deltas.tell("a", piece(1, 2, "x"));
        assert_eq!(pieces.next().await.offset, 2);
        for offset in 0..2 * BEHIND as u64 {
            deltas.tell("a", piece(1, 1 + offset, "x"));
        }
        assert_eq!(pieces.next().await.offset, 1 + BEHIND as u64, "the oldest are lost");
        drop(pieces);
        assert!(deltas.lines().all.is_empty());
    }

    #[tokio::test]
    async fn who_comes_in_the_middle_hears_what_was_said_and_then_what_comes() {
        let deltas = Arc::new(Deltas::default());
        for delta in [piece(2, 0, "grün "), piece(2, 6, "und "), piece(2, 6, "und")] {
            deltas.tell("a", delta);
        }
        let mut pieces = deltas.watch("a");
        deltas.tell("a", piece(2, 9, " rot"));
        assert_eq!(*pieces.next().await, piece(2, 0, "grün und"));
        assert_eq!(*pieces.next().await, piece(2, 9, " rot"));
        drop(pieces);
        assert_eq!(heard(&deltas, "a"), Some((2, "grün und rot".to_owned())), "a reload");
        deltas.tell("a", piece(2, 0, "It began again"));
        assert_eq!(heard(&deltas, "a"), Some((2, "It began again".to_owned())));
        deltas.stored("a", 1);
        assert!(heard(&deltas, "a").is_some(), "what is before it says nothing of it");
        deltas.stored("a", 2);
        assert_eq!(heard(&deltas, "a"), None);
        assert!(deltas.lines().all.is_empty());
    }

    #[test]
    fn nothing_is_kept_behind_a_gap_within_a_character_of_another_entry_or_beyond_the_bound() {
        let deltas = Arc::new(Deltas::default());
        let whole = "x".repeat(KEPT);
        for (first, then) in [
            (piece(2, 0, "one"), piece(2, 9, "three")),
            (piece(2, 0, "ü"), piece(2, 1, "x")),
            (piece(2, 0, "one"), piece(3, 3, "two")),
            (piece(2, 0, &whole), piece(2, KEPT as u64, "x")),
            (piece(2, 0, "one"), piece(2, u64::MAX, "x")),
        ] {
            let _watching = deltas.watch("a");
            deltas.tell("a", first);
            assert!(heard(&deltas, "a").is_some());
            deltas.tell("a", then.clone());
            assert_eq!(heard(&deltas, "a"), None, "{}", then.offset);
        }
    }

    #[test]
    fn of_answers_that_nobody_watches_the_oldest_gives_way() {
        let deltas = Arc::new(Deltas::default());
        let _watching = deltas.watch("watched");
        deltas.tell("watched", piece(1, 0, "x"));
        for session in 0..=UNWATCHED {
            deltas.tell(&session.to_string(), piece(1, 0, "x"));
        }
        assert_eq!(deltas.lines().all.len(), UNWATCHED + 1);
        assert_eq!(heard(&deltas, "0"), None);
        assert!(heard(&deltas, "1").is_some() && heard(&deltas, "watched").is_some());
    }
}
