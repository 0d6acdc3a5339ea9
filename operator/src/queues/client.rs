//! How a broker is talked to: one connection with the operator's own credentials.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use asya_envelope::{Queue, name::QUEUE_PREFIX};
use asya_transport::{
    Depth, Queues, Source, TransportError,
    rabbitmq::{Admin, RabbitmqConfig, Removal, management::Management},
    sqs::{AccessKey, Sqs, SqsConfig},
};
use futures::future::try_join_all;

use crate::settings::{Kind, Rabbitmq, SecretKey, Transport, transports::address};

/// How long a call waits for a connection: it is made within a fraction of this, or not at all.
const PATIENCE: Duration = Duration::from_secs(3);
/// Questions that are on their way to SQS at a time when many queues are looked at.
const LOOKS_AT_ONCE: usize = 4;
/// What a broker shows of its connections.
const NAME: &str = "asya-operator";
const DAY: u64 = 24 * 60 * 60;

/// A connection that mends itself. Cheap to clone.
#[derive(Clone)]
pub(super) enum Client {
    /// With the management API, if there is one.
    Rabbitmq(Arc<(Admin, Option<Management>)>),
    Sqs(Arc<Sqs>),
}

impl Client {
    /// Reads the credentials and begins to connect. RabbitMQ connects in the background.
    pub(super) async fn connect(transport: &Transport) -> Result<Self, TransportError> {
        match &transport.kind {
            Kind::Rabbitmq(rabbitmq) => {
                let (of, broker) = (transport.clone(), rabbitmq.clone());
                let address = Source::new(move || {
                    let password = password(&of, &broker)?;
                    Ok(address::amqp(&broker, &broker.username, &password))
                });
                let admin = Admin::connect(RabbitmqConfig {
                    exchange: rabbitmq.exchange.clone(),
                    dead_letters: rabbitmq.dead_letters,
                    name: NAME.to_owned(),
                    patience: PATIENCE,
                    ..RabbitmqConfig::new(address)
                })?;
                let management = match &rabbitmq.management_url {
                    Some(base) => {
                        let (of, broker) = (transport.clone(), rabbitmq.clone());
                        let password = Source::new(move || match &broker.management_password {
                            Some(key) => secret(&of, key),
                            None => password(&of, &broker),
                        });
                        Some(Management::new(base, &rabbitmq.vhost, &rabbitmq.username, password)?)
                    }
                    None => None,
                };
                Ok(Self::Rabbitmq(Arc::new((admin, management))))
            }
            Kind::Sqs(sqs) => {
                let config = SqsConfig {
                    access_key: sqs.credentials.clone().map(|keys| {
                        let of = transport.clone();
                        Source::new(move || access_key(&of, &keys))
                    }),
                    region: Some(sqs.region.clone()),
                    endpoint: sqs.endpoint.clone(),
                    visibility_timeout: Duration::from_secs(sqs.visibility_timeout.into()),
                    max_receives: sqs.max_receive_count,
                    dead_retention: Duration::from_secs(u64::from(sqs.retention_days) * DAY),
                    ..SqsConfig::default()
                };
                Sqs::connect(config).await.map(Self::Sqs)
            }
        }
    }

    /// Makes the queue unless it exists, and says how an existing one differs. What all queues share is made by
    /// [`prepare`](Self::prepare).
    pub(super) async fn ensure(
        &self,
        queue: &Queue,
        tags: &BTreeMap<String, String>,
    ) -> Result<Option<String>, TransportError> {
        match self {
            Self::Rabbitmq(broker) => broker.0.ensure_queue(queue).await,
            Self::Sqs(sqs) => {
                sqs.ensure_tagged(queue, tags).await?;
                sqs.difference(queue).await
            }
        }
    }

    /// Makes what all queues share.
    pub(super) async fn prepare(&self) -> Result<(), TransportError> {
        match self {
            Self::Rabbitmq(broker) => broker.0.ensure_ladder().await,
            Self::Sqs(_) => Ok(()),
        }
    }

    /// How many messages are ready on each queue; `None` = there is no such queue.
    pub(super) async fn ready(&self, queues: &[Queue]) -> Result<Vec<Option<u64>>, TransportError> {
        let sqs = match self {
            Self::Rabbitmq(broker) => {
                let seen = broker.0.look_at(queues).await?;
                return Ok(seen.into_iter().map(|seen| seen.map(|seen| seen.ready)).collect());
            }
            Self::Sqs(sqs) => sqs,
        };
        // Owned parts: a task that borrows what its closure is given cannot be spawned.
        let share = queues.len().div_ceil(LOOKS_AT_ONCE).max(1);
        let looks = queues.chunks(share).map(|share| ready_one_by_one(sqs.clone(), share.to_vec()));
        Ok(try_join_all(looks).await?.into_iter().flatten().collect())
    }

    /// Those of the queues that do not exist.
    pub(super) async fn missing(&self, queues: &[Queue]) -> Result<Vec<Queue>, TransportError> {
        match self {
            Self::Rabbitmq(_) => {
                let ready = self.ready(queues).await?;
                let gone = queues.iter().zip(ready).filter(|(_, ready)| ready.is_none());
                Ok(gone.map(|(queue, _)| queue.clone()).collect())
            }
            Self::Sqs(sqs) => sqs.missing(queues, QUEUE_PREFIX).await,
        }
    }

    /// What the broker tells over its own protocol, for RabbitMQ without messages in hand.
    pub(super) async fn depth(&self, queue: &Queue) -> Result<Depth, TransportError> {
        match self {
            Self::Rabbitmq(broker) => broker.0.depth(queue).await,
            Self::Sqs(sqs) => sqs.depth(queue).await,
        }
    }

    /// What is on a queue, asked of the broker now: before a deletion nothing remembered counts.
    pub(super) async fn count(&self, queue: &Queue) -> Result<Depth, TransportError> {
        let depth = self.depth(queue).await?;
        match self.management() {
            Some(management) => {
                let in_flight = management.queue(queue).await?.map_or(0, |listed| listed.unacknowledged);
                Ok(Depth { in_flight, ..depth })
            }
            // Without the API what is in hand shows as a consumer, which keeps a queue of RabbitMQ too.
            None => Ok(depth),
        }
    }

    /// The management API, where there is one.
    pub(super) fn management(&self) -> Option<&Management> {
        match self {
            Self::Rabbitmq(broker) => broker.1.as_ref(),
            Self::Sqs(_) => None,
        }
    }

    /// Deletes one queue unless something is on it. SQS deletes it whatever is on it: its counts must have been read.
    pub(super) async fn remove_if_empty(&self, queue: &Queue) -> Result<Removal, TransportError> {
        match self {
            Self::Rabbitmq(broker) => broker.0.remove_if_empty(queue).await,
            Self::Sqs(sqs) => sqs.remove(queue).await.map(|()| Removal::Gone),
        }
    }

    /// Deletes one queue with all that is on it.
    pub(super) async fn remove(&self, queue: &Queue) -> Result<(), TransportError> {
        match self {
            Self::Rabbitmq(broker) => broker.0.remove(queue).await,
            Self::Sqs(sqs) => sqs.remove(queue).await,
        }
    }
}

async fn ready_one_by_one(sqs: Arc<Sqs>, queues: Vec<Queue>) -> Result<Vec<Option<u64>>, TransportError> {
    let mut ready = Vec::with_capacity(queues.len());
    for queue in &queues {
        ready.push(match sqs.own_depth(queue).await {
            Ok(depth) => Some(depth.ready),
            Err(TransportError::Unroutable { .. }) => None,
            Err(error) => return Err(error),
        });
    }
    Ok(ready)
}

/// The operator's own password, read now.
///
/// # Errors
/// A sentence.
pub(super) fn password(transport: &Transport, rabbitmq: &Rabbitmq) -> Result<String, String> {
    match &rabbitmq.password {
        Some(key) => secret(transport, key),
        None => Ok(rabbitmq.username.clone()),
    }
}

/// The operator's own static keys, read now.
///
/// # Errors
/// A sentence.
pub(super) fn access_key(
    transport: &Transport,
    (id, key): &(SecretKey, SecretKey),
) -> Result<AccessKey, String> {
    Ok(AccessKey { id: secret(transport, id)?, secret: secret(transport, key)? })
}

/// A key of the operator's own credentials, read now.
fn secret(transport: &Transport, key: &SecretKey) -> Result<String, String> {
    let path = transport.secrets.join(&key.key);
    let read = std::fs::read_to_string(&path)
        .map_err(|error| format!("credentials in {}: {error}", path.display()))?;
    Ok(read.trim_end_matches(['\r', '\n']).to_owned())
}
