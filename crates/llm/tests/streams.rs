//! Streams of the providers that send text, over real connections: whole, split, cut and failing. They are those of the
//! providers' documentation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod server;

use asya_llm::{Event, Finish, Kind, Model, Usage, collect};
use futures::StreamExt as _;
use server::{
    Answer, Server,
    conversation::{backends, call, conversation, of},
};

/// In the order of [`backends`].
const STREAMS: [&str; 3] = [OPENAI_STREAM, ANTHROPIC_STREAM, GEMINI_STREAM];

const OPENAI_STREAM: &str = r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}

data: {"choices":[{"index":0,"delta":{"content":"Héllo"},"finish_reason":null}]}

: keep-alive

data: {"choices":[{"index":0,"delta":{"content":" 🌍"},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_abc","type":"function","function":{"name":"get_pod","arguments":""}}]},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"name\":"}}]},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"web é\"}"}}]},"finish_reason":null}]}

data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":12,"total_tokens":21,"prompt_tokens_details":{"cached_tokens":4}}}

data: [DONE]

"#;

const ANTHROPIC_STREAM: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude","stop_reason":null,"usage":{"input_tokens":5,"cache_read_input_tokens":4,"cache_creation_input_tokens":0,"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Héllo"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" 🌍"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"call_abc","name":"get_pod","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"name\": \"we"}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"b é\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":12}}

event: message_stop
data: {"type":"message_stop"}

"#;

const GEMINI_STREAM: &str = concat!(
    r#"data: {"candidates": [{"content": {"parts": [{"text": "thinking", "thought": true}, {"text": "Héllo"}], "role": "model"}, "index": 0}], "modelVersion": "gemini-2.5-flash"}"#,
    "\r\n\r\n",
    r#"data: {"candidates": [{"content": {"parts": [{"text": " 🌍"}], "role": "model"}}]}"#,
    "\r\n\r\n",
    r#"data: {"candidates": [{"content": {"parts": [{"functionCall": {"id": "call_abc", "name": "get_pod", "args": {"name": "web é"}}}], "role": "model"}, "finishReason": "STOP"}], "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 10, "thoughtsTokenCount": 2, "cachedContentTokenCount": 4, "totalTokenCount": 21}}"#,
    "\r\n\r\n"
);

#[tokio::test]
async fn streams_are_read_the_same_wherever_the_network_splits_them() {
    let server = Server::start([Answer::sse("", 1)]).await;
    for (variables, stream) in backends(&server).into_iter().zip(STREAMS) {
        let model = of(&variables);
        let other =
            if stream.contains('\r') { stream.replace("\r\n", "\n") } else { stream.replace('\n', "\r\n") };
        for (text, sizes) in [(stream, [1, 1000]), (&other, [7, 100_000])] {
            for size in sizes {
                server.answer([Answer::sse(text, size)]);
                let mut events = model.stream(&conversation()).await.unwrap();
                let mut read = Vec::new();
                while let Some(event) = events.next().await {
                    read.push(event.unwrap());
                }
                let expected = [
                    Event::Text("Héllo".to_owned()),
                    Event::Text(" 🌍".to_owned()),
                    Event::Call(call()),
                    Event::Usage(Usage { input: 9, output: 12, cached: 4 }),
                    Event::End(Finish::Calls),
                ];
                assert_eq!(read, expected, "{} in pieces of {size}", variables[0].1);
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_is_an_error_and_never_an_answer() {
    let server = Server::start([Answer::sse("", 1)]).await;
    for (variables, stream) in backends(&server).into_iter().zip(STREAMS) {
        let model = of(&variables);
        // In an event, between two, and in front of the last ones.
        let end = stream
            .find("finishReason")
            .or(stream.find("finish_reason\":\"tool"))
            .or(stream.find("message_stop"));
        for cut in [stream.len() / 3, stream.find("\"Héllo").unwrap() + 4, end.unwrap() - 20] {
            let cut = (0..=cut).rev().find(|at| stream.is_char_boundary(*at)).unwrap();
            for answer in [Answer::sse(&stream[..cut], 50), Answer::sse(&stream[..cut], 50).breaking()] {
                server.answer([answer.clone()]);
                let result = match model.stream(&conversation()).await {
                    Ok(events) => collect(events).await,
                    Err(error) => Err(error),
                };
                let error = result.unwrap_err();
                assert!(
                    matches!(error.kind, Kind::Malformed | Kind::Unavailable { .. }),
                    "{} at {cut}: {error}",
                    variables[0].1
                );
            }
        }
    }
}

#[tokio::test]
async fn an_error_inside_a_stream_comes_after_the_pieces_before_it() {
    let server = Server::start([Answer::sse("", 1)]).await;
    for (variables, stream) in backends(&server).into_iter().zip(STREAMS) {
        let begin = stream.find(" 🌍").unwrap();
        let begin = stream[..begin].rfind("\n\n").or(stream[..begin].rfind("\r\n\r\n")).unwrap();
        let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded","status":"UNAVAILABLE"}}"#;
        let text = format!("{}\n\nevent: error\ndata: {error}\n\n", &stream[..begin]);
        server.answer([Answer::sse(&text, 100_000)]);
        let mut events = of(&variables).stream(&conversation()).await.unwrap();
        assert_eq!(events.next().await.unwrap().unwrap(), Event::Text("Héllo".to_owned()));
        let error = events.next().await.unwrap().unwrap_err();
        assert_eq!(error.kind, Kind::Unavailable { after: None }, "{error}");
        assert!(error.to_string().contains("Overloaded"), "{error}");
        assert!(events.next().await.is_none());
    }
}
