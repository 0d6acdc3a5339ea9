//! All brokers, as the controllers use them.

use std::{collections::BTreeMap, time::Duration};

use asya_envelope::Queue;
use asya_resources::DeletionPolicy;
use asya_transport::{Depth, TransportError};
use k8s_openapi::api::core::v1::Secret;
use serde_json::Value;
use tokio::time::timeout;

use super::{
    Problem, Queued,
    broker::Broker,
    deletion::Trust,
    projection,
    retirement::{Retired, Retirement},
};
use crate::settings::{Kind, Settings, transports::credentials};

/// Longest time of one call, connecting included: longer than a broker's own patience, short enough that ten calls
/// that all fail do not hold up other actors for long.
const CALL_LIMIT: Duration = Duration::from_secs(20);

/// Whose queue it is; brokers that have tags show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whose<'a> {
    /// The actor's namespace.
    pub namespace: &'a str,
    /// The actor's name.
    pub actor: &'a str,
}

/// All brokers. Nothing is connected before it is used.
pub struct Brokers {
    brokers: BTreeMap<String, Broker>,
    /// False: queues are made and deleted by somebody else.
    manage: bool,
}

impl Brokers {
    /// The brokers of the configuration that are on.
    pub fn new(settings: &Settings) -> Self {
        let on = settings.transports.values().filter(|transport| transport.enabled);
        let brokers = on.map(|transport| (transport.name.clone(), Broker::new(transport.clone()))).collect();
        Self { brokers, manage: settings.manage_queues }
    }

    /// Makes the queue with its dead-letter queue and bindings, unless it exists; an existing queue is used as it is.
    /// Where queues are not ours to make, only looks whether it exists. Everything is done once per process and queue;
    /// later calls cost one question.
    ///
    /// # Errors
    /// A [`Problem`] for the condition `TransportReady`.
    pub async fn ensure(&self, transport: &str, queue: &Queue, whose: Whose<'_>) -> Result<(), Problem> {
        let broker = self.broker(transport)?;
        if let Some(owner) = broker.reserved(queue) {
            return Err(Problem::Refused(format!(
                "queue {queue:?} on transport {transport:?} is {owner}: give the actor another name"
            )));
        }
        let makes = self.manage && broker.transport().auto_create;
        let ensured = limited(broker, broker.ensure(queue, whose, makes)).await;
        ensured.map_err(|problem| match problem {
            Problem::QueueMissing(_) => Problem::QueueMissing(format!(
                "queue {queue:?} does not exist on transport {transport:?}, and the operator may not make it ({}): \
                 make it, bound to the exchange under {:?}, or let the operator do so",
                if self.manage {
                    format!("transports.{transport}.config.queues.autoCreate is false")
                } else {
                    "ASYA_DISABLE_QUEUE_MANAGEMENT is true".to_owned()
                },
                queue.routing_key(),
            )),
            other => other,
        })
    }

    /// What is on a queue now.
    pub async fn look(&self, transport: &str, queue: &Queue) -> Queued {
        let broker = match self.broker(transport) {
            Ok(broker) => broker,
            Err(problem) => return Queued::Unreachable(problem.to_string()),
        };
        match limited(broker, broker.look(queue)).await {
            Ok(queued) => queued,
            Err(problem) => Queued::Unreachable(problem.to_string()),
        }
    }

    /// How many messages are ready on each of the queues of one transport, exactly where the broker can tell; `None` =
    /// there is no such queue. For who looks often: no state is kept and nothing is listed.
    ///
    /// # Errors
    /// A [`Problem`], if the broker could not be asked about all of them.
    pub async fn ready(&self, transport: &str, queues: &[Queue]) -> Result<Vec<Option<u64>>, Problem> {
        let broker = self.broker(transport)?;
        limited(broker, broker.ready(queues)).await
    }

    /// Whether each question to this transport costs money, and the answer is approximate.
    pub fn is_billed(&self, transport: &str) -> bool {
        self.brokers.get(transport).is_some_and(|broker| matches!(broker.transport().kind, Kind::Sqs(_)))
    }

    /// Whether one call lists all queues of this transport, seconds late.
    pub fn is_listed(&self, transport: &str) -> bool {
        let kind = self.brokers.get(transport).map(|broker| &broker.transport().kind);
        matches!(kind, Some(Kind::Rabbitmq(rabbitmq)) if rabbitmq.management_url.is_some())
    }

    /// Whether this transport tells how many messages are in hand.
    pub fn counts_in_hand(&self, transport: &str) -> bool {
        self.is_listed(transport) || self.is_billed(transport)
    }

    /// What one call that lists all queues of the transport said of this one: seconds old, and free for all who ask in
    /// between. `None` where nothing is listed, or this queue is not.
    pub async fn listed(&self, transport: &str, queue: &Queue) -> Option<Depth> {
        let broker = self.broker(transport).ok()?;
        limited(broker, broker.enlisted(queue)).await.ok().flatten()
    }

    /// Those of the queues of one transport that do not exist: one cheap question each at most, on SQS one for many.
    ///
    /// # Errors
    /// A [`Problem`], if the broker could not be asked about all of them.
    pub async fn missing(&self, transport: &str, queues: &[Queue]) -> Result<Vec<Queue>, Problem> {
        let broker = self.broker(transport)?;
        let mut missing = Vec::new();
        // In portions, so that the limit is one of progress and not of how many actors there are.
        for portion in queues.chunks(MISSING_PORTION) {
            missing.extend(limited(broker, broker.missing(portion)).await?);
        }
        Ok(missing)
    }

    /// Begins the deletion of a queue; `limit` is how long a broker that is away may hold it up.
    pub fn retirement(&self, transport: &str, policy: DeletionPolicy, limit: Duration) -> Retirement {
        let trust = match self.brokers.get(transport).map(|broker| &broker.transport().kind) {
            Some(Kind::Rabbitmq(_)) => Trust::EXACT,
            Some(Kind::Sqs(_)) | None => Trust::APPROXIMATE,
        };
        Retirement::new(policy, trust, limit)
    }

    /// One step of the deletion of a queue whose actor is deleted and whose pods are gone: reads and deletes what may
    /// be read and deleted now, and never waits for a pause to pass. Call it again as it says.
    pub async fn retire(&self, transport: &str, queue: &Queue, retirement: &mut Retirement) -> Retired {
        let kept = |why: &str| Retired::Kept(format!("queue {queue} was kept: {why}"));
        let Ok(broker) = self.broker(transport) else {
            return kept(&format!("transport {transport:?} is no longer configured"));
        };
        if !self.manage || !broker.transport().auto_create {
            return kept("the operator does not make this transport's queues, so it deletes none");
        }
        retirement.advance(broker, queue).await
    }

    /// The Secret with the credentials for a namespace that is listed, for server-side apply. `existing` is the one that
    /// is there: with a user per namespace its password is kept, and without it the user is made again.
    ///
    /// # Errors
    /// A [`Problem`] for the condition `TransportReady`: the operator's own credentials cannot be read, or the broker
    /// does not make the user.
    pub async fn projection(
        &self,
        transport: &str,
        namespace: &str,
        existing: Option<&Secret>,
    ) -> Result<Value, Problem> {
        let broker = self.broker(transport)?;
        let password = existing.and_then(|secret| secret.data.as_ref()?.get(credentials::PASSWORD));
        let password = password.and_then(|password| String::from_utf8(password.0.clone()).ok());
        let password = password.filter(|password| !password.is_empty());
        let login = if broker.transport().per_namespace_users() {
            limited(broker, broker.user(namespace, password)).await?
        } else {
            // Files only: a broker that is away, perhaps for want of just these credentials, does not hold them up.
            broker.own_login().map_err(|error| Problem::of(transport, error))?
        };
        Ok(projection::secret(broker.transport(), namespace, &login))
    }

    fn broker(&self, transport: &str) -> Result<&Broker, Problem> {
        self.brokers.get(transport).ok_or_else(|| {
            let known: Vec<_> = self.brokers.keys().map(String::as_str).collect();
            Problem::InvalidTransport(format!(
                "transport {transport:?} is not configured or not enabled; the operator knows {}",
                if known.is_empty() { "none".to_owned() } else { known.join(", ") }
            ))
        })
    }
}

/// Queues that are looked for within one limit of time.
const MISSING_PORTION: usize = 250;

/// A call within its limit of time.
pub(super) async fn limited<T>(
    broker: &Broker,
    call: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, Problem> {
    let transport = &broker.transport().name;
    if let Some(away) = broker.away() {
        return Err(Problem::of(transport, away));
    }
    match timeout(CALL_LIMIT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => {
            broker.note(&error);
            Err(Problem::of(transport, error))
        }
        Err(_) => Err(Problem::Unreachable(format!(
            "transport {transport:?}: no answer within {} s",
            CALL_LIMIT.as_secs()
        ))),
    }
}
