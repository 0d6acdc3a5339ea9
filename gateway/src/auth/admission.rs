//! Who was let in, and what on: for whoever stays longer than one request.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::{Duration, sleep};

use super::{Auth, Principal, tokens::Digest};

/// Longest sleep: the clock may be set meanwhile.
const NAP: Duration = Duration::from_secs(60);

/// Who was let in, and what on. It can be written down, for it holds nothing that anybody gets in by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// Who acts.
    pub principal: Principal,
    /// What they were let in on.
    pub ground: Ground,
}

/// What somebody was let in on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ground {
    /// Nobody is asked.
    Open,
    /// The token with this digest, as long as it is one and has the same roles.
    Token(Digest),
    /// A token of an identity provider, which is good until then.
    Until(Timestamp),
}

impl Auth {
    /// Whether somebody would be let in on it still, as the same.
    pub fn is_good(&self, admission: &Admission) -> bool {
        let Admission { principal, ground } = admission;
        match ground {
            Ground::Open => self.open,
            Ground::Token(digest) => self.tokens.borrow().owner(digest) == Some(principal),
            Ground::Until(end) => Timestamp::now() < *end,
        }
    }

    /// Returns when nobody would be let in on it any more. Cancel safe.
    pub async fn ended(&self, admission: &Admission) {
        let mut tokens = self.tokens.clone();
        while self.is_good(admission) {
            match admission.ground {
                // Nobody is left who could change them: they stay.
                Ground::Token(_) => match tokens.changed().await {
                    Ok(()) => {}
                    Err(_) => std::future::pending().await,
                },
                Ground::Until(end) => {
                    let left = end.duration_since(Timestamp::now()).try_into().unwrap_or_default();
                    sleep(NAP.min(left)).await;
                }
                Ground::Open => std::future::pending().await,
            }
        }
    }
}
