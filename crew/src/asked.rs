//! Who asked: the signed subject of an envelope, checked against the envelope in hand.
//!
//! A token can be copied onto any envelope. So it counts only for the one that it was made for, and for those that were
//! fanned out of it; whoever serves no parts of a fan-out asks for [`Asked::is_root`] as well.

use std::{path::PathBuf, sync::Arc, time::Duration};

use asya_envelope::Envelope;
use asya_session::desk::SUBJECT;
use asya_subject::{Claims, Invalid, Keys};
use jiff::Timestamp;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    desk::{self, Desk},
    shipped::Variables,
};

/// How often keys are asked for again because a token names one that is not known: a forged one must not make every
/// envelope a request.
const AGAIN: Duration = Duration::from_secs(10);

/// Where the public keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A JWK Set in a file, read again when a key is not known.
    File(PathBuf),
    /// The gateway.
    Gateway(desk::Settings),
}

impl Source {
    /// Reads `ASYA_SUBJECT_KEYS_FILE`, else where the gateway is.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        match variables.get("ASYA_SUBJECT_KEYS_FILE") {
            Some(file) => Ok(Self::File(variables.base.join(file))),
            None => desk::Settings::read(variables).map(Self::Gateway),
        }
    }
}

/// Who asked, as the gateway has signed it for this envelope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The token, to be shown to the gateway.
    pub token: String,
    /// What it says.
    pub claims: Claims,
}

impl Asked {
    /// Whether it was made for this very envelope, which is no part of a fan-out.
    pub fn is_root(&self, envelope: &Envelope) -> bool {
        self.claims.root == envelope.id && asya_envelope::lineage::parts_of(&envelope.headers).is_empty()
    }
}

/// Why nobody is known to have asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unasked {
    /// The envelope carries no subject.
    #[error("the envelope carries no {SUBJECT}: it does not come from a session of the gateway")]
    Nobody,
    /// Its subject's token is not taken.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Its subject's token is that of another envelope.
    #[error("the subject's token was made for the envelope {0:?}, not for this one")]
    Other(String),
    /// There are no keys now: again, later.
    #[error("the keys of subjects cannot be read: {0}")]
    Away(String),
}

/// Checks subjects. Clones share the keys.
#[derive(Clone, Debug)]
pub struct Subjects(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    keys: Place,
    /// Held while keys are read, so that many envelopes at once make one request.
    known: Mutex<Known>,
}

#[derive(Debug)]
enum Place {
    File(PathBuf),
    Desk(Desk),
}

#[derive(Debug, Default)]
struct Known {
    keys: Keys,
    /// When they were last read.
    read: Option<Instant>,
}

impl Subjects {
    /// Checks with the keys of this source, which are read when the first token comes.
    ///
    /// # Errors
    /// A sentence, if the gateway's address cannot be used.
    pub fn new(source: &Source) -> Result<Self, String> {
        let keys = match source {
            Source::File(path) => Place::File(path.clone()),
            Source::Gateway(settings) => Place::Desk(Desk::new(settings)?),
        };
        Ok(Self(Arc::new(Inner { keys, known: Mutex::default() })))
    }

    /// Who asked for this envelope. Cancel safe.
    ///
    /// # Errors
    /// [`Unasked`], by what is to be done.
    pub async fn of(&self, envelope: &Envelope) -> Result<Asked, Unasked> {
        let token = envelope.headers.get_text(SUBJECT).ok_or(Unasked::Nobody)?;
        let claims = self.claims(&token).await?;
        if !claims.covers(envelope) {
            return Err(Unasked::Other(claims.root));
        }
        Ok(Asked { token, claims })
    }

    async fn claims(&self, token: &str) -> Result<Claims, Unasked> {
        let mut known = self.0.known.lock().await;
        match known.keys.verify(token, Timestamp::now()) {
            Err(Invalid::UnknownKey(_)) if known.read.is_none_or(|read| read.elapsed() >= AGAIN) => {
                known.keys = self.read().await?;
                known.read = Some(Instant::now());
                Ok(known.keys.verify(token, Timestamp::now())?)
            }
            outcome => Ok(outcome?),
        }
    }

    async fn read(&self) -> Result<Keys, Unasked> {
        let text = match &self.0.keys {
            Place::File(path) => {
                tokio::fs::read(path).await.map_err(|error| format!("{}: {error}", path.display()))
            }
            Place::Desk(desk) => desk
                .subject_keys()
                .await
                .map(|set| set.to_string().into_bytes())
                .map_err(|error| error.to_string()),
        };
        let keys = text.and_then(|text| Keys::parse(&text).map_err(|error| error.to_string()));
        keys.map_err(Unasked::Away)
    }
}

#[cfg(test)]
mod tests {
    use asya_envelope::{Headers, Raw, Route, lineage::Lineage};
    use asya_subject::Signer;

    use super::*;

    fn claims(root: &str) -> Claims {
        let now = Timestamp::now().as_second();
        let text = |text: &str| text.to_owned();
        let (iss, aud, sub, session) = (text("gateway"), text("asya"), text("ann"), text("s-1"));
        Claims { iss, aud, sub, groups: Vec::new(), session, root: text(root), iat: now, exp: now + 60 }
    }

    fn signer() -> Signer {
        Signer::generate().unwrap().0
    }

    fn envelope(id: &str, token: &str) -> Envelope {
        let headers = Headers::from_pairs([(SUBJECT.to_owned(), Raw::of(&token))]);
        Envelope { headers, ..Envelope::new(id, Route::new(["agent"]), Raw::null()) }
    }

    fn write(path: &std::path::Path, signers: &[&Signer]) {
        let keys = Keys::of(signers.iter().map(|signer| signer.jwk().clone())).unwrap();
        std::fs::write(path, keys.to_json().to_string()).unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_key_is_found_and_a_forged_one_is_not_looked_for_again_and_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let (first, second, forger) = (signer(), signer(), signer());
        let subjects = Subjects::new(&Source::File(file.clone())).unwrap();
        let by = |signer: &Signer| envelope("e", &signer.sign(&claims("e")).unwrap());

        assert!(matches!(subjects.of(&by(&first)).await, Err(Unasked::Away(_))), "there are no keys yet");
        write(&file, &[&first]);
        assert_eq!(subjects.of(&by(&first)).await.unwrap().claims, claims("e"));
        assert!(matches!(subjects.of(&by(&forger)).await, Err(Unasked::Invalid(Invalid::UnknownKey(_)))));
        write(&file, &[&first, &second]);
        assert!(subjects.of(&by(&second)).await.is_err(), "asked for a moment ago");
        tokio::time::advance(AGAIN).await;
        assert!(subjects.of(&by(&second)).await.is_ok());
        assert!(subjects.of(&by(&forger)).await.is_err());
    }

    #[tokio::test]
    async fn a_token_counts_for_its_envelope_and_what_was_fanned_out_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let signer = signer();
        write(&file, &[&signer]);
        let subjects = Subjects::new(&Source::File(file)).unwrap();
        let token = signer.sign(&claims("e")).unwrap();
        let root = envelope("e", &token);
        assert!(subjects.of(&root).await.unwrap().is_root(&root));

        let mut parts = [root.clone(), root.clone()];
        for (index, part) in (0..).zip(&mut parts) {
            Lineage::of(&root).assign(part, index, Some(2));
            let asked = subjects.of(part).await.unwrap();
            assert!(!asked.is_root(part), "part {index}");
        }
        let other = subjects.of(&envelope("f", &token)).await;
        assert_eq!(other, Err(Unasked::Other("e".to_owned())));
        let none = Envelope::new("e", Route::new(["agent"]), Raw::null());
        assert_eq!(subjects.of(&none).await, Err(Unasked::Nobody));
    }
}
