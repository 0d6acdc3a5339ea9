//! Takes what looks like a secret out of what a model is to read: value by value, so that the rest stays what it was.
//!
//! Written out, JSON is one long line to whoever looks for secrets: the value of `…Token:` would reach behind the end of its
//! line, which is no white space there, and a `true` would be hidden with what follows it. So each text is looked at by
//! itself, as what it says, and of what is called after a secret its own value is hidden and nothing else.
//!
//! | module | holds |
//! |---|---|
//! | `known` | what a text holds, and which names tell of secrets |
//!
//! What a text holds, and which names tell of secrets, is known to [`asya_llm::mask::redact`]. Added is what only structure
//! shows: a variable whose name stands beside its value, a flag whose value is the next argument, a value of several lines,
//! and a plain word (`password: welcome`), which in prose says something else.

mod known;

use std::borrow::Cow;

use serde_json::{Map, Value};

use self::known::{clean, tells_of_a_secret};

/// What stands for a secret.
const HIDDEN: &str = "***";
/// Values that are no secret whatever they are called.
const HARMLESS: [&str; 5] = ["", "null", "nil", "true", "false"];
/// The same behind a name on its line: what says that there is none, and where a value begins that goes on below.
const NOTHING: [&str; 7] = ["none", "<none>", "~", "{", "[", "{}", "[]"];
/// What says how one shows who one is, before the secret.
const SCHEMES: [&str; 5] = ["bearer", "basic", "token", "digest", "negotiate"];
/// Ends of names whose numbers count something.
const COUNTS: [&str; 14] = [
    "seconds",
    "minutes",
    "hours",
    "days",
    "millis",
    "count",
    "limit",
    "tokens",
    "ttl",
    "bytes",
    "size",
    "length",
    "generation",
    "version",
];
/// Digits of what is taken for a count.
const DIGITS: usize = 12;

/// Texts of JSON within texts of JSON that are read; deeper ones are looked at as text.
const NESTED: u8 = 3;

/// Hides what looks like a secret in a value and all that it holds, names of fields included.
#[cfg(feature = "kube-tools")]
pub(crate) fn hide(value: &mut Value) {
    inside(value, false, 0);
}

/// A text with `***` for what looks like a secret. JSON stays JSON, and what stands on a line of YAML a value.
pub(crate) fn text(text: &str) -> String {
    said(text, 0)
}

fn said(text: &str, within: u8) -> String {
    if within < NESTED
        && text.trim_start().starts_with(['{', '['])
        && let Ok(mut value) = serde_json::from_str::<Value>(text)
    {
        let before = value.clone();
        inside(&mut value, false, within + 1);
        // Of a name that stands there twice only the last value was looked at.
        let whole = value == before && members(text) == fields_of(&value);
        return if whole { text.to_owned() } else { value.to_string() };
    }
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

/// Whether nothing but `***` is left of a value.
fn is_hidden(rest: &str) -> bool {
    let value = match rest.split_once(' ') {
        Some((scheme, value)) if SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) => value,
        _ => rest,
    };
    // Closed: another quote would take in the next line.
    let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    quoted.unwrap_or(value) == HIDDEN
}

/// How many fields are written in a text that is JSON.
fn members(text: &str) -> usize {
    let (mut count, mut within, mut escaped) = (0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = within,
            b'"' => within = !within,
            b':' if !within => count += 1,
            _ => {}
        }
    }
    count
}

/// How many fields a value has, and all that it holds.
fn fields_of(value: &Value) -> usize {
    match value {
        Value::Array(items) => items.iter().map(fields_of).sum(),
        Value::Object(fields) => fields.len() + fields.values().map(fields_of).sum::<usize>(),
        _ => 0,
    }
}

/// `named`: it is called after a secret. `within`: so many texts.
fn inside(value: &mut Value, named: bool, within: u8) {
    match value {
        Value::String(text) if named => {
            if !HARMLESS.contains(&text.as_str()) {
                HIDDEN.clone_into(text);
            }
        }
        Value::String(text) => *text = said(text, within),
        Value::Number(_) if named => *value = Value::from(HIDDEN),
        Value::Array(items) => list(items, named, within),
        Value::Object(fields) => object(fields, within),
        Value::Number(_) | Value::Bool(_) | Value::Null => {}
    }
}

fn object(fields: &mut Map<String, Value>, within: u8) {
    let called = |name: &str| fields.get(name).and_then(Value::as_str).is_some_and(tells_of_a_secret);
    let variable = called("name") || called("key");
    for (name, mut field) in std::mem::take(fields) {
        let named = tells_of_a_secret(&name) && !(field.is_number() && counts(&name));
        inside(&mut field, named || variable && name == "value", within);
        fields.insert(clean(&name).into_owned(), field);
    }
}

fn list(items: &mut [Value], named: bool, within: u8) {
    // `--password` and its value are two items, and the lines of a key may be many.
    let (mut flag, mut key) = (false, false);
    for item in items {
        let text = item.as_str().unwrap_or_default();
        let (begins, ends) = (text.contains("PRIVATE KEY-----"), text.contains("-----END "));
        let value_of_flag = flag && !text.starts_with('-');
        flag = text.starts_with('-') && tells_of_a_secret(text.trim_start_matches('-'));
        let named = named || key || value_of_flag;
        key = (key || begins) && !ends;
        inside(item, named, within);
    }
}

/// Whether a number that is called so counts something.
fn counts(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    COUNTS.iter().any(|end| lower.ends_with(end))
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
    let is_name = !name.is_empty() && !name.contains([' ', '\t', '"', '\'']);
    (is_value && is_name).then(|| Field { at: line.len() - begin.len(), name, rest: rest.trim() })
}

/// Without the further lines of a value that is called after a secret: those of a block (`password: |`), and those that go
/// on deeper than its name stands.
fn without_continued(text: &str) -> Cow<'_, str> {
    let is_secret = |field: &Field<'_>| !HARMLESS[1..].contains(&field.rest) && tells_of_a_secret(field.name);
    if !text.lines().any(|line| field(line).is_some_and(|field| is_secret(&field))) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    // The name whose value may go on: where it stands, and whether its value has begun on its line.
    let mut open: Option<(usize, bool)> = None;
    for line in text.split_inclusive('\n') {
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
                let secret = here.filter(is_secret);
                open = secret.map(|field| (field.at, !field.rest.is_empty()));
                match secret.filter(|field| field.rest.starts_with(['|', '>'])) {
                    // The head of a block.
                    Some(Field { rest, .. }) => out.push_str(&line.replacen(rest, &format!("'{HIDDEN}'"), 1)),
                    None => out.push_str(line),
                }
            }
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
