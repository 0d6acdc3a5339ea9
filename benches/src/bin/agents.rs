//! 200 sessions with an agent at once: what gateway, queue, agent and tool take of each turn of the model, beside the model's
//! and the tool's own time.
//!
//! Two runs with the same model and tool, which draw the same times: `bare` (a loop in this process that asks both itself)
//! and `asya` (gateway, agent, `http-call` as the tool, and both ends, as processes). What overhead is says
//! `benches/src/agents/overhead.rs`. Each session is followed by somebody from its beginning to its end.
//!
//! Settings: `SESSIONS` (200), `MESSAGES` (10 in each, one after the other without a pause: two turns of the model and a call of
//! the tool each), `ARRIVE` (2000 ms in which they begin), `MODEL_LEAST`, `MODEL_MOST` (200, 800 ms of an answer), `TOOL_LEAST`,
//! `TOOL_MOST` (20, 60 ms), `SEED` (1), `WARM` (8 sessions before that are not counted), `TRANSPORT` (local, or rabbitmq),
//! `RUNS` (`bare,asya`), `BENCH_DIR` (/tmp; where queue file and database are). Exit 1 when the goal is missed, when a session
//! holds what it should not, or the model is asked for anything twice.

use std::time::Duration;

use anyhow::{Result, ensure};
use asya_benches::{
    agents::{
        bare,
        overhead::{Pieces, Said},
        script::{Pace, Script, Step},
        talk::{faults, talk},
        world::{AGENT, GATEWAY, Queues, World},
    },
    client::Client,
    load::{Times, steady},
    setting,
};
use tokio::time::Instant;

/// What is wanted of the 99th percentile of a turn's overhead, in ms.
const GOAL: f64 = 50.0;
/// Actors that an envelope comes to: the agent, the tool, the agent again, the end.
const DELIVERIES: usize = 4;

struct Load {
    sessions: usize,
    messages: usize,
    arrive: usize,
    warm: usize,
    pace: Pace,
    queues: Queues,
}

impl Load {
    fn read() -> Result<Self> {
        let millis = |name: &str, default: usize| Duration::from_millis(setting(name, default) as u64);
        let queues = match std::env::var("TRANSPORT").as_deref() {
            Ok("rabbitmq") => Queues::RabbitMq,
            Ok("local") | Err(_) => Queues::Local,
            Ok(other) => anyhow::bail!("TRANSPORT: {other:?} is neither local nor rabbitmq"),
        };
        let model = (millis("MODEL_LEAST", 200), millis("MODEL_MOST", 800));
        let tool = (millis("TOOL_LEAST", 20), millis("TOOL_MOST", 60));
        ensure!(model.0 <= model.1 && tool.0 <= tool.1, "the least of a time is more than the most");
        Ok(Self {
            sessions: setting("SESSIONS", 200).max(1),
            messages: setting("MESSAGES", 10).max(1),
            arrive: setting("ARRIVE", 2000).max(1),
            warm: setting("WARM", 8),
            pace: Pace { seed: setting("SEED", 1) as u64, model, tool },
            queues,
        })
    }

    /// Sessions that begin in a second.
    fn rate(&self) -> usize {
        (self.sessions * 1000).div_ceil(self.arrive)
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let load = Load::read()?;
    let runs = std::env::var("RUNS").unwrap_or_else(|_| "bare,asya".to_owned());
    println!(
        "{} sessions that begin within {} ms, {} messages in each, two turns of the model and a call of a tool for each message",
        load.sessions, load.arrive, load.messages
    );
    let Pace { model, tool, seed } = load.pace;
    println!(
        "model {:?} to {:?}, tool {:?} to {:?}, seed {seed}, {:?}",
        model.0, model.1, tool.0, tool.1, load.queues
    );
    let (mut alone, mut with) = (None, None);
    for run in runs.split(',') {
        match run {
            "bare" => alone = Some(bare(&load).await?),
            "asya" => with = Some(asya(&load).await?),
            other => anyhow::bail!("RUNS: no run is called {other:?}"),
        }
    }
    let Some(with) = with else { return Ok(()) };
    let p99 = with.quantile(0.99);
    if let Some(alone) = alone {
        println!(
            "\np99 is {:.1} ms more than that of the loop, {:.1} times",
            p99 - alone.quantile(0.99),
            p99 / alone.quantile(0.99)
        );
    }
    println!(
        "goal: p99 of the overhead of a turn below {GOAL} ms: {}",
        if p99 < GOAL { "met" } else { "missed" }
    );
    ensure!(p99 < GOAL, "p99 is {p99:.1} ms");
    Ok(())
}

/// A loop that asks model and tool itself.
async fn bare(load: &Load) -> Result<Times> {
    let script = Script::start(load.pace).await?;
    let client = Client::new(script.port);
    let began = Instant::now();
    let (said, _) = steady(load.sessions, load.rate(), |session| {
        let (client, messages) = (client.clone(), load.messages);
        async move { bare::talk(&client, session, messages).await }
    })
    .await?;
    println!("\nbare: a loop in one process, {:.1} s", began.elapsed().as_secs_f64());
    table(&said.concat(), &script)
}

/// The whole system.
async fn asya(load: &Load) -> Result<Times> {
    let script = Script::start(load.pace).await?;
    let world = World::start(load.queues, load.sessions, script.port).await?;
    let client = &world.client;
    steady(load.warm, load.rate(), |session| {
        let client = client.clone();
        async move { talk(&client, session, 1).await }
    })
    .await?;
    script.forget();
    let began = Instant::now();
    let (talked, late) = steady(load.sessions, load.rate(), |session| {
        let (client, messages) = (client.clone(), load.messages);
        async move { talk(&client, session, messages).await }
    })
    .await?;
    let took = began.elapsed().as_secs_f64();
    let wrong: Vec<_> = talked.iter().flat_map(faults).chain(script.foreign()).collect();
    println!("\nasya: {took:.1} s (latest begin {:.1} ms late)", late.as_secs_f64() * 1e3);
    let said: Vec<_> = talked.iter().flat_map(|talked| talked.said.iter().copied()).collect();
    let times = table(&said, &script)?;
    let each = said.len() as f64 / took;
    println!("  {each:.0} envelopes a second, {:.0} deliveries to actors", each * DELIVERIES as f64);
    println!(
        "  memory at its peak: gateway {:.0} MiB, agent {:.0} MiB",
        world.peak(GATEWAY)?,
        world.peak(AGENT)?
    );
    ensure!(wrong.is_empty(), "{} times a session has what it should not: {:?}", wrong.len(), wrong.first());
    Ok(times)
}

/// Prints where the time of turns went; the overheads.
fn table(said: &[Said], script: &Script) -> Result<Times> {
    let notes = script.notes();
    let calls: usize =
        notes.iter().filter(|((_, step), _)| *step != Step::Tool).map(|(_, noted)| noted.times).sum();
    let pieces: Vec<_> = said.iter().filter_map(|said| Pieces::of(said, &notes)).collect();
    ensure!(
        pieces.len() == said.len(),
        "model or tool were asked {} times for what was asked before",
        calls - 2 * said.len()
    );
    println!(
        "  {} turns, {calls} questions to the model, {} at once at most",
        2 * said.len(),
        script.most_at_once()
    );
    let times = Times::new(pieces.iter().flat_map(Pieces::turns));
    println!("{}", times.line("overhead of a turn"));
    let part = |name: &str, of: fn(&Pieces) -> Duration| {
        println!("{}", Times::new(pieces.iter().map(of)).line(name));
    };
    part("  message -> model asked", |pieces| pieces.begin);
    part("  model's call -> tool asked", |pieces| pieces.call);
    part("  tool's result -> model asked", |pieces| pieces.result);
    part("  model's answer -> entry at its reader", |pieces| pieces.end);
    Ok(times)
}
