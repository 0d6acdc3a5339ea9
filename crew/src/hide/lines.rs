//! YAML line by line: the value of a field that is called after a secret, on its line and on those that follow, and that of
//! a variable whose name stands beside it.

use std::{borrow::Cow, collections::BTreeSet};

use super::{
    DIGITS, HARMLESS, HIDDEN, NAMES, NOTHING, counts, is_hidden,
    known::{clean, tells_of_a_secret},
};

/// A text without what looks like a secret, flow style not read.
pub(super) fn hide(text: &str) -> String {
    let text = without_continued(text);
    let clean = clean(&text);
    // What is hidden over several lines leaves nothing to compare with.
    let same = clean.split('\n').count() == text.split('\n').count();
    let before = if same { text.as_ref() } else { clean.as_ref() };
    let lines = before.split('\n').zip(clean.split('\n')).map(|(before, after)| line(before, after));
    lines.collect::<Vec<_>>().join("\n")
}

/// A line of a text. `after`: as it is without what looks like a secret wherever it stands.
fn line<'a>(before: &'a str, after: &'a str) -> Cow<'a, str> {
    let Some((given, left)) = field(before).zip(field(after)) else { return after.into() };
    if is_count(before) {
        return before.into();
    }
    let bare = left.rest.trim_end_matches(',');
    let named = !is_harmless(&given) && tells_of_a_secret(given.name);
    // A lone `***` is no value of YAML.
    if before != after && bare == HIDDEN || named && !is_hidden(bare) {
        return hidden_field(after, &left).into();
    }
    after.into()
}

/// The line of a field without its value.
fn hidden_field(line: &str, field: &Field<'_>) -> String {
    let end = line.trim_end().len();
    let json = line[field.at..].starts_with('"');
    let (quote, comma) = if json { ('"', field.rest.ends_with(',')) } else { ('\'', false) };
    let comma = if comma { "," } else { "" };
    format!("{}{quote}{HIDDEN}{quote}{comma}{}", &line[..end - field.rest.len()], &line[end..])
}

/// Whether what stands behind a name, on its line, is no secret though the name may say so.
fn is_harmless(field: &Field<'_>) -> bool {
    let value = field.rest.split(" #").next().unwrap_or_default().trim_end().trim_end_matches(',');
    let bare = value.trim_matches(['"', '\'']);
    HARMLESS.iter().chain(&NOTHING).any(|word| bare.eq_ignore_ascii_case(word))
        || counts(field.name) && bare.starts_with(|first: char| first.is_ascii_digit())
        // As `kubectl describe` shows a variable.
        || bare.starts_with("<set to the key ")
}

/// `tokenExpirationSeconds: 86400`
fn is_count(line: &str) -> bool {
    field(line).is_some_and(|Field { name, rest, .. }| {
        counts(name)
            && rest.len() <= DIGITS
            && !rest.is_empty()
            && rest.bytes().all(|byte| byte.is_ascii_digit())
    })
}

/// A field of YAML on its line.
#[derive(Clone, Copy)]
struct Field<'a> {
    /// Where its name begins.
    at: usize,
    name: &'a str,
    rest: &'a str,
}

fn field(line: &str) -> Option<Field<'_>> {
    let begin = line.trim_start_matches([' ', '-']);
    let (name, rest) = begin.split_once(':')?;
    let is_value = rest.is_empty() || rest.starts_with([' ', '\t']);
    let name = name.trim_end().trim_matches(['"', '\'']);
    let is_name = !name.is_empty() && !name.starts_with(['{', '[']) && !name.contains([' ', '\t', '"', '\'']);
    (is_value && is_name).then(|| Field { at: line.len() - begin.len(), name, rest: rest.trim() })
}

/// Lines, by their numbers, with the value of a variable whose name, beside it, tells of a secret.
fn values_of_variables(text: &str) -> BTreeSet<usize> {
    let mut values = BTreeSet::new();
    // The objects that a line is in: where their fields stand, whether a name tells of a secret, and where the value is.
    let mut open: Vec<(usize, bool, Option<usize>)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let Some(Field { at, name, rest }) = field(line) else {
            if line.starts_with("---") {
                open.clear();
            }
            continue;
        };
        let is_item = line[..at].ends_with("- ");
        while open.last().is_some_and(|(known, ..)| *known > at || *known == at && is_item) {
            open.pop();
        }
        if open.last().is_none_or(|(known, ..)| *known < at) {
            open.push((at, false, None));
        }
        let Some((_, tells, value)) = open.last_mut() else { continue };
        let said = rest.split(" #").next().unwrap_or_default().trim_end().trim_matches(['"', '\'']);
        *tells |= NAMES.contains(&name) && tells_of_a_secret(said);
        if name == "value" {
            *value = Some(number);
        }
        if let Some(value) = value.filter(|_| *tells) {
            values.insert(value);
        }
    }
    values
}

/// Without the further lines of a value that is called after a secret: those of a block (`password: |`), and those that go
/// on deeper than its name stands; and without the values of variables that are called so.
fn without_continued(text: &str) -> Cow<'_, str> {
    let is_secret = |field: &Field<'_>| !HARMLESS[1..].contains(&field.rest) && tells_of_a_secret(field.name);
    let of_variables = values_of_variables(text);
    if of_variables.is_empty() && !text.lines().any(|line| field(line).is_some_and(|field| is_secret(&field)))
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    // The name whose value may go on: where it stands, and whether its value has begun on its line.
    let mut open: Option<(usize, bool)> = None;
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let words = line.trim();
        if words.is_empty() {
            out.push_str(line);
            continue;
        }
        let depth = line.len() - line.trim_start_matches(' ').len();
        let item = words.starts_with("- ");
        let here = field(line.trim_end());
        match open.filter(|(at, begun)| depth > *at || depth == *at && item && !begun) {
            Some((_, true)) => {}
            Some(_) if here.is_none() => {
                let end = &line[line.trim_end().len()..];
                let item = if item { "- " } else { "" };
                out.push_str(&format!("{}{item}'{HIDDEN}'{end}", &line[..depth]));
            }
            _ => {
                let variable = of_variables.contains(&number);
                let secret =
                    here.filter(|field| is_secret(field) || variable && !HARMLESS[1..].contains(&field.rest));
                open = secret.map(|field| (field.at, !field.rest.is_empty()));
                match secret.filter(|field| field.rest.starts_with(['|', '>'])) {
                    // The head of a block.
                    Some(Field { rest, .. }) => out.push_str(&line.replacen(rest, &format!("'{HIDDEN}'"), 1)),
                    None => match secret
                        .filter(|field| variable && !is_harmless(field) && !is_hidden(field.rest))
                    {
                        Some(field) => out.push_str(&hidden_field(line, &field)),
                        None => out.push_str(line),
                    },
                }
            }
        }
    }
    Cow::Owned(out)
}
