//! `asya queues`.

use clap::Args;
use serde_json::json;

use crate::{
    args::Common,
    broker::Broker,
    exit,
    output::{Output, print, table},
};

/// Show how full the queues are
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  asya queues\n  asya queues ocr --transport rabbitmq://localhost")]
pub(crate) struct Queues {
    /// Actors whose queues to show [default: all in the queue file]
    #[arg(value_name = "ACTOR")]
    actors: Vec<String>,
}

impl Queues {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self { actors } = self;
        let broker = Broker::open(&common, false).await?;
        let depths = broker.depths(&actors).await?;
        if common.output == Output::Json {
            for (queue, depth) in &depths {
                let line = json!({
                    "actor": queue.routing_key(), "queue": queue.as_str(), "ready": depth.ready,
                    "in_flight": depth.in_flight, "delayed": depth.delayed, "dead": depth.dead,
                });
                common.output.line(&line, String::new);
            }
            return Ok(exit::OK);
        }
        let rows: Vec<_> = depths
            .iter()
            .map(|(queue, depth)| {
                let numbers = [depth.ready, depth.in_flight, depth.delayed, depth.dead];
                let mut row = vec![queue.routing_key().to_owned()];
                row.extend(numbers.map(|number| number.to_string()));
                row
            })
            .collect();
        print(&table(&["ACTOR", "READY", "IN FLIGHT", "DELAYED", "DEAD"], &rows));
        Ok(exit::OK)
    }
}
