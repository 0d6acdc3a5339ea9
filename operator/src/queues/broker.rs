//! One transport: its connection, its credentials, what is known of its queues.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use asya_envelope::{Queue, name::QUEUE_PREFIX};
use asya_transport::{
    Depth, Queues, TransportError,
    rabbitmq::{
        Admin, RabbitmqConfig, Removal,
        management::{Listed, Management},
    },
    sqs::{KeyFiles, Sqs, SqsConfig},
};
use tokio::time::Instant;

use super::{
    Queued, Whose, problem,
    projection::{self, Login},
};
use crate::settings::{Kind, Rabbitmq, SecretKey, Transport, transports::address};

/// Tags of queues, as by the Go operator.
const ACTOR_TAG: &str = "asya.sh/actor";
const NAMESPACE_TAG: &str = "asya.sh/namespace";
/// How long a broker that could not be reached is not tried again: a thousand actors would wait for it one after the
/// other, and nothing else would be reconciled.
const AWAY_FOR: Duration = Duration::from_secs(2);
/// How long a call waits for a connection: it is made within a fraction of this, or not at all.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long a listing of all queues is used: the broker itself counts every 5 s.
const LISTING_FOR: Duration = Duration::from_secs(5);
/// How long the retry ladder is believed to be there: nobody deletes it in the middle of many queues being made.
const LADDER_FOR: Duration = Duration::from_secs(60);
const DAY: u64 = 24 * 60 * 60;

/// One transport.
pub(super) struct Broker {
    transport: Transport,
    /// Held across connecting, so that one call connects and the others wait for it.
    client: tokio::sync::Mutex<Option<Client>>,
    /// All queues of the broker, and when they were listed. Held across listing, so that one call is enough for all.
    listing: tokio::sync::Mutex<Option<(Instant, HashMap<Queue, Listed>)>>,
    /// Users that were made, and with which password. Bounded by the namespaces that are listed.
    users: Mutex<HashSet<(String, String)>>,
    /// When the retry ladder was last seen to be there.
    ladder: tokio::sync::Mutex<Option<Instant>>,
    /// Why the broker could not be reached, and when that was found.
    away: Mutex<Option<(Instant, TransportError)>>,
    /// What was found when a queue was ensured: how it differs from ours. Bounded by the actors there were.
    ensured: Mutex<HashMap<Queue, Option<String>>>,
}

/// How a broker is talked to.
#[derive(Clone)]
enum Client {
    Rabbitmq(Admin, Option<Management>),
    Sqs(Arc<Sqs>),
}

impl Broker {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            transport,
            client: tokio::sync::Mutex::default(),
            listing: tokio::sync::Mutex::default(),
            users: Mutex::default(),
            ladder: tokio::sync::Mutex::default(),
            away: Mutex::default(),
            ensured: Mutex::default(),
        }
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
            Client::Rabbitmq(admin, _) => {
                self.ensure_ladder(&admin).await?;
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

    /// The retry ladder is the same for all queues: it is not looked for with each.
    async fn ensure_ladder(&self, admin: &Admin) -> Result<(), TransportError> {
        let mut ladder = self.ladder.lock().await;
        if ladder.is_none_or(|since| since.elapsed() > LADDER_FOR) {
            admin.ensure_ladder().await?;
            *ladder = Some(Instant::now());
        }
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
            Client::Rabbitmq(admin, _) => {
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

    /// What is on a queue, with what the broker itself knows of messages in hand where it can be asked.
    async fn depth(&self, queue: &Queue) -> Result<Depth, TransportError> {
        match self.client().await? {
            Client::Rabbitmq(admin, Some(management)) => match self.listed(&management, queue).await {
                Ok(Some(depth)) => Ok(depth),
                // Made a moment ago, or missing: AMQP is exact.
                Ok(None) => admin.depth(queue).await,
                Err(error) => {
                    tracing::warn!(%error, transport = self.transport.name, "counting over AMQP instead");
                    admin.depth(queue).await
                }
            },
            Client::Rabbitmq(admin, None) => admin.depth(queue).await,
            Client::Sqs(sqs) => sqs.depth(queue).await,
        }
    }

    async fn listed(&self, management: &Management, queue: &Queue) -> Result<Option<Depth>, TransportError> {
        let mut listing = self.listing.lock().await;
        let fresh = listing.as_ref().is_some_and(|(since, _)| since.elapsed() < LISTING_FOR);
        if !fresh {
            // After a failure too: a broker without the API is not asked for each queue.
            let listed = management.queues(QUEUE_PREFIX).await;
            let by_name =
                |listed: Vec<Listed>| listed.into_iter().map(|one| (one.name.clone(), one)).collect();
            match listed {
                Ok(listed) => *listing = Some((Instant::now(), by_name(listed))),
                Err(error) => {
                    *listing = Some((Instant::now(), HashMap::new()));
                    return Err(error);
                }
            }
        }
        let queues = listing.as_ref().map(|(_, queues)| queues);
        Ok(queues.and_then(|queues| {
            let found = queues.get(queue)?;
            let dead = queues.get(&queue.dead_letter()).map_or(0, |dead| dead.ready + dead.unacknowledged);
            Some(Depth { ready: found.ready, in_flight: found.unacknowledged, delayed: 0, dead })
        }))
    }

    /// What is on one queue, asked of the broker now: before a deletion nothing remembered counts.
    pub(super) async fn count(&self, queue: &Queue) -> Result<Depth, TransportError> {
        match self.client().await? {
            Client::Rabbitmq(admin, management) => {
                let depth = admin.depth(queue).await?;
                let in_flight = match management {
                    // Without the API what is in hand shows as a consumer, which keeps a queue too.
                    None => 0,
                    Some(management) => {
                        management.queue(queue).await?.map_or(0, |listed| listed.unacknowledged)
                    }
                };
                Ok(Depth { in_flight, ..depth })
            }
            Client::Sqs(sqs) => sqs.depth(queue).await,
        }
    }

    /// What a namespace's Secret is to hold. With a user per namespace the user is made, or given `password` (that of
    /// the Secret that is there already) again; without a password it gets a new one.
    pub(super) async fn login(
        &self,
        namespace: &str,
        password: Option<String>,
    ) -> Result<Login, TransportError> {
        match &self.transport.kind {
            Kind::Rabbitmq(rabbitmq) if rabbitmq.per_namespace_users => {
                let Client::Rabbitmq(_, Some(management)) = self.client().await? else {
                    return Err(TransportError::Misconfigured("users need the management API".to_owned()));
                };
                let username = projection::user(namespace);
                let password = password.unwrap_or_else(|| projection::password(rand::random()));
                let made = (namespace.to_owned(), password.clone());
                if !self.users.lock().unwrap_or_else(PoisonError::into_inner).contains(&made) {
                    let rights = projection::permissions(rabbitmq, namespace);
                    management.put_user(&username, &password, projection::USER_TAGS, &rights).await?;
                    self.users.lock().unwrap_or_else(PoisonError::into_inner).insert(made);
                }
                Ok(Login::Rabbitmq { username, password })
            }
            Kind::Rabbitmq(rabbitmq) => Ok(Login::Rabbitmq {
                username: rabbitmq.username.clone(),
                password: self.password(rabbitmq)?,
            }),
            Kind::Sqs(sqs) => match &sqs.credentials {
                Some((id, secret)) => Ok(Login::Sqs {
                    access_key_id: self.secret(id)?,
                    secret_access_key: self.secret(secret)?,
                }),
                None => Err(TransportError::Misconfigured(
                    "there are no static keys to project: pods use their cloud identity".to_owned(),
                )),
            },
        }
    }

    fn password(&self, rabbitmq: &Rabbitmq) -> Result<String, TransportError> {
        match &rabbitmq.password {
            Some(key) => self.secret(key),
            None => Ok(rabbitmq.username.clone()),
        }
    }

    /// Deletes one queue unless something is on it; counts of SQS must have been read before.
    pub(super) async fn remove_if_empty(&self, queue: &Queue) -> Result<Removal, TransportError> {
        let removal = match self.client().await? {
            Client::Rabbitmq(admin, _) => admin.remove_if_empty(queue).await?,
            Client::Sqs(sqs) => {
                sqs.remove(queue).await?;
                Removal::Gone
            }
        };
        self.removed(queue).await;
        Ok(removal)
    }

    /// Deletes one queue with all that is on it.
    pub(super) async fn remove(&self, queue: &Queue) -> Result<(), TransportError> {
        match self.client().await? {
            Client::Rabbitmq(admin, _) => admin.remove(queue).await?,
            Client::Sqs(sqs) => sqs.remove(queue).await?,
        }
        self.removed(queue).await;
        Ok(())
    }

    async fn removed(&self, queue: &Queue) {
        self.forget(queue);
        if let Some((_, queues)) = &mut *self.listing.lock().await {
            queues.remove(queue);
        }
    }

    async fn exists(&self, queue: &Queue) -> Result<bool, TransportError> {
        let there = match self.client().await? {
            Client::Rabbitmq(admin, _) => admin.look(queue).await.map(|seen| seen.is_some()),
            // Asks the service: what the client remembers of a queue may be past.
            Client::Sqs(sqs) => sqs.depth(queue).await.map(|_| true),
        };
        match there {
            Err(TransportError::Unroutable { .. }) => Ok(false),
            there => there,
        }
    }

    /// The client, connected at the first use; it mends itself.
    async fn client(&self) -> Result<Client, TransportError> {
        let mut client = self.client.lock().await;
        if let Some(client) = &*client {
            return Ok(client.clone());
        }
        Ok(client.insert(self.connect().await?).clone())
    }

    /// Why it is not worth trying at this moment.
    pub(super) fn away(&self) -> Option<TransportError> {
        let away = self.away.lock().unwrap_or_else(PoisonError::into_inner);
        away.as_ref().filter(|(since, _)| since.elapsed() < AWAY_FOR).map(|(_, why)| why.clone())
    }

    /// Learns from an error. After a refusal the next call connects anew: credentials may have changed meanwhile, and
    /// are read then.
    pub(super) async fn note(&self, error: &TransportError) {
        if let TransportError::Unavailable(_) = error {
            *self.away.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), error.clone()));
        }
        let refused = match error {
            TransportError::Misconfigured(_) => true,
            TransportError::Unavailable(why) => problem::is_refusal(why),
            _ => false,
        };
        if refused {
            self.client.lock().await.take();
        }
    }

    async fn connect(&self) -> Result<Client, TransportError> {
        match &self.transport.kind {
            Kind::Rabbitmq(rabbitmq) => {
                let password = self.password(rabbitmq)?;
                let config = RabbitmqConfig {
                    exchange: rabbitmq.exchange.clone(),
                    dead_letters: rabbitmq.dead_letters,
                    name: "asya-operator".to_owned(),
                    patience: PATIENCE,
                    ..RabbitmqConfig::new(address::amqp(rabbitmq, &rabbitmq.username, &password))
                };
                let management = match &rabbitmq.management_url {
                    Some(base) => {
                        let own =
                            rabbitmq.management_password.as_ref().map(|key| self.secret(key)).transpose()?;
                        let (user, vhost) = (&rabbitmq.username, &rabbitmq.vhost);
                        Some(Management::new(base, vhost, user, own.as_ref().unwrap_or(&password))?)
                    }
                    None => None,
                };
                Ok(Client::Rabbitmq(Admin::connect(config)?, management))
            }
            Kind::Sqs(sqs) => {
                let config = SqsConfig {
                    region: Some(sqs.region.clone()),
                    endpoint: sqs.endpoint.clone(),
                    visibility_timeout: Duration::from_secs(sqs.visibility_timeout.into()),
                    max_receives: sqs.max_receive_count,
                    dead_retention: Duration::from_secs(u64::from(sqs.retention_days) * DAY),
                    key_files: sqs.credentials.as_ref().map(|(id, secret)| KeyFiles {
                        access_key_id: self.transport.secrets.join(&id.key),
                        secret_access_key: self.transport.secrets.join(&secret.key),
                    }),
                    ..SqsConfig::default()
                };
                Sqs::connect(config).await.map(Client::Sqs)
            }
        }
    }

    /// A key of the operator's own credentials, read now.
    fn secret(&self, key: &SecretKey) -> Result<String, TransportError> {
        let path = self.transport.secrets.join(&key.key);
        let read = std::fs::read_to_string(&path).map_err(|error| {
            TransportError::Unavailable(format!("credentials in {}: {error}", path.display()))
        })?;
        Ok(read.trim_end_matches(['\r', '\n']).to_owned())
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
