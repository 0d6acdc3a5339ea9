//! A model that speaks chat completions by a script, and the tool that it calls; both take a time that is drawn for each
//! question, and note when they were asked and when they had answered.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use anyhow::Result;
use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse as _, Response},
    routing::post,
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::Barrier,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::Tag;

/// Pieces in which an answer comes.
const PIECES: u32 = 16;
/// Share of an answer's time before its first piece.
const FIRST: u32 = 3;
/// How long the first questions wait for each other.
const GATHER: Duration = Duration::from_secs(50);
/// Words of an answer beside those that say whose it is.
const WORDS: &str = "All four replicas are ready, orders come in as they did yesterday, and nothing waits for longer than \
                     it should.";

/// Something that is asked for because of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// The model, for the first time.
    First,
    /// The tool.
    Tool,
    /// The model, with what the tool said.
    Second,
}

/// How long model and tool take.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Where the drawing begins.
    pub seed: u64,
    /// An answer of the model, least and most.
    pub model: (Duration, Duration),
    /// The tool, least and most.
    pub tool: (Duration, Duration),
}

impl Pace {
    /// The time of a step: drawn evenly, the same for the same seed whatever else happens.
    pub fn of(&self, tag: Tag, step: Step) -> Duration {
        let (least, most) = if step == Step::Tool { self.tool } else { self.model };
        let number = (tag.session as u64) << 40 | (tag.message as u64) << 8 | step as u64;
        let drawn = mixed(self.seed ^ mixed(number)) >> 11;
        least + (most - least).mul_f64(drawn as f64 / (1_u64 << 53) as f64)
    }
}

/// SplitMix64.
fn mixed(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// When a step was asked for and had been answered.
#[derive(Clone, Copy, Debug)]
pub struct Noted {
    /// Its request was read.
    pub asked: Instant,
    /// The last byte of the answer was handed to the system.
    pub answered: Option<Instant>,
    /// How often it was asked for.
    pub times: usize,
}

/// What was asked, by message and step.
pub type Notes = BTreeMap<(Tag, Step), Noted>;

/// Model and tool on one port of this machine.
pub struct Script {
    /// The port.
    pub port: u16,
    state: Arc<Shared>,
}

struct Shared {
    pace: Pace,
    /// Where the first question of each session waits for those of the others.
    together: Barrier,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    notes: Notes,
    /// Questions that hold what they should not.
    foreign: Vec<String>,
    /// Questions in hand, and the most at once.
    asking: (usize, usize),
}

impl Script {
    /// Starts both.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(pace: Pace) -> Result<Self> {
        Self::gathering(pace, 1).await
    }

    /// The same; the first question of each session is answered when those of so many sessions are there, or after a while.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn gathering(pace: Pace, sessions: usize) -> Result<Self> {
        let state = Arc::new(Shared { pace, together: Barrier::new(sessions), seen: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let router = Router::new()
            .route("/v1/chat/completions", post(model))
            .route("/tool", post(tool))
            .with_state(Arc::clone(&state));
        let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
            let _ = stream.set_nodelay(true);
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { port, state })
    }

    /// Forgets what was asked so far.
    pub fn forget(&self) {
        *self.state.seen() = Seen::default();
    }

    /// What was asked so far.
    pub fn notes(&self) -> Notes {
        self.state.seen().notes.clone()
    }

    /// Questions that held what is of another session, or not all of their own.
    pub fn foreign(&self) -> Vec<String> {
        self.state.seen().foreign.clone()
    }

    /// The most questions to the model that were in hand at once.
    pub fn most_at_once(&self) -> usize {
        self.state.seen().asking.1
    }
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().expect("no panic in it")
    }

    fn asked(&self, tag: Tag, step: Step) {
        let now = Instant::now();
        let first = Noted { asked: now, answered: None, times: 0 };
        self.seen().notes.entry((tag, step)).or_insert(first).times += 1;
    }

    fn answered(&self, tag: Tag, step: Step) {
        let now = Instant::now();
        if let Some(noted) = self.seen().notes.get_mut(&(tag, step)) {
            noted.answered.get_or_insert(now);
        }
    }
}

/// A question in hand.
struct Asking(Arc<Shared>);

impl Asking {
    fn new(shared: &Arc<Shared>) -> Self {
        let mut seen = shared.seen();
        seen.asking.0 += 1;
        seen.asking.1 = seen.asking.1.max(seen.asking.0);
        Self(Arc::clone(shared))
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.seen().asking.0 -= 1;
    }
}

async fn tool(State(shared): State<Arc<Shared>>, Json(arguments): Json<Value>) -> Json<Value> {
    let number = |name: &str| arguments[name].as_u64().and_then(|number| usize::try_from(number).ok());
    let tag = number("session").zip(number("message")).map(|(session, message)| Tag { session, message });
    let Some(tag) = tag else { return Json(json!({"error": "whose is this?"})) };
    shared.asked(tag, Step::Tool);
    sleep(shared.pace.of(tag, Step::Tool)).await;
    shared.answered(tag, Step::Tool);
    Json(json!({"value": tag.value()}))
}

async fn model(State(shared): State<Arc<Shared>>, Json(question): Json<Value>) -> Response {
    let asking = Asking::new(&shared);
    let (tag, step) = match read(&question) {
        Ok(read) => read,
        Err(why) => {
            shared.seen().foreign.push(format!("{why}: {}", question["messages"]));
            return (axum::http::StatusCode::BAD_REQUEST, Json(json!({"error": {"message": why}})))
                .into_response();
        }
    };
    shared.asked(tag, step);
    if (tag.message, step) == (0, Step::First) {
        // Those that do not come are missed by whoever counts how many were there at once.
        let _ = timeout(GATHER, shared.together.wait()).await;
    }
    let came = Instant::now();
    let whole = shared.pace.of(tag, step);
    let (first, lines) = (came + whole / FIRST, lines(tag, step));
    let each = (whole - whole / FIRST) / PIECES;
    let pieces = u32::try_from(lines.len()).unwrap_or(PIECES);
    let state = (lines, 0, asking);
    let body = futures::stream::unfold(state, move |(mut lines, sent, asking)| {
        let shared = Arc::clone(&shared);
        async move {
            let line = lines.pop_front()?;
            let due = if lines.is_empty() { came + whole } else { first + each * sent.min(pieces) };
            sleep_until(due).await;
            if lines.is_empty() {
                shared.answered(tag, step);
            }
            Some((Ok::<_, Infallible>(line), (lines, sent + 1, asking)))
        }
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(body)).into_response()
}

/// Whose question it is, and which of the two; or what is wrong with it: everything that was said in this session and
/// nothing else must be in it, and so must what the tool has said.
fn read(question: &Value) -> Result<(Tag, Step), &'static str> {
    let messages = question["messages"].as_array().ok_or("no messages")?;
    let text = |message: &Value| message["content"].as_str().unwrap_or_default().to_owned();
    let of = |role: &'static str| messages.iter().filter(move |message| message["role"] == role);
    let said: Vec<Tag> =
        of("user").map(|message| Tag::of(&text(message))).collect::<Option<_>>().ok_or("words of nobody")?;
    let tag = *said.last().ok_or("nothing was said")?;
    let all = (0..=tag.message).map(|message| Tag { message, ..tag });
    if !said.iter().copied().eq(all.clone()) {
        return Err("not what was said in this session");
    }
    let results: Vec<String> = of("tool").map(text).collect();
    let is_last = messages.last().is_some_and(|message| message["role"] == "tool");
    let expected = tag.message + usize::from(is_last);
    if results.len() != expected || !results.iter().zip(all).all(|(result, tag)| has(result, &tag.value())) {
        return Err("not what the tool has said");
    }
    Ok((tag, if is_last { Step::Second } else { Step::First }))
}

/// Whether a text has a value, and not one that only begins like it.
fn has(text: &str, value: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '-').any(|word| word == value)
}

/// What the model says, as server-sent events.
fn lines(tag: Tag, step: Step) -> VecDeque<String> {
    let choice = |delta: Value, reason: Option<&str>| json!({"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]});
    let (deltas, reason) = match step {
        Step::Second => {
            let text = format!("{} it has {}. {WORDS}", tag.mark(), tag.value());
            let words: Vec<&str> = text.split_inclusive(' ').collect();
            let pieces = words.chunks(words.len().div_ceil(PIECES as usize));
            (pieces.map(|piece| json!({"content": piece.concat()})).collect::<Vec<_>>(), "stop")
        }
        Step::First | Step::Tool => {
            let function = json!({"name": "look", "arguments": tag.arguments().to_string()});
            let id = format!("call-{}-{}", tag.session, tag.message);
            (
                vec![
                    json!({"tool_calls": [{"index": 0, "id": id, "type": "function", "function": function}]}),
                ],
                "tool_calls",
            )
        }
    };
    let mut lines: VecDeque<String> =
        deltas.into_iter().map(|delta| choice(delta, None).to_string()).collect();
    lines.push_back(choice(json!({}), Some(reason)).to_string());
    lines.push_back(
        json!({"choices": [], "usage": {"prompt_tokens": 200, "completion_tokens": 40}}).to_string(),
    );
    lines.push_back("[DONE]".to_owned());
    lines.into_iter().map(|line| format!("data: {line}\n\n")).collect()
}
