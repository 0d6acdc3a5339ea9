//! The body of a webhook as its owner writes it: a text with places.

/// Places that a template may have.
const PLACES: [&str; 13] = [
    "change",
    "cluster",
    "kind",
    "namespace",
    "name",
    "severity",
    "codes",
    "text",
    "explanation",
    "fingerprint",
    "firstSeen",
    "lastSeen",
    "json",
];

/// A text with places. What is put into a place is never looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    pieces: Vec<Piece>,
    /// Whether values are written as the inside of a JSON string.
    json: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(&'static str),
}

impl Template {
    /// Reads a template: a place is a word of the table in braces; every other brace is a brace, as JSON has them. Where
    /// the content is JSON, values are escaped for the inside of a string, except `{json}`, which is a value; a template
    /// that gives no JSON is refused.
    pub(super) fn parse(text: &str, content_type: &str) -> Result<Self, String> {
        let json = content_type.split(';').next().is_some_and(|kind| kind.trim_end().ends_with("json"));
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find('{') {
            plain.push_str(&rest[..at]);
            let behind = &rest[at + 1..];
            let word = behind
                .split_once('}')
                .map(|(word, _)| word)
                .filter(|word| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric()));
            let Some(word) = word else {
                plain.push('{');
                rest = behind;
                continue;
            };
            let place = PLACES
                .into_iter()
                .find(|place| *place == word)
                .ok_or_else(|| format!("{{{word}}} is not known; there are {{{}}}", PLACES.join("}, {")))?;
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
            pieces.push(Piece::Place(place));
            rest = &behind[word.len() + 1..];
        }
        plain.push_str(rest);
        pieces.push(Piece::Text(plain));
        let template = Self { pieces, json };
        if json {
            let sample = template
                .fill(|place| if place == "json" { "{\"a\":1}".to_owned() } else { "\"\\\n".to_owned() });
            serde_json::from_str::<serde_json::Value>(&sample).map_err(|error| {
                format!("it gives no JSON: {error}; places stand inside of strings, {{json}} alone")
            })?;
        }
        Ok(template)
    }

    /// The text with its places filled.
    pub(super) fn fill(&self, value: impl Fn(&str) -> String) -> String {
        let mut out = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Place(place) if self.json && *place != "json" => {
                    let quoted = serde_json::Value::from(value(place)).to_string();
                    out.push_str(&quoted[1..quoted.len() - 1]);
                }
                Piece::Place(place) => out.push_str(&value(place)),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(text: &str, content_type: &str) -> Result<String, String> {
        let value =
            |place: &str| if place == "json" { "[1]".to_owned() } else { format!("{place}\"{{name}}") };
        Template::parse(text, content_type).map(|template| template.fill(value))
    }

    #[test]
    fn values_cannot_leave_their_string_and_open_no_places() {
        assert_eq!(
            fill(r#"{"a": {"b": "x {text}"}, "all": {json}}"#, "application/json").expect("a template"),
            r#"{"a": {"b": "x text\"{name}"}, "all": [1]}"#
        );
        assert_eq!(
            fill("{name}, {text} {x", "text/plain").expect("a template"),
            "name\"{name}, text\"{name} {x"
        );
    }

    #[test]
    fn what_gives_no_json_or_names_no_place_is_refused() {
        for (text, why) in [
            (r#"{"a": {text}}"#, "it gives no JSON"),
            (r#"{"a": "{json}"}"#, "it gives no JSON"),
            (r#"{"a": "{nmae}"}"#, "{nmae} is not known"),
        ] {
            let read = fill(text, "application/json");
            assert!(read.as_ref().is_err_and(|error| error.contains(why)), "{text}: {read:?}");
        }
    }
}
