//! `asya send`.

pub(crate) mod input;

use std::{io::IsTerminal as _, sync::Arc, time::Duration};

use asya_envelope::{Deadline, Envelope, Headers, Raw};
use asya_resources::Delay;
use asya_transport::Outgoing;
use clap::Args;
use futures::{StreamExt as _, stream::FuturesUnordered};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::sync::mpsc;

use crate::{
    args::Common,
    broker::{Broker, explain},
    exit::{self, misconfigured},
    follow,
    output::Output,
};
use input::Template;

/// Publishes on their way at a time: enough to fill the group commits of the queue file.
const IN_FLIGHT: usize = 256;
/// Envelopes from which on progress is shown.
const MANY: u64 = 20;

/// Send envelopes along a route of actors
#[derive(Debug, Args)]
#[command(
    after_help = "Each payload is JSON, @FILE with JSON in it, or - for one payload or whole envelope per line of \
    standard input.\n\nExamples:\n  asya send greet '{\"name\": \"Ada\"}' --wait\n  asya send split,analyse @document.json\n  \
    jq -c '.[]' documents.json | asya send split,analyse - --wait --output json\n  asya send greet 1 2 3 --delay 10s --header priority=high"
)]
pub(crate) struct Send {
    /// Actors in order, separated by commas
    route: String,
    /// Payloads
    #[arg(required = true, value_name = "PAYLOAD", allow_negative_numbers = true)]
    payloads: Vec<String>,
    /// Follow each envelope to its end, its fan-out children included, and print the results
    #[arg(long, short)]
    wait: bool,
    /// With --wait: give up after this long
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "wait")]
    timeout: Option<Duration>,
    /// The envelope's id, for a single payload [default: a new one]
    #[arg(long)]
    id: Option<String>,
    /// A header; the value is text unless it is a JSON object, list, number, true, false or null
    #[arg(long = "header", short = 'H', value_name = "NAME=VALUE")]
    headers: Vec<String>,
    /// Until when handling is worth it: a time (RFC 3339), or how long from now
    #[arg(long, value_name = "TIME")]
    deadline: Option<String>,
    /// Deliver this much later
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    delay: Option<Duration>,
    /// Make the queues of the route if they do not exist, so that actors may be started later
    #[arg(long)]
    create: bool,
}

fn duration(text: &str) -> Result<Duration, String> {
    Delay::parse(text).map(|delay| delay.0)
}

impl Send {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self { route, payloads, wait, timeout, id, headers, deadline, delay, create } = self;
        let template = Template {
            actors: input::route(&route)?,
            headers: parse_headers(&headers)?,
            deadline: deadline.as_deref().map(parse_deadline).transpose()?,
        };
        if id.is_some() && (payloads.len() != 1 || payloads[0] == "-") {
            return Err(misconfigured("--id is for a single payload"));
        }
        // Everything on the command line is checked before anything is sent.
        let mut given = Vec::new();
        for payload in payloads.iter().filter(|payload| *payload != "-") {
            given.push(template.envelope(input::payload(payload)?, id.clone()));
        }
        let broker = Broker::open(&common, create).await?;
        let store = if wait { Some(broker.local("--wait")?.store()) } else { None };
        if create {
            for actor in template.actors.iter().map(String::as_str).chain(["happy-end", "error-end"]) {
                broker.queues.ensure(&broker.naming.queue(actor)).await.map_err(explain)?;
            }
        }
        missing(&broker, &template.actors, common.output).await?;
        let total = given.len() as u64;
        let envelopes = input::stream(given, payloads.iter().any(|payload| payload == "-"), template);
        let progress = progress(total);
        let sent = publish(&broker, envelopes, delay, &progress, &common, wait).await?;
        let Some(store) = store else {
            progress.finish_and_clear();
            return Ok(exit::OK);
        };
        progress.set_length(sent.len() as u64);
        progress.set_position(0);
        progress.set_message("ended");
        let mut failed = false;
        let (all, mut ended) = (sent.len(), 0);
        let following = follow::follow(Arc::clone(&store), sent, |ends| {
            progress.inc(1);
            ended += 1;
            failed |= ends.iter().any(follow::Ended::failed);
            progress.suspend(|| {
                for end in ends.iter().filter(|end| end.status != "joined") {
                    common.output.line(end, || end.text());
                }
            });
        });
        match timeout {
            None => following.await?,
            Some(limit) => match tokio::time::timeout(limit, following).await {
                Ok(followed) => followed?,
                Err(_elapsed) => anyhow::bail!(
                    "{} of {all} did not end within {limit:?}; `asya queues` shows where they wait: does `asya up` \
                    run the actors of the route?",
                    all - ended
                ),
            },
        }
        progress.finish_and_clear();
        Ok(if failed { exit::FAILED } else { exit::OK })
    }
}

/// Says which actors of the route are not here yet: what is sent waits for them, which looks like hanging.
async fn missing(broker: &Broker, actors: &[String], output: Output) -> anyhow::Result<()> {
    let Some(local) = &broker.local else { return Ok(()) };
    let there = local.queues().await?;
    // Without a queue for the first actor nothing is sent at all, and the error says so.
    for actor in actors.iter().skip(1) {
        let queue = broker.naming.queue(actor);
        if !there.iter().any(|(name, _depth)| *name == queue) {
            let note = format!(
                "no actor \"{actor}\" has run here yet; its turn waits for a while, then fails as unroutable"
            );
            match output {
                Output::Human => eprintln!("note: {note}"),
                Output::Json => eprintln!("{}", json!({"note": note})),
            }
        }
    }
    Ok(())
}

/// Publishes what comes; returns the ids.
async fn publish(
    broker: &Broker,
    mut envelopes: mpsc::Receiver<anyhow::Result<Envelope>>,
    delay: Option<Duration>,
    progress: &ProgressBar,
    common: &Common,
    wait: bool,
) -> anyhow::Result<Vec<String>> {
    let mut running = FuturesUnordered::new();
    let mut ids = Vec::new();
    let (mut open, mut broken) = (true, None);
    while open || !running.is_empty() {
        tokio::select! {
            next = envelopes.recv(), if open && running.len() < IN_FLIGHT => match next {
                Some(envelope) => {
                    let envelope = match envelope {
                        Ok(envelope) => envelope,
                        Err(error) => {
                            broken = Some(error);
                            open = false;
                            continue;
                        }
                    };
                    running.push(send(broker, envelope, delay));
                }
                None => open = false,
            },
            Some(done) = running.next(), if !running.is_empty() => {
                let id = done?;
                progress.inc(1);
                if !wait {
                    progress.suspend(|| common.output.line(&json!({"id": id, "status": "sent"}), || id.clone()));
                }
                ids.push(id);
            }
        }
    }
    if let Some(error) = broken {
        // Whoever mends the line must know where to go on.
        return Err(error.context(format!("stopped; the {} before it were sent", ids.len())));
    }
    if wait && common.output == Output::Human && ids.len() == 1 {
        eprintln!("sent {}", ids[0]);
    }
    Ok(ids)
}

/// Publishes one envelope, its payload checked in if it is large; its id.
async fn send(broker: &Broker, mut envelope: Envelope, delay: Option<Duration>) -> anyhow::Result<String> {
    if let Some(claims) = &broker.payloads
        && let Some(reference) = claims.check_in(&envelope.id, &envelope.payload).await?
    {
        reference.stand_in(&mut envelope);
    }
    let actor = envelope.route.current_actor().unwrap_or("happy-end").to_owned();
    let message = Outgoing { queue: broker.naming.queue(&actor), body: envelope.encode() };
    broker.transport.publish(message, delay).await.map_err(explain)?;
    Ok(envelope.id)
}

fn progress(total: u64) -> ProgressBar {
    let shown = (total == 0 || total >= MANY) && std::io::stderr().is_terminal();
    let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(total), target).with_message("sent");
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} {per_sec}");
    bar.with_style(style.expect("the template is valid"))
}

fn parse_headers(pairs: &[String]) -> anyhow::Result<Headers> {
    let mut headers = Headers::default();
    for pair in pairs {
        let (name, value) = pair
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| misconfigured(format!("--header {pair:?} must be NAME=VALUE")))?;
        let json = Raw::parse(value.as_bytes().to_vec().into()).ok();
        headers.set(name, json.unwrap_or_else(|| Raw::of(&value)));
    }
    Ok(headers)
}

fn parse_deadline(text: &str) -> anyhow::Result<Deadline> {
    if let Ok(delay) = Delay::parse(text) {
        let at = jiff::Timestamp::now().checked_add(delay.0);
        return Ok(Deadline::at(at.map_err(|error| misconfigured(format!("--deadline {text}: {error}")))?));
    }
    Deadline::parse(Raw::of(&text)).map_err(|_error| {
        misconfigured(format!(
            "--deadline {text:?} is neither how long from now, such as \"10m\", nor a time, such as \"2030-01-01T12:00:00Z\""
        ))
    })
}
