//! `asya analyze`.

use std::{
    collections::BTreeSet,
    io::IsTerminal as _,
    path::{Path, PathBuf},
    time::Duration,
};

use asya_analysis::rules::KindRules;
use asya_analysis::{GroupKind, Selection, Severity, analyzers};
use asya_cluster::{
    Api, Catalogue, Collected, Collector, Fields, Patience, Progress, Scope,
    report::{Place, Report, json::json},
    scope,
};
use asya_llm::prompt::Templates;
use asya_resources::Delay;
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::{
    analyze::{explain::Explainer, html, sarif, text},
    args::Common,
    cluster::{Cluster, ClusterArgs},
    exit::{self, misconfigured},
    output::{Format, Output, colours, note, print, table},
};

/// Stands for the built-in rules instead of a file; a file of that name is `./trivy`.
const TRIVY: &str = "trivy";

/// The analyzer that reads logs; nobody else does.
const LOG: &str = "Log";

/// Show what is broken in a cluster
///
/// Looks once at the objects of a cluster, and at what they depend on, and says what is wrong with them. It only reads,
/// needs nothing installed in the cluster, and asks a model only with --explain.
#[derive(Debug, Args)]
#[command(
    after_help = "What may not be read is told as not verified, with the commands that give the right to read it.\n\n\
    Exit codes: 0 no problems, 2 problems were found, 1 it failed, or found none and could not list everything, 64 wrong \
    command line or environment, 130 interrupted.\n\n\
    Examples:\n  asya analyze -n shop\n  asya analyze -A --exclude-namespace kube-system --severity error\n  \
    asya analyze --filter Pod,Service --selector app=web\n  asya analyze -A --output sarif > cluster.sarif\n  \
    ASYA_LLM_BACKEND=ollama asya analyze -n shop --explain\n  \
    asya analyze --list-filters"
)]
pub(crate) struct Analyze {
    /// What is printed
    #[arg(id = "output", long, short, value_parser = Format::report(), default_value = "text")]
    format: Format,
    /// Only these analyzers [default: those that --list-filters marks]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    filter: Vec<String>,
    /// These analyzers too
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    enable: Vec<String>,
    /// But not these
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    disable: Vec<String>,
    /// Rules of your own for any kinds, as docs/analysis/rules.md has them: a file, or trivy for the built-in ones for its
    /// reports; repeated for several
    #[arg(long, value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// List the analyzers that there are, and which run by default
    #[arg(long, conflicts_with_all = ["filter", "enable", "disable", "all_namespaces"])]
    list_filters: bool,
    /// All namespaces, and what belongs to none; -n takes several, separated by commas
    #[arg(long, short = 'A', conflicts_with = "namespace")]
    all_namespaces: bool,
    /// But not these namespaces
    #[arg(long, value_name = "NAME", value_delimiter = ',', requires = "all_namespaces")]
    exclude_namespace: Vec<String>,
    /// Only objects with these labels, as kubectl takes them; what they depend on needs none
    #[arg(long, short = 'l', value_name = "LABELS", default_value = "", hide_default_value = true)]
    selector: String,
    /// Leave out what is less severe
    #[arg(long, value_enum, default_value = "info")]
    severity: Least,
    /// Whether the Secrets that objects name are read, one by one; their values are dropped at once
    #[arg(long, value_enum, default_value = "none")]
    secrets: Secrets,
    /// Add what the API server's documentation says of a field
    #[arg(long)]
    with_doc: bool,
    /// Ask a model what each finding means and what to do: the one that ASYA_LLM_BACKEND names; names are masked
    #[arg(long)]
    explain: bool,
    /// The language of its answers
    #[arg(long, value_name = "NAME", default_value = "english", requires = "explain")]
    language: String,
    /// A directory of templates for its questions, KIND.md, put over the built-in ones
    #[arg(long, value_name = "DIRECTORY", requires = "explain")]
    prompts: Option<PathBuf>,
    /// For all of it; what was not read by then is told as not verified
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// Requests under way at once
    #[arg(long, value_name = "NUMBER", default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=100))]
    max_concurrency: u8,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Least {
    Info,
    Warning,
    Error,
    Critical,
}

impl From<Least> for Severity {
    fn from(least: Least) -> Self {
        match least {
            Least::Info => Self::Info,
            Least::Warning => Self::Warning,
            Least::Error => Self::Error,
            Least::Critical => Self::Critical,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Secrets {
    /// None: what depends on one is told as not verified
    None,
    /// Names and keys of those that are named
    Metadata,
}

fn duration(text: &str) -> Result<Duration, String> {
    Delay::parse(text).map(|delay| delay.0)
}

impl Analyze {
    pub(crate) async fn run(self, common: Common) -> anyhow::Result<u8> {
        let Self {
            format,
            filter,
            enable,
            disable,
            rules,
            list_filters,
            all_namespaces,
            exclude_namespace,
            selector,
            severity,
            secrets,
            with_doc,
            explain,
            language,
            prompts,
            timeout,
            max_concurrency,
            cluster,
        } = self;
        if list_filters {
            list(common.output);
            return Ok(exit::OK);
        }
        let wrong =
            |error: asya_analysis::UnknownAnalyzer| misconfigured(format!("{error} (--list-filters)"));
        let rules = read_rules(&rules)?;
        let selection = Selection::new(&filter, &enable, &disable).map_err(wrong)?;
        let selection =
            selection.ruled(rules.clone()).map_err(|invalid| misconfigured(format!("--rules: {invalid}")))?;
        let named: Vec<String> = filter.iter().chain(&enable).cloned().collect();
        let mut named = if named.is_empty() {
            BTreeSet::new()
        } else {
            Selection::new(&named, &[], &disable).map_err(wrong)?.subjects()
        };
        named.extend(rules.iter().map(KindRules::subject));
        if selection.names().next().is_none() {
            return Err(misconfigured("no analyzer is left: --disable takes away all that would run"));
        }
        let explainer = explain.then(|| explainer(&language, prompts.as_deref())).transpose()?;
        let end = Instant::now() + timeout;
        let cluster = cluster.connect_without_retries(&common).await?;
        let api = Api::new(cluster.client.clone(), Patience { end: Some(end), ..Patience::default() });
        let scope = if all_namespaces {
            Scope::Everywhere { without: names(&exclude_namespace) }
        } else {
            let namespaces: Vec<String> = cluster.namespace.split(',').map(str::to_owned).collect();
            Scope::Namespaces(existing(&api, &cluster, names(&namespaces)).await?)
        };
        let catalogue = Catalogue::read(&api).await.map_err(|refusal| {
            anyhow::anyhow!("{} does not say which kinds it serves: {refusal}", cluster.server)
        })?;
        let logs = selection.names().any(|name| name == LOG);
        let analyzers = selection.names().map(str::to_owned).collect();
        let collector = Collector {
            api,
            catalogue,
            selection,
            named,
            scope,
            labels: selector,
            secrets: secrets == Secrets::Metadata,
            logs,
            at_once: usize::from(max_concurrency),
        };
        let now = Timestamp::now();
        let shown = Shown::new(common.output);
        let collected = collector.run(now, &|progress| shown.show(progress)).await;
        if let Some(wrong) = collected.unread.iter().find(|unread| unread.subject && unread.wrong)
            && !collector.labels.is_empty()
        {
            return Err(misconfigured(format!("--selector {}: {}", collector.labels, wrong.said)));
        }
        let notes = notes(&collector, &collected);
        let place = Place {
            context: cluster.context,
            server: cluster.server,
            version: cluster.version,
            scope: collector.scope.to_string(),
        };
        let mut report = Report::new(place, now, analyzers, collected, severity.into());
        report.notes = notes;
        if with_doc {
            shown.say("reading documentation");
            match Fields::read(&collector.api, &collector.catalogue, &report.documented()).await {
                Ok(fields) => report.fields = fields,
                Err(refusal) => {
                    shown.clear();
                    note(common.output, &format!("no documentation of fields: {refusal}"));
                }
            }
        }
        report.requests = collector.api.asked();
        if let Some(explainer) = explainer
            && !report.findings.is_empty()
        {
            let name = explainer.name();
            let said = |done, total| shown.say(&format!("asking {name}: {done} of {total}"));
            said(0, report.findings.len());
            explainer.explain(&mut report, end, said).await;
        }
        shown.clear();
        print(&match format {
            Format::Text => text::text(&report, colours()),
            Format::Json => json(&report).to_string(),
            Format::Sarif => serde_json::to_string_pretty(&sarif::sarif(&report))?,
            Format::Html => html::html(&report),
        });
        Ok(code(&report))
    }
}

/// The rules of these files, and the built-in ones where the word for them stands instead.
fn read_rules(files: &[PathBuf]) -> anyhow::Result<Vec<KindRules>> {
    let read = |file: &PathBuf| {
        let wrong =
            |error: &dyn std::fmt::Display| misconfigured(format!("--rules {}: {error}", file.display()));
        if file.as_os_str() == TRIVY {
            return KindRules::trivy().map_err(|error| wrong(&error));
        }
        let text = std::fs::read_to_string(file).map_err(|error| wrong(&error))?;
        KindRules::parse(&text).map_err(|error| wrong(&error))
    };
    Ok(files.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?.concat())
}

/// The model that the environment names, asked by the built-in templates and those of a directory.
fn explainer(language: &str, prompts: Option<&Path>) -> anyhow::Result<Explainer> {
    let mut templates = Templates::default();
    if let Some(directory) = prompts {
        templates.read(directory).map_err(|wrong| misconfigured(format!("--prompts: {wrong}")))?;
    }
    Explainer::new(|name| std::env::var(name).ok(), language, templates).map_err(misconfigured)
}

/// How it ends: what was found counts more than what could not be looked at.
fn code(report: &Report) -> u8 {
    match (report.findings.is_empty(), report.errors.is_empty()) {
        (false, _) => exit::FOUND,
        (true, false) => exit::FAILED,
        (true, true) => exit::OK,
    }
}

fn names(given: &[String]) -> BTreeSet<String> {
    given.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The namespaces, if they exist as far as one may look: a misspelt one must not look like a healthy one.
async fn existing(
    api: &Api,
    cluster: &Cluster,
    namespaces: BTreeSet<String>,
) -> anyhow::Result<BTreeSet<String>> {
    if namespaces.is_empty() {
        return Err(misconfigured("--namespace names none; -A means all"));
    }
    let strange = |c: char| !(c.is_ascii_alphanumeric() || c == '-');
    if let Some(wrong) = namespaces.iter().find(|namespace| namespace.contains(strange)) {
        return Err(misconfigured(format!("--namespace: {wrong:?} cannot be a namespace")));
    }
    if let Some(absent) = scope::absent(api, &namespaces).await {
        anyhow::bail!("there is no namespace {absent} in context {}; -A looks at all", cluster.context);
    }
    Ok(namespaces)
}

/// What was not looked at although somebody may think so.
fn notes(collector: &Collector, collected: &Collected) -> Vec<String> {
    let listed =
        |kinds: Vec<&GroupKind>| kinds.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let mut notes = Vec::new();
    let skipped: Vec<_> = collected.skipped.iter().collect();
    if !skipped.is_empty() {
        notes.push(format!(
            "not looked at: {}: no part of a namespace; -A looks at them, and --filter too",
            listed(skipped)
        ));
    }
    let absent: Vec<_> = collected.absent.iter().filter(|kind| collector.named.contains(*kind)).collect();
    if !absent.is_empty() {
        notes.push(format!("not looked at: {}: not installed in this cluster", listed(absent)));
    }
    notes
}

/// Prints the analyzers that there are.
fn list(output: Output) {
    let of = |kind: &GroupKind| kind.to_string();
    let mut all = analyzers::all().to_vec();
    all.sort_by_key(|analyzer| analyzer.name());
    if output == Output::Json {
        for analyzer in all {
            let (name, by_default) = (analyzer.name(), analyzer.by_default());
            output.line(
                &serde_json::json!({"name": name, "kind": of(&analyzer.subject()), "default": by_default}),
                String::new,
            );
        }
        return;
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|analyzer| {
            let default = if analyzer.by_default() { "yes" } else { "" };
            vec![analyzer.name().to_owned(), of(&analyzer.subject()), default.to_owned()]
        })
        .collect();
    print(&table(&["NAME", "KIND", "BY DEFAULT"], &rows));
}

/// How far it is, on a terminal; away when dropped.
struct Shown(ProgressBar);

impl Shown {
    fn new(output: Output) -> Self {
        let visible = output == Output::Human && std::io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{spinner} {msg}").expect("the template is correct");
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    fn show(&self, Progress { round, done, total }: Progress) {
        let what = if round == 0 { "listing objects" } else { "reading what they depend on" };
        self.say(&format!("{what}: {done} of {total}"));
    }

    fn say(&self, words: &str) {
        self.0.set_message(words.to_owned());
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use asya_cluster::report::testing::{healthy, report};

    #[test]
    fn the_exit_code_says_whether_problems_were_found() {
        assert_eq!(code(&report()), exit::FOUND);
        assert_eq!(code(&healthy()), exit::OK);
        let mut incomplete = healthy();
        incomplete.errors.push("list pods: forbidden".to_owned());
        assert_eq!(code(&incomplete), exit::FAILED, "nobody knows whether there are problems");
    }

    #[test]
    fn rules_are_read_from_files_and_what_is_wrong_is_told_with_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = |text: &str| {
            let file = folder.path().join("rules.yaml");
            std::fs::write(&file, text).unwrap();
            read_rules(&[file, PathBuf::from(TRIVY)]).map_err(|error| error.to_string())
        };
        assert_eq!(file("- {group: example.com, kind: Database}").unwrap().len(), 1 + 4);
        let wrong = file("- {group: example.com, kind: database}").unwrap_err();
        assert!(wrong.contains("rules.yaml") && wrong.contains("[0].kind"), "{wrong}");
        let absent = read_rules(&[folder.path().join("none")]).unwrap_err().to_string();
        assert!(absent.contains("--rules") && absent.contains("none"), "{absent}");
    }
}
