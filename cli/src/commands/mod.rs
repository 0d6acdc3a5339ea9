//! One file per command.

pub(crate) mod agent_tools;
pub(crate) mod analyze;
pub(crate) mod approvals;
pub(crate) mod call;
pub(crate) mod cancel;
pub(crate) mod chat;
pub(crate) mod completion;
pub(crate) mod crds;
pub(crate) mod deploy;
pub(crate) mod dlq;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod findings;
pub(crate) mod forward;
pub(crate) mod init;
pub(crate) mod logs;
pub(crate) mod mcp;
pub(crate) mod migrate;
pub(crate) mod pause;
pub(crate) mod playground;
pub(crate) mod profile;
pub(crate) mod purge;
pub(crate) mod queues;
pub(crate) mod send;
pub(crate) mod sessions;
pub(crate) mod status;
pub(crate) mod tools;
pub(crate) mod up;
pub(crate) mod validate;
pub(crate) mod watch;

use std::{future::Future, process::ExitCode};

use crate::exit;

/// Shows what the parser of the command line has to say: help, the version, or an error.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    // Only a closed standard stream can fail here, and then there is nobody to tell.
    let _ = error.print();
    ExitCode::from(if error.use_stderr() { exit::CONFIGURATION } else { exit::OK })
}

/// Runs a command until it is done or Ctrl-C.
pub(crate) async fn interruptible(command: impl Future<Output = anyhow::Result<u8>>) -> anyhow::Result<u8> {
    tokio::select! {
        result = command => result,
        _ = tokio::signal::ctrl_c() => Ok(exit::INTERRUPTED),
    }
}
