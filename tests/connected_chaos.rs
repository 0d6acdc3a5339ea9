//! Nothing is lost while everything is killed.
//!
//! `ASYA_CHAOS_ENVELOPES` (4000; the full run is 100000) envelopes go through three actors on a real RabbitMQ, two
//! replicas each, while sidecars, runtimes and workers are killed with SIGKILL at random and the broker is restarted once.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use asya_tests::{
    broker::{self, Arrivals},
    process::{Replica, root},
    server,
};
use rand::RngExt;

/// Messages that one sidecar holds at most: capacity and look-ahead of a single fast worker.
const IN_HAND: usize = 64 + 17;
/// With no new arrival for this long, what is missing is lost.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Default)]
struct Kills {
    sidecars: usize,
    runtimes: usize,
    workers: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_id_reaches_an_end_actor_while_processes_and_broker_are_killed() -> Result<()> {
    let Some(url) = server("ASYA_TEST_RABBITMQ_URL") else { return Ok(()) };
    let total = std::env::var("ASYA_CHAOS_ENVELOPES").map_or(4_000, |n| n.parse().expect("a number"));
    let name = |role: &str| format!("chaos{}-{role}", std::process::id());
    let actors = [name("a"), name("b"), name("c")];
    let (happy, error) = (name("happy"), name("error"));

    let (_connection, channel) = broker::connect(&url).await?;
    for actor in actors.iter().chain([&happy, &error]) {
        broker::declare(&channel, actor).await?;
    }
    let bodies = (0..total).map(|n| {
        let route = serde_json::json!({"actors": actors, "current": 0});
        serde_json::json!({"id": format!("chaos-{n}"), "route": route, "payload": {"n": n}}).to_string()
    });
    broker::publish(&channel, &actors[0], bodies).await?;

    let environment = [
        ("ASYA_TRANSPORT", "rabbitmq"),
        ("ASYA_RABBITMQ_URL", url.as_str()),
        ("ASYA_RABBITMQ_PREFETCH", "64"),
        ("ASYA_ACTOR_HAPPY_END", happy.as_str()),
        ("ASYA_ACTOR_ERROR_END", error.as_str()),
        // A kill may hit the same message more than once: being killed is no fault of the message here.
        ("ASYA_MAX_DELIVERIES", "1000"),
    ];
    let mut replicas = Vec::new();
    for actor in actors.iter().flat_map(|actor| [actor, actor]) {
        replicas.push(Replica::start(actor, &environment)?);
    }

    let (succeeded, failed) = (Arrivals::default(), Arrivals::default());
    let collectors = [
        tokio::spawn(broker::collect(url.clone(), happy, succeeded.clone())),
        tokio::spawn(broker::collect(url.clone(), error, failed.clone())),
    ];
    let kills = Arc::new(Mutex::new(Kills::default()));
    let killer =
        tokio::spawn(kill_at_random(replicas, kills.clone(), arrived_share(&succeeded, &failed, total)));
    wait_for_all(total, &succeeded, &failed).await?;
    killer.abort();
    collectors.iter().for_each(tokio::task::JoinHandle::abort);
    report(total, &succeeded, &failed, &kills)
}

/// Kills a random process every 0.2 to 1 s until nine tenths have arrived, and restarts the broker at four tenths.
async fn kill_at_random(
    mut replicas: Vec<Replica>,
    kills: Arc<Mutex<Kills>>,
    share: impl Fn() -> f64,
) -> Result<()> {
    let mut broker_is_due = true;
    loop {
        tokio::time::sleep(Duration::from_millis(draw(200..1000))).await;
        let share = share();
        if broker_is_due && share > 0.4 {
            broker_is_due = false;
            restart_broker().await?;
        }
        if share > 0.9 {
            continue;
        }
        let (victim, kind) = (draw(0..replicas.len() as u64) as usize, draw(0..3));
        match kind {
            0 => replicas[victim].kill_sidecar().await?,
            1 => replicas[victim].kill_runtime().await?,
            _ => drop(replicas[victim].kill_worker()),
        }
        let mut kills = kills.lock().expect("nobody panics with it");
        match kind {
            0 => kills.sidecars += 1,
            1 => kills.runtimes += 1,
            _ => kills.workers += 1,
        }
    }
}

/// A random number. The generator is not kept: it belongs to its thread, and tasks move.
fn draw(range: Range<u64>) -> u64 {
    rand::rng().random_range(range)
}

/// Stops the broker in order and starts it again. (Killed instead, RabbitMQ 3.10 forgets acknowledgements that it had not
/// yet written, thousands under load, and delivers those messages again; the transport's own tests do that.)
async fn restart_broker() -> Result<()> {
    let script = root().join("tests/servers/rabbitmq.sh");
    let done = tokio::process::Command::new(script).arg("restart").output().await?;
    ensure!(done.status.success(), "rabbitmq.sh restart: {}", String::from_utf8_lossy(&done.stderr));
    eprintln!("broker restarted");
    Ok(())
}

fn arrived_share(succeeded: &Arrivals, failed: &Arrivals, total: usize) -> impl Fn() -> f64 + use<> {
    let (succeeded, failed) = (succeeded.clone(), failed.clone());
    move || (count(&succeeded) + count(&failed)) as f64 / total as f64
}

fn count(arrivals: &Arrivals) -> usize {
    arrivals.lock().expect("no collector panics").len()
}

async fn wait_for_all(total: usize, succeeded: &Arrivals, failed: &Arrivals) -> Result<()> {
    let (mut seen, mut since) = (0, Instant::now());
    loop {
        let ids: std::collections::HashSet<String> = [succeeded, failed]
            .iter()
            .flat_map(|arrivals| {
                arrivals.lock().expect("no collector panics").keys().cloned().collect::<Vec<_>>()
            })
            .collect();
        if ids.len() >= total {
            return Ok(());
        }
        if ids.len() > seen {
            (seen, since) = (ids.len(), Instant::now());
        }
        ensure!(
            since.elapsed() < PATIENCE,
            "{} of {total} ids have arrived; none for {PATIENCE:?}",
            ids.len()
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

fn report(total: usize, succeeded: &Arrivals, failed: &Arrivals, kills: &Mutex<Kills>) -> Result<()> {
    let duplicates = |arrivals: &HashMap<String, u32>| -> usize {
        arrivals.values().map(|n| usize::try_from(*n - 1).expect("small")).sum()
    };
    let (succeeded, failed) = (succeeded.lock().expect("done"), failed.lock().expect("done"));
    let kills = kills.lock().expect("done");
    let both = succeeded.keys().filter(|id| failed.contains_key(*id)).count();
    let duplicates = duplicates(&succeeded) + duplicates(&failed) + both;
    // A kill can redeliver what one sidecar had in hand; the broker's restart what all six had, consumed and published.
    // Runtimes and workers cost nothing: their sidecar holds the deliveries and runs them again.
    let bound = kills.sidecars * IN_HAND + 6 * 2 * IN_HAND;
    println!(
        "{total} envelopes: {} succeeded, {} failed, {duplicates} duplicates (bound {bound}); killed {} sidecars, {} \
         runtimes, {} workers; the broker restarted once",
        succeeded.len(),
        failed.len(),
        kills.sidecars,
        kills.runtimes,
        kills.workers
    );
    ensure!(duplicates <= bound, "{duplicates} duplicates are more than was in flight ({bound})");
    Ok(())
}
