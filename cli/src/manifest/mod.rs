//! Reading manifests: files, directories, several documents in one file, and what is wrong with them, with lines.

pub(crate) mod yaml;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use asya_resources::{
    AsyncActor, KIND, Problem, Severity,
    agent::{self, Agent, Around},
    check, k8sgpt,
};
use serde::Serialize;
use serde_json::Value;

use crate::exit::misconfigured;
use yaml::{Node, Place};

/// An actor and the file it comes from.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    pub(crate) actor: AsyncActor,
    pub(crate) file: PathBuf,
}

impl Manifest {
    /// The directory that handlers and `.env` are looked for in.
    pub(crate) fn directory(&self) -> &Path {
        self.file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }

    pub(crate) fn name(&self) -> &str {
        &self.actor.metadata.name
    }
}

/// One problem of a manifest file.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Finding {
    pub(crate) file: PathBuf,
    pub(crate) line: u64,
    pub(crate) column: u64,
    pub(crate) severity: &'static str,
    pub(crate) path: String,
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn is_error(&self) -> bool {
        self.severity == "error"
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}: ", self.file.display(), self.line, self.column, self.severity)?;
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// What was read: the actors without an error, and every problem.
#[derive(Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) actors: Vec<Manifest>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) files: Vec<PathBuf>,
    /// Names of analyses without an error, where they are asked for.
    pub(crate) analyses: Vec<String>,
    /// Names of agents without an error, where they are asked for.
    pub(crate) agents: Vec<String>,
}

impl Loaded {
    pub(crate) fn has_errors(&self) -> bool {
        self.findings.iter().any(Finding::is_error)
    }

    /// Nothing, if there are actors and no error.
    ///
    /// # Errors
    /// Every error of the manifests.
    pub(crate) fn usable(&self) -> anyhow::Result<()> {
        if self.has_errors() {
            let lines: Vec<_> =
                self.findings.iter().filter(|finding| finding.is_error()).map(ToString::to_string).collect();
            return Err(misconfigured(format!("manifests have errors\n{}", lines.join("\n"))));
        }
        if self.actors.is_empty() {
            // What was passed over instead says why.
            let mut lines = vec!["the manifests hold no actor".to_owned()];
            lines.extend(self.findings.iter().map(ToString::to_string));
            return Err(misconfigured(lines.join("\n")));
        }
        Ok(())
    }
}

/// What a file with an agent holds.
const AGENT_LINE: &str = "kind: Agent";

/// Which resources are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kinds {
    /// Those that run here.
    Actors,
    /// Those of a cluster, too.
    All,
}

/// Reads files and directories (their `*.yaml` and `*.yml`, not deeper; the second result of a name is an error).
pub(crate) fn load(paths: &[PathBuf]) -> Loaded {
    load_kinds(paths, Kinds::Actors)
}

/// The same with analyses and agents, which are made in a cluster only.
pub(crate) fn load_all(paths: &[PathBuf]) -> Loaded {
    load_kinds(paths, Kinds::All)
}

fn load_kinds(paths: &[PathBuf], kinds: Kinds) -> Loaded {
    let mut loaded = Loaded::default();
    for path in paths {
        match files_of(path, kinds) {
            Ok(files) => loaded.files.extend(files),
            Err(message) => loaded.findings.push(finding(path, Place::default(), "error", "", message)),
        }
    }
    loaded.files.sort();
    loaded.files.dedup();
    for file in loaded.files.clone() {
        read(&file, kinds, &mut loaded);
    }
    loaded
}

fn files_of(path: &Path, kinds: Kinds) -> Result<Vec<PathBuf>, String> {
    if !path.is_dir() {
        return match path.try_exists() {
            Ok(true) => Ok(vec![path.to_owned()]),
            Ok(false) => Err("no such file".to_owned()),
            Err(error) => Err(error.to_string()),
        };
    }
    let entries = std::fs::read_dir(path).map_err(|error| error.to_string())?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml"))
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    if files.is_empty() {
        return Err("no .yaml file in this directory".to_owned());
    }
    // Of a directory only the files with actors count: a values file or a compose file may lie beside them. A file
    // that cannot be read as YAML may be meant as one: silence would leave out an actor because of a slip.
    files.retain(|file| {
        let text = std::fs::read_to_string(file);
        let of_cluster = |text: &str| text.contains(k8sgpt::KIND) || text.contains(AGENT_LINE);
        let meant = |text: &str| text.contains(KIND) || (kinds == Kinds::All && of_cluster(text));
        text.map_or(true, |text| meant(&text) || yaml::parse(&text).is_err())
    });
    if files.is_empty() {
        let or = if kinds == Kinds::All {
            format!(", {} or {}", k8sgpt::KIND, agent::KIND)
        } else {
            String::new()
        };
        return Err(format!("no file with a resource of kind {KIND}{or} in this directory"));
    }
    Ok(files)
}

fn read(file: &Path, kinds: Kinds, loaded: &mut Loaded) {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) => {
            return loaded.findings.push(finding(file, Place::default(), "error", "", error.to_string()));
        }
    };
    let nodes = match yaml::parse(&text) {
        Ok(nodes) => nodes,
        Err(error) => return loaded.findings.push(finding(file, error.place, "error", "", error.message)),
    };
    if nodes.is_empty() {
        let message = "the file holds no document".to_owned();
        loaded.findings.push(finding(file, Place::default(), "error", "", message));
    }
    for node in nodes {
        read_document(file, &node, kinds, loaded);
    }
}

fn read_document(file: &Path, node: &Node, kinds: Kinds, loaded: &mut Loaded) {
    let value = node.value();
    let kind = value.get("kind").and_then(Value::as_str);
    match kind.filter(|_| kinds == Kinds::All) {
        Some(k8sgpt::KIND) => return read_analysis(file, node, &value, loaded),
        Some(agent::KIND) => return read_agent(file, node, &value, loaded),
        Some(kind @ (k8sgpt::RESULT_KIND | k8sgpt::MUTATION_KIND)) => {
            let message = format!("kind {kind} is passed over: an analysis writes it, nobody else needs to");
            return loaded.findings.push(finding(file, node.place, "warning", "kind", message));
        }
        _ => {}
    }
    if let Some(kind) = kind.filter(|kind| *kind != KIND) {
        let message = match kind {
            agent::KIND => format!(
                "kind {kind} is passed over: the operator makes an actor of it in a cluster; here write that actor, an {KIND} with \
                 the handler asya_crew.agent"
            ),
            _ => format!("kind {kind} is passed over: only {KIND} means something here"),
        };
        return loaded.findings.push(finding(file, node.place, "warning", "kind", message));
    }
    if tell(file, node, check(&value), loaded) {
        return;
    }
    match AsyncActor::read(&value) {
        Ok(actor) => {
            let manifest = Manifest { actor, file: file.to_owned() };
            if let Some(first) = loaded.actors.iter().find(|first| first.name() == manifest.name()) {
                let message = format!(
                    "\"{}\" is also the name of an actor in {}",
                    manifest.name(),
                    first.file.display()
                );
                let path =
                    [asya_resources::Step::Key("metadata".into()), asya_resources::Step::Key("name".into())];
                return loaded.findings.push(finding(
                    file,
                    node.find(&path),
                    "error",
                    "metadata.name",
                    message,
                ));
            }
            loaded.actors.push(manifest);
        }
        Err(error) => loaded.findings.push(finding(file, node.place, "error", "", error.to_string())),
    }
}

/// Says what is wrong; whether one of it is an error.
fn tell(file: &Path, node: &Node, problems: Vec<Problem>, loaded: &mut Loaded) -> bool {
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    for problem in problems {
        let severity = if problem.severity == Severity::Error { "error" } else { "warning" };
        let path = check::path_text(&problem.path).to_string();
        loaded.findings.push(finding(file, node.find(&problem.path), severity, &path, problem.message));
    }
    failed
}

/// A `K8sGPT`: what the API server would refuse, and what would be done in another way than it says.
fn read_analysis(file: &Path, node: &Node, value: &Value, loaded: &mut Loaded) {
    if tell(file, node, k8sgpt::rules::check(value), loaded) {
        return;
    }
    match k8sgpt::K8sGpt::read(value) {
        Ok(analysis) => {
            for warning in k8sgpt::warnings(&analysis.spec) {
                loaded.findings.push(finding(file, node.place, "warning", &warning.field, warning.message));
            }
            loaded.analyses.push(analysis.metadata.name);
        }
        Err(error) => loaded.findings.push(finding(file, node.place, "error", "", error.to_string())),
    }
}

/// An `Agent`: what the API server would refuse, and why the operator would not run it. What a ConfigMap says is not known
/// here.
fn read_agent(file: &Path, node: &Node, value: &Value, loaded: &mut Loaded) {
    if tell(file, node, agent::rules::check(value), loaded) {
        return;
    }
    let agent = match Agent::read(value) {
        Ok(agent) => agent,
        Err(error) => {
            return loaded.findings.push(finding(file, node.place, "error", "", error.to_string()));
        }
    };
    let around = Around { image: "asya-crew", pull_policy: None, keda: true };
    let objections = match &agent.spec.definition_ref {
        Some(_) => Vec::new(),
        None => agent::compile(&agent, &around).err().unwrap_or_default(),
    };
    for objection in &objections {
        let message = objection.to_string();
        loaded.findings.push(finding(file, node.place, "error", objection.field(), message));
    }
    if objections.is_empty() {
        loaded.agents.push(agent.metadata.name);
    }
}

fn finding(
    file: &Path,
    place: Place,
    severity: &'static str,
    path: &str,
    message: impl Into<String>,
) -> Finding {
    Finding {
        file: file.to_owned(),
        line: place.line.max(1),
        column: place.column.max(1),
        severity,
        path: path.to_owned(),
        message: message.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "apiVersion: asya.sh/v1alpha1\nkind: AsyncActor\nmetadata: {name: NAME}\nspec:\n  transport: rabbitmq\n  handler: a.b\n";

    fn loaded(files: &[(&str, &str)]) -> (Loaded, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        (load(&[directory.path().to_owned()]), directory)
    }

    #[test]
    fn an_agent_is_compiled_where_it_is_asked_for_and_told_where_it_is_not() {
        let model = "{provider: ollama, name: m, baseUrl: 'http://o'}";
        let agent = |tools: &str| {
            format!(
                "apiVersion: asya.sh/v1alpha1\nkind: Agent\nmetadata: {{name: ops}}\nspec:\n  transport: t\n  prompt: p\n  model: {model}\n  tools: {tools}\n"
            )
        };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ops.yaml");
        let all = |tools: &str| {
            std::fs::write(&file, agent(tools)).unwrap();
            load_all(&[directory.path().to_owned()])
        };
        let good = all("{allow: [k8s_read]}");
        assert_eq!((good.agents, good.findings.len()), (vec!["ops".to_owned()], 0));
        for (tools, path) in [
            ("{allow: [k8s_write]}", "spec.tools.allow"),
            ("{allow: [k8s_raed]}", "spec.tools.allow"),
            ("{allowed: []}", "spec.tools.allowed"),
        ] {
            let bad = all(tools);
            assert_eq!((bad.findings.len(), bad.agents.len()), (1, 0), "{:?}", bad.findings);
            assert!(bad.findings[0].is_error() && bad.findings[0].path == path, "{:?}", bad.findings);
        }
        let here = load(std::slice::from_ref(&file));
        assert!(
            !here.has_errors() && here.findings[0].message.contains("asya_crew.agent"),
            "{:?}",
            here.findings
        );
    }

    #[test]
    fn several_documents_and_files_are_read_and_others_are_passed_over() {
        let two = format!("{}---\n{}", GOOD.replace("NAME", "a"), GOOD.replace("NAME", "b"));
        let three = GOOD.replace("NAME", "c");
        let (loaded, _kept) =
            loaded(&[("1.yaml", &two), ("2.yml", &three), ("values.yaml", "x: 1"), ("n.txt", "")]);
        let names: Vec<_> = loaded.actors.iter().map(Manifest::name).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(loaded.findings.is_empty(), "{:?}", loaded.findings);
    }

    #[test]
    fn an_analysis_is_checked_where_it_is_asked_for() {
        let analysis = "apiVersion: core.k8sgpt.ai/v1alpha1\nkind: K8sGPT\nmetadata: {name: sample}\nspec: {version: v0.3.41}\n";
        let (here, kept) = loaded(&[("1.yaml", &GOOD.replace("NAME", "a")), ("2.yaml", analysis)]);
        assert!(here.analyses.is_empty() && here.findings.is_empty(), "{:?}", here.findings);
        let all = load_all(&[kept.path().to_owned()]);
        assert_eq!((all.actors.len(), all.analyses), (1, vec!["sample".to_owned()]));
        assert!(
            all.findings[0].path == "spec.repository" && !all.findings[0].is_error(),
            "{:?}",
            all.findings
        );
        let wrong = analysis.replace("{version: v0.3.41}", "{suppress: [{}]}");
        std::fs::write(kept.path().join("2.yaml"), wrong).unwrap();
        let all = load_all(&[kept.path().to_owned()]);
        assert!(all.has_errors() && all.analyses.is_empty(), "{:?}", all.findings);
    }

    #[test]
    fn a_problem_is_reported_with_its_line() {
        let text = format!("{}  scaling:\n    minReplica: 1\n", GOOD.replace("NAME", "a"));
        let (loaded, _kept) = loaded(&[("1.yaml", &text)]);
        assert!(loaded.actors.is_empty() && loaded.has_errors());
        assert_eq!((loaded.findings[0].line, loaded.findings[0].column), (8, 5));
    }

    #[test]
    fn a_file_of_a_directory_that_is_no_yaml_is_an_error() {
        let (loaded, _kept) =
            loaded(&[("1.yaml", &GOOD.replace("NAME", "a")), ("2.yaml", "kind: x\n foo: [")]);
        assert_eq!(loaded.actors.len(), 1);
        assert_eq!(loaded.findings.len(), 1, "{:?}", loaded.findings);
        assert!(loaded.findings[0].file.ends_with("2.yaml"), "{:?}", loaded.findings);
        assert!(
            !loaded.findings[0].message.contains(" at line "),
            "the place is said once: {:?}",
            loaded.findings
        );
    }

    #[test]
    fn a_name_that_is_used_twice_is_an_error() {
        let text = GOOD.replace("NAME", "a");
        let (loaded, _kept) = loaded(&[("1.yaml", &text), ("2.yaml", &text)]);
        assert!(loaded.findings[0].message.contains("also the name"), "{:?}", loaded.findings);
    }
}
