//! Everything an engine is told before it starts.

use std::{num::NonZeroU32, time::Duration};

use asya_envelope::{ActorName, Limits, Naming};
use asya_payload::Claims;

use crate::retry::RetryPolicy;

/// Where finished envelopes go, unless told otherwise.
pub const DEFAULT_HAPPY_END: &str = "happy-end";
/// Where failed envelopes go, unless told otherwise.
pub const DEFAULT_ERROR_END: &str = "error-end";
/// How long a handler may take: what existing deployments count on.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
/// How often a message may be delivered before it counts as the cause: the delivery limit of RabbitMQ 4.
pub const DEFAULT_MAX_DELIVERIES: u32 = 20;
/// How often an envelope may be published: far beyond any route, far below what a loop does in a minute.
pub const DEFAULT_MAX_HOPS: u64 = 1_000;
/// How long a missing next queue is waited for: longer than a queue takes to be made, shorter than people take to look.
pub const DEFAULT_UNROUTABLE_GRACE: Duration = Duration::from_secs(30);
/// How long running work may go on after the stop: Kubernetes gives 30 s in all, and flushing, closing the handler and the
/// last report may each take up to 2 s after it.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(22);
/// Bytes that messages in hand may take where no cgroup sets a limit.
pub const DEFAULT_MEMORY_BUDGET: usize = 256 * 1024 * 1024;
/// Deliveries that may wait behind the running ones for very fast handlers.
pub const DEFAULT_MAX_LOOK_AHEAD: usize = 256;

/// How long a job waits for an envelope: another job may have taken the one that it was started for, and a pod that waits
/// costs what one that works does.
pub const DEFAULT_JOB_IDLE: Duration = Duration::from_secs(60);

/// Work that ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Job {
    /// Deliveries that are taken in all, whatever becomes of them.
    pub messages: NonZeroU32,
    /// The work ends after this long without a new one, counted while one could be taken.
    pub idle: Duration,
}

/// What one engine is told. [`EngineConfig::new`] fills in the defaults.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// The actor whose queue is consumed.
    pub actor: ActorName,
    /// From actors to queues.
    pub naming: Naming,
    /// Actor that receives finished envelopes.
    pub happy_end: String,
    /// Actor that receives failed envelopes.
    pub error_end: String,
    /// This actor ends envelopes even though its name is neither of the two above.
    pub end_actor: bool,
    /// How long one run of the handler may take.
    pub timeout: Duration,
    /// Which failures are tried again.
    pub retry: RetryPolicy,
    /// How large messages and replies may be, in bytes.
    pub limits: Limits,
    /// A message delivered more often than this goes to the error end with code `poison`.
    pub max_deliveries: u32,
    /// An envelope published more often than this goes to the error end with code `loop`.
    pub max_hops: u64,
    /// How long a missing next queue is waited for.
    pub unroutable_grace: Duration,
    /// How long running work may go on after the stop.
    pub grace: Duration,
    /// Bytes that messages in hand may take, input and output together.
    pub memory_budget: usize,
    /// Globs (`*` and `?`) of actors that a handler may insert into a route; `*` alone allows all.
    pub allowed_routes: Vec<String>,
    /// Only envelopes that somebody approved for their place in the route are handled.
    pub approved_only: bool,
    /// Most deliveries that wait behind the running ones.
    pub max_look_ahead: usize,
    /// The engine ends by itself after this; `None` = it works until it is stopped.
    pub job: Option<Job>,
    /// Where large payloads are kept; without it every payload travels in its envelope.
    pub payloads: Option<Claims>,
    /// Value of the label `transport` in metrics.
    pub transport_name: &'static str,
}

impl EngineConfig {
    /// The defaults for an actor.
    pub fn new(actor: ActorName) -> Self {
        Self {
            actor,
            naming: Naming::bare(),
            happy_end: DEFAULT_HAPPY_END.to_owned(),
            error_end: DEFAULT_ERROR_END.to_owned(),
            end_actor: false,
            timeout: DEFAULT_TIMEOUT,
            retry: RetryPolicy::default(),
            limits: Limits::default(),
            max_deliveries: DEFAULT_MAX_DELIVERIES,
            max_hops: DEFAULT_MAX_HOPS,
            unroutable_grace: DEFAULT_UNROUTABLE_GRACE,
            grace: DEFAULT_GRACE,
            memory_budget: DEFAULT_MEMORY_BUDGET,
            allowed_routes: vec!["*".to_owned()],
            approved_only: false,
            max_look_ahead: DEFAULT_MAX_LOOK_AHEAD,
            job: None,
            payloads: None,
            transport_name: "local",
        }
    }

    /// True when envelopes end at this actor: its replies are not routed, and it never sends to an end.
    pub fn ends_here(&self) -> bool {
        self.end_actor || self.is_end(self.actor.as_str())
    }

    /// True for the two actors that must not be put into a route.
    pub fn is_end(&self, actor: &str) -> bool {
        actor == self.happy_end || actor == self.error_end
    }
}
