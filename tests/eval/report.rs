//! How it went: a table for people, an object for programs.

use std::{fmt, time::Duration};

use asya_session::Usage;
use serde_json::{Value, json};

use crate::{purse::Prices, transcript::Transcript};

/// What became of one conversation.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The case, or the wrong answer.
    pub(crate) name: String,
    /// Whether it was a wrong answer, which passes when the judge found it out.
    pub(crate) wrong: bool,
    /// All that is wrong with it.
    pub(crate) failures: Vec<String>,
    usage: Usage,
    tools: usize,
    took: Duration,
    answer: Option<String>,
    model: Option<String>,
}

impl Outcome {
    /// Of a conversation.
    pub(crate) fn of(name: String, wrong: bool, transcript: &Transcript, failures: Vec<String>) -> Self {
        Self {
            name,
            wrong,
            failures,
            usage: transcript.usage(),
            tools: transcript.calls().len(),
            took: transcript.took,
            answer: transcript.answer().map(str::to_owned),
            model: transcript.turns().last().map(|turn| turn.model.to_owned()),
        }
    }

    /// Of one that was not held.
    pub(crate) fn not_run(name: String, why: &str) -> Self {
        let failures = vec![why.to_owned()];
        let (usage, took) = (Usage::default(), Duration::ZERO);
        Self { name, wrong: false, failures, usage, tools: 0, took, answer: None, model: None }
    }

    fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    fn word(&self) -> &'static str {
        match (self.wrong, self.passed()) {
            (false, true) => "pass",
            (false, false) => "FAIL",
            (true, true) => "found out",
            (true, false) => "ESCAPED",
        }
    }

    fn json(&self, prices: Prices) -> Value {
        json!({"name": self.name, "passed": self.passed(), "failures": self.failures, "calls": self.usage.calls,
            "tool_calls": self.tools, "tokens": {"input": self.usage.input, "output": self.usage.output},
            "seconds": seconds(self.took), "cost": prices.known().then(|| prices.cost(self.usage)), "answer": self.answer})
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {:.1}s", self.word(), self.name, self.took.as_secs_f64())?;
        self.failures.iter().try_for_each(|failure| write!(f, "\n    {failure}"))
    }
}

/// What became of all.
#[derive(Debug)]
pub(crate) struct Report {
    /// In the order of their names, cases before wrong answers.
    pub(crate) outcomes: Vec<Outcome>,
    /// Per cent of the cases that have to pass.
    pub(crate) threshold: u8,
    /// Whether a model was asked.
    pub(crate) live: bool,
    /// What it costs.
    pub(crate) prices: Prices,
    /// All of it, from start to end.
    pub(crate) took: Duration,
}

impl Report {
    fn cases(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| !outcome.wrong)
    }

    fn wrong(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.wrong)
    }

    fn passed(&self) -> usize {
        self.cases().filter(|outcome| outcome.passed()).count()
    }

    /// Of whole per cents, so that 99.9 is not 100.
    fn rate(&self) -> usize {
        100 * self.passed() / self.cases().count().max(1)
    }

    /// Whether enough passed, and no wrong answer did.
    pub(crate) fn is_enough(&self) -> bool {
        let of = self.cases().count();
        of > 0 && 100 * self.passed() >= usize::from(self.threshold) * of && self.wrong().all(Outcome::passed)
    }

    fn usage(&self) -> Usage {
        self.cases().fold(Usage::default(), |sum, outcome| sum.and(outcome.usage))
    }

    fn model(&self) -> &str {
        let said = self.cases().find_map(|outcome| outcome.model.as_deref());
        if self.live { said.unwrap_or("unknown") } else { "recorded answers" }
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let all =
            |outcomes: Vec<&Outcome>| outcomes.iter().map(|one| one.json(self.prices)).collect::<Vec<_>>();
        let usage = self.usage();
        json!({"model": self.model(), "passed": self.passed(), "of": self.cases().count(), "rate": self.rate(),
            "threshold": self.threshold, "enough": self.is_enough(), "calls": usage.calls,
            "tokens": {"input": usage.input, "output": usage.output}, "seconds": seconds(self.took),
            "cost": self.prices.known().then(|| self.prices.cost(usage)),
            "cases": all(self.cases().collect()), "wrong_answers": all(self.wrong().collect())})
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.outcomes.iter().map(|outcome| outcome.name.len()).max().unwrap_or(4).max(4);
        writeln!(f, "\n{:width$}  {:9}  CALLS  TOOLS   TOKENS    TIME", "CASE", "RESULT")?;
        for outcome in &self.outcomes {
            let (usage, took) = (outcome.usage, outcome.took.as_secs_f64());
            let (name, word, tools) = (&outcome.name, outcome.word(), outcome.tools);
            writeln!(
                f,
                "{name:width$}  {word:9}  {:5}  {tools:5}  {:7}  {took:5.1}s",
                usage.calls,
                usage.tokens()
            )?;
            outcome.failures.iter().try_for_each(|failure| writeln!(f, "    {failure}"))?;
        }
        let (usage, tools) = (self.usage(), self.cases().map(|outcome| outcome.tools).sum::<usize>());
        let (passed, of, rate, wanted) = (self.passed(), self.cases().count(), self.rate(), self.threshold);
        writeln!(f, "\n{}: {passed} of {of} cases passed, {rate} % of {wanted} % wanted", self.model())?;
        let (found, wrong) = (self.wrong().filter(|one| one.passed()).count(), self.wrong().count());
        if wrong > 0 {
            writeln!(f, "wrong answers: {found} of {wrong} found out")?;
        }
        let estimated = if self.live { "" } else { ", estimated" };
        write!(
            f,
            "{} questions to the model, {tools} calls of tools, {} tokens read and {} written{estimated}, {:.0} s",
            usage.calls,
            usage.input,
            usage.output,
            self.took.as_secs_f64()
        )?;
        if self.prices.known() {
            write!(f, ", {:.4} spent", self.prices.cost(usage))?;
        }
        Ok(())
    }
}

/// To a tenth.
fn seconds(took: Duration) -> f64 {
    (took.as_secs_f64() * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(failed: usize, of: usize, threshold: u8, escaped: bool) -> Report {
        let one = |name: String, wrong, failed: bool| {
            let failures = if failed { vec!["it was guessed".to_owned()] } else { Vec::new() };
            Outcome::of(name, wrong, &Transcript::default(), failures)
        };
        let mut outcomes: Vec<_> = (0..of).map(|n| one(format!("case-{n}"), false, n < failed)).collect();
        outcomes.push(one("invented".to_owned(), true, escaped));
        let (prices, took) = (Prices::default(), Duration::from_secs(1));
        Report { outcomes, threshold, live: false, prices, took }
    }

    #[test]
    fn enough_is_the_threshold_and_no_wrong_answer_that_passes() {
        assert!(report(0, 3, 100, false).is_enough());
        assert!(!report(1, 1000, 100, false).is_enough());
        assert!(report(1, 1000, 99, false).is_enough() && report(3, 3, 0, false).is_enough());
        assert!(!report(0, 3, 0, true).is_enough(), "a judge that takes everything judges nothing");
        assert!(!report(0, 0, 0, false).is_enough(), "nothing was run");
    }

    #[test]
    fn a_failure_is_printed_with_its_reason_in_both_forms() {
        let report = report(1, 2, 100, true);
        let table = report.to_string();
        for part in [
            "case-0    FAIL",
            "    it was guessed",
            "1 of 2 cases passed, 50 %",
            "0 of 1 found out",
            "ESCAPED",
        ] {
            assert!(table.contains(part), "{part} in {table}");
        }
        let json = report.json();
        assert_eq!(json["cases"][0]["failures"][0], "it was guessed");
        assert_eq!((&json["rate"], &json["enough"]), (&json!(50), &json!(false)));
        assert_eq!(json["wrong_answers"][0]["passed"], false);
    }
}
