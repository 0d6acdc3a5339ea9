//! Writes the tables of docs/operate.md that follow from the code: between `<!-- NAME -->` and `<!-- /NAME -->`.
//! Fails while a reason that the operator gives is not on the page.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use asya_operator::status::{Word, conditions};
use asya_resources::k8sgpt::status as analysis;
use asya_telemetry::operator as metrics;

/// From the root of the workspace.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operate.md");

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
/// There are more than forty; fewer would mean that the code is written in another way than is looked for.
const REASONS_AT_LEAST: usize = 30;
/// What stands before a reason in the code, without white space.
const BEFORE_REASON: [&str; 15] = [
    "Verdict::Good(\"",
    "Verdict::Bad(\"",
    "Verdict::Unknown(\"",
    "Waits(\"",
    "push((\"",
    "refuse(\"",
    "Err((\"",
    "Some((\"",
    "|sentence|(\"",
    "Refusal::Foreign(_)=>\"",
    "(READY,No,\"",
    "(CLUSTER,No,\"",
    "(CLUSTER,Unknown,\"",
    "(MODEL,Unknown,\"",
    "(SINKS,No,\"",
];

/// Where the page goes on after the advice about a word.
fn link(word: Word) -> &'static str {
    match word {
        Word::Terminating => ": [deleting](#deleting)",
        Word::TransportError => ": [the broker](#transportready)",
        Word::WorkloadError => ": [the workload](#workloadready)",
        Word::ScalingError => ": [scaling](#scalingready)",
        _ => "",
    }
}

fn words() -> String {
    let mut table = String::from("| word | meaning | what to do |\n|---|---|---|\n");
    for (word, meaning) in Word::ALL {
        let advice = format!("{}{}", word.advice(), link(*word));
        row(&mut table, &[&format!("`{}`", word.as_str()), meaning, &advice]);
    }
    table
}

fn types() -> String {
    let mut table = String::from("| condition | true when | bad when |\n|---|---|---|\n");
    for (name, meaning) in conditions::ALL {
        row(&mut table, &[&format!("`{name}`"), meaning, &format!("`{}`", conditions::bad_when(name))]);
    }
    table
}

fn analyses() -> String {
    let mut table = String::from("| condition | true when |\n|---|---|\n");
    for (name, meaning) in analysis::CONDITIONS {
        row(&mut table, &[&format!("`{name}`"), meaning]);
    }
    table
}

/// What a metric is good for. `None`: nobody has said it yet.
fn reading(metric: &str) -> Option<&'static str> {
    Some(match metric {
        "reconcile_total" => {
            "the rate follows changes; a high rate of `waiting` without any is worth a report"
        }
        "reconcile_duration_seconds" => "long looks are slow brokers or a slow API server",
        "reconcile_errors_total" => "the reason is that of the condition: find it below",
        "api_writes_total" => "flat while nothing changes; else somebody reverts what is applied",
        "queue_calls_total" => "`error`: the broker, its credentials, or the network policy",
        "actors" => "count the words that are trouble",
        "agents" => "`False`: [the agent's conditions](agents/resource.md#conditions) say why",
        "leader" => "the sum over replicas is 1",
        "cache_objects" => "what the operator's memory follows",
        "work_waiting" => "stays high: raise `maxConcurrentReconciles`, or look at the brokers' speed",
        "watches_failing" => "0; else a right is missing and the log names it",
        "scaler_activations_total" => "grows when actors wake",
        "scaler_looks_total" => "grows while actors sleep; on SQS each look is billed",
        "scaler_streams" => {
            "one for each pushed actor and replica; 0 with pushed actors: KEDA cannot reach the scaler"
        }
        _ => return None,
    })
}

fn counted() -> Result<String> {
    let mut table = String::from("| metric | meaning | how to read it |\n|---|---|---|\n");
    for metric in metrics::ALL {
        let name = format!("`{}_{}`", metrics::NAMESPACE, metric.name);
        let reading = reading(metric.name).with_context(|| format!("say how {} is read", metric.name))?;
        row(&mut table, &[&name, metric.help, reading]);
    }
    Ok(table)
}

fn row(table: &mut String, cells: &[&str]) {
    writeln!(table, "| {} |", cells.join(" | ")).expect("a string takes everything");
}

/// Puts `table` between the marks of `name`.
fn put(page: &str, name: &str, table: &str) -> Result<String> {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&open).with_context(|| format!("{PAGE} has no {open}"))?;
    let (_, after) = rest.split_once(&close).with_context(|| format!("{PAGE} has no {close}"))?;
    Ok(format!("{before}{open}{table}{close}{after}"))
}

/// The reasons in the sources below `folder`, tests left out.
fn reasons(folder: &Path, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            reasons(&path, found)?;
            continue;
        }
        if path.ends_with("tests.rs") {
            continue;
        }
        let source = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let dense: String = code.split_whitespace().collect();
        for before in BEFORE_REASON {
            let after = dense.split(before).skip(1).filter_map(|rest| rest.split('"').next());
            found.extend(after.filter(|text| is_reason(text)).map(str::to_owned));
        }
    }
    Ok(())
}

/// Two words or more in upper camel case. One word could be anything, a condition's `False` among them, and is not checked.
fn is_reason(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.chars().all(|letter| letter.is_ascii_alphabetic())
        && text.chars().filter(char::is_ascii_uppercase).count() > 1
}

fn main() -> Result<()> {
    let mut page = fs::read_to_string(PAGE).with_context(|| format!("reading {PAGE}"))?;
    let tables =
        [("words", words()), ("conditions", types()), ("metrics", counted()?), ("analyses", analyses())];
    for (name, table) in tables {
        ensure!(table.lines().count() > 2, "table {name} is empty");
        page = put(&page, name, &table)?;
    }
    let mut found = Vec::new();
    reasons(Path::new(SOURCES), &mut found)?;
    ensure!(found.len() > REASONS_AT_LEAST, "only {} reasons were found in the code", found.len());
    found.retain(|reason| !page.contains(&format!("`{reason}`")));
    ensure!(found.is_empty(), "docs/operate.md does not say what to do about {}", found.join(", "));
    fs::write(PAGE, page).with_context(|| format!("writing {PAGE}"))
}
