//! One JSON value, kept as the bytes it was written in.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

/// One valid JSON value, exactly as it stood in the message it came from.
///
/// Cloning is cheap: a slice of the received buffer is shared, never copied.
#[derive(Clone, PartialEq, Eq)]
pub struct Raw(Bytes);

impl Raw {
    /// Checks that `bytes` hold exactly one JSON value and keeps them, without the white space around the value.
    ///
    /// # Errors
    /// The parser's own message with line and column.
    pub fn parse(bytes: Bytes) -> Result<Self, serde_json::Error> {
        let value: &RawValue = serde_json::from_slice(&bytes)?;
        Ok(Self::slice_of(&bytes, value))
    }

    /// Encodes a value. Used for what the runtime itself writes (counters, reports), never for user data.
    ///
    /// # Panics
    /// If the value has keys that are not strings; the runtime's own values have none.
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::to_vec(value).expect("the runtime's own values encode as JSON").into())
    }

    /// The value `null`.
    pub fn null() -> Self {
        Self(Bytes::from_static(b"null"))
    }

    /// Shares the part of `whole` that `value` was borrowed from.
    pub(crate) fn slice_of(whole: &Bytes, value: &RawValue) -> Self {
        Self(whole.slice_ref(value.get().as_bytes()))
    }

    /// The value's bytes; always valid UTF-8.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The value's text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a Raw holds JSON, and JSON that was parsed is UTF-8")
    }

    /// The decoded string, if the value is one.
    pub fn to_text(&self) -> Option<String> {
        serde_json::from_slice(&self.0).ok()
    }

    /// The value as an unsigned integer, if it is one that fits.
    pub fn to_u64(&self) -> Option<u64> {
        serde_json::from_slice(&self.0).ok()
    }

    /// True for the literal `null`.
    pub fn is_null(&self) -> bool {
        self.0.as_ref() == b"null"
    }
}

impl fmt::Debug for Raw {
    /// Length only: payloads do not belong in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Raw({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_spelling() {
        for text in ["1.0", "1e400", "12345678901234567890123", "-0", "1E+2"] {
            assert_eq!(Raw::parse(Bytes::from(text)).unwrap().as_str(), text);
        }
    }

    #[test]
    fn white_space_around_the_value_is_dropped_and_inside_kept() {
        assert_eq!(Raw::parse(Bytes::from_static(b" {\"a\" : 1}\n")).unwrap().as_str(), "{\"a\" : 1}");
    }

    #[test]
    fn deep_nesting_is_carried_without_recursion() {
        let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(Raw::parse(Bytes::from(deep.clone())).unwrap().as_str(), deep);
    }

    #[test]
    fn two_values_are_refused() {
        assert!(Raw::parse(Bytes::from_static(b"1 2")).is_err());
    }
}
