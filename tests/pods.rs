//! Pods as processes of this machine, with the runtime as the operator's image has it.

use std::{path::Path, process::Stdio};

use anyhow::{Context, Result, ensure};
use tokio::process::{Child, Command};

use crate::{
    cluster::Cluster,
    process::{program, root},
};

/// Builds the Python runtime into a folder; its path.
///
/// # Errors
/// When it cannot be built.
pub async fn runtime(folder: &Path) -> Result<String> {
    let file = folder.join("asya_runtime.py");
    let mut build = Command::new("python3");
    build.arg(root().join("runtime-py/build_zipapp.py")).arg(&file).stdout(Stdio::null());
    ensure!(build.status().await?.success(), "the runtime could not be built");
    Ok(file.to_string_lossy().into_owned())
}

/// Runs the pods of a namespace with the real sidecar; its log is `kubelet.log` in the folder.
///
/// # Errors
/// When a program is not built.
pub fn kubelet(cluster: &Cluster, folder: &Path) -> Result<Child> {
    let log = std::fs::File::create(folder.join("kubelet.log"))?;
    Command::new(program("minikubelet")?)
        .arg("--kubeconfig")
        .arg(&cluster.kubeconfig)
        .args(["--namespace", &cluster.namespace, "--node", &cluster.namespace, "--command"])
        .arg(format!("asya-sidecar={}", program("asya-sidecar")?.display()))
        .stdout(Stdio::null())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .context("starting minikubelet")
}
