//! Dead letters of queues.

use asya_envelope::{Queue, envelope::salvage_id};
use asya_transport::{DeadLetter, Selection};
use serde_json::{Value, json};

use super::{Dlq, Selected, Source, gateway_only};
use crate::{
    args::Common,
    broker::Broker,
    exit::{self, misconfigured},
    output::{Output, print, safe, short, table},
};

pub(super) async fn run(what: Dlq, common: &Common) -> anyhow::Result<u8> {
    match what {
        Dlq::List { actor, limit, replayed, source, fitting, gateway: _ } => {
            fitting.nothing()?;
            no_source(source)?;
            if replayed {
                return Err(gateway_only("--replayed chooses"));
            }
            let broker = Broker::open(common, false).await?;
            list(common, &broker, actor, limit).await
        }
        // Only gateways have them, and it has been done there.
        Dlq::Groups { .. } => Err(gateway_only("groups are made")),
        Dlq::Show { letter, gateway: _ } => {
            let [actor, id] = &letter[..] else {
                return Err(misconfigured(
                    "a dead letter of a queue is named by its actor and its number: `asya dlq show ACTOR NUMBER`",
                ));
            };
            let broker = Broker::open(common, false).await?;
            let found = broker.dead.show(&broker.naming.queue(actor), id).await?;
            let letter = found
                .ok_or_else(|| anyhow::anyhow!("no dead letter {id} of {actor}; see `asya dlq list`"))?;
            let body = String::from_utf8_lossy(&letter.body).into_owned();
            common.output.line(&object(actor, &letter, true), || {
                let told = format!(
                    "dead letter {} of {actor}\nreason:   {}\nattempts: {}\nsince:    {}\n\n{body}",
                    letter.id,
                    letter.reason,
                    letter.attempts,
                    since(&letter)
                );
                safe(&told).into_owned()
            });
            Ok(exit::OK)
        }
        Dlq::Replay { selected, payload, route, gateway: _ } => {
            if payload.is_some() || route.is_some() {
                return Err(gateway_only("--payload and --route change what is replayed"));
            }
            let (actor, selection) = selected.of_queue()?;
            let broker = Broker::open(common, false).await?;
            let count = broker.dead.replay(&broker.naming.queue(actor), selection).await?;
            settled(common, &selected, "replayed", count)
        }
        Dlq::Drop { selected, gateway: _ } => {
            let (actor, selection) = selected.of_queue()?;
            let broker = Broker::open(common, false).await?;
            let count = broker.dead.discard(&broker.naming.queue(actor), selection).await?;
            settled(common, &selected, "dropped", count)
        }
    }
}

impl Selected {
    /// The actor, and which of its letters.
    fn of_queue(&self) -> anyhow::Result<(&str, Selection)> {
        self.fitting.nothing()?;
        no_source(self.source)?;
        let Some((actor, ids)) = self.names.split_first() else {
            return Err(misconfigured("--all needs the actor whose dead letters are meant"));
        };
        match (self.all, ids.is_empty()) {
            (true, true) => Ok((actor, Selection::All)),
            (false, false) => Ok((actor, Selection::Ids(ids.to_vec()))),
            (true, false) => Err(misconfigured("either numbers or --all says which dead letters are meant")),
            (false, true) => Err(misconfigured(format!(
                "which dead letters of {actor}? Their numbers, or --all; see `asya dlq list {actor}`"
            ))),
        }
    }
}

/// Queues are one place.
fn no_source(source: Option<Source>) -> anyhow::Result<()> {
    if source.is_some() { Err(gateway_only("--source chooses")) } else { Ok(()) }
}

fn settled(common: &Common, selected: &Selected, verb: &str, count: u64) -> anyhow::Result<u8> {
    let actor = &selected.names[0];
    common.output.line(&json!({"actor": actor, verb: count}), || format!("{verb} {count} of {actor}"));
    let missing = !selected.all && count < selected.names.len() as u64 - 1;
    Ok(if missing { exit::FAILED } else { exit::OK })
}

async fn list(common: &Common, broker: &Broker, actor: Option<String>, limit: usize) -> anyhow::Result<u8> {
    let queues: Vec<Queue> = match actor {
        Some(actor) => vec![broker.naming.queue(&actor)],
        None if broker.local.is_none() => {
            return Err(misconfigured(
                "a broker does not list its queues: name the actor, as in `asya dlq list ACTOR`",
            ));
        }
        None => {
            let depths = broker.depths(&[]).await?;
            depths.into_iter().filter(|(_, depth)| depth.dead > 0).map(|(queue, _)| queue).collect()
        }
    };
    let mut rows = Vec::new();
    for queue in queues {
        for letter in broker.dead.list(&queue, limit).await? {
            if common.output == Output::Json {
                common.output.line(&object(queue.routing_key(), &letter, false), String::new);
                continue;
            }
            rows.push(vec![
                queue.routing_key().to_owned(),
                letter.id.clone(),
                salvage_id(&letter.body).unwrap_or_default(),
                letter.attempts.to_string(),
                since(&letter),
                short(&letter.reason, 80),
            ]);
        }
    }
    if common.output == Output::Human {
        if rows.is_empty() {
            eprintln!("no dead letters");
        } else {
            print(&table(&["ACTOR", "NUMBER", "ENVELOPE", "ATTEMPTS", "SINCE", "REASON"], &rows));
        }
    }
    Ok(exit::OK)
}

fn since(letter: &DeadLetter) -> String {
    let at = letter.dead_since.and_then(|at| jiff::Timestamp::try_from(at).ok());
    at.map_or_else(String::new, |at| format!("{at:.0}"))
}

fn object(actor: &str, letter: &DeadLetter, body: bool) -> Value {
    let mut object = json!({
        "actor": actor, "number": letter.id, "id": salvage_id(&letter.body), "reason": letter.reason,
        "attempts": letter.attempts, "since": since(letter), "bytes": letter.body.len(),
    });
    if body {
        object["body"] = String::from_utf8_lossy(&letter.body).into();
    }
    object
}
