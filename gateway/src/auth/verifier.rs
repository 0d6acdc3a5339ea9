//! Signed tokens of one issuer: whether they are good, and what they claim.

use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, errors::ErrorKind, jwk::KeyAlgorithm};
use serde_json::{Map, Value};

use super::{Refusal, keys::Keys, ring};

/// Longest token; what is sent for one and is larger is no token.
const LONGEST: usize = 16 * 1024;
/// How far clocks may differ, in seconds.
pub(super) const LEEWAY: u64 = 30;

/// What a token claims.
pub type Claims = Map<String, Value>;

/// Checks tokens of one issuer for one audience.
#[derive(Debug)]
pub struct Verifier {
    issuer: String,
    audience: String,
    keys: Keys,
}

impl Verifier {
    /// Checks tokens that `issuer` made for `audience`.
    pub fn new(issuer: String, audience: String, keys: Keys) -> Self {
        ring::install();
        Self { issuer, audience, keys }
    }

    /// Who issues the tokens.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// What a good token claims: signed by a key of the issuer, for this audience, not expired.
    ///
    /// # Errors
    /// What is wrong with it.
    pub async fn claims(&self, token: &str) -> Result<Claims, Refusal> {
        let wrong = |why: &str| Refusal::Wrong(why.to_owned());
        if token.len() > LONGEST {
            return Err(wrong("the token is too long"));
        }
        let header = decode_header(token).map_err(|_| wrong("the token is not known"))?;
        if !ring::ALGORITHMS.contains(&header.alg) {
            return Err(wrong("the token is signed in a way that is not taken"));
        }
        let key = self.keys.find(header.kid.as_deref()).await?;
        let algorithm = KeyAlgorithm::from(header.alg);
        if key.common.key_algorithm.is_some_and(|own| own != algorithm) {
            return Err(wrong("the token is signed in another way than its key is for"));
        }
        let key = DecodingKey::from_jwk(&key).map_err(|_| wrong("the token's key cannot be used"))?;
        let mut rules = Validation::new(header.alg);
        rules.leeway = LEEWAY;
        rules.validate_nbf = true;
        rules.set_audience(&[&self.audience]);
        rules.set_issuer(&[&self.issuer]);
        rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        let checked = decode::<Claims>(token, &key, &rules).map_err(|error| {
            Refusal::Wrong(match error.kind() {
                ErrorKind::ExpiredSignature => "the token has expired".to_owned(),
                ErrorKind::ImmatureSignature => "the token is not good yet".to_owned(),
                ErrorKind::InvalidIssuer => "the token comes from another issuer".to_owned(),
                ErrorKind::InvalidAudience => "the token is for another audience".to_owned(),
                ErrorKind::MissingRequiredClaim(claim) => format!("the token has no claim {claim}"),
                _ => "the token is not genuine".to_owned(),
            })
        })?;
        Ok(checked.claims)
    }
}
