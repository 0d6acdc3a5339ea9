//! A model that says what a test has written for it: a function from the conversation to the next words and calls. It speaks
//! chat completions, as a whole or as a stream.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::Result;
use axum::{
    Json, Router,
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::sleep};

/// What the model says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Words {
    /// The text.
    pub text: String,
    /// Calls: name and arguments.
    pub calls: Vec<(String, Value)>,
}

impl Words {
    /// Only a text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self { text: text.to_owned(), calls: Vec::new() }
    }

    /// One call.
    #[must_use]
    pub fn call(name: &str, arguments: Value) -> Self {
        Self { text: String::new(), calls: vec![(name.to_owned(), arguments)] }
    }
}

/// What has been said, as the model was sent it.
#[derive(Clone, Debug)]
pub struct Heard {
    /// The messages.
    pub messages: Vec<Value>,
    /// The names of the tools.
    pub tools: Vec<String>,
}

impl Heard {
    /// What the person said last.
    #[must_use]
    pub fn asked(&self) -> &str {
        let last = self.messages.iter().rev().find(|message| message["role"] == "user");
        last.and_then(|message| message["content"].as_str()).unwrap_or_default()
    }

    /// Results of tools since then.
    #[must_use]
    pub fn results(&self) -> Vec<&str> {
        let asked = self.messages.iter().rposition(|message| message["role"] == "user").unwrap_or(0);
        let results = self.messages[asked..].iter().filter(|message| message["role"] == "tool");
        results.filter_map(|message| message["content"].as_str()).collect()
    }
}

type Play = dyn Fn(&Heard) -> Words + Send + Sync;

/// A model on a port of this machine.
pub struct Script {
    /// The base URL.
    pub url: String,
    state: Arc<Shared>,
}

struct Shared {
    play: Box<Play>,
    heard: Mutex<Vec<Heard>>,
    pace: Duration,
}

impl Script {
    /// One that answers at once.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(play: impl Fn(&Heard) -> Words + Send + Sync + 'static) -> Result<Self> {
        Self::at_a_pace(Duration::ZERO, play).await
    }

    /// One that waits for `pace` before each word of a stream.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn at_a_pace(
        pace: Duration,
        play: impl Fn(&Heard) -> Words + Send + Sync + 'static,
    ) -> Result<Self> {
        let state = Arc::new(Shared { play: Box::new(play), heard: Mutex::default(), pace });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let router = Router::new().route("/v1/chat/completions", post(answer)).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, state })
    }

    /// Everything that it was sent.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.state.heard.lock().expect("no panic in it").clone()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    let messages = request["messages"].as_array().cloned().unwrap_or_default();
    let tools = request["tools"].as_array().into_iter().flatten();
    let tools = tools.filter_map(|tool| tool["function"]["name"].as_str().map(str::to_owned)).collect();
    let heard = Heard { messages, tools };
    let words = (shared.play)(&heard);
    let nth = {
        let mut all = shared.heard.lock().expect("no panic in it");
        all.push(heard);
        all.len()
    };
    let calls: Vec<Value> = words
        .calls
        .iter()
        .enumerate()
        .map(|(index, (name, arguments))| {
            json!({"index": index, "id": format!("call-{nth}-{index}"), "type": "function",
                "function": {"name": name, "arguments": arguments.to_string()}})
        })
        .collect();
    let reason = if calls.is_empty() { "stop" } else { "tool_calls" };
    let usage = json!({"prompt_tokens": 10, "completion_tokens": 5});
    if request["stream"] != true {
        let message = json!({"role": "assistant", "content": words.text, "tool_calls": calls});
        return Json(
            json!({"choices": [{"index": 0, "message": message, "finish_reason": reason}], "usage": usage}),
        )
        .into_response();
    }
    let mut chunks: Vec<Value> =
        words.text.split_inclusive(' ').map(|word| json!({"content": word})).collect();
    chunks.extend(calls.into_iter().map(|call| json!({"tool_calls": [call]})));
    let choice = |delta: Value, reason: Option<&str>| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let mut lines: Vec<Value> = chunks.into_iter().map(|delta| choice(delta, None)).collect();
    lines.push(choice(json!({}), Some(reason)));
    lines.push(json!({"choices": [], "usage": usage}));
    let pace = shared.pace;
    let body = futures::stream::unfold(
        lines
            .into_iter()
            .map(|line| line.to_string())
            .chain(["[DONE]".to_owned()])
            .collect::<std::collections::VecDeque<_>>(),
        move |mut lines| async move {
            let line = lines.pop_front()?;
            sleep(pace).await;
            Some((Ok::<_, std::convert::Infallible>(format!("data: {line}\n\n")), lines))
        },
    );
    ([(CONTENT_TYPE, "text/event-stream")], axum::body::Body::from_stream(body)).into_response()
}
