//! Agents as processes: a gateway, an agent, its tools, the approval and the two ends, on one queue file; and people who talk.

use std::{
    collections::BTreeMap,
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use asya_envelope::Naming;
use asya_transport::{
    Queues as _,
    local::{Local, LocalOptions},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::sleep,
};

use crate::{cluster::LIMIT, process::program};

/// The gateway's place among the processes.
pub const GATEWAY: &str = "gateway";
/// The agent of all tests.
pub const AGENT: &str = "ops";
/// Handlers of the other processes, by their actor's name.
const ACTORS: [(&str, &str); 6] = [
    (AGENT, "agent"),
    ("k8s-read", "k8s_read"),
    ("k8s-write", "k8s_write"),
    ("approval", "approval"),
    ("happy-end", "happy_end"),
    ("error-end", "error_end"),
];
/// People by name, with their roles. The token of each is their name, eight times.
const PEOPLE: [(&str, &str); 4] =
    [("alice", "chat, read"), ("bob", "chat"), ("carol", "approve, read"), ("root", "admin")];
/// Pause between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// What sidecars show the gateway.
const SIDECARS: &str = "sidecars-0123456789abcdef";

/// A fleet, stopped and forgotten when it is dropped.
pub struct Fleet {
    folder: TempDir,
    address: SocketAddr,
    kubeconfig: PathBuf,
    settings: BTreeMap<&'static str, Vec<(&'static str, String)>>,
    running: BTreeMap<String, Child>,
}

impl Fleet {
    /// Writes what the processes read; starts none. `model` is the base URL of the agent's model.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn new(kubeconfig: &Path, model: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("asya-agents").tempdir_in("/tmp")?;
        let file = |name: &str, text: String| std::fs::write(folder.path().join(name), text);
        let tokens = PEOPLE.map(|(name, roles)| {
            format!("- {{name: {name}, roles: [{roles}], sha256: {}}}\n", hex(&Sha256::digest(token(name))))
        });
        file("tokens.yaml", tokens.concat())?;
        file("sidecars", SIDECARS.to_owned())?;
        std::fs::create_dir(folder.path().join("agents"))?;
        let tools = json!([{"name": "k8s_read", "risk": "low"}, {"name": "k8s_write", "risk": "high"}]);
        let agent = json!({"name": AGENT, "description": "Operates the cluster", "models": ["larger"], "tools": tools,
            "budget": {"turns": 30, "tokens": 100_000}});
        file("agents/ops.json", agent.to_string())?;
        let used =
            json!([{"use": "k8s-read", "actor": "k8s-read"}, {"use": "k8s-write", "actor": "k8s-write"}]);
        let person =
            vec![("ASYA_KUBE_USER_CLAIM", "{sub}".to_owned()), ("ASYA_KUBE_NAMESPACES", "shop".to_owned())];
        let settings = BTreeMap::from([
            (
                AGENT,
                vec![
                    ("ASYA_LLM_BACKEND", "openai-compatible".to_owned()),
                    ("ASYA_LLM_BASE_URL", model.to_owned()),
                    ("ASYA_LLM_MODEL", "scripted".to_owned()),
                    ("ASYA_AGENT_MODELS", "larger".to_owned()),
                    ("ASYA_AGENT_TOOLS", used.to_string()),
                    ("ASYA_ROUTES_ALLOW", format!("{AGENT},approval,k8s-read,k8s-write")),
                ],
            ),
            ("k8s-read", person.clone()),
            ("k8s-write", [person, vec![("ASYA_ROUTES_ALLOW", "approval,k8s-write".to_owned())]].concat()),
        ]);
        let queues = Local::open(&folder.path().join("queue.db"), LocalOptions::default())?;
        for (actor, _) in ACTORS {
            queues.ensure(&Naming::bare().queue(actor)).await?;
        }
        let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?;
        let kubeconfig = kubeconfig.to_owned();
        Ok(Self { folder, address, kubeconfig, settings, running: BTreeMap::new() })
    }

    /// A setting more of an actor, from its next start on.
    pub fn set(&mut self, actor: &'static str, name: &'static str, value: &str) {
        self.settings.entry(actor).or_default().push((name, value.to_owned()));
    }

    /// Starts whatever does not run, and waits until the gateway answers.
    ///
    /// # Errors
    /// A program that is not built, and a gateway that does not answer.
    pub async fn start(&mut self) -> Result<()> {
        for name in std::iter::once(GATEWAY).chain(ACTORS.map(|(name, _)| name)) {
            if !self.running.contains_key(name) {
                let child = self.command(name)?.spawn()?;
                self.running.insert(name.to_owned(), child);
            }
        }
        self.until("the gateway is ready", async || {
            Ok(self.ask("root", "GET", "/readyz", None).await.is_ok_and(|(status, _)| status == 200))
        })
        .await
    }

    /// Ends these processes without warning.
    ///
    /// # Errors
    /// When one did not run.
    pub fn kill(&mut self, names: &[&str]) -> Result<()> {
        for name in names {
            let mut child = self.running.remove(*name).with_context(|| format!("{name} runs"))?;
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Ends all of them without warning.
    ///
    /// # Errors
    /// Those of the system.
    pub fn kill_all(&mut self) -> Result<()> {
        let names: Vec<_> = self.running.keys().cloned().collect();
        self.kill(&names.iter().map(String::as_str).collect::<Vec<_>>())
    }

    fn command(&self, name: &str) -> Result<Command> {
        let folder = self.folder.path();
        let mut command = if name == GATEWAY {
            let mut command = Command::new(program("asya-gateway")?);
            command
                .env("ASYA_GATEWAY_BIND", "127.0.0.1")
                .env("ASYA_GATEWAY_PORT", self.address.port().to_string())
                .env("ASYA_DATABASE_URL", folder.join("gateway.db"))
                .env("ASYA_GATEWAY_TOKENS_FILE", folder.join("tokens.yaml"))
                .env("ASYA_GATEWAY_CALLBACK_TOKEN_FILE", folder.join("sidecars"))
                .env("ASYA_GATEWAY_AGENTS_DIR", folder.join("agents"));
            command
        } else {
            let handler = ACTORS.iter().find(|(actor, _)| *actor == name).context("an actor")?.1;
            let mut command = Command::new(program("asya-crew")?);
            command
                .env("ASYA_ACTOR_NAME", name)
                .env("ASYA_HANDLER", format!("asya_crew.{handler}"))
                .env("ASYA_GATEWAY_URL", format!("http://{}", self.address))
                .env("ASYA_GATEWAY_TOKEN_PATH", folder.join("sidecars"))
                .env("ASYA_RECORDS_URL", format!("file://{}", folder.join("records").display()))
                .env("ASYA_METRICS_ENABLED", "false")
                .env("KUBECONFIG", &self.kubeconfig);
            for (name, value) in self.settings.get(name).into_iter().flatten() {
                command.env(name, value);
            }
            command
        };
        let log = File::options().create(true).append(true).open(folder.join(format!("{name}.log")))?;
        command
            .env("ASYA_TRANSPORT", "local")
            .env("ASYA_LOCAL_PATH", folder.join("queue.db"))
            .env("ASYA_LOG_LEVEL", "debug")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    /// Ends of all logs.
    #[must_use]
    pub fn logs(&self) -> String {
        let names = std::iter::once(GATEWAY).chain(ACTORS.map(|(name, _)| name));
        let end = |name: &str| {
            let text =
                std::fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            format!("--- {name}\n{}\n", lines[lines.len().saturating_sub(30)..].join("\n"))
        };
        names.map(end).collect()
    }

    /// Files that hold what the processes keep and what they said, for a look whether a secret is in one of them.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn kept(&self) -> Result<Vec<(PathBuf, Vec<u8>)>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(self.folder.path())? {
            let path = entry?.path();
            if path.is_file() {
                files.push((path.clone(), std::fs::read(path)?));
            }
        }
        Ok(files)
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
            .env("HOME", self.folder.path())
            .current_dir(self.folder.path())
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

impl Drop for Fleet {
    fn drop(&mut self) {
        for child in self.running.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a person shows the gateway.
fn token(name: &str) -> String {
    name.repeat(8)
}
