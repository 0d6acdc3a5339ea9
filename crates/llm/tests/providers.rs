//! Every provider's format over real connections: what is sent, and how answers are read. Answers are those of the
//! providers' documentation.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod server;

use asya_llm::{Finish, Kind, Message, Model, Request, Response, ToolCall, Usage, collect};
use serde_json::{Value, json};
use server::{
    Answer, Server,
    conversation::{backends, call, conversation, of, tool},
    model,
};

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
    let [openai_variables, anthropic, gemini] = backends(&server);
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
    let [openai, anthropic, gemini] = backends(&server);
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
    let [variables, ..] = backends(&server);
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
