//! The binary `asya-crew`.

use std::process::ExitCode;

use asya_crew::program::{args::Args, run::run, settings::Settings};
use clap::Parser;

/// The configuration is wrong: `EX_USAGE` of sysexits.h.
const WRONG_CONFIGURATION: u8 = 64;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::try_parse().unwrap_or_else(|error| {
        let code = if error.use_stderr() { i32::from(WRONG_CONFIGURATION) } else { 0 };
        drop(error.print());
        std::process::exit(code)
    });
    match Settings::read(args).map(run) {
        Ok(running) => {
            running.await.map_or_else(|error| failed(1, &format!("{error:#}")), |()| ExitCode::SUCCESS)
        }
        Err(errors) => failed(WRONG_CONFIGURATION, &errors.to_string()),
    }
}

fn failed(code: u8, reason: &str) -> ExitCode {
    eprintln!("asya-crew: {reason}");
    ExitCode::from(code)
}
