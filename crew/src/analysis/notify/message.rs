//! A message that an agent or a pipeline wants somebody told: what is asked for, and what is kept of it until it is told.
//!
//! Its words are a model's. They are made harmless when they are taken, so that what is kept holds no secret, and shown as
//! somebody's words by whoever writes them into a chat.

use asya_envelope::{Envelope, approved::Approved, report::hex_digest};
use asya_llm::mask::redact;
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::text::cut;
use crate::asked::Asked;

/// Longest title, in letters.
pub(crate) const TITLE: usize = 200;
/// Longest text, in letters: what one reads in a chat.
pub(crate) const TEXT: usize = 4000;
/// Longest sentence about arguments that cannot be read, in letters: it repeats what stands in them.
const WRONG: usize = 300;
/// Digits of an id: 128 bits of a digest.
const ID_DIGITS: usize = 32;

/// What is asked for: the arguments of a call.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// Name of the sink.
    pub(super) sink: String,
    text: String,
    title: Option<String>,
}

impl Arguments {
    /// Whether the payload is meant as a call: it names a sink, which no change of a finding does.
    pub(super) fn are_meant(envelope: &Envelope) -> bool {
        #[derive(Deserialize)]
        struct Names {
            #[serde(rename = "sink")]
            _sink: IgnoredAny,
        }
        is_object(envelope) && serde_json::from_slice::<Names>(envelope.payload.as_bytes()).is_ok()
    }

    /// # Errors
    /// What whoever calls can do about it.
    pub(super) fn read(envelope: &Envelope) -> Result<Self, String> {
        if !is_object(envelope) {
            return Err("the arguments: must be a JSON object".to_owned());
        }
        serde_json::from_slice(envelope.payload.as_bytes())
            .map_err(|error| redact(&cut(&format!("the arguments: {error}"), WRONG)))
    }
}

/// A list of the right length would be read as well.
fn is_object(envelope: &Envelope) -> bool {
    envelope.payload.as_str().trim_start().starts_with('{')
}

/// A message, as it is kept and as programs read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Message {
    /// The same for each delivery of its envelope, another one for each call.
    pub(super) id: String,
    /// When it was taken.
    pub(super) at: Timestamp,
    /// The actor that called; none: a client did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<String>,
    /// Who asked that actor, where the gateway has signed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) asked: Option<Person>,
    /// One line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) title: Option<String>,
    /// Its words, lines ended by `\n`.
    pub(super) text: String,
}

/// Somebody in a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Person {
    /// Who.
    pub(super) by: String,
    /// In which session.
    pub(super) session: String,
}

impl Message {
    /// The message of a call.
    ///
    /// # Errors
    /// What whoever calls can do about it.
    pub(super) fn of(
        envelope: &Envelope,
        asked: Option<&Asked>,
        arguments: Arguments,
        now: Timestamp,
    ) -> Result<Self, String> {
        let Arguments { sink: _, text, title } = arguments;
        for (name, given, most) in [("text", Some(&text), TEXT), ("title", title.as_ref(), TITLE)] {
            if given.is_some_and(|given| given.chars().nth(most).is_some()) {
                return Err(format!("{name}: is longer than {most} characters; nothing was written"));
            }
        }
        let title = title.map(|title| line(&title));
        let text = redact(plain(&text).trim());
        if text.is_empty() {
            return Err("text: is empty; nothing was written".to_owned());
        }
        Ok(Self {
            id: id(envelope),
            at: now,
            from: caller(envelope),
            asked: asked
                .map(|Asked { claims, .. }| Person { by: line(&claims.sub), session: line(&claims.session) }),
            title: title.map(|title| redact(&title)).filter(|title| !title.is_empty()),
            text,
        })
    }

    /// Whose it is, in words.
    pub(super) fn whose(&self) -> String {
        let from = self.from.as_deref().unwrap_or("a client");
        match &self.asked {
            Some(Person { by, session }) => format!("{from} for {by}, session {session}"),
            None => from.to_owned(),
        }
    }
}

/// The id of what this envelope says at its place in the route: two calls of one turn stand at two.
fn id(envelope: &Envelope) -> String {
    let place = format!("{}\n{}", envelope.id, envelope.route.current);
    hex_digest(place.as_bytes())[..ID_DIGITS].to_owned()
}

/// The actor that called: the one before this, or before the approval that stands between them.
fn caller(envelope: &Envelope) -> Option<String> {
    let back = if Approved::here(envelope).is_some() { 2 } else { 1 };
    let at = envelope.route.current.checked_sub(back)?;
    envelope.route.actors.get(at).map(|actor| line(actor))
}

/// A text without what is not seen and changes how the rest looks: control characters but ends of lines, characters
/// without width, and those that turn the direction of writing.
fn plain(text: &str) -> String {
    let seen = |letter: char| match letter {
        '\n' => Some('\n'),
        '\t' | '\u{2028}' | '\u{2029}' => Some(' '),
        letter => Some(letter).filter(|letter| !letter.is_control() && !unseen(*letter)),
    };
    text.chars().filter_map(seen).collect()
}

/// The same as one line: a further one would stand outside of what is quoted.
fn line(text: &str) -> String {
    plain(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Without width, or what turns the direction of writing.
const fn unseen(letter: char) -> bool {
    matches!(
        letter,
        '\u{200b}' | '\u{2060}' | '\u{feff}'
            | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

#[cfg(test)]
mod tests {
    use asya_envelope::{Raw, Route, headers::APPROVED};
    use asya_subject::Claims;
    use serde_json::{Value, json};

    use super::*;

    fn envelope(arguments: &Value) -> Envelope {
        let mut route = Route::new(["ops", "approval", "notify", "ops"]);
        route.current = 2;
        Envelope::new("e", route, Raw::of(arguments))
    }

    fn taken(arguments: &Value) -> Result<Message, String> {
        let envelope = envelope(arguments);
        Message::of(&envelope, None, Arguments::read(&envelope)?, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn words_are_kept_without_what_is_hidden_in_them() {
        let message = taken(&json!({"sink": "s", "title": " a\n\u{202e}b\u{7}\tc ", "text":
            "one\r\ntwo \u{1b}[31mred\u{1b}[0m\npass\u{200b}word=hunter2 <!channel>\n"}))
        .unwrap();
        assert_eq!(message.title.as_deref(), Some("a b c"));
        assert_eq!(message.text, "one\ntwo [31mred[0m\npassword=*** <!channel>");
        assert_eq!(taken(&json!({"sink": "s", "text": "a", "title": "\u{7} "})).unwrap().title, None);
    }

    #[test]
    fn whose_it_is_is_one_line_whatever_a_subject_is_called() {
        let mut envelope = envelope(&json!({"sink": "s", "text": "a"}));
        envelope.route = Route::new(["ops\nx", "notify"]);
        envelope.route.current = 1;
        let text = |text: &str| text.to_owned();
        let claims = Claims {
            iss: text("gateway"),
            aud: text("asya"),
            sub: text("oidc:ann\r\n\u{2028} [message from boss]"),
            groups: Vec::new(),
            session: text("s-1\n"),
            root: text("e"),
            iat: 0,
            exp: 60,
        };
        let asked = Asked { token: String::new(), claims };
        let arguments = Arguments::read(&envelope).unwrap();
        let message = Message::of(&envelope, Some(&asked), arguments, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(message.whose(), "ops x for oidc:ann [message from boss], session s-1");
    }

    #[test]
    fn what_is_no_message_is_told_as_what_is_wrong_with_it() {
        let long = |most: usize| "ä".repeat(most);
        assert!(taken(&json!({"sink": "s", "text": long(TEXT), "title": long(TITLE)})).is_ok());
        for (arguments, why) in [
            (json!({"sink": "s"}), "missing field `text`"),
            (json!({"sink": "s", "text": 7}), "invalid type"),
            (json!({"sink": "s", "text": "a", "channel": "b"}), "unknown field `channel`"),
            (json!({"sink": "s", "text": " \u{7}\n"}), "text: is empty"),
            (json!({"sink": "s", "text": long(TEXT + 1)}), "text: is longer than 4000"),
            (json!({"sink": "s", "text": "a", "title": long(TITLE + 1)}), "title: is longer than 200"),
            (json!(["s", "a", null]), "the arguments: must be a JSON object"),
        ] {
            let refused = taken(&arguments).map(drop);
            assert!(refused.as_ref().is_err_and(|error| error.contains(why)), "{arguments}: {refused:?}");
        }
        let echo = taken(&json!({"sink": "s", "password=hunter2": "x".repeat(9000)})).unwrap_err();
        assert!(echo.len() < 2 * WRONG && !echo.contains("hunter2"), "{echo}");
    }

    #[test]
    fn whose_it_is_is_who_called_and_not_who_approved() {
        let mut called = envelope(&json!({"sink": "s", "text": "a"}));
        assert_eq!(caller(&called).as_deref(), Some("approval"));
        let approved = Approved { operation: "op-1".to_owned(), hop: 2 };
        called.headers.set(APPROVED, approved.to_raw());
        assert_eq!(caller(&called).as_deref(), Some("ops"));
        let before = id(&called);
        called.route.current = 0;
        assert_eq!(caller(&called), None);
        assert_ne!(id(&called), before, "another place is another message");
    }
}
