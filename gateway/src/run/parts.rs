//! From settings to what the use cases stand on.

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::Context;
use asya_store::{EnvelopeStore, StoreError};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use super::background::Background;
use crate::{
    agents::{AgentSet, Agents},
    auth::{Auth, Callbacks, Failures, Oidc, keys::Keys, rate::Rates, verifier::Verifier},
    metrics::Metrics,
    settings::{
        Database,
        access::{Access, Issuer, Provider},
    },
    subjects::{KeyError, Subjects},
    tools::{ToolSet, Tools},
};

/// How long a database is waited for at the start: it may be starting itself.
const STORE_PATIENCE: Duration = Duration::from_secs(60);
/// Pause between attempts to reach it.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// The configuration is wrong; says all that is.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Misconfigured(pub String);

/// Reads the files of tools, and again whenever they change. Without files there are no tools.
pub(super) fn read_tools(
    config: Option<&Path>,
    background: &mut Background,
) -> Result<watch::Receiver<Arc<ToolSet>>, Misconfigured> {
    let Some(path) = config else {
        tracing::info!("there are no tools: ASYA_CONFIG_PATH is not set");
        return Ok(watch::channel(Arc::new(ToolSet::default())).1);
    };
    let wrong = |faults| Misconfigured(format!("the tools of ASYA_CONFIG_PATH are wrong:\n{faults}"));
    let tools = Tools::load(path).map_err(wrong)?;
    let current = tools.subscribe();
    background.spawn(tools.follow());
    Ok(current)
}

/// Reads the files of agents, and again whenever they change. Without a directory there are no agents.
pub(super) fn read_agents(
    folder: Option<&Path>,
    background: &mut Background,
) -> Result<watch::Receiver<Arc<AgentSet>>, Misconfigured> {
    let Some(folder) = folder else { return Ok(watch::channel(Arc::default()).1) };
    let wrong = |error| Misconfigured(format!("the agents of ASYA_GATEWAY_AGENTS_DIR: {error}"));
    let agents = Agents::load(folder).map_err(wrong)?;
    let current = agents.subscribe();
    background.spawn(agents.follow());
    Ok(current)
}

/// The keys that say in whose name an agent acts.
pub(super) async fn subjects(
    file: Option<&Path>,
    issuer: Option<&str>,
    store: &EnvelopeStore,
) -> anyhow::Result<Subjects> {
    let subjects = match file {
        Some(file) => Subjects::of_file(issuer, file),
        None => Subjects::kept(issuer, &*store.records()).await,
    };
    subjects.map_err(|error| match error {
        KeyError::Wrong(error) => Misconfigured(format!("the keys of subjects: {error}")).into(),
        KeyError::Store(error) => anyhow::Error::from(error).context("keeping the key of subjects"),
    })
}

/// Opens the database; without an address one in a temporary folder, which is answered too.
pub(super) async fn open_store(
    database: &Database,
) -> anyhow::Result<(EnvelopeStore, Option<tempfile::TempDir>)> {
    let (url, folder) = match database.address().map_err(Misconfigured)? {
        Some(url) => (url, None),
        None => {
            let folder = tempfile::tempdir().context("making a folder for a temporary database")?;
            tracing::warn!("ASYA_DATABASE_URL is not set: what the gateway knows goes with its process");
            (folder.path().join("gateway.db").display().to_string(), Some(folder))
        }
    };
    let began = Instant::now();
    loop {
        match EnvelopeStore::open(&url, database.options.clone()).await {
            Ok(store) => {
                tracing::info!(kind = store.kind(), "the database is open");
                return Ok((store, folder));
            }
            Err(error @ StoreError::Unavailable(_)) if began.elapsed() < STORE_PATIENCE => {
                tracing::warn!(%error, "the database is not there, trying again");
                sleep(STORE_PAUSE).await;
            }
            Err(error) => return Err(anyhow::Error::from(error).context("opening the database")),
        }
    }
}

/// What is asked of who comes.
pub(super) fn auth(
    access: &Access,
    metrics: Arc<Metrics>,
    background: &mut Background,
) -> Result<Auth, Misconfigured> {
    let tokens = access.tokens.read().map_err(Misconfigured)?;
    let (sender, tokens) = watch::channel(tokens);
    if !access.tokens.is_nowhere() {
        background.spawn(access.tokens.clone().follow(sender));
    }
    let oidc = match &access.oidc {
        Some(Provider { issuer, roles, groups, mapping }) => {
            Some(Oidc::new(verifier(issuer)?, roles, groups, mapping.clone()))
        }
        None => None,
    };
    Ok(Auth {
        open: access.open,
        tokens,
        oidc,
        callbacks: Callbacks {
            secret: access.callback_secret.clone(),
            cluster: access.callback_issuer.as_ref().map(verifier).transpose()?,
            open: access.callbacks_open,
        },
        rates: access.rate.map(Rates::new),
        failures: Failures::new(access.failures),
        reports: access.reports.map(Rates::new),
        public_url: access.public_url.clone(),
        metrics,
    })
}

fn verifier(issuer: &Issuer) -> Result<Verifier, Misconfigured> {
    let Issuer { name, audience, place, authorities, token } = issuer.clone();
    let keys = Keys::new(place, authorities, token)
        .map_err(|error| Misconfigured(format!("the keys of issuer {name}: {error}")))?;
    Ok(Verifier::new(name, audience, keys))
}
