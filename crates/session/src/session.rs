//! One conversation, and how it is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::entry::Usage;

/// One conversation of a person with an agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Session {
    /// Its id: `s-` and a UUID.
    pub id: String,
    /// Name for people; the beginning of what was said first, unless somebody gave one.
    pub title: String,
    /// Who began it: the name of a principal.
    pub owner: String,
    /// The agent's name, which is that of its actor.
    pub agent: String,
    /// How it is.
    pub state: State,
    /// Number of the last entry; 0 before the first.
    pub head: u64,
    /// Hash of the last entry; empty before the first.
    pub hash: String,
    /// The envelope whose turns are running or waiting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<String>,
    /// Messages that wait for the turn that runs, oldest first; at most [`MOST_WAITING`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<String>,
    /// Other principals that may read it and speak in it; those of the role admin always may.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<String>,
    /// What all of its turns used.
    #[serde(default)]
    pub usage: Usage,
    /// When it began.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub created: Timestamp,
    /// When something last happened in it.
    #[cfg_attr(feature = "schema", schema(value_type = String, format = DateTime))]
    pub updated: Timestamp,
}

/// Messages that may wait in one session.
pub const MOST_WAITING: usize = 16;
/// Principals that a session may be shared with.
pub const MOST_SHARED: usize = 64;
/// Longest message of a person, in bytes.
pub const MESSAGE: usize = 64 * 1024;

/// How a session is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = SessionState))]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// It is the person's turn.
    Idle,
    /// An envelope of it is on its way or at an actor.
    Running,
    /// An operation waits for approval; nothing runs.
    InputRequired,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Running, Self::InputRequired];

    /// The word in JSON and in databases.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Running => "running",
            Self::InputRequired => "input-required",
        }
    }

    /// The state of a word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_one_word_everywhere() {
        for state in State::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
            assert_eq!(State::named(state.as_str()), Some(state));
        }
        assert_eq!(State::named("input_required"), None);
    }
}
