//! Envelopes on Amazon SQS, and on servers that speak its protocol.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | [`SqsConfig`]: how to reach the service, and the times in force |
//! | `client` | the client of the service: credentials, region, TLS, time limits |
//! | `directory` | where queues are and what they say of themselves, healing when they are made anew |
//! | `failure` | what an answer of the service means for us |
//! | `batch`, `requests` | sending, deleting and hiding in tens, each entry succeeding or failing alone |
//! | `consumer`, `credit`, `lease` | long polls within the free credit; the visibility heartbeat |
//! | `settlement`, `dead` | the ways out of a delivery |
//! | `queues`, `letters` | ensure, delete, depth; looking after dead letters |
//! | `health` | what is wrong at the moment |
//!
//! What SQS cannot do, and what happens instead:
//! - A retry hides the message, which writes nothing on it: `attempts` is the receive count less one, so a release
//!   counts as well.
//! - `DelaySeconds` ends at 900 s. A longer delay of [`Transport::publish`] is sent with 900 s and an attribute that
//!   says until when; whoever receives it earlier hides it for the rest, which does not count as a delivery but does
//!   count against the queue's `maxReceiveCount`.
//! - Where the queue's redrive policy would bury a message on its next receive, giving it back (a release, a retry, a
//!   dropped delivery) sends it anew, with its count of deliveries in an attribute.
//! - FIFO queues are refused.

mod batch;
mod client;
pub mod config;
mod consumer;
mod credit;
mod dead;
mod directory;
mod failure;
mod health;
mod lease;
mod letters;
mod queues;
mod requests;
mod settlement;

use std::{
    num::NonZeroU16,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use asya_envelope::Queue;
use aws_sdk_sqs::Client;
use bytes::Bytes;
use futures::future::BoxFuture;
use tokio::{sync::watch, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use config::{KeyFiles, SqsConfig};

use crate::{Consumer, Health, Lease, MAX_DELAY, Outgoing, Transport, TransportError};
use batch::Batcher;
use config::MAX_SEND_DELAY;
use consumer::{Intake, NOT_BEFORE, SqsConsumer};
use directory::{Directory, FIFO_SUFFIX, nameable};
use failure::Failure;
use health::{Board, PUBLISHING};
use requests::{Hide, Letter};

/// The transport on SQS. Its consumers and deliveries outlive it.
pub struct Sqs {
    core: Arc<Core>,
}

/// What requests need.
struct Service {
    client: Client,
    config: SqsConfig,
    directory: Directory,
    health: Board,
}

/// What consumers, deliveries and publishers share.
struct Core {
    service: Arc<Service>,
    sends: Arc<Batcher<Letter, Result<(), Failure>>>,
    deletes: Arc<Batcher<String, Result<(), Failure>>>,
    hides: Arc<Batcher<Hide, Result<(), Failure>>>,
    /// What has lost its consumer and still has polls out. Bounded by the polls.
    orphans: Mutex<Vec<Arc<Intake>>>,
    tasks: TaskTracker,
    runtime: tokio::runtime::Handle,
    stop: CancellationToken,
}

impl Sqs {
    /// Makes the transport: finds credentials and the region. Nothing is asked of the service yet.
    ///
    /// # Errors
    /// [`TransportError::Misconfigured`] when there are no credentials, or the endpoint is not an address.
    pub async fn connect(config: SqsConfig) -> Result<Arc<Self>, TransportError> {
        let client = client::connect(&config).await?;
        let service = Arc::new(Service {
            directory: Directory::new(client.clone(), config.endpoint.clone()),
            client,
            config,
            health: Board::new(),
        });
        let tasks = TaskTracker::new();
        macro_rules! batcher {
            ($request:path) => {{
                let service = Arc::clone(&service);
                Batcher::new(
                    tasks.clone(),
                    Box::new(move |queue, items| {
                        let service = Arc::clone(&service);
                        Box::pin(async move { $request(&service, &queue, items).await })
                    }),
                )
            }};
        }
        let core = Core {
            sends: batcher!(requests::send),
            deletes: batcher!(requests::delete),
            hides: batcher!(requests::hide),
            orphans: Mutex::default(),
            service,
            tasks,
            runtime: tokio::runtime::Handle::current(),
            stop: CancellationToken::new(),
        };
        Ok(Arc::new(Self { core: Arc::new(core) }))
    }

    /// Stops all consumers, gives back what they buffered and waits at most `limit` for that and for the polls that
    /// are out: a poll that is cut off by the end of the process may hide messages for a visibility timeout. True when
    /// nothing was left.
    pub async fn close(&self, limit: Duration) -> bool {
        self.core.stop.cancel();
        self.core.tasks.close();
        timeout(limit, self.core.tasks.wait()).await.is_ok()
    }
}

impl Transport for Sqs {
    fn consume(
        &self,
        queue: &Queue,
        credit: NonZeroU16,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, TransportError>> {
        let queue = queue.clone();
        Box::pin(async move {
            let name = self.core.physical(&queue);
            queues::refuse_name(&name)?;
            // Only what no waiting can mend keeps an actor from starting; keys that are read again may be mended.
            let fixed = self.core.service.config.key_files.is_none();
            if let Err(failure @ Failure::Denied(_)) = self.core.service.directory.lookup(&name).await
                && fixed
            {
                let error = failure.publishing(&queue);
                self.core.service.health.trouble(name.as_str(), error.to_string());
                return Err(error);
            }
            Ok(Box::new(SqsConsumer::start(&self.core, name, credit)) as Box<dyn Consumer>)
        })
    }

    fn publish(
        &self,
        message: Outgoing,
        delay: Option<Duration>,
    ) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(self.core.publish(message, delay))
    }

    fn lease(&self) -> Lease {
        Lease::Renewable(self.core.service.config.visibility())
    }

    fn max_message(&self) -> Option<usize> {
        Some(self.core.service.directory.smallest_limit())
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.core.service.health.watch()
    }
}

impl Core {
    fn orphans(&self) -> MutexGuard<'_, Vec<Arc<Intake>>> {
        self.orphans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an orphan of this queue.
    fn orphan_of(&self, queue: &Queue) -> Option<Arc<Intake>> {
        let mut orphans = self.orphans();
        let place = orphans.iter().position(|intake| intake.queue() == queue)?;
        Some(orphans.swap_remove(place))
    }

    /// The full name of a queue.
    fn physical(&self, queue: &Queue) -> Queue {
        match self.service.config.queue_prefix.as_str() {
            "" => queue.clone(),
            prefix => Queue::named(format!("{prefix}{queue}")),
        }
    }

    async fn publish(&self, message: Outgoing, delay: Option<Duration>) -> Result<(), TransportError> {
        let Outgoing { queue, body } = message;
        let name = self.physical(&queue);
        if name.as_str().ends_with(FIFO_SUFFIX) {
            let reason = "FIFO queues are not supported; use a standard queue".to_owned();
            return Err(TransportError::Refused { queue, reason });
        }
        if !nameable(&name) {
            return Err(TransportError::Unroutable { queue });
        }
        let delay = delay.unwrap_or_default().min(MAX_DELAY);
        let sent = self.send(&name, letter(body, delay, Vec::new())).await;
        let health = &self.service.health;
        sent.map_err(|failure| failure.publishing(&queue)).inspect(|()| health.clear(PUBLISHING)).inspect_err(
            |error| {
                if let TransportError::Unavailable(_) | TransportError::Misconfigured(_) = error {
                    health.trouble(PUBLISHING, error.to_string());
                }
            },
        )
    }

    /// Sends to a queue by its full name; done when it is confirmed.
    async fn send(&self, name: &Queue, letter: Letter) -> Result<(), Failure> {
        self.sends.submit(name, letter).await.unwrap_or_else(|| Err(closed()))
    }

    async fn delete(&self, name: &Queue, receipt: String) -> Result<(), Failure> {
        self.deletes.submit(name, receipt).await.unwrap_or_else(|| Err(closed()))
    }

    async fn hide(&self, name: &Queue, hide: Hide) -> Result<(), Failure> {
        self.hides.submit(name, hide).await.unwrap_or_else(|| Err(closed()))
    }
}

fn closed() -> Failure {
    Failure::Again("the runtime has ended".to_owned())
}

/// A letter that is delivered after `delay`: what is beyond the 900 s of SQS is written beside it.
fn letter(body: Bytes, delay: Duration, mut attributes: Vec<(&'static str, String)>) -> Letter {
    if delay > MAX_SEND_DELAY {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        attributes.push((NOT_BEFORE, (now + delay).as_millis().to_string()));
    }
    Letter { body, delay: delay.min(MAX_SEND_DELAY), attributes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_beyond_that_of_the_service_is_written_beside_the_message() {
        let short = letter(Bytes::new(), Duration::from_secs(900), Vec::new());
        assert_eq!((short.delay, short.attributes.len()), (MAX_SEND_DELAY, 0));
        let long = letter(Bytes::new(), Duration::from_secs(901), Vec::new());
        assert_eq!(long.delay, MAX_SEND_DELAY);
        assert_eq!(long.attributes[0].0, NOT_BEFORE);
    }
}
