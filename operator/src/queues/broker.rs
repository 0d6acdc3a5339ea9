//! One transport: its connection, its credentials, what is known of its queues.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use asya_envelope::Queue;
use asya_transport::{
    Depth, Queues, TransportError,
    rabbitmq::{Admin, RabbitmqConfig},
    sqs::{Sqs, SqsConfig},
};
use tokio::sync::OnceCell;

use super::{Queued, Whose};
use crate::settings::{Kind, Rabbitmq, Transport, transports::address};

/// Tags of queues, as by the Go operator.
const ACTOR_TAG: &str = "asya.sh/actor";
const NAMESPACE_TAG: &str = "asya.sh/namespace";
const DAY: u64 = 24 * 60 * 60;

/// One transport.
pub(super) struct Broker {
    transport: Transport,
    client: OnceCell<Client>,
    /// What was found when a queue was ensured: how it differs from ours. Bounded by the actors there were.
    ensured: Mutex<HashMap<Queue, Option<String>>>,
}

/// How a broker is talked to.
#[derive(Clone)]
enum Client {
    Rabbitmq(Admin),
    Sqs(Arc<Sqs>),
}

impl Broker {
    pub(super) fn new(transport: Transport) -> Self {
        Self { transport, client: OnceCell::new(), ensured: Mutex::default() }
    }

    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// Makes the queue if `makes`, else only looks whether it is there.
    pub(super) async fn ensure(
        &self,
        queue: &Queue,
        whose: Whose<'_>,
        makes: bool,
    ) -> Result<(), TransportError> {
        let known = self.known(queue).is_some();
        if !makes || known {
            if self.exists(queue).await? {
                return Ok(());
            }
            self.forget(queue);
            if !makes {
                return Err(TransportError::Unroutable { queue: queue.clone() });
            }
        }
        let difference = match self.client().await? {
            Client::Rabbitmq(admin) => {
                admin.ensure_ladder().await?;
                admin.ensure_queue(queue).await?;
                admin.difference(queue).await?
            }
            Client::Sqs(sqs) => {
                sqs.ensure_tagged(queue, &self.tags(whose)).await?;
                sqs.difference(queue).await?
            }
        };
        if let Some(difference) = &difference {
            tracing::warn!(%queue, difference, "an existing queue is used as it is");
        }
        self.ensured().insert(queue.clone(), difference);
        Ok(())
    }

    pub(super) async fn look(&self, queue: &Queue) -> Result<Queued, TransportError> {
        let depth = match self.depth(queue).await {
            Ok(depth) => depth,
            Err(TransportError::Unroutable { .. }) => return Ok(Queued::Missing),
            Err(error) => return Err(error),
        };
        Ok(match self.known(queue).flatten() {
            Some(how) => Queued::Differs { depth, how },
            None => Queued::There(depth),
        })
    }

    pub(super) async fn missing(&self, queues: &[Queue]) -> Result<Vec<Queue>, TransportError> {
        let mut missing = Vec::new();
        match self.client().await? {
            Client::Rabbitmq(admin) => {
                let seen = admin.look_at(queues).await?;
                let gone = queues.iter().zip(seen).filter(|(_, seen)| seen.is_none());
                missing.extend(gone.map(|(queue, _)| queue.clone()));
            }
            Client::Sqs(_) => {
                for queue in queues {
                    if !self.exists(queue).await? {
                        missing.push(queue.clone());
                    }
                }
            }
        }
        for queue in &missing {
            self.forget(queue);
        }
        Ok(missing)
    }

    async fn depth(&self, queue: &Queue) -> Result<Depth, TransportError> {
        match self.client().await? {
            Client::Rabbitmq(admin) => admin.depth(queue).await,
            Client::Sqs(sqs) => sqs.depth(queue).await,
        }
    }

    async fn exists(&self, queue: &Queue) -> Result<bool, TransportError> {
        let there = match self.client().await? {
            Client::Rabbitmq(admin) => admin.look(queue).await.map(|seen| seen.is_some()),
            // Asks the service: what the client remembers of a queue may be past.
            Client::Sqs(sqs) => sqs.depth(queue).await.map(|_| true),
        };
        match there {
            Err(TransportError::Unroutable { .. }) => Ok(false),
            there => there,
        }
    }

    /// The client, connected at the first use. RabbitMQ connects in the background and mends itself.
    async fn client(&self) -> Result<Client, TransportError> {
        let client = self.client.get_or_try_init(|| self.connect()).await?;
        Ok(client.clone())
    }

    async fn connect(&self) -> Result<Client, TransportError> {
        match &self.transport.kind {
            Kind::Rabbitmq(rabbitmq) => {
                let config = RabbitmqConfig {
                    exchange: rabbitmq.exchange.clone(),
                    dead_letters: rabbitmq.dead_letters,
                    name: "asya-operator".to_owned(),
                    ..RabbitmqConfig::new(self.url(rabbitmq)?)
                };
                Admin::connect(config).map(Client::Rabbitmq)
            }
            Kind::Sqs(sqs) => {
                let config = SqsConfig {
                    region: Some(sqs.region.clone()),
                    endpoint: sqs.endpoint.clone(),
                    visibility_timeout: Duration::from_secs(sqs.visibility_timeout.into()),
                    max_receives: sqs.max_receive_count,
                    dead_retention: Duration::from_secs(u64::from(sqs.retention_days) * DAY),
                    ..SqsConfig::default()
                };
                Sqs::connect(config).await.map(Client::Sqs)
            }
        }
    }

    fn url(&self, rabbitmq: &Rabbitmq) -> Result<String, TransportError> {
        let password = match &rabbitmq.password {
            None => rabbitmq.username.clone(),
            Some(secret) => {
                let path = self.transport.secrets.join(&secret.key);
                let read = std::fs::read_to_string(&path).map_err(|error| {
                    TransportError::Unavailable(format!("password file {}: {error}", path.display()))
                })?;
                read.trim_end_matches(['\r', '\n']).to_owned()
            }
        };
        Ok(address::amqp(rabbitmq, &rabbitmq.username, &password))
    }

    fn tags(&self, whose: Whose<'_>) -> BTreeMap<String, String> {
        let mut tags = BTreeMap::from([
            (ACTOR_TAG.to_owned(), whose.actor.to_owned()),
            (NAMESPACE_TAG.to_owned(), whose.namespace.to_owned()),
        ]);
        if let Kind::Sqs(sqs) = &self.transport.kind {
            tags.extend(sqs.tags.clone());
        }
        tags
    }

    fn known(&self, queue: &Queue) -> Option<Option<String>> {
        self.ensured().get(queue).cloned()
    }

    fn forget(&self, queue: &Queue) {
        self.ensured().remove(queue);
    }

    fn ensured(&self) -> std::sync::MutexGuard<'_, HashMap<Queue, Option<String>>> {
        self.ensured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
