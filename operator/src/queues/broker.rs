//! One transport: its client, and what is known of its queues.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use asya_envelope::Queue;
use asya_transport::{Depth, TransportError, rabbitmq::Removal};
use tokio::{sync::OnceCell, time::Instant};

use super::{
    Queued, Whose,
    client::{self, Client},
    listing::Listing,
    projection::{self, Login},
};
use crate::settings::{Kind, Transport};

/// Tags of queues, as by the Go operator.
const ACTOR_TAG: &str = "asya.sh/actor";
const NAMESPACE_TAG: &str = "asya.sh/namespace";
/// How long a broker that could not be reached is not tried again: a thousand actors would wait for it one after the
/// other, and nothing else would be reconciled.
const AWAY_FOR: Duration = Duration::from_secs(2);
/// How long what all queues share is believed to be there: nobody deletes it while many queues are made.
const PREPARED_FOR: Duration = Duration::from_secs(60);
/// How long a user is believed to be as it was made: a broker may lose its users, or a person change one.
const USER_BELIEVED_FOR: Duration = Duration::from_secs(5 * 60);
/// The dead-letter queue of SQS that all queues of the Go operator share.
const SHARED_DEAD: &str = "asya-dlq";

/// One transport.
pub(super) struct Broker {
    transport: Transport,
    /// One call connects, the others wait for it.
    client: OnceCell<Client>,
    listing: Listing,
    /// When what all queues share was last seen to be there.
    prepared: tokio::sync::Mutex<Option<Instant>>,
    /// What was found when a queue was ensured: how it differs from ours. Bounded by the actors there were.
    ensured: Mutex<HashMap<Queue, Option<String>>>,
    /// Users by namespace. Bounded by the namespaces that are listed.
    users: Mutex<HashMap<String, User>>,
    /// Why the broker could not be reached, and when that was found.
    away: Mutex<Option<(Instant, TransportError)>>,
}

/// The user of one namespace.
#[derive(Clone)]
struct User {
    password: String,
    /// When the broker was last told.
    made: Option<Instant>,
}

impl Broker {
    pub(super) fn new(transport: Transport) -> Self {
        Self {
            transport,
            client: OnceCell::new(),
            listing: Listing::default(),
            prepared: tokio::sync::Mutex::default(),
            ensured: Mutex::default(),
            users: Mutex::default(),
            away: Mutex::default(),
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
        let client = self.client().await?;
        let known = held(&self.ensured).contains_key(queue);
        if !makes || known {
            let ready = client.ready(std::slice::from_ref(queue)).await?;
            if ready.first().is_some_and(Option::is_some) {
                return Ok(());
            }
            self.forget(queue);
            if !makes {
                return Err(TransportError::Unroutable { queue: queue.clone() });
            }
        }
        self.prepare(&client).await?;
        let difference = client.ensure(queue, &self.tags(whose)).await?;
        if let Some(difference) = &difference {
            tracing::warn!(%queue, difference, "an existing queue is used as it is");
        }
        held(&self.ensured).insert(queue.clone(), difference);
        Ok(())
    }

    /// What all queues share is not looked for with each.
    async fn prepare(&self, client: &Client) -> Result<(), TransportError> {
        let mut prepared = self.prepared.lock().await;
        if prepared.is_none_or(|since| since.elapsed() > PREPARED_FOR) {
            client.prepare().await?;
            *prepared = Some(Instant::now());
        }
        Ok(())
    }

    /// What is on a queue, with messages in hand where the broker can tell.
    pub(super) async fn look(&self, queue: &Queue) -> Result<Queued, TransportError> {
        let client = self.client().await?;
        let depth = match self.listed(&client, queue).await {
            Some(depth) => Ok(depth),
            // Made a moment ago, or missing, or not listed: the broker's own protocol is exact.
            None => client.depth(queue).await,
        };
        let depth = match depth {
            Ok(depth) => depth,
            Err(TransportError::Unroutable { .. }) => return Ok(Queued::Missing),
            Err(error) => return Err(error),
        };
        Ok(match held(&self.ensured).get(queue).cloned().flatten() {
            Some(how) => Queued::Differs { depth, how },
            None => Queued::There(depth),
        })
    }

    /// What the list of all queues says of one.
    pub(super) async fn enlisted(&self, queue: &Queue) -> Result<Option<Depth>, TransportError> {
        let client = self.client().await?;
        Ok(self.listed(&client, queue).await)
    }

    async fn listed(&self, client: &Client, queue: &Queue) -> Option<Depth> {
        let listed = self.listing.depth(client.management()?, queue).await.inspect_err(|error| {
            tracing::warn!(%error, transport = self.transport.name, "counting over AMQP instead");
        });
        listed.ok().flatten()
    }

    /// How many messages are ready on each queue; `None` = there is no such queue.
    pub(super) async fn ready(&self, queues: &[Queue]) -> Result<Vec<Option<u64>>, TransportError> {
        self.client().await?.ready(queues).await
    }

    /// Those of the queues that do not exist.
    pub(super) async fn missing(&self, queues: &[Queue]) -> Result<Vec<Queue>, TransportError> {
        let missing = self.client().await?.missing(queues).await?;
        for queue in &missing {
            self.forget(queue);
        }
        Ok(missing)
    }

    /// What is on a queue, asked of the broker now.
    pub(super) async fn count(&self, queue: &Queue) -> Result<Depth, TransportError> {
        self.client().await?.count(queue).await
    }

    /// Deletes one queue unless something is on it; counts of SQS must have been read before.
    pub(super) async fn remove_if_empty(&self, queue: &Queue) -> Result<Removal, TransportError> {
        let removal = self.client().await?.remove_if_empty(queue).await?;
        self.removed(queue).await;
        Ok(removal)
    }

    /// Deletes one queue with all that is on it.
    pub(super) async fn remove(&self, queue: &Queue) -> Result<(), TransportError> {
        self.client().await?.remove(queue).await?;
        self.removed(queue).await;
        Ok(())
    }

    async fn removed(&self, queue: &Queue) {
        self.forget(queue);
        self.listing.forget(queue).await;
    }

    /// The user of a namespace, made or given `password` again: that of the Secret that is there already. Without one it
    /// keeps the password that was made for it last, so that a Secret that could not be written changes nothing.
    pub(super) async fn user(
        &self,
        namespace: &str,
        password: Option<String>,
    ) -> Result<Login, TransportError> {
        let Kind::Rabbitmq(rabbitmq) = &self.transport.kind else {
            return Err(TransportError::Misconfigured("users are made on RabbitMQ only".to_owned()));
        };
        let is_there = password.is_some();
        let user = {
            let mut users = held(&self.users);
            let known = users
                .entry(namespace.to_owned())
                .or_insert_with(|| User { password: projection::password(rand::random()), made: None });
            if let Some(password) = password.filter(|password| *password != known.password) {
                *known = User { password, made: None };
            }
            known.clone()
        };
        let username = projection::user(namespace);
        let password = user.password;
        if !is_there || user.made.is_none_or(|made| made.elapsed() >= USER_BELIEVED_FOR) {
            let client = self.client().await?;
            let management = client
                .management()
                .ok_or_else(|| TransportError::Misconfigured("users need the management API".to_owned()))?;
            let rights = projection::permissions(rabbitmq, namespace);
            management.put_user(&username, &password, projection::USER_TAGS, &rights).await?;
            let made = User { password: password.clone(), made: Some(Instant::now()) };
            held(&self.users).insert(namespace.to_owned(), made);
        }
        Ok(Login::Rabbitmq { username, password })
    }

    /// The operator's own credentials, read now.
    pub(super) fn own_login(&self) -> Result<Login, TransportError> {
        match &self.transport.kind {
            Kind::Rabbitmq(rabbitmq) => Ok(Login::Rabbitmq {
                username: rabbitmq.username.clone(),
                password: client::password(&self.transport, rabbitmq).map_err(TransportError::Unavailable)?,
            }),
            Kind::Sqs(sqs) => match &sqs.credentials {
                Some(keys) => {
                    let key =
                        client::access_key(&self.transport, keys).map_err(TransportError::Unavailable)?;
                    Ok(Login::Sqs { access_key_id: key.id, secret_access_key: key.secret })
                }
                None => Err(TransportError::Misconfigured(
                    "there are no static keys to project: pods use their cloud identity".to_owned(),
                )),
            },
        }
    }

    /// What else has this name on the broker, if anything.
    pub(super) fn reserved(&self, queue: &Queue) -> Option<&'static str> {
        match &self.transport.kind {
            Kind::Rabbitmq(rabbitmq) => {
                let delay = queue.as_str().strip_prefix(&rabbitmq.exchange)?.strip_prefix("-retry-")?;
                let number = delay.strip_suffix(['s', 'm', 'h'])?;
                number.parse::<u32>().is_ok().then_some("a rung of the retry ladder")
            }
            Kind::Sqs(_) => (queue.as_str() == SHARED_DEAD).then_some("the shared dead-letter queue"),
        }
    }

    /// The client, connected at the first use; it mends itself, and reads the credentials again when it connects.
    async fn client(&self) -> Result<Client, TransportError> {
        self.client.get_or_try_init(|| Client::connect(&self.transport)).await.cloned()
    }

    /// Why it is not worth trying at this moment.
    pub(super) fn away(&self) -> Option<TransportError> {
        held(&self.away).as_ref().filter(|(since, _)| since.elapsed() < AWAY_FOR).map(|(_, why)| why.clone())
    }

    /// Learns from an error.
    pub(super) fn note(&self, error: &TransportError) {
        if let TransportError::Unavailable(_) = error {
            *held(&self.away) = Some((Instant::now(), error.clone()));
        }
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

    fn forget(&self, queue: &Queue) {
        held(&self.ensured).remove(queue);
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
