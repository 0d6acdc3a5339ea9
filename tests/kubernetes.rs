//! A real API server as a test sees it: plain requests with plain JSON, so that nothing is hidden by a type, and a
//! namespace of its own.

use std::{
    path::PathBuf,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
    core::{
        Request,
        params::{DeleteParams, GetParams, Patch, PatchParams, PostParams},
    },
};
use serde_json::{Value, json};

use crate::server;

/// How long anything on the server may take to become so: it shares the machine with other tests.
const LIMIT: Duration = Duration::from_secs(60);

/// The API server of the tests, and a namespace in it.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// Of this test alone.
    pub namespace: String,
}

/// Where objects of a kind are, for example `/apis/asya.sh/v1alpha1/namespaces/a/asyncactors`.
#[derive(Clone, Debug)]
pub struct Objects(pub String);

/// Where CRDs are.
pub const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

impl From<&str> for Objects {
    fn from(path: &str) -> Self {
        Self(path.to_owned())
    }
}

impl Cluster {
    /// Connects and makes a namespace; nothing, said loudly, when there is no server.
    ///
    /// # Errors
    /// When there is one, and it does not answer.
    pub async fn connect() -> Result<Option<Self>> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let Some(path) = server("ASYA_TEST_KUBECONFIG") else { return Ok(None) };
        let config = Kubeconfig::read_from(path)?;
        let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("test-{}-{number}-{:x}", std::process::id(), rand::random::<u32>());
        let cluster = Self { client: Client::try_from(config)?, namespace };
        let object =
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": cluster.namespace } });
        cluster.create(&"/api/v1/namespaces".into(), &object).await?;
        Ok(Some(cluster))
    }

    /// Deletes the namespace and does not wait for it.
    ///
    /// # Errors
    /// What the server says.
    pub async fn end(self) -> Result<()> {
        self.delete(&"/api/v1/namespaces".into(), &self.namespace).await
    }

    /// A program that came with the server, for example `kubectl`, with its arguments to come.
    pub fn kubectl(&self) -> Option<tokio::process::Command> {
        let program = PathBuf::from(server("ASYA_TEST_KUBERNETES_TOOLS")?).join("kubectl");
        let mut command = tokio::process::Command::new(program);
        command.arg("--kubeconfig").arg(server("ASYA_TEST_KUBECONFIG")?).args(["-n", &self.namespace]);
        Some(command)
    }

    /// Objects of a kind in this test's namespace, for example `apis/asya.sh/v1alpha1` and `asyncactors`.
    pub fn objects(&self, group: &str, plural: &str) -> Objects {
        Objects(format!("/{group}/namespaces/{}/{plural}", self.namespace))
    }

    /// The actors of this test's namespace.
    pub fn actors(&self) -> Objects {
        self.objects("apis/asya.sh/v1alpha1", "asyncactors")
    }

    /// Creates an object as `kubectl create` does: unknown fields are errors.
    ///
    /// # Errors
    /// The server's sentence.
    pub async fn create(&self, objects: &Objects, object: &Value) -> Result<Value> {
        self.post(objects, object, &PostParams::default()).await
    }

    /// The same, but nothing is stored.
    ///
    /// # Errors
    /// The server's sentence.
    pub async fn try_create(&self, objects: &Objects, object: &Value) -> Result<Value> {
        self.post(objects, object, &PostParams { dry_run: true, ..PostParams::default() }).await
    }

    async fn post(&self, objects: &Objects, object: &Value, params: &PostParams) -> Result<Value> {
        let mut request = Request::new(&objects.0).create(params, serde_json::to_vec(object)?)?;
        *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri()).parse()?;
        Ok(self.client.request(request).await?)
    }

    /// Reads an object.
    ///
    /// # Errors
    /// The server's sentence.
    pub async fn get(&self, objects: &Objects, name: &str) -> Result<Value> {
        Ok(self.client.request(Request::new(&objects.0).get(name, &GetParams::default())?).await?)
    }

    /// Changes an object by a merge patch, unknown fields being errors.
    ///
    /// # Errors
    /// The server's sentence.
    pub async fn merge(&self, objects: &Objects, name: &str, patch: &Value) -> Result<Value> {
        let params = PatchParams::default().validation_strict();
        Ok(self.client.request(Request::new(&objects.0).patch(name, &params, &Patch::Merge(patch))?).await?)
    }

    /// Changes a subresource such as `status` or `scale` by a merge patch.
    ///
    /// # Errors
    /// The server's sentence.
    pub async fn merge_part(
        &self,
        objects: &Objects,
        name: &str,
        part: &str,
        patch: &Value,
    ) -> Result<Value> {
        let params = PatchParams::default();
        let request =
            Request::new(&objects.0).patch_subresource(part, name, &params, &Patch::Merge(patch))?;
        Ok(self.client.request(request).await?)
    }

    /// Applies an object by server-side apply, by force.
    ///
    /// # Errors
    /// The server's sentence.
    pub async fn apply(&self, objects: &Objects, object: &Value, dry_run: bool) -> Result<Value> {
        let name = object["metadata"]["name"].as_str().context("the object has no name")?;
        let params = PatchParams { dry_run, ..PatchParams::apply("asya-tests").force() };
        Ok(self.client.request(Request::new(&objects.0).patch(name, &params, &Patch::Apply(object))?).await?)
    }

    /// Deletes an object; does not wait for its finalizers.
    ///
    /// # Errors
    /// The server's sentence.
    pub async fn delete(&self, objects: &Objects, name: &str) -> Result<()> {
        self.client.request_text(Request::new(&objects.0).delete(name, &DeleteParams::default())?).await?;
        Ok(())
    }

    /// Applies a CRD and waits until the server takes objects of it.
    ///
    /// # Errors
    /// What is wrong with it, or that the server did not take it up in time.
    pub async fn install(&self, crd: &Value) -> Result<()> {
        let crds = CRDS.into();
        self.apply(&crds, crd, false).await?;
        let name = crd["metadata"]["name"].as_str().context("the CRD has no name")?;
        until("the CRD is established", async || {
            let found = self.get(&crds, name).await?;
            let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
            Ok(conditions
                .iter()
                .any(|it| it["type"] == "Established" && it["status"] == "True")
                .then_some(()))
        })
        .await
    }
}

/// Asks until there is an answer, at most a minute.
///
/// # Errors
/// The question's own, or that there is none in time.
pub async fn until<T>(what: &str, mut question: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = question().await? {
            return Ok(answer);
        }
        if Instant::now() > end {
            bail!("not within {LIMIT:?}: {what}");
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
