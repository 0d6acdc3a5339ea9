//! What the test programs for RabbitMQ share: the broker's address, and a connection that can be cut.

#![allow(dead_code, reason = "each test program uses a part of it")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    num::NonZeroU16,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use asya_envelope::Queue;
use asya_transport::{
    Consumer, Delivery, Outcome, Outgoing, Transport,
    conformance::report::unique,
    rabbitmq::{Rabbitmq, RabbitmqConfig},
};
use bytes::Bytes;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// The value of an environment variable that names a server. Without it the test says so loudly and passes; in CI it
/// fails.
pub(crate) fn server(variable: &str) -> Option<String> {
    match std::env::var(variable) {
        Ok(value) if !value.is_empty() => Some(value),
        _ if std::env::var("CI").is_ok_and(|ci| ci == "true") => {
            panic!("{variable} is not set, and in CI the tests against a real broker must run")
        }
        _ => {
            eprintln!("SKIPPED: {variable} is not set, so nothing was tried against a real RabbitMQ broker");
            None
        }
    }
}

pub(crate) fn fresh_queue() -> Queue {
    Queue::named(format!("asya-test-{}", unique()))
}

pub(crate) fn message(queue: &Queue, body: impl Into<Bytes>) -> Outgoing {
    Outgoing { queue: queue.clone(), body: body.into() }
}

pub(crate) async fn connect(url: &str) -> Arc<Rabbitmq> {
    Rabbitmq::connect(RabbitmqConfig::new(url)).await.expect("broker is there")
}

/// How long to wait for what must happen at once; generous, because the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) async fn consume(client: &Arc<Rabbitmq>, queue: &Queue, credit: u16) -> Box<dyn Consumer> {
    client.consume(queue, NonZeroU16::new(credit).unwrap()).await.unwrap()
}

pub(crate) async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    tokio::time::timeout(SOON, consumer.next()).await.expect("a delivery comes soon").unwrap()
}

pub(crate) async fn done(delivery: Delivery) {
    delivery.settle(Outcome::forward(vec![])).await.map_err(|(error, _)| error).unwrap();
}

/// Waits until a condition holds, at most `limit`.
pub(crate) async fn eventually(limit: Duration, what: &str, condition: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !condition().await {
        assert!(began.elapsed() < limit, "not within {limit:?}: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A way to the broker that can be cut.
pub(crate) struct Cable {
    /// The broker's address by way of the cable.
    pub(crate) url: String,
    listener: tokio::task::JoinHandle<()>,
    plugs: Arc<Mutex<JoinSet<()>>>,
}

impl Cable {
    pub(crate) async fn lay(url: &str) -> Self {
        let (scheme, rest) = url.split_once("://").expect("an address");
        let (user, rest) = rest.split_once('@').unwrap_or(("guest:guest", rest));
        let (target, path) = rest.split_once('/').unwrap_or((rest, ""));
        let target = target.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let plugs = Arc::new(Mutex::new(JoinSet::new()));
        let more = Arc::clone(&plugs);
        let listener = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let target = target.clone();
                more.lock().unwrap().spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(target).await {
                        let _ = near.set_nodelay(true);
                        let _ = far.set_nodelay(true);
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Self { url: format!("{scheme}://{user}@127.0.0.1:{port}/{path}"), listener, plugs }
    }

    /// Cuts what is connected; new connections are possible.
    pub(crate) async fn cut_connections(&self) {
        let mut plugs = std::mem::take(&mut *self.plugs.lock().unwrap());
        plugs.shutdown().await;
    }

    /// Cuts for good: whoever dials again meets a closed port.
    pub(crate) async fn cut(self) {
        self.listener.abort();
        let _ = self.listener.await;
        let mut plugs = std::mem::take(&mut *self.plugs.lock().unwrap());
        plugs.shutdown().await;
    }
}
