//! The actors of tools' routes, with the depths of their queues.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use asya_envelope::Naming;
use asya_transport::Queues;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use tokio::{sync::watch, time::Instant, time::timeout};

use super::{Actor, Source};
use crate::{service::Error, tools::ToolSet};

/// Queues that are asked for at a time.
const AT_ONCE: usize = 16;
/// How long a queue may take to answer; its actor is then shown without a depth.
const PATIENCE: Duration = Duration::from_secs(3);
/// How old an answer may be: many who look are one who asks the broker.
const FRESH: Duration = Duration::from_secs(2);

/// The actors that tools name. Depths come from the transport.
pub struct Depths {
    tools: watch::Receiver<Arc<ToolSet>>,
    queues: Arc<dyn Queues>,
    naming: Naming,
    transport: String,
    namespace: Option<String>,
    last: Mutex<Option<(Instant, Vec<Actor>)>>,
}

impl Depths {
    /// The actors of `tools`, whose queues are named like `naming` on the transport of this name.
    pub fn new(
        tools: watch::Receiver<Arc<ToolSet>>,
        queues: Arc<dyn Queues>,
        naming: Naming,
        transport: impl Into<String>,
        namespace: Option<String>,
    ) -> Self {
        Self { tools, queues, naming, transport: transport.into(), namespace, last: Mutex::default() }
    }

    async fn ask(&self) -> Vec<Actor> {
        let tools = self.tools.borrow().clone();
        let actors = stream::iter(successors(&tools)).map(async |(name, next)| self.actor(name, next).await);
        actors.buffered(AT_ONCE).collect().await
    }

    async fn actor(&self, name: String, next: BTreeSet<String>) -> Actor {
        let queue = self.naming.queue(&name);
        let depth = match timeout(PATIENCE, self.queues.depth(&queue)).await {
            Ok(Ok(depth)) => Some(depth),
            Ok(Err(error)) => {
                tracing::debug!(%error, actor = name, "its queue does not tell its depth");
                None
            }
            Err(_) => None,
        };
        Actor {
            queue: queue.to_string(),
            name,
            namespace: self.namespace.clone(),
            transport: self.transport.clone(),
            queued: depth.map(|depth| depth.ready.saturating_add(depth.delayed)),
            in_flight: depth.map(|depth| depth.in_flight),
            dead: depth.map(|depth| depth.dead),
            next: next.into_iter().collect(),
            ..Actor::default()
        }
    }
}

impl Source for Depths {
    fn actors(&self) -> BoxFuture<'_, Result<Vec<Actor>, Error>> {
        async {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((at, actors)) = last
                && at.elapsed() < FRESH
            {
                return Ok(actors);
            }
            let actors = self.ask().await;
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
                Some((Instant::now(), actors.clone()));
            Ok(actors)
        }
        .boxed()
    }
}

/// Every actor that a route names, with those that come behind it in one.
fn successors(tools: &ToolSet) -> BTreeMap<String, BTreeSet<String>> {
    let mut actors = BTreeMap::<String, BTreeSet<String>>::new();
    for tool in tools.iter() {
        for actor in &tool.route {
            actors.entry(actor.clone()).or_default();
        }
        for pair in tool.route.windows(2) {
            actors.entry(pair[0].clone()).or_default().insert(pair[1].clone());
        }
    }
    actors
}
