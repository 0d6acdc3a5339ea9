//! The client of the service: the standard credential chain, one TLS stack, bounded times.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, error::CredentialsError, future},
};
use aws_sdk_sqs::{
    Client,
    config::{StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use super::{KeyFiles, SqsConfig, config::DEFAULT_REGION, failure::causes};
use crate::TransportError;

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the answer to one try of a request that does not poll.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Tries of a request before it counts as failed; throttling and broken connections are what it bridges.
const TRIES: u32 = 3;

/// How long static keys are used before their files are read again. The client asks for new ones a little earlier.
const READ_AGAIN: Duration = Duration::from_secs(60);

/// Makes the client.
///
/// # Errors
/// [`TransportError::Misconfigured`] when the chain yields no credentials at all, with what it tried;
/// [`TransportError::Unavailable`] while files with keys cannot be read or are empty.
pub(super) async fn connect(config: &SqsConfig) -> Result<Client, TransportError> {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(CONNECT_TIMEOUT)
                .operation_attempt_timeout(ANSWER_TIMEOUT)
                .build(),
        )
        // A long poll is silent by nature.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(region) = config.region.clone() {
        loader = loader.region(Region::new(region));
    }
    if let Some(endpoint) = &config.endpoint {
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            return Err(TransportError::Misconfigured(format!(
                "the endpoint of sqs must start with http:// or https://, not {endpoint:?}"
            )));
        }
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(files) = &config.key_files {
        loader = loader.credentials_provider(files.clone());
    }
    let loaded = loader.load().await;
    let Some(provider) = loaded.credentials_provider() else {
        return Err(TransportError::Misconfigured("sqs needs credentials".to_owned()));
    };
    provider.provide_credentials().await.map_err(|error| {
        let reason = causes(&error);
        if config.key_files.is_some() {
            // Files may come: the service counts as away until then.
            return TransportError::Unavailable(format!("no credentials for sqs: {reason}"));
        }
        TransportError::Misconfigured(format!(
            "no credentials for sqs were found in the environment, a profile, a web identity, a container or the \
             instance: {reason}"
        ))
    })?;
    let region = loaded.region().cloned().unwrap_or_else(|| Region::from_static(DEFAULT_REGION));
    let config = aws_sdk_sqs::config::Builder::from(&loaded).region(region).build();
    Ok(Client::from_conf(config))
}

impl ProvideCredentials for KeyFiles {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.read())
    }
}

impl KeyFiles {
    fn read(&self) -> Result<Credentials, CredentialsError> {
        let key = |path: &Path| {
            let read = std::fs::read_to_string(path)
                .map_err(|error| CredentialsError::not_loaded(format!("{}: {error}", path.display())))?;
            match read.trim() {
                "" => Err(CredentialsError::not_loaded(format!("{} is empty", path.display()))),
                key => Ok(key.to_owned()),
            }
        };
        let (id, secret) = (key(&self.access_key_id)?, key(&self.secret_access_key)?);
        Ok(Credentials::new(id, secret, None, Some(SystemTime::now() + READ_AGAIN), "files"))
    }
}
