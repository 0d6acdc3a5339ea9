//! Answers about conversations and approvals. What they hold is described in `asya-session`.

use asya_session::{Operation, Session};
use serde::Deserialize;

/// An agent that can be talked to.
#[derive(Debug, Deserialize)]
pub(crate) struct Agent {
    /// Its name.
    pub(crate) name: String,
    /// What it is for.
    #[serde(default)]
    pub(crate) description: String,
}

/// All of them.
#[derive(Debug, Deserialize)]
pub(crate) struct Agents {
    pub(crate) agents: Vec<Agent>,
}

/// Some sessions.
#[derive(Debug, Deserialize)]
pub(crate) struct Sessions {
    pub(crate) sessions: Vec<Session>,
    #[serde(default)]
    pub(crate) next: Option<String>,
}

/// Some operations.
#[derive(Debug, Deserialize)]
pub(crate) struct Operations {
    pub(crate) operations: Vec<Operation>,
    #[serde(default)]
    pub(crate) next: Option<String>,
}
