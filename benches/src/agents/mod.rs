//! Many sessions with an agent at once: what the processes around its model take for themselves.
//!
//! | module | holds |
//! |---|---|
//! | [`script`] | the model and the tool, by a script: they know when they were asked and when they had answered |
//! | [`world`] | gateway, agent, tool and ends as processes |
//! | [`talk`] | one person: says something, and follows the session until the answer is there |
//! | [`bare`] | the same conversation as a loop in one process, without any of these |
//! | [`overhead`] | what is left of a turn without the model's and the tool's own time |
//!
//! A message takes two turns of the model: in the first it calls the tool, in the second it answers. Both the model and the
//! tool take a time that is drawn for them, the same in every run with the same seed.

pub mod bare;
pub mod overhead;
pub mod script;
pub mod talk;
pub mod world;

use serde_json::Value;

/// Which message of which session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// The session, from 0.
    pub session: usize,
    /// The message in it, from 0.
    pub message: usize,
}

impl Tag {
    /// What is said.
    pub fn words(self) -> String {
        format!("{} how does the shop do?", self.mark())
    }

    /// What the tool says of it.
    pub fn value(self) -> String {
        format!("value-{}-{}", self.session, self.message)
    }

    /// What every text of it begins with.
    pub fn mark(self) -> String {
        format!("[{}/{}]", self.session, self.message)
    }

    /// Whose text this is, if it begins with a mark.
    pub fn of(text: &str) -> Option<Self> {
        let (session, message) = text.strip_prefix('[')?.split_once(']')?.0.split_once('/')?;
        Some(Self { session: session.parse().ok()?, message: message.parse().ok()? })
    }

    /// The arguments of the tool.
    pub fn arguments(self) -> Value {
        serde_json::json!({"session": self.session, "message": self.message})
    }
}
