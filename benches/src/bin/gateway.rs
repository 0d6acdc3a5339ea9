//! Tool calls from the gateway to one Python actor and back, on the local transport, at a steady rate.
//!
//! Three runs, each in a new folder: `bare` (no gateway: a queue, the sidecar and its Python worker, the next queue),
//! `quiet` (calls that wait for their results), `killed` (calls that are answered when they are accepted, while the gateway
//! is killed with SIGKILL and started again at once; whoever gets no answer calls again with the same id).
//!
//! Settings: `CALLS` (10000), `RATE` (500 a second), `KILLS` (2), `WARM` (500 calls before that are not counted), `RUNS`
//! (`bare,quiet,killed`), `BENCH_DIR` (/tmp; where queue file and database are). Exit 1 when a call is lost or repeats are
//! more than the outbox may make.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use asya_benches::{
    client::Client,
    load::{Times, steady},
    setting,
    world::{ACTOR, OUT, World},
};
use asya_envelope::Naming;
use asya_transport::{Outcome, Outgoing, Transport as _};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

/// Entries that the outbox has in hand at most: `BATCH` in gateway/src/outbox.rs.
const BATCH: usize = 128;
/// How long a call is tried again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause before it is.
const PAUSE: Duration = Duration::from_millis(20);
/// How long everything may take to end after the last call.
const END: Duration = Duration::from_secs(180);
/// What is wanted of `quiet`, in ms.
const GOALS: [(f64, f64); 2] = [(0.5, 5.0), (0.99, 20.0)];

struct Load {
    calls: usize,
    rate: usize,
    kills: usize,
    warm: usize,
}

/// A call that was answered.
struct Called {
    id: String,
    took: Duration,
    tries: usize,
    status: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let load = Load {
        calls: setting("CALLS", 10_000),
        rate: setting("RATE", 500),
        kills: setting("KILLS", 2),
        warm: setting("WARM", 500),
    };
    let runs = std::env::var("RUNS").unwrap_or_else(|_| "bare,quiet,killed".to_owned());
    println!("{} calls, {} a second, one Python actor, local transport, SQLite", load.calls, load.rate);
    for run in runs.split(',') {
        match run {
            "bare" => bare(&load).await?,
            "quiet" => quiet(&load).await?,
            "killed" => killed(&load).await?,
            other => anyhow::bail!("RUNS: no run is called {other:?}"),
        }
    }
    Ok(())
}

/// What the queue, the sidecar and Python take without a gateway.
async fn bare(load: &Load) -> Result<()> {
    let world = World::start(false).await?;
    let queue = Naming::bare().queue(OUT);
    let mut out = world.local.consume(&queue, 256.try_into()?).await?;
    let total = load.warm + load.calls;
    let arrivals = tokio::spawn(async move {
        let mut arrivals = HashMap::new();
        while arrivals.len() < total {
            let delivery = out.next().await?;
            let number = serde_json::from_slice::<Value>(&delivery.body)?["payload"]["number"].as_u64();
            arrivals.insert(number.context("a number")? as usize, Instant::now());
            tokio::spawn(delivery.settle(Outcome::forward(Vec::new())));
        }
        anyhow::Ok(arrivals)
    });
    let publish = |number: usize| {
        let local = Arc::clone(&world.local);
        async move {
            let envelope = json!({"id": format!("bare-{number}"), "route": {"actors": [ACTOR, OUT], "current": 0},
                "payload": {"number": number}});
            let began = Instant::now();
            let body = envelope.to_string().into();
            local.publish(Outgoing { queue: Naming::bare().queue(ACTOR), body }, None).await?;
            Ok((number, began))
        }
    };
    let (began, late) = steady(total, load.rate, publish).await?;
    let arrivals = timeout(END, arrivals).await???;
    let counted = began.into_iter().filter(|(number, _)| *number >= load.warm);
    let times = counted.map(|(number, began)| arrivals[&number].duration_since(began));
    println!("\nbare: without a gateway (latest begin {:.1} ms late)", late.as_secs_f64() * 1e3);
    println!("{}", Times::new(times).line("published -> next queue's consumer"));
    Ok(())
}

/// Calls that wait for their results.
async fn quiet(load: &Load) -> Result<()> {
    let world = World::start(true).await?;
    let (client, warm) = (world.client.clone(), load.warm);
    let (called, late) = steady(load.warm + load.calls, load.rate, |number| {
        let client = client.clone();
        async move { Ok((number, call(&client, number, 60).await?)) }
    })
    .await?;
    let counted = || called.iter().filter(|(number, _)| *number >= warm);
    ensure!(called.iter().all(|(_, called)| called.status == "succeeded"), "a call did not succeed");
    println!("\nquiet: calls that wait (latest begin {:.1} ms late)", late.as_secs_f64() * 1e3);
    let waited = Times::new(counted().map(|(_, called)| called.took));
    println!("{}", waited.line("called -> result in the caller's hand"));
    let records = records(&world.client).await?;
    let kept = counted().filter_map(|(_, called)| Some(records.get(&called.id)?.1));
    println!("{}", Times::new(kept.flatten()).line("stored -> end stored (the gateway's own times)"));
    for (share, goal) in GOALS {
        let (got, name) = (waited.quantile(share), (share * 100.0) as u32);
        println!("  goal: p{name} below {goal} ms: {}", if got < goal { "met" } else { "missed" });
    }
    repeats(&world, load.warm + load.calls, 0)?;
    Ok(())
}

/// Calls that are answered when they are accepted, while the gateway is killed.
async fn killed(load: &Load) -> Result<()> {
    let mut world = World::start(true).await?;
    let client = world.client.clone();
    let whole = Duration::from_secs_f64(load.calls as f64 / load.rate as f64);
    let calls = steady(load.calls, load.rate, |number| {
        let client = client.clone();
        async move { call(&client, number, 0).await }
    });
    let kills = async {
        let mut pauses = Vec::new();
        for _ in 0..load.kills {
            sleep(whole / u32::try_from(load.kills + 1)?).await;
            pauses.push(world.kill_gateway().await?);
        }
        anyhow::Ok(pauses)
    };
    let (calls, pauses) = tokio::join!(calls, kills);
    let ((called, late), pauses) = (calls?, pauses?);
    println!("\nkilled: {} SIGKILLs (latest begin {:.1} ms late)", load.kills, late.as_secs_f64() * 1e3);
    let ready: Vec<_> = pauses.iter().map(|pause| format!("{:.0} ms", pause.as_secs_f64() * 1e3)).collect();
    println!("  ready again after {}", ready.join(", "));
    ended(&client).await?;
    let records = records(&client).await?;
    let state = |called: &Called| records.get(&called.id).map(|(status, _)| status.as_str());
    let count = |wanted: &str| called.iter().filter(|called| state(called) == Some(wanted)).count();
    let (succeeded, failed) = (count("succeeded"), count("failed"));
    let again = called.iter().filter(|called| called.tries > 1).count();
    println!("  accepted {}, of them called again {again}", called.len());
    println!("  succeeded {succeeded}, failed {failed}, lost {}", called.len() - succeeded - failed);
    let answered = Times::new(called.iter().map(|called| called.took));
    println!("{}", answered.line("called -> accepted"));
    let kept = called.iter().filter_map(|called| records.get(&called.id)?.1);
    println!("{}", Times::new(kept).line("stored -> end stored (the gateway's own times)"));
    ensure!(called.len() == load.calls && succeeded + failed == load.calls, "calls are lost");
    repeats(&world, succeeded, load.kills * BATCH)
}

/// Calls the tool, again until it is answered.
async fn call(client: &Client, number: usize, wait: usize) -> Result<Called> {
    let id = format!("call-{number}");
    let body = json!({"id": id, "arguments": {"number": number}});
    let (began, path) = (Instant::now(), format!("/api/v1/tools/note?wait={wait}"));
    for tries in 1.. {
        let answer = client.post(&path, &body).await;
        if let Ok((status, body)) = &answer
            && status.is_success()
        {
            let took = began.elapsed();
            let status = serde_json::from_slice::<Value>(body)?["status"].as_str().map(str::to_owned);
            return Ok(Called { id, took, tries, status: status.unwrap_or_default() });
        }
        ensure!(began.elapsed() < PATIENCE, "call {number} is not answered: {answer:?}");
        sleep(PAUSE).await;
    }
    unreachable!("a call is tried until it is answered or patience ends")
}

/// Waits until no envelope is on its way.
async fn ended(client: &Client) -> Result<()> {
    let limit = Instant::now() + END;
    loop {
        let counts = client.json("/api/v1/counts").await?;
        if counts["pending"] == 0 && counts["running"] == 0 {
            return Ok(());
        }
        ensure!(Instant::now() < limit, "not all have ended after {END:?}: {counts}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// The state of every envelope, and how long it was on its way.
async fn records(client: &Client) -> Result<HashMap<String, (String, Option<Duration>)>> {
    let (mut records, mut after) = (HashMap::new(), String::new());
    loop {
        let page = client.json(&format!("/api/v1/envelopes?limit=500{after}")).await?;
        for envelope in page["envelopes"].as_array().context("a page of envelopes")? {
            let time = |name: &str| envelope[name].as_str().and_then(|text| text.parse::<Timestamp>().ok());
            let took = time("created").zip(time("ended")).map(|(from, to)| to.duration_since(from));
            let text = |name: &str| envelope[name].as_str().unwrap_or_default().to_owned();
            records.insert(text("id"), (text("status"), took.and_then(|took| took.try_into().ok())));
        }
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Ok(records),
        }
    }
}

/// How often the actor saw what it had seen before.
fn repeats(world: &World, succeeded: usize, most: usize) -> Result<()> {
    let seen = world.seen()?;
    let repeats: usize = seen.values().map(|times| times - 1).sum();
    println!("  the actor saw {} calls, {repeats} a second time (at most {most} may be)", seen.len());
    ensure!(seen.len() >= succeeded, "calls succeeded that the actor never saw");
    ensure!(repeats <= most, "{repeats} repeats are more than {most}");
    Ok(())
}
