//! `asya purge`.
//!
//! The messages are taken off the queue as an actor would take them, and settled without a successor: that works with
//! every transport, counts what was deleted, and leaves alone what others have in hand.

use std::{
    io::{self, BufRead as _, IsTerminal as _, Write as _},
    num::NonZeroU16,
    time::Duration,
};

use asya_envelope::Queue;
use asya_transport::Outcome;
use clap::Args;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    args::Common,
    broker::Broker,
    cluster::ClusterArgs,
    exit::{self, misconfigured},
};

/// Messages in hand at once: a batch of SQS many times over, and little memory.
const CREDIT: u16 = 100;
/// A queue that gives nothing for so long is empty: longer than a poll of SQS takes to answer.
const EMPTY: Duration = Duration::from_secs(3);

/// Delete the messages that wait in the queue of an actor
#[derive(Debug, Args)]
#[command(
    after_help = "Messages that an actor has in hand, delayed retries and dead letters stay (`asya dlq drop`).\n\
    With -n, --context or --kubeconfig the queue's name is read from the cluster; --transport says how its broker is \
    reached from here, for example through `kubectl port-forward`.\n\n\
    Examples:\n  asya purge ocr\n  asya purge ocr --yes --transport amqp://guest:guest@localhost\n  \
    asya pause ocr -n prod && asya purge ocr -n prod --transport amqp://guest:guest@localhost"
)]
pub(crate) struct Purge {
    /// The actor
    name: String,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

impl Purge {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self { name, yes, cluster } = self;
        let named =
            if cluster.asked(&common)? { Some(on_cluster(&name, &cluster, &common).await?) } else { None };
        let broker = Broker::open(&common, false).await?;
        let queue = named.unwrap_or_else(|| broker.naming.queue(&name));
        let waiting = broker.queues.depth(&queue).await?.ready;
        if waiting > 0 && !yes && !confirmed(&queue, waiting)? {
            return Err(misconfigured("nothing was deleted"));
        }
        let deleted = if waiting == 0 { 0 } else { empty(&broker, &queue, waiting).await? };
        let left = broker.queues.depth(&queue).await?;
        let line = json!({
            "actor": name, "queue": queue.as_str(), "purged": deleted, "ready": left.ready, "in_flight": left.in_flight,
            "delayed": left.delayed,
        });
        common.output.line(&line, || {
            format!(
                "deleted {deleted} messages of {queue}; {} wait, {} are in hand, {} are delayed",
                left.ready, left.in_flight, left.delayed
            )
        });
        Ok(exit::OK)
    }
}

/// The queue that the actor owns, as its status says.
async fn on_cluster(name: &str, cluster: &ClusterArgs, common: &Common) -> anyhow::Result<Queue> {
    let actor = cluster.connect(common).await?.actor(name).await?;
    let Some(queue) = &actor.status.queue else {
        anyhow::bail!("{name} owns no queue; see `asya explain actor {name} -n {}`", actor.namespace);
    };
    if common.transport.is_none() {
        return Err(misconfigured(format!(
            "the messages of {name} are in queue {} of transport {}: add --transport with the broker's address as it is \
             reached from here, for example through `kubectl port-forward`",
            queue.name, queue.transport
        )));
    }
    Ok(Queue::named(queue.name.as_str()))
}

/// Asks on a terminal; without one, nobody can answer.
fn confirmed(queue: &Queue, waiting: u64) -> anyhow::Result<bool> {
    if !io::stdin().is_terminal() {
        return Err(misconfigured(format!(
            "{waiting} messages wait in {queue}; --yes deletes them without asking"
        )));
    }
    eprint!("delete the {waiting} messages that wait in {queue}? [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

/// Deletes what waits, at most `most`: what arrives meanwhile is not meant. An interrupted run deletes no half message.
async fn empty(broker: &Broker, queue: &Queue, most: u64) -> anyhow::Result<u64> {
    let credit = u16::try_from(most.min(u64::from(CREDIT))).ok().and_then(NonZeroU16::new);
    let mut consumer = broker.transport.consume(queue, credit.unwrap_or(NonZeroU16::MIN)).await?;
    let (mut taken, mut deleted) = (0, 0);
    let mut settling = FuturesUnordered::new();
    while taken < most {
        tokio::select! {
            delivery = timeout(EMPTY, consumer.next()) => {
                let Ok(delivery) = delivery else { break };
                taken += 1;
                settling.push(delivery?.settle(Outcome::Forward { messages: Vec::new(), writes: Vec::new() }));
            }
            Some(settled) = settling.next(), if !settling.is_empty() => {
                // What could not be settled goes back to its queue.
                settled.map_err(|(error, _)| error)?;
                deleted += 1;
            }
        }
    }
    while let Some(settled) = settling.next().await {
        settled.map_err(|(error, _)| error)?;
        deleted += 1;
    }
    Ok(deleted)
}
