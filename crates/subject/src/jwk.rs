//! A public key as JSON (RFC 7517, RFC 8037).

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Length of a public key, in bytes.
pub(crate) const LENGTH: usize = 32;

/// An Ed25519 public key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// The key's 32 bytes in base64url.
    pub x: String,
    /// The name by which tokens call it.
    pub kid: String,
    /// `EdDSA`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// `sig`.
    #[serde(default, rename = "use", skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
}

impl Jwk {
    /// The key of these bytes, named by its thumbprint.
    pub(crate) fn of(public: &[u8]) -> Self {
        let x = BASE64_URL_SAFE_NO_PAD.encode(public);
        Self {
            kid: thumbprint(&x),
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x,
            alg: Some(crate::ALGORITHM.to_owned()),
            purpose: Some("sig".to_owned()),
        }
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> Result<[u8; LENGTH], String> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&self.x).ok();
        let bytes = bytes.and_then(|bytes| bytes.try_into().ok());
        bytes.ok_or_else(|| format!("x of the key {:?} is not {LENGTH} bytes in base64url", self.kid))
    }
}

/// The thumbprint of RFC 7638: the members that make the key, in order of their names, hashed.
fn thumbprint(x: &str) -> String {
    let members = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(members.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_8037() {
        assert_eq!(
            thumbprint("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
        );
    }
}
