//! A server that answers requests of SQS's JSON protocol as a script says: for answers that no server gives on demand.

use std::sync::Arc;

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// Answers an action (`SendMessageBatch`) and its input with a status and a body.
pub(crate) type Script = Arc<dyn Fn(&str, &Value) -> (u16, Value) + Send + Sync>;

/// Starts it and returns its address. It ends with the runtime.
pub(crate) async fn serve(script: Script) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let script = Arc::clone(&script);
            // The client closes its connections as it likes.
            tokio::spawn(async move { converse(connection, &script).await.ok() });
        }
    });
    Ok(endpoint)
}

/// The error body of the protocol.
pub(crate) fn error(code: &str) -> (u16, Value) {
    (400, json!({ "__type": format!("com.amazonaws.sqs#{code}"), "message": format!("says {code}") }))
}

/// An entry of a batch that failed.
pub(crate) fn failed(entry: &Value, code: &str, sender_fault: bool) -> Value {
    json!({ "Id": entry["Id"], "Code": code, "SenderFault": sender_fault, "Message": "scripted" })
}

/// An entry of a batch that was sent.
pub(crate) fn sent(entry: &Value) -> Value {
    json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "d41d8cd98f00b204e9800998ecf8427e" })
}

async fn converse(connection: TcpStream, script: &Script) -> anyhow::Result<()> {
    let mut connection = BufReader::new(connection);
    loop {
        let (mut action, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if connection.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                if line.trim_end().is_empty() {
                    break;
                }
                continue;
            };
            match name.to_ascii_lowercase().as_str() {
                "x-amz-target" => action = value.trim_start_matches("AmazonSQS.").to_owned(),
                "content-length" => length = value.parse()?,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        connection.read_exact(&mut body).await?;
        let input = serde_json::from_slice(&body).context("the client sends no JSON")?;
        let (status, answer) = script(&action, &input);
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        connection.write_all(head.as_bytes()).await?;
        connection.write_all(answer.as_bytes()).await?;
    }
}
