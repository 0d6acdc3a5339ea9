//! `asya doctor`: this machine here, a cluster in `cluster`.

mod cluster;

use std::{path::PathBuf, time::Duration};

use clap::Args;
use serde::Serialize;
use tokio::process::Command;

use crate::{
    args::Common,
    broker::{Broker, queue_file},
    cluster::ClusterArgs,
    exit, manifest,
    output::Output,
    up::runtime::{PATH_VARIABLE, Runtime, interpreter},
};

/// Oldest Python that the runtime works with.
const OLDEST_PYTHON: (u32, u32) = (3, 10);
/// Open files that a few dozen replicas need: some sockets and pipes each.
const OPEN_FILES: u64 = 1_024;
/// How long a broker may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Check that this machine, or a cluster, can run actors
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  asya doctor\n  asya doctor manifests/ --transport rabbitmq://localhost\n  asya doctor --cluster --context prod"
)]
pub(crate) struct Doctor {
    /// Manifests whose interpreters are checked too
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Check a cluster instead: CRD, operator, KEDA, your rights, transports, actors
    #[arg(long, conflicts_with = "paths")]
    cluster: bool,
    #[command(flatten)]
    args: ClusterArgs,
}

/// One thing that was checked.
#[derive(Debug, Serialize)]
struct Checked {
    check: &'static str,
    ok: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Checked {
    fn of(check: &'static str, result: Result<String, (String, String)>) -> Self {
        match result {
            Ok(found) => Self { check, ok: true, found, fix: None },
            Err((found, fix)) => Self { check, ok: false, found, fix: Some(fix) },
        }
    }
}

impl Doctor {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self { paths, cluster, args } = self;
        if cluster || args.asked(&common)? {
            return cluster::check(&common, &args).await;
        }
        let mut pythons = vec![interpreter(None)];
        let mut all = Vec::new();
        if !paths.is_empty() {
            let loaded = manifest::load(&paths);
            let errors = loaded.findings.iter().filter(|finding| finding.is_error()).count();
            all.push(Checked::of(
                "manifests",
                match errors {
                    0 => Ok(format!("{} actors", loaded.actors.len())),
                    _ => Err((format!("{errors} errors"), "run asya validate on them".to_owned())),
                },
            ));
            let more = loaded
                .actors
                .iter()
                .map(|manifest| interpreter(manifest.actor.spec.workload.python_executable.as_deref()));
            pythons.extend(more);
            pythons.dedup();
        }
        let runtime = Runtime::find();
        for python in &pythons {
            let version = Checked::of("python", version(python).await);
            let usable = version.ok;
            all.push(version);
            // Without an interpreter nothing can be said of the runtime.
            if let (true, Ok(runtime)) = (usable, &runtime) {
                all.push(Checked::of("runtime", importable(python, runtime).await));
            }
        }
        if let Err(error) = &runtime {
            let fix = format!("set {PATH_VARIABLE} to a directory with the package asya_runtime");
            all.push(Checked::of("runtime", Err((format!("{error:#}"), fix))));
        }
        all.push(Checked::of("open files", open_files()));
        all.push(Checked::of("socket directory", sockets()));
        all.push(transport(common.clone()).await);
        for checked in &all {
            common.output.line(checked, || {
                let mark = if checked.ok { "ok  " } else { "FAIL" };
                let fix = checked.fix.as_ref().map_or_else(String::new, |fix| format!("\n     fix: {fix}"));
                format!("{mark} {:<16} {}{fix}", checked.check, checked.found)
            });
        }
        let healthy = all.iter().all(|checked| checked.ok);
        if common.output == Output::Human {
            eprintln!(
                "{}",
                if healthy { "this machine can run actors" } else { "something is to be mended" }
            );
        }
        Ok(if healthy { exit::OK } else { exit::FAILED })
    }
}

async fn version(python: &PathBuf) -> Result<String, (String, String)> {
    let fix =
        "install Python 3.10 or newer, activate a virtual environment, or set spec.workload.pythonExecutable";
    let script = "import sys; print(*sys.version_info[:3], sep='.'); print(sys.executable)";
    let output = Command::new(python).args(["-c", script]).output().await;
    let output = output.map_err(|error| (format!("{}: {error}", python.display()), fix.to_owned()))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut lines = text.lines();
    let (version, path) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let numbers: Vec<u32> = version.split('.').filter_map(|part| part.parse().ok()).collect();
    let found = format!("{version} ({path})");
    match numbers[..] {
        [major, minor, ..] if (major, minor) >= OLDEST_PYTHON => Ok(found),
        _ => Err((found, fix.to_owned())),
    }
}

async fn importable(python: &PathBuf, runtime: &Runtime) -> Result<String, (String, String)> {
    let file = match runtime {
        Runtime::File(file) => return Ok(format!("{} (not tried)", file.display())),
        Runtime::Package(directory) => directory,
    };
    let output = Command::new(python)
        .args(["-c", "import asya_runtime; print(asya_runtime.__file__)"])
        .env("PYTHONPATH", runtime.python_path(file))
        .output()
        .await;
    let fix = format!("unset {PATH_VARIABLE}, or remove {} so that it is unpacked again", file.display());
    match output {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => {
            let error =
                String::from_utf8_lossy(&output.stderr).trim().lines().last().unwrap_or_default().to_owned();
            Err((error, fix))
        }
        Err(error) => Err((error.to_string(), fix)),
    }
}

fn open_files() -> Result<String, (String, String)> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    match limit {
        Some(limit) if limit < OPEN_FILES => {
            Err((limit.to_string(), format!("run: ulimit -n {}", OPEN_FILES * 4)))
        }
        Some(limit) => Ok(limit.to_string()),
        None => Ok("unlimited".to_owned()),
    }
}

fn sockets() -> Result<String, (String, String)> {
    let made = tempfile::Builder::new().prefix("asya-").tempdir();
    let directory = made
        .map_err(|error| (error.to_string(), "set TMPDIR to a directory that can be written".to_owned()))?;
    let socket = directory.path().join("1/asya-runtime.sock");
    if socket.as_os_str().len() > 100 {
        return Ok(format!("/tmp, because the path of {} is too long", directory.path().display()));
    }
    Ok(std::env::temp_dir().display().to_string())
}

async fn transport(common: Common) -> Checked {
    if common.transport.is_some() {
        let opened = tokio::time::timeout(PATIENCE, Broker::open(&common, false)).await;
        let fix = "check the address, the password, and that the broker runs";
        return Checked::of(
            "broker",
            match opened {
                Ok(Ok(broker)) => Ok(format!("{} answers", broker.name)),
                Ok(Err(error)) => Err((format!("{error:#}"), fix.to_owned())),
                Err(_) => Err((format!("no answer within {PATIENCE:?}"), fix.to_owned())),
            },
        );
    }
    let file = match queue_file(&common) {
        Ok(file) => file,
        Err(error) => {
            return Checked::of("queue file", Err((format!("{error:#}"), "change directory".to_owned())));
        }
    };
    if !file.exists() {
        return Checked::of("queue file", Ok(format!("{} will be made by asya up", file.display())));
    }
    let fix = format!("move {} away; asya up makes a new one", file.display());
    let opened = match Broker::open(&common, false).await {
        Ok(broker) => {
            broker.depths(&[]).await.map(|depths| format!("{}, {} queues", file.display(), depths.len()))
        }
        Err(error) => Err(error),
    };
    Checked::of("queue file", opened.map_err(|error| (format!("{error:#}"), fix)))
}
