//! RabbitMQ as the suite sees it: a real broker (`ASYA_TEST_RABBITMQ_URL`), and a second one of version 4
//! if there is one (`ASYA_TEST_RABBITMQ4_URL`); with classic and with quorum queues.

use std::{sync::Arc, time::Duration};

use asya_envelope::Queue;
use asya_transport::{
    conformance::{Client, Harness, Traits},
    rabbitmq::{QueueType, Rabbitmq, RabbitmqConfig},
};
use futures::future::BoxFuture;

use crate::brokers::{Cable, fresh_queue, server};

struct Broker {
    label: &'static str,
    url: String,
    queue_type: QueueType,
}

impl Harness for Broker {
    fn name(&self) -> String {
        self.label.to_owned()
    }

    fn traits(&self) -> Traits {
        Traits {
            delay: Duration::from_secs(1),
            slack: Duration::from_secs(5),
            redelivery: Duration::from_secs(20),
            counts_deliveries: true,
            keeps_attempts: true,
            keeps_reason: true,
            exact_depth: false,
            ordered: true,
            atomic: false,
            load: 4_000,
        }
    }

    fn client(&self) -> BoxFuture<'_, anyhow::Result<Client>> {
        Box::pin(async {
            let cable = Cable::lay(&self.url).await;
            let mut config = RabbitmqConfig::new(&cable.url);
            config.queue_type = self.queue_type;
            let client = Rabbitmq::connect(config).await?;
            let sever = Box::new(move || Box::pin(cable.cut()) as BoxFuture<'static, ()>);
            Ok(Client { transport: client.clone(), queues: client.clone(), dead_letters: client, sever })
        })
    }

    fn fresh_queue(&self) -> Queue {
        fresh_queue()
    }
}

/// Every broker that there is, with each type of queue; none where no server runs.
pub(crate) fn harnesses() -> Vec<Arc<dyn Harness>> {
    let mut brokers: Vec<Arc<dyn Harness>> = Vec::new();
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return brokers };
    let versions = [
        (Some(url), ["rabbitmq classic", "rabbitmq quorum"]),
        (std::env::var("ASYA_TEST_RABBITMQ4_URL").ok(), ["rabbitmq 4 classic", "rabbitmq 4 quorum"]),
    ];
    for (url, labels) in versions {
        let Some(url) = url else { continue };
        for (label, queue_type) in labels.into_iter().zip([QueueType::Classic, QueueType::Quorum]) {
            brokers.push(Arc::new(Broker { label, url: url.clone(), queue_type }));
        }
    }
    brokers
}
