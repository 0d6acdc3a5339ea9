//! People who talk with agents and decide what these may do, over the gateway's REST interface, as [`PEOPLE`] with tokens.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    path::PathBuf,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::sleep,
};

use crate::{cluster::LIMIT, process::program};

/// The agent of all tests.
pub const AGENT: &str = "ops";
/// People by name, with their roles. The token of each is their name, eight times.
pub const PEOPLE: [(&str, &str); 4] =
    [("alice", "chat, read"), ("bob", "chat"), ("carol", "approve, read"), ("root", "admin")];
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// How much of each log is shown when something does not come true.
const LINES: usize = 30;

/// People before one gateway.
#[derive(Clone)]
pub struct People {
    /// Where the gateway listens.
    pub address: SocketAddr,
    /// A folder that programs of theirs may take for their home.
    pub home: PathBuf,
    /// The folder with the logs of what they talk with.
    pub logs: PathBuf,
}

/// The list of their tokens, as a gateway reads it.
#[must_use]
pub fn tokens() -> String {
    let hash =
        |name: &str| Sha256::digest(token(name)).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    PEOPLE
        .map(|(name, roles)| format!("- {{name: {name}, roles: [{roles}], sha256: {}}}\n", hash(name)))
        .concat()
}

impl People {
    /// Ends of all logs.
    #[must_use]
    pub fn logs(&self) -> String {
        let files =
            std::fs::read_dir(&self.logs).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        let files: BTreeSet<_> =
            files.filter(|path| path.extension().is_some_and(|it| it == "log")).collect();
        let end = |path: PathBuf| {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            format!("--- {}\n{}\n", path.display(), lines[lines.len().saturating_sub(LINES)..].join("\n"))
        };
        files.into_iter().map(end).collect()
    }

    /// Waits until the gateway answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn are_heard(&self) -> Result<()> {
        self.until("the gateway is ready", async || {
            Ok(self.ask("root", "GET", "/readyz", None).await.is_ok_and(|(status, _)| status == 200))
        })
        .await
    }

    /// Asks the gateway as `who`; status and body.
    ///
    /// # Errors
    /// No answer.
    pub async fn ask(
        &self,
        who: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value)> {
        let mut stream = TcpStream::connect(self.address).await?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n{kind}content-length: {}\r\nconnection: close\r\n\r\n",
            self.address,
            token(who),
            body.len()
        );
        stream.write_all((head + &body).as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer of HTTP")?;
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("a status")?;
        Ok((status, serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()))))
    }

    /// Asks for what must succeed.
    ///
    /// # Errors
    /// A refusal.
    pub async fn good(&self, who: &str, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
        let (status, body) = self.ask(who, method, path, body).await?;
        ensure!((200..300).contains(&status), "{method} {path}: {status} {body}");
        Ok(body)
    }

    /// The command line in the hands of `who`.
    ///
    /// # Errors
    /// A program that is not built.
    pub async fn asya(&self, who: &str, arguments: &[&str]) -> Result<Output> {
        let mut command = tokio::process::Command::new(program("asya")?);
        command
            .args(arguments)
            .env("ASYA_GATEWAY", format!("http://{}", self.address))
            .env("ASYA_TOKEN", token(who))
            .env("HOME", &self.home)
            .current_dir(&self.home)
            .stdin(Stdio::null());
        Ok(tokio::time::timeout(LIMIT, command.output()).await.context("the command does not end")??)
    }

    /// Begins a session by saying something; its id.
    ///
    /// # Errors
    /// A refusal.
    pub async fn begin(&self, who: &str, text: &str) -> Result<String> {
        let session = self
            .good(who, "POST", "/api/v1/sessions", Some(&json!({"agent": AGENT, "message": text})))
            .await?;
        Ok(session["id"].as_str().context("an id")?.to_owned())
    }

    /// Says something more.
    ///
    /// # Errors
    /// A refusal.
    pub async fn say(&self, who: &str, session: &str, text: &str) -> Result<()> {
        let path = format!("/api/v1/sessions/{session}/messages");
        self.good(who, "POST", &path, Some(&json!({"text": text}))).await.map(drop)
    }

    /// All entries of a session, by whoever may see everything.
    ///
    /// # Errors
    /// A refusal.
    pub async fn entries(&self, session: &str) -> Result<Vec<Value>> {
        let path = format!("/api/v1/sessions/{session}/entries?from=1&limit=200");
        let page = self.good("root", "GET", &path, None).await?;
        Ok(page["entries"].as_array().context("entries")?.clone())
    }

    /// Waits until the session is in this state; the session.
    ///
    /// # Errors
    /// It does not become so in time: with its entries and all logs.
    pub async fn becomes(&self, session: &str, state: &str) -> Result<Value> {
        let end = Instant::now() + LIMIT;
        loop {
            let path = format!("/api/v1/sessions/{session}");
            // The gateway may be starting.
            let now = self.good("root", "GET", &path, None).await.unwrap_or_default();
            if now["state"] == state {
                return Ok(now);
            }
            if Instant::now() > end {
                let entries = self.entries(session).await.unwrap_or_default();
                bail!("{session} does not become {state}: {now}\n{}\n{}", Value::from(entries), self.logs());
            }
            sleep(LOOK).await;
        }
    }

    /// The only operation of a session that waits.
    ///
    /// # Errors
    /// There is none, or there are more.
    pub async fn waiting(&self, session: &str) -> Result<Value> {
        let path = format!("/api/v1/approvals?phase=waiting&session={session}");
        let page = self.good("carol", "GET", &path, None).await?;
        let operations = page["operations"].as_array().context("operations")?;
        let [operation] = operations.as_slice() else { bail!("not one operation waits: {page}") };
        Ok(operation.clone())
    }

    /// Decides an operation as `who`; status and answer.
    ///
    /// # Errors
    /// No answer.
    pub async fn decide(&self, who: &str, operation: &Value, verdict: &str) -> Result<(u16, Value)> {
        let path = format!("/api/v1/approvals/{}", operation["id"].as_str().context("an id")?);
        self.ask(who, "POST", &path, Some(&json!({"verdict": verdict, "hash": operation["hash"]}))).await
    }

    /// Waits until `done`.
    ///
    /// # Errors
    /// What never became true, with all logs.
    pub async fn until(&self, what: &str, mut done: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
        let end = Instant::now() + LIMIT;
        while !done().await? {
            ensure!(Instant::now() < end, "it never became true that {what}\n{}", self.logs());
            sleep(LOOK).await;
        }
        Ok(())
    }
}

/// What a person shows the gateway.
fn token(name: &str) -> String {
    name.repeat(8)
}
