//! A session as far as a turn needs it: its entries from the last summary, or from what was said last, to its end.

use asya_envelope::{Budget, Envelope, Spent};
use asya_session::{Body, Call, Entry, Place, Session, Usage};

/// Entries of a session, without gaps, up to its last one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Talk {
    /// The session.
    pub(super) session: Session,
    /// The entries, oldest first.
    pub(super) entries: Vec<Entry>,
}

/// Where a delivery stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Here {
    /// The envelope's id.
    pub(super) envelope: String,
    /// `route.current`.
    pub(super) hop: u64,
    /// What of the envelope's budget was left when it came here; what is `None` has no limit.
    pub(super) turns_left: Option<u64>,
    /// The same of tokens.
    pub(super) tokens_left: Option<u64>,
}

impl Here {
    /// Where this envelope stands.
    pub(super) fn of(envelope: &Envelope) -> Self {
        // What cannot be read its sidecar has refused.
        let budget = Budget::of(&envelope.headers).ok().flatten().unwrap_or_default();
        let spent = Spent::of(&envelope.headers).unwrap_or_default();
        Self {
            envelope: envelope.id.clone(),
            hop: envelope.route.current as u64,
            turns_left: budget.turns.map(|turns| turns.saturating_sub(spent.turns)),
            tokens_left: budget.tokens.map(|tokens| tokens.saturating_sub(spent.tokens)),
        }
    }
}

/// A call that a model made, and its answer as far as there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// The entry that it is in.
    pub(super) entry: &'a Entry,
    /// The call.
    pub(super) call: &'a Call,
    /// The entry that answers it.
    pub(super) answer: Option<&'a Entry>,
}

impl Talk {
    /// Whether `entries`, the last ones of a session, are all that a turn needs of it.
    pub(super) fn is_enough(entries: &[Entry]) -> bool {
        let Some(first) = entries.first() else { return false };
        let upto = entries.iter().rev().find_map(|entry| match &entry.body {
            Body::Summary { upto, .. } => Some(*upto),
            _ => None,
        });
        let said = entries.iter().rev().find(|entry| matches!(entry.body, Body::User { .. }));
        first.n == 1 || said.zip(upto).is_some_and(|(said, upto)| first.n <= said.n.min(upto + 1))
    }

    /// Whether the envelope's turn is running.
    pub(super) fn runs(&self, envelope: &str) -> bool {
        self.session.envelope.as_deref() == Some(envelope)
    }

    /// What was appended here, oldest first.
    pub(super) fn at<'a>(&'a self, here: &'a Here) -> impl Iterator<Item = &'a Entry> {
        self.entries.iter().filter(|entry| {
            entry.place.as_ref().is_some_and(|place| place.envelope == here.envelope && place.hop == here.hop)
        })
    }

    /// The place of the next entry here.
    pub(super) fn place(&self, here: &Here) -> Place {
        let step = self.at(here).filter_map(|entry| entry.place.as_ref()).map(|place| place.step + 1).max();
        Place { envelope: here.envelope.clone(), hop: here.hop, step: step.unwrap_or(0) }
    }

    /// Whether the envelope has been here and gone on.
    pub(super) fn has_gone_on(&self, here: &Here) -> bool {
        let places = self.entries.iter().filter_map(|entry| entry.place.as_ref());
        places.into_iter().any(|place| place.envelope == here.envelope && place.hop > here.hop)
    }

    /// What was said last, and its number.
    pub(super) fn said(&self) -> Option<(u64, &Body)> {
        let said = self.entries.iter().rev().find(|entry| matches!(entry.body, Body::User { .. }));
        said.map(|entry| (entry.n, &entry.body))
    }

    /// Entries since that.
    pub(super) fn since(&self) -> impl Iterator<Item = &Entry> {
        let said = self.said().map_or(0, |(n, _)| n);
        self.entries.iter().filter(move |entry| entry.n > said)
    }

    /// All calls, in order. An answer stands behind its call and before the model says the next thing.
    pub(super) fn calls(&self) -> Vec<Asked<'_>> {
        let mut all = Vec::new();
        for (index, entry) in self.entries.iter().enumerate() {
            let Body::Assistant { calls, .. } = &entry.body else { continue };
            let rest = &self.entries[index + 1..];
            let end = rest.iter().position(|entry| matches!(entry.body, Body::Assistant { .. }));
            let answers = &rest[..end.unwrap_or(rest.len())];
            all.extend(calls.iter().map(|call| {
                let answer = answers.iter().find(|entry| answers_to(entry, call));
                Asked { entry, call, answer }
            }));
        }
        all
    }

    /// What was used here.
    pub(super) fn spent(&self, here: &Here) -> Spent {
        let one = |entry: &Entry| Spent {
            turns: u64::from(matches!(entry.body, Body::Assistant { .. })),
            tokens: entry.body.usage().tokens(),
        };
        self.at(here).map(one).fold(Spent::default(), Spent::and)
    }

    /// What the turn has used since something was said, and how often the model was asked for the next thing.
    pub(super) fn used(&self) -> (Usage, u64) {
        let turns = self.since().filter(|entry| matches!(entry.body, Body::Assistant { .. })).count() as u64;
        (self.since().fold(Usage::default(), |sum, entry| sum.and(entry.body.usage())), turns)
    }

    /// Adds an entry that was appended.
    pub(super) fn push(&mut self, entry: Entry) {
        self.session.head = entry.n;
        self.session.hash.clone_from(&entry.hash);
        self.entries.push(entry);
    }
}

fn answers_to(entry: &Entry, call: &Call) -> bool {
    matches!(&entry.body, Body::Tool { call: id, .. } if *id == call.id)
}
