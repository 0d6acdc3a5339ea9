//! The same conversation as a loop in one process: the model, the tool, the model, straight to their server. What it loses
//! beside their own time is what this machine takes from everybody.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Tag, overhead::Said};
use crate::client::Client;

/// Talks as [`talk`](super::talk::talk) does, with nobody in between.
///
/// # Errors
/// When model or tool do not answer.
pub async fn talk(client: &Client, session: usize, messages: usize) -> Result<Vec<Said>> {
    let (mut said, mut conversation) = (Vec::new(), Vec::new());
    for message in 0..messages {
        let tag = Tag { session, message };
        let posted = Instant::now();
        conversation.push(json!({"role": "user", "content": tag.words()}));
        conversation.push(asked(client, &conversation).await?);
        let (status, result) = client.post("/tool", &tag.arguments()).await?;
        ensure!(status.is_success(), "the tool answers {status}");
        let id = format!("call-{session}-{message}");
        conversation
            .push(json!({"role": "tool", "tool_call_id": id, "content": String::from_utf8(result.into())?}));
        conversation.push(asked(client, &conversation).await?);
        said.push(Said { tag, posted, readable: Instant::now() });
    }
    Ok(said)
}

/// What the model says, as the next message of the conversation.
async fn asked(client: &Client, conversation: &[Value]) -> Result<Value> {
    let question = json!({"model": "scripted", "stream": true, "messages": conversation});
    let (status, answer) = client.post("/v1/chat/completions", &question).await?;
    ensure!(status.is_success(), "the model answers {status}: {}", String::from_utf8_lossy(&answer));
    let (mut text, mut calls) = (String::new(), Vec::new());
    for data in std::str::from_utf8(&answer)?.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if data == "[DONE]" {
            return Ok(json!({"role": "assistant", "content": text, "tool_calls": calls}));
        }
        let chunk: Value = serde_json::from_str(data)?;
        let delta = &chunk["choices"][0]["delta"];
        text.push_str(delta["content"].as_str().unwrap_or_default());
        calls.extend(delta["tool_calls"].as_array().into_iter().flatten().cloned());
    }
    None.context("the answer has no end")
}
