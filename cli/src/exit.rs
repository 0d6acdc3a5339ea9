//! How the program ends.

use std::process::ExitCode;

use crate::output::Output;

/// Done as asked.
pub(crate) const OK: u8 = 0;
/// Something did not work: a failed envelope, an invalid manifest, a missing queue.
pub(crate) const FAILED: u8 = 1;
/// The command did its work, and what it looked for is there: `asya analyze` found problems, `asya agent-tools --check` differences.
pub(crate) const FOUND: u8 = 2;
/// The command line, a manifest or the environment is wrong; nothing was done (`EX_USAGE` of sysexits).
pub(crate) const CONFIGURATION: u8 = 64;
/// Interrupted before it was done (128 + SIGINT, as shells have it).
pub(crate) const INTERRUPTED: u8 = 130;

/// An error that a person mends on the command line, in a manifest or in the environment.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Misconfigured(pub(crate) String);

/// Makes a [`Misconfigured`].
pub(crate) fn misconfigured(message: impl Into<String>) -> anyhow::Error {
    Misconfigured(message.into()).into()
}

/// Says why a command failed, and with which code the program ends.
pub(crate) fn report(result: anyhow::Result<u8>, output: Output) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            match output {
                Output::Human => eprintln!("error: {error:#}"),
                Output::Json => eprintln!("{}", serde_json::json!({"error": format!("{error:#}")})),
            }
            ExitCode::from(if error.is::<Misconfigured>() { CONFIGURATION } else { FAILED })
        }
    }
}
