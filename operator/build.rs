//! Generates the types and the service of KEDA's external scaler from `proto/`, without the `protoc` program.

use std::{error::Error, io};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(["proto/externalscaler.proto"], ["proto"])?;
    // The client is for tests: without `connect` it needs no transport of the library's choice.
    tonic_prost_build::configure().build_transport(false).compile_fds(files).map_err(io::Error::into)
}
