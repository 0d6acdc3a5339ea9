//! Broken situations on a real API server, through the actors as `asya up` runs them: each is told once, soon, with what
//! shows it, and told to be well once it is; nothing else is told. What looks broken and is not is not told.
//!
//! The latency of each is measured from the server's answer to the change until its Result came or went by a watch and the message is at the
//! sink, whichever is later. What takes
//! longer than the bound is done once more, alone: a busy machine is no fault, and what is slow twice is one.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use asya_analysis::analyzers;
use asya_tests::{
    analysis::{Actor, Analysis},
    bare::Bare,
    cluster::LIMIT,
    inbox::{Inbox, Note},
    process::root,
    results::{Happened, Results, Seen},
    situation::{Change, Situation, Staged},
};
use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Between a change and its message, warm and without a grace period.
const BOUND: Duration = Duration::from_secs(2);
/// Situations under way at once: a cluster in which several things happen.
const AT_ONCE: usize = 8;
/// The tables; those of one file come one after the other.
const FILES: [&str; 8] = [
    "pods.yaml",
    "workloads.yaml",
    "jobs.yaml",
    "network.yaml",
    "configuration.yaml",
    "storage.yaml",
    "security.yaml",
    "extensions.yaml",
];

/// Where Results are written, and for which K8sGPT.
const RESULTS: (&str, &str) = ("analysis", "test");

/// Analyzers whose findings the tables do not show: of changes of a log nobody tells, so that no watcher reads them.
const NOT_SHOWN: [&str; 1] = ["Log"];

struct Rig {
    bare: Bare,
    analysis: Analysis,
    inbox: Inbox,
    results: Results,
}

/// How long after a change its Result came or went, and its message was at the sink.
#[derive(Debug, Clone, Copy, Default)]
struct Latency {
    result: Duration,
    message: Duration,
}

impl Latency {
    fn after(change: Change, result: Instant, message: Instant) -> Self {
        let [result, message] = [result, message].map(|at| at.saturating_duration_since(change.answered));
        Self { result, message }
    }

    fn max(self, other: Self) -> Self {
        Self { result: self.result.max(other.result), message: self.message.max(other.message) }
    }

    fn is_late(self) -> bool {
        self.result.max(self.message) > BOUND
    }
}

/// How long a situation took to be told, and to be told well.
#[derive(Debug, Clone)]
struct Took {
    name: String,
    broke: Latency,
    healed: Latency,
}

impl Took {
    fn is_late(&self) -> bool {
        self.broke.is_late() || self.healed.is_late()
    }
}

fn actors(sink: &str) -> Vec<Actor<'static>> {
    let all: Vec<&str> = analyzers::all()
        .iter()
        .filter(|analyzer| !analyzer.reads_logs())
        .map(|analyzer| analyzer.name())
        .collect();
    let sinks = json!([{"name": "here", "type": "webhook", "url": sink, "batch": {"most": 1}}]);
    vec![
        (
            "k8s-watch",
            vec![
                ("ASYA_WATCH_CLUSTER", "test".to_owned()),
                ("ASYA_WATCH_ROUTE", "k8s-analyze,findings,results,notify".to_owned()),
                ("ASYA_WATCH_ANALYZERS", all.join(",")),
                ("ASYA_WATCH_SECRETS", "metadata".to_owned()),
                ("ASYA_WATCH_SETTLE", "0s".to_owned()),
            ],
        ),
        ("k8s-analyze", vec![]),
        ("findings", vec![("ASYA_FINDINGS_GRACE", "0s".to_owned())]),
        (
            "results",
            vec![
                ("ASYA_RESULTS_NAMESPACE", RESULTS.0.to_owned()),
                ("ASYA_RESULTS_K8SGPT", RESULTS.1.to_owned()),
            ],
        ),
        ("notify", vec![("ASYA_NOTIFY_SINKS", sinks.to_string())]),
    ]
}

impl Rig {
    async fn start() -> Result<Option<Self>> {
        let Some(mut bare) = Bare::start().await? else { return Ok(None) };
        let mut crds = asya_tests::situation::crds()?;
        let own = std::fs::read_to_string(root().join("crds/core.k8sgpt.ai_results.yaml"))?;
        crds.push(serde_saphyr::from_str(&own)?);
        bare.install(&crds).await?;
        bare.namespace(RESULTS.0).await?;
        let results = Results::follow(bare.client.clone(), RESULTS.0).await?;
        let (inbox, sink) = Inbox::open().await?;
        let mut analysis = Analysis::of(bare.kubeconfig.clone(), &actors(&sink))?;
        analysis.start()?;
        Ok(Some(Self { bare, analysis, inbox, results }))
    }

    /// Waits until all that a situation has to show is told; how long it took since the change.
    async fn told(&self, staged: &Staged, change: Change) -> Result<Latency> {
        let mut last = Latency::default();
        for object in staged.finds.keys() {
            let opens = |note: &Note| staged.opens(object, note);
            let note = self.inbox.wait(change.began, LIMIT, opens).await;
            let note = note.with_context(|| self.complaint(staged, "was not told as"))?;
            let result = self.results.wait(change.began, LIMIT, Happened::Added, object).await;
            let result = result.with_context(|| self.complaint(staged, "has no Result as"))?;
            ensure!(shows(&result, &staged.finds[object]), "{}: {:#}", staged.name, result.spec);
            last = last.max(Latency::after(change, result.at, note.at));
        }
        Ok(last)
    }

    async fn told_well(&self, staged: &Staged, change: Change) -> Result<Latency> {
        let mut last = Latency::default();
        for object in staged.finds.keys() {
            let closes = |note: &Note| note.object == *object && note.change == "resolved";
            let note = self.inbox.wait(change.began, LIMIT, closes).await;
            let note = note.with_context(|| self.complaint(staged, "was not told to be well"))?;
            let result = self.results.wait(change.began, LIMIT, Happened::Deleted, object).await;
            let result = result.with_context(|| self.complaint(staged, "is well and has a Result as"))?;
            last = last.max(Latency::after(change, result.at, note.at));
        }
        Ok(last)
    }

    fn complaint(&self, staged: &Staged, what: &str) -> String {
        let here: Vec<String> = self
            .inbox
            .notes()
            .into_iter()
            .filter(|note| is_of(note, &staged.namespace))
            .map(|note| format!("\n  {} {} {:?}", note.change, note.object, note.failures))
            .collect();
        format!("{:?} {what} {:?}; told of {}:{}", staged.name, staged.finds, staged.namespace, here.concat())
    }

    /// Breaks all of them, those of one file one after the other; how long each took to be told.
    async fn all_break(&self, files: &[Vec<Staged>]) -> Result<BTreeMap<String, Latency>> {
        self.each(files, async |staged| {
            staged.set(&self.bare).await?;
            self.told(staged, staged.break_it(&self.bare).await?).await
        })
        .await
    }

    /// Mends all of them likewise.
    async fn all_heal(&self, files: &[Vec<Staged>]) -> Result<BTreeMap<String, Latency>> {
        self.each(files, async |staged| self.told_well(staged, staged.heal(&self.bare).await?).await).await
    }

    /// What `act` says of each, by its namespace; or all that went wrong.
    async fn each(
        &self,
        files: &[Vec<Staged>],
        act: impl AsyncFn(&Staged) -> Result<Latency>,
    ) -> Result<BTreeMap<String, Latency>> {
        let act = &act;
        let lanes = stream::iter(files).map(|lane| async move {
            let mut took = Vec::new();
            for staged in lane {
                took.push((staged.namespace.clone(), act(staged).await));
            }
            took
        });
        let (mut took, mut wrong) = (BTreeMap::new(), Vec::new());
        for (namespace, it) in lanes.buffer_unordered(AT_ONCE).collect::<Vec<_>>().await.into_iter().flatten()
        {
            match it {
                Ok(time) => drop(took.insert(namespace, time)),
                Err(error) => wrong.push(format!("{error:#}")),
            }
        }
        ensure!(wrong.is_empty(), "{}\n\n{}", wrong.join("\n\n"), self.analysis.log());
        Ok(took)
    }

    /// A situation that begins while nothing runs: from the start of all processes until it is told. On one machine shipped
    /// actors never sleep, so this is the longest way there is.
    async fn cold(&mut self, situation: &Situation) -> Result<Took> {
        let staged = situation.within("cold")?;
        self.analysis.kill()?;
        staged.set(&self.bare).await?;
        let broke = staged.break_it(&self.bare).await?;
        let started = Change { answered: Instant::now(), ..broke };
        self.analysis.start()?;
        let broke = self.told(&staged, started).await?;
        let healed = self.told_well(&staged, staged.heal(&self.bare).await?).await?;
        Ok(Took { name: situation.name.clone(), broke, healed })
    }

    /// A situation from its beginning to its end, alone.
    async fn whole(&self, situation: &Situation, namespace: &str) -> Result<Took> {
        let staged = situation.within(namespace)?;
        staged.set(&self.bare).await?;
        let broke = self.told(&staged, staged.break_it(&self.bare).await?).await?;
        let healed = self.told_well(&staged, staged.heal(&self.bare).await?).await?;
        Ok(Took { name: situation.name.clone(), broke, healed })
    }
}

/// Situations by the namespace that each has of its own.
type ByNamespace = BTreeMap<String, Situation>;

/// The situations of each file, each in a namespace of its own.
fn staged(files: &[&str]) -> Result<(ByNamespace, Vec<Vec<Staged>>)> {
    let (mut by_namespace, mut staged) = (ByNamespace::new(), Vec::new());
    for file in files {
        let stem = file.trim_end_matches(".yaml");
        let mut lane = Vec::new();
        for (n, situation) in Situation::all(file)?.into_iter().enumerate() {
            let namespace = format!("{stem}-{n}");
            lane.push(situation.within(&namespace)?);
            by_namespace.insert(namespace, situation);
        }
        staged.push(lane);
    }
    Ok((by_namespace, staged))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_is_told_once_and_soon_and_so_is_that_it_is_well() -> Result<()> {
    let Some(mut rig) = Rig::start().await? else { return Ok(()) };
    let (situations, files) = staged(&FILES)?;
    let (_, silent) = staged(&["silent.yaml"])?;

    // Actors are warm when the first one has come through; its own time is not counted.
    let first = &Situation::all("pods.yaml")?[0];
    rig.whole(first, "warm").await?;
    for staged in silent.iter().flatten() {
        staged.set(&rig.bare).await?;
    }

    let broke = rig.all_break(&files).await?;
    let (told_before, written_before) = (rig.inbox.notes().len(), rig.results.seen().len());
    for _ in 0..3 {
        let begun = Timestamp::now();
        rig.analysis.resync()?;
        rig.analysis.passed(begun).await?;
    }
    let passes = rig.inbox.notes().split_off(told_before);
    ensure!(passes.is_empty(), "three identical passes told something: {passes:?}");
    let written = rig.results.seen().split_off(written_before);
    ensure!(written.is_empty(), "three identical passes wrote something: {written:?}");
    let healed = rig.all_heal(&files).await?;

    let mut took: Vec<Took> = situations
        .iter()
        .map(|(namespace, it)| Took {
            name: it.name.clone(),
            broke: broke[namespace],
            healed: healed[namespace],
        })
        .collect();
    for situation in Situation::all("alone.yaml")? {
        took.push(rig.whole(&situation, "alone").await?);
    }

    let late: Vec<String> = took.iter().filter(|took| took.is_late()).map(|took| took.name.clone()).collect();
    for (n, situation) in situations.values().filter(|it| late.contains(&it.name)).enumerate() {
        let again = rig.whole(situation, &format!("again-{n}")).await?;
        println!("once more, alone: {again:?}");
        ensure!(!again.is_late(), "later than {BOUND:?}, twice: {again:?}");
    }
    table(&took, &late);

    // What looks broken and is not: silent until now, and not because nobody looks.
    for staged in silent.iter().flatten() {
        let of_it: Vec<Note> =
            rig.inbox.notes().into_iter().filter(|note| is_of(note, &staged.namespace)).collect();
        ensure!(of_it.is_empty(), "{}: {of_it:?}", staged.name);
    }
    for staged in silent.iter().flatten() {
        rig.told(staged, staged.break_it(&rig.bare).await?).await?;
    }

    let cold = rig.cold(first).await?;
    println!(
        "from the start of all processes, {}: {:?}, well again: {:?}",
        cold.name, cold.broke, cold.healed
    );

    only_what_is_expected(&rig.inbox.notes(), files.iter().chain(&silent).flatten())?;
    results_are_what_was_told(&rig.results.seen(), &rig.inbox.notes())?;
    every_kind_is_shown(files.iter().flatten())
}

/// Whether a note is about an object in the namespace, or of the cluster and named for it.
fn is_of(note: &Note, namespace: &str) -> bool {
    let (_, name) = note.object.split_once(' ').unwrap_or_default();
    name.split_once('/').map_or(name, |(namespace, _)| namespace) == namespace
        || name.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('-'))
}

/// One message that it broke and one that it is well for each, and no other.
fn only_what_is_expected<'a>(notes: &[Note], staged: impl Iterator<Item = &'a Staged>) -> Result<()> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for note in notes {
        *counts.entry((&note.object, &note.change)).or_default() += 1;
    }
    let mut expected = BTreeSet::new();
    for staged in staged {
        for object in staged.finds.keys() {
            expected.insert(object.clone());
            let opened = counts.get(&(object, "opened"));
            ensure!(opened == Some(&1), "{}: {object} was told {opened:?} times", staged.name);
        }
    }
    for ((object, change), count) in counts {
        let repeated = ["warm", "again", "alone", "cold"].iter().any(|place| object.contains(place));
        ensure!(repeated || expected.contains(object), "nobody expects {object}, {change}");
        ensure!(count == 1 && change != "changed", "{object} was told as {change} {count} times");
    }
    Ok(())
}

/// Whether a Result has each failure with the place where it is seen.
fn shows(result: &Seen, failures: &[(String, String)]) -> bool {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let paths: BTreeMap<String, String> = list(&result.spec["evidence"])
        .iter()
        .map(|evidence| {
            (evidence["id"].to_string(), evidence["path"].as_str().unwrap_or_default().to_owned())
        })
        .collect();
    let errors = list(&result.spec["error"]);
    failures.len() == errors.len()
        && failures.iter().all(|(code, at)| {
            errors
                .iter()
                .filter(|error| error["code"] == *code)
                .any(|error| list(&error["evidence"]).iter().any(|id| paths.get(&id.to_string()) == Some(at)))
        })
}

/// As many Results came and went as findings were told to open and to close, and none was written twice.
fn results_are_what_was_told(seen: &[Seen], notes: &[Note]) -> Result<()> {
    for (happened, change) in [(Happened::Added, "opened"), (Happened::Deleted, "resolved")] {
        let mut written: Vec<&str> =
            seen.iter().filter(|it| it.happened == happened).map(|it| it.object.as_str()).collect();
        let mut told: Vec<&str> =
            notes.iter().filter(|note| note.change == change).map(|note| note.object.as_str()).collect();
        written.sort_unstable();
        told.sort_unstable();
        ensure!(
            written == told,
            "Results that were {happened:?}: {written:?}, and told as {change}: {told:?}"
        );
    }
    Ok(())
}

/// No kind that an analyzer looks at is left out, or it is said why.
fn every_kind_is_shown<'a>(staged: impl Iterator<Item = &'a Staged>) -> Result<()> {
    let kinds: BTreeSet<&str> = staged
        .flat_map(|staged| staged.finds.keys())
        .filter_map(|object| object.split_once(' ').map(|(kind, _)| kind))
        .collect();
    for analyzer in analyzers::all().iter().filter(|analyzer| !NOT_SHOWN.contains(&analyzer.name())) {
        let (name, subject) = (analyzer.name(), analyzer.subject());
        ensure!(kinds.contains(subject.kind.as_ref()), "no situation shows what {name} finds of {subject}");
    }
    Ok(())
}

/// What users want to know of it, on standard output.
fn table(took: &[Took], late: &[String]) {
    println!("{:<72} {:>17} {:>17}", "in ms", "broken", "well");
    println!("{:<72} {:>8} {:>8} {:>8} {:>8}", "", "Result", "message", "Result", "message");
    for it in took {
        let times = [it.broke.result, it.broke.message, it.healed.result, it.healed.message];
        let [a, b, c, d] = times.map(|time| time.as_millis());
        println!("{:<72} {a:>8} {b:>8} {c:>8} {d:>8}", it.name);
    }
    let of = |time: fn(&Took) -> Duration| took.iter().map(time).collect::<Vec<_>>();
    for (what, mut times) in [
        ("until its Result is there", of(|it| it.broke.result)),
        ("until it is told", of(|it| it.broke.message)),
        ("until its Result is gone", of(|it| it.healed.result)),
        ("until it is told to be well", of(|it| it.healed.message)),
    ] {
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_millis();
        println!(
            "{} situations, {what}: median {} ms, 99th percentile {} ms, largest {} ms",
            times.len(),
            at(50),
            at(99),
            at(100)
        );
    }
    println!("above {BOUND:?} and measured once more: {}", late.len());
}
