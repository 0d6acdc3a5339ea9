//! Stands in for the kubelet in tests: claims pods, runs their containers as processes of this machine, and reports.
//!
//! What it does as the kubelet does: native sidecars first, each until it has started; probes; restarts with back-off;
//! on deletion all preStop hooks at once, SIGTERM to the main containers, then to the sidecars, SIGKILL after
//! `terminationGracePeriodSeconds`; phase, conditions and container states; Secrets and ConfigMaps as files that follow
//! their objects; tokens of the pod's account for the audience that a volume names; the deletion of the pod's object in the
//! end. `kubectl logs` and `asya forward` work, `kubectl exec` and `kubectl port-forward` do not.
//!
//! What differs, because there are no images, no mounts and no network of its own:
//! - A container runs its own `command`, or the program that `--command NAME=…` gives for it; one with neither waits with
//!   `ErrImagePull`.
//! - Mounted paths in the command line, in probes and in values of variables become folders below `--dir`. A program that
//!   has such a path built in does not find it there.
//! - A pod's address is its own one of 127.0.0.0/8, so all pods can have the same ports: values like `:8080` or
//!   `0.0.0.0:8080` become that address. `ASYA_METRICS_ADDR` is set to port 8080 of it where the pod does not set it.
//! - Limits, security contexts, images and node selectors are not looked at.

mod action;
mod container;
mod environment;
mod forward;
mod kubelet;
mod logs;
mod objects;
mod paths;
mod pod;
mod probes;
mod serving;
mod state;
mod status;
mod volumes;

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::Parser;
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use tokio::signal::unix::{SignalKind, signal};
use tracing::info;
use tracing_subscriber::EnvFilter;

use crate::kubelet::Kubelet;
use crate::logs::Logs;

/// Runs the pods of a test cluster as processes of this machine.
#[derive(Parser)]
#[command(after_help = "Example:
    minikubelet --kubeconfig $ASYA_TEST_KUBECONFIG --namespace test --command asya-sidecar=target/debug/asya-sidecar")]
struct Args {
    /// Of somebody who may write nodes and pods, and read Secrets and ConfigMaps
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    kubeconfig: PathBuf,
    /// Name of the node
    #[arg(long, default_value = "minikubelet", value_name = "NAME")]
    node: String,
    /// Only pods of this namespace; may be repeated
    #[arg(long = "namespace", value_name = "NAME")]
    namespaces: Vec<String>,
    /// Program, with arguments, that stands for the image's entry point of the containers of this name; may be repeated
    #[arg(long = "command", value_name = "CONTAINER=PROGRAM", value_parser = entry_point)]
    commands: Vec<(String, Vec<String>)>,
    /// Folder for volumes and logs; a short path, as sockets lie below it [default: a new one in /tmp]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Seconds between the second and the third start of a container that fails; doubled each time
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    back_off: u64,
    /// Seconds between two looks at the Secrets and ConfigMaps that are mounted
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    refresh: u64,
}

fn entry_point(text: &str) -> Result<(String, Vec<String>)> {
    let (name, program) = text.split_once('=').context("expected CONTAINER=PROGRAM")?;
    let mut words: Vec<String> = program.split_whitespace().map(str::to_owned).collect();
    let first = words.first_mut().context("expected a program")?;
    // Containers have working folders of their own.
    if first.contains('/') {
        *first = std::path::absolute(&*first)?.to_string_lossy().into_owned();
    }
    Ok((name.to_owned(), words))
}

// One thread: a process that asked for it is killed when the thread that started it ends.
#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let args = Args::parse();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let ansi = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(ansi).with_writer(std::io::stderr).init();
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow!("a provider was installed before"))?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;

    let (kubelet, temporary) = kubelet(args).await?;
    info!(node = kubelet.node, folder = %kubelet.folder.display(), "running");
    let result = tokio::select! {
        result = kubelet.run() => result,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    kubelet.unregister().await;
    if temporary {
        std::fs::remove_dir_all(&kubelet.folder).ok();
    }
    result
}

async fn kubelet(args: Args) -> Result<(Kubelet, bool)> {
    let Args { kubeconfig, node, namespaces, commands, dir, back_off, refresh } = args;
    let read = Kubeconfig::read_from(&kubeconfig).with_context(|| kubeconfig.display().to_string())?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await?;
    let temporary = dir.is_none();
    let folder = dir.unwrap_or_else(|| std::env::temp_dir().join(format!("mk-{}", std::process::id())));
    std::fs::create_dir_all(&folder)?;
    let kubelet = Kubelet {
        client: Client::try_from(config)?,
        node,
        namespaces,
        programs: Arc::new(commands.into_iter().collect::<HashMap<_, _>>()),
        logs: Logs::new(folder.join("logs"))?,
        folder: std::fs::canonicalize(folder)?,
        guard: guard(),
        back_off: Duration::from_secs(back_off),
        refresh: Duration::from_secs(refresh),
    };
    Ok((kubelet, temporary))
}

/// `setpriv` of util-linux, if it is there.
fn guard() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("setpriv")).find(|program| program.is_file())
}
