//! The text of a rule: words, and fields of the object in braces.

use serde_json::Value;

use crate::object::Object;

/// The longest text of a rule, in bytes.
pub const LONGEST: usize = 1000;

/// The longest value of a field in a text, in characters; what is longer is cut.
pub const LONGEST_VALUE: usize = 200;

/// A text with fields in braces: `{name}`, `{namespace}`, `{kind}`, `{group}`, or a JSON pointer (RFC 6901) such as
/// `{/status/phase}`. `{{` and `}}` are braces. A field that is missing is shown as `(none)`, an object or a list as JSON;
/// a value over 200 characters is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Name,
    Namespace,
    Kind,
    Group,
    Pointer(String),
}

impl Template {
    /// Reads a text.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("is empty".to_owned());
        }
        if text.len() > LONGEST {
            return Err(format!("has {} bytes, more than {LONGEST}", text.len()));
        }
        let mut parts = Vec::new();
        let mut words = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(at);
            words.push_str(before);
            let position = text.len() - from.len();
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                words.push_str(from.get(..1).unwrap_or_default());
                rest = after;
            } else if let Some(inner) = from.strip_prefix('{') {
                let Some((field, after)) = inner.split_once('}') else {
                    return Err(format!("has a {{ at byte {position} that is not closed"));
                };
                if !words.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut words)));
                }
                parts.push(match field {
                    "name" => Part::Name,
                    "namespace" => Part::Namespace,
                    "kind" => Part::Kind,
                    "group" => Part::Group,
                    pointer if pointer.starts_with('/') => Part::Pointer(pointer.to_owned()),
                    other => {
                        return Err(format!(
                            "has {{{other}}} at byte {position}, which is neither name, namespace, kind, group nor a \
                             pointer that begins with /"
                        ));
                    }
                });
                rest = after;
            } else {
                return Err(format!("has a }} at byte {position} that closes nothing; write }}}}"));
            }
        }
        words.push_str(rest);
        if !words.is_empty() {
            parts.push(Part::Text(words));
        }
        Ok(Self(parts))
    }

    /// The text for `object`.
    #[must_use]
    pub fn render(&self, object: &Object) -> String {
        let kind = object.kind();
        self.0
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Name => object.name().to_owned(),
                Part::Namespace => object.namespace().unwrap_or("(none)").to_owned(),
                Part::Kind => kind.kind.to_string(),
                Part::Group => kind.group.to_string(),
                Part::Pointer(pointer) => {
                    object.value().pointer(pointer).map_or_else(|| "(none)".to_owned(), shown)
                }
            })
            .collect()
    }
}

/// A value as a text shows it.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => cut(text, LONGEST_VALUE),
        other => cut(&other.to_string(), LONGEST_VALUE),
    }
}

/// The first `most` characters of `text`, and a mark if there are more.
pub(super) fn cut(text: &str, most: usize) -> String {
    text.char_indices()
        .nth(most)
        .map_or_else(|| text.to_owned(), |(end, _)| format!("{}…", text.get(..end).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_filled_in_and_long_ones_are_cut() {
        let object = Object::new(json!({"apiVersion": "example.com/v1", "kind": "Thing",
            "metadata": {"name": "t", "namespace": "shop"},
            "status": {"phase": "Odd", "n": 3, "list": [1], "long": "ä".repeat(500)}}))
        .unwrap();
        let rendered = |text: &str| Template::parse(text).unwrap().render(&object);
        assert_eq!(
            rendered("{kind}.{group} {namespace}/{name}: {/status/phase} {/status/n} {/status/list} {/gone}"),
            "Thing.example.com shop/t: Odd 3 [1] (none)"
        );
        assert_eq!(rendered("{{{name}}} {{}}"), "{t} {}");
        assert_eq!(rendered("{/status/long}").chars().count(), LONGEST_VALUE + 1);
    }

    #[test]
    fn what_is_no_text_is_refused_with_the_place() {
        for (text, told) in [
            ("", "empty"),
            ("  ", "empty"),
            ("is {name", "byte 3"),
            ("is name}", "byte 7"),
            ("a {nmae}", "{nmae} at byte 2"),
            ("a {}", "{} at byte 2"),
            (&"x".repeat(LONGEST + 1), "more than 1000"),
        ] {
            let error = Template::parse(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
    }
}
