//! What goes on beside requests: files that are read again, deadlines, the outbox, what metrics show.

use std::{future::Future, sync::Arc, time::Duration};

use asya_envelope::Naming;
use asya_store::{EnvelopeStore, envelopes::Retention};
use asya_transport::{Broker, DeadLetters, Health, Transport, TransportError};
use futures::future::BoxFuture;
use tokio::{
    sync::{oneshot, watch},
    task::{JoinHandle, JoinSet},
    time::{interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::late::Late;
use crate::{actors::Source, metrics::Metrics, outbox::Outbox, service::Service, sweep};

/// How often metrics look at the store.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// First pause between attempts to connect to the broker.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long what was accepted may take to be sent in the end. What is left is sent at the next start.
const FLUSH: Duration = Duration::from_secs(5);
/// Pause between looks at what is left.
const FLUSH_LOOK: Duration = Duration::from_millis(20);
/// How long the last batch and the broker may take to end.
const CLOSE: Duration = Duration::from_secs(5);

/// Where envelopes are sent.
pub enum Queues {
    /// A broker that is to be connected to, however long that takes.
    Connect(Broker),
    /// A transport that is there.
    Open {
        /// It.
        transport: Arc<dyn Transport>,
        /// Its name in metrics.
        name: &'static str,
        /// What actors there are on it.
        actors: Arc<dyn Source>,
        /// What nobody could handle there.
        dead_letters: Arc<dyn DeadLetters>,
    },
}

impl std::fmt::Debug for Queues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect(broker) => f.debug_tuple("Connect").field(&broker.masked()).finish(),
            Self::Open { name, .. } => f.debug_struct("Open").field("name", name).finish_non_exhaustive(),
        }
    }
}

/// Tasks beside requests.
#[derive(Debug, Default)]
pub struct Background {
    /// End when they are told, or are dropped.
    tasks: JoinSet<()>,
    stop: CancellationToken,
    publishing: Option<JoinHandle<()>>,
    broken: Option<oneshot::Receiver<TransportError>>,
}

impl Background {
    /// Something that may be dropped at any time.
    pub(super) fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Looks at what metrics show of the store and the tools.
    pub(super) fn watch(&mut self, service: &Service, metrics: Arc<Metrics>) {
        let service = service.clone();
        self.spawn(async move {
            let mut looks = interval(LOOK_EVERY);
            loop {
                looks.tick().await;
                let tools = service.tools();
                metrics.tools(tools.iter().len(), tools.error.is_some());
                let store = service.store();
                match (store.outbox_depth().await, store.counts().await) {
                    (Ok(outbox), Ok(counts)) => metrics.stored(Some((&outbox, &counts))),
                    _ => metrics.stored(None),
                }
            }
        });
    }

    /// Ends what is late, begins what was left, and deletes what is old.
    pub(super) fn sweep(&mut self, service: &Service, retention: Retention) {
        self.tasks.spawn(sweep::run(service.clone(), retention, self.stop.clone()));
    }

    /// Sends what is accepted, as soon as there is a broker.
    pub(super) fn publish(
        &mut self,
        service: &Service,
        queues: Queues,
        naming: Naming,
        metrics: &Arc<Metrics>,
        late: Late,
    ) {
        let (broken, heard) = oneshot::channel();
        self.broken = Some(heard);
        let (store, stop, metrics) = (service.store().clone(), self.stop.clone(), Arc::clone(metrics));
        self.publishing = Some(tokio::spawn(async move {
            let (transport, name, close) = tokio::select! {
                connected = connected(queues, &metrics, &late) => match connected {
                    Ok(connected) => connected,
                    Err(error) => return drop(broken.send(error)),
                },
                () = stop.cancelled() => return,
            };
            let watched = tokio::spawn(health(transport.health(), name, metrics));
            Outbox::new(store, transport, naming).run(stop).await;
            watched.abort();
            if let Some(close) = close {
                close.await;
            }
        }));
    }

    /// What ends the gateway before it is told: settings of the broker that no waiting mends.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        match &mut self.broken {
            Some(broken) => match broken.await {
                Ok(error) => anyhow::Error::from(error).context("connecting to the broker"),
                // The sender is gone because all is well.
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Sends what was accepted, then ends everything.
    pub(super) async fn finish(mut self, service: &Service) {
        let sending = self.publishing.as_ref().is_some_and(|task| !task.is_finished());
        if sending && timeout(FLUSH, sent(service.store())).await.is_err() {
            tracing::warn!("not all that was accepted is sent; the rest is at the next start");
        }
        self.stop.cancel();
        if let Some(publishing) = self.publishing.take()
            && timeout(CLOSE, publishing).await.is_err()
        {
            tracing::warn!(
                "the broker did not confirm in time: what it has is sent once more at the next start"
            );
        }
        self.tasks.shutdown().await;
    }
}

/// Waits until nothing is left to be sent. A store that is away has nothing that could be sent now.
async fn sent(store: &EnvelopeStore) {
    while store.outbox_depth().await.is_ok_and(|depth| depth.waiting > 0) {
        sleep(FLUSH_LOOK).await;
    }
}

type Connected = (Arc<dyn Transport>, &'static str, Option<BoxFuture<'static, ()>>);

async fn connected(queues: Queues, metrics: &Metrics, late: &Late) -> Result<Connected, TransportError> {
    match queues {
        Queues::Open { transport, name, .. } => Ok((transport, name, None)),
        Queues::Connect(broker) => {
            let name = broker.name();
            metrics.transport(name, false);
            // Nothing is received here, so that no handler's time is to be covered.
            let opened = broker.connect(Duration::ZERO, FIRST_PAUSE, |_| {}).await?;
            late.found(opened.queues, opened.dead_letters);
            Ok((opened.transport, name, opened.close))
        }
    }
}

async fn health(mut health: watch::Receiver<Health>, name: &'static str, metrics: Arc<Metrics>) {
    loop {
        let state = health.borrow_and_update().clone();
        metrics.transport(name, state.is_up());
        match state.reason() {
            Some(reason) => tracing::warn!(reason, "broker is not available"),
            None => tracing::info!("broker is available"),
        }
        if health.changed().await.is_err() {
            return;
        }
    }
}
