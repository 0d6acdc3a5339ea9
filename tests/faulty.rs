//! An API server that fails for some kinds, as a real one behind a proxy of the test's own making: it answers with an error,
//! or not at all.

use std::{
    collections::HashMap,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
};

use anyhow::{Context, Result};
use serde_json::json;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
    process::Child,
    task::{AbortHandle, JoinSet},
};

use crate::bare::Bare;

/// What happens to requests about a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// They are answered with this status.
    Answers(u16),
    /// They are not answered.
    Hangs,
}

/// A proxy before an API server.
pub struct Faulty {
    /// Leads through the proxy, with the administrator's rights.
    pub kubeconfig: PathBuf,
    faults: Arc<Faults>,
    _kubectl: Child,
    _serving: JoinSet<()>,
    _folder: TempDir,
}

#[derive(Default)]
struct Faults {
    by_kind: Mutex<HashMap<String, Fault>>,
    /// How many requests about a kind met its fault.
    met: Mutex<HashMap<String, usize>>,
    /// Connections by the kind that they ask for: one request each.
    open: Mutex<Vec<(String, AbortHandle)>>,
}

impl Faulty {
    /// Before `bare`, without a fault.
    ///
    /// # Errors
    /// When kubectl does not serve.
    pub async fn before(bare: &Bare) -> Result<Self> {
        let mut kubectl = bare
            .kubectl()
            .args(["proxy", "--port=0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let said = BufReader::new(kubectl.stdout.take().context("its output")?).lines().next_line().await?;
        let said = said.context("kubectl proxy says nothing")?;
        let behind = said.rsplit(' ').next().context("an address")?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = format!("http://{}", listener.local_addr()?);
        let folder = tempfile::tempdir()?;
        let kubeconfig = folder.path().join("kubeconfig");
        let config = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": address}}], "users": [{"name": "u", "user": {}}]});
        std::fs::write(&kubeconfig, config.to_string())?;
        let faults = Arc::new(Faults::default());
        let mut serving = JoinSet::new();
        serving.spawn(serve(listener, behind, Arc::clone(&faults)));
        Ok(Self { kubeconfig, faults, _kubectl: kubectl, _serving: serving, _folder: folder })
    }

    /// From now on requests about these kinds (`pods`) meet this fault, and all that are under way end.
    pub fn fail(&self, faults: &[(&str, Fault)]) {
        let named = faults.iter().map(|(kind, fault)| ((*kind).to_owned(), *fault));
        *self.faults.by_kind.lock().expect("no panic in it") = named.collect();
        self.faults.met.lock().expect("no panic in it").clear();
        self.faults.open.lock().expect("no panic in it").drain(..).for_each(|(_, task)| task.abort());
    }

    /// How many requests have met the fault of a kind since it was set.
    #[must_use]
    pub fn met(&self, kind: &str) -> usize {
        self.faults.met.lock().expect("no panic in it").get(kind).copied().unwrap_or_default()
    }
}

async fn serve(listener: TcpListener, behind: String, faults: Arc<Faults>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        connections.spawn(connection(stream, behind.clone(), Arc::clone(&faults)));
    }
}

/// One request: its head is read, and its answer says that the connection ends with it.
async fn connection(mut stream: TcpStream, behind: String, faults: Arc<Faults>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).and_then(|path| path.split('?').next()).unwrap_or_default();
    let kind = path.rsplit('/').next().unwrap_or_default().to_owned();
    let fault = faults.by_kind.lock().expect("no panic in it").get(&kind).copied();
    if fault.is_some() {
        *faults.met.lock().expect("no panic in it").entry(kind.clone()).or_default() += 1;
    }
    let mut answering = JoinSet::new();
    let task = answering.spawn(async move {
        match fault {
            Some(Fault::Hangs) => std::future::pending().await,
            Some(Fault::Answers(code)) => {
                let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code,
                    "message": "by a fault of the test", "reason": if code == 403 { "Forbidden" } else { "InternalError" }});
                let body = body.to_string();
                let answer = format!(
                    "HTTP/1.1 {code} Fault\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                stream.write_all(answer.as_bytes()).await.ok();
            }
            None => {
                let Ok(mut server) = TcpStream::connect(behind).await else { return };
                let kept = head.trim_end().split("\r\n");
                let kept = kept.filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
                let head = kept.collect::<Vec<_>>().join("\r\n") + "\r\nconnection: close\r\n\r\n";
                if server.write_all(head.as_bytes()).await.is_ok() {
                    copy_bidirectional(&mut stream, &mut server).await.ok();
                }
            }
        }
    });
    faults.open.lock().expect("no panic in it").push((kind, task));
    answering.join_next().await;
}
