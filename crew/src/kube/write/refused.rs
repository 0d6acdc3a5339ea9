//! What is not done, in a sentence for the model and the person behind it.

/// Letters of a text from outside that a sentence repeats.
const SHOWN: usize = 80;

/// A change is not made, and asking again in the same way would not help. It is the result of the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) String);

/// Not done, for this reason.
pub(super) fn refuse<T>(why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(why.into()))
}

/// So much of a text as a sentence repeats.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}
