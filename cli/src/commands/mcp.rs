//! `asya mcp`.

use clap::Args;

use crate::{
    args::Common,
    bridge::{self, Gateway},
    exit::{self, misconfigured},
    gateway::{GatewayArgs, Place},
};

/// Speak the Model Context Protocol on standard input and output, for clients that start their servers
///
/// Every message goes to the gateway's /mcp and its answers come back.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  asya mcp\n  asya mcp --gateway https://asya.example.com --token-file ~/.asya/token\n  asya mcp --profile prod\n\n\
    In a client's configuration:\n  {\"mcpServers\": {\"asya\": {\"command\": \"asya\", \"args\": [\"mcp\", \"--gateway\", \"http://localhost:8089\"]}}}"
)]
pub(crate) struct Mcp {
    /// The gateway, as --gateway
    #[arg(long, value_name = "URL", conflicts_with = "gateway")]
    url: Option<String>,
    /// Token to show to the gateway; a file or the environment keeps it out of the list of processes
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file", hide = true)]
    token: Option<String>,
    #[command(flatten)]
    gateway: GatewayArgs,
}

impl Mcp {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self { url, token: typed, gateway } = self;
        let gateway = GatewayArgs { gateway: url.or(gateway.gateway), ..gateway };
        let Place { url, token, from: _ } = gateway.place(&common)?;
        let token = typed.or(token);
        let gateway = Gateway::new(&url, token.as_deref().map(str::trim)).map_err(misconfigured)?;
        bridge::run(gateway).await?;
        Ok(exit::OK)
    }
}
