//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::{
    commands,
    output::{Format, Output},
};

/// Exit codes, shown at the end of each help page.
const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 problems found (analyze), 64 wrong command line, manifest or environment, 130 \
    interrupted.";

/// Actors on message queues: run them on this machine, send to them, look at their queues.
#[derive(Debug, Parser)]
#[command(name = "asya", version, after_help = EXIT_CODES, propagate_version = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Common {
    /// What is printed: text for people, or one JSON object per line
    #[arg(id = "output", long, short, global = true, value_parser = Format::common(), default_value = "human")]
    pub(crate) format: Format,
    /// The same for commands that know no more than the two.
    #[arg(skip)]
    pub(crate) output: Output,
    /// The queue file [default: .asya/queue.db here or in a parent directory]
    #[arg(long, global = true, env = "ASYA_LOCAL_PATH", value_name = "FILE")]
    pub(crate) queue_file: Option<PathBuf>,
    /// Use this broker instead of the queue file: rabbitmq://USER:PASSWORD@HOST/VHOST, amqps://…, sqs://REGION or
    /// sqs://HOST:PORT
    #[arg(long, global = true, env = "ASYA_TRANSPORT_URL", value_name = "URL", hide_env_values = true)]
    pub(crate) transport: Option<String>,
    /// The places of this profile instead of the current one's: `asya profile list`
    #[arg(long, global = true, env = "ASYA_PROFILE", value_name = "NAME")]
    pub(crate) profile: Option<String>,
}

impl Common {
    /// These options with the broker of the profile, where nothing nearer says which queues are meant: an option, or a
    /// queue file here unless the profile was asked for by name.
    ///
    /// # Errors
    /// Wrong profiles.
    pub(crate) fn with_profile(self) -> anyhow::Result<Self> {
        if self.queue_file.is_some() || self.transport.is_some() {
            return Ok(self);
        }
        let name = self.profile.as_deref();
        if name.is_none() && crate::broker::queue_file(&self)?.exists() {
            return Ok(self);
        }
        let transport = crate::profile::find(name)?.and_then(|chosen| chosen.profile.transport);
        Ok(Self { transport, ..self })
    }
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the actors of manifests on this machine
    Up(commands::up::Up),
    /// Send envelopes along a route of actors
    Send(commands::send::Send),
    /// Show how envelopes ended
    Status(commands::status::Status),
    /// Show how full the queues are
    Queues(commands::queues::Queues),
    /// Show the tools of a gateway
    Tools(commands::tools::Tools),
    /// Call a tool of a gateway and wait for its result
    Call(commands::call::Call),
    /// Follow an envelope to its end
    Watch(commands::watch::Watch),
    /// End an envelope, and what was made from it, before it ends by itself
    Cancel(commands::cancel::Cancel),
    /// Talk with an agent
    Chat(commands::chat::Chat),
    /// Look after conversations with agents
    Sessions(commands::sessions::Sessions),
    /// Decide what agents want to change
    Approvals(commands::approvals::Approvals),
    /// Make tools of an agent from the tools of an MCP server
    AgentTools(Box<commands::agent_tools::AgentTools>),
    /// Speak the Model Context Protocol on standard input and output
    Mcp(commands::mcp::Mcp),
    /// Look after dead letters: messages that nobody could handle
    #[command(subcommand)]
    Dlq(commands::dlq::Dlq),
    /// Check manifests
    Validate(commands::validate::Validate),
    /// Make a new actor: handler, manifest, test, Dockerfile
    Init(commands::init::Init),
    /// Check that this machine can run actors
    Doctor(commands::doctor::Doctor),
    /// Explain the state of an actor on the cluster, and what to do next
    #[command(subcommand)]
    Explain(commands::explain::Explain),
    /// Show what is broken in a cluster
    Analyze(Box<commands::analyze::Analyze>),
    /// Show what the cluster analysis has found
    Findings(commands::findings::Findings),
    /// Show what the pods of an actor print, or everything about one envelope
    Logs(commands::logs::Logs),
    /// Stop actors: no replica runs, messages wait in their queues
    Pause(commands::pause::Pause),
    /// Let paused actors run again
    Resume(commands::pause::Resume),
    /// Delete the messages that wait in the queue of an actor
    Purge(commands::purge::Purge),
    /// Lead an address of this machine to the gateway of a cluster
    Forward(commands::forward::Forward),
    /// Run a Python file as an actor on a cluster, without building an image
    Deploy(Box<commands::deploy::Deploy>),
    /// A cluster on this machine with everything, for trying it out
    Playground(commands::playground::Playground),
    /// Move from the Go system Asya
    #[command(subcommand)]
    Migrate(commands::migrate::Migrate),
    /// Print the CRD of AsyncActor, or the JSON schema of its manifests
    Crds(commands::crds::Crds),
    /// Named places to work on: gateways, brokers, clusters
    #[command(subcommand)]
    Profile(commands::profile::Profile),
    /// Print the completion script of a shell
    Completion(commands::completion::Completion),
    /// Ends the processes of an `asya up` that was killed
    #[command(hide = true, name = "__guard")]
    Guard,
}

impl Cli {
    /// Reads the command line of this process.
    ///
    /// # Errors
    /// What the parser has to say: help, the version, or an error.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let mut cli = Self::try_parse()?;
        cli.common.output = cli.common.format.into();
        Ok(cli)
    }

    /// Runs the command; the number is the exit code.
    pub(crate) async fn run(self) -> anyhow::Result<u8> {
        let Self { common, command } = self;
        match command {
            Command::Up(up) => up.run(common).await,
            Command::Send(send) => commands::interruptible(send.run(common.with_profile()?)).await,
            Command::Status(status) => commands::interruptible(status.run(common)).await,
            Command::Queues(queues) => commands::interruptible(queues.run(common.with_profile()?)).await,
            Command::Tools(tools) => commands::interruptible(tools.run(common)).await,
            // These say at Ctrl-C how to go on.
            Command::Call(call) => call.run(common).await,
            Command::Watch(watch) => watch.run(common).await,
            Command::Cancel(cancel) => commands::interruptible(cancel.run(common)).await,
            // It says at Ctrl-C how to go on.
            Command::Chat(chat) => chat.run(common).await,
            Command::Sessions(sessions) => commands::interruptible(sessions.run(common)).await,
            Command::Approvals(approvals) => commands::interruptible(approvals.run(common)).await,
            Command::AgentTools(tools) => commands::interruptible(tools.run(common)).await,
            Command::Mcp(mcp) => commands::interruptible(mcp.run(common)).await,
            Command::Dlq(dlq) => commands::interruptible(dlq.run(common)).await,
            Command::Validate(validate) => Ok(validate.run(&common)),
            Command::Init(init) => init.run(&common),
            Command::Doctor(doctor) => commands::interruptible(doctor.run(common)).await,
            Command::Explain(explain) => commands::interruptible(explain.run(common)).await,
            Command::Analyze(analyze) => commands::interruptible(analyze.run(common)).await,
            Command::Findings(findings) => commands::interruptible(findings.run(common)).await,
            Command::Logs(logs) => logs.run(common).await,
            Command::Pause(pause) => commands::interruptible(pause.run(common)).await,
            Command::Resume(resume) => commands::interruptible(resume.run(common)).await,
            Command::Purge(purge) => commands::interruptible(purge.run(common.with_profile()?)).await,
            // It ends by Ctrl-C as it should.
            Command::Forward(forward) => forward.run(common).await,
            Command::Deploy(deploy) => commands::interruptible(deploy.run(common)).await,
            Command::Playground(playground) => commands::interruptible(playground.run(common)).await,
            Command::Migrate(migrate) => commands::interruptible(migrate.run(common)).await,
            Command::Crds(crds) => crds.run(&common),
            Command::Profile(profile) => profile.run(&common),
            Command::Completion(completion) => Ok(completion.run()),
            Command::Guard => Ok(crate::up::guard::serve()),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
