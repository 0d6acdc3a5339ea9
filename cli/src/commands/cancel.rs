//! `asya cancel`.

use clap::Args;
use serde_json::json;

use crate::{
    args::Common,
    exit,
    gateway::{GatewayArgs, client::segment, wire},
    output::safe,
};

/// End an envelope, and what was made from it, before it ends by itself
///
/// Actors that have it in hand are told by the gateway, and stop; what they do not hear of in time goes on unrecorded.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  asya cancel 0199c0de-0000-7000-8000-000000000000\n  asya cancel ID --reason 'wrong document'"
)]
pub(crate) struct Cancel {
    /// The envelope's id
    id: String,
    /// Why, for the record
    #[arg(long, default_value = "cancelled by asya cancel")]
    reason: String,
    #[command(flatten)]
    gateway: GatewayArgs,
}

impl Cancel {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self { id, reason, gateway } = self;
        let client = gateway.client(&common)?;
        let path = format!("/api/v1/envelopes/{}/cancel", segment(&id));
        let done: wire::Cancelled = client
            .post(&path, &json!({"reason": reason}))
            .await
            .map_err(crate::gateway::GatewayError::told)?;
        for id in &done.cancelled {
            common
                .output
                .line(&json!({"id": id, "status": "cancelled"}), || format!("{} cancelled", safe(id)));
        }
        Ok(exit::OK)
    }
}
