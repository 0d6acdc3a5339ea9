//! An API server of one test alone, without controllers: a status that a test sets stays as it is, and an object can be made
//! older than it is.
//!
//! What controllers would have made is not there: a namespace has no ServiceAccount `default` until somebody makes it.

use std::{os::unix::process::CommandExt as _, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result};
use asya_analysis::GroupKind;
use asya_cluster::{Api, Catalogue, Patience, Served};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use jiff::{SignedDuration, Timestamp};
use kube::{
    Client,
    core::{
        Request,
        params::{DeleteParams, GetParams, Patch, PatchParams, PostParams},
    },
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::Command,
    time::sleep,
};

use crate::cluster::client;

/// A private server; stopped and forgotten when it is dropped.
pub struct Bare {
    /// The administrator's client.
    pub client: Client,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
    state: TempDir,
    script: PathBuf,
    tools: PathBuf,
    etcd: String,
    catalogue: Catalogue,
}

impl Bare {
    /// Starts one; `None`, said loudly, where the tests have no cluster.
    ///
    /// # Errors
    /// The script's own words.
    pub async fn start() -> Result<Option<Self>> {
        let Some(script) = crate::server("ASYA_TEST_KUBERNETES_CTL").map(PathBuf::from) else {
            return Ok(None);
        };
        let state = tempfile::Builder::new().prefix("asya-bare").tempdir_in("/tmp")?;
        let said = match control(&script, &state, &["start"]).await {
            Ok(said) => said,
            Err(error) => {
                // What has started of it before.
                control(&script, &state, &["stop"]).await?;
                return Err(error);
            }
        };
        let of = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(str::to_owned).with_context(|| format!("{name} is not in {said}"))
        };
        let kubeconfig = PathBuf::from(of("ASYA_TEST_KUBECONFIG")?);
        let client = client(&kubeconfig).await?;
        let (tools, etcd) = (of("ASYA_TEST_KUBERNETES_TOOLS")?.into(), of("ASYA_TEST_ETCD")?);
        let catalogue = Catalogue::default();
        let mut bare = Self { client, kubeconfig, state, script, tools, etcd, catalogue };
        bare.discover().await?;
        Ok(Some(bare))
    }

    /// Asks anew which kinds there are.
    ///
    /// # Errors
    /// The server's.
    pub async fn discover(&mut self) -> Result<()> {
        self.catalogue = Catalogue::read(&Api::new(self.client.clone(), Patience::default())).await?;
        Ok(())
    }

    /// The kubeconfig of a user without any right.
    ///
    /// # Errors
    /// The script's own words.
    pub async fn user(&self, name: &str) -> Result<PathBuf> {
        Ok(control(&self.script, &self.state, &["kubeconfig", name]).await?.into())
    }

    /// kubectl as the administrator, with arguments to come.
    pub fn kubectl(&self) -> Command {
        let mut command = Command::new(self.tools.join("kubectl"));
        command.arg("--kubeconfig").arg(&self.kubeconfig).kill_on_drop(true).stdin(Stdio::null());
        command
    }

    /// An object in `namespace`, unless it says another or its kind has none.
    ///
    /// # Errors
    /// A kind that is not served.
    pub fn placed(&self, mut object: Value, namespace: &str) -> Result<Value> {
        let metadata = &mut object["metadata"];
        if metadata["namespace"].is_null() {
            metadata["namespace"] = json!(namespace);
        }
        if !self.served(&object)?.namespaced {
            object["metadata"].as_object_mut().context("metadata")?.remove("namespace");
        }
        Ok(object)
    }

    fn served(&self, object: &Value) -> Result<&Served> {
        let text = |field: &str| object[field].as_str().with_context(|| format!("no {field}: {object}"));
        let kind = GroupKind::named(text("apiVersion")?, text("kind")?);
        self.catalogue.find(&kind).map_err(|why| anyhow::anyhow!("{kind}: {why:?}"))
    }

    /// A namespace in which pods are admitted.
    ///
    /// # Errors
    /// The server's.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        self.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})).await?;
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "default", "namespace": name}, "automountServiceAccountToken": false});
        self.apply(&account).await
    }

    /// Applies an object, and then its status through the subresource.
    ///
    /// # Errors
    /// The server's.
    pub async fn apply(&self, object: &Value) -> Result<()> {
        let place = Place::of(self, object)?;
        let mut written = object.clone();
        let status = written.as_object_mut().and_then(|fields| fields.remove("status"));
        let parameters = PatchParams::apply("situations").force();
        let request = Request::new(&place.path).patch(&place.name, &parameters, &Patch::Apply(&written))?;
        self.send(request).await.with_context(|| format!("applying {written}"))?;
        match status {
            Some(status) => self.status(object, &status).await,
            None => Ok(()),
        }
    }

    /// Changes an object by a merge patch. `object` needs to say no more than which one it is.
    ///
    /// # Errors
    /// The server's.
    pub async fn patch(&self, object: &Value, patch: &Value) -> Result<()> {
        let place = Place::of(self, object)?;
        let parameters = PatchParams::default();
        let request = Request::new(&place.path).patch(&place.name, &parameters, &Patch::Merge(patch))?;
        self.send(request).await.with_context(|| format!("patching {object} with {patch}"))
    }

    /// Sets its status, as its controller or a kubelet would.
    ///
    /// # Errors
    /// The server's.
    pub async fn status(&self, object: &Value, status: &Value) -> Result<()> {
        let place = Place::of(self, object)?;
        let patch = Patch::Merge(json!({"status": status}));
        let parameters = PatchParams::default();
        let request =
            Request::new(&place.path).patch_subresource("status", &place.name, &parameters, &patch)?;
        self.send(request).await.with_context(|| format!("setting the status of {object}"))
    }

    /// Creates an object that cannot be applied.
    ///
    /// # Errors
    /// The server's.
    pub async fn create(&self, object: &Value) -> Result<()> {
        let place = Place::of(self, object)?;
        let request =
            Request::new(&place.path).create(&PostParams::default(), serde_json::to_vec(object)?)?;
        self.send(request).await.with_context(|| format!("creating {object}"))
    }

    /// Asks for the deletion of an object, and of nothing that it owns: nobody would do that.
    ///
    /// # Errors
    /// The server's.
    pub async fn delete(&self, object: &Value) -> Result<()> {
        let place = Place::of(self, object)?;
        let request = Request::new(&place.path).delete(&place.name, &DeleteParams::background())?;
        self.client.request_text(request).await.with_context(|| format!("deleting {object}"))?;
        Ok(())
    }

    /// An object as it is.
    ///
    /// # Errors
    /// The server's.
    pub async fn get(&self, object: &Value) -> Result<Value> {
        let place = Place::of(self, object)?;
        let request = Request::new(&place.path).get(&place.name, &GetParams::default())?;
        self.client.request(request).await.with_context(|| format!("reading {object}"))
    }

    /// Merges into an object what the server takes from nobody: it is written into the store behind it.
    ///
    /// # Errors
    /// The store's, and an object that is not in it.
    pub async fn rewrite(&self, object: &Value, patch: &Value) -> Result<()> {
        let place = Place::of(self, object)?;
        let key = BASE64_STANDARD.encode(&place.key);
        let found = self.store("/v3/kv/range", &json!({"key": key})).await?;
        let value = found.pointer("/kvs/0/value").and_then(Value::as_str);
        let value = BASE64_STANDARD.decode(value.with_context(|| format!("no {} in etcd", place.key))?)?;
        let mut value: Value = serde_json::from_slice(&value)?;
        merge(&mut value, patch);
        let value = BASE64_STANDARD.encode(serde_json::to_vec(&value)?);
        self.store("/v3/kv/put", &json!({"key": key, "value": value})).await.map(drop)
    }

    /// Makes it so that the object was made, or its deletion asked for (`field` of its metadata), so many minutes ago.
    ///
    /// # Errors
    /// As [`Bare::rewrite`].
    pub async fn age(&self, object: &Value, field: &str, minutes: i64) -> Result<()> {
        let time = Timestamp::now().checked_sub(SignedDuration::from_mins(minutes))?;
        self.rewrite(object, &json!({"metadata": {field: format!("{time:.0}")}})).await
    }

    /// A call of etcd's JSON gateway.
    async fn store(&self, path: &str, body: &Value) -> Result<Value> {
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.etcd).await?;
        let head = format!("POST {path} HTTP/1.0\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no answer of HTTP")?;
        anyhow::ensure!(head.contains(" 200 "), "etcd: {answer}");
        Ok(serde_json::from_str(body)?)
    }

    async fn send(&self, request: http::Request<Vec<u8>>) -> Result<()> {
        self.client.request::<Value>(request).await?;
        Ok(())
    }

    /// Makes kinds known, and waits until objects of them are taken.
    ///
    /// # Errors
    /// The server's.
    pub async fn install(&mut self, crds: &[Value]) -> Result<()> {
        for crd in crds {
            self.apply(crd).await?;
        }
        let name = |crd: &Value| {
            let (group, kind) = (crd["spec"]["group"].as_str(), crd["spec"]["names"]["kind"].as_str());
            GroupKind::named(&format!("{}/v1", group.unwrap_or_default()), kind.unwrap_or_default())
        };
        for _ in 0..600 {
            self.discover().await?;
            if crds.iter().all(|crd| self.catalogue.find(&name(crd)).is_ok()) {
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
        anyhow::bail!("the kinds are not served after a minute")
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let mut command = std::process::Command::new(&self.script);
        command.arg("stop").env("ASYA_TEST_STATE", self.state.path()).process_group(0);
        if let Err(error) = command.stdout(Stdio::null()).status() {
            eprintln!("the API server of this test was not stopped: {error}");
        }
    }
}

/// Where an object is, on the server and in etcd.
struct Place {
    path: String,
    name: String,
    key: String,
}

impl Place {
    fn of(bare: &Bare, object: &Value) -> Result<Self> {
        let served = bare.served(object)?;
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
        let name = text("/metadata/name").context("a name")?.to_owned();
        let namespace = text("/metadata/namespace").filter(|_| served.namespaced);
        let within = namespace.map(|namespace| format!("{namespace}/")).unwrap_or_default();
        // Kinds of a definition are kept under their group.
        let defined = !matches!(
            served.group.as_str(),
            "" | "apps" | "batch" | "policy" | "storage.k8s.io" | "networking.k8s.io"
        );
        let group = if defined { format!("{}/", served.group) } else { String::new() };
        let key = format!("/registry/{group}{}/{within}{name}", served.plural);
        Ok(Self { path: served.path(namespace), name, key })
    }
}

fn merge(into: &mut Value, patch: &Value) {
    match (into, patch) {
        (Value::Object(into), Value::Object(patch)) => {
            for (field, value) in patch {
                merge(into.entry(field).or_insert(Value::Null), value);
            }
        }
        (into, patch) => *into = patch.clone(),
    }
}

async fn control(script: &PathBuf, state: &TempDir, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(script);
    command.args(arguments).env("ASYA_TEST_STATE", state.path()).env("ASYA_TEST_KUBERNETES_BARE", "1");
    // Its own ports, not those of the server that other tests share.
    command.env_remove("ASYA_TEST_KUBERNETES_PORTS");
    // Ctrl-C is for whoever waits for it, and ends what was started; not for a script in the middle of starting it.
    let done = command.process_group(0).output().await?;
    let said = String::from_utf8_lossy(&done.stderr);
    anyhow::ensure!(done.status.success(), "kubernetes.sh {arguments:?}: {said}");
    Ok(String::from_utf8(done.stdout)?.trim().to_owned())
}
