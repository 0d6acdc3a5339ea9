//! All of it, several conversations at a time, and its end.

use std::{
    collections::BTreeMap,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use asya_llm::Settings;
use futures::{StreamExt as _, stream};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::{Args, Output},
    case::{self, Case},
    judge::judge,
    pattern::Pattern,
    purse::{Prices, Purse},
    recording::{self, Recording},
    report::{Outcome, Report},
    stage::{Model, Stage},
    talk,
};

/// Settings or files are wrong (`EX_USAGE`).
const USAGE: u8 = 64;
/// The evaluation broke (`EX_SOFTWARE`).
const BROKEN: u8 = 70;

/// One conversation that is to be held.
struct Task {
    namespace: String,
    case: Case,
    recording: Option<Recording>,
    /// The name in evals/wrong.
    wrong: Option<String>,
}

/// What is run, read and checked.
struct Plan {
    tasks: Vec<Task>,
    /// The model's variables, if one is asked.
    live: Option<BTreeMap<String, String>>,
    prices: Prices,
    jobs: usize,
    time: Duration,
}

/// Runs what the arguments say; says how it went.
pub(crate) async fn main(args: Args) -> ExitCode {
    let plan = match plan(&args) {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("asya-eval: {error:#}");
            return ExitCode::from(USAGE);
        }
    };
    if args.list {
        plan.tasks.iter().filter(|task| task.wrong.is_none()).for_each(|task| println!("{}", task.case.name));
        return ExitCode::SUCCESS;
    }
    match run(&args, &plan).await {
        Ok(End::Report(report)) => {
            match args.output {
                Output::Table => println!("{report}"),
                Output::Json => println!("{:#}", report.json()),
            }
            if report.is_enough() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Ok(End::Signal(code)) => ExitCode::from(code),
        Err(error) => {
            eprintln!("asya-eval: {error:#}");
            ExitCode::from(BROKEN)
        }
    }
}

/// How it ends.
enum End {
    /// All was done.
    Report(Report),
    /// It was told to, with the shell's code for that.
    Signal(u8),
}

fn plan(args: &Args) -> Result<Plan> {
    let known = case::names("cases")?;
    if let Some(unknown) = args.only.iter().find(|name| !known.contains(name)) {
        bail!("no case is called {unknown:?}; there are {}", known.join(", "));
    }
    let is_wanted = |name: &String| args.only.is_empty() || args.only.contains(name);
    let live = args.is_live().then(|| variables(args)).transpose()?;
    let mut tasks = Vec::new();
    // Names that tell a model nothing: a case's own would give its cause away.
    for (index, name) in known.iter().enumerate().filter(|(_, name)| is_wanted(name)) {
        let namespace = format!("apps-{:02}", index + 1);
        let recording = live.is_none().then(|| Recording::read("answers", name, &namespace)).transpose()?;
        tasks.push(Task { case: Case::read(name, &namespace)?, namespace, recording, wrong: None });
    }
    if live.is_none() {
        for (index, name) in case::names("wrong")?.into_iter().enumerate() {
            let namespace = format!("apps-w{:02}", index + 1);
            let recording = Recording::read("wrong", &name, &namespace)?;
            let of =
                recording.case.clone().with_context(|| format!("evals/wrong/{name}.yaml names no case"))?;
            ensure!(!recording.fails.is_empty(), "evals/wrong/{name}.yaml does not say how it fails");
            if is_wanted(&of) {
                let case = Case::read(&of, &namespace)?;
                tasks.push(Task { case, namespace, recording: Some(recording), wrong: Some(name) });
            }
        }
    }
    let price = |name: &str| match std::env::var(name) {
        Ok(text) if !text.is_empty() => text.parse::<f64>().with_context(|| format!("{name}: {text:?}")),
        _ => Ok(0.0),
    };
    let prices = Prices { input: price("ASYA_LLM_PRICE_INPUT")?, output: price("ASYA_LLM_PRICE_OUTPUT")? };
    ensure!(
        args.spend.is_none() || prices.known(),
        "--spend needs prices: ASYA_LLM_PRICE_INPUT and ASYA_LLM_PRICE_OUTPUT"
    );
    let (jobs, seconds) = if live.is_some() { (2, 600) } else { (6, 60) };
    Ok(Plan {
        tasks,
        live,
        prices,
        jobs: args.jobs.unwrap_or(jobs).into(),
        time: Duration::from_secs(args.timeout.unwrap_or(seconds)),
    })
}

/// The variables of the model that is asked, checked.
fn variables(args: &Args) -> Result<BTreeMap<String, String>> {
    let mut variables: BTreeMap<_, _> =
        std::env::vars().filter(|(name, value)| name.starts_with("ASYA_LLM_") && !value.is_empty()).collect();
    if let Some(model) = &args.model {
        variables.insert("ASYA_LLM_MODEL".to_owned(), model.clone());
    }
    // The agent runs in a folder of its own.
    for (name, value) in &mut variables {
        if name.ends_with("_FILE") {
            *value = std::path::absolute(&*value)?.display().to_string();
        }
    }
    match Settings::read(|name| variables.get(name).cloned()) {
        Ok(Some(_)) => Ok(variables),
        Ok(None) => bail!("no model is configured: set ASYA_LLM_BACKEND, see docs/models.md"),
        Err(errors) => bail!("{}", errors.0.join("\n")),
    }
}

async fn run(args: &Args, plan: &Plan) -> Result<End> {
    let began = Instant::now();
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let questions = plan.tasks.iter();
    let recorded = questions.filter_map(|task| Some((task.case.question.clone(), task.recording.clone()?)));
    let player = recording::play(recorded.collect()).await?;
    let model = plan.live.as_ref().map_or(Model::Recorded(&player.url), Model::Live);
    eprintln!("starting an API server and an agent");
    // Not to be cut short: what is half started would be left behind.
    let stage = Stage::start(&model, args.case_tokens).await?;
    tokio::select! {
        report = conversations(args, plan, stage, began) => Ok(End::Report(report?)),
        _ = interrupt.recv() => Ok(End::Signal(130)),
        _ = terminate.recv() => Ok(End::Signal(143)),
    }
}

/// Holds all of them; the stage is struck at the end, or when this is dropped.
async fn conversations(args: &Args, plan: &Plan, mut stage: Stage, began: Instant) -> Result<Report> {
    let (tokens, money) = if plan.live.is_some() {
        (args.tokens, args.spend.unwrap_or(f64::INFINITY))
    } else {
        (u64::MAX / 2, f64::INFINITY)
    };
    let purse = Purse::new(tokens, money, args.case_tokens, plan.prices);
    let of = plan.tasks.len();
    let mut outcomes = Vec::new();
    {
        let (stage, purse) = (&stage, &purse);
        let all = stream::iter(&plan.tasks).map(|task| one(args, plan, stage, purse, task));
        let mut all = all.buffered(plan.jobs);
        while let Some(outcome) = all.next().await {
            let outcome = outcome.with_context(|| stage.fleet.logs())?;
            eprintln!("[{}/{of}] {outcome}", outcomes.len() + 1);
            outcomes.push(outcome);
        }
    }
    let ended = stage.fleet.ended()?;
    ensure!(ended.is_empty(), "ended by themselves: {}\n{}", ended.join(", "), stage.fleet.logs());
    let leaks = leaks(&stage, plan)?;
    ensure!(leaks.is_empty(), "planted secrets are in files of the processes: {}", leaks.join(", "));
    let threshold = if plan.live.is_some() { args.threshold } else { 100 };
    Ok(Report { outcomes, threshold, live: plan.live.is_some(), prices: plan.prices, took: began.elapsed() })
}

/// Holds one conversation and judges it.
async fn one(args: &Args, plan: &Plan, stage: &Stage, purse: &Purse, task: &Task) -> Result<Outcome> {
    let Task { namespace, case, recording, wrong } = task;
    let name = wrong.clone().unwrap_or_else(|| case.name.clone());
    if !purse.take().await {
        return Ok(Outcome::not_run(name, "not asked: what is left of the limit is not enough for it"));
    }
    let held = async {
        stage.set(case, namespace).await?;
        talk::hold(stage, case, namespace, plan.time).await
    };
    let transcript = held.await.with_context(|| name.clone())?;
    purse.give_back(transcript.usage());
    if args.show {
        eprintln!("--- {name}\n{transcript}");
    }
    let mut failures = judge(case, &transcript);
    if let Some(recording) = recording {
        failures.extend(recording.departures(&transcript));
    }
    if let Some(recording) = recording.as_ref().filter(|_| wrong.is_some()) {
        failures = escaped(recording, &failures, &recording.departures(&transcript))?;
    }
    if args.record && failures.is_empty() {
        Recording::of(case, &transcript, namespace)?.write(&case.name)?;
    }
    Ok(Outcome::of(name, wrong.is_some(), &transcript, failures))
}

/// Of a wrong answer: what the judge did not say of it. It must have been given as it is recorded, or nothing is shown.
fn escaped(recording: &Recording, failures: &[String], departures: &[String]) -> Result<Vec<String>> {
    let mut missing: Vec<String> = departures.to_vec();
    for expected in &recording.fails {
        let pattern = Pattern::new(expected)?;
        if !failures.iter().any(|failure| pattern.is_in(failure)) {
            missing.push(format!("the judge did not say {pattern}, but: {}", failures.join("; ")));
        }
    }
    Ok(missing)
}

/// Files of the processes that hold what was planted.
fn leaks(stage: &Stage, plan: &Plan) -> Result<Vec<String>> {
    let secrets: Vec<&String> = plan.tasks.iter().flat_map(|task| &task.case.secrets).collect();
    let holds =
        |bytes: &[u8], secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    let mut leaks = Vec::new();
    for (path, bytes) in stage.fleet.kept()? {
        if secrets.iter().any(|secret| holds(&bytes, secret)) {
            leaks.push(path.display().to_string());
        }
    }
    Ok(leaks)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::Parser as _;

    use super::*;

    fn planned(arguments: &[&str]) -> Result<Plan> {
        plan(&Args::parse_from(["asya-eval"].iter().chain(arguments)))
    }

    #[test]
    fn each_case_has_a_recording_and_no_question_is_asked_twice() {
        let plan = planned(&[]).unwrap();
        let questions: BTreeSet<_> = plan.tasks.iter().map(|task| task.case.question.clone()).collect();
        assert_eq!(questions.len(), plan.tasks.len());
        assert!(plan.tasks.iter().all(|task| task.recording.is_some()));
        assert!(plan.tasks.iter().filter(|task| task.wrong.is_some()).count() >= 15);
        assert_eq!(case::names("answers").unwrap(), case::names("cases").unwrap());
    }

    #[test]
    fn one_case_comes_with_the_wrong_answers_to_it_and_an_unknown_one_is_told() {
        let plan = planned(&["--only", "fix-scale"]).unwrap();
        assert!(plan.tasks.len() > 1 && plan.tasks.iter().all(|task| task.case.name == "fix-scale"));
        let error = planned(&["--only", "fix-all"]).err().unwrap().to_string();
        assert!(
            error.contains("fix-all") && error.contains("there are") && error.contains("fix-scale"),
            "{error}"
        );
    }

    #[test]
    fn a_wrong_answer_that_the_judge_took_has_escaped() {
        let recording = Recording::read("wrong", "another-cause", "eval-x").unwrap();
        assert_eq!(
            escaped(
                &recording,
                &["the cause was not named: x".into(), "a cause was named that is none: y".into()],
                &[]
            )
            .unwrap(),
            [""; 0]
        );
        let half = escaped(&recording, &["the cause was not named: x".into()], &[]).unwrap();
        assert!(half.len() == 1 && half[0].contains("the judge did not say"), "{half:?}");
        assert_eq!(escaped(&recording, &[], &["left".into()]).unwrap().len(), 3);
    }
}
