//! `asya playground`.

mod plan;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::json;
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::{
    args::Common,
    exit::{self, misconfigured},
    output::{Output, note, print},
};
use plan::{ACTOR, IMAGES, Images, NAME, NAMESPACE, Step, Tool, Wanted};

/// Programs that every playground needs, and where they are from.
const NEEDED: [(&str, &str); 3] = [
    ("docker", "https://docs.docker.com/get-docker"),
    ("helm", "https://helm.sh/docs/intro/install"),
    ("kubectl", "https://kubernetes.io/docs/tasks/tools"),
];
/// Where what makes clusters is from.
const CLUSTERS: &str = "https://kind.sigs.k8s.io or https://k3d.io";

/// A cluster on this machine with broker, KEDA, operator and an actor, for trying it out
///
/// Runs ordinary commands of kind or k3d, docker, helm and kubectl, each shown before it runs. What is there already is
/// kept, so it may be run again.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Charts come from the directory charts/ here or above, or from --charts: a directory, or the oci:// address in \
    front of the charts' names.\nImages come from --registry, else from docker on this machine: asya-operator and asya-sidecar \
    with the tag --tag; in a checkout missing ones are built by `make images`.\n\n\
    Examples:\n  asya playground --dry-run\n  asya playground\n  \
    asya playground --charts oci://registry.example.com/charts --registry registry.example.com/asya\n  asya playground delete"
)]
pub(crate) struct Playground {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Remove the cluster, with all that is in it
    Delete {
        /// Print the command and run nothing
        #[arg(long)]
        dry_run: bool,
        /// What made it [default: the one of kind and k3d that is installed]
        #[arg(long, value_enum)]
        tool: Option<Tool>,
    },
}

#[derive(Debug, Args)]
struct Options {
    /// Print the commands, and what is missing for them; run nothing
    #[arg(long)]
    dry_run: bool,
    /// What makes the cluster [default: the one of kind and k3d that is installed]
    #[arg(long, value_enum)]
    tool: Option<Tool>,
    /// Directory of the charts, or an oci:// address [default: charts/ here or above]
    #[arg(long, value_name = "PLACE")]
    charts: Option<String>,
    /// Registry with our images, which the cluster pulls from [default: docker's own images]
    #[arg(long, value_name = "PREFIX")]
    registry: Option<String>,
    /// Tag of our images
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
}

impl Playground {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let output = common.output;
        if let Some(What::Delete { dry_run, tool }) = self.what {
            let chosen = chosen(tool).unwrap_or(Tool::Kind);
            let step = plan::delete(chosen);
            let missing =
                if found(chosen.program()) { Vec::new() } else { vec![(chosen.program(), CLUSTERS)] };
            return carry_out(&[step], &missing, dry_run, output).await;
        }
        let Options { dry_run, tool, charts, registry, tag } = self.options;
        let chosen = chosen(tool);
        let mut missing: Vec<_> = NEEDED.into_iter().filter(|(program, _)| !found(program)).collect();
        if !chosen.is_some_and(|tool| found(tool.program())) {
            missing.insert(0, (chosen.map_or("kind or k3d", Tool::program), CLUSTERS));
        }
        let tool = chosen.unwrap_or(Tool::Kind);
        let here = std::env::current_dir().context("finding the current directory")?;
        let charts = match charts {
            Some(place) if place.starts_with("oci://") || Path::new(&place).join("asya/Chart.yaml").is_file() => place,
            Some(place) => {
                return Err(misconfigured(format!("--charts {place}: there is no {place}/asya/Chart.yaml")));
            }
            None => above(&here).map(|directory| directory.display().to_string()).ok_or_else(|| {
                misconfigured(
                    "no charts/asya here or above: run it in a checkout, or name the charts with --charts (a directory, or \
                     oci://…)",
                )
            })?,
        };
        let exists = found(tool.program()) && exists(tool).await;
        let images = match registry {
            Some(registry) => Images::Registry(registry),
            None => Images::Here { build: build(&charts, &tag).await? },
        };
        let wanted = Wanted { tool, exists, charts, images, tag };
        let code = carry_out(&plan::create(&wanted), &missing, dry_run, output).await?;
        if output == Output::Human && !dry_run && code == exit::OK {
            print(&format!("\nNext:\n{}", next(tool)));
        }
        Ok(code)
    }
}

/// Shows the commands, and runs them unless that is not wanted or something is missing.
async fn carry_out(
    steps: &[Step],
    missing: &[(&str, &str)],
    dry_run: bool,
    output: Output,
) -> anyhow::Result<u8> {
    if dry_run {
        for step in steps {
            let line = step.shell();
            output.line(&json!({"why": step.why, "command": line}), || format!("# {}\n{line}", step.why));
        }
        for (program, place) in missing {
            note(output, &format!("{program} is not installed: {place}"));
        }
        return Ok(exit::OK);
    }
    if !missing.is_empty() {
        let words: Vec<_> = missing.iter().map(|(program, place)| format!("{program}: {place}")).collect();
        return Err(misconfigured(format!(
            "not installed; nothing was done (--dry-run shows what would be)\n{}",
            words.join("\n")
        )));
    }
    for step in steps {
        let first = step.shell();
        let first = first.lines().next().unwrap_or_default().trim_end_matches(" <<'EOF'");
        output.line(&json!({"why": step.why, "command": first}), || format!("# {}\n{first}", step.why));
        run(step).await?;
    }
    Ok(exit::OK)
}

async fn run(step: &Step) -> anyhow::Result<()> {
    let mut command = Command::new(step.program);
    command.args(&step.arguments).kill_on_drop(true);
    command.stdin(if step.input.is_some() { Stdio::piped() } else { Stdio::null() });
    if let Some(directory) = &step.directory {
        command.current_dir(directory);
    }
    let mut child = command.spawn().with_context(|| format!("starting {}", step.program))?;
    if let (Some(text), Some(mut input)) = (&step.input, child.stdin.take()) {
        // A program that ends before it read everything says why itself.
        let _ = input.write_all(text.as_bytes()).await;
    }
    let status = child.wait().await?;
    anyhow::ensure!(
        status.success(),
        "{} ended with {status}; mend it and run the same command again, or remove everything: asya playground delete",
        step.program
    );
    Ok(())
}

/// The tool that was asked for, else one that is installed.
fn chosen(asked: Option<Tool>) -> Option<Tool> {
    asked.or_else(|| [Tool::Kind, Tool::K3d].into_iter().find(|tool| found(tool.program())))
}

/// Whether a program is in `PATH`.
fn found(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// The nearest directory `charts` with ours in it.
fn above(here: &Path) -> Option<PathBuf> {
    here.ancestors()
        .map(|directory| directory.join("charts"))
        .find(|charts| charts.join("asya/Chart.yaml").is_file())
}

/// Whether the cluster is there already.
async fn exists(tool: Tool) -> bool {
    let arguments: &[&str] = match tool {
        Tool::Kind => &["get", "clusters"],
        Tool::K3d => &["cluster", "list", "--no-headers"],
    };
    let output = Command::new(tool.program()).args(arguments).output().await;
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().any(|line| line.split_whitespace().next() == Some(NAME))
}

/// The checkout that builds our images, if docker lacks one.
///
/// # Errors
/// When they are missing and nothing here can build them.
async fn build(charts: &str, tag: &str) -> anyhow::Result<Option<PathBuf>> {
    let mut lacking = Vec::new();
    for image in IMAGES {
        let image = format!("{image}:{tag}");
        let asked = Command::new("docker").args(["image", "inspect", &image]).output().await;
        if !asked.is_ok_and(|output| output.status.success()) {
            lacking.push(image);
        }
    }
    if lacking.is_empty() {
        return Ok(None);
    }
    let checkout = Path::new(charts).parent().filter(|checkout| checkout.join("images.sh").is_file());
    match checkout {
        Some(checkout) => {
            Ok(Some(if checkout.as_os_str().is_empty() { PathBuf::from(".") } else { checkout.to_owned() }))
        }
        None => Err(misconfigured(format!(
            "docker has no {}, and there is no checkout beside {charts} that builds it: name a registry with --registry, or \
             another --tag",
            lacking.join(", ")
        ))),
    }
}

/// What to try in the playground.
fn next(tool: Tool) -> String {
    let context = tool.context();
    format!(
        "  kubectl --context {context} -n {NAMESPACE} port-forward service/asya-trial-broker 5672 &\n  \
         PASSWORD=$(kubectl --context {context} -n {NAMESPACE} get secret asya-trial-broker -o jsonpath='{{.data.password}}' | \
         base64 -d)\n  \
         export ASYA_QUEUE_TEMPLATE='asya-{{namespace}}-{{actor}}' ASYA_NAMESPACE={NAMESPACE}\n  \
         asya send {ACTOR} '{{\"text\": \"hello\"}}' --transport rabbitmq://asya:$PASSWORD@localhost\n  \
         kubectl --context {context} -n {NAMESPACE} get asyncactors,pods -w\n  asya playground delete"
    )
}
