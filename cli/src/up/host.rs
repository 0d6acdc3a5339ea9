//! The gateway inside `asya up`: tools over HTTP, and the state of every envelope that it made.

use std::{
    collections::BTreeMap,
    io::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use asya_crew::Letters;
use asya_envelope::Naming;
use asya_gateway::{
    actors::{Actor, Source},
    args::Args,
    run::{self, Gateway, background::Queues, parts},
    service::Error,
    settings::{Settings, access::Access},
};
use asya_settings::Secret;
use asya_sidecar::{Ends, Observers, gateway::Gateway as Reports};
use clap::Parser as _;
use futures::future::{BoxFuture, ready};
use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{fleet::Row, logs::Logs};
use crate::{broker::Broker, commands::up::Up, exit::misconfigured};

/// Where the gateway listens unless it is told: where clients of the Go system's command line look for it.
const ADDRESS: &str = "127.0.0.1:8089";
/// What turns it off.
const OFF: &str = "off";
/// The file of tools that is looked for beside manifests.
const TOOLS: &str = "tools.yaml";
/// The gateway's database, beside the queue file.
const DATABASE: &str = "gateway.db";

/// A gateway that serves, and how engines report to it.
pub(crate) struct Host {
    gateway: Gateway,
    stop: CancellationToken,
    pub(crate) reporter: Reporter,
    pub(crate) reachable: Reachable,
    /// Where it reads which agents there are.
    agents: TempDir,
    /// Goes with the gateway.
    _token: Option<NamedTempFile>,
}

/// Where actors of this process find the gateway.
#[derive(Clone, Debug)]
pub(crate) struct Reachable {
    url: String,
    /// File with the secret that they show.
    token: Option<PathBuf>,
}

impl Reachable {
    /// What a pod would be told by this variable.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        match name {
            "ASYA_GATEWAY_URL" => Some(self.url.clone()),
            "ASYA_GATEWAY_TOKEN_PATH" => self.token.as_ref().map(|path| path.display().to_string()),
            _ => None,
        }
    }
}

/// How engines report.
#[derive(Clone, Default)]
pub(crate) struct Reporter {
    observers: Observers,
    ends: Option<Arc<Reports>>,
}

impl Reporter {
    /// What an engine is told of them.
    pub(crate) fn observers(&self) -> Observers {
        let ends = self.ends.clone().map(|ends| -> Arc<dyn Ends> { ends });
        Observers { ends, ..self.observers.clone() }
    }

    /// Where error-end hands what failed for good.
    pub(crate) fn letters(&self) -> Option<Arc<dyn Letters>> {
        self.ends.clone().map(|ends| -> Arc<dyn Letters> { ends })
    }
}

impl Host {
    /// Starts the gateway that the options ask for, with the agents that are `known`; `None`: none, or there is no room for one that nobody asked for.
    ///
    /// # Errors
    /// Tools or options that are wrong, an address in use that was asked for, a database that cannot be opened.
    pub(crate) async fn start(
        up: &Up,
        broker: &Broker,
        rows: watch::Receiver<Vec<Row>>,
        known: &BTreeMap<String, Value>,
        logs: &Logs,
    ) -> anyhow::Result<Option<Self>> {
        let Some(text) = wanted(up) else { return Ok(None) };
        let address: SocketAddr = text.parse().map_err(|_| {
            misconfigured(format!("--gateway {text}: must be an address such as {ADDRESS}, or off"))
        })?;
        let folder = match &broker.local {
            Some(local) => local.path().parent().map(Path::to_owned).unwrap_or_default(),
            None => PathBuf::from(".asya"),
        };
        std::fs::create_dir_all(&folder).with_context(|| format!("making directory {}", folder.display()))?;
        let tools = tools(up)?;
        let mut settings = settings(address, &folder, tools.as_deref(), broker)?;
        let agents = TempDir::with_prefix("asya-agents-").context("making a directory for agents")?;
        tell(agents.path(), known).context("telling the gateway of agents")?;
        // Without agents of its own it has those of a directory that is named.
        if settings.agents.folder.is_none() || !known.is_empty() {
            settings.agents.folder = Some(agents.path().to_owned());
        }
        let token = callback_token(&mut settings.access)?;
        let stop = CancellationToken::new();
        let queues = Queues::Open {
            transport: broker.transport.clone(),
            name: broker.name,
            actors: Arc::new(Fleet { rows, naming: broker.naming.clone(), transport: broker.name }),
            dead_letters: broker.dead.clone(),
        };
        let gateway = match run::start(settings, queues, stop.clone()).await {
            Ok(gateway) => gateway,
            Err(error) if up.gateway.is_none() && is_taken(&error) => {
                logs.note(None, format!("no gateway: {ADDRESS} is in use; --gateway ADDRESS names another"));
                return Ok(None);
            }
            Err(error) if error.is::<parts::Misconfigured>() => return Err(misconfigured(error.to_string())),
            Err(error) => return Err(error.context("starting the gateway; --gateway off goes on without")),
        };
        let many = gateway.service.tools().iter().len();
        let from = tools.map_or_else(|| format!("no {TOOLS}"), |path| path.display().to_string());
        logs.note(None, format!("gateway http://{}, {many} tools ({from})", gateway.address));
        let token_file = token.as_ref().map(|token| token.path().to_owned());
        let url = format!("http://{}", reachable(gateway.address));
        let reports = Reports::new(&url, token_file.clone()).map_err(anyhow::Error::msg)?;
        let mut observers = Observers::default();
        reports.follow(None, &mut observers);
        observers.approvals = Some(Arc::clone(&reports));
        let reporter = Reporter { observers, ends: Some(reports) };
        let reachable = Reachable { url, token: token_file };
        Ok(Some(Self { gateway, stop, reporter, reachable, agents, _token: token }))
    }

    /// Tells it which agents there are from now on; it looks every two seconds.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn tell(&self, agents: &BTreeMap<String, Value>) -> std::io::Result<()> {
        tell(self.agents.path(), agents)
    }

    /// Ends it: what was accepted is in its queue by then, or in the database for the next start.
    pub(crate) async fn end(self, logs: &Logs) {
        self.stop.cancel();
        if let Err(error) = self.gateway.ended().await {
            logs.error(None, format!("the gateway ended: {error:#}"));
        }
    }
}

/// Where the gateway is to listen; `None`: there is to be none.
pub(crate) fn wanted(up: &Up) -> Option<&str> {
    match up.gateway.as_deref() {
        Some(OFF) => None,
        // Who waits for the end of what is there does not call tools meanwhile.
        None if up.until_idle => None,
        asked => Some(asked.unwrap_or(ADDRESS)),
    }
}

/// Makes the files of a directory those of these agents.
fn tell(folder: &Path, agents: &BTreeMap<String, Value>) -> std::io::Result<()> {
    let file = |name: &str| folder.join(format!("{name}.json"));
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if !agents.keys().any(|name| file(name) == path) {
            std::fs::remove_file(path)?;
        }
    }
    for (name, agent) in agents {
        // Under another name first: half a file is no agent.
        let beside = file(name).with_extension("new");
        std::fs::write(&beside, agent.to_string())?;
        std::fs::rename(beside, file(name))?;
    }
    Ok(())
}

/// Where sidecars are asked, those of this process show a secret: in a file, as they read it.
fn callback_token(access: &mut Access) -> anyhow::Result<Option<NamedTempFile>> {
    if access.callbacks_open {
        return Ok(None);
    }
    let secret = match &access.callback_secret {
        Some(secret) => secret.read().map_err(misconfigured)?,
        None => format!("{}{}", uuid::Uuid::now_v7().simple(), uuid::Uuid::now_v7().simple()),
    };
    let mut file = NamedTempFile::new().context("making a file for the secret of this process")?;
    file.write_all(secret.as_bytes()).context("writing it")?;
    access.callback_secret = Some(Secret::Plain(secret));
    access.warnings.clear();
    Ok(Some(file))
}

/// The file that `--tools` names, or the one beside the manifests, or the one here.
fn tools(up: &Up) -> anyhow::Result<Option<PathBuf>> {
    if let Some(path) = &up.tools {
        return Ok(Some(path.clone()));
    }
    let mut found: Vec<PathBuf> = Vec::new();
    for path in &up.paths {
        let folder = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(Path::new("")) };
        let file = folder.join(TOOLS);
        if file.is_file() && !found.contains(&file) {
            found.push(file);
        }
    }
    match &found[..] {
        [] => Ok(Some(PathBuf::from(TOOLS)).filter(|file| file.is_file())),
        [file] => Ok(Some(file.clone())),
        [first, second, ..] => Err(misconfigured(format!(
            "tools are in {} and in {}: name one file or directory with --tools",
            first.display(),
            second.display()
        ))),
    }
}

/// What the environment says of a gateway counts here too, but for where it listens and what it stands on.
fn settings(
    address: SocketAddr,
    folder: &Path,
    tools: Option<&Path>,
    broker: &Broker,
) -> anyhow::Result<Settings> {
    let args = Args::try_parse_from(["asya-gateway"]).map_err(|error| misconfigured(error.to_string()))?;
    let text = |path: &Path| Some(path.display().to_string());
    let mut options = args.options;
    options.bind = Some(address.ip().to_string());
    options.port = Some(address.port().to_string());
    options.metrics_addr = None;
    options.database_url_file = None;
    options.database_url = Some(format!("sqlite:{}", folder.join(DATABASE).display()));
    options.config_path = tools.and_then(text).or(options.config_path);
    // The transport is there; what is said of it is only shown.
    options.transport = Some("local".to_owned());
    options.local_path = text(folder);
    options.queue_template = None;
    options.namespace = None;
    let mut settings = Settings::read(&options).map_err(|errors| misconfigured(errors.to_string()))?;
    settings.naming = broker.naming.clone();
    settings.rules.payloads.clone_from(&broker.payloads);
    if let Some(limit) = broker.transport.max_message() {
        let largest = &mut settings.rules.limits.max_envelope;
        *largest = (*largest).min(limit);
    }
    Ok(settings)
}

/// The address that this machine reaches it under.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(four) if four.ip().is_unspecified() => ([127, 0, 0, 1], four.port()).into(),
        SocketAddr::V6(six) if six.ip().is_unspecified() => {
            SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), six.port())
        }
        other => other,
    }
}

fn is_taken(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == std::io::ErrorKind::AddrInUse)
}

/// What the view shows of actors, for the gateway.
struct Fleet {
    rows: watch::Receiver<Vec<Row>>,
    naming: Naming,
    transport: &'static str,
}

impl Source for Fleet {
    fn actors(&self) -> BoxFuture<'_, Result<Vec<Actor>, Error>> {
        let actors = self.rows.borrow().iter().map(|row| self.actor(row)).collect();
        Box::pin(ready(Ok(actors)))
    }
}

impl Fleet {
    fn actor(&self, row: &Row) -> Actor {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let status = match (&row.failing, row.replicas) {
            (Some(_), _) => "failing",
            (None, 0) => "sleeping",
            (None, all) if row.starting == all => "starting",
            (None, _) => "running",
        };
        Actor {
            name: row.actor.clone(),
            queue: self.naming.queue(&row.actor).to_string(),
            transport: self.transport.to_owned(),
            status: Some(status.to_owned()),
            ready: Some(count(row.replicas - row.starting)),
            desired: Some(count(row.replicas)),
            queued: Some(row.ready + row.delayed),
            in_flight: Some(row.in_flight),
            dead: Some(row.dead),
            rate: Some(row.rate),
            ..Actor::default()
        }
    }
}
