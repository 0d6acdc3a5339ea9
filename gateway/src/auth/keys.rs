//! The keys of an issuer: fetched when they are needed, kept, and fetched again when a token names one that is not
//! among them.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use asya_http::{Http, StatusCode};
use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;
use tokio::{sync::Mutex, time::Instant};

use super::Refusal;

/// Keys that are older are fetched again: an issuer that withdraws one is heard.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// While an issuer is away its keys count for this long.
const LASTING: Duration = Duration::from_secs(24 * 60 * 60);
/// Pause between fetches: tokens with made-up key ids do not become requests to the issuer.
const PAUSE: Duration = Duration::from_secs(10);
/// Largest document that is read.
const LARGEST: usize = 1024 * 1024;

/// Where an issuer's keys are.
#[derive(Clone, Debug)]
pub enum Place {
    /// Where the discovery document of this issuer says.
    Issuer(String),
    /// Here.
    Address(String),
}

/// An issuer's keys.
#[derive(Debug)]
pub struct Keys {
    http: Http,
    place: Place,
    /// A bearer token that is asked for where the keys are; a cluster does.
    token: Option<PathBuf>,
    known: RwLock<Known>,
    /// When a fetch was tried last, and why it failed. Whoever holds it fetches, for all.
    tried: Mutex<Option<(Instant, Option<String>)>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    keys: Arc<[Jwk]>,
    since: Option<Instant>,
}

impl Known {
    fn find(&self, id: Option<&str>) -> Option<Jwk> {
        match id {
            Some(id) => self.keys.iter().find(|key| key.common.key_id.as_deref() == Some(id)).cloned(),
            // A token may leave it out where there is but one key.
            None => <&[Jwk; 1]>::try_from(&*self.keys).ok().map(|[key]| key.clone()),
        }
    }

    fn younger(&self, than: Duration) -> bool {
        self.since.is_some_and(|since| since.elapsed() < than)
    }
}

impl Keys {
    /// The keys at a place; nothing is fetched yet. `authorities`: a PEM file, if the server's certificate is not
    /// signed by one of the system's.
    ///
    /// # Errors
    /// A sentence, if TLS cannot be set up.
    pub fn new(place: Place, authorities: Option<PathBuf>, token: Option<PathBuf>) -> Result<Self, String> {
        let address = match &place {
            Place::Issuer(address) | Place::Address(address) => address,
        };
        let http = match authorities {
            Some(file) => Http::trusting(&file)?,
            None => Http::new(address)?,
        };
        Ok(Self { http, place, token, known: RwLock::default(), tried: Mutex::default() })
    }

    /// The key of this id.
    ///
    /// # Errors
    /// [`Refusal::Wrong`] where the issuer has no such key, [`Refusal::Away`] where it cannot be asked.
    pub async fn find(&self, id: Option<&str>) -> Result<Jwk, Refusal> {
        let known = self.known();
        if known.younger(FRESH)
            && let Some(key) = known.find(id)
        {
            return Ok(key);
        }
        let mut tried = self.tried.lock().await;
        // Somebody else may have fetched meanwhile.
        let known = self.known();
        let done = known.younger(FRESH) && known.find(id).is_some();
        if !done && tried.as_ref().is_none_or(|(at, _)| at.elapsed() >= PAUSE) {
            let outcome = self.fetch().await;
            if let Err(error) = &outcome {
                tracing::warn!(error, place = ?self.place, "the issuer's keys cannot be fetched");
            }
            *tried = Some((Instant::now(), outcome.err()));
        }
        let failed = tried.as_ref().and_then(|(_, error)| error.clone());
        drop(tried);
        let known = self.known();
        match known.find(id) {
            Some(key) if known.younger(LASTING) => Ok(key),
            _ => Err(failed.map_or_else(
                || Refusal::Wrong("the token is signed with a key that its issuer does not have".to_owned()),
                |error| Refusal::Away(format!("its issuer's keys: {error}")),
            )),
        }
    }

    fn known(&self) -> Known {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn fetch(&self) -> Result<(), String> {
        #[derive(Deserialize)]
        struct Discovery {
            issuer: String,
            jwks_uri: String,
        }
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let address = match &self.place {
            Place::Address(address) => address.clone(),
            Place::Issuer(issuer) => {
                let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let found: Discovery = self.get(&address).await?;
                if found.issuer != *issuer {
                    return Err(format!("{address} speaks of another issuer, {}", found.issuer));
                }
                found.jwks_uri
            }
        };
        let set: Set = self.get(&address).await?;
        // Keys of kinds that are not known here are other clients' business.
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys: Vec<_> =
            keys.filter(|key| !matches!(key.common.public_key_use, Some(PublicKeyUse::Encryption))).collect();
        let known = Known { keys: keys.into(), since: Some(Instant::now()) };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    async fn get<T: DeserializeOwned>(&self, address: &str) -> Result<T, String> {
        let token = match &self.token {
            Some(path) => Some(asya_settings::Secret::File(path.clone()).read()?),
            None => None,
        };
        match self.http.get(address, token.as_deref(), LARGEST).await? {
            (StatusCode::OK, body) => {
                serde_json::from_slice(&body).map_err(|error| format!("{address}: {error}"))
            }
            (status, _) => Err(format!("{address} answers {status}")),
        }
    }
}
