//! How sidecars show who they are.

use asya_settings::Secret;
use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;

use super::{Refusal, verifier::Verifier};
use crate::service::Reporter;

/// What subjects of tokens of service accounts begin with.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// What is asked of a sidecar that reports. Any one of it will do.
#[derive(Debug, Default)]
pub struct Callbacks {
    /// A secret that all of them have. Whoever has it may report on anything.
    pub secret: Option<Secret>,
    /// Tokens of service accounts, by the cluster. Whoever has one may report on its namespace's envelopes.
    pub cluster: Option<Verifier>,
    /// Nothing is asked.
    pub open: bool,
}

impl Callbacks {
    /// Which sidecar comes with this token.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn reporter(&self, token: Option<&str>) -> Result<Reporter, Refusal> {
        if self.open {
            return Ok(Reporter { namespace: None, account: None });
        }
        let token = token.ok_or(Refusal::Missing)?;
        if let Some(secret) = &self.secret {
            let wanted = secret.read().map_err(Refusal::Away)?;
            // Digests, so that not even the length can be measured.
            let [given, wanted] = [token, &wanted].map(|text| digest(&SHA256, text.as_bytes()));
            if bool::from(given.as_ref().ct_eq(wanted.as_ref())) {
                return Ok(Reporter { namespace: None, account: None });
            }
        }
        let Some(cluster) = &self.cluster else {
            return Err(Refusal::Wrong("the token is not the one that sidecars have".to_owned()));
        };
        let claims = cluster.claims(token).await?;
        let subject = claims.get("sub").and_then(|subject| subject.as_str()).unwrap_or_default();
        let place = subject.strip_prefix(SERVICE_ACCOUNT).and_then(|rest| rest.split_once(':'));
        match place {
            Some((namespace, account)) => {
                Ok(Reporter { namespace: Some(namespace.to_owned()), account: Some(account.to_owned()) })
            }
            None => Err(Refusal::Wrong("the token is not one of a service account".to_owned())),
        }
    }
}
