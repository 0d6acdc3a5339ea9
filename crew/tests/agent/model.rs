//! A model that streams chat completions by a script: it calls `look` twice, and answers with what came back.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{body::Body, extract::State, response::IntoResponse as _, response::Response};
use futures::StreamExt as _;
use serde_json::{Value, json};

/// A model, and the questions that it was asked.
#[derive(Clone)]
pub(crate) struct Model {
    /// Its base URL.
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Model {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/v1", listener.local_addr().unwrap());
        let model = Self { url, asked: Arc::default() };
        let router = axum::Router::new().fallback(answer).with_state(model.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        model
    }

    pub(crate) fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}

async fn answer(State(model): State<Model>, body: String) -> Response {
    let question: Value = serde_json::from_str(&body).unwrap();
    let messages = question["messages"].as_array().unwrap().clone();
    model.asked.lock().unwrap().push(question);
    let said = messages.iter().rposition(|message| message["role"] == "user").unwrap();
    let word = messages[said]["content"].as_str().unwrap();
    let results: Vec<_> = messages[said + 1..].iter().filter(|message| message["role"] == "tool").collect();
    let mut pieces = if results.is_empty() {
        vec![call(0, &format!("{word}-1")), call(1, &format!("{word}-2"))]
    } else {
        let seen = results.iter().map(|result| result["content"].as_str().unwrap().replace('\n', ""));
        let text = format!("{word} has {}", seen.collect::<Vec<_>>().join(" and "));
        let (first, rest) = text.split_at(text.len() / 2);
        vec![json!({"content": first}), json!({"content": rest})]
    };
    let end = if results.is_empty() { "tool_calls" } else { "stop" };
    let mut lines: Vec<_> = pieces
        .drain(..)
        .map(|delta| json!({"choices": [{"index": 0, "delta": delta}]}).to_string())
        .collect();
    lines.push(json!({"choices": [{"index": 0, "delta": {}, "finish_reason": end}]}).to_string());
    lines.push(json!({"choices": [], "usage": {"prompt_tokens": 30, "completion_tokens": 5}}).to_string());
    lines.push("[DONE]".to_owned());
    // The first half comes well before the rest where somebody asks slowly.
    let pause = if word == "slow" { Duration::from_millis(500) } else { Duration::ZERO };
    let stream = futures::stream::iter(lines).then(move |line| async move {
        let line = format!("data: {line}\n\n");
        if line.contains("content") {
            return Ok::<_, Infallible>(line);
        }
        tokio::time::sleep(pause).await;
        Ok(line)
    });
    ([("content-type", "text/event-stream")], Body::from_stream(stream)).into_response()
}

fn call(index: usize, key: &str) -> Value {
    let arguments = json!({"key": key}).to_string();
    json!({"tool_calls": [{"index": index, "id": format!("c{index}"), "type": "function",
        "function": {"name": "look", "arguments": arguments}}]})
}
