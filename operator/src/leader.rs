//! Who acts: one replica holds a Lease, the others stand by with warm caches.
//!
//! The Lease is changed by compare-and-set on its resourceVersion. A replica that could not renew it in time stops
//! acting **before** another one may begin, and goes back to standing by.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::{Api, Client, api::PostParams};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Name of the Lease, the Go operator's, so that the two never act at the same time.
pub const LEASE: &str = "asya-operator.asya.sh";
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
    identity: String,
}

/// What a look at the Lease told.
enum Turn {
    /// It is ours until renewed or [`RENEW_DEADLINE`] passes.
    Ours(Box<Lease>),
    /// Somebody else's.
    Theirs(String),
}

/// Somebody else's Lease, as it was first seen; clocks of different machines are never compared.
struct Seen {
    lease: LeaseSpec,
    since: Instant,
}

impl Candidate {
    /// A bid under the name `identity`.
    pub fn new(client: Client, namespace: &str, identity: &str) -> Self {
        Self { api: Api::namespaced(client, namespace), identity: identity.to_owned() }
    }

    /// Stands by until the Lease is ours; `None` when `stop` came first.
    pub async fn acquire(&self, stop: &CancellationToken) -> Option<Term> {
        let mut seen = None;
        let mut holder = None;
        loop {
            let asked = Instant::now();
            match self.look(&mut seen).await {
                Ok(Turn::Ours(lease)) => {
                    info!(identity = self.identity, "leading");
                    return Some(Term { candidate: self.clone(), lease, renewed: asked });
                }
                Ok(Turn::Theirs(name)) => {
                    if holder.as_ref() != Some(&name) {
                        info!(leader = name, "standing by");
                        holder = Some(name);
                    }
                }
                Err(error) => warn!(%error, "cannot read or take the lease; trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY) => {}
                () = stop.cancelled() => return None,
            }
        }
    }

    async fn look(&self, seen: &mut Option<Seen>) -> kube::Result<Turn> {
        let Some(lease) = self.api.get_opt(LEASE).await? else {
            let fresh = Lease {
                metadata: ObjectMeta { name: Some(LEASE.to_owned()), ..ObjectMeta::default() },
                spec: Some(self.spec(None)),
            };
            return Ok(Turn::Ours(Box::new(self.api.create(&PostParams::default(), &fresh).await?)));
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
        Ok(Turn::Ours(Box::new(self.api.replace(LEASE, &PostParams::default(), &ours).await?)))
    }

    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let before = before.cloned().unwrap_or_default();
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
}

impl Term {
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
        let lease = Lease { spec: Some(spec), ..(*self.lease).clone() };
        *self.lease = self.candidate.api.replace(LEASE, &PostParams::default(), &lease).await?;
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
