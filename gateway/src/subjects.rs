//! In whose name an agent acts, as this gateway signs it and checks it.
//!
//! The keys are those of a file, or one that is made once and kept in the database, where all replicas find the same.

use std::path::Path;

use asya_store::{Expect, Store, StoreError, Write};
use asya_subject::{AUDIENCE, Claims, Invalid, Keys, LIFETIME, Signer};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Table of the key that the gateway makes itself.
const TABLE: &str = "subject_keys";
/// Its one record.
const OWN: &str = "own";
/// Who signs, where clients know no address of the gateway.
const ISSUER: &str = "asya-gateway";
/// What each key in a PEM file begins with.
const PEM: &str = "-----BEGIN";

/// Signs who asked, and checks who is said to have asked.
#[derive(Debug)]
pub struct Subjects {
    issuer: String,
    signer: Signer,
    keys: Keys,
}

/// The record of the key that the gateway has made.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// PKCS#8 in DER, in base64.
    pkcs8: String,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file, or what the database holds, is not what it should be.
    #[error("{0}")]
    Wrong(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Subjects {
    /// The keys of a file: the first signs, and whatever the others have signed is good too, so that keys can be
    /// exchanged. `issuer`: the address that clients know.
    ///
    /// # Errors
    /// [`KeyError::Wrong`].
    pub fn of_file(issuer: Option<&str>, file: &Path) -> Result<Self, KeyError> {
        let wrong = |error: &dyn std::fmt::Display| KeyError::Wrong(format!("{}: {error}", file.display()));
        let bytes = std::fs::read(file).map_err(|error| wrong(&error))?;
        let blocks: Vec<&[u8]> = match std::str::from_utf8(&bytes) {
            Ok(text) if text.contains(PEM) => {
                let begins: Vec<_> = text.match_indices(PEM).map(|(at, _)| at).collect();
                let ends = begins.iter().skip(1).copied().chain([bytes.len()]);
                begins.iter().zip(ends).map(|(&begin, end)| &bytes[begin..end]).collect()
            }
            _ => vec![&bytes],
        };
        let signers: Result<Vec<_>, _> = blocks.into_iter().map(Signer::from_pkcs8).collect();
        Self::of(issuer, signers.map_err(|error| wrong(&error))?)
    }

    /// The key of the database; the first replica that asks makes it.
    ///
    /// # Errors
    /// Those of the store; [`KeyError::Wrong`] where its record cannot be read.
    pub async fn kept(issuer: Option<&str>, store: &dyn Store) -> Result<Self, KeyError> {
        if store.get(TABLE, OWN).await?.is_none() {
            let (_, pkcs8) = Signer::generate().map_err(|error| KeyError::Wrong(error.to_string()))?;
            let kept = Kept { pkcs8: STANDARD.encode(pkcs8) };
            let value = serde_json::to_vec(&kept).expect("a record has only string keys");
            let write = Write {
                table: TABLE,
                key: OWN.to_owned(),
                value: Some(value.into()),
                expect: Expect::Absent,
            };
            match store.commit(vec![write]).await {
                // Another replica was faster: its key counts.
                Ok(()) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let wrong = || KeyError::Wrong(format!("the record {OWN:?} of {TABLE} holds no key"));
        let record = store.get(TABLE, OWN).await?.ok_or_else(wrong)?;
        let kept: Kept = serde_json::from_slice(&record.value).map_err(|_| wrong())?;
        let pkcs8 = STANDARD.decode(kept.pkcs8).map_err(|_| wrong())?;
        Self::of(issuer, vec![Signer::from_pkcs8(&pkcs8).map_err(|_| wrong())?])
    }

    fn of(issuer: Option<&str>, signers: Vec<Signer>) -> Result<Self, KeyError> {
        let keys = Keys::of(signers.iter().map(|signer| signer.jwk().clone()));
        let keys = keys.map_err(|error| KeyError::Wrong(error.to_string()))?;
        let signer =
            signers.into_iter().next().ok_or_else(|| KeyError::Wrong("there is no key".to_owned()))?;
        Ok(Self { issuer: issuer.unwrap_or(ISSUER).to_owned(), signer, keys })
    }

    /// That `name`, who is in these groups, asks in a session, for the envelope `root`, from `now` on for a day.
    ///
    /// # Errors
    /// [`Invalid::TooLong`], where an identity provider has made up a name that long.
    pub fn sign(
        &self,
        (name, groups): (&str, &[String]),
        session: &str,
        root: &str,
        now: Timestamp,
    ) -> Result<String, Invalid> {
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: AUDIENCE.to_owned(),
            sub: name.to_owned(),
            groups: groups.to_vec(),
            session: session.to_owned(),
            root: root.to_owned(),
            iat: now.as_second(),
            exp: now.as_second().saturating_add(LIFETIME),
        };
        self.signer.sign(&claims)
    }

    /// Who is said to have asked, if that is true and not too long ago.
    ///
    /// # Errors
    /// What is wrong with the token.
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Claims, Invalid> {
        self.keys.verify(token, now)
    }

    /// The public keys, as a JWK Set.
    pub fn keys(&self) -> Value {
        self.keys.to_json()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use asya_store::testing::on_each_home;
    use futures::future::join_all;

    use super::*;

    fn pem() -> String {
        let (_, der) = Signer::generate().unwrap();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
    }

    #[tokio::test]
    async fn replicas_that_begin_at_once_have_one_key_and_keep_it() {
        on_each_home(async |home| {
            let stores = [home.open().await.records(), home.open().await.records()];
            let all =
                join_all(stores.iter().map(async |store| Subjects::kept(None, &**store).await.unwrap()));
            let [one, other] = <[Subjects; 2]>::try_from(all.await).unwrap();
            assert_eq!(one.keys(), other.keys());
            let now = Timestamp::now();
            let claims = other.verify(&one.sign(("ann", &[]), "s-1", "e-1", now).unwrap(), now).unwrap();
            assert_eq!((claims.iss.as_str(), claims.sub.as_str()), ("asya-gateway", "ann"));
            let again = Subjects::kept(Some("https://g"), &*home.open().await.records()).await.unwrap();
            assert_eq!(again.keys(), one.keys());
        })
        .await;
    }

    #[test]
    fn the_first_key_of_a_file_signs_and_the_others_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.pem");
        let (old, new) = (pem(), pem());
        std::fs::write(&file, &old).unwrap();
        let before = Subjects::of_file(None, &file).unwrap();
        std::fs::write(&file, new.clone() + &old).unwrap();
        let after = Subjects::of_file(None, &file).unwrap();
        let now = Timestamp::now();
        after.verify(&before.sign(("ann", &[]), "s", "e", now).unwrap(), now).unwrap();
        assert!(before.verify(&after.sign(("ann", &[]), "s", "e", now).unwrap(), now).is_err());
        std::fs::write(&file, "secret").unwrap();
        let error = Subjects::of_file(None, &file).unwrap_err().to_string();
        assert!(error.contains("keys.pem") && !error.contains("secret"), "{error}");
    }
}
