//! Every provider's format over real connections: what is sent, and how answers and streams are read. Answers are those of
//! the providers' documentation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod server;

use asya_llm::{
    Choice, Event, Finish, Kind, Message, Model, Request, Response, Tool, ToolCall, Usage, collect,
};
use futures::StreamExt as _;
use serde_json::{Value, json};
use server::{Answer, Server, model};

fn tool() -> Tool {
    Tool {
        name: "get_pod".to_owned(),
        description: "Reads a pod".to_owned(),
        parameters: json!({"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}),
    }
}

/// A conversation with everything in it.
fn conversation() -> Request {
    let call = ToolCall {
        id: "call_1".to_owned(),
        name: "get_pod".to_owned(),
        arguments: json!({"name": "web"}),
        signature: None,
    };
    Request {
        system: "Be brief.".to_owned(),
        messages: vec![
            Message::user("Why?"),
            Message::Assistant { text: String::new(), calls: vec![call] },
            Message::Tool {
                call: "call_1".to_owned(),
                name: "get_pod".to_owned(),
                text: "CrashLoopBackOff".to_owned(),
                failed: false,
            },
        ],
        tools: vec![tool()],
        choice: Choice::Auto,
        max_tokens: Some(100),
        temperature: Some(0.5),
        ..Request::default()
    }
}

fn call() -> ToolCall {
    ToolCall {
        id: "call_abc".to_owned(),
        name: "get_pod".to_owned(),
        arguments: json!({"name": "web é"}),
        signature: None,
    }
}

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

fn backends(server: &Server) -> [(Vec<(&'static str, String)>, &'static str); 3] {
    let with = |backend: &str| {
        vec![
            ("ASYA_LLM_BACKEND", backend.to_owned()),
            ("ASYA_LLM_MODEL", "m-1".to_owned()),
            ("ASYA_LLM_API_KEY", "test-key".to_owned()),
            ("ASYA_LLM_BASE_URL", server.address.clone()),
            ("ASYA_LLM_TRIES", "1".to_owned()),
        ]
    };
    [(with("openai"), OPENAI_STREAM), (with("anthropic"), ANTHROPIC_STREAM), (with("google"), GEMINI_STREAM)]
}

fn of(variables: &[(&'static str, String)]) -> asya_llm::Guarded<Box<dyn Model>> {
    model(&variables.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
}

#[tokio::test]
async fn streams_are_read_the_same_wherever_the_network_splits_them() {
    let server = Server::start([Answer::sse("", 1)]).await;
    for (variables, stream) in backends(&server) {
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
    for (variables, stream) in backends(&server) {
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
    for (variables, stream) in backends(&server) {
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

#[tokio::test]
async fn openai_is_asked_as_it_documents() {
    let answer = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "model": "gpt-4o-mini-2024-07-18", "system_fingerprint": "fp",
        "choices": [{"index": 0, "finish_reason": "tool_calls", "logprobs": null, "message": {
            "role": "assistant", "content": null, "refusal": null, "annotations": [],
            "tool_calls": [{"id": "call_abc", "type": "function",
                "function": {"name": "get_pod", "arguments": "{\"name\":\"web é\"}"}}]}}],
        "usage": {"prompt_tokens": 9, "completion_tokens": 12, "total_tokens": 21,
            "prompt_tokens_details": {"cached_tokens": 4}}
    });
    let server = Server::start([Answer::json(200, &answer)]).await;
    let model = model(&[
        ("ASYA_LLM_BACKEND", "openai"),
        ("ASYA_LLM_API_KEY", "test-key"),
        ("ASYA_LLM_BASE_URL", &server.address),
        ("ASYA_LLM_HEADERS", "X-Team: sre , X-Cost:7"),
        ("ASYA_LLM_ORGANIZATION", "org-1"),
    ]);
    let response = model.complete(&conversation()).await.unwrap();
    let usage = Some(Usage { input: 9, output: 12, cached: 4 });
    assert_eq!(response, Response { text: String::new(), calls: vec![call()], finish: Finish::Calls, usage });
    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/v1/chat/completions");
    for (name, value) in [
        ("authorization", "Bearer test-key"),
        ("content-type", "application/json"),
        ("x-team", "sre"),
        ("x-cost", "7"),
        ("openai-organization", "org-1"),
    ] {
        assert_eq!(asked.headers[name], value, "{name}");
    }
    assert_eq!(
        asked.body,
        json!({
            "model": "gpt-4o-mini", "max_tokens": 100, "temperature": 0.5,
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "Why?"},
                {"role": "assistant", "content": null, "tool_calls": [
                    {"id": "call_1", "type": "function",
                        "function": {"name": "get_pod", "arguments": "{\"name\":\"web\"}"}}]},
                {"role": "tool", "tool_call_id": "call_1", "content": "CrashLoopBackOff"}],
            "tools": [{"type": "function", "function": {"name": "get_pod", "description": "Reads a pod",
                "parameters": tool().parameters}}],
            "tool_choice": "auto"
        })
    );
}

#[tokio::test]
async fn azure_is_asked_at_its_deployment_with_its_header() {
    let answer = json!({"choices": [{"finish_reason": "stop", "message": {"content": "yes"}}]});
    let server = Server::start([Answer::json(200, &answer)]).await;
    for (kind, header, value) in
        [("AZURE", "api-key", "test-key"), ("AZURE_AD", "authorization", "Bearer test-key")]
    {
        let model = model(&[
            ("ASYA_LLM_BACKEND", "azureopenai"),
            ("ASYA_LLM_API_KEY", "test-key"),
            ("ASYA_LLM_BASE_URL", &server.address),
            ("ASYA_LLM_AZURE_DEPLOYMENT", "my dep"),
            ("ASYA_LLM_AZURE_API_VERSION", "2025-01-01-preview"),
            ("ASYA_LLM_AZURE_API_TYPE", kind),
        ]);
        let response = model.complete(&Request::ask("", "?")).await.unwrap();
        assert_eq!((response.text.as_str(), response.usage), ("yes", None));
        let asked = server.asked().pop().unwrap();
        assert_eq!(
            asked.path,
            "/openai/deployments/my%20dep/chat/completions?api-version=2025-01-01-preview"
        );
        assert_eq!(asked.headers[header], value);
        assert_eq!(asked.body["max_completion_tokens"], 2048);
    }
}

#[tokio::test]
async fn anthropic_is_asked_as_it_documents() {
    let answer = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_sequence": null,
        "content": [{"type": "thinking", "thinking": "…"}, {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "call_abc", "name": "get_pod", "input": {"name": "web é"}}],
        "stop_reason": "tool_use",
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 4, "output_tokens": 12}
    });
    let server = Server::start([Answer::json(200, &answer)]).await;
    let model = model(&[
        ("ASYA_LLM_BACKEND", "anthropic"),
        ("ASYA_LLM_MODEL", "claude"),
        ("ASYA_LLM_API_KEY", "test-key"),
        ("ASYA_LLM_BASE_URL", &server.address),
        ("ASYA_LLM_TOP_P", "0.9"),
    ]);
    let response = model.complete(&conversation()).await.unwrap();
    let usage = Some(Usage { input: 9, output: 12, cached: 4 });
    let text = "Let me see.".to_owned();
    assert_eq!(response, Response { text, calls: vec![call()], finish: Finish::Calls, usage });
    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/v1/messages");
    assert_eq!(asked.headers["x-api-key"], "test-key");
    assert_eq!(asked.headers["anthropic-version"], "2023-06-01");
    assert!(asked.headers.get("authorization").is_none());
    assert_eq!(
        asked.body,
        json!({
            "model": "claude", "max_tokens": 100, "temperature": 0.5, "system": "Be brief.",
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Why?"}]},
                {"role": "assistant", "content": [
                    {"type": "tool_use", "id": "call_1", "name": "get_pod", "input": {"name": "web"}}]},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1",
                    "content": "CrashLoopBackOff", "is_error": false}]}],
            "tools": [{"name": "get_pod", "description": "Reads a pod", "input_schema": tool().parameters}],
            "tool_choice": {"type": "auto"}
        })
    );
}

#[tokio::test]
async fn gemini_is_asked_as_it_documents_and_its_signatures_come_back() {
    let answer = json!({
        "candidates": [{"finishReason": "STOP", "index": 0, "content": {"role": "model", "parts": [
            {"functionCall": {"name": "get_pod", "args": {"name": "web é"}}, "thoughtSignature": "c2ln"}]}}],
        "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 12, "totalTokenCount": 21},
        "modelVersion": "gemini-2.5-flash"
    });
    let server = Server::start([Answer::json(200, &answer)]).await;
    let model = model(&[
        ("ASYA_LLM_BACKEND", "google"),
        ("ASYA_LLM_MODEL", "gemini-2.5-flash"),
        ("ASYA_LLM_API_KEY", "test-key"),
        ("ASYA_LLM_BASE_URL", &server.address),
        ("ASYA_LLM_TOP_K", "40"),
    ]);
    let response = model.complete(&conversation()).await.unwrap();
    let signed = ToolCall { id: "call_0".to_owned(), signature: Some("c2ln".to_owned()), ..call() };
    assert_eq!(response.calls.first(), Some(&signed));
    let mut next = conversation();
    next.messages = vec![
        Message::user("Why?"),
        Message::Assistant { text: String::new(), calls: vec![signed] },
        Message::Tool {
            call: "call_0".to_owned(),
            name: "get_pod".to_owned(),
            text: "gone".to_owned(),
            failed: true,
        },
    ];
    model.complete(&next).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked[0].path, "/v1beta/models/gemini-2.5-flash:generateContent");
    assert_eq!(asked[0].headers["x-goog-api-key"], "test-key");
    assert_eq!(
        asked[0].body,
        json!({
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [
                {"role": "user", "parts": [{"text": "Why?"}]},
                {"role": "model", "parts": [{"functionCall": {"name": "get_pod", "args": {"name": "web"}}}]},
                {"role": "user", "parts": [
                    {"functionResponse": {"name": "get_pod", "response": {"result": "CrashLoopBackOff"}}}]}],
            "tools": [{"functionDeclarations": [{"name": "get_pod", "description": "Reads a pod",
                "parametersJsonSchema": tool().parameters}]}],
            "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
            "generationConfig": {"maxOutputTokens": 100, "temperature": 0.5, "topK": 40}
        })
    );
    let contents = &asked[1].body["contents"];
    assert_eq!(contents[1]["parts"][0]["thoughtSignature"], "c2ln");
    assert_eq!(contents[2]["parts"][0]["functionResponse"]["response"], json!({"error": "gone"}));
}

#[tokio::test]
async fn bedrock_is_asked_as_it_documents() {
    let answer = json!({
        "metrics": {"latencyMs": 551}, "stopReason": "tool_use",
        "output": {"message": {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "…"}}}, {"text": "Let me see."},
            {"toolUse": {"toolUseId": "call_abc", "name": "get_pod", "input": {"name": "web é"}}}]}},
        "usage": {"inputTokens": 5, "outputTokens": 12, "totalTokens": 21, "cacheReadInputTokens": 4}
    });
    let server = Server::start([Answer::json(200, &answer)]).await;
    let model = model(&[
        ("ASYA_LLM_BACKEND", "amazonbedrock"),
        ("ASYA_LLM_MODEL", "us.anthropic.claude-v1:0"),
        ("ASYA_LLM_API_KEY", "test-key"),
        ("ASYA_LLM_BASE_URL", &server.address),
    ]);
    let text = "Let me see.".to_owned();
    let usage = Some(Usage { input: 9, output: 12, cached: 4 });
    let expected = Response { text, calls: vec![call()], finish: Finish::Calls, usage };
    assert_eq!(model.complete(&conversation()).await.unwrap(), expected);
    assert_eq!(collect(model.stream(&conversation()).await.unwrap()).await.unwrap(), expected);
    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/model/us.anthropic.claude-v1%3A0/converse");
    assert_eq!(asked.headers["authorization"], "Bearer test-key");
    assert_eq!(
        asked.body,
        json!({
            "system": [{"text": "Be brief."}],
            "messages": [
                {"role": "user", "content": [{"text": "Why?"}]},
                {"role": "assistant", "content": [
                    {"toolUse": {"toolUseId": "call_1", "name": "get_pod", "input": {"name": "web"}}}]},
                {"role": "user", "content": [{"toolResult": {"toolUseId": "call_1", "status": "success",
                    "content": [{"text": "CrashLoopBackOff"}]}}]}],
            "toolConfig": {"toolChoice": {"auto": {}}, "tools": [{"toolSpec": {"name": "get_pod",
                "description": "Reads a pod", "inputSchema": {"json": tool().parameters}}}]},
            "inferenceConfig": {"maxTokens": 100, "temperature": 0.5}
        })
    );
}

#[tokio::test]
async fn customrest_is_asked_as_k8sgpt_asks_it() {
    let answer = json!({"model": "m", "created_at": "2026-01-01T00:00:00Z", "response": "yes"});
    let server = Server::start([Answer::json(200, &answer)]).await;
    let base = format!("{}/ask", server.address);
    let model =
        model(&[("ASYA_LLM_BACKEND", "customrest"), ("ASYA_LLM_MODEL", "m"), ("ASYA_LLM_BASE_URL", &base)]);
    let response = collect(model.stream(&Request::ask("Be brief.", "Why?")).await.unwrap()).await.unwrap();
    assert_eq!(response.text, "yes");
    let asked = &server.asked()[0];
    assert_eq!(asked.path, "/ask");
    assert!(asked.headers.get("authorization").is_none(), "no key, no header");
    assert_eq!(
        asked.body,
        json!({"model": "m", "prompt": "Be brief.\n\nWhy?", "options": {"message": "Why?"}})
    );
}

#[tokio::test]
async fn refusals_of_models_and_filters_are_refusals() {
    let openai =
        |message: Value, finish: &str| json!({"choices": [{"message": message, "finish_reason": finish}]});
    let server = Server::start([Answer::json(200, &json!({}))]).await;
    let [(openai_variables, _), (anthropic, _), (gemini, _)] = backends(&server);
    for (variables, answer) in [
        (&openai_variables, openai(json!({"content": null, "refusal": "I cannot."}), "stop")),
        (&openai_variables, openai(json!({"content": "I"}), "content_filter")),
        (&anthropic, json!({"content": [], "stop_reason": "refusal"})),
        (&gemini, json!({"promptFeedback": {"blockReason": "SAFETY"}})),
        (&gemini, json!({"candidates": [{"finishReason": "PROHIBITED_CONTENT"}]})),
        (
            &vec![
                ("ASYA_LLM_BACKEND", "amazonbedrock".to_owned()),
                ("ASYA_LLM_MODEL", "m".to_owned()),
                ("ASYA_LLM_API_KEY", "k".to_owned()),
                ("ASYA_LLM_BASE_URL", server.address.clone()),
            ],
            json!({"output": {"message": {"content": []}}, "stopReason": "guardrail_intervened"}),
        ),
    ] {
        server.answer([Answer::json(200, &answer)]);
        let error = of(variables).complete(&Request::ask("", "?")).await.unwrap_err();
        assert_eq!(error.kind, Kind::Refused, "{answer}: {error}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_by_its_bound_says_so() {
    let server = Server::start([Answer::json(200, &json!({}))]).await;
    let [(openai, _), (anthropic, _), (gemini, _)] = backends(&server);
    for (variables, answer) in [
        (openai, json!({"choices": [{"message": {"content": "I"}, "finish_reason": "length"}]})),
        (anthropic, json!({"content": [{"type": "text", "text": "I"}], "stop_reason": "max_tokens"})),
        (
            gemini,
            json!({"candidates": [{"content": {"parts": [{"text": "I"}]}, "finishReason": "MAX_TOKENS"}]}),
        ),
    ] {
        server.answer([Answer::json(200, &answer)]);
        let response = of(&variables).complete(&Request::ask("", "?")).await.unwrap();
        assert_eq!((response.text.as_str(), response.finish), ("I", Finish::Length));
    }
}

#[tokio::test]
async fn compatible_servers_may_leave_out_and_add_what_they_like() {
    let server = Server::start([Answer::json(200, &json!({}))]).await;
    let [(variables, _), ..] = backends(&server);
    let model = of(&variables);
    // Content in parts, no usage, no ids, arguments as an object, an unknown reason.
    let answer = json!({"choices": [{"finish_reason": "eos", "message": {
        "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "reasoning_content": "hm",
        "tool_calls": [{"function": {"name": "get_pod", "arguments": {"name": "web"}}},
            {"function": {"name": "get_pod", "arguments": "{\"name\": "}},
            {"function": {"name": "list", "arguments": ""}}]}}]});
    server.answer([Answer::json(200, &answer)]);
    let response = model.complete(&Request::ask("", "?")).await.unwrap();
    assert_eq!((response.text.as_str(), response.finish, response.usage), ("ab", Finish::Calls, None));
    let read: Vec<_> = response.calls.iter().map(|call| (call.id.as_str(), call.arguments.clone())).collect();
    assert_eq!(
        read,
        [("call_0", json!({"name": "web"})), ("call_1", json!("{\"name\":")), ("call_2", json!({}))],
        "what is no JSON stays a text"
    );
    // A stream without indexes, where a new id is a new call; no [DONE]; no empty line at the end.
    let stream = r#"data: {"choices":[{"delta":{"tool_calls":[{"id":"a","function":{"name":"x","arguments":"{}"}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"id":"b","function":{"name":"y","arguments":"{\"n\":"}}]}}]}

data: {"choices":[{"delta":{"tool_calls":[{"function":{"arguments":"1}"}}]}}]}

data: {"choices":[{"delta":{"content":null},"finish_reason":"tool_calls"}]}"#;
    server.answer([Answer::sse(stream, 10)]);
    let response = collect(model.stream(&Request::ask("", "?")).await.unwrap()).await.unwrap();
    let read: Vec<_> =
        response.calls.iter().map(|call| (call.name.as_str(), call.arguments.clone())).collect();
    assert_eq!(read, [("x", json!({})), ("y", json!({"n": 1}))]);
    // One that does not stream answers whole.
    server.answer([Answer::json(
        200,
        &json!({"choices": [{"finish_reason": "stop", "message": {"content": "a b"}}]}),
    )]);
    let response = collect(model.stream(&Request::ask("", "?")).await.unwrap()).await.unwrap();
    assert_eq!(response.text, "a b");
}
