//! Tickets: a socket is opened with one where no header can be sent, as by a browser.
//!
//! A ticket says nothing but when it ends. Whose it is stands in the database, under its digest, so that any replica
//! takes it and only one of them does.

use std::{sync::Arc, time::Duration};

use asya_store::{Expect, Store, StoreError, Write};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use ring::{
    digest::{SHA256, digest},
    rand::{SecureRandom, SystemRandom},
};

use crate::{
    auth::{Admission, Refusal},
    service::{Error, Service},
};

/// How long a ticket is good: a page opens its socket at once.
pub const LIFETIME: Duration = Duration::from_secs(30);
/// Where they are kept.
const TABLE: &str = "ws_tickets";
/// Bytes of chance in one.
const CHANCE: usize = 32;
/// Longest text that may be one.
const LONGEST: usize = 80;
/// Digits of the milliseconds since 1970 that a ticket begins with: keys are in the order of their ends.
const DIGITS: usize = 13;
/// Tickets that nobody has used and that go when another one is made: more than are made by that.
const SWEPT: usize = 8;

/// The tickets of all replicas.
#[derive(Clone)]
pub struct Tickets(Arc<dyn Store>);

/// A new ticket.
#[derive(Debug, PartialEq, Eq)]
pub struct Ticket {
    /// Its text.
    pub text: String,
    /// When it is good no more.
    pub end: Timestamp,
}

impl Tickets {
    /// Those that the service's database holds.
    pub fn of(service: &Service) -> Self {
        Self(service.store().records())
    }

    /// Makes one for who was let in.
    ///
    /// # Errors
    /// Those of the store; no chance to be had from the system.
    pub async fn issue(&self, admission: &Admission, now: Timestamp) -> Result<Ticket, Error> {
        let mut chance = [0; CHANCE];
        let failed = |_| Error::Unavailable("the system has no random numbers".to_owned());
        SystemRandom::new().fill(&mut chance).map_err(failed)?;
        let end = now.checked_add(LIFETIME).unwrap_or(Timestamp::MAX);
        let text = format!("{}.{}", place(end), URL_SAFE_NO_PAD.encode(chance));
        let value = serde_json::to_vec(admission).expect("an admission has only string keys");
        let key = key(place(end), &text);
        let mut writes = vec![Write { table: TABLE, key, value: Some(value.into()), expect: Expect::Absent }];
        let late = self.0.list(TABLE, "", SWEPT).await?;
        let late = late.into_iter().filter(|old| old.key < place(now));
        writes.extend(late.map(|old| Write {
            table: TABLE,
            key: old.key,
            value: None,
            expect: Expect::Anything,
        }));
        self.0.commit(writes).await?;
        Ok(Ticket { text, end })
    }

    /// Whose ticket this is; it is one no more.
    ///
    /// # Errors
    /// [`Refusal::Wrong`] for what is none, is too old, or was used; [`Refusal::Away`] where the store is.
    pub async fn redeem(&self, ticket: &str, now: Timestamp) -> Result<Admission, Refusal> {
        let wrong = || Refusal::Wrong("the ticket is not known, was used, or is too old".to_owned());
        let end = ticket.split_once('.').map(|(end, _)| end).ok_or_else(wrong)?;
        let digits = end.len() == DIGITS && end.bytes().all(|digit| digit.is_ascii_digit());
        if !digits || ticket.len() > LONGEST || *end < *place(now) {
            return Err(wrong());
        }
        let away = |error: StoreError| Refusal::Away(error.to_string());
        let key = key(end.to_owned(), ticket);
        let record = self.0.get(TABLE, &key).await.map_err(away)?.ok_or_else(wrong)?;
        let used = Write { table: TABLE, key, value: None, expect: Expect::Version(record.version) };
        match self.0.commit(vec![used]).await {
            Ok(()) => serde_json::from_slice(&record.value).map_err(|_| wrong()),
            Err(StoreError::Conflict { .. }) => Err(wrong()),
            Err(error) => Err(away(error)),
        }
    }
}

/// A time, as keys begin with it.
fn place(at: Timestamp) -> String {
    format!("{:0DIGITS$}", at.as_millisecond())
}

/// Where a ticket is kept: whoever reads the database has no ticket.
fn key(mut end: String, ticket: &str) -> String {
    end.push('-');
    end + &URL_SAFE_NO_PAD.encode(digest(&SHA256, ticket.as_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use asya_store::testing::on_each_home;
    use futures::future::join_all;
    use jiff::SignedDuration;

    use super::*;
    use crate::auth::{Ground, Principal, Role, Roles};

    fn ann() -> Admission {
        let roles = Roles::from_iter([Role::Chat, Role::Read]);
        let digest = std::array::from_fn(|at| u8::try_from(at).unwrap());
        Admission { principal: Principal::named("ann", roles), ground: Ground::Token(digest) }
    }

    #[tokio::test]
    async fn a_ticket_is_taken_once_by_one_of_all_replicas() {
        on_each_home(async |home| {
            let replicas = [home.open().await, home.open().await].map(|store| Tickets(store.records()));
            let now = Timestamp::now();
            let ticket = replicas[0].issue(&ann(), now).await.unwrap();
            let tries = (0..8).map(|at| replicas[at % 2].redeem(&ticket.text, now));
            let outcomes = join_all(tries).await;
            let taken: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok()).collect();
            assert_eq!(taken, [&ann()]);
            for outcome in outcomes {
                assert!(matches!(outcome, Ok(_) | Err(Refusal::Wrong(_))), "{outcome:?}");
            }
        })
        .await;
    }

    #[tokio::test]
    async fn what_is_no_ticket_is_refused_and_the_database_holds_none() {
        on_each_home(async |home| {
            let store = home.open().await.records();
            let (tickets, now) = (Tickets(store.clone()), Timestamp::now());
            let good = tickets.issue(&ann(), now).await.unwrap();
            assert_eq!(good.end.duration_since(now), SignedDuration::try_from(LIFETIME).unwrap());
            let other = tickets.issue(&ann(), now).await.unwrap();
            assert_ne!(good, other);
            let (end, chance) = good.text.split_once('.').unwrap();
            let later: i64 = end.parse::<i64>().unwrap() + 60_000;
            let long = format!("{end}.{}", "x".repeat(10_000));
            for wrong in
                ["", ".", "x", end, chance, &format!("{end}."), &format!("{later}.{chance}"), &long, "9.9"]
            {
                assert!(matches!(tickets.redeem(wrong, now).await, Err(Refusal::Wrong(_))), "{wrong}");
            }
            let kept = store.list(TABLE, "", 100).await.unwrap();
            for record in &kept {
                let value = String::from_utf8(record.value.to_vec()).unwrap();
                assert!(!record.key.contains(chance) && !value.contains(chance), "{} {value}", record.key);
            }
            let late = good.end + SignedDuration::from_millis(1);
            assert!(matches!(tickets.redeem(&good.text, late).await, Err(Refusal::Wrong(_))));
            tickets.redeem(&good.text, good.end).await.unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn tickets_that_nobody_used_go_with_the_next_ones() {
        on_each_home(async |home| {
            let store = home.open().await.records();
            let (tickets, now) = (Tickets(store.clone()), Timestamp::now());
            for _ in 0..10 {
                tickets.issue(&ann(), now).await.unwrap();
            }
            let later = now + SignedDuration::from_secs(60);
            for left in [3, 2, 3] {
                tickets.issue(&ann(), later).await.unwrap();
                let kept = store.list(TABLE, "", 100).await.unwrap().len();
                // Eight of ten go, then two.
                assert_eq!(kept, left);
            }
        })
        .await;
    }
}
