//! `asya`: single-machine mode and the tools around the queues. Everything behind the binary.
//!
//! | module | holds |
//! |---|---|
//! | `args` | the command line |
//! | `commands` | one file per command |
//! | `manifest` | reading manifests, with lines |
//! | `broker` | opening the transport |
//! | `gateway` | a gateway's `/api/v1` |
//! | `profile` | named places to work on |
//! | `cluster` | the Kubernetes cluster that a command works on |
//! | `analyze` | what is broken in a cluster, as text, JSON, SARIF and HTML |
//! | `migrate` | what a team that comes from the Go system must know |
//! | `follow` | how envelopes ended |
//! | `up` | single-machine mode |
//! | `bridge` | a pipe to a gateway's Model Context Protocol |
//! | `events` | server-sent events |
//! | `former` | the command lines of the Go system's client |
//! | `output`, `exit` | what is printed, and the exit codes |

mod analyze;
mod args;
mod bridge;
mod broker;
mod cluster;
mod commands;
mod events;
mod exit;
mod follow;
mod former;
mod gateway;
mod manifest;
mod migrate;
mod output;
mod profile;
mod up;

/// Runs the command line of this process.
pub fn main() -> std::process::ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return exit::report(Err(error.into()), output::Output::Human),
    };
    let code = runtime.block_on(run());
    // The client of RabbitMQ has a thread of its own, which panics when the tasks that it waits for are cancelled: they
    // end with the process instead. Everything that matters has been waited for.
    std::mem::forget(runtime);
    code
}

async fn run() -> std::process::ExitCode {
    // Brokers and clusters bring rustls each; without one provider for both, the first connection would panic.
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(code) = former::run().await {
        return code;
    }
    let cli = match args::Cli::read() {
        Ok(cli) => cli,
        Err(error) => return commands::usage(&error),
    };
    let output = cli.common.output;
    exit::report(cli.run().await, output)
}
