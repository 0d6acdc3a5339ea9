//! Credentials, which nobody is shown.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use asya_llm::mask::redact;

/// What stands for one.
const MASK: &str = "***";
/// Shorter texts are no secrets, and would be found everywhere.
const SHORTEST: usize = 6;
/// Most that are remembered: files of credentials are exchanged while the actor runs, and old ones are of no use.
const MOST: usize = 64;

/// The credentials that were sent, and what a program was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Hidden(Arc<Mutex<VecDeque<String>>>);

impl Hidden {
    /// Hides a text, and the word at its end: the token of `Bearer TOKEN`.
    pub(super) fn hide(&self, secret: &str) {
        let secret = secret.trim();
        let word = secret.rsplit(' ').next().unwrap_or_default();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for text in [secret, word] {
            if text.len() >= SHORTEST && !known.iter().any(|one| one == text) {
                known.push_back(text.to_owned());
            }
        }
        while known.len() > MOST {
            known.pop_front();
        }
    }

    /// A text without them, and without what looks like a secret.
    pub(super) fn clean(&self, text: &str) -> String {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let shown = known.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK));
        redact(&shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_hidden_is_never_shown_however_it_comes() {
        let hidden = Hidden::default();
        hidden.hide("Bearer plain-words-only\n");
        hidden.hide("x");
        assert_eq!(hidden.clean("x: token plain-words-only is no good"), "x: token *** is no good");
        assert_eq!(hidden.clean("AKIAIOSFODNN7EXAMPLE").find("AKIA"), None);
        for old in 0..MOST {
            hidden.hide(&format!("another-{old}"));
        }
        assert_eq!(hidden.0.lock().unwrap().len(), MOST);
    }
}
