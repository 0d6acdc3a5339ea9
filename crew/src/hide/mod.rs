//! Takes what looks like a secret out of what a model is to read: value by value, so that the rest stays what it was.
//!
//! Written out, JSON is one long line to whoever looks for secrets: the value of `…Token:` would reach behind the end of its
//! line, which is no white space there, and a `true` would be hidden with what follows it. So each text is looked at by
//! itself, as what it says, and of what is called after a secret its own value is hidden and nothing else.
//!
//! | module | holds |
//! |---|---|
//! | `known` | what a text holds, and which names tell of secrets: one look at its letters before the patterns |
//! | `lines` | YAML line by line |
//! | `flow` | YAML in flow style within a text, and JSON that is cut |
//!
//! What a text holds, and which names tell of secrets, is known to [`asya_llm::mask::redact`]. Added is what only structure
//! shows: a variable whose name stands beside its value, a flag whose value is the next argument, a value of several lines,
//! and a plain word (`password: welcome`), which in prose says something else. What cannot be read surely is rather hidden.

mod flow;
mod known;
mod lines;

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
/// Fields that name the variable whose value stands beside them.
const NAMES: [&str; 2] = ["name", "key"];
/// Digits of what is taken for a count.
const DIGITS: usize = 12;

/// Texts of JSON within texts of JSON that are read; deeper ones are looked at as text.
const NESTED: u8 = 3;

/// Hides what looks like a secret in a value and all that it holds, names of fields included.
#[cfg(any(test, feature = "kube-tools"))]
pub(crate) fn hide(value: &mut Value) {
    inside(value, false, 0);
}

/// The words of a command with `***` for what looks like a secret, which may follow a flag.
#[cfg(feature = "mcp-call")]
pub(crate) fn words(words: &[String]) -> Vec<String> {
    let mut list: Vec<Value> = words.iter().map(|word| Value::from(word.as_str())).collect();
    self::list(&mut list, false, 0);
    list.iter().map(|word| word.as_str().unwrap_or_default().to_owned()).collect()
}

/// A text with `***` for what looks like a secret. JSON stays JSON, and what stands on a line of YAML a value.
#[cfg(any(test, feature = "agents"))]
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
    if within >= NESTED || !text.contains(['{', '[']) {
        return lines::hide(text);
    }
    // A key may reach over what seems to be the end of a value.
    let known = if text.contains("PRIVATE KEY") { clean(text) } else { text.into() };
    let (rest, flows) = flow::taken_out(&known, within + 1);
    flow::put_back(&lines::hide(&rest), &flows)
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
    let called = |name: &&str| fields.get(*name).and_then(Value::as_str).is_some_and(tells_of_a_secret);
    let variable = NAMES.iter().any(called);
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

#[cfg(test)]
mod tests;
