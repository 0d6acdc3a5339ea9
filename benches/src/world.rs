//! A gateway and one Python actor on a queue file: processes of their own, as the product is installed.
//!
//! `asya-gateway` -> queue file -> `asya-sidecar` and a Python worker -> `asya-crew happy-end` -> `asya-gateway`.

use std::{
    collections::HashMap,
    net::TcpListener,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use asya_envelope::Naming;
use asya_transport::{
    Queues as _,
    local::{Local, LocalOptions},
};
use hyper::StatusCode;

use crate::{
    client::Client,
    process::{self, Running},
};

/// The actor, and the tool that calls it.
pub const ACTOR: &str = "bench-note";
/// Where bare envelopes, which no gateway knows of, come out.
pub const OUT: &str = "bench-out";
/// How long a process may take to be ready.
const READY: Duration = Duration::from_secs(30);

/// Everything that runs; ends when dropped.
pub struct World {
    /// The client of the gateway.
    pub client: Client,
    /// The queues.
    pub local: Arc<Local>,
    gateway: Option<Running>,
    _others: Vec<Running>,
    port: u16,
    folder: tempfile::TempDir,
}

impl World {
    /// Starts everything in a new folder, and waits until the gateway is ready; or the actor alone, without a gateway.
    ///
    /// # Errors
    /// When something is not built or does not start.
    pub async fn start(with_gateway: bool) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("asya-bench").tempdir_in(process::place())?;
        let path = folder.path();
        let local = Local::open(&path.join("queue.db"), LocalOptions::default())?;
        for actor in [ACTOR, OUT, "happy-end", "error-end"] {
            local.ensure(&Naming::bare().queue(actor)).await?;
        }
        let tools = format!(
            "tools: [{{name: note, route: [{ACTOR}], timeout: 600, parameters: {{number: {{type: integer, required: true}}}}}}]"
        );
        std::fs::write(path.join("tools.yaml"), tools)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut world =
            Self { client: Client::new(port), local, gateway: None, _others: Vec::new(), port, folder };
        let sockets = world.file("sockets");
        std::fs::create_dir(&sockets)?;
        let seen = world.file("seen");
        let seen = [("ASYA_BENCH_SEEN", seen.to_str().context("a path in UTF-8")?)];
        world._others.push(process::python(&sockets, "handlers.note", &seen)?);
        let mut sidecar = world.part("asya-sidecar")?;
        sidecar.env("ASYA_ACTOR_NAME", ACTOR).env("ASYA_SOCKET_DIR", &sockets);
        if !with_gateway {
            sidecar.env_remove("ASYA_GATEWAY_URL");
        }
        world._others.push(process::start(sidecar, "asya-sidecar")?);
        if !with_gateway {
            return Ok(world);
        }
        world.start_gateway()?;
        for end in ["happy-end", "error-end"] {
            let mut crew = world.part("asya-crew")?;
            crew.arg(end);
            world._others.push(process::start(crew, end)?);
        }
        world.ready().await?;
        Ok(world)
    }

    /// A program on the queue file that reports to the gateway.
    fn part(&self, name: &str) -> Result<tokio::process::Command> {
        let mut command = process::program(name)?;
        command
            .env("ASYA_TRANSPORT", "local")
            .env("ASYA_LOCAL_PATH", self.file("queue.db"))
            .env("ASYA_GATEWAY_URL", format!("http://127.0.0.1:{}", self.port))
            .env("ASYA_METRICS_ENABLED", "false")
            .env("ASYA_LOG_LEVEL", std::env::var("ASYA_LOG_LEVEL").unwrap_or_else(|_| "error".to_owned()));
        Ok(command)
    }

    fn start_gateway(&mut self) -> Result<()> {
        let mut command = self.part("asya-gateway")?;
        command
            .env("ASYA_GATEWAY_BIND", "127.0.0.1")
            .env("ASYA_GATEWAY_PORT", self.port.to_string())
            .env("ASYA_CONFIG_PATH", self.file("tools.yaml"))
            .env("ASYA_DATABASE_URL", self.file("gateway.db"));
        self.gateway = Some(process::start(command, "asya-gateway")?);
        Ok(())
    }

    /// Kills the gateway with SIGKILL, starts it again at once, and says how long until it was ready.
    ///
    /// # Errors
    /// When it does not start.
    pub async fn kill_gateway(&mut self) -> Result<Duration> {
        if let Some(gateway) = self.gateway.take() {
            gateway.kill().await?;
        }
        let killed = Instant::now();
        self.start_gateway()?;
        self.ready().await?;
        Ok(killed.elapsed())
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

    /// How often the actor has seen each number.
    ///
    /// # Errors
    /// When what it noted cannot be read.
    pub fn seen(&self) -> Result<HashMap<usize, usize>> {
        let mut seen = HashMap::new();
        for line in std::fs::read_to_string(self.file("seen"))?.lines() {
            *seen.entry(line.parse()?).or_default() += 1;
        }
        Ok(seen)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}
