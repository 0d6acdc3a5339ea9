//! RabbitMQ by AMQP 0-9-1.
//!
//! | module | holds |
//! |---|---|
//! | [`config`] | [`RabbitmqConfig`]: how the broker is reached and used |
//! | `connection` | one AMQP connection that is kept up |
//! | `publisher`, `window` | publishing in windows of confirmations, returns matched by message id |
//! | `consumer`, `session` | a consumer across connections; one consuming channel |
//! | `link`, `ledger` | what deliveries share with their channel; which of them may be acknowledged |
//! | `settlement` | a delivery and what becomes of it |
//! | `ladder` | delay by a shared ladder of TTL queues |
//! | `properties` | counters and reasons beside the body |
//! | `dead` | looking after dead letters |
//! | `queues` | making, deleting and measuring queues |
//! | `management` | the management API: what AMQP cannot tell or do (feature `management`) |
//! | `fault`, `board` | what errors mean; one health out of many parts |
//!
//! There are two connections: one consumes and acknowledges, the other publishes. Under a memory or disk alarm the broker
//! stops reading from connections that publish; acknowledgements on the same one would wait for the alarm to end, and
//! with them the very messages that fill the broker.

mod board;
pub mod config;
mod connection;
mod consumer;
mod dead;
mod fault;
mod ladder;
mod ledger;
mod link;
#[cfg(feature = "management")]
pub mod management;
mod properties;
mod publisher;
mod queues;
mod session;
mod settlement;
mod window;

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use asya_envelope::Queue;
use futures::future::BoxFuture;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use config::{Address, QueueType, RabbitmqConfig};
pub use queues::{Admin, Removal, Seen};

use self::{
    board::Board,
    connection::{Dialer, Wire},
    consumer::Deliveries,
    fault::{Fault, short},
    ladder::Ladder,
    publisher::{Publish, Publisher},
    settlement::Outlet,
};
use crate::{Consumer, Health, Lease, Outgoing, Transport, TransportError};

/// The broker closes a channel that holds a delivery longer than its `consumer_timeout`, 30 minutes unless changed.
const LEASE: Duration = Duration::from_secs(25 * 60);
const PUBLISHING: &str = "publish";
const CONSUMING: &str = "consume";

/// A RabbitMQ broker. Dropping it closes both connections.
pub struct Rabbitmq {
    config: RabbitmqConfig,
    consuming: Wire,
    /// For everything but publishing, on the connection that no alarm blocks.
    admin: Admin,
    outlet: Arc<Outlet>,
    board: Arc<Board>,
    stop: CancellationToken,
    _running: DropGuard,
}

impl Rabbitmq {
    /// Connects. A broker that cannot be reached is not an error: it is tried again with back-off and
    /// [`Transport::health`] says why.
    ///
    /// # Errors
    /// [`TransportError::Misconfigured`] if the certificate file is wrong, or an address, credentials or a vhost that
    /// cannot change ([`Address::Fixed`]).
    pub async fn connect(config: RabbitmqConfig) -> Result<Arc<Self>, TransportError> {
        let dialer = Dialer::new(&config)?;
        let exchange = short(&config.exchange).map_err(|fault| fault.into_error(None))?;
        let first = match dialer.dial(PUBLISHING).await {
            Ok(connection) => Some(connection),
            Err(Fault::Denied(reason)) if !dialer.may_change() => {
                let target = dialer.target();
                return Err(TransportError::Misconfigured(format!("RabbitMQ at {target} refused: {reason}")));
            }
            Err(fault) => {
                tracing::warn!(%fault, broker = dialer.target(), "cannot connect yet");
                None
            }
        };
        let board = Arc::new(Board::new());
        let stop = CancellationToken::new();
        let keep = |role, first| {
            Wire::keep(dialer.clone(), role, first, board.clone(), config.patience, stop.clone())
        };
        let publishing = keep(PUBLISHING, first);
        let consuming = keep(CONSUMING, None);
        let publisher = Publisher::start(publishing, board.clone(), &config);
        let ladder = Arc::new(Ladder::new(&config.exchange));
        let admin = Admin::on(consuming.clone(), dialer.clone(), &config, ladder.clone());
        let outlet = Arc::new(Outlet {
            publisher,
            ladder,
            admin: consuming.clone(),
            exchange,
            max_message: config.max_message,
        });
        let _running = stop.clone().drop_guard();
        Ok(Arc::new(Self { config, consuming, admin, outlet, board, stop, _running }))
    }

    async fn send(&self, message: Outgoing, delay: Duration) -> Result<(), TransportError> {
        let direct = self.outlet.publish(message)?;
        if delay.is_zero() {
            return self.outlet.publisher.send(direct).await;
        }
        // The ladder takes anything; whether the queue exists would show only when the delay has passed.
        let queue = direct.queue.clone();
        match self.passive(&queue).await {
            Ok(Some(_)) => {}
            Ok(None) => return Err(TransportError::Unroutable { queue }),
            Err(fault) => return Err(fault.into_error(Some(&queue))),
        }
        let ladder = Publish {
            exchange: direct.exchange.clone(),
            key: direct.key.clone(),
            queue,
            body: direct.body.clone(),
            properties: direct.properties.clone(),
        };
        self.outlet.delayed(ladder, delay, direct).await
    }
}

impl Transport for Rabbitmq {
    fn consume(
        &self,
        queue: &Queue,
        credit: NonZeroU16,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, TransportError>> {
        let queue = queue.clone();
        Box::pin(async move {
            short(queue.as_str()).map_err(|fault| fault.into_error(Some(&queue)))?;
            let (wire, outlet, board) = (self.consuming.clone(), self.outlet.clone(), self.board.clone());
            let deliveries = Deliveries::start(wire, queue, credit, outlet, board, &self.stop);
            Ok(Box::new(deliveries) as Box<dyn Consumer>)
        })
    }

    fn publish(
        &self,
        message: Outgoing,
        delay: Option<Duration>,
    ) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(self.send(message, delay.unwrap_or_default()))
    }

    fn lease(&self) -> Lease {
        Lease::Fixed(LEASE)
    }

    fn max_message(&self) -> Option<usize> {
        Some(self.config.max_message)
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.board.watch()
    }
}
