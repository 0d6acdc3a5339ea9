//! Agents as processes: a gateway, an agent, its tools, the approval and the two ends, on one queue file; and people who talk.

use std::{
    collections::BTreeMap,
    fs::File,
    net::SocketAddr,
    ops::Deref,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};
use asya_envelope::Naming;
use asya_transport::{
    Queues as _,
    local::{Local, LocalOptions},
};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;

pub use crate::people::AGENT;
use crate::{
    people::{self, People},
    process::program,
};

/// The gateway's place among the processes.
pub const GATEWAY: &str = "gateway";
/// Handlers of the other processes, by their actor's name; [`Fleet::add`] makes more.
const ACTORS: [(&str, &str); 7] = [
    (AGENT, "agent"),
    ("k8s-read", "k8s_read"),
    ("k8s-write", "k8s_write"),
    ("helm", "helm"),
    ("approval", "approval"),
    ("happy-end", "happy_end"),
    ("error-end", "error_end"),
];
/// What sidecars show the gateway.
const SIDECARS: &str = "sidecars-0123456789abcdef";

/// A fleet, stopped and forgotten when it is dropped.
pub struct Fleet {
    folder: TempDir,
    people: People,
    kubeconfig: PathBuf,
    actors: Vec<(&'static str, &'static str)>,
    settings: BTreeMap<&'static str, Vec<(String, String)>>,
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
        file("tokens.yaml", people::tokens())?;
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
        let here = || folder.path().to_owned();
        let people = People { address, home: here(), logs: here() };
        let kubeconfig = kubeconfig.to_owned();
        let owned = |(name, value): (&str, String)| (name.to_owned(), value);
        let settings = settings.into_iter().map(|(actor, all)| (actor, all.into_iter().map(owned).collect()));
        let (actors, settings) = (ACTORS.to_vec(), settings.collect());
        Ok(Self { folder, people, kubeconfig, actors, settings, running: BTreeMap::new() })
    }

    /// One actor more, from the next start on; its settings are those that [`Fleet::set`] gives it.
    ///
    /// # Errors
    /// Those of the disk.
    pub async fn add(&mut self, actor: &'static str, handler: &'static str) -> Result<()> {
        let queues = Local::open(&self.folder.path().join("queue.db"), LocalOptions::default())?;
        queues.ensure(&Naming::bare().queue(actor)).await?;
        self.actors.push((actor, handler));
        Ok(())
    }

    /// A setting more of an actor, or another value of one, from its next start on.
    pub fn set(&mut self, actor: &'static str, name: &str, value: &str) {
        self.settings.entry(actor).or_default().push((name.to_owned(), value.to_owned()));
    }

    fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(GATEWAY).chain(self.actors.clone().into_iter().map(|(name, _)| name))
    }

    /// Starts whatever does not run, and waits until the gateway answers.
    ///
    /// # Errors
    /// A program that is not built, and a gateway that does not answer.
    pub async fn start(&mut self) -> Result<()> {
        for name in self.names() {
            if !self.running.contains_key(name) {
                let child = self.command(name)?.spawn()?;
                self.running.insert(name.to_owned(), child);
            }
        }
        self.are_heard().await
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
                .env("ASYA_GATEWAY_PORT", self.people.address.port().to_string())
                .env("ASYA_DATABASE_URL", folder.join("gateway.db"))
                .env("ASYA_GATEWAY_TOKENS_FILE", folder.join("tokens.yaml"))
                .env("ASYA_GATEWAY_CALLBACK_TOKEN_FILE", folder.join("sidecars"))
                .env("ASYA_GATEWAY_AGENTS_DIR", folder.join("agents"));
            command
        } else {
            let handler = self.actors.iter().find(|(actor, _)| *actor == name).context("an actor")?.1;
            let mut command = Command::new(program("asya-crew")?);
            command
                .env("ASYA_ACTOR_NAME", name)
                .env("ASYA_HANDLER", format!("asya_crew.{handler}"))
                .env("ASYA_GATEWAY_URL", format!("http://{}", self.people.address))
                .env("ASYA_GATEWAY_TOKEN_PATH", folder.join("sidecars"))
                .env("ASYA_RECORDS_URL", format!("file://{}", folder.join("records").display()))
                .env("ASYA_METRICS_ENABLED", "false")
                .env("KUBECONFIG", &self.kubeconfig);
            for (name, value) in self.settings.get(name).into_iter().flatten() {
                command.env(name, value);
            }
            command
        };
        // What whoever runs this has set for programs of their own is nothing to these, unless it is said here.
        let said: Vec<_> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"ASYA_") && !said.contains(&name) {
                command.env_remove(name);
            }
        }
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

    /// Processes that have ended by themselves.
    ///
    /// # Errors
    /// Those of the system.
    pub fn ended(&mut self) -> Result<Vec<String>> {
        let mut ended = Vec::new();
        for (name, child) in &mut self.running {
            if let Some(status) = child.try_wait()? {
                ended.push(format!("{name} ({status})"));
            }
        }
        Ok(ended)
    }

    /// Where the gateway listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.people.address
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
}

/// Whoever talks with it.
impl Deref for Fleet {
    type Target = People;

    fn deref(&self) -> &People {
        &self.people
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
