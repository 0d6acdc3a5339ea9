//! What the binary does: the sidecar with the handler inside, or, with `ASYA_RUNTIME=socket`, the plain one.

use std::process::ExitCode;

use asya_sidecar::{args::Args, settings::Settings, wiring};
use clap::Parser;

use crate::{EmbeddedConfig, EmbeddedHandler, StartError};

/// The configuration is wrong: `EX_USAGE` of sysexits.h.
const WRONG_CONFIGURATION: u8 = 64;

/// Runs the sidecar of this process's arguments and environment to its end; the exit code.
pub async fn run() -> ExitCode {
    let mut args = Args::try_parse().unwrap_or_else(|error| {
        let code = if error.use_stderr() { i32::from(WRONG_CONFIGURATION) } else { 0 };
        drop(error.print());
        std::process::exit(code)
    });
    let embedded = args.runtime.take_if(|kind| ["", "embedded"].contains(&kind.trim())).is_some()
        || args.runtime.is_none();
    let settings = match Settings::read(args) {
        Ok(settings) => settings,
        Err(errors) => return failed(WRONG_CONFIGURATION, &errors.to_string()),
    };
    if !embedded {
        return ended(wiring::run(settings).await.map_err(|error| format!("{error:#}")));
    }
    let config = EmbeddedConfig { max_reply: settings.engine.limits.max_reply, ..EmbeddedConfig::default() };
    let handler = EmbeddedHandler::start(config);
    tokio::select! {
        outcome = wiring::run_with(settings, handler.clone()) => ended(outcome.map_err(|error| format!("{error:#}"))),
        error = handler.failed() => {
            let code = if matches!(error, StartError::Configuration(_)) { WRONG_CONFIGURATION } else { 1 };
            failed(code, &error.to_string())
        }
    }
}

fn ended(outcome: Result<(), String>) -> ExitCode {
    outcome.map_or_else(|reason| failed(1, &reason), |()| ExitCode::SUCCESS)
}

fn failed(code: u8, reason: &str) -> ExitCode {
    eprintln!("asya-sidecar-py: {reason}");
    ExitCode::from(code)
}
