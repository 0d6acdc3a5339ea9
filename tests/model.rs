//! A local model that speaks chat completions, and is down, asks to wait, or answers, as a test wants it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};

/// What the model does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Connections end unanswered.
    Down,
    /// 429, with so many seconds to wait.
    Waits(u64),
    /// It answers, after so long.
    Answers(Duration),
}

/// A call, as the model saw it.
#[derive(Clone, Debug)]
pub struct Call {
    /// When it came.
    pub at: Instant,
    /// When it was answered with 200; none while it is not, or was answered otherwise.
    pub answered: Option<Instant>,
    /// What the model did with it.
    pub mood: Mood,
    /// The question.
    pub question: String,
}

/// A model on a port of this machine.
pub struct Model {
    /// The base URL.
    pub url: String,
    state: Arc<State>,
}

struct State {
    mood: Mutex<Mood>,
    calls: Mutex<Vec<Call>>,
}

impl Model {
    /// In this mood.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(mood: Mood) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/v1", listener.local_addr()?);
        let state = Arc::new(State { mood: Mutex::new(mood), calls: Mutex::default() });
        let serving = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&serving)));
            }
        });
        Ok(Self { url, state })
    }

    /// From the next call on.
    pub fn becomes(&self, mood: Mood) {
        *self.state.mood.lock().expect("no panic in it") = mood;
    }

    /// All calls so far.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls.lock().expect("no panic in it").clone()
    }

    /// How often each question was answered.
    #[must_use]
    pub fn answers(&self) -> BTreeMap<String, usize> {
        let mut answers = BTreeMap::new();
        for call in self.calls().into_iter().filter(|call| call.answered.is_some()) {
            *answers.entry(call.question).or_default() += 1;
        }
        answers
    }
}

async fn answer(mut stream: TcpStream, state: Arc<State>) {
    let mood = *state.mood.lock().expect("no panic in it");
    let at = Instant::now();
    let note = |question: String| {
        let mut calls = state.calls.lock().expect("no panic in it");
        calls.push(Call { at, answered: None, mood, question });
        calls.len() - 1
    };
    if mood == Mood::Down {
        note(String::new());
        return;
    }
    let Some(question) = question(&mut stream).await else { return };
    let call = note(question);
    let (head, body) = match mood {
        Mood::Answers(after) => {
            sleep(after).await;
            let text = "Problem: what [e1] says.\nSolution: mend it.";
            let message = json!({"role": "assistant", "content": text});
            let body = json!({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 10}});
            ("200 OK".to_owned(), body)
        }
        Mood::Waits(seconds) => (
            format!("429 Too Many Requests\r\nretry-after: {seconds}"),
            json!({"error": {"message": "rate limit", "type": "requests", "code": "rate_limit_exceeded"}}),
        ),
        Mood::Down => return,
    };
    let body = body.to_string();
    let answer = format!(
        "HTTP/1.1 {head}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    if stream.write_all(answer.as_bytes()).await.is_ok() && matches!(mood, Mood::Answers(_)) {
        state.calls.lock().expect("no panic in it")[call].answered = Some(Instant::now());
    }
}

/// What the user says in the request; none if it ends before.
async fn question(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok())?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let request: Value = serde_json::from_slice(&body).ok()?;
    Some(request["messages"].to_string())
}
