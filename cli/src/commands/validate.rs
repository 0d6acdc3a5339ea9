//! `asya validate`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::{
    args::Common,
    exit,
    manifest::{self, Finding},
    output::Output,
};

/// Check manifests of AsyncActor, Agent and K8sGPT
#[derive(Debug, Args)]
#[command(after_help = "Every problem is shown as FILE:LINE:COLUMN. Exit code 1 if there is an error.\n\n\
    Examples:\n  asya validate actors.yaml\n  asya validate manifests/ --output json")]
pub(crate) struct Validate {
    /// Manifest files, or directories with them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
}

impl Validate {
    pub(crate) fn run(self, common: &Common) -> u8 {
        let Self { paths } = self;
        let loaded = manifest::load_all(&paths);
        for finding in &loaded.findings {
            common.output.line(finding, || finding.to_string());
        }
        if common.output == Output::Human {
            let count =
                |errors: bool| loaded.findings.iter().filter(|finding| finding.is_error() == errors).count();
            let (errors, warnings) = (count(true), count(false));
            let analyses = match loaded.analyses.len() {
                0 => String::new(),
                1 => ", 1 valid analysis".to_owned(),
                count => format!(", {count} valid analyses"),
            };
            let agents = match loaded.agents.len() {
                0 => String::new(),
                count => format!(", {}", plural(count, "valid agent")),
            };
            eprintln!(
                "{}{agents}{analyses}: {}, {}",
                plural(loaded.actors.len(), "valid actor"),
                plural(errors, "error"),
                plural(warnings, "warning")
            );
        } else {
            let actors: Vec<_> = loaded.actors.iter().map(manifest::Manifest::name).collect();
            let valid = !loaded.findings.iter().any(Finding::is_error);
            let mut line = json!({"valid": valid, "actors": actors});
            if !loaded.agents.is_empty() {
                let agents: Vec<_> = loaded.agents.iter().map(manifest::AgentManifest::name).collect();
                line["agents"] = json!(agents);
            }
            if !loaded.analyses.is_empty() {
                line["analyses"] = json!(loaded.analyses);
            }
            common.output.line(&line, String::new);
        }
        if loaded.has_errors() { exit::FAILED } else { exit::OK }
    }
}

fn plural(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}
