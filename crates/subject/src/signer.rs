//! The private key.

use std::fmt;

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use ring::{
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair as _},
};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject as _};

use crate::{ALGORITHM, BadKey, Claims, Head, Invalid, Jwk, LONGEST};

/// Signs tokens. Only the gateway has one.
pub struct Signer {
    pair: Ed25519KeyPair,
    jwk: Jwk,
}

impl Signer {
    /// A new key, and the same as PKCS#8 in DER, to be kept.
    ///
    /// # Errors
    /// [`BadKey::Random`].
    pub fn generate() -> Result<(Self, Vec<u8>), BadKey> {
        let kept = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| BadKey::Random)?;
        let kept = kept.as_ref().to_vec();
        Ok((Self::from_pkcs8(&kept)?, kept))
    }

    /// The key of a file: PKCS#8 as PEM (`openssl genpkey -algorithm ed25519`) or DER.
    ///
    /// # Errors
    /// [`BadKey::Private`]; it holds nothing of the key.
    pub fn from_pkcs8(file: &[u8]) -> Result<Self, BadKey> {
        let bad = |why: &dyn fmt::Display| BadKey::Private(why.to_string());
        // Where the public key is there as well it is compared; OpenSSL writes keys without.
        let pair = if file.trim_ascii_start().starts_with(b"-----BEGIN") {
            let der = PrivatePkcs8KeyDer::from_pem_slice(file).map_err(|error| bad(&error))?;
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der())
        } else {
            Ed25519KeyPair::from_pkcs8_maybe_unchecked(file)
        };
        let pair = pair.map_err(|error| bad(&error))?;
        Ok(Self { jwk: Jwk::of(pair.public_key().as_ref()), pair })
    }

    /// The public key, named by its thumbprint.
    pub fn jwk(&self) -> &Jwk {
        &self.jwk
    }

    /// The token that says this.
    ///
    /// # Errors
    /// [`Invalid::TooLong`], where somebody is in too many groups.
    pub fn sign(&self, claims: &Claims) -> Result<String, Invalid> {
        let head = Head { alg: ALGORITHM.to_owned(), typ: Some("JWT".to_owned()), kid: self.jwk.kid.clone() };
        let json = |value: Result<Vec<u8>, _>| value.expect("a token's parts have only string keys");
        let head = BASE64_URL_SAFE_NO_PAD.encode(json(serde_json::to_vec(&head)));
        let claims = BASE64_URL_SAFE_NO_PAD.encode(json(serde_json::to_vec(claims)));
        let signed = format!("{head}.{claims}");
        let signature = BASE64_URL_SAFE_NO_PAD.encode(self.pair.sign(signed.as_bytes()));
        let token = format!("{signed}.{signature}");
        if token.len() > LONGEST { Err(Invalid::TooLong) } else { Ok(token) }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("kid", &self.jwk.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, A.1: the private key, as the PKCS#8 that OpenSSL writes of it.
    pub(crate) fn of_the_rfc() -> Signer {
        let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
        der.extend(BASE64_URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").unwrap());
        Signer::from_pkcs8(&der).unwrap()
    }

    #[test]
    fn it_signs_as_rfc_8037_does() {
        let signer = of_the_rfc();
        assert_eq!(signer.jwk.x, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
        let signature = signer.pair.sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc");
        assert_eq!(
            BASE64_URL_SAFE_NO_PAD.encode(signature),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
    }

    #[test]
    fn nothing_of_the_key_is_shown() {
        let shown = format!("{:?}", of_the_rfc());
        assert_eq!(shown, r#"Signer { kid: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", .. }"#);
    }
}
