//! What a tool answers a model: bounded, and told where it ends too early.

use asya_cluster::look::logs::end_of;
use serde_json::{Value, json};

/// Most that a call answers, in bytes of JSON, beside a sentence of what is next: a page of a log, a few dozen objects.
/// With that sentence it is below the 32 KiB that an agent keeps of a result.
pub(crate) const ANSWER: usize = 31 * 1024;
/// Longest sentence of an error, in bytes.
const SENTENCE: usize = 4 * 1024;

/// A text of at most [`ANSWER`] bytes of JSON that is written line by line.
#[derive(Debug, Default)]
pub(crate) struct Text {
    text: String,
    /// How long it is as JSON.
    size: usize,
    full: bool,
}

impl Text {
    /// Writes a line, if it still fits; from the first that does not, none does.
    pub(crate) fn line(&mut self, line: &str) -> bool {
        let size = size(line) + END;
        self.full = self.full || self.size + size > ANSWER;
        if !self.full {
            self.text.push_str(line);
            self.text.push('\n');
            self.size += size;
        }
        !self.full
    }

    /// Writes the lines of a text.
    pub(crate) fn lines(&mut self, text: &str) {
        text.lines().all(|line| self.line(line));
    }

    /// Whether a text still fits.
    pub(crate) fn fits(&self, text: &str) -> bool {
        !self.full && self.size + size(text) + END <= ANSWER
    }

    /// What was written, where that is a part of an answer.
    #[cfg(feature = "helm")]
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    /// The answer; where it is not the whole, `next` says how to see more.
    pub(crate) fn answer(self, more: bool, next: &str) -> Value {
        let mut answer = json!({"text": self.text});
        if self.full || more {
            answer["truncated"] = true.into();
            answer["next"] = next.into();
        }
        answer
    }
}

/// The end of a line as JSON has it.
const END: usize = "\\n".len();

/// How long a text is within JSON.
fn size(text: &str) -> usize {
    // Without the quotes around it.
    serde_json::to_string(text).map_or(usize::MAX / 2, |text| text.len() - 2)
}

/// The last whole lines of a text that an answer holds; of a line that is longer than one its end.
pub(crate) fn last_lines(text: &str) -> &str {
    let mut left = ANSWER;
    let mut from = text.len();
    for line in text.split_inclusive('\n').rev() {
        let needs = size(line.strip_suffix('\n').unwrap_or(line)) + END;
        let Some(rest) = left.checked_sub(needs) else { break };
        (left, from) = (rest, from - line.len());
    }
    match &text[from..] {
        // Quotes take twice their length.
        "" => end_of(text, ANSWER / 2),
        lines => lines,
    }
}

/// That a call failed, and why.
pub(crate) fn error(sentence: &str) -> Value {
    json!({"error": start_of(sentence, SENTENCE)})
}

/// The first so many bytes of a text, or a few less: no letter is cut.
pub(crate) fn start_of(text: &str, most: usize) -> &str {
    &text[..(0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_ends_before_the_line_that_is_too_much_and_says_so() {
        let mut text = Text::default();
        assert!(text.line(&"a".repeat(ANSWER - 2)) && !text.fits(""));
        assert_eq!(text.answer(false, "less")["truncated"], Value::Null);
        let mut text = Text::default();
        text.lines(&format!("a\n{}\nb", "\"".repeat(ANSWER / 2)));
        let answer = text.answer(false, "ask for less");
        assert_eq!(answer, json!({"text": "a\n", "truncated": true, "next": "ask for less"}));
        assert_eq!(error(&"é".repeat(SENTENCE))["error"].as_str().map(str::len), Some(SENTENCE));
    }

    #[test]
    fn the_last_lines_fit_however_they_are_written() {
        assert_eq!(last_lines("a\nb\n"), "a\nb\n");
        for line in ["a line\n", "\"quoted\"\n", "\n", "ü\n"] {
            let log = line.repeat(ANSWER);
            let mut text = Text::default();
            text.lines(last_lines(&log));
            let size = text.answer(false, "").to_string().len();
            assert!(size <= ANSWER + 20 && size > ANSWER - 20, "{line:?}: {size}");
        }
        assert_eq!(last_lines(&"\"".repeat(ANSWER)).len(), ANSWER / 2);
        assert_eq!(last_lines(""), "");
    }
}
