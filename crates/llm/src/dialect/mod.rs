//! What providers speak: requests into their JSON, their answers and streams into ours. Pure: nothing is sent here.
//!
//! | module | speaks |
//! |---|---|
//! | [`openai`] | chat completions: OpenAI, Azure, and all that is compatible |
//! | [`anthropic`] | Anthropic's messages |
//! | [`converse`] | Amazon Bedrock's Converse |
//! | [`gemini`] | Google's generateContent |
//! | [`rest`] | the plain JSON of K8sGPT's `customrest` |

pub(crate) mod anthropic;
pub(crate) mod converse;
pub(crate) mod gemini;
pub(crate) mod openai;
pub(crate) mod rest;

use serde_json::Value;

use crate::{
    error::{Error, Kind},
    request::Request,
    response::{Event, Response},
    sse::Sse,
};

/// What a request does not say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Defaults {
    pub(crate) model: String,
    pub(crate) max_tokens: u32,
    pub(crate) temperature: Option<f64>,
    pub(crate) top_p: Option<f64>,
    pub(crate) top_k: Option<u32>,
}

impl Defaults {
    /// The model that answers.
    pub(crate) fn model<'a>(&'a self, request: &'a Request) -> &'a str {
        request.model.as_deref().unwrap_or(&self.model)
    }
}

/// How a provider is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi(openai::OpenAi),
    Anthropic,
    Gemini,
    Converse,
    Rest,
}

/// How the key travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyHeader {
    /// `authorization: Bearer KEY`
    Bearer,
    /// The key alone, in this header.
    Named(&'static str),
}

impl Dialect {
    /// Where a request is sent to.
    pub(crate) fn address(&self, base: &str, model: &str, stream: bool) -> String {
        match self {
            Self::OpenAi(openai) => openai.address(base),
            Self::Anthropic => anthropic::address(base),
            Self::Gemini => gemini::address(base, model, stream),
            Self::Converse => converse::address(base, model, stream),
            Self::Rest => base.to_owned(),
        }
    }

    /// Where the key stands.
    pub(crate) fn key_header(&self) -> KeyHeader {
        match self {
            Self::OpenAi(openai) => openai.key_header(),
            Self::Anthropic => KeyHeader::Named("x-api-key"),
            Self::Gemini => KeyHeader::Named("x-goog-api-key"),
            Self::Converse | Self::Rest => KeyHeader::Bearer,
        }
    }

    /// Headers that belong to the format.
    pub(crate) fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Anthropic => &[("anthropic-version", anthropic::VERSION)],
            Self::OpenAi(_) | Self::Gemini | Self::Converse | Self::Rest => &[],
        }
    }

    /// Whether answers can come piece by piece.
    pub(crate) fn streams(&self) -> bool {
        match self {
            Self::OpenAi(_) | Self::Anthropic | Self::Gemini => true,
            Self::Converse => cfg!(feature = "bedrock"),
            Self::Rest => false,
        }
    }

    /// The request's body.
    pub(crate) fn body(&self, request: &Request, defaults: &Defaults, stream: bool) -> Value {
        match self {
            Self::OpenAi(openai) => openai.body(request, defaults, stream),
            Self::Anthropic => anthropic::body(request, defaults, stream),
            Self::Gemini => gemini::body(request, defaults),
            Self::Converse => converse::body(request, defaults),
            Self::Rest => rest::body(request, defaults),
        }
    }

    /// A whole answer.
    pub(crate) fn response(&self, body: &[u8]) -> Result<Response, Error> {
        let value: Value = serde_json::from_slice(body).map_err(|error| {
            Error::malformed(format!("no JSON: {error}: {}", String::from_utf8_lossy(body)))
        })?;
        // Some proxies answer 200 and say the error inside.
        if value.get("error").is_some_and(|error| !error.is_null()) {
            return Err(crate::classify::inside(&value));
        }
        match self {
            Self::OpenAi(_) => openai::response(&value),
            Self::Anthropic => anthropic::response(&value),
            Self::Gemini => gemini::response(&value),
            Self::Converse => converse::response(&value),
            Self::Rest => rest::response(&value),
        }
    }

    /// What reads a stream.
    pub(crate) fn decoder(&self) -> Decoder {
        match self {
            Self::Converse => Decoder::Converse(converse::Decoder::default()),
            Self::OpenAi(_) | Self::Rest => Decoder::OpenAi(openai::Decoder::default()),
            Self::Anthropic => Decoder::Anthropic(anthropic::Decoder::default()),
            Self::Gemini => Decoder::Gemini(gemini::Decoder::default()),
        }
    }
}

/// A stream's events in, our events out.
#[derive(Debug)]
pub(crate) enum Decoder {
    OpenAi(openai::Decoder),
    Anthropic(anthropic::Decoder),
    Gemini(gemini::Decoder),
    Converse(converse::Decoder),
}

impl Decoder {
    /// The events that this one completes. After [`Event::End`] nothing more is to be read.
    pub(crate) fn push(&mut self, sse: &Sse) -> Result<Vec<Event>, Error> {
        if sse.data == openai::DONE {
            return match self {
                Self::OpenAi(decoder) => decoder.finish(),
                Self::Anthropic(_) | Self::Gemini(_) | Self::Converse(_) => Ok(Vec::new()),
            };
        }
        let value: Value = serde_json::from_str(&sse.data)
            .map_err(|error| Error::malformed(format!("an event is no JSON: {error}: {}", sse.data)))?;
        if sse.event == "error" || value.get("error").is_some_and(|error| !error.is_null()) {
            return Err(crate::classify::inside(&value));
        }
        match self {
            Self::OpenAi(decoder) => decoder.push(&value),
            Self::Anthropic(decoder) => decoder.push(&value),
            Self::Gemini(decoder) => decoder.push(&value),
            Self::Converse(decoder) => decoder.push(&sse.event, &value),
        }
    }

    /// What is still missing when the body has ended.
    ///
    /// # Errors
    /// The answer was cut.
    pub(crate) fn finish(&mut self) -> Result<Vec<Event>, Error> {
        match self {
            Self::OpenAi(decoder) => decoder.finish(),
            Self::Anthropic(_) => Err(Error::cut()),
            Self::Gemini(decoder) => decoder.finish(),
            Self::Converse(decoder) => decoder.finish(),
        }
    }
}

/// `base` with `version` behind it where it has no path of its own, and `rest` behind that.
pub(crate) fn joined(base: &str, version: &str, rest: &str) -> String {
    let base = base.trim_end_matches('/');
    let host = base.split_once("://").map_or(base, |(_, host)| host);
    let version = if host.contains('/') { "" } else { version };
    format!("{base}{version}{rest}")
}

/// A number of tokens; missing ones are none.
pub(crate) fn count(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// A text; missing ones are empty.
pub(crate) fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Sets what is there.
pub(crate) fn set(body: &mut Value, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        body[key] = value.into();
    }
}

/// The model did not want to.
pub(crate) fn refused(why: &str) -> Error {
    Error::new(Kind::Refused, if why.is_empty() { "no reason is given" } else { why })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// JSON of the words that the formats know, put together wrongly.
    fn answers() -> impl Strategy<Value = Value> {
        let words = [
            "choices",
            "message",
            "delta",
            "content",
            "tool_calls",
            "function",
            "arguments",
            "index",
            "id",
            "name",
            "finish_reason",
            "usage",
            "prompt_tokens",
            "type",
            "content_block",
            "text",
            "input",
            "candidates",
            "parts",
            "functionCall",
            "args",
            "finishReason",
            "promptFeedback",
            "usageMetadata",
            "error",
            "details",
            "code",
            "response",
            "output",
            "stopReason",
            "toolUse",
        ];
        let types = [
            "message_start",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_delta",
            "message_stop",
            "tool_use",
            "stop",
            "STOP",
            "text",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            prop::sample::select(types.to_vec()).prop_map(Value::from),
            "\\PC{0,5}".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 48, 6, move |inner| {
            let object =
                prop::collection::btree_map(prop::sample::select(words.to_vec()), inner.clone(), 0..6);
            prop_oneof![
                prop::collection::vec(inner, 0..3).prop_map(Value::from),
                object.prop_map(|object| json!(object)),
            ]
        })
    }

    fn dialects() -> [Dialect; 5] {
        [
            Dialect::OpenAi(openai::OpenAi::default()),
            Dialect::Anthropic,
            Dialect::Gemini,
            Dialect::Converse,
            Dialect::Rest,
        ]
    }

    proptest! {
        #[test]
        fn no_answer_and_no_event_breaks_a_reader(answers in prop::collection::vec(answers(), 1..6), odd in "\\PC{0,20}") {
            for dialect in dialects() {
                let mut decoder = dialect.decoder();
                for answer in &answers {
                    let _ = dialect.response(answer.to_string().as_bytes());
                    let _ = decoder.push(&Sse { event: String::new(), data: answer.to_string() });
                }
                let _ = dialect.response(odd.as_bytes());
                let _ = decoder.push(&Sse { event: "error".to_owned(), data: odd.clone() });
                let _ = decoder.finish();
                let _ = crate::classify::refusal(
                    hyper::StatusCode::BAD_REQUEST,
                    &hyper::HeaderMap::new(),
                    answers[0].to_string().as_bytes(),
                );
            }
        }
    }

    #[test]
    fn an_address_without_a_path_gets_the_version() {
        for (base, address) in [
            ("http://ollama:11434", "http://ollama:11434/v1/chat"),
            ("http://ollama:11434/", "http://ollama:11434/v1/chat"),
            ("https://api.groq.com/openai/v1/", "https://api.groq.com/openai/v1/chat"),
            ("https://gateway/llm", "https://gateway/llm/chat"),
        ] {
            assert_eq!(joined(base, "/v1", "/chat"), address);
        }
    }

    #[test]
    fn an_error_with_status_200_is_an_error() {
        for dialect in [Dialect::Anthropic, Dialect::Gemini, Dialect::Rest] {
            let error =
                dialect.response(br#"{"error": {"message": "overloaded", "type": "overloaded_error"}}"#);
            assert_eq!(error.unwrap_err().kind, Kind::Unavailable { after: None }, "{dialect:?}");
        }
    }
}
