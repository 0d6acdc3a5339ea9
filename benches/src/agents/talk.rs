//! One person: says something, and follows the session until the answer is there.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use super::{Tag, overhead::Said, world::AGENT};
use crate::client::Client;

/// How long one answer may take.
const LIMIT: Duration = Duration::from_secs(120);

/// A conversation that has ended.
#[derive(Debug)]
pub struct Talked {
    /// The session's id.
    pub id: String,
    /// What was said in it.
    pub said: Vec<Said>,
    /// Its entries, as they came to who followed it.
    pub entries: Vec<Value>,
}

/// Begins session number `session`, and says so many messages, each when the one before is answered.
///
/// # Errors
/// A refusal, and an answer that does not come.
pub async fn talk(client: &Client, session: usize, messages: usize) -> Result<Talked> {
    let (mut said, mut entries) = (Vec::new(), Vec::new());
    let mut follower: Option<(String, Follower)> = None;
    for message in 0..messages {
        let tag = Tag { session, message };
        let posted = Instant::now();
        let (id, follower) = match &mut follower {
            Some(talking) => {
                post(
                    client,
                    &format!("/api/v1/sessions/{}/messages", talking.0),
                    &json!({"text": tag.words()}),
                )
                .await?;
                talking
            }
            none => {
                let begin = json!({"agent": AGENT, "message": tag.words()});
                let begun = post(client, "/api/v1/sessions", &begin).await?;
                let id = begun["id"].as_str().context("an id")?.to_owned();
                let events = client.stream(&format!("/api/v1/sessions/{id}/events")).await?;
                none.insert((id, Follower { events, rest: Vec::new() }))
            }
        };
        let readable = loop {
            let next = timeout(LIMIT, follower.entry()).await;
            let (entry, came) = next.with_context(|| format!("{} of {id}: no answer", tag.mark()))??;
            let answers = entry["kind"] == "assistant" && entry["calls"].as_array().is_none_or(Vec::is_empty);
            ensure!(entry["kind"] != "notice", "a notice in {id}: {entry}");
            entries.push(entry);
            if answers {
                break came;
            }
        };
        said.push(Said { tag, posted, readable });
    }
    let (id, _) = follower.context("a session without messages")?;
    Ok(Talked { id, said, entries })
}

async fn post(client: &Client, path: &str, body: &Value) -> Result<Value> {
    let (status, answer) = client.post(path, body).await?;
    ensure!(status.is_success(), "{path}: {status} {}", String::from_utf8_lossy(&answer));
    Ok(serde_json::from_slice(&answer)?)
}

/// The events of a session.
struct Follower {
    events: Incoming,
    rest: Vec<u8>,
}

impl Follower {
    /// The next entry, and when the last byte of it had come.
    async fn entry(&mut self) -> Result<(Value, Instant)> {
        loop {
            if let Some(end) = self.rest.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.rest.drain(..end + 2).collect();
                let event = std::str::from_utf8(&event)?;
                if event.lines().any(|line| line == "event: entry") {
                    let came = Instant::now();
                    let data = event.lines().find_map(|line| line.strip_prefix("data: "));
                    return Ok((serde_json::from_str(data.context("an event with data")?)?, came));
                }
                continue;
            }
            match self.events.frame().await {
                Some(frame) => {
                    if let Ok(data) = frame?.into_data() {
                        self.rest.extend_from_slice(&data);
                    }
                }
                None => bail!("the events end"),
            }
        }
    }
}

/// What is wrong with a conversation: each entry once and in order, all of this session, and what it should say.
pub fn faults(talked: &Talked) -> Vec<String> {
    let mut faults = Vec::new();
    let expected = talked.said.iter().flat_map(|said| {
        let Tag { session, message } = said.tag;
        let call = format!("call-{session}-{message}");
        [
            ("user", "text", said.tag.mark()),
            ("assistant", "calls", call.clone()),
            ("tool", "text", said.tag.value()),
            ("assistant", "text", format!("{} it has {}.", said.tag.mark(), said.tag.value())),
        ]
    });
    let expected: Vec<_> = expected.collect();
    if expected.len() != talked.entries.len() {
        faults.push(format!("{}: {} entries and not {}", talked.id, talked.entries.len(), expected.len()));
    }
    for (n, (entry, (kind, member, holds))) in (1..).zip(talked.entries.iter().zip(expected)) {
        let fits = entry["n"] == n && entry["kind"] == kind && entry[member].to_string().contains(&holds);
        if !fits {
            faults.push(format!("{}: entry {n} should be of {kind} with {holds}: {entry}", talked.id));
        }
    }
    faults
}
