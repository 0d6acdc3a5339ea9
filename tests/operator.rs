//! The real operator as a process against the test cluster.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};

use crate::{
    cluster::{Cluster, eventually},
    process::{program, root},
};

/// How long a replica may go on writing after what it was told last.
const REST: Duration = Duration::from_secs(60);

/// One replica of the operator.
pub struct Operator {
    child: Child,
    folder: TempDir,
}

/// How a replica is started.
#[derive(Clone, Debug)]
pub struct Settings {
    environment: Vec<(String, String)>,
    arguments: Vec<String>,
}

impl Settings {
    /// For one namespace of the cluster, with the test's RabbitMQ.
    pub fn of(cluster: &Cluster) -> Self {
        let runtime = root().join("runtime-py/src/asya_runtime/__init__.py");
        Self { environment: Vec::new(), arguments: Vec::new() }
            .env("KUBECONFIG", &cluster.kubeconfig.to_string_lossy())
            .env("ASYA_TRANSPORT_CONFIG", &transports().to_string())
            .env("ASYA_WATCH_NAMESPACES", &cluster.namespace)
            .env("ASYA_OPERATOR_NAMESPACE", &cluster.namespace)
            .env("ASYA_RUNTIME_NAMESPACE", &cluster.namespace)
            .env("ASYA_RUNTIME_SCRIPT_PATH", &runtime.to_string_lossy())
            .env("ASYA_METRICS_BIND_ADDRESS", "127.0.0.1:0")
            .env("ASYA_HEALTH_PROBE_BIND_ADDRESS", "127.0.0.1:0")
            .env("ASYA_LOG_LEVEL", "info,asya_operator=debug")
            .env("ASYA_LOG_FORMAT", "json")
    }

    /// As [`of`](Self::of), with the password in a Secret: the operator's own copy is `<secrets>/rabbitmq/password`.
    pub fn with_password(cluster: &Cluster, secrets: &Path) -> Self {
        Self::with_transport(cluster, secrets, &Value::Null)
    }

    /// As [`with_password`](Self::with_password), with these settings of the transport as well.
    pub fn with_transport(cluster: &Cluster, secrets: &Path, more: &Value) -> Self {
        let mut transports = transports();
        let config = &mut transports["transports"]["rabbitmq"]["config"];
        config["passwordSecretRef"] = json!({"name": "rabbitmq", "key": "password"});
        for (name, value) in more.as_object().into_iter().flatten() {
            config[name] = value.clone();
        }
        Self::of(cluster)
            .env("ASYA_TRANSPORT_CONFIG", &transports.to_string())
            .env("ASYA_TRANSPORT_SECRETS_DIR", &secrets.to_string_lossy())
    }

    /// With this variable; the last one of a name counts.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With this flag.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.arguments.push(flag.to_owned());
        self
    }
}

/// The test's RabbitMQ as the operator's configuration.
fn transports() -> Value {
    let url = std::env::var("ASYA_TEST_RABBITMQ_URL").unwrap_or_default();
    let management = std::env::var("ASYA_TEST_RABBITMQ_MANAGEMENT").unwrap_or_default();
    let address = url.rsplit('@').next().unwrap_or_default().trim_end_matches('/').to_owned();
    let (host, port) = address.rsplit_once(':').unwrap_or((&address, "5672"));
    let management = format!("http://{}", management.rsplit('@').next().unwrap_or_default());
    json!({"transports": {"rabbitmq": {"type": "rabbitmq", "enabled": true, "config": {
        "host": host, "port": port.parse::<u16>().unwrap_or(5672), "username": "guest", "managementURL": management,
    }}}})
}

impl Operator {
    /// Starts a replica and waits until it is ready.
    ///
    /// # Errors
    /// When it is not built or does not get ready.
    pub async fn start(settings: &Settings) -> Result<Self> {
        let operator = Self::spawn(settings)?;
        eventually("the operator is ready", async || {
            Ok(operator.http("/readyz").await?.contains(" 200 ").then_some(()))
        })
        .await
        .with_context(|| operator.log())?;
        Ok(operator)
    }

    /// Starts a replica.
    ///
    /// # Errors
    /// When it is not built.
    pub fn spawn(settings: &Settings) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("asya-operator").tempdir()?;
        let log = std::fs::File::create(folder.path().join("log"))?;
        let child = Command::new(program("asya-operator")?)
            .args(&settings.arguments)
            .env_clear()
            .envs(settings.environment.iter().map(|(name, value)| (name, value)))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("starting asya-operator")?;
        Ok(Self { child, folder })
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Whether it wrote this.
    pub fn said(&self, words: &str) -> bool {
        self.log().contains(words)
    }

    /// Kills it without warning.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Asks it to stop, as a kubelet does, and waits until it did.
    ///
    /// # Errors
    /// When it is gone already.
    pub async fn stop(mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        Ok(self.child.wait().await?)
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// The system's.
    pub async fn end(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// When it is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(kill_process(id.context("it runs")?, signal)?)
    }

    async fn http(&self, path: &str) -> Result<String> {
        let log = self.log();
        let address = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let address = address.into_iter().find(|line| line["message"] == "serving").context("it serves")?;
        let mut stream = TcpStream::connect(address["address"].as_str().context("an address")?).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }

    /// What it answers to `GET path`, with the status line.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn get(&self, path: &str) -> Result<String> {
        self.http(path).await
    }

    /// The sum of a metric over its labels, of those lines that contain `labels`.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn metric(&self, name: &str, labels: &str) -> Result<f64> {
        let text = self.http("/metrics").await?;
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
        });
        Ok(lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Writes that it sent to the API server so far, the lease excepted.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn writes(&self) -> Result<f64> {
        self.metric("asya_operator_api_writes_total", "").await
    }

    /// Waits until it has sent no write to the API server for so long.
    ///
    /// # Errors
    /// When it does not come to rest within a minute, or does not answer.
    pub async fn rests(&self, during: Duration) -> Result<()> {
        let began = Instant::now();
        loop {
            let before = self.writes().await?;
            tokio::time::sleep(during).await;
            let written = self.writes().await? - before;
            if written == 0.0 {
                return Ok(());
            }
            ensure!(began.elapsed() < REST, "it writes on ({written} in {during:?}):\n{}", self.log());
        }
    }
}
