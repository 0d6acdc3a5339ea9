//! A look into a cluster, for models: what there is, what happens, what is broken. It only reads, by [`asya_cluster::look`].
//!
//! | module | holds |
//! |---|---|
//! | this | [`Look`]: the way to the API server, and how much may be asked of it at a time |
//! | [`tool`] | [`Tool`]: what can be called, with its arguments' schema |
//! | `list`, `object`, `events`, `logs`, `analyze`, `about` | each tool's arguments, and how it answers |
//! | `refused` | why there is nothing to be seen, and what to do about it |
//!
//! The invariants: **nothing that looks like a secret leaves**, and **every call is bounded**: in time, in bytes that are
//! read, in bytes that are answered, in objects, and in calls at once. Nothing is kept between calls.

mod about;
mod analyze;
mod events;
mod list;
mod logs;
mod object;
mod refused;
#[cfg(test)]
mod tests;
pub mod tool;

use std::time::Duration;

use asya_cluster::{Api, Patience, introduce};
use kube::{Client, Config};
use serde_json::{Map, Value};
use tokio::{
    sync::{OnceCell, Semaphore, SemaphorePermit},
    time::{Instant, timeout},
};

pub use tool::Tool;

use crate::{
    auth::{Principal, Role},
    service::Error,
};

/// Calls at once: each may hold [`READ`] bytes several times over while they are parsed.
const CALLS: usize = 4;
/// Analyses at once among them: one holds what it has read until its end.
const ANALYSES: usize = 1;
/// How long a call waits for its place.
const PLACE: Duration = Duration::from_secs(5);
/// How long a call may take.
const TIME: Duration = Duration::from_secs(20);
/// How long an analysis may take: what was not read by then is not verified.
const ANALYSIS_TIME: Duration = Duration::from_secs(50);
/// Most that one call reads of the API server's answers, in bytes.
const READ: u64 = 16 * 1024 * 1024;
/// Most that an analysis reads, in bytes. In memory it is several times as much.
const ANALYSIS_READ: u64 = 32 * 1024 * 1024;
/// Most that a call answers, in bytes of JSON: more than a model reads at once.
pub(crate) const ANSWER: usize = 256 * 1024;
/// How often one question is asked: whoever called can call again.
const TRIES: u32 = 2;
/// For one answer of the API server.
const PATIENCE: Duration = Duration::from_secs(10);

/// A look into the cluster around this gateway.
pub struct Look {
    client: OnceCell<Client>,
    calls: Semaphore,
    analyses: Semaphore,
}

impl Default for Look {
    fn default() -> Self {
        let (calls, analyses) = (Semaphore::new(CALLS), Semaphore::new(ANALYSES));
        Self { client: OnceCell::new(), calls, analyses }
    }
}

impl Look {
    /// Into the cluster of this client; else it is that of the service account around this process, or of `KUBECONFIG`.
    pub fn with(client: Client) -> Self {
        Self { client: OnceCell::new_with(Some(client)), ..Self::default() }
    }

    /// Calls a tool. Cancel safe: it only reads.
    ///
    /// # Errors
    /// The role [`Role::Cluster`] missing, arguments that are wrong, what the gateway's own rights or the API server do not
    /// give, and too many calls at a time. Each says what to do next.
    pub async fn call(
        &self,
        who: &Principal,
        tool: Tool,
        arguments: Map<String, Value>,
    ) -> Result<Value, Error> {
        who.needs(Role::Cluster)?;
        tracing::info!(who = who.name, tool = tool.name(), "a look into the cluster");
        let is_analysis = tool == Tool::Analyze;
        let (time, read) = if is_analysis { (ANALYSIS_TIME, ANALYSIS_READ) } else { (TIME, READ) };
        // Arguments are read before anything is waited for.
        let asked = tool::Asked::read(tool, arguments)?;
        let _analysis = if is_analysis { Some(place(&self.analyses).await?) } else { None };
        let _call = place(&self.calls).await?;
        let api = self.api(Instant::now() + time, read).await?;
        // The API has its own end; this one is for what goes on between its answers.
        timeout(time + PATIENCE, asked.answer(&api)).await.unwrap_or_else(|_| {
            Err(Error::Unavailable("the call took too long: ask for less at a time".to_owned()))
        })
    }

    async fn api(&self, end: Instant, bytes: u64) -> Result<Api, Error> {
        let client = self.client.get_or_try_init(connect).await?;
        let patience = Patience { answer: PATIENCE, tries: TRIES, end: Some(end), ..Patience::default() };
        Ok(Api::new(client.clone(), patience).within(bytes))
    }
}

async fn place(places: &Semaphore) -> Result<SemaphorePermit<'_>, Error> {
    let busy = || Error::Unavailable("too many looks into the cluster at a time: call again".to_owned());
    timeout(PLACE, places.acquire()).await.map_err(|_| busy())?.map_err(|_| busy())
}

async fn connect() -> Result<Client, Error> {
    // Several libraries bring rustls; without one provider for all, the first connection would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let away = |error: &dyn std::fmt::Display| {
        tracing::warn!(%error, "there is no way to the API server of a cluster");
        let next = "run the gateway with a service account, or with KUBECONFIG";
        Error::Unavailable(format!("there is no way to the API server of a cluster: {next}"))
    };
    let mut config = Config::infer().await.map_err(|error| away(&error))?;
    introduce(&mut config, concat!("asya-gateway/", env!("CARGO_PKG_VERSION")));
    // The questions have retries of their own, which know when the call must end.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| away(&error))
}

/// How long a value is as JSON.
fn size(value: &Value) -> usize {
    serde_json::to_vec(value).map_or(usize::MAX, |text| text.len())
}
