//! What is told at once: changes of findings together, a message of somebody alone.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::outbox::{Entry, Note};

/// Something that waits for its sink.
pub(super) enum Waiting {
    Change(Box<Entry>),
    Message(Box<Note>),
}

/// What is told at once.
pub(super) enum Told {
    /// At least one.
    Changes(Vec<Entry>),
    Message(Box<Note>),
}

/// The front of an outbox.
pub(super) struct Batch {
    pub(super) told: Told,
    /// Whether nothing can join it any more; else nothing waits behind it.
    pub(super) full: bool,
}

impl Batch {
    /// What is told first of what waits, of which `most` were looked at; none: nothing waits.
    pub(super) fn of(waiting: Vec<Waiting>, most: usize) -> Option<Self> {
        let many = waiting.len();
        let mut changes = Vec::new();
        for one in waiting {
            match one {
                Waiting::Change(entry) => changes.push(*entry),
                Waiting::Message(note) if changes.is_empty() => {
                    let full = many > 1 || many >= most;
                    return Some(Self { told: Told::Message(note), full });
                }
                Waiting::Message(_) => break,
            }
        }
        let full = many >= most || changes.len() < many;
        (!changes.is_empty()).then_some(Self { told: Told::Changes(changes), full })
    }

    /// How much longer others may join it, as at `now`: a message goes alone and waits for nobody.
    pub(super) fn open(&self, window: Duration, now: Timestamp) -> Option<Duration> {
        let Told::Changes(entries) = &self.told else { return None };
        let age = Duration::try_from(now.duration_since(entries.first()?.at)).unwrap_or_default();
        (!self.full && age < window).then(|| window.saturating_sub(age))
    }
}

impl Told {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Changes(entries) => entries.len(),
            Self::Message(_) => 1,
        }
    }

    /// Its keys in the outbox.
    pub(super) fn keys(&self) -> Vec<String> {
        match self {
            Self::Changes(entries) => entries.iter().map(|entry| entry.key.clone()).collect(),
            Self::Message(note) => vec![note.key.clone()],
        }
    }

    /// What of it waits for longer than so long at `now`; none: nothing does.
    pub(super) fn older_than(self, most: Duration, now: Timestamp) -> Option<Self> {
        let most = SignedDuration::try_from(most).unwrap_or(SignedDuration::MAX);
        let old = |at: Timestamp| now.duration_since(at) > most;
        match self {
            Self::Changes(mut entries) => {
                entries.retain(|entry| old(entry.at));
                (!entries.is_empty()).then_some(Self::Changes(entries))
            }
            Self::Message(note) => old(note.message.at).then_some(Self::Message(note)),
        }
    }
}
