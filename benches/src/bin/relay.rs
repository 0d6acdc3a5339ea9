//! From queue to queue: the sidecar beside a bare relay with the same credit, message size and queues.
//!
//! Variants, in turn, several rounds: `bare` (one lapin client: consume, publish with confirm, ack), `rust` (asya-sidecar
//! with a Rust echo behind the socket), `python` (with one Python worker), `one-shot` (the same sidecar with prefetch 1 and
//! a runtime that speaks the one-shot protocol only). Settings: `MESSAGES` (20000), `ROUNDS` (5), `CREDIT` (256), `SIZE` (256 bytes).

use std::collections::BTreeMap;

use anyhow::Result;
use asya_benches::{broker::Broker, median, process, setting};

const VARIANTS: [&str; 4] = ["bare", "rust", "python", "one-shot"];

#[tokio::main]
async fn main() -> Result<()> {
    let (messages, rounds) = (setting("MESSAGES", 20_000), setting("ROUNDS", 5));
    let (credit, size) = (setting("CREDIT", 256), setting("SIZE", 256));
    let broker = Broker::connect().await?;
    for actor in ["bench-in", "bench-out", "error-end"] {
        broker.queue(actor).await?;
    }
    let mut rates: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for round in 1..=rounds {
        for variant in VARIANTS {
            // One-shot with prefetch 1 is many times slower: fewer messages give the same length of a run.
            let count = if variant == "one-shot" { messages / 8 } else { messages };
            broker.purge("bench-in").await?;
            broker.purge("bench-out").await?;
            broker.publish("bench-in", (0..count).map(|n| envelope(n, size))).await?;
            let rate = run(&broker, variant, count, u16::try_from(credit)?).await?;
            println!("round {round} {variant:9} {rate:>9.0}/s");
            rates.entry(variant).or_default().push(rate);
        }
    }
    println!("\n{messages} messages of {size} bytes, credit {credit}, {rounds} rounds; medians");
    for variant in VARIANTS {
        println!("{variant:9} {:>9.0}/s", median(rates[variant].clone()));
    }
    for (over, under, goal) in [("rust", "bare", 0.8), ("python", "bare", 0.6), ("python", "one-shot", 5.0)] {
        let ratios = rates[over].iter().zip(&rates[under]).map(|(a, b)| a / b).collect();
        println!("{over} / {under}: {:.2} (goal: at least {goal})", median(ratios));
    }
    Ok(())
}

async fn run(broker: &Broker, variant: &str, count: usize, credit: u16) -> Result<f64> {
    let arrival = broker.rate_of_arrival("bench-out", count);
    if variant == "bare" {
        return tokio::select! {
            rate = arrival => rate,
            ended = broker.relay("bench-in", "bench-out", credit) => ended.map(|()| 0.0),
        };
    }
    let directory = tempfile::Builder::new().prefix("asya-bench").tempdir_in("/tmp")?;
    let prefetch = credit.to_string();
    let _runtime = match variant {
        "rust" => process::own("echo", &[directory.path().to_str().expect("a temporary path is UTF-8")])?,
        "one-shot" => process::one_shot(directory.path())?,
        _ => process::python(directory.path(), "handlers.echo", &[])?,
    };
    let prefetch = if variant == "one-shot" { "1" } else { prefetch.as_str() };
    let _sidecar = process::sidecar("bench-in", directory.path(), &[("ASYA_RABBITMQ_PREFETCH", prefetch)])?;
    arrival.await
}

/// An envelope of about `size` bytes, from `bench-in` to `bench-out`.
fn envelope(n: usize, size: usize) -> Vec<u8> {
    let head = format!(
        r#"{{"id":"bench-{n:08}","route":{{"actors":["bench-in","bench-out"],"current":0}},"payload":""#
    );
    let fill = "x".repeat(size.saturating_sub(head.len() + 2));
    format!("{head}{fill}\"}}").into_bytes()
}
