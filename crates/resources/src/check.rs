//! Everything that is wrong with a manifest, at once.

use std::fmt;

use serde_json::Value;

use crate::{RUNTIME_CONTAINER, rules, walk};

/// One step from a value into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Into an object.
    Key(String),
    /// Into a list, 0-based.
    Index(usize),
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Works here, or means something else than the author may think.
    Warning,
    /// Would be refused.
    Error,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where: the field, or the object that lacks it.
    pub path: Vec<Step>,
    /// How bad.
    pub severity: Severity,
    /// What is wrong, and what to do.
    pub message: String,
}

/// Writes a path as `spec.workload.template.spec.containers[0].env`.
pub fn path_text(path: &[Step]) -> impl fmt::Display + '_ {
    struct Path<'a>(&'a [Step]);
    impl fmt::Display for Path<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            for (i, step) in self.0.iter().enumerate() {
                match step {
                    Step::Key(key) if i == 0 => f.write_str(key)?,
                    Step::Key(key) => write!(f, ".{key}")?,
                    Step::Index(index) => write!(f, "[{index}]")?,
                }
            }
            Ok(())
        }
    }
    Path(path)
}

/// Finds every problem of an `AsyncActor`. Without an error among them it can be read as [`crate::AsyncActor`].
pub fn check(manifest: &Value) -> Vec<Problem> {
    let mut problems = walk::schema(manifest);
    identity(manifest, &mut problems);
    for rule in rules::rules() {
        for broken in rule.find(manifest) {
            problems.push(Problem::error(path(rule.at, &broken), rule.message));
        }
    }
    pod_environments(manifest, &mut problems);
    hints(manifest, &mut problems);
    problems
}

/// Finds what a change would break that neither state breaks by itself. Both are objects as the API server has them.
pub fn check_change(old: &Value, new: &Value) -> Vec<Problem> {
    rules::changes()
        .filter(|change| change.is_broken(old, new))
        .map(|change| Problem::error(path(change.at, change.field.trim_start_matches('.')), change.message))
        .collect()
}

impl Problem {
    pub(crate) fn error(path: Vec<Step>, message: impl Into<String>) -> Self {
        Self { path, severity: Severity::Error, message: message.into() }
    }

    fn warning(path: Vec<Step>, message: impl Into<String>) -> Self {
        Self { path, severity: Severity::Warning, message: message.into() }
    }
}

/// A path from a place and what is below it, such as `spec.env` and `[2].name`.
fn path(at: &str, below: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for key in at.split('.').chain(below.split('.')).filter(|key| !key.is_empty()) {
        let (name, indices) = key.split_at(key.find('[').unwrap_or(key.len()));
        if !name.is_empty() {
            steps.push(Step::Key(name.to_owned()));
        }
        let indices = indices.split(['[', ']']).filter_map(|index| index.parse().ok());
        steps.extend(indices.map(Step::Index));
    }
    steps
}

/// What is known of the object's own names. It stands in no rule of the CRD: such a rule would be asked again at every
/// change of the object, and so hold fast an object that is older than it.
pub(crate) fn identity(manifest: &Value, problems: &mut Vec<Problem>) {
    let Some(name) = manifest.pointer("/metadata/name").and_then(Value::as_str) else { return };
    let fits = name.len() <= 63
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    let path = path("metadata.name", "");
    if name.is_empty() {
        problems.push(Problem::error(path, "must not be empty"));
    } else if !fits {
        let message =
            format!("\"{name}\" must be at most 63 of a-z, 0-9 and '-', with '-' neither first nor last");
        problems.push(Problem::error(path, message));
    } else if name.starts_with("asya-") {
        let message = format!("\"{name}\" must not start with asya-: that prefix makes the queue's name");
        problems.push(Problem::error(path, message));
    }
}

/// Variables with two values, in the template: there Kubernetes itself refuses them when the workload is applied.
fn pod_environments(manifest: &Value, problems: &mut Vec<Problem>) {
    for list in ["containers", "initContainers"] {
        let containers = manifest.pointer(&format!("/spec/workload/template/spec/{list}"));
        for (at, container) in containers.and_then(Value::as_array).into_iter().flatten().enumerate() {
            for (index, var) in container["env"].as_array().into_iter().flatten().enumerate() {
                if !var["value"].is_null() && !var["valueFrom"].is_null() {
                    let place = path("spec.workload.template.spec", &format!("{list}[{at}].env[{index}]"));
                    problems.push(Problem::error(place, "has both value and valueFrom: keep one"));
                }
            }
        }
    }
}

/// What works, and may still not be what the author meant.
fn hints(manifest: &Value, problems: &mut Vec<Problem>) {
    let Some(spec) = manifest.get("spec") else { return };
    let there = |key: &str| spec.get(key).is_some_and(|value| !value.is_null());
    if spec["workload"]["kind"].is_null() && spec["workload"]["type"].is_string() {
        problems.push(Problem::warning(path("spec.workload.type", ""), "is an older spelling: write kind"));
    }
    let containers = spec.pointer("/workload/template/spec/containers").and_then(Value::as_array);
    let runtime = containers
        .into_iter()
        .flatten()
        .enumerate()
        .find(|(_, container)| container["name"] == RUNTIME_CONTAINER);
    let Some((index, runtime)) = runtime.filter(|_| !there("handler")) else { return };
    let names_handler =
        |env: &Value| env.as_array().into_iter().flatten().any(|var| var["name"] == "ASYA_HANDLER");
    if !names_handler(&runtime["env"]) && !names_handler(&spec["env"]) {
        problems.push(Problem::warning(
            path("spec.workload.template.spec", &format!("containers[{index}]")),
            "no handler: set the environment variable ASYA_HANDLER (module.function) or spec.handler",
        ));
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
