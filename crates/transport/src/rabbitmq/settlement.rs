//! A delivery that came from the broker, and what becomes of it.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use asya_envelope::Queue;
use bytes::Bytes;
use futures::future::BoxFuture;
use lapin::{BasicProperties, types::ShortString};

use super::{
    connection::Wire,
    fault::short,
    ladder::{Ladder, MAX_HOLD},
    link::{Hold, Link},
    properties::{self, Counters},
    publisher::{Publish, Publisher},
};
use crate::{Delivery, MAX_DELAY, Meta, Outcome, Outgoing, Settlement, TransportError, Unsettled};

/// Where messages leave.
pub(super) struct Outlet {
    pub(super) publisher: Publisher,
    pub(super) ladder: Arc<Ladder>,
    /// For the ladder's checks: on the consuming connection, which no alarm blocks.
    pub(super) admin: Wire,
    pub(super) exchange: ShortString,
    pub(super) max_message: usize,
}

impl Outlet {
    /// A new message, to the exchange.
    pub(super) fn publish(&self, message: Outgoing) -> Result<Publish, TransportError> {
        let (size, limit) = (message.body.len(), self.max_message);
        if size > limit {
            return Err(TransportError::TooLarge { queue: message.queue, size, limit });
        }
        let key =
            short(message.queue.routing_key()).map_err(|fault| fault.into_error(Some(&message.queue)))?;
        Ok(Publish {
            exchange: self.exchange.clone(),
            key,
            queue: message.queue,
            body: message.body,
            properties: properties::fresh(),
        })
    }

    /// Publishes once the delay has passed: by the ladder, or where it is missing by waiting here, at most 30 s.
    /// `direct` is where the message goes without the ladder.
    pub(super) async fn delayed(
        &self,
        ladder: Publish,
        delay: Duration,
        direct: Publish,
    ) -> Result<(), TransportError> {
        let delay = delay.min(MAX_DELAY);
        if !delay.is_zero()
            && let Some(rung) = self.ladder.rung(&self.admin, delay).await
        {
            let exchange = short(&rung).map_err(|fault| fault.into_error(Some(&ladder.queue)))?;
            match self.publisher.send(Publish { exchange, ..ladder }).await {
                Err(TransportError::Unroutable { .. }) => self.ladder.forget(delay),
                result => return result,
            }
        }
        tokio::time::sleep(delay.min(MAX_HOLD)).await;
        self.publisher.send(direct).await
    }
}

/// A delivery between the channel's task and the consumer.
pub(super) struct Arrived {
    body: Bytes,
    meta: Meta,
    in_hand: Box<InHand>,
}

/// The transport's half of a delivery.
struct InHand {
    hold: Hold,
    body: Bytes,
    properties: BasicProperties,
    /// The key under which the message came over the exchange; the queue's own where it came another way.
    key: ShortString,
    queue: Queue,
    outlet: Arc<Outlet>,
}

impl Arrived {
    pub(super) fn new(
        hold: Hold,
        body: Bytes,
        properties: BasicProperties,
        exchange: ShortString,
        key: ShortString,
        queue: Queue,
        outlet: Arc<Outlet>,
    ) -> Self {
        let meta = properties::meta(&properties);
        let key = if exchange == outlet.exchange {
            key
        } else {
            ShortString::try_new(queue.routing_key())
                .expect("shorter than the queue's name, which was consumed from")
        };
        let in_hand = Box::new(InHand { hold, body: body.clone(), properties, key, queue, outlet });
        Self { body, meta, in_hand }
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        self.in_hand.hold.link()
    }

    /// Gives the message back to its queue, as it was never handed out.
    pub(super) fn give_back_soon(&mut self) {
        self.in_hand.hold.give_back_soon(None);
    }

    /// Hands the delivery out.
    pub(super) fn into_delivery(mut self) -> Delivery {
        self.in_hand.hold.hand_out();
        Delivery::new(self.body, self.meta, self.in_hand)
    }

    /// Puts the message back on its queue with its deliveries counted, because this queue does not count: without that
    /// a message that kills its consumer would come for ever as if for the second time.
    pub(super) async fn recount(self) {
        let in_hand = self.in_hand;
        let counters = Counters { attempts: self.meta.attempts, deliveries: self.meta.deliveries };
        let copy = match in_hand.copy(counters) {
            Ok(copy) => copy,
            Err(error) => {
                return tracing::warn!(queue = %in_hand.queue, %error, "redelivered message cannot be counted");
            }
        };
        match in_hand.outlet.publisher.send(copy).await {
            Ok(()) => {
                // If it is lost now there are two of it; both are counted.
                let _ = in_hand.hold.acknowledge().await;
            }
            // Dropped: goes back after a pause.
            Err(error) => {
                tracing::warn!(queue = %in_hand.queue, %error, "redelivered message cannot be counted yet");
            }
        }
    }
}

impl InHand {
    /// This message, straight to its own queue.
    fn copy(&self, counters: Counters) -> Result<Publish, TransportError> {
        let key = short(self.queue.as_str()).map_err(|fault| fault.into_error(Some(&self.queue)))?;
        let properties = properties::again(&self.properties, counters);
        Ok(Publish {
            exchange: "".into(),
            key,
            queue: self.queue.clone(),
            body: self.body.clone(),
            properties,
        })
    }

    fn counters(&self) -> Counters {
        let Meta { attempts, deliveries, .. } = properties::meta(&self.properties);
        Counters { attempts, deliveries }
    }

    async fn forward(&self, messages: Vec<Outgoing>) -> Result<(), Unsettled> {
        let mut publishes = Vec::with_capacity(messages.len());
        for message in messages {
            publishes.push(self.outlet.publish(message)?);
        }
        match publishes.len() {
            0 => Ok(()),
            1 => Ok(self.outlet.publisher.send(publishes.remove(0)).await?),
            _ => Ok(self.outlet.publisher.send_all(publishes).await?),
        }
    }

    async fn retry(&self, after: Duration, attempts: u32) -> Result<(), Unsettled> {
        let direct = self.copy(Counters { attempts, ..self.counters() })?;
        let ladder = Publish {
            key: self.key.clone(),
            properties: direct.properties.clone(),
            body: direct.body.clone(),
            queue: direct.queue.clone(),
            exchange: "".into(),
        };
        Ok(self.outlet.delayed(ladder, after, direct).await?)
    }

    async fn dead_letter(&self, reason: &str) -> Result<(), Unsettled> {
        let queue = self.queue.dead_letter();
        let key = short(queue.as_str()).map_err(|fault| fault.into_error(Some(&queue)))?;
        let died_at =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).to_string();
        let properties = properties::with_texts(
            properties::again(&self.properties, self.counters()),
            [
                (properties::REASON, reason),
                (properties::SOURCE, self.queue.as_str()),
                (properties::DIED_AT, &died_at),
            ],
        );
        let publish = Publish { exchange: "".into(), key, queue, body: self.body.clone(), properties };
        Ok(self.outlet.publisher.send(publish).await?)
    }
}

impl Settlement for InHand {
    fn settle(
        self: Box<Self>,
        outcome: Outcome,
    ) -> BoxFuture<'static, Result<(), (Unsettled, Option<Box<dyn Settlement>>)>> {
        Box::pin(async move {
            if let Err(lost) = self.hold.check() {
                return Err((lost, None));
            }
            let done = match outcome {
                Outcome::Forward { messages, writes } if writes.is_empty() => self.forward(messages).await,
                Outcome::Forward { .. } => Err(Unsettled::Publish(TransportError::Misconfigured(
                    "records can be written with a delivery on the local transport only".to_owned(),
                ))),
                Outcome::Retry { after, attempts } => self.retry(after, attempts).await,
                Outcome::DeadLetter { reason } => self.dead_letter(&reason).await,
                Outcome::Release => return self.hold.give_back().await.map_err(|lost| (lost, None)),
            };
            match done {
                Ok(()) => self.hold.acknowledge().await.map_err(|lost| (lost, None)),
                Err(error) => Err((error, Some(self as Box<dyn Settlement>))),
            }
        })
    }

    fn abandon(self: Box<Self>) {
        // Dropping the hold gives the message back after a pause.
    }
}
