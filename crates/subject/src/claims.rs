//! What a token says.

use asya_envelope::{Envelope, lineage};
use serde::{Deserialize, Serialize};

/// Who asked, in which session, and for which envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Which gateway says so.
    pub iss: String,
    /// Whom the token is for: [`AUDIENCE`](crate::AUDIENCE).
    pub aud: String,
    /// The name of the principal who asked.
    pub sub: String,
    /// The groups that their identity provider names.
    #[serde(default)]
    pub groups: Vec<String>,
    /// The session in which they asked.
    pub session: String,
    /// The id of the envelope that was made for it.
    pub root: String,
    /// When the token was made, in seconds since 1970.
    pub iat: i64,
    /// Until when it is good, in the same.
    pub exp: i64,
}

impl Claims {
    /// True for the envelope that the token was made for, and for what was fanned out of it.
    ///
    /// An id does not tell whether `job-1` is a child of `job` or an envelope that somebody named so: its lineage
    /// must lead to the root, step by step.
    pub fn covers(&self, envelope: &Envelope) -> bool {
        lineage::descends(envelope, &self.root)
    }
}
