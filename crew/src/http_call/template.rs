//! Texts with places that an envelope fills: `https://api.example.com/orders/{payload.order.id}`.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use asya_envelope::Envelope;
use serde_json::value::RawValue;

/// A text with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Place),
    /// `file:PATH`, read each time: secrets are exchanged while the actor runs.
    File(PathBuf),
}

/// Why a template could not be filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfilled {
    /// The envelope lacks a value.
    Lacking(String),
    /// A file cannot be read now.
    File(String),
}

/// Where a value is found in an envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `id`
    Id,
    /// `headers.NAME`
    Header(String),
    /// `payload`, or `payload.MEMBER.MEMBER`; a number counts into a list.
    Payload(Vec<String>),
}

impl Place {
    /// Reads the name of a place.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || Err(format!("{text:?} must be id, headers.NAME, payload or payload.MEMBER"));
        match text.split_once('.') {
            None if text == "id" => Ok(Self::Id),
            None if text == "payload" => Ok(Self::Payload(Vec::new())),
            Some(("headers", name)) if !name.is_empty() => Ok(Self::Header(name.to_owned())),
            Some(("payload", path)) if path.split('.').all(|step| !step.is_empty()) => {
                Ok(Self::Payload(path.split('.').map(str::to_owned).collect()))
            }
            _ => wrong(),
        }
    }

    /// The value as JSON.
    ///
    /// # Errors
    /// A sentence, if the envelope has none there.
    pub fn json<'a>(&self, envelope: &'a Envelope) -> Result<Cow<'a, str>, String> {
        match self {
            Self::Id => Ok(Cow::Owned(serde_json::Value::from(envelope.id.as_str()).to_string())),
            Self::Header(name) => {
                let value = envelope.headers.get(name);
                value.map(|raw| raw.as_str().into()).ok_or_else(|| format!("there is no header {name:?}"))
            }
            Self::Payload(path) => {
                let mut found = envelope.payload.as_str();
                for (step, name) in path.iter().enumerate() {
                    found = member(found, name)
                        .ok_or_else(|| format!("there is no payload.{}", path[..=step].join(".")))?;
                }
                Ok(found.into())
            }
        }
    }

    /// The value as text: a string as it is, a number or a truth value as it is written.
    ///
    /// # Errors
    /// A sentence, if there is none, or one of another kind.
    pub fn text(&self, envelope: &Envelope) -> Result<String, String> {
        let json = self.json(envelope)?;
        match json.trim_start().as_bytes().first() {
            Some(b'"') => serde_json::from_str(&json).map_err(|error| error.to_string()),
            Some(b'{' | b'[' | b'n') | None => {
                Err(format!("{} is no text, number or truth value", self.name()))
            }
            Some(_) => Ok(json.trim().to_owned()),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Id => "id".to_owned(),
            Self::Header(name) => format!("headers.{name}"),
            Self::Payload(path) if path.is_empty() => "payload".to_owned(),
            Self::Payload(path) => format!("payload.{}", path.join(".")),
        }
    }
}

/// The member of an object, or the entry of a list.
fn member<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    if json.trim_start().starts_with('[') {
        let at: usize = name.parse().ok()?;
        return serde_json::from_str::<Vec<&'a RawValue>>(json).ok()?.get(at).map(|value| value.get());
    }
    let members: BTreeMap<Cow<'a, str>, &'a RawValue> = serde_json::from_str(json).ok()?;
    members.get(name).map(|value| value.get())
}

impl Template {
    /// Reads a text; `{{` and `}}` stand for braces. Files are meant from `base`.
    ///
    /// # Errors
    /// A sentence.
    pub fn parse(text: &str, base: &Path) -> Result<Self, String> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            if rest[at + 1..].starts_with(brace) {
                plain.push_str(brace);
                rest = &rest[at + 2..];
                continue;
            }
            let Some(end) = rest[at..].find('}').filter(|_| brace == "{") else {
                return Err(format!(
                    "{text:?} has a brace without its other; write {{{{ and }}}} for braces"
                ));
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            let place = &rest[at + 1..at + end];
            pieces.push(match place.strip_prefix("file:") {
                Some(file) => Piece::File(base.join(file)),
                None => Piece::Place(Place::parse(place)?),
            });
            rest = &rest[at + end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// The text up to the first place.
    pub fn beginning(&self) -> &str {
        match self.0.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// True if part of it is the content of a file.
    pub fn has_files(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::File(_)))
    }

    /// True if part of it is a value of the envelope.
    pub fn has_places(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Place(_)))
    }

    /// The text with its places filled, each value of the envelope changed by `change`.
    ///
    /// # Errors
    /// [`Unfilled`].
    pub fn fill(&self, envelope: &Envelope, change: impl Fn(&str) -> String) -> Result<String, Unfilled> {
        self.filled(|place| place.text(envelope).map(|text| change(&text)))
    }

    /// The text where there is no envelope: one with a place for a value of it has none.
    ///
    /// # Errors
    /// [`Unfilled`].
    pub fn fixed(&self) -> Result<String, Unfilled> {
        self.filled(|place| Err(format!("there is no envelope with {}", place.name())))
    }

    fn filled(&self, value: impl Fn(&Place) -> Result<String, String>) -> Result<String, Unfilled> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Place(place) => filled.push_str(&value(place).map_err(Unfilled::Lacking)?),
                Piece::File(file) => {
                    let read = std::fs::read_to_string(file);
                    let content =
                        read.map_err(|error| Unfilled::File(format!("{}: {error}", file.display())))?;
                    filled.push_str(content.trim());
                }
            }
        }
        Ok(filled)
    }

    /// The text with the same for each place.
    pub fn sample(&self, value: &str) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(text) => text.clone(),
            Piece::Place(_) | Piece::File(_) => value.to_owned(),
        };
        self.0.iter().map(piece).collect()
    }
}

#[cfg(test)]
mod tests {
    use asya_envelope::{Raw, Route};
    use bytes::Bytes;

    use super::*;

    fn envelope() -> Envelope {
        let payload = br#"{"order":{"id":"a/b","n":1.00,"list":["x",{"y":true}]},"z":null}"#;
        let mut envelope =
            Envelope::new("job 7", Route::new(["a"]), Raw::parse(Bytes::from_static(payload)).unwrap());
        envelope.headers.set("tenant", Raw::of(&"blue"));
        envelope
    }

    fn fill(text: &str) -> Result<String, Unfilled> {
        Template::parse(text, Path::new("/")).unwrap().fill(&envelope(), str::to_owned)
    }

    #[test]
    fn places_are_filled_from_the_envelope_with_numbers_as_they_were_written() {
        let text =
            "{id}|{headers.tenant}|{payload.order.id}|{payload.order.n}|{payload.order.list.1.y}|{{x}}";
        assert_eq!(fill(text).unwrap(), "job 7|blue|a/b|1.00|true|{x}");
    }

    #[test]
    fn what_is_missing_or_no_text_is_named() {
        for (text, part) in [
            ("{payload.order.no.x}", "payload.order.no"),
            ("{payload.order}", "payload.order is no text"),
            ("{payload.z}", "payload.z is no text"),
            ("{payload.order.list.7}", "payload.order.list.7"),
            ("{headers.no}", "\"no\""),
        ] {
            let Err(Unfilled::Lacking(reason)) = fill(text) else { panic!("{text}") };
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in ["{", "}", "a{b", "{}", "{other}", "{payload.}", "{payload..a}", "{headers.}", "a}b{id}"]
        {
            assert!(Template::parse(text, Path::new("/")).is_err(), "{text}");
        }
    }

    #[test]
    fn without_an_envelope_there_is_nothing_for_its_places() {
        let fixed = |text: &str| Template::parse(text, Path::new("/")).unwrap().fixed();
        assert_eq!(fixed("a {{b}}").unwrap(), "a {b}");
        let Err(Unfilled::Lacking(reason)) = fixed("a {payload.order}") else { panic!("no envelope") };
        assert!(reason.contains("payload.order"), "{reason}");
    }

    #[test]
    fn a_file_is_read_each_time_and_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let template = Template::parse("Bearer {file:token}", folder.path()).unwrap();
        assert!(matches!(template.fill(&envelope(), str::to_owned), Err(Unfilled::File(_))));
        for token in ["old", "new"] {
            std::fs::write(folder.path().join("token"), format!("{token}\n")).unwrap();
            assert_eq!(template.fill(&envelope(), str::to_owned).unwrap(), format!("Bearer {token}"));
            assert_eq!(template.fixed().unwrap(), format!("Bearer {token}"));
        }
    }
}
