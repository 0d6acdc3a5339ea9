//! A transport that refuses one message and takes its neighbours, as SQS does.

use std::{collections::BTreeSet, num::NonZeroU16, sync::Arc, time::Duration};

use asya_envelope::Queue;
use asya_handler::End;
use asya_transport::{
    Consumer, Delivery, Health, Lease, Outcome, Outgoing, Settled, Settlement, Transport, TransportError,
    Unsettled, local::Local,
};
use futures::future::BoxFuture;
use tokio::sync::watch;

use crate::rig::{Bench, Scripted, item};

/// Publishes message by message; the queue of `next` does not take what says so.
#[derive(Clone)]
struct Picky(Arc<Local>);

impl Picky {
    async fn send(&self, message: Outgoing) -> Result<(), TransportError> {
        let text = String::from_utf8_lossy(&message.body);
        if message.queue.as_str() == "asya-next" && text.contains("forbidden") {
            return Err(TransportError::Refused { queue: message.queue, reason: "a character".to_owned() });
        }
        self.0.publish(message, None).await
    }
}

impl Transport for Picky {
    fn consume(
        &self,
        queue: &Queue,
        credit: NonZeroU16,
    ) -> BoxFuture<'_, Result<Box<dyn Consumer>, TransportError>> {
        let queue = queue.clone();
        Box::pin(async move {
            let inner = self.0.consume(&queue, credit).await?;
            Ok(Box::new(PickyConsumer { inner, picky: self.clone() }) as Box<dyn Consumer>)
        })
    }

    fn publish(&self, message: Outgoing, _: Option<Duration>) -> BoxFuture<'_, Result<(), TransportError>> {
        Box::pin(self.send(message))
    }

    fn lease(&self) -> Lease {
        self.0.lease()
    }

    fn max_message(&self) -> Option<usize> {
        self.0.max_message()
    }

    fn health(&self) -> watch::Receiver<Health> {
        self.0.health()
    }
}

struct PickyConsumer {
    inner: Box<dyn Consumer>,
    picky: Picky,
}

impl Consumer for PickyConsumer {
    fn next(&mut self) -> BoxFuture<'_, Result<Delivery, TransportError>> {
        Box::pin(async {
            let delivery = self.inner.next().await?;
            let (body, meta) = (delivery.body.clone(), delivery.meta.clone());
            Ok(Delivery::new(body, meta, Box::new(Held { delivery, picky: self.picky.clone() })))
        })
    }

    fn set_credit(&mut self, credit: NonZeroU16) {
        self.inner.set_credit(credit);
    }
}

struct Held {
    delivery: Delivery,
    picky: Picky,
}

impl Settlement for Held {
    fn settle(self: Box<Self>, outcome: Outcome) -> BoxFuture<'static, Settled> {
        Box::pin(async move {
            let Outcome::Forward { messages, .. } = outcome else { panic!("{outcome:?}") };
            let mut result = Ok(());
            for message in messages {
                result = result.and(self.picky.send(message).await);
            }
            match result {
                Ok(()) => {
                    self.delivery.settle(Outcome::forward(Vec::new())).await.unwrap();
                    Ok(())
                }
                Err(error) => Err((Unsettled::Publish(error), Some(self as Box<dyn Settlement>))),
            }
        })
    }

    fn abandon(self: Box<Self>) {
        drop(self.delivery);
    }
}

async fn ends_of(payloads: [&'static str; 3]) -> (BTreeSet<String>, BTreeSet<String>) {
    let bench = Bench::new().await;
    let transport = Arc::new(Picky(bench.local.clone()));
    let rig = bench.start_on(transport, Scripted::ending(move |_| End::Done(payloads.map(item).to_vec())));
    rig.send_envelope("a", "0").await;
    rig.settled().await;
    let ids = async |actor| {
        let mut ids = BTreeSet::new();
        while rig.count(actor).await > 0 {
            ids.insert(rig.take(actor).await["id"].as_str().unwrap().to_owned());
        }
        ids
    };
    (ids("next").await, ids("error-end").await)
}

#[tokio::test]
async fn only_the_child_that_is_refused_fails() {
    for (payloads, refused) in [
        (["0", "\"forbidden\"", "2"], vec!["a-1"]),
        (["\"forbidden\"", "1", "2"], vec!["a"]),
        (["\"forbidden\"", "1", "\"forbidden\""], vec!["a", "a-2"]),
        (["\"forbidden\"", "\"forbidden\"", "\"forbidden\""], vec!["a", "a-1", "a-2"]),
    ] {
        let (taken, failed) = ends_of(payloads).await;
        let failed: Vec<_> = failed.iter().map(String::as_str).collect();
        assert_eq!(failed, refused);
        assert!(
            ["a", "a-1", "a-2"].iter().all(|id| taken.contains(*id) != refused.contains(id)),
            "{taken:?}"
        );
    }
}
