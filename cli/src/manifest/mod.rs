//! Reading manifests: files, directories, several documents in one file, and what is wrong with them, with lines.

mod sidecar;
pub(crate) mod yaml;

use std::{
    collections::BTreeMap,
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

/// An agent and the file it comes from.
#[derive(Clone, Debug)]
pub(crate) struct AgentManifest {
    pub(crate) agent: Agent,
    pub(crate) file: PathBuf,
}

impl AgentManifest {
    pub(crate) fn name(&self) -> &str {
        &self.agent.metadata.name
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
    /// The agents without an error.
    pub(crate) agents: Vec<AgentManifest>,
    /// What ConfigMaps hold, by their name and key: agents may take their texts from there.
    pub(crate) texts: BTreeMap<(String, String), String>,
}

impl Loaded {
    pub(crate) fn has_errors(&self) -> bool {
        self.findings.iter().any(Finding::is_error)
    }

    /// Nothing, if there are actors or agents and no error.
    ///
    /// # Errors
    /// Every error of the manifests.
    pub(crate) fn usable(&self) -> anyhow::Result<()> {
        if self.has_errors() {
            let lines: Vec<_> =
                self.findings.iter().filter(|finding| finding.is_error()).map(ToString::to_string).collect();
            return Err(misconfigured(format!("manifests have errors\n{}", lines.join("\n"))));
        }
        if self.actors.is_empty() && self.agents.is_empty() {
            // What was passed over instead says why.
            let mut lines = vec!["the manifests hold no actor".to_owned()];
            lines.extend(self.findings.iter().map(ToString::to_string));
            return Err(misconfigured(lines.join("\n")));
        }
        Ok(())
    }
}

/// What a file with an agent holds, and one with a text for it.
const BESIDE: [&str; 2] = ["kind: Agent", "kind: ConfigMap"];

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

/// The same with analyses, which are made in a cluster only.
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
        let here = |text: &str| text.contains(KIND) || BESIDE.iter().any(|line| text.contains(line));
        let meant = |text: &str| here(text) || (kinds == Kinds::All && text.contains(k8sgpt::KIND));
        text.map_or(true, |text| meant(&text) || yaml::parse(&text).is_err())
    });
    if files.is_empty() {
        let or = if kinds == Kinds::All { format!(", {}", k8sgpt::KIND) } else { String::new() };
        return Err(format!(
            "no file with a resource of kind {KIND}{or} or {} in this directory",
            agent::KIND
        ));
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
        Some(kind @ (k8sgpt::RESULT_KIND | k8sgpt::MUTATION_KIND)) => {
            let message = format!("kind {kind} is passed over: an analysis writes it, nobody else needs to");
            return loaded.findings.push(finding(file, node.place, "warning", "kind", message));
        }
        _ => {}
    }
    match kind {
        Some(agent::KIND) => return read_agent(file, node, &value, loaded),
        Some("ConfigMap") => return read_texts(&value, loaded),
        _ => {}
    }
    if let Some(kind) = kind.filter(|kind| *kind != KIND) {
        let message =
            format!("kind {kind} is passed over: only {KIND} and {} mean something here", agent::KIND);
        return loaded.findings.push(finding(file, node.place, "warning", "kind", message));
    }
    if tell(file, node, check(&value), loaded) {
        return;
    }
    match AsyncActor::read(&value) {
        Ok(actor) => {
            if tell(file, node, sidecar::check(&actor), loaded) {
                return;
            }
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

/// The texts of a `ConfigMap`, for agents that name it.
fn read_texts(value: &Value, loaded: &mut Loaded) {
    let Some(name) = value.pointer("/metadata/name").and_then(Value::as_str) else { return };
    let data = value.get("data").and_then(Value::as_object).into_iter().flatten();
    loaded.texts.extend(
        data.filter_map(|(key, text)| Some(((name.to_owned(), key.clone()), text.as_str()?.to_owned()))),
    );
}

/// An `Agent`: what the API server would refuse, and why the operator would not run it. What a definition says is not looked
/// at here.
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
        loaded.agents.push(AgentManifest { agent, file: file.to_owned() });
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
mod tests;
