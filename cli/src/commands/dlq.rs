//! `asya dlq`.

use asya_envelope::{Queue, envelope::salvage_id};
use asya_transport::{DeadLetter, Selection};
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::{
    args::Common,
    broker::Broker,
    exit::{self, misconfigured},
    output::{Output, print, short, table},
};

/// Dead letters that are listed unless told otherwise: as many as a person looks at.
const LISTED: usize = 100;

/// Look after dead letters: messages that nobody could handle
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  asya dlq list\n  asya dlq show ocr 17\n  asya dlq replay ocr --all\n  asya dlq drop ocr 17 18"
)]
pub(crate) enum Dlq {
    /// List dead letters, oldest first
    List {
        /// The actor [default: every one in the queue file]
        actor: Option<String>,
        /// At most so many per actor
        #[arg(long, default_value_t = LISTED)]
        limit: usize,
    },
    /// Show one dead letter, body included
    Show {
        /// The actor
        actor: String,
        /// Its number in the list
        id: String,
    },
    /// Put dead letters back on their queue, with fresh counters
    Replay(Selected),
    /// Delete dead letters for good
    Drop(Selected),
}

/// Which dead letters are meant.
#[derive(Debug, Args)]
pub(crate) struct Selected {
    /// The actor
    actor: String,
    /// Their numbers in the list
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    ids: Vec<String>,
    /// All of the actor
    #[arg(long)]
    all: bool,
}

impl Selected {
    fn selection(&self) -> Selection {
        if self.all { Selection::All } else { Selection::Ids(self.ids.clone()) }
    }
}

impl Dlq {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let broker = Broker::open(&common, false).await?;
        match self {
            Self::List { actor, limit } => list(&common, &broker, actor, limit).await,
            Self::Show { actor, id } => {
                let found = broker.dead.show(&broker.naming.queue(&actor), &id).await?;
                let letter = found
                    .ok_or_else(|| anyhow::anyhow!("no dead letter {id} of {actor}; see `asya dlq list`"))?;
                let body = String::from_utf8_lossy(&letter.body).into_owned();
                common.output.line(&object(&actor, &letter, true), || {
                    format!(
                        "dead letter {} of {actor}\nreason:   {}\nattempts: {}\nsince:    {}\n\n{body}",
                        letter.id,
                        letter.reason,
                        letter.attempts,
                        since(&letter)
                    )
                });
                Ok(exit::OK)
            }
            Self::Replay(selected) => {
                let queue = broker.naming.queue(&selected.actor);
                let count = broker.dead.replay(&queue, selected.selection()).await?;
                settled(&common, &selected, "replayed", count)
            }
            Self::Drop(selected) => {
                let queue = broker.naming.queue(&selected.actor);
                let count = broker.dead.discard(&queue, selected.selection()).await?;
                settled(&common, &selected, "dropped", count)
            }
        }
    }
}

fn settled(common: &Common, selected: &Selected, verb: &str, count: u64) -> anyhow::Result<u8> {
    let actor = &selected.actor;
    common.output.line(&json!({"actor": actor, verb: count}), || format!("{verb} {count} of {actor}"));
    let missing = !selected.all && count < selected.ids.len() as u64;
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
