//! The public keys, and the check of a token.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jiff::Timestamp;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{ALGORITHM, AUDIENCE, BadKey, Claims, Head, Invalid, Jwk, LEEWAY, LONGEST, jwk::LENGTH};

/// Public keys by their names: that with which tokens are signed now, and those of before it that are still out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(Vec<(Jwk, [u8; LENGTH])>);

impl Keys {
    /// These keys.
    ///
    /// # Errors
    /// [`BadKey::Public`]: one is no Ed25519 key, or two have one name.
    pub fn of(keys: impl IntoIterator<Item = Jwk>) -> Result<Self, BadKey> {
        let mut known: Vec<(Jwk, [u8; LENGTH])> = Vec::new();
        for key in keys {
            if key.kty != "OKP" || key.crv != "Ed25519" {
                return Err(BadKey::Public(format!(
                    "the key {:?} is of the kind {} {}",
                    key.kid, key.kty, key.crv
                )));
            }
            if key.alg.as_deref().is_some_and(|alg| alg != ALGORITHM)
                || key.purpose.as_deref().is_some_and(|purpose| purpose != "sig")
            {
                return Err(BadKey::Public(format!(
                    "the key {:?} is not for signatures with EdDSA",
                    key.kid
                )));
            }
            if known.iter().any(|(other, _)| other.kid == key.kid) {
                return Err(BadKey::Public(format!("two keys have the name {:?}", key.kid)));
            }
            let bytes = key.bytes().map_err(BadKey::Public)?;
            known.push((key, bytes));
        }
        Ok(Self(known))
    }

    /// The keys of a JWK Set. Those of other kinds are other clients' business.
    ///
    /// # Errors
    /// [`BadKey::Public`]: it is no such set, or an Ed25519 key in it is broken.
    pub fn parse(set: &[u8]) -> Result<Self, BadKey> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let bad = |error: serde_json::Error| BadKey::Public(error.to_string());
        let set: Set = serde_json::from_slice(set).map_err(bad)?;
        let ours = set.keys.into_iter().filter(|key| key["kty"] == "OKP" && key["crv"] == "Ed25519");
        Self::of(ours.map(serde_json::from_value).collect::<Result<Vec<_>, _>>().map_err(bad)?)
    }

    /// The same as a JWK Set.
    pub fn to_json(&self) -> Value {
        json!({"keys": self.0.iter().map(|(key, _)| key).collect::<Vec<_>>()})
    }

    /// True without any key: no token is good.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a token says that is good at `now`.
    ///
    /// # Errors
    /// What is wrong with it. [`Invalid::UnknownKey`] may mean that these keys are older than the token.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, Invalid> {
        if token.len() > LONGEST {
            return Err(Invalid::TooLong);
        }
        let not_three = Invalid::Malformed("it does not have three parts");
        let (signed, signature) = token.rsplit_once('.').ok_or_else(|| not_three.clone())?;
        let (head, claims) = signed.split_once('.').ok_or_else(|| not_three.clone())?;
        if claims.contains('.') {
            return Err(not_three);
        }
        let head = decoded(head, "its header is not base64url")?;
        let head = algorithm(&head)?;
        let (_, key) =
            self.0.iter().find(|(key, _)| key.kid == head.kid).ok_or(Invalid::UnknownKey(head.kid))?;
        let signature = decoded(signature, "its signature is not base64url")?;
        genuine(key, signed, &signature)?;
        let claims = decoded(claims, "its claims are not base64url")?;
        let claims: Claims = serde_json::from_slice(&claims)
            .map_err(|_| Invalid::Malformed("its claims are not those of a subject"))?;
        in_force(claims, now.as_second())
    }
}

/// The header of a token, if it is one of ours. The algorithm is looked at first, so that the message is about it.
fn algorithm(head: &[u8]) -> Result<Head, Invalid> {
    #[derive(Deserialize)]
    struct Alg {
        alg: String,
    }
    let unread = |_| Invalid::Malformed("its header is not that of a subject's token");
    let Alg { alg } = serde_json::from_slice(head).map_err(unread)?;
    if alg != ALGORITHM {
        return Err(Invalid::Algorithm(alg));
    }
    serde_json::from_slice(head).map_err(unread)
}

fn genuine(key: &[u8; LENGTH], signed: &str, signature: &[u8]) -> Result<(), Invalid> {
    let key = UnparsedPublicKey::new(&ED25519, key);
    key.verify(signed.as_bytes(), signature).map_err(|_| Invalid::Signature)
}

fn in_force(claims: Claims, now: i64) -> Result<Claims, Invalid> {
    if claims.aud != AUDIENCE {
        return Err(Invalid::Audience(claims.aud));
    }
    if now > claims.exp.saturating_add(LEEWAY) {
        return Err(Invalid::Expired(claims.exp));
    }
    if claims.iat > now.saturating_add(LEEWAY) {
        return Err(Invalid::Early(claims.iat));
    }
    Ok(claims)
}

fn decoded(part: &str, why: &'static str) -> Result<Vec<u8>, Invalid> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| Invalid::Malformed(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_of_rfc_8037_is_genuine_and_changed_it_is_not() {
        let signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
        let signature =
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).unwrap();
        let key = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let key: [u8; LENGTH] = BASE64_URL_SAFE_NO_PAD.decode(key).unwrap().try_into().unwrap();
        assert_eq!(genuine(&key, signed, &signature), Ok(()));
        assert_eq!(genuine(&key, &signed.replace("RX", "RY"), &signature), Err(Invalid::Signature));
        assert_eq!(genuine(&key, signed, &signature[..63]), Err(Invalid::Signature));
    }
}
