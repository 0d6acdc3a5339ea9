//! `asya status`.

mod gateway;
mod local;

use clap::Args;

use crate::{
    args::Common,
    gateway::{Client, GatewayArgs},
};

/// Show how envelopes ended
///
/// Those of a queue file, or those of a gateway: with --gateway, ASYA_GATEWAY or a profile.
#[derive(Debug, Args)]
#[command(
    after_help = "Without an id: how many succeeded and failed, the last failures, and what is in the queues.\n\n\
    Examples:\n  asya status\n  asya status 0199c0de-0000-7000-8000-000000000000\n  asya status ID --gateway http://127.0.0.1:8089"
)]
pub(crate) struct Status {
    /// The envelope's id
    id: Option<String>,
    #[command(flatten)]
    gateway: GatewayArgs,
}

impl Status {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self { id, gateway } = self;
        match gateway.instead_of_queues(&common)? {
            Some(place) => gateway::run(id, &common, &Client::new(&place)?).await,
            None => local::run(id, &common.with_profile()?).await,
        }
    }
}
