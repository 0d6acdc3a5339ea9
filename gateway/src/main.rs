//! `asya-gateway`; all of it is in the library.

use std::process::ExitCode;

use asya_gateway::{args::Args, run};
use clap::Parser;

/// Wrong usage: `EX_USAGE` of sysexits.h.
const WRONG_USAGE: i32 = 64;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::try_parse().unwrap_or_else(|error| {
        let code = if error.use_stderr() { WRONG_USAGE } else { 0 };
        drop(error.print());
        std::process::exit(code)
    });
    run::main(args).await
}
