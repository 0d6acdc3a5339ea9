//! `asya up`.

use std::path::PathBuf;

use clap::Args;

use crate::{args::Common, up};

/// Run the actors of manifests on this machine
///
/// Reads AsyncActor manifests, hosts an engine for each replica in this process, starts the Python runtimes, scales
/// them by the depth of their queues, and drains on Ctrl-C (a second one stops at once).
#[derive(Debug, Args)]
#[command(
    after_help = "Handlers are found in the manifest's directory; values of secrets come from a .env file beside it.\n\
    The interpreter is spec.workload.pythonExecutable, else that of VIRTUAL_ENV, else python3.\n\n\
    Examples:\n  asya up greet\n  asya up manifests/ other.yaml --reload\n  asya up greet --until-idle\n  \
    asya up greet --gateway 127.0.0.1:9000 --tools tools.yaml\n  \
    asya up greet --transport rabbitmq://guest:guest@localhost"
)]
pub(crate) struct Up {
    /// Manifest files, or directories with them
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// Start actors anew when their files change
    #[arg(long)]
    pub(crate) reload: bool,
    /// End when every queue is empty and nothing is in hand
    #[arg(long, conflicts_with = "reload")]
    pub(crate) until_idle: bool,
    /// Where the gateway listens, or off [default: 127.0.0.1:8089; off with --until-idle]
    #[arg(long, env = "ASYA_UP_GATEWAY", value_name = "ADDRESS")]
    pub(crate) gateway: Option<String>,
    /// Tools that can be called there: a file or a directory [default: tools.yaml beside the
    /// manifests, or here]
    #[arg(long, value_name = "PATH")]
    pub(crate) tools: Option<PathBuf>,
    /// Keep payloads that are too large for the queue in a directory beside the queue file, from now on;
    /// ASYA_PAYLOAD_STORE names another store
    #[arg(long, env = "ASYA_UP_PAYLOADS", value_parser = clap::builder::BoolishValueParser::new())]
    pub(crate) payloads: bool,
    /// Most replicas of one actor, whatever its maxReplicas [default: the number of CPUs]
    #[arg(long, value_name = "N")]
    pub(crate) max_replicas: Option<u32>,
    /// Plain lines instead of the live view
    #[arg(long)]
    pub(crate) plain: bool,
    /// Also log what engines do, not only what goes wrong
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

impl Up {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        up::run(self, common).await
    }
}
