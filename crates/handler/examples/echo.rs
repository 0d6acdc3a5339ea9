//! An actor in Rust: every payload goes on as it came.
//!
//! `cargo run -p asya-handler --example echo -- /tmp/sockets`

use asya_handler::serve::{Call, ServeOptions, serve};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let directory = std::env::var("ASYA_SOCKET_DIR").ok().or_else(|| std::env::args().nth(1));
    let directory = directory.unwrap_or_else(|| asya_handler::socket::DEFAULT_DIRECTORY.to_owned());
    serve(directory.as_ref(), ServeOptions::default(), async |call: Call| Ok(call.payload().clone())).await?;
    Ok(())
}
