//! How a stream's body is divided into events: server-sent events, or AWS's binary frames.

use crate::{
    error::Error,
    sse::{Parser, Sse},
};

/// Bytes in, events out.
#[derive(Debug)]
pub(crate) enum Frames {
    /// `text/event-stream`
    Sse(Parser),
    /// `application/vnd.amazon.eventstream`
    #[cfg(feature = "bedrock")]
    Aws(Box<aws::Frames>),
}

impl Frames {
    /// What reads a body of this type; `None`: it is no stream.
    pub(crate) fn of(content_type: &str) -> Option<Self> {
        match content_type {
            "text/event-stream" => Some(Self::Sse(Parser::default())),
            #[cfg(feature = "bedrock")]
            "application/vnd.amazon.eventstream" => Some(Self::Aws(Box::default())),
            _ => None,
        }
    }

    /// The events that `bytes` complete.
    ///
    /// # Errors
    /// A frame is damaged.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Sse>, Error> {
        match self {
            Self::Sse(parser) => Ok(parser.push(bytes)),
            #[cfg(feature = "bedrock")]
            Self::Aws(frames) => frames.push(bytes),
        }
    }

    /// The event that the end of the body completes.
    pub(crate) fn finish(&mut self) -> Option<Sse> {
        match self {
            Self::Sse(parser) => parser.finish(),
            #[cfg(feature = "bedrock")]
            Self::Aws(_) => None,
        }
    }
}

#[cfg(feature = "bedrock")]
mod aws {
    use aws_smithy_eventstream::frame::{DecodedFrame, MessageFrameDecoder};
    use aws_smithy_types::event_stream::Message;
    use bytes::BytesMut;
    use serde_json::{Value, json};

    use crate::{error::Error, sse::Sse};

    /// Bytes that are no whole frame yet, and what was read of its beginning.
    #[derive(Debug, Default)]
    pub(crate) struct Frames {
        decoder: MessageFrameDecoder,
        rest: BytesMut,
    }

    impl Frames {
        pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<Sse>, Error> {
            self.rest.extend_from_slice(bytes);
            let mut events = Vec::new();
            loop {
                let frame = self.decoder.decode_frame(&mut self.rest);
                match frame.map_err(|error| Error::malformed(format!("a frame is damaged: {error}")))? {
                    DecodedFrame::Incomplete => return Ok(events),
                    DecodedFrame::Complete(message) => events.push(event(&message)),
                }
            }
        }
    }

    /// A frame as an event; an exception as the error that other providers send in their streams.
    fn event(message: &Message) -> Sse {
        let header = |name: &str| {
            let found = message.headers().iter().find(|header| header.name().as_str() == name)?;
            found.value().as_string().ok().map(|text| text.as_str().to_owned())
        };
        let data = String::from_utf8_lossy(message.payload()).into_owned();
        let failed = header(":exception-type").or_else(|| header(":error-code"));
        let Some(word) = failed else {
            return Sse { event: header(":event-type").unwrap_or_default(), data };
        };
        let payload: Value = serde_json::from_str(&data).unwrap_or(Value::Null);
        let words = payload.get("message").and_then(Value::as_str).map(str::to_owned);
        let words = words.or_else(|| header(":error-message")).unwrap_or(data);
        let error = json!({"error": {"type": word, "message": words}});
        Sse { event: "error".to_owned(), data: error.to_string() }
    }
}

#[cfg(test)]
#[cfg(feature = "bedrock")]
mod tests {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        dialect::Dialect,
        error::Kind,
        message::ToolCall,
        response::{Event, Finish, Usage},
    };

    fn frame(header: &'static str, kind: &'static str, payload: &Value) -> Vec<u8> {
        let message = Message::new(payload.to_string())
            .add_header(Header::new(header, HeaderValue::String(kind.into())))
            .add_header(Header::new(":content-type", HeaderValue::String("application/json".into())));
        let mut bytes = Vec::new();
        write_message_to(&message, &mut bytes).unwrap();
        bytes
    }

    fn read(bytes: &[u8], size: usize) -> Result<Vec<Event>, Error> {
        let mut frames = Frames::of("application/vnd.amazon.eventstream").unwrap();
        let mut decoder = Dialect::Converse.decoder();
        let mut events = Vec::new();
        for piece in bytes.chunks(size) {
            for event in frames.push(piece)? {
                events.extend(decoder.push(&event)?);
            }
        }
        if !matches!(events.last(), Some(Event::End(_))) {
            events.extend(decoder.finish()?);
        }
        Ok(events)
    }

    fn answer() -> Vec<u8> {
        [
            ("messageStart", json!({"role": "assistant"})),
            ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": "Héllo"}})),
            ("contentBlockStop", json!({"contentBlockIndex": 0})),
            (
                "contentBlockStart",
                json!({"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "a", "name": "get"}}}),
            ),
            (
                "contentBlockDelta",
                json!({"contentBlockIndex": 1, "delta": {"toolUse": {"input": "{\"n\":"}}}),
            ),
            ("contentBlockDelta", json!({"contentBlockIndex": 1, "delta": {"toolUse": {"input": "1}"}}})),
            ("contentBlockStop", json!({"contentBlockIndex": 1})),
            ("messageStop", json!({"stopReason": "tool_use"})),
            ("metadata", json!({"usage": {"inputTokens": 5, "outputTokens": 7, "cacheReadInputTokens": 4}})),
        ]
        .into_iter()
        .flat_map(|(kind, payload)| frame(":event-type", kind, &payload))
        .collect()
    }

    #[test]
    fn a_stream_of_bedrock_is_read_wherever_it_is_split() {
        let call = ToolCall {
            id: "a".to_owned(),
            name: "get".to_owned(),
            arguments: json!({"n": 1}),
            signature: None,
        };
        for size in [1, 5, 100, 100_000] {
            let expected = [
                Event::Text("Héllo".to_owned()),
                Event::Call(call.clone()),
                Event::Usage(Usage { input: 9, output: 7, cached: 4 }),
                Event::End(Finish::Calls),
            ];
            assert_eq!(read(&answer(), size).unwrap(), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_stream_of_bedrock_that_is_cut_or_damaged_is_no_answer() {
        let whole = answer();
        let error = read(&whole[..whole.len() / 2], 50).unwrap_err();
        assert_eq!(error.kind, Kind::Malformed, "{error}");
        let mut damaged = whole;
        damaged[120] ^= 1;
        assert_eq!(read(&damaged, 50).unwrap_err().kind, Kind::Malformed);
    }

    #[test]
    fn exceptions_in_a_stream_of_bedrock_are_told_apart() {
        for (word, kind) in [
            ("throttlingException", Kind::RateLimited { after: None }),
            ("validationException", Kind::BadRequest),
            ("internalServerException", Kind::Unavailable { after: None }),
            ("modelStreamErrorException", Kind::Unavailable { after: None }),
        ] {
            let bytes = frame(":exception-type", word, &json!({"message": "some words"}));
            let error = read(&bytes, 10).unwrap_err();
            assert_eq!(error.kind, kind, "{word}");
            assert!(error.to_string().contains("some words"), "{error}");
        }
    }
}
