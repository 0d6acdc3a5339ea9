//! `asya`: single-machine mode and the tools around the queues.
//!
//! | module | holds |
//! |---|---|
//! | `args` | the command line |
//! | `commands` | one file per command |
//! | `manifest` | reading manifests, with lines |
//! | `broker` | opening the transport |
//! | `follow` | how envelopes ended |
//! | `up` | single-machine mode |
//! | `output`, `exit` | what is printed, and the exit codes |

mod args;
mod broker;
mod commands;
mod exit;
mod follow;
mod manifest;
mod output;
mod up;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    let cli = match <args::Cli as clap::Parser>::try_parse() {
        Ok(cli) => cli,
        Err(error) => return commands::usage(&error),
    };
    let output = cli.common.output;
    exit::report(cli.run().await, output)
}
