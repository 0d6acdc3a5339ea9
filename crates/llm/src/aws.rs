//! Requests signed with AWS credentials: those of the pod's ServiceAccount (IRSA), of a pod identity, the environment, a
//! profile or the instance.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials as _, SharedCredentialsProvider},
};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use tokio::sync::OnceCell;

use crate::{
    error::{Error, Kind},
    provider::chain,
};

/// The name of the service that signatures are for.
const SERVICE: &str = "bedrock";
/// Credentials are fetched anew so long before they end: a request may wait for its place until then.
const BEFORE_END: Duration = Duration::from_secs(300);

/// Signs requests. Credentials are looked for at the first one, and kept while they count.
pub(crate) struct Signer {
    region: String,
    source: OnceCell<SharedCredentialsProvider>,
    kept: Mutex<Option<Credentials>>,
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Signer {
    pub(crate) fn new(region: String) -> Self {
        Self { region, source: OnceCell::new(), kept: Mutex::new(None) }
    }

    /// Adds the signature. Cancel safe.
    pub(crate) async fn sign(&self, request: &mut Request<Full<Bytes>>, body: &[u8]) -> Result<(), Error> {
        let wrong =
            |what: &str| Error::new(Kind::BadRequest, format!("the request cannot be signed: {what}"));
        let identity = self.credentials().await?.into();
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(SERVICE)
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()
            .map_err(|error| wrong(&error.to_string()))?
            .into();
        let headers =
            request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let uri = request.uri().to_string();
        let signable = SignableRequest::new("POST", uri, headers, SignableBody::Bytes(body))
            .map_err(|error| wrong(&chain(&error)))?;
        let (signature, _) = sign(signable, &parameters).map_err(|error| wrong(&chain(&error)))?.into_parts();
        signature.apply_to_request_http1x(request);
        Ok(())
    }

    async fn credentials(&self) -> Result<Credentials, Error> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counts = |credentials: &Credentials| {
            credentials.expiry().is_none_or(|end| end > SystemTime::now() + BEFORE_END)
        };
        if let Some(kept) = kept.filter(counts) {
            return Ok(kept);
        }
        let none = |why: String| {
            let words = format!(
                "no AWS credentials were found in a web identity, a container, the environment, a profile or the \
                 instance: {why}"
            );
            Error::new(Kind::Auth, words)
        };
        let source = self.source.get_or_try_init(|| self.load()).await.map_err(none)?;
        let found = source.provide_credentials().await.map_err(|error| none(chain(&error)))?;
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    /// The standard chain, over our one TLS stack.
    async fn load(&self) -> Result<SharedCredentialsProvider, String> {
        let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let loaded = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .region(Region::new(self.region.clone()))
            .load()
            .await;
        loaded.credentials_provider().ok_or_else(|| "there is no provider".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(credentials: Credentials) -> Signer {
        let signer = Signer::new("eu-west-1".to_owned());
        signer.source.set(SharedCredentialsProvider::new(credentials)).unwrap();
        signer
    }

    fn request() -> Request<Full<Bytes>> {
        Request::post("https://bedrock-runtime.eu-west-1.amazonaws.com/model/a.b-v1%3A0/converse")
            .header("content-type", "application/json")
            .body(Full::from("{}"))
            .unwrap()
    }

    #[tokio::test]
    async fn a_request_is_signed_for_bedrock_with_the_token_of_a_role() {
        let token = Some("session-token".to_owned());
        let signer = signer(Credentials::new("AKIDEXAMPLE", "very-secret", token, None, "test"));
        let mut request = request();
        signer.sign(&mut request, b"{}").await.unwrap();
        let header = |name: &str| request.headers()[name].to_str().unwrap();
        let authorization = header("authorization");
        assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), "{authorization}");
        assert!(authorization.contains("/eu-west-1/bedrock/aws4_request, SignedHeaders="), "{authorization}");
        for name in ["content-type", "host", "x-amz-date", "x-amz-security-token"] {
            assert!(authorization.contains(name), "{name}: {authorization}");
        }
        assert_eq!(header("x-amz-security-token"), "session-token");
        assert!(!format!("{signer:?}").contains("very-secret"));
    }

    #[tokio::test]
    async fn credentials_are_kept_until_shortly_before_their_end() {
        for (left, kept) in [(3600, true), (60, false)] {
            let end = SystemTime::now() + Duration::from_secs(left);
            let signer = signer(Credentials::new("FIRST", "s", None, Some(end), "test"));
            signer.credentials().await.unwrap();
            let held = signer.kept.lock().unwrap().clone();
            assert!(held.is_some());
            // What is kept is taken while it counts; else the source is asked, which has another one.
            *signer.kept.lock().unwrap() = Some(Credentials::new("KEPT", "s", None, Some(end), "test"));
            let taken = signer.credentials().await.unwrap();
            assert_eq!(taken.access_key_id() == "KEPT", kept, "{left}");
        }
    }
}
