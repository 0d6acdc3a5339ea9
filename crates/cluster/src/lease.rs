//! Who acts: one replica holds a Lease, the others stand by.
//!
//! The Lease is changed by compare-and-set on its resourceVersion. A replica that could not renew it in time stops
//! acting **before** another one may begin, and goes back to standing by.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::{Api, Client, api::PostParams};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long a Lease lasts without renewal, as in client-go.
pub const DURATION: Duration = Duration::from_secs(15);
/// How long a leader tries to renew before it gives up, as in client-go.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Pause between two tries, as in client-go.
pub const RETRY: Duration = Duration::from_secs(2);

/// One replica's bid for the Lease.
#[derive(Clone, Debug)]
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    notes: Option<Notes>,
    owner: Option<OwnerReference>,
}

/// Annotations that whoever holds the Lease writes on it.
pub type Notes = watch::Receiver<BTreeMap<String, String>>;

/// What a look at the Lease told.
enum Turn {
    /// It is ours until renewed or [`RENEW_DEADLINE`] passes; and when it was renewed last before, by anybody.
    Ours(Box<Lease>, Option<Timestamp>),
    /// Somebody else's.
    Theirs(String),
}

/// Somebody else's Lease, as it was first seen; clocks of different machines are never compared.
struct Seen {
    lease: LeaseSpec,
    since: Instant,
}

impl Candidate {
    /// A bid for the Lease `name` of `namespace`, under the name `identity`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: &str) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), identity: identity.to_owned(), notes: None, owner: None }
    }

    /// With annotations that each renewal takes along, as they are then: they cost no write of their own. Others that the
    /// Lease has stay.
    #[must_use]
    pub fn noting(mut self, notes: Notes) -> Self {
        self.notes = Some(notes);
        self
    }

    /// With an owner of the Lease, if it is us who make it: it goes with its owner, also when it is made after that is gone.
    #[must_use]
    pub fn owned_by(mut self, owner: Option<OwnerReference>) -> Self {
        self.owner = owner;
        self
    }

    /// Stands by until the Lease is ours; `None` when `stop` came first.
    pub async fn acquire(&self, stop: &CancellationToken) -> Option<Term> {
        let mut seen = None;
        let mut holder = None;
        let mut said = None;
        loop {
            let asked = Instant::now();
            match self.look(&mut seen).await {
                Ok(Turn::Ours(lease, before)) => {
                    info!(identity = self.identity, lease = self.name, "leading");
                    return Some(Term { candidate: self.clone(), lease, renewed: asked, before });
                }
                Ok(Turn::Theirs(name)) => {
                    if holder.as_ref() != Some(&name) {
                        info!(leader = name, "standing by");
                        holder = Some(name);
                    }
                }
                Err(error) => {
                    let error = error.to_string();
                    if said.as_ref() != Some(&error) {
                        warn!(error, lease = self.name, "cannot read or take the lease; trying again");
                        said = Some(error);
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => return None,
            }
        }
    }

    async fn look(&self, seen: &mut Option<Seen>) -> kube::Result<Turn> {
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            let fresh = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    owner_references: self.owner.clone().map(|owner| vec![owner]),
                    ..ObjectMeta::default()
                },
                spec: Some(self.spec(None)),
            };
            return Ok(Turn::Ours(Box::new(self.api.create(&PostParams::default(), &fresh).await?), None));
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        if !holder.is_empty() && holder != self.identity {
            if seen.as_ref().is_none_or(|seen| seen.lease != spec) {
                *seen = Some(Seen { lease: spec.clone(), since: Instant::now() });
            }
            let lasts = spec.lease_duration_seconds.and_then(|s| u64::try_from(s).ok());
            let lasts = lasts.map_or(DURATION, Duration::from_secs);
            if seen.as_ref().is_some_and(|seen| seen.since.elapsed() < lasts) {
                return Ok(Turn::Theirs(holder));
            }
        }
        let ours = Lease { spec: Some(self.spec(Some(&spec))), ..lease };
        let ours = self.api.replace(&self.name, &PostParams::default(), &ours).await?;
        Ok(Turn::Ours(Box::new(ours), spec.renew_time.map(|time| time.0)))
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let before = before.cloned().unwrap_or_default();
        let now = MicroTime(after(before.renew_time.as_ref().map(|time| time.0), Timestamp::now()));
        let mine = before.holder_identity.as_deref() == Some(self.identity.as_str());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            acquire_time: if mine { before.acquire_time } else { Some(now.clone()) },
            renew_time: Some(now),
            lease_transitions: Some(before.lease_transitions.unwrap_or_default() + i32::from(!mine)),
            ..LeaseSpec::default()
        }
    }
}

/// The time during which this replica acts.
#[derive(Debug)]
pub struct Term {
    candidate: Candidate,
    lease: Box<Lease>,
    renewed: Instant,
    before: Option<Timestamp>,
}

impl Term {
    /// A time that is later than any at which a holder before this one acted, by its own clock, and than the same of the
    /// terms before: what is ordered by time goes on from here, however the clocks differ. None for the first term.
    #[must_use]
    pub fn begins(&self) -> Option<Timestamp> {
        let duration = SignedDuration::try_from(DURATION).unwrap_or(SignedDuration::MAX);
        self.before.map(|before| before.saturating_add(duration).unwrap_or(Timestamp::MAX))
    }

    /// Renews the Lease until `stop` (and then gives it back, so that the next leader need not wait) or until it is lost.
    /// True when it was lost: whoever acts must have stopped by the time this returns, so `lost` is cancelled first.
    pub async fn hold(mut self, stop: CancellationToken, lost: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => return self.release().await,
            }
            let left = RENEW_DEADLINE.saturating_sub(self.renewed.elapsed());
            let asked = Instant::now();
            match tokio::time::timeout(left, self.renew()).await {
                Ok(Ok(())) => self.renewed = asked,
                Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_not_found() => {
                    warn!("the lease was taken away");
                    return lost.cancel();
                }
                Ok(Err(error)) => warn!(%error, "cannot renew the lease; trying again"),
                Err(_) => {}
            }
            if self.renewed.elapsed() >= RENEW_DEADLINE {
                warn!("the lease could not be renewed in time");
                return lost.cancel();
            }
        }
    }

    async fn renew(&mut self) -> kube::Result<()> {
        let spec = self.candidate.spec(self.lease.spec.as_ref());
        self.replace(spec).await
    }

    async fn replace(&mut self, spec: LeaseSpec) -> kube::Result<()> {
        let mut lease = Lease { spec: Some(spec), ..(*self.lease).clone() };
        let Candidate { api, name, notes, .. } = &self.candidate;
        if let Some(notes) = notes {
            lease.metadata.annotations.get_or_insert_default().extend(notes.borrow().clone());
        }
        *self.lease = api.replace(name, &PostParams::default(), &lease).await?;
        Ok(())
    }

    async fn release(mut self) {
        let mut spec = self.candidate.spec(self.lease.spec.as_ref());
        spec.holder_identity = None;
        spec.lease_duration_seconds = Some(1);
        match tokio::time::timeout(RETRY, self.replace(spec)).await {
            Ok(Ok(())) => info!("gave the lease back"),
            Ok(Err(error)) => warn!(%error, "could not give the lease back"),
            Err(_) => warn!("could not give the lease back in time"),
        }
    }
}

/// The time of a renewal: never before the last one, though the clock may be.
fn after(last: Option<Timestamp>, now: Timestamp) -> Timestamp {
    let step = SignedDuration::from_millis(1);
    last.map_or(now, |last| now.max(last.saturating_add(step).unwrap_or(now)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn renewals_go_on_in_time_whatever_the_clocks_say() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(after(None, at(5)), at(5));
        assert_eq!(after(Some(at(5)), at(7)), at(7));
        let behind = after(Some(at(5)), at(2));
        assert!(behind > at(5) && after(Some(behind), at(2)) > behind);
    }
}
