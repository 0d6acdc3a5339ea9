//! `make eval`: an agent is asked about recorded situations of a cluster, and judged.
//!
//! | module | holds |
//! |---|---|
//! | [`args`] | [`args::Args`]: what is run, against which model, within which bounds |
//! | [`case`] | [`case::Case`]: a situation, a question, and what a good answer is; a file of evals/cases |
//! | [`pattern`] | patterns of words and of calls, as cases write them |
//! | [`recording`] | [`recording::Recording`]: answers of a model to one case, written down; evals/answers and evals/wrong |
//! | [`transcript`] | [`transcript::Transcript`]: what was said and done in one conversation |
//! | [`judge`] | what is wrong with a transcript; pure |
//! | [`kubelet`] | what containers print, for `k8s_read` |
//! | [`stage`] | a cluster, and the processes of an agent |
//! | [`talk`] | one conversation, with approvals |
//! | [`purse`] | what all conversations together may use |
//! | [`run`] | all of it, several at a time, and its end |
//! | [`report`] | the table, and the same as JSON |
//!
//! The invariant: **nothing passes that was not looked at.** A case that did not run, an answer without the evidence, and a recording
//! that the conversation has left are failures.

mod args;
mod case;
mod judge;
mod kubelet;
mod pattern;
mod purse;
mod recording;
mod report;
mod run;
mod stage;
mod talk;
mod transcript;

use clap::Parser as _;

#[tokio::main]
async fn main() -> std::process::ExitCode {
    run::main(args::Args::parse()).await
}
