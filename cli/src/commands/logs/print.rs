//! Lines on their way to the terminal.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use serde_json::json;

use super::{line::Line, source::Source};
use crate::output::{self, Output};

/// Colours of prefixes: readable on dark and on light, none that means an error.
const COLOURS: [u8; 5] = [36, 33, 32, 35, 34];

/// Prints lines with where they come from.
pub(super) struct Printer {
    output: Output,
    colours: bool,
}

impl Printer {
    pub(super) fn new(output: Output) -> Self {
        Self { output, colours: output::colours() }
    }

    pub(super) fn line(&self, source: &Source, line: &Line) {
        let object = json!({
            "actor": source.actor, "pod": source.pod, "container": source.container,
            "time": line.time.map(|time| time.to_string()), "line": line.text,
        });
        self.output.line(&object, || format!("{} {}", self.prefix(source), line.text));
    }

    /// News that is no line of a log.
    pub(super) fn note(&self, text: &str) {
        match self.output {
            Output::Human => eprintln!("note: {text}"),
            Output::Json => eprintln!("{}", json!({"note": text})),
        }
    }

    fn prefix(&self, source: &Source) -> String {
        let prefix = source.prefix();
        if !self.colours {
            return prefix;
        }
        let mut hasher = DefaultHasher::new();
        source.pod.hash(&mut hasher);
        let count = COLOURS.len() as u64;
        let colour =
            COLOURS.get(usize::try_from(hasher.finish() % count).unwrap_or(0)).copied().unwrap_or(36);
        format!("\x1b[{colour}m{prefix}\x1b[0m")
    }
}
