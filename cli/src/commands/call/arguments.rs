//! What was typed behind the name of a tool, as its arguments.

use std::io::Read as _;

use serde_json::{Map, Value};

use super::schema::{Kind, Parameter, Parameters, listed};

/// Largest input that is read: the largest envelope is smaller.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Reads the arguments.
///
/// # Errors
/// Everything that is wrong, each with its flag.
pub(crate) fn parse(
    parameters: &Parameters,
    whole: Option<&str>,
    typed: &[String],
) -> Result<Map<String, Value>, Vec<String>> {
    let mut reading = Reading { parameters, arguments: Map::new(), given: Vec::new(), wrong: Vec::new() };
    if let Some(text) = whole {
        reading.object("--json", text);
    }
    let mut words = typed.iter().peekable();
    while let Some(word) = words.next() {
        if let Some(flag) = word.strip_prefix("--").filter(|flag| !flag.is_empty()) {
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            let Some(parameter) = parameters.get(name) else {
                if !reading.negated(name, value.as_deref()) {
                    reading.wrong.push(unknown(parameters, word));
                    // What would have been its value is none of anything else.
                    words.next_if(|next| value.is_none() && !next.starts_with("--"));
                }
                continue;
            };
            let value = value.or_else(|| match parameter.kind {
                Kind::Boolean => words
                    .next_if(|next| matches!(next.as_str(), "true" | "false"))
                    .cloned()
                    .or_else(|| Some("true".to_owned())),
                _ => words.next_if(|next| !next.starts_with("--")).cloned(),
            });
            match value {
                Some(value) => reading.take(parameter, &value),
                None => reading.wrong.push(format!("{word} needs a value: {}", parameter.kind.word())),
            }
        } else if word.starts_with(['{', '@']) || word == "-" {
            reading.object("the argument", word);
        } else if let Some((name, value)) = word.split_once('=') {
            match parameters.get(name) {
                Some(parameter) => reading.take(parameter, value),
                None => reading.wrong.push(unknown(parameters, name)),
            }
        } else {
            reading.wrong.push(format!(
                "{word:?} is no argument: write --NAME VALUE, NAME=VALUE, a JSON object, @FILE with one, or -"
            ));
        }
    }
    let Reading { arguments, mut wrong, .. } = reading;
    for parameter in &parameters.0 {
        if parameter.required && !arguments.contains_key(&parameter.name) {
            wrong.push(format!("{} is required: {}", parameter.flag(), parameter.kind.word()));
        }
    }
    if wrong.is_empty() { Ok(arguments) } else { Err(wrong) }
}

struct Reading<'a> {
    parameters: &'a Parameters,
    arguments: Map<String, Value>,
    /// Names that were typed: twice is a mistake, unless it is an array.
    given: Vec<String>,
    wrong: Vec<String>,
}

impl Reading<'_> {
    /// All arguments at once; flags go before them.
    fn object(&mut self, what: &str, text: &str) {
        match json(text) {
            Ok(Value::Object(members)) => {
                for (name, value) in members {
                    if !self.given.contains(&name) {
                        self.arguments.insert(name, value);
                    }
                }
            }
            Ok(_) => self.wrong.push(format!("{what} must be a JSON object, as {{\"name\": value}}")),
            Err(error) => self.wrong.push(format!("{what}: {error}")),
        }
    }

    /// `--no-NAME` of a boolean.
    fn negated(&mut self, name: &str, value: Option<&str>) -> bool {
        let Some(name) = name.strip_prefix("no-").filter(|_| value.is_none()) else { return false };
        let parameter = self.parameters.get(name).filter(|parameter| parameter.kind == Kind::Boolean);
        parameter.is_some_and(|parameter| {
            self.take(parameter, "false");
            true
        })
    }

    fn take(&mut self, parameter: &Parameter, text: &str) {
        let again = self.given.contains(&parameter.name);
        if !again {
            self.given.push(parameter.name.clone());
            // What --json said of it.
            self.arguments.remove(&parameter.name);
        }
        if parameter.kind != Kind::Array {
            if again {
                self.wrong.push(format!("{} is given twice", parameter.flag()));
                return;
            }
            match value(parameter, parameter.kind, text) {
                Ok(value) => drop(self.arguments.insert(parameter.name.clone(), value)),
                Err(error) => self.wrong.push(error),
            }
            return;
        }
        let whole = if text.starts_with(['[', '@']) || text == "-" { json(text).ok() } else { None };
        let values = match whole {
            Some(Value::Array(values)) => Ok(values),
            _ => value(parameter, parameter.items, text).map(|value| vec![value]),
        };
        match values {
            Ok(values) => {
                let list =
                    self.arguments.entry(parameter.name.clone()).or_insert_with(|| Value::Array(Vec::new()));
                list.as_array_mut().expect("only lists are put in here").extend(values);
            }
            Err(error) => self.wrong.push(error),
        }
    }
}

fn value(parameter: &Parameter, kind: Kind, text: &str) -> Result<Value, String> {
    let wrong = |why: String| format!("{}: {why}", parameter.flag());
    let not = || wrong(format!("{text:?} is not {}", kind.word()));
    let parsed = match kind {
        Kind::Text => Value::from(text),
        Kind::Boolean => match text {
            "true" => true.into(),
            "false" => false.into(),
            _ => return Err(not()),
        },
        Kind::Number | Kind::Integer => {
            let number: serde_json::Number = text.parse().map_err(|_| not())?;
            if kind == Kind::Integer && number.is_f64() && number.as_f64().is_none_or(|n| n.fract() != 0.0) {
                return Err(not());
            }
            number.into()
        }
        Kind::Object => match json(text).map_err(wrong)? {
            value @ Value::Object(_) => value,
            _ => return Err(not()),
        },
        Kind::Array => match json(text).map_err(wrong)? {
            value @ Value::Array(_) => value,
            _ => return Err(not()),
        },
        Kind::Any => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
    };
    if kind == parameter.kind && !parameter.options.is_empty() && !parameter.options.contains(&parsed) {
        return Err(wrong(format!("{text:?} must be one of {}", listed(&parameter.options))));
    }
    Ok(parsed)
}

/// JSON, `@FILE` with it, or `-` for standard input.
fn json(text: &str) -> Result<Value, String> {
    let read = match text.strip_prefix('@') {
        _ if text == "-" => {
            bounded(std::io::stdin().lock()).map_err(|error| format!("standard input: {error}"))?
        }
        Some(file) => {
            let opened = std::fs::File::open(file).and_then(bounded);
            opened.map_err(|error| format!("{file}: {error}"))?
        }
        None => text.to_owned(),
    };
    serde_json::from_str(&read).map_err(|error| format!("no JSON: {error}"))
}

fn bounded(from: impl std::io::Read) -> std::io::Result<String> {
    let mut text = String::new();
    if from.take(LARGEST + 1).read_to_string(&mut text)? as u64 > LARGEST {
        return Err(std::io::Error::other(format!("more than {LARGEST} bytes")));
    }
    Ok(text)
}

fn unknown(parameters: &Parameters, typed: &str) -> String {
    if parameters.0.is_empty() {
        return format!("{typed} is unknown: the tool takes no arguments");
    }
    let flags: Vec<_> = parameters.0.iter().map(Parameter::flag).collect();
    format!("{typed} is unknown: the tool takes {}", flags.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parameters() -> Parameters {
        let schema = json!({
            "required": ["page"],
            "properties": {
                "page": {"type": "integer"}, "dpi": {"type": "number", "default": 300},
                "lang": {"type": "string", "enum": ["de", "en"]}, "max_words": {"type": "integer"},
                "fast": {"type": "boolean"}, "tags": {"type": "array", "items": {"type": "string"}},
                "sizes": {"type": "array", "items": {"type": "integer"}}, "box": {"type": "object"}, "free": {},
            },
        });
        Parameters::of(schema.as_object().unwrap())
    }

    fn read(typed: &[&str]) -> Result<Value, String> {
        let typed: Vec<_> = typed.iter().map(|&word| word.to_owned()).collect();
        parse(&parameters(), None, &typed).map(Value::Object).map_err(|wrong| wrong.join("; "))
    }

    #[test]
    fn flags_have_the_types_of_the_schema() {
        for (typed, expected) in [
            (&["--page", "3", "--dpi=1.5"][..], json!({"page": 3, "dpi": 1.5})),
            (&["page=-3", "--lang", "de"], json!({"page": -3, "lang": "de"})),
            (
                &["--page", "3", "--fast", "--max-words", "7"],
                json!({"page": 3, "fast": true, "max_words": 7}),
            ),
            (&["--fast", "false", "--page=1"], json!({"page": 1, "fast": false})),
            (&["--no-fast", "--page=1"], json!({"page": 1, "fast": false})),
            (&["--page", "1", "--tags", "a", "--tags", "1"], json!({"page": 1, "tags": ["a", "1"]})),
            (&["--page", "1", "--sizes", "[1,2]", "--sizes", "3"], json!({"page": 1, "sizes": [1, 2, 3]})),
            (&["--page", "1", "--tags=[x"], json!({"page": 1, "tags": ["[x"]})),
            (&["--page", "1", "--box", "{\"x\": 1}"], json!({"page": 1, "box": {"x": 1}})),
            (&["--page", "1", "--free", "[1]"], json!({"page": 1, "free": [1]})),
            (&["--page", "1", "--free=--x"], json!({"page": 1, "free": "--x"})),
            (&["{\"page\": 1, \"other\": 2}", "--page", "4"], json!({"page": 4, "other": 2})),
            (&["--page", "4", "{\"page\": 1}"], json!({"page": 4})),
        ] {
            assert_eq!(read(typed), Ok(expected), "{typed:?}");
        }
    }

    #[test]
    fn every_mistake_is_named_with_its_flag() {
        for (typed, part) in [
            (&[][..], "--page is required: a whole number"),
            (&["--page", "x"], "--page: \"x\" is not a whole number"),
            (&["--page", "1.5"], "--page: \"1.5\" is not a whole number"),
            (&["--page"], "--page needs a value"),
            (&["--page", "1", "--page", "2"], "--page is given twice"),
            (&["--page", "1", "--lang", "fr"], "--lang: \"fr\" must be one of de, en"),
            (&["--page", "1", "--fast=maybe"], "--fast: \"maybe\" is not true or false"),
            (&["--page", "1", "--sizes", "x"], "--sizes: \"x\" is not a whole number"),
            (&["--page", "1", "--box", "[1]"], "--box: \"[1]\" is not a JSON object"),
            (&["--page", "1", "--box", "{x"], "--box: no JSON"),
            (&["--page", "1", "--pgae", "2"], "--pgae is unknown: the tool takes --page, "),
            (&["--page", "1", "word"], "\"word\" is no argument"),
            (&["--page", "1", "@/no/file"], "/no/file"),
            (&["--page", "1", "--no-lang"], "--no-lang is unknown"),
        ] {
            let error = read(typed).unwrap_err();
            assert!(error.contains(part), "{typed:?}: {error}");
        }
        assert!(read(&["--lang", "fr", "--x", "1"]).unwrap_err().matches(';').count() >= 2, "all at once");
    }
}
