//! What is left of a turn without the model's and the tool's own time.
//!
//! A turn of the model begins with what it is asked because of: a message (the first byte of its POST is about to be sent) or
//! the result of the tool (its last byte was handed to the system). It ends with what its answer leads to: the tool has read
//! its request, or the last entry of the session has arrived at who follows it. Of the time between, the model's is taken
//! away: from its request, read to the end, to the last byte of its answer. Everything else counts: gateway, database, queue,
//! the agent's and the tool's actor, all connections, and what this program itself is late by.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    Tag,
    script::{Notes, Step},
};

/// A message, from the person's side.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// Which.
    pub tag: Tag,
    /// When it was about to be sent.
    pub posted: Instant,
    /// When the answer to it had come.
    pub readable: Instant,
}

/// The four pieces of a message's way that are nobody's but the runtime's.
#[derive(Clone, Copy, Debug)]
pub struct Pieces {
    /// From the message to the model.
    pub begin: Duration,
    /// From the model's call to the tool.
    pub call: Duration,
    /// From the tool's result to the model.
    pub result: Duration,
    /// From the model's answer to the person.
    pub end: Duration,
}

impl Pieces {
    /// Of a message; none if something was not asked for, or more than once.
    pub fn of(said: &Said, notes: &Notes) -> Option<Self> {
        let noted = |step: Step| {
            let noted = notes.get(&(said.tag, step)).filter(|noted| noted.times == 1)?;
            Some((noted.asked, noted.answered?))
        };
        let ((first, called), (tool, returned), (second, answered)) =
            (noted(Step::First)?, noted(Step::Tool)?, noted(Step::Second)?);
        Some(Self {
            begin: first.saturating_duration_since(said.posted),
            call: tool.saturating_duration_since(called),
            result: second.saturating_duration_since(returned),
            end: said.readable.saturating_duration_since(answered),
        })
    }

    /// The overhead of its two turns.
    pub fn turns(&self) -> [Duration; 2] {
        [self.begin + self.call, self.result + self.end]
    }
}
