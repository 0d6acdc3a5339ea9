//! The command lines of the Go system's client, `asya-mcp` and `asya-mcp-forward`: this program under those names.
//!
//! | module | holds |
//! |---|---|
//! | [`mcp`] | `asya-mcp list\|show\|call\|status\|stream` |
//! | [`forward`] | `asya-mcp-forward` |
//!
//! The invariant: **nothing is done here that the commands of `asya` do not do; only words and shapes are others.**

mod forward;
mod mcp;

use std::{ffi::OsStr, path::Path, process::ExitCode};

use clap::Parser;

use crate::{args::Common, commands, exit, output::Output};

/// Runs the command line that this program was called by, if it is one of those; `None`: it is `asya`.
pub(crate) async fn run() -> Option<ExitCode> {
    let called = std::env::args_os().next()?;
    match Path::new(&called).file_name().and_then(OsStr::to_str)? {
        "asya-mcp" => Some(parsed(mcp::AsyaMcp::run).await),
        "asya-mcp-forward" => Some(parsed(forward::AsyaMcpForward::run).await),
        _ => None,
    }
}

async fn parsed<T: Parser>(run: impl AsyncFnOnce(T) -> anyhow::Result<u8>) -> ExitCode {
    match T::try_parse() {
        Ok(command) => exit::report(run(command).await, Output::Human),
        Err(error) => commands::usage(&error),
    }
}

/// What holds for commands that know no options of `asya`.
fn common() -> Common {
    let profile = std::env::var("ASYA_PROFILE").ok().filter(|name| !name.is_empty());
    Common { profile, ..Common::default() }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_lines_are_consistent() {
        mcp::AsyaMcp::command().debug_assert();
        forward::AsyaMcpForward::command().debug_assert();
    }
}
