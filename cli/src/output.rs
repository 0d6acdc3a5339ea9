//! What is printed, for people or for programs.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, IsTerminal, Write},
};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use serde::Serialize;

/// The form of what a command prints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Human,
    /// One JSON object per line.
    Json,
}

/// What `--output` takes: the two forms that every command has, and those that only a report has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
    /// Static Analysis Results Interchange Format, for tools that collect findings.
    Sarif,
    /// A page for a browser.
    Html,
}

impl Format {
    /// `human` and `json`, which every command has.
    pub(crate) fn common() -> impl TypedValueParser<Value = Self> {
        Self::of([
            PossibleValue::new("human").alias("text").help("For people"),
            PossibleValue::new("json").help("One JSON object per line"),
        ])
    }

    /// The forms of a report.
    pub(crate) fn report() -> impl TypedValueParser<Value = Self> {
        Self::of([
            PossibleValue::new("text").alias("human").help("For people"),
            PossibleValue::new("json").help("One JSON object"),
            PossibleValue::new("sarif").help("SARIF 2.1.0, for tools that collect findings"),
            PossibleValue::new("html").help("A page for a browser, in one file"),
        ])
    }

    fn of<const N: usize>(values: [PossibleValue; N]) -> impl TypedValueParser<Value = Self> {
        PossibleValuesParser::new(values).map(|value| match value.as_str() {
            "json" => Self::Json,
            "sarif" => Self::Sarif,
            "html" => Self::Html,
            _ => Self::Text,
        })
    }
}

impl From<Format> for Output {
    /// How errors and notes beside a report are told.
    fn from(format: Format) -> Self {
        if format == Format::Json { Self::Json } else { Self::Human }
    }
}

impl Output {
    /// Prints a line: the object as JSON, or the text for people. A closed pipe ends the program quietly.
    pub(crate) fn line(self, object: &impl Serialize, human: impl FnOnce() -> String) {
        let text = match self {
            Self::Human => human(),
            Self::Json => serde_json::to_string(object).expect("printed objects are valid JSON"),
        };
        print(&text);
    }
}

/// Prints a line to standard output; a closed pipe ends the program quietly, as for `head`.
pub(crate) fn print(text: &str) {
    if let Err(error) = writeln!(io::stdout(), "{text}")
        && error.kind() == io::ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}

/// Says something beside the result, on standard error.
pub(crate) fn note(output: Output, words: &str) {
    match output {
        Output::Human => eprintln!("note: {words}"),
        Output::Json => eprintln!("{}", serde_json::json!({"note": words})),
    }
}

/// Objects as documents of one YAML text.
///
/// # Errors
/// Never for JSON values.
pub(crate) fn yaml(objects: &[serde_json::Value]) -> anyhow::Result<String> {
    let documents: Result<Vec<_>, _> = objects.iter().map(serde_saphyr::to_string).collect();
    Ok(documents?.join("---\n"))
}

/// A text that somebody else wrote, for a terminal: characters that steer it are told instead of sent. Line breaks and
/// tabs stay.
pub(crate) fn safe(text: &str) -> Cow<'_, str> {
    let steers = |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || turns(c);
    if !text.contains(steers) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) { safe.extend(c.escape_unicode()) } else { safe.push(c) }
    }
    safe.into()
}

/// Characters that turn the direction of writing, so that a line reads as another than it is.
fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// JSON that somebody else wrote, on one line and without characters that steer a terminal; it stays the same JSON.
pub(crate) fn json_line(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            // Between values; within texts JSON has them escaped.
            '\n' | '\r' | '\t' => line.push(' '),
            // Within texts, the only place where they may stand.
            c if c.is_control() || turns(c) => {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => line.push(c),
        }
    }
    line
}

/// Whether colours may be used on standard output.
pub(crate) fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A table with aligned columns; numbers are right-aligned.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..head.len()).map(width).collect();
    let numeric: Vec<_> = (0..head.len())
        .map(|column| {
            !rows.is_empty() && rows.iter().all(|row| row[column].bytes().all(|b| b.is_ascii_digit()))
        })
        .collect();
    let line = |cells: Vec<&str>| {
        let cells: Vec<_> = cells
            .iter()
            .zip(&widths)
            .zip(&numeric)
            .map(
                |((cell, width), numeric)| {
                    if *numeric { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                },
            )
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(head.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// At most `limit` characters of a text, on one line.
pub(crate) fn short(text: &str, limit: usize) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= limit {
        return line;
    }
    let cut: String = line.chars().take(limit.saturating_sub(1)).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_aligned_to_the_right() {
        let rows = vec![vec!["a".to_owned(), "5".to_owned()], vec!["long".to_owned(), "10".to_owned()]];
        assert_eq!(table(&["QUEUE", "N"], &rows), "QUEUE   N\na       5\nlong   10");
    }

    #[test]
    fn what_steers_a_terminal_is_told_instead() {
        assert_eq!(safe("a\u{1b}[31mb\tc\nd\u{9b}e\u{202e}"), "a\\u{1b}[31mb\tc\nd\\u{9b}e\\u{202e}");
        let line = json_line("{\n  \"a\": \"\u{9b}31m\u{202e}x\"\r\n}");
        assert_eq!(line, "{   \"a\": \"\\u009b31m\\u202ex\"  }");
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["a"], "\u{9b}31m\u{202e}x");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(short("äöü\n  xyz", 5), "äöü …");
        assert_eq!(short("abc", 3), "abc");
    }
}
