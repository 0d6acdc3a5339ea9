//! What a model answers: at once, or piece by piece.

use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use serde::{Deserialize, Serialize};

use crate::{error::Error, message::ToolCall};

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The words; may be empty beside calls.
    pub text: String,
    /// The tools that the model calls, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<ToolCall>,
    /// Why it stopped.
    pub finish: Finish,
    /// What it took, as the provider reports it; `None`: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// The model was done.
    Stop,
    /// `max_tokens` or the model's window was reached; the text is cut.
    Length,
    /// It waits for the answers of tools.
    Calls,
}

/// Tokens as the provider counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Of the question, those from a cache included.
    pub input: u64,
    /// Of the answer, those that were only thought included.
    pub output: u64,
    /// Those of the question that came from the provider's cache.
    #[serde(default)]
    pub cached: u64,
}

impl Usage {
    /// Both directions.
    pub fn total(&self) -> u64 {
        self.input.saturating_add(self.output)
    }
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// More words.
    Text(String),
    /// A call, whole.
    Call(ToolCall),
    /// What it took; at most once, before the end.
    Usage(Usage),
    /// The last event. A stream without it was cut.
    End(Finish),
}

/// Pieces of an answer, in order. After an error nothing follows. Dropping it closes the connection.
pub type Events = Pin<Box<dyn Stream<Item = Result<Event, Error>> + Send>>;

/// All pieces as one answer.
///
/// # Errors
/// The stream's, and `Malformed` if it ends without [`Event::End`].
pub async fn collect(mut events: Events) -> Result<Response, Error> {
    let mut whole = Partial::default();
    while let Some(event) = events.next().await {
        whole.push(&event?);
    }
    whole.done().ok_or_else(Error::cut)
}

/// An answer as far as it has come.
#[derive(Clone, Debug, Default)]
pub struct Partial {
    text: String,
    calls: Vec<ToolCall>,
    usage: Option<Usage>,
    finish: Option<Finish>,
}

impl Partial {
    /// Adds a piece.
    pub fn push(&mut self, event: &Event) {
        match event {
            Event::Text(text) => self.text.push_str(text),
            Event::Call(call) => self.calls.push(call.clone()),
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::End(finish) => self.finish = Some(*finish),
        }
    }

    /// The words so far.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What was reported so far.
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// The whole answer; `None`: its end has not come.
    pub fn done(self) -> Option<Response> {
        let finish = self.finish?;
        Some(Response { text: self.text, calls: self.calls, finish, usage: self.usage })
    }
}

impl Response {
    /// The answer as the events that a stream of it has; the words in pieces of one word each.
    pub fn events(self) -> Vec<Event> {
        let mut events: Vec<_> =
            self.text.split_inclusive(' ').map(|word| Event::Text(word.to_owned())).collect();
        events.extend(self.calls.into_iter().map(Event::Call));
        events.extend(self.usage.map(Event::Usage));
        events.push(Event::End(self.finish));
        events
    }

    /// The answer as a stream.
    pub fn stream(self) -> Events {
        Box::pin(futures::stream::iter(self.events().into_iter().map(Ok)))
    }
}
