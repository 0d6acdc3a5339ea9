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
pub(super) fn successors(tools: &ToolSet) -> BTreeMap<String, BTreeSet<String>> {
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
mod tests {
    use asya_transport::{
        Outgoing, Transport,
        local::{Local, LocalOptions},
    };

    use super::*;
    use crate::tools::{config::File, tool::assemble};

    #[tokio::test]
    async fn actors_of_routes_are_told_with_their_depths_and_those_without_a_queue_too() {
        let file: File = serde_saphyr::from_str(
            "tools: [{name: a, route: [split, read]}, {name: b, route: [split, store]}]",
        )
        .unwrap();
        let tools = ToolSet::new(assemble(vec![("tools.yaml".to_owned(), file)]).unwrap());
        let (_, tools) = watch::channel(Arc::new(tools));
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queue.db"), LocalOptions::default()).unwrap();
        let naming = Naming::bare();
        let queue = naming.queue("split");
        local.ensure(&queue).await.unwrap();
        let body = bytes::Bytes::from_static(b"{}");
        local.publish(Outgoing { queue, body }, None).await.unwrap();
        let source = Depths::new(tools, local.clone(), naming.clone(), "local", Some("team".to_owned()));
        let actors = source.actors().await.unwrap();
        let seen: Vec<_> = actors.iter().map(|actor| (actor.name.as_str(), actor.next.join(","))).collect();
        assert_eq!(
            seen,
            [("read", String::new()), ("split", "read,store".to_owned()), ("store", String::new())]
        );
        assert_eq!(
            (actors[1].queued, &*actors[1].queue, actors[1].namespace.as_deref()),
            (Some(1), "asya-split", Some("team"))
        );
        // Asked again at once the broker is left alone.
        local.delete(&naming.queue("split")).await.unwrap();
        assert_eq!(source.actors().await.unwrap(), actors);
    }
}
