//! How far an envelope is, in one word.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The states of an envelope, in the words of the contract. They go forward only:
/// - pending: stored, not sent yet;
/// - running: sent, on its way;
/// - succeeded, failed: it has ended, and nothing changes it any more;
/// - unknown: of a database of the Go system, where it stands for an envelope whose state was lost; treated as running.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Stored, not sent yet.
    Pending,
    /// On its way.
    Running,
    /// It reached `happy-end`, or a handler let it go.
    Succeeded,
    /// It reached `error-end`, was cancelled, or its deadline has passed.
    Failed,
    /// Not known; only in databases that were taken over.
    Unknown,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Running, Self::Succeeded, Self::Failed, Self::Unknown];

    /// True for the states that never change.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }

    /// The word in the database and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that is no status.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not one of pending, running, succeeded, failed, unknown")]
pub struct UnknownStatus(String);

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or_else(|| UnknownStatus(word.to_owned()))
    }
}
