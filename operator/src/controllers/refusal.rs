//! Why an object of the API server could not be written.

use super::{live::Kind, watch::words, work::Key};

/// Why an object could not be written.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// It belongs to somebody else and was not touched.
    #[error("{0}")]
    Foreign(String),
    /// It has to go before it can come back.
    #[error("{0}")]
    Leaving(String),
    /// It is not there, and may not be made.
    #[error("{0}")]
    Missing(String),
    /// Another manager reverts what is applied.
    #[error("{0}")]
    Contested(String),
    /// The API server said no: its words, and its code (0 = not reached).
    #[error("{words}")]
    Server {
        /// The words.
        words: String,
        /// The HTTP status.
        code: u16,
    },
}

impl Refusal {
    /// What the server said of a write.
    pub fn of(kind: Kind, key: &Key, error: &kube::Error) -> Self {
        let code = match error {
            kube::Error::Api(status) => status.code,
            _ => 0,
        };
        Self::Server { words: format!("{kind} {}: {}", key.1, words(error)), code }
    }

    /// Whether the server forbids it to the operator: an administrator has to act.
    pub fn forbidden(&self) -> bool {
        matches!(self, Self::Server { code: 403, .. })
    }

    /// Its word in conditions.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Foreign(_) => "NameTaken",
            Self::Leaving(_) => "BeingDeleted",
            Self::Missing(_) => "AccountMissing",
            Self::Contested(_) => "Contested",
            Self::Server { code: 403, .. } => "Forbidden",
            Self::Server { .. } => "ReconcileError",
        }
    }
}
