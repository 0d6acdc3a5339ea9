//! How often one peer may come with credentials that are not good.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::{PoisonError, RwLock},
};

use super::{Peer, Refusal, rate::Rates};

/// Good credentials that are remembered; with more, all are forgotten, and remembered again as they come.
const REMEMBERED: usize = 10_000;
/// The time that the limit counts in, in seconds.
const MINUTE: f64 = 60.0;

/// Wrong credentials by peer.
///
/// A peer that has had too many is not asked what it has until some time has passed, so that it cannot go on guessing.
/// Credentials that have been good pass all the same, and are checked: who shares an address with somebody who guesses
/// is not locked out.
#[derive(Debug, Default)]
pub struct Failures {
    rates: Option<Rates<Peer>>,
    /// Hashes with a key of this process. One that is there by chance means a check, not a way in.
    good: RwLock<HashSet<u64>>,
    key: RandomState,
}

impl Failures {
    /// So many in a minute of one peer, at once or one after the other; `None`: as many as there are.
    pub fn new(a_minute: Option<u32>) -> Self {
        let rates = a_minute.map(|most| Rates::with(f64::from(most) / MINUTE, f64::from(most)));
        Self { rates, ..Self::default() }
    }

    /// Lets `check` look at a token, and remembers what came of it.
    ///
    /// # Errors
    /// Those of `check`; [`Refusal::Guessing`] without a check.
    pub async fn judge<T>(
        &self,
        peer: Peer,
        token: &str,
        check: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        let Some(rates) = &self.rates else { return check.await };
        let hash = self.key.hash_one(token);
        let known = self.good.read().unwrap_or_else(PoisonError::into_inner).contains(&hash);
        if !known && let Some(after) = rates.wait(&peer) {
            return Err(Refusal::Guessing(after));
        }
        let outcome = check.await;
        match &outcome {
            Ok(_) if !known => {
                let mut good = self.good.write().unwrap_or_else(PoisonError::into_inner);
                if good.len() >= REMEMBERED {
                    good.clear();
                }
                good.insert(hash);
            }
            // Whoever's turn it was meanwhile has been told: nothing is left to be taken.
            Err(Refusal::Wrong(_)) => drop(rates.take(peer)),
            _ => {}
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn come(failures: &Failures, from: &str, token: &str) -> Result<(), Refusal> {
        let check = async { if token == "good" { Ok(()) } else { Err(Refusal::Wrong("no".to_owned())) } };
        failures.judge(Peer::at(from.parse().unwrap()), token, check).await
    }

    #[tokio::test(start_paused = true)]
    async fn who_guesses_is_not_asked_any_more_and_others_are() {
        let failures = Failures::new(Some(3));
        come(&failures, "10.0.0.7", "good").await.unwrap();
        for _ in 0..3 {
            assert!(matches!(come(&failures, "10.0.0.9", "wrong").await, Err(Refusal::Wrong(_))));
        }
        for _ in 0..3 {
            let told = come(&failures, "10.0.0.9", "wrong").await.unwrap_err();
            assert_eq!(told, Refusal::Guessing(Duration::from_secs(20)), "asking puts nothing off");
        }
        assert!(matches!(come(&failures, "10.0.0.8", "wrong").await, Err(Refusal::Wrong(_))));
        come(&failures, "10.0.0.9", "good").await.unwrap();
        let fresh = Failures::new(Some(1));
        assert!(come(&fresh, "10.0.0.9", "wrong").await.is_err());
        let guessed = come(&fresh, "10.0.0.9", "good").await.unwrap_err();
        assert!(matches!(guessed, Refusal::Guessing(_)), "a guess that is right is none the wiser");
        tokio::time::advance(Duration::from_secs(60)).await;
        come(&fresh, "10.0.0.9", "good").await.unwrap();
    }

    #[tokio::test]
    async fn without_a_limit_there_is_none() {
        let failures = Failures::new(None);
        for _ in 0..1000 {
            assert!(matches!(come(&failures, "10.0.0.9", "wrong").await, Err(Refusal::Wrong(_))));
        }
    }
}
