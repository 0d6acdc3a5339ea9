//! `asya-mcp-forward`.

use std::{
    io::{self, BufRead as _, BufReader, Seek as _, SeekFrom},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

use anyhow::Context as _;
use clap::Parser;

use super::common;
use crate::{
    cluster::ClusterArgs,
    commands::forward::{Wanted, forward},
    exit,
    output::{Output, note, print, safe},
};

/// Lead an address of this machine to the gateway of a cluster, as the client of the Go system does: `asya forward` does the same
#[derive(Debug, Parser)]
#[command(
    name = "asya-mcp-forward",
    version,
    after_help = "Prints the URL. Without --keep-alive it goes on in the background.\n\n\
    Examples:\n  export ASYA_CLI_MCP_URL=$(asya-mcp-forward -n asya)\n  asya-mcp-forward -n asya -l 9000 --keep-alive"
)]
pub(super) struct AsyaMcpForward {
    /// The namespace
    #[arg(long, short, default_value = "asya-e2e")]
    namespace: String,
    /// The gateway's deployment
    #[arg(long, short, default_value = "asya-gateway")]
    deployment: String,
    /// The pod's port
    #[arg(long, short, default_value_t = 8080)]
    port: u16,
    /// The port of this machine; 0: any that is free
    #[arg(long, short, default_value_t = 8089)]
    local_port: u16,
    /// Do not ask first whether the gateway answers
    #[arg(long)]
    no_check_health: bool,
    /// Stay in the foreground until Ctrl-C
    #[arg(long)]
    keep_alive: bool,
}

impl AsyaMcpForward {
    pub(super) async fn run(self) -> anyhow::Result<u8> {
        let Self { namespace, deployment, port, local_port, no_check_health, keep_alive } = self;
        if !keep_alive {
            return background();
        }
        let wanted = Wanted {
            target: Some(format!("deployment/{deployment}")),
            port: Some(port),
            listen: local_port.to_string(),
            check: !no_check_health,
            cluster: ClusterArgs { namespace: Some(namespace), ..ClusterArgs::default() },
        };
        forward(wanted, &common()).await
    }
}

/// Starts this command once more, staying there, and ends when that one has said its URL.
fn background() -> anyhow::Result<u8> {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "asya-mcp-forward".into());
    let program = std::env::current_exe().context("finding this program")?;
    // What it says: told if it ends, and out of the way of whoever reads this command's own errors to their end if not.
    let mut said = tempfile::tempfile().context("making a file for what it says")?;
    let mut child = Command::new(program)
        .arg0(name)
        .args(arguments)
        .arg("--keep-alive")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(said.try_clone()?)
        // A terminal's Ctrl-C is for what stands in its foreground.
        .process_group(0)
        .spawn()
        .context("starting it in the background")?;
    let mut url = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut url)?;
    }
    if url.trim().is_empty() {
        let ended = child.wait()?;
        said.seek(SeekFrom::Start(0))?;
        io::copy(&mut said, &mut io::stderr())?;
        return Ok(ended.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(exit::FAILED));
    }
    print(&safe(url.trim()));
    note(Output::Human, &format!("goes on in the background: `kill {}` ends it", child.id()));
    Ok(exit::OK)
}
