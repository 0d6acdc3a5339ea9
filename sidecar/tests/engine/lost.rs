//! A connection that is lost while work runs: the result waits for the redelivered copy.

use std::{
    num::NonZeroU16,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use asya_envelope::Queue;
use asya_handler::{End, Reply};
use asya_transport::{
    Consumer, Delivery, Health, Lease, Outcome, Outgoing, Settlement, Transport, TransportError, Unsettled,
    local::Local,
};
use futures::future::BoxFuture;
use tokio::sync::{Notify, watch};

use crate::rig::{Bench, Scripted, item};

/// The file's transport behind a connection that breaks under the first delivery.
struct Unsteady {
    local: Arc<Local>,
    first: Arc<First>,
}

#[derive(Default)]
struct First {
    seen: AtomicBool,
    delivery: Mutex<Option<Delivery>>,
}

impl First {
    /// The broker takes the delivery back.
    fn lose(&self) {
        drop(self.delivery.lock().unwrap().take());
    }
}

impl Transport for Unsteady {
    fn consume(
        &self,
        queue: &Queue,
        credit: NonZeroU16,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, TransportError>> {
        let queue = queue.clone();
        Box::pin(async move {
            let inner = self.local.consume(&queue, credit).await?;
            Ok(Box::new(UnsteadyConsumer { inner, first: self.first.clone() }) as Box<dyn Consumer>)
        })
    }

    fn publish(
        &self,
        message: Outgoing,
        delay: Option<Duration>,
    ) -> BoxFuture<'_, Result<(), TransportError>> {
        self.local.publish(message, delay)
    }

    fn lease(&self) -> Lease {
        self.local.lease()
    }

    fn max_message(&self) -> Option<usize> {
        self.local.max_message()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.local.health()
    }
}

struct UnsteadyConsumer {
    inner: Box<dyn Consumer>,
    first: Arc<First>,
}

impl Consumer for UnsteadyConsumer {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, TransportError>> {
        Box::pin(async {
            let delivery = self.inner.next().await?;
            if self.first.seen.swap(true, Ordering::SeqCst) {
                return Ok(delivery);
            }
            let (body, meta) = (delivery.body.clone(), delivery.meta.clone());
            *self.first.delivery.lock().unwrap() = Some(delivery);
            Ok(Delivery::new(body, meta, Box::new(Broken(self.first.clone()))))
        })
    }

    fn set_credit(&mut self, credit: NonZeroU16) {
        self.inner.set_credit(credit);
    }
}

struct Broken(Arc<First>);

impl Settlement for Broken {
    fn settle(
        self: Box<Self>,
        _: Outcome,
    ) -> BoxFuture<'static, Result<(), (Unsettled, Option<Box<dyn Settlement>>)>> {
        self.0.lose();
        Box::pin(async { Err((Unsettled::Lost("connection reset".to_owned()), None)) })
    }

    fn abandon(self: Box<Self>) {
        self.0.lose();
    }
}

async fn unsteady() -> (Bench, Arc<Unsteady>) {
    let bench = Bench::new().await;
    let unsteady = Arc::new(Unsteady { local: bench.local.clone(), first: Arc::default() });
    (bench, unsteady)
}

#[tokio::test]
async fn a_finished_result_is_settled_by_the_redelivered_copy_without_a_second_run() {
    let (bench, unsteady) = unsteady().await;
    let rig = bench.start_on(unsteady, Scripted::echo());
    rig.send_envelope("a", "7").await;
    assert_eq!(rig.take("next").await["payload"], 7);
    rig.settled().await;
    assert_eq!((rig.stats.received(), rig.stats.handled(), rig.stats.joined()), (2, 1, 1));
    assert_eq!(rig.count("next").await, 0);
}

#[tokio::test]
async fn a_copy_that_comes_while_the_work_runs_waits_for_its_end() {
    let (bench, unsteady) = unsteady().await;
    let gate = Arc::new(Notify::new());
    let wait = gate.clone();
    let handler = Scripted::new(move |_, replies| {
        let wait = wait.clone();
        async move {
            wait.notified().await;
            replies.send(Reply::End(End::Done(vec![item("1")]))).await;
        }
    });
    let rig = bench.start_on(unsteady.clone(), handler);
    rig.send_envelope("a", "0").await;
    rig.until("the work runs", async || rig.stats.in_flight() == 1).await;
    unsteady.first.lose();
    rig.until("the copy has come", async || rig.stats.received() == 2).await;
    gate.notify_one();
    assert_eq!(rig.take("next").await["id"], "a");
    rig.settled().await;
    assert_eq!((rig.stats.handled(), rig.stats.joined(), rig.count("next").await), (1, 1, 0));
}

#[tokio::test]
async fn another_message_under_the_same_id_is_not_taken_for_a_copy() {
    let rig = Bench::new().await.start(Scripted::echo());
    rig.send_envelope("a", "1").await;
    rig.send_envelope("a", "2").await;
    rig.send_envelope("a", "2").await;
    rig.settled().await;
    assert_eq!((rig.stats.handled(), rig.count("next").await), (3, 3));
}
