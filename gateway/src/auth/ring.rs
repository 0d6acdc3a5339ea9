//! The signatures of tokens, computed by *ring*: the one crypto provider of this project.

use std::sync::Once;

use ::ring::signature::{self as algorithms, RsaPublicKeyComponents, UnparsedPublicKey};
use jsonwebtoken::signature::{Error, Verifier};
use jsonwebtoken::{
    Algorithm, DecodingKey, DecodingKeyKind, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result},
};

/// Signatures that are taken. None of a shared secret: who may check such a one could also make it.
pub(super) const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// Makes it the provider of this process.
pub(super) fn install() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: refuse,
        verifier_factory: verifier,
        key_utils: KeyUtils::new_unimplemented(),
    };
    static ONCE: Once = Once::new();
    // Only a program around this one could have set another, and then that one serves.
    ONCE.call_once(|| {
        let _ = PROVIDER.install_default();
    });
}

/// Nothing is signed here.
fn refuse(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    if !ALGORITHMS.contains(algorithm) || algorithm.family() != key.family() {
        return Err(ErrorKind::InvalidAlgorithm.into());
    }
    Ok(Box::new(Key { algorithm: *algorithm, key: key.clone() }))
}

struct Key {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for Key {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl Verifier<Vec<u8>> for Key {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let outcome = match self.key.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let parameters = match self.algorithm {
                    Algorithm::RS256 => &algorithms::RSA_PKCS1_2048_8192_SHA256,
                    Algorithm::RS384 => &algorithms::RSA_PKCS1_2048_8192_SHA384,
                    Algorithm::RS512 => &algorithms::RSA_PKCS1_2048_8192_SHA512,
                    Algorithm::PS256 => &algorithms::RSA_PSS_2048_8192_SHA256,
                    Algorithm::PS384 => &algorithms::RSA_PSS_2048_8192_SHA384,
                    Algorithm::PS512 => &algorithms::RSA_PSS_2048_8192_SHA512,
                    _ => return Err(Error::new()),
                };
                RsaPublicKeyComponents { n, e }.verify(parameters, message, signature)
            }
            DecodingKeyKind::SecretOrDer(key) => {
                let algorithm: &dyn algorithms::VerificationAlgorithm = match self.algorithm {
                    Algorithm::ES256 => &algorithms::ECDSA_P256_SHA256_FIXED,
                    Algorithm::ES384 => &algorithms::ECDSA_P384_SHA384_FIXED,
                    Algorithm::EdDSA => &algorithms::ED25519,
                    _ => return Err(Error::new()),
                };
                UnparsedPublicKey::new(algorithm, key).verify(message, signature)
            }
        };
        outcome.map_err(|_| Error::new())
    }
}
