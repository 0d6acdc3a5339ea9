//! The actors of tools' routes and of a cluster, with the depths of their queues.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use asya_envelope::{Naming, Queue};
use asya_store::EnvelopeStore;
use asya_transport::{Queues, TransportError};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream};
use jiff::Timestamp;
use tokio::{
    sync::{Mutex as Turn, watch},
    time::{Instant, timeout, timeout_at},
};

use super::{
    Actor, Source,
    kubernetes::Cluster,
    merge::{Home, merged},
};
use crate::{service::Error, tools::ToolSet};

/// Where envelopes end. No tool names them, and everybody wants to know whether they keep up; on a machine without them
/// nobody misses them.
const ENDS: [&str; 2] = ["happy-end", "error-end"];
/// Queues that are asked for at a time.
const AT_ONCE: usize = 16;
/// How long all queues together may take to answer, and then the store; actors are then shown without their words.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long back a rate looks: its reports are counted each time that somebody looks.
const RATED: Duration = Duration::from_secs(10);
/// How old an answer may be: many who look are one who asks the broker.
const FRESH: Duration = Duration::from_secs(2);
/// How much older it may be for each queue: 200 a second are asked for at most.
const FRESH_EACH: Duration = Duration::from_millis(5);
/// Transports that are another broker where they are not the gateway's own. An operator may give others names of its own.
const TRANSPORTS: [&str; 3] = ["rabbitmq", "sqs", "local"];
/// The one that does not tell what is in hand.
const WITHOUT_IN_FLIGHT: &str = "rabbitmq";

/// The actors that tools and settings name and that a cluster has. Depths come from the transport.
pub struct Depths {
    tools: watch::Receiver<Arc<ToolSet>>,
    queues: Arc<dyn Queues>,
    home: Home,
    named: Vec<String>,
    /// Whether the ends are shown.
    ends: bool,
    cluster: Option<Arc<Cluster>>,
    store: Option<EnvelopeStore>,
    last: Turn<Last>,
    warnings: Mutex<Vec<String>>,
}

/// What was found last.
#[derive(Default)]
struct Last {
    at: Option<Instant>,
    actors: Vec<Actor>,
    /// Actors whose reports were seen: while they do nothing their rate is 0, that of others is not known.
    reporting: BTreeSet<String>,
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
        let home = Home { naming, namespace, transport: transport.into() };
        let (last, warnings) = (Turn::default(), Mutex::default());
        Self {
            tools,
            queues,
            home,
            named: Vec::new(),
            ends: false,
            cluster: None,
            store: None,
            last,
            warnings,
        }
    }

    /// These actors too, although no tool names them, and the ends of all routes if they have queues.
    #[must_use]
    pub fn with(mut self, named: Vec<String>) -> Self {
        (self.named, self.ends) = (named, true);
        self
    }

    /// Those of a cluster too.
    #[must_use]
    pub fn on(mut self, cluster: Arc<Cluster>) -> Self {
        self.cluster = Some(cluster);
        self
    }

    /// With rates, by what sidecars have reported to the store.
    #[must_use]
    pub fn rated(mut self, store: EnvelopeStore) -> Self {
        self.store = Some(store);
        self
    }

    /// Sets the rates of actors that envelopes are sent to.
    async fn rate(&self, actors: &mut [Actor], reporting: &mut BTreeSet<String>) {
        let Some(store) = &self.store else { return };
        let since = Timestamp::now() - RATED;
        let handled = match timeout(PATIENCE, store.handled_since(since)).await {
            Ok(Ok(handled)) => handled,
            Ok(Err(error)) => return tracing::debug!(%error, "the store does not tell what actors do"),
            Err(_) => return,
        };
        let seconds = RATED.as_secs_f64();
        for actor in actors {
            if self.home.naming.queue(&actor.name).as_str() != actor.queue {
                continue;
            }
            match handled.get(&actor.name) {
                Some(count) => {
                    reporting.insert(actor.name.clone());
                    actor.rate = Some(*count as f64 / seconds);
                }
                None => actor.rate = reporting.contains(&actor.name).then_some(0.0),
            }
        }
    }

    async fn ask(&self) -> Vec<Actor> {
        let mut named = successors(&self.tools.borrow());
        for name in &self.named {
            named.entry(name.clone()).or_default();
        }
        let mut home = self.home.clone();
        let seen = self.cluster.as_ref().map_or_else(Vec::new, |cluster| {
            home.namespace = home.namespace.take().or_else(|| cluster.home());
            cluster.actors()
        });
        let ends = if self.ends { &ENDS[..] } else { &[] };
        let told = |name: &str| named.contains_key(name) || seen.iter().any(|actor| actor.name == name);
        let guessed: Vec<&str> = ends.iter().copied().filter(|&name| !told(name)).collect();
        named.extend(guessed.iter().map(|&name| (name.to_owned(), BTreeSet::new())));
        let (actors, warnings) = merged(named, seen, &home);
        *self.warnings.lock().unwrap_or_else(PoisonError::into_inner) = warnings;
        let until = Instant::now() + PATIENCE;
        let counted = stream::iter(actors).map(|actor| {
            let guessed = guessed.contains(&actor.name.as_str());
            self.counted(actor, guessed, until)
        });
        counted.buffered(AT_ONCE).filter_map(std::future::ready).collect().await
    }

    /// With what the broker tells; what it does not tell stays as the cluster has it. `None`: an actor that was only
    /// guessed has no queue.
    async fn counted(&self, mut actor: Actor, guessed: bool, until: Instant) -> Option<Actor> {
        let own = &self.home.transport;
        let another = actor.transport != *own && TRANSPORTS.contains(&actor.transport.as_str());
        if another || Instant::now() >= until {
            return Some(actor);
        }
        let queue = Queue::named(actor.queue.as_str());
        match timeout_at(until, self.queues.depth(&queue)).await {
            Ok(Ok(depth)) => {
                let known = actor.in_flight.filter(|_| own == WITHOUT_IN_FLIGHT).unwrap_or_default();
                actor.queued = Some(depth.ready.saturating_add(depth.delayed));
                actor.in_flight = Some(depth.in_flight.max(known));
                actor.dead = Some(depth.dead);
            }
            Ok(Err(TransportError::Unroutable { .. })) if guessed => return None,
            Ok(Err(error)) => {
                tracing::debug!(%error, actor = actor.name, "its queue does not tell its depth");
            }
            Err(_) => {}
        }
        Some(actor)
    }
}

impl Source for Depths {
    fn actors(&self) -> BoxFuture<'_, Result<Vec<Actor>, Error>> {
        async {
            // Who comes while another asks waits for that answer.
            let mut last = self.last.lock().await;
            let each = FRESH_EACH.saturating_mul(u32::try_from(last.actors.len()).unwrap_or(u32::MAX));
            if last.at.is_some_and(|at| at.elapsed() < FRESH.max(each)) {
                return Ok(last.actors.clone());
            }
            let mut actors = self.ask().await;
            self.rate(&mut actors, &mut last.reporting).await;
            (last.at, last.actors) = (Some(Instant::now()), actors.clone());
            Ok(actors)
        }
        .boxed()
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.cluster.as_ref().map(|cluster| cluster.warnings()).unwrap_or_default();
        warnings.extend(self.warnings.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        warnings
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

    use asya_envelope::Raw;
    use asya_store::envelopes::{NewEnvelope, Offspring, Publish, Report, Step};

    use super::*;
    use crate::{
        service::tests::world,
        tools::{config::File, tool::assemble},
    };

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

    #[tokio::test]
    async fn actors_that_no_tool_names_are_told_and_those_of_another_broker_as_the_cluster_has_them() {
        let (_, tools) = watch::channel(Arc::new(ToolSet::default()));
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queue.db"), LocalOptions::default()).unwrap();
        for name in ["error-end", "far", "near"] {
            local.ensure(&Naming::namespaced("team").queue(name)).await.unwrap();
        }
        let cluster = Arc::new(Cluster::new(crate::metrics::Metrics::new()));
        let actor = |name: &str, transport: &str| Actor {
            name: name.to_owned(),
            namespace: Some("team".to_owned()),
            transport: transport.to_owned(),
            status: Some("Napping".to_owned()),
            queued: Some(9),
            ..Actor::default()
        };
        cluster.listed(&None, vec![actor("far", "sqs"), actor("near", "ours"), actor("lost", "ours")]);
        let source = Depths::new(tools, local, Naming::namespaced("team"), "local", Some("team".to_owned()))
            .with(vec!["mail".to_owned()])
            .on(cluster);
        let actors = source.actors().await.unwrap();
        let rows: Vec<_> = actors.iter().map(|it| (&*it.name, it.queued, it.status.is_some())).collect();
        assert_eq!(
            rows,
            [
                ("error-end", Some(0), false),
                ("far", Some(9), true),
                // A queue that is missing: of an end nobody misses it.
                ("lost", Some(9), true),
                ("mail", None, false),
                ("near", Some(0), true),
            ]
        );
        assert_eq!(source.warnings(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn an_actor_has_the_rate_of_what_its_sidecars_report_and_none_before_they_do() {
        let world = world().await;
        let (store, actors) = (world.service.store(), vec!["split".to_owned(), "read".to_owned()]);
        let envelope = NewEnvelope {
            id: "1".to_owned(),
            actors: actors.clone(),
            metadata: None,
            headers: None,
            payload: Raw::null(),
            tool: None,
            sender: None,
            namespace: None,
            timeout: None,
            deadline: None,
            resubmit_of: None,
            replays: None,
            publish: Publish { actor: actors[0].clone(), body: bytes::Bytes::from_static(b"{}") },
        };
        let completed = Report {
            actor: Some(actors[0].clone()),
            actors,
            current: 0,
            step: Step::Completed,
            message: None,
            fraction: None,
            attempt: 1,
            seq: 1,
            duration: None,
            size: None,
            offspring: Offspring::default(),
        };
        let (tools, queues) = (world.service.tool_changes(), world.transport.clone());
        let source = Depths::new(tools, queues, Naming::bare(), "local", None).rated(store.clone());
        let rates = async || {
            source.last.lock().await.at = None;
            let actors = source.actors().await.unwrap();
            actors.iter().map(|it| (it.name.clone(), it.rate)).collect::<Vec<_>>()
        };
        let row = |name: &str, rate| (name.to_owned(), rate);
        assert_eq!(rates().await, [row("read", None), row("split", None)]);
        store.create(&envelope, Timestamp::now()).await.unwrap();
        store.report("1", &completed, Timestamp::now()).await.unwrap();
        assert_eq!(rates().await, [row("read", None), row("split", Some(0.1))]);
        source.last.lock().await.reporting.insert("read".to_owned());
        assert_eq!(rates().await, [row("read", Some(0.0)), row("split", Some(0.1))]);
    }
}
