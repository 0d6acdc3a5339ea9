//! A model that says what a test has written for it: a function from the conversation to the next words and calls. It speaks
//! chat completions, as a whole or as a stream.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use anyhow::{Context as _, Result};
use axum::{
    Json, Router,
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{sleep, timeout},
};

use crate::cluster::LIMIT;

/// What the model says.
#[derive(Clone, Debug, PartialEq)]
pub struct Words {
    /// The text.
    pub text: String,
    /// Calls: name and arguments.
    pub calls: Vec<(String, Value)>,
    /// Tokens that it says it has read and written; none: it says nothing of that.
    pub usage: Option<(u64, u64)>,
}

/// Of words that say nothing else.
const USAGE: Option<(u64, u64)> = Some((10, 5));

impl Words {
    /// Only a text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self { text: text.to_owned(), calls: Vec::new(), usage: USAGE }
    }

    /// One call.
    #[must_use]
    pub fn call(name: &str, arguments: Value) -> Self {
        Self { text: String::new(), calls: vec![(name.to_owned(), arguments)], usage: USAGE }
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

    /// Answers of the model so far.
    #[must_use]
    pub fn said(&self) -> usize {
        self.messages.iter().filter(|message| message["role"] == "assistant").count()
    }

    /// Answers of the model since then.
    #[must_use]
    pub fn answers(&self) -> usize {
        let asked = self.messages.iter().rposition(|message| message["role"] == "user").unwrap_or(0);
        self.messages[asked..].iter().filter(|message| message["role"] == "assistant").count()
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
    heard: watch::Sender<Vec<Heard>>,
    answered: Mutex<Vec<Heard>>,
    pace: Duration,
    /// Answers of a conversation that may be given; none: all.
    open: Option<watch::Sender<usize>>,
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
        Self::serve(play, pace, None).await
    }

    /// One for one conversation, that keeps each answer back until it is [released](Self::release).
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn held_back(play: impl Fn(&Heard) -> Words + Send + Sync + 'static) -> Result<Self> {
        Self::serve(play, Duration::ZERO, Some(watch::Sender::new(0))).await
    }

    async fn serve(
        play: impl Fn(&Heard) -> Words + Send + Sync + 'static,
        pace: Duration,
        open: Option<watch::Sender<usize>>,
    ) -> Result<Self> {
        let (play, heard, answered) = (Box::new(play), watch::Sender::default(), Mutex::default());
        let state = Arc::new(Shared { play, heard, answered, pace, open });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let router = Router::new().route("/v1/chat/completions", post(answer)).with_state(Arc::clone(&state));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, state })
    }

    /// Everything that it was sent.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.state.heard.borrow().clone()
    }

    /// What it has begun to answer.
    #[must_use]
    pub fn answered(&self) -> Vec<Heard> {
        self.state.answered.lock().expect("no panic in it").clone()
    }

    /// Lets the next answer go, as often as it is asked for.
    pub fn release(&self) {
        if let Some(open) = &self.state.open {
            open.send_modify(|answers| *answers += 1);
        }
    }

    /// How often it was asked for the answer after so many.
    #[must_use]
    pub fn asked(&self, after: usize) -> usize {
        self.state.heard.borrow().iter().filter(|heard| heard.said() == after).count()
    }

    /// Waits until it has been asked for the answer after so many, so often.
    ///
    /// # Errors
    /// It is not, in time.
    pub async fn until_asked(&self, after: usize, times: usize) -> Result<()> {
        let mut heard = self.state.heard.subscribe();
        let enough = heard.wait_for(|all| all.iter().filter(|heard| heard.said() == after).count() >= times);
        let asked = timeout(LIMIT, enough).await.map(drop);
        asked.with_context(|| {
            format!("after {after} answers it was asked {} times, not {times}", self.asked(after))
        })
    }
}

async fn answer(State(shared): State<Arc<Shared>>, Json(request): Json<Value>) -> Response {
    let messages = request["messages"].as_array().cloned().unwrap_or_default();
    let tools = request["tools"].as_array().into_iter().flatten();
    let tools = tools.filter_map(|tool| tool["function"]["name"].as_str().map(str::to_owned)).collect();
    let heard = Heard { messages, tools };
    shared.heard.send_modify(|all| all.push(heard.clone()));
    if let Some(open) = &shared.open {
        let mut open = open.subscribe();
        let _ = open.wait_for(|answers| heard.said() < *answers).await;
    }
    let words = (shared.play)(&heard);
    let nth = {
        let mut all = shared.answered.lock().expect("no panic in it");
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
    let usage =
        words.usage.map(|(input, output)| json!({"prompt_tokens": input, "completion_tokens": output}));
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
