//! One consuming channel: from `basic.consume` to its end.
//!
//! Transitions: subscribed -> subscribed (credit changed: cancel, drain what is on its way, qos, consume) -> ended,
//! because it was stopped, the broker cancelled the consumer (the queue was deleted), or the channel was lost. A session
//! that was stopped or cancelled is still there for the deliveries that are in hand: [`Session::settle_rest`].

use std::{num::NonZeroU16, sync::Arc, time::Duration};

use asya_envelope::Queue;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, future::BoxFuture};
use lapin::{
    Channel, Connection, Consumer,
    message::Delivery,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    connection,
    fault::{self, Fault, short},
    link::{Hold, Link, Waiter},
    properties,
    settlement::{Arrived, Outlet},
};

/// What is done above a delivery that still runs is acknowledged after this…
const STRAGGLE: Duration = Duration::from_millis(5);
/// …or when it is this many, so that one slow delivery does not hold up the credit of the rest.
const STRAGGLERS: usize = 64;
/// Changing the credit costs three round trips: changes within this are made as one.
const CREDIT_PAUSE: Duration = Duration::from_millis(100);
/// Deliveries taken up before acknowledgements get their turn.
const BURST: usize = 64;

/// How a session ended.
#[derive(Debug)]
pub(super) enum End {
    /// Nobody wants deliveries any more.
    Stopped,
    /// The broker cancelled the consumer: the queue was deleted, or moved.
    Cancelled,
    /// The channel or its connection is gone.
    Lost(Fault),
}

pub(super) struct Session {
    channel: Channel,
    link: Arc<Link>,
    queue: Queue,
    consumer: Option<Consumer>,
    outlet: Arc<Outlet>,
    arrivals: mpsc::UnboundedSender<Arrived>,
    straggling_since: Option<Instant>,
    credit: NonZeroU16,
    /// Acknowledgements that are sent and that nothing proves to have arrived yet.
    unproven: Vec<Waiter>,
    proof: Option<Proof>,
}

/// The broker answers on a channel in order, so its answer to a question proves that the acknowledgements sent before the
/// question have arrived: the protocol has no other confirmation of them. One question serves all of them.
struct Proof {
    answer: BoxFuture<'static, Result<(), lapin::Error>>,
    waiters: Vec<Waiter>,
}

impl Session {
    /// Begins to consume. `arrivals` needs no bound of its own: the broker sends no more than the credit.
    pub(super) async fn open(
        connection: &Connection,
        queue: &Queue,
        credit: NonZeroU16,
        outlet: Arc<Outlet>,
        arrivals: mpsc::UnboundedSender<Arrived>,
    ) -> Result<Self, Fault> {
        let channel = connection::open(connection).await?;
        let link = Link::new();
        let (consumer, straggling_since) = (None, None);
        let queue = queue.clone();
        let (unproven, proof) = (Vec::new(), None);
        let mut session = Self {
            channel,
            link,
            queue,
            consumer,
            outlet,
            arrivals,
            straggling_since,
            credit,
            unproven,
            proof,
        };
        session.subscribe(credit).await?;
        Ok(session)
    }

    /// Hands deliveries on and settles them until the session ends.
    pub(super) async fn run(
        &mut self,
        credit: &mut watch::Receiver<NonZeroU16>,
        stop: &CancellationToken,
    ) -> End {
        let end = match self.consume(credit, stop).await {
            Ok(End::Stopped) => match self.unsubscribe().await {
                Ok(()) => End::Stopped,
                Err(fault) => End::Lost(fault),
            },
            Ok(end) => end,
            Err(fault) => End::Lost(fault),
        };
        if let End::Lost(fault) = &end {
            self.link.cut(&fault.to_string());
        }
        end
    }

    /// Settles what is still in hand, then closes the channel.
    pub(super) async fn settle_rest(mut self) {
        loop {
            if self.flush().await.is_err() || !self.channel.status().connected() {
                break;
            }
            let settled = {
                let inner = self.link.lock();
                inner.ledger.held() == 0 && inner.ledger.waiting() == 0 && self.proof.is_none()
            };
            if settled {
                fault::close(&self.channel).await;
                break;
            }
            let timer = self.timer();
            tokio::select! {
                () = self.link.work.notified() => {}
                result = proven(&mut self.proof) => if result.is_err() { break },
                () = at(timer), if timer.is_some() => {}
                // Without a consumer nothing tells of the channel's end.
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }

    async fn consume(
        &mut self,
        credit: &mut watch::Receiver<NonZeroU16>,
        stop: &CancellationToken,
    ) -> Result<End, Fault> {
        let mut change_at: Option<Instant> = None;
        loop {
            self.flush().await?;
            let timer = self.timer();
            let Some(consumer) = self.consumer.as_mut() else { return Ok(End::Cancelled) };
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(End::Stopped),
                () = self.link.work.notified() => {}
                result = proven(&mut self.proof) => result?,
                () = at(timer), if timer.is_some() => {}
                () = at(change_at), if change_at.is_some() => {
                    change_at = None;
                    let wanted = *credit.borrow_and_update();
                    self.resubscribe(wanted).await?;
                }
                changed = credit.changed(), if change_at.is_none() => match changed {
                    Ok(()) => change_at = Some(Instant::now() + CREDIT_PAUSE),
                    Err(_) => return Ok(End::Stopped),
                },
                item = consumer.next() => {
                    let mut item = Some(item);
                    let mut room = BURST;
                    while let Some(arrived) = item {
                        match arrived {
                            Some(Ok(delivery)) => self.take(delivery)?,
                            Some(Err(error)) => return Err(error.into()),
                            None => return Ok(End::Cancelled),
                        }
                        room -= 1;
                        item = self.consumer.as_mut().filter(|_| room > 0).and_then(|it| it.next().now_or_never());
                    }
                }
            }
        }
    }

    async fn subscribe(&mut self, credit: NonZeroU16) -> Result<(), Fault> {
        self.credit = credit;
        // Per consumer, never for the whole channel: quorum queues refuse that, and it is deprecated.
        self.channel.basic_qos(credit.get(), BasicQosOptions { global: false }).await?;
        let tag = "".into();
        let options = BasicConsumeOptions::default();
        let queue = short(self.queue.as_str())?;
        self.consumer = Some(self.channel.basic_consume(queue, tag, options, FieldTable::default()).await?);
        Ok(())
    }

    /// Changes the credit. The broker knows it per consumer, so this is a new consumer on the same channel; what the old
    /// one was still sent is handed on.
    async fn resubscribe(&mut self, credit: NonZeroU16) -> Result<(), Fault> {
        self.cancel().await?;
        if let Some(mut consumer) = self.consumer.take() {
            while let Some(delivery) = consumer.next().await {
                self.take(delivery?)?;
            }
        }
        self.subscribe(credit).await
    }

    /// Stops the stream; what it still brings goes back to the queue.
    async fn unsubscribe(&mut self) -> Result<(), Fault> {
        self.cancel().await?;
        if let Some(mut consumer) = self.consumer.take() {
            while let Some(delivery) = consumer.next().await {
                let tag = delivery?.delivery_tag;
                self.note(tag)?;
                Hold::new(self.link.clone(), tag).give_back_soon(None);
            }
        }
        self.flush().await
    }

    async fn cancel(&mut self) -> Result<(), Fault> {
        if let Some(consumer) = &self.consumer {
            self.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await?;
        }
        Ok(())
    }

    /// Hands a delivery on; one that comes for the second time and is not counted by the broker is first published
    /// again with its count.
    fn take(&self, delivery: Delivery) -> Result<(), Fault> {
        self.note(delivery.delivery_tag)?;
        let uncounted = delivery.redelivered && !properties::counted_by_broker(&delivery.properties);
        let hold = Hold::new(self.link.clone(), delivery.delivery_tag);
        let Delivery { exchange, routing_key, properties, data, .. } = delivery;
        let arrived = Arrived::new(
            hold,
            Bytes::from(data),
            properties,
            exchange,
            routing_key,
            self.queue.clone(),
            self.outlet.clone(),
        );
        if uncounted {
            tokio::spawn(arrived.recount());
        } else if let Err(mpsc::error::SendError(mut arrived)) = self.arrivals.send(arrived) {
            arrived.give_back_soon();
        }
        Ok(())
    }

    fn note(&self, tag: u64) -> Result<(), Fault> {
        match self.link.lock().ledger.delivered(tag) {
            true => Ok(()),
            false => Err(Fault::Away(format!("delivery tag {tag} is out of order"))),
        }
    }

    /// When something must be done at the latest.
    fn timer(&self) -> Option<Instant> {
        let straggle = self.straggling_since.map(|since| since + STRAGGLE);
        let later = self.link.lock().later.first().map(|(at, _)| *at);
        straggle.into_iter().chain(later).min()
    }

    /// Sends the acknowledgements and returns that are due.
    async fn flush(&mut self) -> Result<(), Fault> {
        let (below, stragglers, returns) = {
            let mut inner = self.link.lock();
            let now = Instant::now();
            let due = inner.later.partition_point(|(at, _)| *at <= now);
            let due: Vec<u64> = inner.later.drain(..due).map(|(_, tag)| tag).collect();
            for tag in due {
                if inner.ledger.gone(tag) {
                    inner.returns.push((tag, None));
                }
            }
            let below = inner.ledger.below_low_water();
            let waiting = inner.ledger.waiting();
            let since = (waiting > 0).then(|| *self.straggling_since.get_or_insert(now));
            let overdue = since.is_some_and(|since| waiting >= STRAGGLERS || now >= since + STRAGGLE);
            let stragglers = if overdue { inner.ledger.stragglers() } else { Vec::new() };
            if since.is_none() || overdue {
                self.straggling_since = None;
            }
            (below, stragglers, std::mem::take(&mut inner.returns))
        };
        // Before the acknowledgements: one for several tags would cover what is still to be given back, and lose it.
        for (tag, waiter) in returns {
            sent(self.channel.basic_nack(tag, BasicNackOptions { multiple: false, requeue: true }))?;
            self.unproven.extend(waiter);
        }
        for ack in below.into_iter().chain(stragglers) {
            sent(self.channel.basic_ack(ack.tag, BasicAckOptions { multiple: ack.multiple }))?;
            self.unproven.extend(ack.waiters);
        }
        if self.proof.is_none() && !self.unproven.is_empty() {
            let (channel, credit) = (self.channel.clone(), self.credit.get());
            // Says again what holds already; it is the cheapest question there is.
            let question = async move { channel.basic_qos(credit, BasicQosOptions { global: false }).await };
            self.proof =
                Some(Proof { answer: Box::pin(question), waiters: std::mem::take(&mut self.unproven) });
        }
        Ok(())
    }
}

/// Hands a frame to the connection; whether it is written shows with the next proof.
fn sent(frame: impl Future<Output = Result<(), lapin::Error>>) -> Result<(), Fault> {
    Ok(frame.now_or_never().unwrap_or(Ok(()))?)
}

/// Tells those whose acknowledgements are proven; never done without a proof under way. Cancel safe.
async fn proven(proof: &mut Option<Proof>) -> Result<(), Fault> {
    let Some(Proof { answer, .. }) = proof else { return std::future::pending().await };
    let result = answer.await;
    let waiters = proof.take().map(|proof| proof.waiters);
    result?;
    for waiter in waiters.into_iter().flatten() {
        let _ = waiter.send(());
    }
    Ok(())
}

impl Drop for Session {
    fn drop(&mut self) {
        self.link.cut("channel is closed");
    }
}

/// Done at that time; never without one.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}
