//! Why a use case was refused. One enum for every way in; each maps it once to its own words.

use crate::tools::Wrong;

/// Decisions for the caller.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such thing, or none that this principal may know of.
    #[error("{what} not found: {name}")]
    NotFound {
        /// Kind of thing: `Envelope`, `tool`.
        what: &'static str,
        /// Which one was asked for.
        name: String,
    },
    /// The request is wrong as it stands; every fault of it.
    #[error("{}", sentences(.0))]
    Invalid(Vec<Wrong>),
    /// Who asks is known and may not.
    #[error("{who} may not do this: the role {needed:?} is missing")]
    Denied {
        /// The principal.
        who: String,
        /// The role that would do.
        needed: crate::auth::Role,
    },
    /// Who asks may not do it to this one.
    #[error("{0}")]
    Forbidden(String),
    /// It cannot be done in the state that the thing is in.
    #[error("{0}")]
    Conflict(String),
    /// Larger than may be.
    #[error("{what} has {size} bytes; at most {limit} are taken")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        size: usize,
        /// The bound in bytes.
        limit: usize,
    },
    /// Store or broker cannot do it now; the same request may succeed later. Nothing was done.
    #[error("not available now: {0}")]
    Unavailable(String),
}

impl Error {
    /// One argument that is wrong.
    pub fn invalid(field: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Invalid(vec![Wrong { field: field.into(), reason: reason.into(), missing: false }])
    }

    /// Stable name of the kind, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not_found",
            Self::Invalid(_) => "invalid",
            Self::Denied { .. } | Self::Forbidden(_) => "denied",
            Self::Conflict(_) => "conflict",
            Self::TooLarge { .. } => "too_large",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

fn sentences(wrong: &[Wrong]) -> String {
    wrong.iter().map(|wrong| wrong.reason.as_str()).collect::<Vec<_>>().join("; ")
}
