//! The analysis of a cluster as users run it on one machine: `asya up` with a directory of manifests.

use std::{
    fs::File,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use asya_store::Store;
use asya_transport::local::{Local, LocalOptions};
use jiff::Timestamp;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{cluster::LIMIT, process::program};

/// Pause between two looks at the queue file.
const LOOK: Duration = Duration::from_millis(50);

/// One actor: its name, which is that of its handler but for dashes, and its settings.
pub type Actor<'a> = (&'a str, Vec<(&'a str, String)>);

/// The actors of an analysis, and the process that runs them.
pub struct Analysis {
    folder: TempDir,
    kubeconfig: PathBuf,
    up: Option<Child>,
    records: Option<(Arc<Local>, Arc<dyn Store>)>,
}

impl Analysis {
    /// Writes the manifests; starts nothing.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn of(kubeconfig: PathBuf, actors: &[Actor<'_>]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let analysis = Self { folder, kubeconfig, up: None, records: None };
        analysis.write(actors)?;
        Ok(analysis)
    }

    fn write(&self, actors: &[Actor<'_>]) -> Result<()> {
        let manifests: Vec<String> = actors
            .iter()
            .map(|(name, settings)| {
                let env: Vec<Value> =
                    settings.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
                let spec = json!({"transport": "rabbitmq", "embedded": true, "env": env,
                    "handler": format!("asya_crew.{}", name.replace('-', "_")),
                    "workload": {"template": {"spec": {"containers": [{"name": "asya-runtime", "image": "asya-crew:0.1.0"}]}}}});
                json!({"apiVersion": "asya.sh/v1alpha1", "kind": "AsyncActor", "metadata": {"name": name}, "spec": spec})
                    .to_string()
            })
            .collect();
        std::fs::write(self.folder.path().join("actors.yaml"), manifests.join("\n---\n"))?;
        Ok(())
    }

    /// Looks at the cluster with other rights, or by another way, from the next start on.
    pub fn look_through(&mut self, kubeconfig: PathBuf) {
        self.kubeconfig = kubeconfig;
    }

    /// Starts all actors.
    ///
    /// # Errors
    /// A program that is not built.
    pub fn start(&mut self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log"))?;
        let up = self.asya(&["up", "--gateway", "off", "."])?.stdout(log.try_clone()?).stderr(log).spawn()?;
        self.up = Some(up);
        Ok(())
    }

    /// Ends the process without warning.
    ///
    /// # Errors
    /// When there is none.
    pub fn kill(&mut self) -> Result<()> {
        let mut up = self.up.take().context("it runs")?;
        up.kill()?;
        up.wait()?;
        Ok(())
    }

    fn asya(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(program("asya")?);
        command.args(arguments).current_dir(self.folder.path()).env("KUBECONFIG", &self.kubeconfig);
        command.env_remove("ASYA_LOCAL_PATH").env_remove("ASYA_TRANSPORT_URL").stdin(Stdio::null());
        Ok(command)
    }

    /// What the process said.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Asks `k8s-watch` by a message to send everything again.
    ///
    /// # Errors
    /// What the command says.
    pub fn resync(&self) -> Result<()> {
        let sent = self.asya(&["send", "k8s-watch", "{}"])?.output()?;
        ensure!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
        Ok(())
    }

    /// The findings that are not resolved, as `findings` keeps them.
    ///
    /// # Errors
    /// Those of the queue file.
    pub async fn open_findings(&mut self) -> Result<Vec<Value>> {
        let records = self.table("analysis_findings").await?;
        let findings = records.into_iter().map(|mut record| record["finding"].take());
        Ok(findings.filter(|finding| finding["lifecycle"] != "resolved").collect())
    }

    /// All records of a table.
    ///
    /// # Errors
    /// Those of the queue file.
    pub async fn table(&mut self, table: &'static str) -> Result<Vec<Value>> {
        if self.records.is_none() {
            let local = Local::open(&self.folder.path().join(".asya/queue.db"), LocalOptions::default())?;
            let store = local.store();
            self.records = Some((local, store));
        }
        let (_, store) = self.records.as_ref().expect("opened just now");
        let records = store.list(table, "", 10_000).await?;
        Ok(records.iter().filter_map(|record| serde_json::from_slice(&record.value).ok()).collect())
    }

    /// Waits until every open finding was seen since `since`: until a pass has come through.
    ///
    /// # Errors
    /// Which one was not, in time.
    pub async fn passed(&mut self, since: Timestamp) -> Result<()> {
        let end = Instant::now() + LIMIT;
        loop {
            let open = self.open_findings().await?;
            let behind = open.iter().find(|finding| {
                let seen = finding["lastSeen"].as_str().and_then(|seen| seen.parse::<Timestamp>().ok());
                seen.is_none_or(|seen| seen < since)
            });
            let Some(behind) = behind else { return Ok(()) };
            ensure!(Instant::now() < end, "not seen again since {since}: {behind}\n{}", self.log());
            sleep(LOOK).await;
        }
    }
}

impl Drop for Analysis {
    fn drop(&mut self) {
        if let Some(mut up) = self.up.take() {
            let _ = up.kill();
            let _ = up.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.log());
        }
    }
}
