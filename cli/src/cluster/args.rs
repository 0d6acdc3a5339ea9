//! `--context`, `--namespace`, `--kubeconfig`, and connecting with them.

use std::path::PathBuf;

use clap::Args;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use super::{Cluster, REACHABLE, error::root};
use crate::{args::Common, exit::misconfigured, profile};

/// Which cluster.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ClusterArgs {
    /// The context of the kubeconfig [default: the profile's, else its current one]
    #[arg(long, value_name = "NAME", help_heading = "Cluster")]
    pub(crate) context: Option<String>,
    /// The namespace [default: the profile's, else the context's]
    #[arg(long, short, value_name = "NAME", help_heading = "Cluster")]
    pub(crate) namespace: Option<String>,
    /// The kubeconfig [default: $KUBECONFIG, else ~/.kube/config; inside of a pod its service account]
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub(crate) kubeconfig: Option<PathBuf>,
}

impl ClusterArgs {
    /// Whether the command line says that a cluster is meant: by these options, or by a profile that names one.
    ///
    /// # Errors
    /// Wrong profiles.
    pub(crate) fn asked(&self, common: &Common) -> anyhow::Result<bool> {
        let Self { context, namespace, kubeconfig } = self;
        if context.is_some() || namespace.is_some() || kubeconfig.is_some() {
            return Ok(true);
        }
        let chosen = profile::explicit(common.profile.as_deref())?;
        Ok(chosen
            .is_some_and(|chosen| chosen.profile.context.is_some() || chosen.profile.namespace.is_some()))
    }

    /// These options with those of the profile, where they name no other cluster.
    fn with_profile(&self, common: &Common) -> anyhow::Result<Self> {
        if self.context.is_some() || self.kubeconfig.is_some() {
            return Ok(self.clone());
        }
        let Some(chosen) = profile::find(common.profile.as_deref())? else { return Ok(self.clone()) };
        let namespace = self.namespace.clone().or(chosen.profile.namespace);
        Ok(Self { context: chosen.profile.context, namespace, kubeconfig: None })
    }

    /// Connects, and makes sure that the API server answers and lets us in.
    ///
    /// # Errors
    /// No kubeconfig or no such context: a wrong environment. An API server that does not answer within [`REACHABLE`].
    pub(crate) async fn connect(&self, common: &Common) -> anyhow::Result<Cluster> {
        self.with_profile(common)?.connected(true).await
    }

    /// The same by a client that asks once, for a caller that knows itself what is worth asking again.
    ///
    /// # Errors
    /// As [`ClusterArgs::connect`].
    pub(crate) async fn connect_without_retries(&self, common: &Common) -> anyhow::Result<Cluster> {
        self.with_profile(common)?.connected(false).await
    }

    async fn connected(&self, retries: bool) -> anyhow::Result<Cluster> {
        let (mut config, context) = self.config().await?;
        config.default_retry = retries;
        config.connect_timeout = Some(REACHABLE);
        let agent = concat!("asya/", env!("CARGO_PKG_VERSION"));
        config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static(agent)));
        let server = config.cluster_url.to_string();
        let server = server.trim_end_matches('/').to_owned();
        let namespace = self.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config)
            .map_err(|error| misconfigured(format!("context {context}: {}", root(&error))))?;
        let hint = format!(
            "is the cluster up, the VPN connected, and context {context} the right one? `kubectl --context {context} \
             version` asks the same question"
        );
        let version = match tokio::time::timeout(REACHABLE, client.apiserver_version()).await {
            Ok(Ok(version)) => version.git_version,
            Ok(Err(kube::Error::Api(status))) if status.code == 401 => anyhow::bail!(
                "{server} does not accept the credentials of context {context}; log in again, or choose another one with \
                 --context"
            ),
            // Whoever may not even read the version may still read actors.
            Ok(Err(kube::Error::Api(_))) => "unknown".to_owned(),
            Ok(Err(error)) => anyhow::bail!("{server} does not answer: {}; {hint}", root(&error)),
            Err(_) => anyhow::bail!("{server} did not answer within {REACHABLE:?}; {hint}"),
        };
        Ok(Cluster { client, namespace, context, server, version })
    }

    async fn config(&self) -> anyhow::Result<(Config, String)> {
        let read = match &self.kubeconfig {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let kubeconfig = match read {
            Ok(kubeconfig) => kubeconfig,
            Err(error) => {
                let absent = match &error {
                    KubeconfigError::ReadConfig(source, _) => source.kind() == std::io::ErrorKind::NotFound,
                    KubeconfigError::FindPath => true,
                    _ => false,
                };
                if absent
                    && self.kubeconfig.is_none()
                    && let Ok(config) = Config::incluster()
                {
                    return Ok((config, "in-cluster".to_owned()));
                }
                return Err(misconfigured(unreadable(&error, absent)));
            }
        };
        let known: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let name = self.context.clone().or_else(|| kubeconfig.current_context.clone()).unwrap_or_default();
        if !known.contains(&name) {
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            let wrong = if name.is_empty() {
                "the kubeconfig has no current context".to_owned()
            } else {
                format!("the kubeconfig has no context {name}")
            };
            return Err(misconfigured(format!("{wrong}; choose one with --context: {known}")));
        }
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let config = config.map_err(|error| misconfigured(format!("context {name}: {error}")))?;
        Ok((config, name))
    }
}

fn unreadable(error: &KubeconfigError, absent: bool) -> String {
    match error {
        KubeconfigError::ReadConfig(_, path) if absent => format!(
            "no kubeconfig {}; name one with --kubeconfig or KUBECONFIG, or make one with your provider's tool (`kind export \
             kubeconfig`, `aws eks update-kubeconfig`, …)",
            path.display()
        ),
        KubeconfigError::FindPath => {
            "no kubeconfig: there is no home directory; name one with --kubeconfig or KUBECONFIG".to_owned()
        }
        KubeconfigError::ReadConfig(source, path) => format!("kubeconfig {}: {source}", path.display()),
        error => format!("the kubeconfig cannot be read: {error}"),
    }
}
