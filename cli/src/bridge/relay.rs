//! Which message goes when, and what is in hand.

use std::{collections::HashMap, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::sleep,
};

use super::{
    Gateway,
    http::{Answer, LARGEST},
    message::{self, Message, PARSE_ERROR, UNREACHED},
};

/// Pause before the gateway is listened to again.
const AGAIN: Duration = Duration::from_secs(3);
/// Lines that wait for a client that reads slowly.
const WAITING: usize = 16;

/// Carries messages between standard input and output and the gateway until the input ends. Calls that are under way
/// then are cancelled.
///
/// # Errors
/// Those of standard input and output.
pub(crate) async fn run(gateway: Gateway) -> anyhow::Result<()> {
    carry(gateway, BufReader::new(tokio::io::stdin()), tokio::io::stdout()).await
}

async fn carry(
    gateway: Gateway,
    mut input: impl AsyncBufRead + Unpin,
    output: impl AsyncWrite + Send + Unpin + 'static,
) -> anyhow::Result<()> {
    let (lines, waiting) = mpsc::channel(WAITING);
    let writer = tokio::spawn(write(waiting, output));
    let mut tasks = JoinSet::new();
    let mut in_hand: HashMap<String, InHand> = HashMap::new();
    loop {
        let mut line = Vec::new();
        // One byte more than is taken tells a line that is too long.
        let read = (&mut input).take(LARGEST as u64 + 1).read_until(b'\n', &mut line).await?;
        if read == 0 {
            break;
        }
        while tasks.try_join_next().is_some() {}
        in_hand.retain(|_, call| !call.task.is_finished());
        if line.trim_ascii().is_empty() {
            continue;
        }
        let message = match Message::parse(&line) {
            Ok(message) => message,
            Err(error) => {
                say(&lines, message::error(None, PARSE_ERROR, &format!("this is no message: {error}")))
                    .await?;
                if read > LARGEST {
                    break;
                }
                continue;
            }
        };
        let text = Bytes::from(line);
        if let Some(cancelled) = message.cancels() {
            // A request that stands alone is cancelled by the end of its connection.
            if let Some(call) = in_hand.get(&cancelled.to_string()).filter(|call| call.alone) {
                call.task.abort();
                continue;
            }
        }
        let (gateway, lines) = (gateway.clone(), lines.clone());
        if let Some(id) = message.request() {
            let (id, alone) = (id.to_string(), message.version().is_some());
            let task = tasks.spawn(async move { request(&gateway, &message, text, &lines).await });
            in_hand.insert(id, InHand { task, alone });
        } else {
            // In its place among the others: requests count on notifications that came before them.
            notify(&gateway, &message, text).await;
            if message.is("notifications/initialized") && gateway.in_session() {
                tasks.spawn(async move { listen(&gateway, &lines).await });
            }
        }
    }
    leave(&gateway, in_hand).await;
    tasks.shutdown().await;
    drop(lines);
    Ok(writer.await??)
}

/// A request that was not answered yet.
struct InHand {
    task: AbortHandle,
    /// Whether it stands alone, outside of a session.
    alone: bool,
}

/// Sends a request, and what answers it to the output. There is an answer in any case.
async fn request(gateway: &Gateway, message: &Message, text: Bytes, lines: &Lines) {
    let Some(id) = message.request() else { return };
    let outcome = async {
        let mut answer = gateway.post(message, text).await?;
        let mut answered = false;
        while let Some(line) = answer.next().await? {
            if message::answers(&line, id) {
                answered = true;
                if message.is("initialize") {
                    agree(gateway, &line);
                }
            }
            say(lines, line).await?;
        }
        anyhow::ensure!(answered, "the gateway ended the connection without an answer");
        Ok(())
    };
    if let Err(error) = outcome.await {
        // Without output there is nobody to tell.
        let _ = say(lines, message::error(Some(id), UNREACHED, &format!("{error:#}"))).await;
    }
}

fn agree(gateway: &Gateway, answer: &str) {
    let answer: Value = serde_json::from_str(answer).unwrap_or_default();
    if let Some(version) = answer["result"]["protocolVersion"].as_str() {
        gateway.agree(version);
    }
}

async fn notify(gateway: &Gateway, message: &Message, text: Bytes) {
    if let Err(error) = gateway.post(message, text).await {
        let method = message.method.as_deref().unwrap_or("an answer");
        eprintln!("asya mcp: {method} did not reach the gateway: {error:#}");
    }
}

/// Hands on what the gateway says by itself, for ever.
async fn listen(gateway: &Gateway, lines: &Lines) {
    loop {
        let said = async {
            let mut said = gateway.listen().await?;
            if matches!(said, Answer::Nothing) {
                anyhow::bail!("the gateway says nothing by itself");
            }
            while let Some(line) = said.next().await? {
                say(lines, line).await?;
            }
            Ok(())
        };
        if let Err(error) = said.await {
            eprintln!("asya mcp: {error:#}");
        }
        sleep(AGAIN).await;
    }
}

/// Cancels what is in hand and ends the session. Requests that stand alone are cancelled with their connections.
async fn leave(gateway: &Gateway, in_hand: HashMap<String, InHand>) {
    for (id, call) in in_hand {
        if call.task.is_finished() || call.alone {
            continue;
        }
        let id: Value = serde_json::from_str(&id).unwrap_or_default();
        let params = json!({"requestId": id, "reason": "the client has gone"});
        let text =
            json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}).to_string();
        if let Ok(message) = Message::parse(text.as_bytes()) {
            notify(gateway, &message, Bytes::from(text)).await;
        }
    }
    gateway.leave().await;
}

/// Lines for the output. A task writes them, so that a request that is cancelled leaves no half of one.
type Lines = mpsc::Sender<String>;

async fn say(lines: &Lines, line: String) -> anyhow::Result<()> {
    lines.send(line).await.context("standard output is closed")
}

async fn write(
    mut lines: mpsc::Receiver<String>,
    mut output: impl AsyncWrite + Unpin,
) -> std::io::Result<()> {
    while let Some(mut line) = lines.recv().await {
        line.push('\n');
        output.write_all(line.as_bytes()).await?;
        output.flush().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// What comes out for these lines, from a gateway that is not there.
    async fn answers(input: &[u8]) -> Vec<Value> {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let gateway = Gateway::new(&format!("http://{}", free.local_addr().unwrap()), None).unwrap();
        drop(free);
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        let (mut typing, typed) = tokio::io::duplex(1 << 20);
        let carrying = tokio::spawn(carry(gateway, BufReader::new(typed), theirs));
        typing.write_all(input).await.unwrap();
        // The input stays open until all was answered: what is in hand at its end is dropped.
        let expected = input.split(|&byte| byte == b'\n').filter(|line| expects(line)).count();
        let mut answers = Vec::new();
        let mut output = BufReader::new(&mut ours).lines();
        while answers.len() < expected {
            let line = tokio::time::timeout(LIMIT, output.next_line()).await.unwrap().unwrap().unwrap();
            answers.push(serde_json::from_str(&line).unwrap());
        }
        drop(typing);
        tokio::time::timeout(LIMIT, carrying).await.unwrap().unwrap().unwrap();
        assert!(output.next_line().await.unwrap().is_none(), "nothing else is said");
        answers
    }

    fn expects(line: &[u8]) -> bool {
        !line.is_empty() && Message::parse(line).map_or(true, |message| message.request().is_some())
    }

    #[tokio::test]
    async fn what_is_no_message_is_answered_and_what_follows_is_carried() {
        let input = b"{\n\n[1]\n{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}\n";
        let answers = answers(input).await;
        let codes: Vec<_> = answers.iter().map(|answer| answer["error"]["code"].as_i64().unwrap()).collect();
        assert_eq!(codes, [-32700, -32700, -32000]);
        assert_eq!((&answers[0]["id"], &answers[2]["id"]), (&Value::Null, &json!(7)));
        let text = answers[2]["error"]["message"].as_str().unwrap();
        assert!(text.contains("127.0.0.1") && text.contains("cannot be reached"), "{text}");
    }

    #[tokio::test]
    async fn a_notification_that_cannot_be_carried_is_not_answered() {
        let input = b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n";
        assert!(answers(input).await.is_empty());
    }
}
