//! What is run, against which model, within which bounds.

use clap::{Parser, ValueEnum};

const EXAMPLES: &str = "\
Examples:
  make eval                                      all cases against their recorded answers, as the gate runs them
  make eval ARGS='--only oom --only pvc-no-class'
  make eval MODEL=gpt-4o-mini                    against a model: ASYA_LLM_BACKEND and the like as docs/models.md has them
  make eval MODEL=qwen3 ARGS='--jobs 1 --threshold 80 --output json' > qwen3.json
  make eval RECORD=1 ARGS='--only oom'           answers of the model that ASYA_LLM_* says replace those of evals/answers

Exit codes: 0 enough passed, 1 less than --threshold or a wrong answer was taken for a good one, 64 settings or files are
wrong, 70 the evaluation itself broke, 130 and 143 it was ended. docs/agents/evaluation.md says how it is judged.";

/// Asks an agent about recorded situations of a cluster, and judges what it says and does.
#[derive(Debug, Parser)]
#[command(name = "asya-eval", after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Only this case; may be repeated
    #[arg(long, value_name = "CASE")]
    pub(crate) only: Vec<String>,
    /// Lists the cases and ends
    #[arg(long)]
    pub(crate) list: bool,
    /// Ask the model that the variables ASYA_LLM_... say, instead of the recorded answers
    #[arg(long)]
    pub(crate) live: bool,
    /// Another model than ASYA_LLM_MODEL says; with --live implied
    #[arg(long, value_name = "NAME")]
    pub(crate) model: Option<String>,
    /// Write answers that pass to evals/answers; with --live implied
    #[arg(long)]
    pub(crate) record: bool,
    /// Cases at a time [default: 6; 2 of a model]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) jobs: Option<u16>,
    /// Per cent that have to pass; of recorded answers it is always all
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) threshold: u8,
    /// Tokens that all cases together may take of a model; no case is begun for which not enough is left
    #[arg(long, value_name = "N", default_value_t = 1_500_000)]
    pub(crate) tokens: u64,
    /// Tokens of one case, questions and answers together
    #[arg(long, value_name = "N", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) case_tokens: u64,
    /// Money that all cases together may cost, in the currency of ASYA_LLM_PRICE_INPUT and _OUTPUT, which it needs
    #[arg(long, value_name = "AMOUNT")]
    pub(crate) spend: Option<f64>,
    /// Seconds for one case [default: 60; 600 of a model]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u64>,
    /// Writes each conversation to standard error
    #[arg(long)]
    pub(crate) show: bool,
    /// How the result is written; what is going on goes to standard error
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) output: Output,
}

/// How the result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// One object.
    Json,
}

impl Args {
    /// Whether a model is asked.
    pub(crate) fn is_live(&self) -> bool {
        self.live || self.record || self.model.is_some()
    }
}
