//! YAML in flow style within a text (`{password: welcome, user: x}`), on one line or over several, and JSON that is cut.
//!
//! It is read in one pass and by name, as JSON is, and each of its texts by itself; the rest stays as it is written. Where
//! it cannot be read surely, nothing is left of its line behind a name that tells of a secret. A collection that the end of
//! the text cuts off counts as read.
//!
//! What is read is taken out of the text, so that what looks for secrets in the lines around it finds a mark there: a value
//! of which a collection is a part, or which follows a name, is hidden with it.

mod reader;

use std::borrow::Cow;

use serde_json::Value;

use self::reader::{Flow, read};
use super::{DIGITS, HARMLESS, HIDDEN, NAMES, NOTHING, counts, is_hidden, known::tells_of_a_secret, said};

/// What is seen of a value where a collection cannot be read, in bytes: enough to know one that is harmless.
const SEEN: usize = 256;

/// What stands for a collection: its number, between these. They are no characters of any text.
const MARKS: [char; 2] = ['\u{fdd0}', '\u{fdd1}'];

/// A text with marks for its collections, and these, without what looks like a secret.
pub(super) fn taken_out(text: &str, within: u8) -> (Cow<'_, str>, Vec<String>) {
    let is_marked = text.contains(MARKS);
    let (mut out, mut flows, mut from, mut at) = (String::new(), Vec::new(), 0, 0);
    while let Some(start) = next(text, at) {
        let read = || written(text, start, within).or_else(|| read(text, start, within));
        if let Some(Flow { start, end, clean }) = (!is_marked).then(read).flatten() {
            if let Some(clean) = clean {
                out.push_str(&text[from..start]);
                out.push_str(&format!("{}{}{}", MARKS[0], flows.len(), MARKS[1]));
                flows.push(clean);
                from = end;
            }
            at = end;
        } else {
            let end = start + text[start..].find('\n').unwrap_or(text.len() - start);
            if let Some(hidden) = unsure(&text[start..end]) {
                out.push_str(&text[from..start + hidden]);
                out.push_str(&format!("'{HIDDEN}'"));
                from = start + text[start..end].trim_end().len();
            }
            at = end;
        }
    }
    if from == 0 {
        return (text.into(), flows);
    }
    out.push_str(&text[from..]);
    (out.into(), flows)
}

/// A text with its collections where their marks are.
pub(super) fn put_back(text: &str, flows: &[String]) -> String {
    if flows.is_empty() {
        return text.to_owned();
    }
    let mut pieces = text.split(MARKS[0]);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (number, rest) = piece.split_once(MARKS[1]).unwrap_or_default();
        out.push_str(
            number.parse::<usize>().ok().and_then(|number| flows.get(number)).map_or("", String::as_str),
        );
        out.push_str(rest);
    }
    out
}

/// JSON in a text that is written as JSON writes it, `"{\"a\": 1}"`: that text, if something is hidden in it.
fn written(text: &str, start: usize, within: u8) -> Option<Flow> {
    if !text[..start].ends_with('"') || !text[start + 1..].trim_start().starts_with('\\') {
        return None;
    }
    let start = start - 1;
    let mut texts = serde_json::Deserializer::from_str(&text[start..]).into_iter::<String>();
    let inner = texts.next()?.ok()?;
    let clean = Some(said(&inner, within)).filter(|clean| *clean != inner);
    Some(Flow {
        start,
        end: start + texts.byte_offset(),
        clean: clean.map(|clean| Value::from(clean).to_string()),
    })
}

/// Where the next collection may begin: a `{`, or a `[` where a value begins. In a log that would be an escape, too.
fn next(text: &str, from: usize) -> Option<usize> {
    text[from..].match_indices(['{', '[']).map(|(at, bracket)| (from + at, bracket)).find_map(
        |(at, bracket)| {
            let before = text[..at].trim_end_matches([' ', '\t']);
            let is_value = before.is_empty()
                || before.ends_with('\n')
                || before.len() < at && before.ends_with([':', '-']);
            (bracket == "{" || is_value).then_some(at)
        },
    )
}

/// Where in a line hiding begins whose collections cannot be read: at the first value that may be a secret.
fn unsure(line: &str) -> Option<usize> {
    let (mut begin, mut variable, mut of_variable) = (0, false, None);
    for (at, byte) in line.bytes().enumerate() {
        if matches!(byte, b'{' | b'[' | b',') {
            begin = at + 1;
        }
        if byte != b':' {
            continue;
        }
        let name = line[begin..at].trim_start_matches([' ', '-']).trim_end();
        begin = at + 1;
        let name = match name.chars().next_back() {
            Some(quote @ ('"' | '\'')) => {
                // In a text that is written in quotes those in it are behind backslashes.
                let name = name[..name.len() - 1].trim_end_matches('\\');
                name.rsplit(quote).next().unwrap_or_default()
            }
            _ if name.contains([' ', '\t', '"', '\'']) => continue,
            _ => name,
        };
        let (named, names) = (tells_of_a_secret(name), NAMES.contains(&name));
        if !named && !names && name != "value" {
            continue;
        }
        let rest = line[at + 1..].trim_start();
        let from = line.len() - rest.len();
        let seen = &rest[..rest.floor_char_boundary(SEEN)];
        let value = seen.split([',', '}', ']']).next().unwrap_or_default().trim();
        let bare = value.trim_matches(['"', '\'', '\\']);
        if named && !is_hidden(bare) && !is_harmless(name, bare, value != bare) {
            return Some(of_variable.filter(|_| variable).unwrap_or(from));
        }
        variable |= names && tells_of_a_secret(bare);
        if name == "value" {
            of_variable = of_variable.or(Some(from));
        }
        if let Some(from) = of_variable.filter(|from| variable && !is_hidden(line[*from..].trim())) {
            return Some(from);
        }
    }
    None
}

fn is_harmless(name: &str, value: &str, quoted: bool) -> bool {
    let is_count =
        || counts(name) && value.len() <= DIGITS && value.bytes().all(|byte| byte.is_ascii_digit());
    HARMLESS.iter().chain(&NOTHING).any(|word| value.eq_ignore_ascii_case(word)) || !quoted && is_count()
}

#[cfg(test)]
mod tests;
