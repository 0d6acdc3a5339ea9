//! `asya migrate`.

mod collect;

use std::path::PathBuf;

use asya_resources::check::path_text;
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{
    args::Common,
    cluster::ClusterArgs,
    exit,
    migrate::{Advice, Verdict, judge, verdict},
    output::{Output, colours, print},
};
use collect::Found;

/// Move from the Go system Asya
#[derive(Debug, Subcommand)]
pub(crate) enum Migrate {
    /// Say what of your manifests, values files or cluster works as it is, and what needs which change
    Check(Check),
}

/// Say what of your manifests, values files or cluster works as it is, and what needs which change
#[derive(Debug, Args)]
#[command(
    after_help = "Without -f the cluster is asked: its AsyncActors, what stands beside them, the operator's configuration, and \
    with --transport the queues. Nothing is changed.\n\nExamples:\n  asya migrate check -f manifests/ -f values.yaml\n  \
    helm get values asya-operator -n asya-system -o yaml | asya migrate check -f -\n  \
    asya migrate check --context prod\n  asya migrate check --all=false -n asya --transport rabbitmq://guest:guest@localhost\n\n\
    Exit codes: 0 nothing needs a change, 1 something does."
)]
pub(crate) struct Check {
    /// Manifests, values files, or directories with them; - for standard input
    #[arg(long = "filename", short, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Show only what needs a change or has a note
    #[arg(long, short)]
    quiet: bool,
    /// Actors of all namespaces, without -n
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    all: bool,
    #[command(flatten)]
    cluster: ClusterArgs,
}

/// One object, as it is printed.
#[derive(Debug, Serialize)]
struct Judged<'a> {
    object: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    place: String,
    verdict: Verdict,
    advice: Vec<Said<'a>>,
}

#[derive(Debug, Serialize)]
struct Said<'a> {
    level: Verdict,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    edit: Option<&'a str>,
}

impl Migrate {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        match self {
            Self::Check(check) => check.run(common).await,
        }
    }
}

impl Check {
    async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self { files, quiet, all, cluster } = self;
        let collected = if files.is_empty() {
            collect::cluster(&cluster, all && cluster.namespace.is_none(), &common).await?
        } else {
            collect::files(&files)?
        };
        let objects: Vec<_> = collected.found.iter().map(|found| found.object.clone()).collect();
        let template = collected.template.as_deref();
        let judged = judge(&objects, collected.running.as_ref(), template);
        let (mut counts, mut passed) = ([0_usize; 3], 0);
        for (found, advice) in collected.found.iter().zip(judged) {
            let Some(mut advice) = advice else {
                passed += 1;
                continue;
            };
            advice.extend(found.more.iter().cloned());
            let verdict = verdict(&advice);
            counts[verdict as usize] += 1;
            if !(quiet && verdict == Verdict::Unchanged) {
                show(found, &advice, verdict, common.output);
            }
        }
        let [unchanged, noted, changed] = counts;
        if unchanged + noted + changed == 0 {
            anyhow::bail!("found no AsyncActor, nothing beside one, and no values of our charts");
        }
        if common.output == Output::Human {
            let rest =
                if passed == 0 { String::new() } else { format!("; {passed} others have no part in it") };
            eprintln!("{unchanged} unchanged, {noted} with a note, {changed} to change{rest}");
        }
        Ok(if changed == 0 { exit::OK } else { exit::FAILED })
    }
}

fn show(found: &Found, advice: &[Advice], verdict: Verdict, output: Output) {
    let said = |advice: &Advice| (path_text(&advice.path).to_string(), found.line(&advice.path));
    let lines: Vec<_> = advice.iter().map(said).collect();
    if output == Output::Json {
        let advice = advice.iter().zip(&lines).map(|(advice, (path, line))| Said {
            level: advice.level,
            path: path.clone(),
            line: *line,
            message: &advice.message,
            edit: advice.edit.as_deref(),
        });
        let judged =
            Judged { object: &found.object.title, place: found.place(), verdict, advice: advice.collect() };
        return output.line(&judged, String::new);
    }
    let (word, colour) = match verdict {
        Verdict::Unchanged => ("accepted unchanged", "32"),
        Verdict::Note => ("accepted, with a note", "33"),
        Verdict::Change => ("needs a change", "31"),
    };
    let word = if colours() { format!("\u{1b}[{colour}m{word}\u{1b}[0m") } else { word.to_owned() };
    let place = Some(found.place()).filter(|place| !place.is_empty()).map(|place| format!("{place}: "));
    print(&format!("{}{}: {word}", place.unwrap_or_default(), found.object.title));
    for (advice, (path, line)) in advice.iter().zip(&lines) {
        let mark = if advice.level == Verdict::Change { "change" } else { "note" };
        let line = line.map_or_else(String::new, |line| format!(" (line {line})"));
        let path = if path.is_empty() { String::new() } else { format!("{path}{line}: ") };
        print(&format!("  {mark}: {path}{}", advice.message));
        if let Some(edit) = &advice.edit {
            print(&format!("    edit: {edit}"));
        }
    }
}
