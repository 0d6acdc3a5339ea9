//! Until when an envelope is worth handling.

use std::time::SystemTime;

use jiff::Timestamp;

use crate::Raw;

/// An RFC 3339 instant after which an envelope goes to `error-end` instead of a handler.
///
/// The text is kept as it came, so that it leaves unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deadline {
    raw: Raw,
    at: Timestamp,
}

impl Deadline {
    /// Reads a JSON string in RFC 3339 form.
    ///
    /// # Errors
    /// A sentence that names what is wrong with the value.
    pub fn parse(raw: Raw) -> Result<Self, String> {
        let text = raw.to_text().ok_or("must be a string")?;
        let at = text.parse().map_err(|e| format!("must be an RFC 3339 time: {e}"))?;
        Ok(Self { raw, at })
    }

    /// A deadline at a given instant.
    pub fn at(at: Timestamp) -> Self {
        Self { raw: Raw::of(&at.to_string()), at }
    }

    /// True once the deadline has passed at `now`.
    pub fn expired(&self, now: SystemTime) -> bool {
        Timestamp::try_from(now).is_ok_and(|now| now >= self.at)
    }

    /// The instant.
    pub fn instant(&self) -> Timestamp {
        self.at
    }

    /// The JSON string, as it came.
    pub fn as_raw(&self) -> &Raw {
        &self.raw
    }
}
