//! Gateway, agent, tool and ends as processes of their own, on a queue file or a RabbitMQ.

use std::{
    collections::BTreeMap,
    net::TcpListener,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use asya_envelope::Naming;
use asya_transport::{
    Queues as _,
    local::{Local, LocalOptions},
};
use hyper::StatusCode;
use serde_json::json;

use crate::{
    broker::Broker,
    client::Client,
    process::{self, Running},
};

/// The agent.
pub const AGENT: &str = "bench-agent";
/// The actor of its tool.
const TOOL: &str = "bench-look";
/// The gateway's place among the processes.
pub const GATEWAY: &str = "gateway";
/// Everything that has a queue, with its handler.
const ACTORS: [(&str, &str); 4] = [
    (AGENT, "asya_crew.agent"),
    (TOOL, "asya_crew.http_call"),
    ("happy-end", "asya_crew.happy_end"),
    ("error-end", "asya_crew.error_end"),
];
/// What Linux counts time of a processor in, in a second.
const TICKS: f64 = 100.0;
/// How long a process may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// Where envelopes wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queues {
    /// In a file.
    Local,
    /// At the broker of `ASYA_TEST_RABBITMQ_URL`.
    RabbitMq,
}

/// Everything that runs; ends when dropped.
pub struct World {
    /// The client of the gateway.
    pub client: Client,
    running: BTreeMap<&'static str, Running>,
    _folder: tempfile::TempDir,
}

impl World {
    /// Starts everything in a new folder, for so many sessions at once and a model and a tool at this port of this machine.
    ///
    /// # Errors
    /// When something is not built or does not start.
    pub async fn start(queues: Queues, sessions: usize, script: u16) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("asya-bench").tempdir_in(process::place())?;
        let file = |name: &str| folder.path().join(name);
        std::fs::create_dir(file("agents"))?;
        std::fs::write(file(&format!("agents/{AGENT}.json")), json!({"name": AGENT}).to_string())?;
        match queues {
            Queues::Local => {
                let local = Local::open(&file("queue.db"), LocalOptions::default())?;
                for (actor, _) in ACTORS {
                    local.ensure(&Naming::bare().queue(actor)).await?;
                }
            }
            Queues::RabbitMq => {
                let broker = Broker::connect().await?;
                for (actor, _) in ACTORS {
                    broker.queue(actor).await?;
                }
            }
        }
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut running = BTreeMap::new();
        for name in [GATEWAY].into_iter().chain(ACTORS.map(|(name, _)| name)) {
            let mut command = process::program(if name == GATEWAY { "asya-gateway" } else { "asya-crew" })?;
            command.envs(environment(name, folder.path(), port, sessions, script));
            match queues {
                Queues::Local => {
                    command.env("ASYA_TRANSPORT", "local").env("ASYA_LOCAL_PATH", file("queue.db"));
                }
                Queues::RabbitMq => {
                    let url = std::env::var("ASYA_TEST_RABBITMQ_URL").context("ASYA_TEST_RABBITMQ_URL")?;
                    command.env("ASYA_TRANSPORT", "rabbitmq").env("ASYA_RABBITMQ_URL", url);
                }
            }
            running.insert(name, process::start(command, name)?);
        }
        let world = Self { client: Client::new(port), running, _folder: folder };
        world.ready().await?;
        Ok(world)
    }

    async fn ready(&self) -> Result<()> {
        let limit = Instant::now() + READY;
        loop {
            match self.client.get("/readyz").await {
                Ok((StatusCode::OK, _)) => return Ok(()),
                other => ensure!(Instant::now() < limit, "the gateway is not ready: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// All processes, the gateway among them.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.running.keys().copied()
    }

    /// Seconds of a processor that a process has used.
    ///
    /// # Errors
    /// When it has ended.
    pub fn used(&self, name: &str) -> Result<f64> {
        let stat = self.told(name, "stat")?;
        // Behind the name, which may hold anything: user and system time are the 12th and the 13th.
        let numbers = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().skip(11).take(2);
        let ticks: u64 = numbers.map(str::parse::<u64>).sum::<Result<_, _>>()?;
        Ok(ticks as f64 / TICKS)
    }

    /// The most memory that a process has had resident, in MiB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn peak(&self, name: &str) -> Result<f64> {
        let status = self.told(name, "status")?;
        let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmHWM:")) else {
            bail!("{name} has ended");
        };
        let kib: f64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib / 1024.0)
    }

    /// What the system tells of a process.
    fn told(&self, name: &str, what: &str) -> Result<String> {
        let pid =
            self.running.get(name).and_then(Running::pid).with_context(|| format!("{name} has ended"))?;
        Ok(std::fs::read_to_string(format!("/proc/{pid}/{what}"))?)
    }
}

fn environment(
    name: &str,
    folder: &Path,
    port: u16,
    sessions: usize,
    script: u16,
) -> BTreeMap<&'static str, String> {
    let text = |path: PathBuf| path.display().to_string();
    let level = std::env::var("ASYA_LOG_LEVEL").unwrap_or_else(|_| "error".to_owned());
    let mut env = BTreeMap::from([("ASYA_METRICS_ENABLED", "false".to_owned()), ("ASYA_LOG_LEVEL", level)]);
    if name == GATEWAY {
        env.extend([
            ("ASYA_GATEWAY_BIND", "127.0.0.1".to_owned()),
            ("ASYA_GATEWAY_PORT", port.to_string()),
            ("ASYA_DATABASE_URL", text(folder.join("gateway.db"))),
            ("ASYA_GATEWAY_AGENTS_DIR", text(folder.join("agents"))),
        ]);
        return env;
    }
    let handler = ACTORS.iter().find(|(actor, _)| *actor == name).map_or("", |(_, handler)| handler);
    env.extend([
        ("ASYA_ACTOR_NAME", name.to_owned()),
        ("ASYA_HANDLER", handler.to_owned()),
        ("ASYA_GATEWAY_URL", format!("http://127.0.0.1:{port}")),
    ]);
    let look = json!([{"name": "look", "description": "Looks a value up", "actor": TOOL, "parameters": {
        "type": "object", "required": ["session", "message"],
        "properties": {"session": {"type": "integer"}, "message": {"type": "integer"}}}}]);
    match name {
        AGENT => env.extend([
            ("ASYA_LLM_BACKEND", "openai-compatible".to_owned()),
            ("ASYA_LLM_BASE_URL", format!("http://127.0.0.1:{script}/v1")),
            ("ASYA_LLM_MODEL", "scripted".to_owned()),
            ("ASYA_AGENT_TOOLS", look.to_string()),
            ("ASYA_ROUTES_ALLOW", format!("{AGENT},{TOOL}")),
            ("ASYA_CONCURRENCY", sessions.to_string()),
        ]),
        TOOL => env.extend([
            ("ASYA_HTTP_ENDPOINT", format!("http://localhost:{script}/tool")),
            ("ASYA_HTTP_CONCURRENCY", sessions.to_string()),
        ]),
        _ => {}
    }
    env
}
