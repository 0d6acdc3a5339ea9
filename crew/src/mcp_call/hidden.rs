//! Credentials, which nobody is shown.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use asya_llm::mask::redact;
use serde_json::Value;

/// What stands for one.
const MASK: &str = "***";
/// Shorter texts are no secrets, and would be found everywhere.
const SHORTEST: usize = 6;
/// Most that are remembered: files of credentials are exchanged while the actor runs, and old ones are of no use.
const MOST: usize = 256;
/// What is looked at beyond what is shown: a secret that the end cuts in two would not be known.
const BEYOND: usize = 4 * 1024;

/// The credentials that were sent, and what a program was given.
#[derive(Clone, Debug, Default)]
pub(super) struct Hidden(Arc<Mutex<VecDeque<String>>>);

impl Hidden {
    /// Hides a text, each of its lines, and the word at its end: the token of `Bearer TOKEN`. Also as JSON writes them.
    pub(super) fn hide(&self, secret: &str) {
        let secret = secret.trim();
        let word = secret.rsplit(' ').next().unwrap_or_default();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The whole last: of more than are remembered it stays.
        for text in secret.lines().map(str::trim).chain([word, secret]) {
            let written = Value::from(text).to_string();
            for text in [&written[1..written.len() - 1], text] {
                if text.len() >= SHORTEST && !known.iter().any(|one| one == text) {
                    known.push_back(text.to_owned());
                }
            }
        }
        while known.len() > MOST {
            known.pop_front();
        }
    }

    /// A text without them, and without what looks like a secret.
    pub(super) fn clean(&self, text: &str) -> String {
        let mut known = Vec::from(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone());
        // One may be a part of another, of which the rest would stay.
        known.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let shown = known.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK));
        redact(&shown)
    }

    /// The clean beginning of a text, at most `most` bytes that cut no letter, and whether that is all of it.
    pub(super) fn beginning(&self, text: &str, most: usize) -> (String, bool) {
        let seen = cut(text, most.saturating_add(BEYOND));
        let mut clean = self.clean(seen);
        // What was cut in two at the end of what is looked at is not shown, however short the rest became.
        let sure = if seen.len() < text.len() { clean.len().saturating_sub(BEYOND) } else { clean.len() };
        let shown = cut(&clean, most.min(sure)).len();
        let all = seen.len() == text.len() && shown == clean.len();
        clean.truncate(shown);
        (clean, all)
    }
}

/// The longest beginning of at most `most` bytes that cuts no letter.
pub(super) fn cut(text: &str, most: usize) -> &str {
    &text[..text.floor_char_boundary(most)]
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
        // A key of several lines comes as it is, line by line, and as a part of JSON.
        let key = "-- begin --\nfirst \"line\"\nsecond-line\n";
        hidden.hide(key);
        for text in [
            key.to_owned(),
            Value::from(key).to_string(),
            "a second-line".into(),
            r#"{"a":"first \"line\""}"#.into(),
        ] {
            let shown = hidden.clean(&text);
            assert!(shown.contains("***") && !shown.contains("line") && !shown.contains("begin"), "{shown}");
        }
        for old in 0..MOST {
            hidden.hide(&format!("another-{old}"));
        }
        assert_eq!(hidden.0.lock().unwrap().len(), MOST);
    }

    #[test]
    fn a_secret_at_the_cut_is_hidden_wherever_the_cut_is() {
        let hidden = Hidden::default();
        hidden.hide("plain-words-only");
        for before in 0..300 {
            let text = "x".repeat(before) + "plain-words-only" + &"y".repeat(300);
            let (shown, all) = hidden.beginning(&text, 150);
            assert!(!shown.contains("pl") && !shown.contains("only") && !all, "{shown}");
        }
        // What is hidden makes the text shorter, so that the end of what is looked at could come into sight.
        let many = "plain-words-only".repeat(1000);
        let (shown, all) = hidden.beginning(&many[..many.len() - 3], 5000);
        assert!(!shown.contains('p') && !all, "{shown}");
        assert_eq!(hidden.beginning("plain-words-only", 100), ("***".to_owned(), true));
    }
}
