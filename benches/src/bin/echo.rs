//! An actor in Rust that returns what it gets, for the benchmarks: `echo SOCKET_DIRECTORY`.

use anyhow::Context;
use asya_handler::serve::{Call, ServeOptions, serve};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = std::env::args().nth(1).context("usage: echo SOCKET_DIRECTORY")?;
    serve(directory.as_ref(), ServeOptions::default(), async |call: Call| Ok(call.payload().clone())).await?;
    Ok(())
}
