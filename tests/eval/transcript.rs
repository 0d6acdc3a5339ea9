//! What was said and done in one conversation.

use std::{fmt, time::Duration};

use asya_session::{Body, Call, Entry, Operation, Usage};
use serde_json::Value;

/// A conversation that has ended, or was ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Transcript {
    /// Everything that was said and done, in order.
    pub(crate) entries: Vec<Entry>,
    /// Everything that was proposed.
    pub(crate) operations: Vec<Operation>,
    /// Of the cluster, afterwards: what, what is there, and what should be.
    pub(crate) state: Vec<(String, Value, Value)>,
    /// Why it was ended before there was an answer.
    pub(crate) cut: Option<String>,
    /// From the question to the end.
    pub(crate) took: Duration,
}

/// One answer of the model.
pub(crate) struct Turn<'a> {
    /// Words.
    pub(crate) text: &'a str,
    /// Calls.
    pub(crate) calls: &'a [Call],
    /// Who answered.
    pub(crate) model: &'a str,
    /// What it used.
    pub(crate) usage: Usage,
    /// How many results of tools it had been shown.
    pub(crate) shown: usize,
}

impl Transcript {
    /// The answers of the model.
    pub(crate) fn turns(&self) -> Vec<Turn<'_>> {
        let (mut turns, mut shown) = (Vec::new(), 0);
        for entry in &self.entries {
            match &entry.body {
                Body::Assistant { text, calls, model, usage } => {
                    turns.push(Turn { text, calls, model, usage: *usage, shown });
                }
                Body::Tool { .. } => shown += 1,
                Body::User { .. } | Body::Summary { .. } | Body::Notice { .. } => {}
            }
        }
        turns
    }

    /// Results of tools in order: the call's id, the text, and whether it failed.
    pub(crate) fn results(&self) -> Vec<(&str, &str, bool)> {
        self.entries
            .iter()
            .filter_map(|entry| match &entry.body {
                Body::Tool { call, text, failed, .. } => Some((call.as_str(), text.as_str(), *failed)),
                _ => None,
            })
            .collect()
    }

    /// The calls, in order.
    pub(crate) fn calls(&self) -> Vec<&Call> {
        self.turns().into_iter().flat_map(|turn| turn.calls).collect()
    }

    /// The last words, if the conversation ends in an answer.
    pub(crate) fn answer(&self) -> Option<&str> {
        match &self.entries.last()?.body {
            Body::Assistant { text, calls, .. } if calls.is_empty() => Some(text),
            _ => None,
        }
    }

    /// What the model used.
    pub(crate) fn usage(&self) -> Usage {
        self.entries.iter().fold(Usage::default(), |sum, entry| sum.and(entry.body.usage()))
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.entries {
            match &entry.body {
                Body::User { text, .. } => writeln!(f, "> {text}")?,
                Body::Assistant { text, calls, .. } => {
                    calls.iter().try_for_each(|call| writeln!(f, "-> {} {}", call.name, call.arguments))?;
                    writeln!(f, "{text}")?;
                }
                Body::Tool { text, failed, .. } => {
                    writeln!(f, "<-{} {text}", if *failed { " failed:" } else { "" })?;
                }
                Body::Summary { text, .. } => writeln!(f, "(so far: {text})")?,
                Body::Notice { code, text } => writeln!(f, "({code}: {text})")?,
            }
        }
        Ok(())
    }
}
