//! `asya completion`.

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::{args::Cli, exit};

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  asya completion bash > ~/.local/share/bash-completion/completions/asya")]
pub(crate) struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    pub(crate) fn run(self) -> u8 {
        let Self { shell } = self;
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "asya", &mut script);
        crate::output::print(String::from_utf8_lossy(&script).trim_end());
        exit::OK
    }
}
