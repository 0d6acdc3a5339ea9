//! `asya mcp`.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clap::Args;

use crate::{
    bridge::{self, Gateway},
    exit::{self, misconfigured},
};

/// Where a gateway is that was forwarded to this machine, as the Go system's client has it.
const DEFAULT_URL: &str = "http://localhost:8089";

/// Speak the Model Context Protocol on standard input and output, for clients that start their servers
///
/// Every message goes to the gateway's /mcp and its answers come back.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  asya mcp\n  asya mcp --url https://asya.example.com --token-file ~/.asya/token\n\n\
    In a client's configuration:\n  {\"mcpServers\": {\"asya\": {\"command\": \"asya\", \"args\": [\"mcp\", \"--url\", \"http://localhost:8089\"]}}}"
)]
pub(crate) struct Mcp {
    /// The gateway, with or without /mcp at the end
    #[arg(long, env = "ASYA_CLI_MCP_URL", value_name = "URL", default_value = DEFAULT_URL)]
    url: String,
    /// Token to show to the gateway
    #[arg(long, env = "ASYA_CLI_MCP_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// File with that token
    #[arg(long, env = "ASYA_CLI_MCP_TOKEN_FILE", value_name = "FILE", conflicts_with = "token")]
    token_file: Option<PathBuf>,
}

impl Mcp {
    pub(crate) async fn run(self) -> anyhow::Result<u8> {
        let Self { url, token, token_file } = self;
        let token = match token_file {
            Some(file) => Some(
                fs::read_to_string(&file)
                    .with_context(|| format!("reading the token from {}", file.display()))
                    .map_err(|error| misconfigured(format!("{error:#}")))?,
            ),
            None => token,
        };
        let gateway = Gateway::new(&url, token.as_deref().map(str::trim)).map_err(misconfigured)?;
        bridge::run(gateway).await?;
        Ok(exit::OK)
    }
}
