//! The client of the service: the standard credential chain, one TLS stack, bounded times.

use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::{
    Credentials,
    provider::{Result as Provided, error::CredentialsError, future},
};
use aws_sdk_sqs::{
    Client,
    config::{ProvideCredentials, StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig},
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

use super::{AccessKey, SqsConfig, config::DEFAULT_REGION, failure::causes};
use crate::{Source, TransportError};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for the answer to one try of a request that does not poll.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);
/// Tries of a request before it counts as failed; throttling and broken connections are what it bridges.
const TRIES: u32 = 3;
/// An access key from a source is read again after this: a rotated one is in use before the old one is taken away.
const KEY_LIFETIME: Duration = Duration::from_secs(60);

/// Makes the client.
///
/// # Errors
/// [`TransportError::Misconfigured`] when the chain yields no credentials at all, with what it tried;
/// [`TransportError::Unavailable`] when the source of the access key has none at the moment.
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
    if let Some(source) = config.access_key.clone() {
        loader = loader.credentials_provider(KeyReader(source));
    }
    let loaded = loader.load().await;
    let Some(provider) = loaded.credentials_provider() else {
        return Err(TransportError::Misconfigured("sqs needs credentials".to_owned()));
    };
    provider.provide_credentials().await.map_err(|error| {
        let reason = causes(&error);
        if config.access_key.is_some() {
            return TransportError::Unavailable(reason);
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

/// Reads the access key anew whenever the client asks, and lets it be taken for granted for a while only.
#[derive(Debug)]
struct KeyReader(Source<AccessKey>);

impl KeyReader {
    fn read(&self) -> Provided {
        let AccessKey { id, secret } = self.0.read().map_err(CredentialsError::provider_error)?;
        let until = SystemTime::now() + KEY_LIFETIME;
        Ok(Credentials::new(id, secret, None, Some(until), "access key"))
    }
}

impl ProvideCredentials for KeyReader {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.read())
    }
}
