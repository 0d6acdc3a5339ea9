//! What is not done, in a sentence for the model and the person behind it.

use crate::actor::ActError;

/// Letters of a text from outside that a sentence repeats.
const SHOWN: usize = 80;

/// A change is not made, and asking again in the same way would not help. It is the result of the call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

/// Not done, for this reason.
pub(crate) fn refuse<T>(why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(why.into()))
}

/// So much of a text as a sentence repeats.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

/// Why a step was not done.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The answer is no, and stays so: it is the result of the call.
    Refused(Refused),
    /// The object is another one than was said, or is gone: nothing was changed.
    Moved(Refused),
    /// Somebody is away: again, later.
    Later(ActError),
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<ActError> for Stop {
    fn from(error: ActError) -> Self {
        Self::Later(error)
    }
}
