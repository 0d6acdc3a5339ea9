//! Everything that is wrong with a manifest, at once.

use std::fmt;

use serde_json::{Map, Value};

use crate::{
    API_VERSION, Delay, KIND, RUNTIME_CONTAINER, SIDECAR_CONTAINER,
    shape::{ASYNC_ACTOR, Field, Shape},
};

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
    let mut found = Findings::default();
    found.shape(manifest, &ASYNC_ACTOR);
    found.identity(manifest);
    if let Some(spec) = manifest.get("spec").and_then(Value::as_object) {
        found.at("spec", |found| found.spec(spec));
    }
    found.problems
}

#[derive(Default)]
struct Findings {
    path: Vec<Step>,
    problems: Vec<Problem>,
}

impl Findings {
    fn at<T>(&mut self, key: &str, look: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(Step::Key(key.to_owned()));
        let result = look(self);
        self.path.pop();
        result
    }

    fn add(&mut self, severity: Severity, message: impl Into<String>) {
        self.problems.push(Problem { path: self.path.clone(), severity, message: message.into() });
    }

    fn error(&mut self, message: impl Into<String>) {
        self.add(Severity::Error, message);
    }

    fn shape(&mut self, value: &Value, shape: &Shape) {
        match shape {
            Shape::Any => {}
            Shape::Text if value.as_str().is_some_and(|text| !text.is_empty()) => {}
            Shape::Text if value.is_string() => self.error("must not be empty"),
            Shape::Text => self.error(format!("must be text, not {}; put it in quotes", kind_of(value))),
            Shape::Bool if value.is_boolean() => {}
            Shape::Bool => self.error(format!("must be true or false, not {}", shown(value))),
            Shape::Whole(min, max) => {
                if !value.as_u64().is_some_and(|number| (*min..=*max).contains(&number)) {
                    self.error(format!("must be a whole number of at least {min}, not {}", shown(value)));
                }
            }
            Shape::Number(min, max) => {
                if !value.as_f64().is_some_and(|number| (*min..=*max).contains(&number)) {
                    self.error(format!("must be a number from {min} to {max}, not {}", shown(value)));
                }
            }
            Shape::Delay => {
                if let Some(Err(message)) = value.as_str().map(Delay::parse) {
                    self.error(message);
                } else if !value.is_string() && value.as_u64().is_none() {
                    self.error(format!(
                        "must be seconds or a duration such as \"500ms\", not {}",
                        shown(value)
                    ));
                }
            }
            Shape::Workers => {
                if !value.as_u64().is_some_and(|number| (1..=1024).contains(&number)) && value != "auto" {
                    self.error(format!(
                        "must be a number of processes from 1 to 1024, or auto, not {}",
                        shown(value)
                    ));
                }
            }
            Shape::Word(words) => {
                if !value.as_str().is_some_and(|word| words.contains(&word)) {
                    self.error(format!("must be one of {}, not {}", words.join(", "), shown(value)));
                }
            }
            Shape::Labels => match value.as_object() {
                Some(labels) => {
                    for (key, value) in labels.iter().filter(|(_, value)| !value.is_string()) {
                        self.at(key, |found| {
                            found.error(format!("must be text, not {}; put it in quotes", shown(value)));
                        });
                    }
                }
                None => self.error(format!("must be an object, not {}", kind_of(value))),
            },
            Shape::List(item) => match value.as_array() {
                Some(items) => {
                    for (index, value) in items.iter().enumerate() {
                        self.path.push(Step::Index(index));
                        self.shape(value, item);
                        self.path.pop();
                    }
                }
                None => self.error(format!("must be a list, not {}", kind_of(value))),
            },
            Shape::Object(fields) => self.object(value, fields, true),
            Shape::Open(fields) => self.object(value, fields, false),
        }
    }

    fn object(&mut self, value: &Value, fields: &[Field], closed: bool) {
        let Some(members) = value.as_object() else {
            return self.error(format!("must be an object, not {}", kind_of(value)));
        };
        for (name, value) in members {
            match fields.iter().find(|field| field.name == name) {
                // As in Kubernetes, null is the same as absent.
                Some(_) if value.is_null() => {}
                Some(field) => self.at(name, |found| found.shape(value, &field.shape)),
                None if closed => self.at(name, |found| {
                    let hint = nearest(name, fields)
                        .map_or_else(String::new, |known| format!("; did you mean \"{known}\"?"));
                    found.error(format!("unknown field \"{name}\"{hint}"));
                }),
                None => {}
            }
        }
        for field in fields.iter().filter(|field| field.required) {
            if members.get(field.name).is_none_or(Value::is_null) {
                self.error(format!("field \"{}\" is missing", field.name));
            }
        }
    }

    fn identity(&mut self, manifest: &Value) {
        for (key, wanted) in [("apiVersion", API_VERSION), ("kind", KIND)] {
            if let Some(found) = manifest.get(key).and_then(Value::as_str).filter(|found| *found != wanted) {
                self.at(key, |findings| findings.error(format!("must be {wanted}, not {found}")));
            }
        }
        let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let fits = name.len() <= 63
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-');
        self.at("metadata", |found| {
            found.at("name", |found| {
                if !fits {
                    found.error(format!(
                        "\"{name}\" must be at most 63 of a-z, 0-9 and '-', with '-' neither first nor last"
                    ));
                } else if name.starts_with("asya-") {
                    found.error(format!(
                        "\"{name}\" must not start with asya-: that prefix makes the queue's name"
                    ));
                }
            });
        });
    }

    fn spec(&mut self, spec: &Map<String, Value>) {
        if !spec.contains_key("workload")
            && !spec.contains_key("handler")
            && !spec.contains_key("workloadRef")
        {
            self.error("field \"workload\" is missing (or the short form: handler: module.function)");
        }
        if let Some(scaling) = spec.get("scaling") {
            let number = |key: &str| scaling.get(key).and_then(Value::as_u64);
            if let (Some(min), Some(max)) = (number("minReplicas"), number("maxReplicas"))
                && min > max
            {
                self.at("scaling", |found| {
                    found
                        .at("minReplicas", |found| found.error(format!("is {min}, above maxReplicas {max}")));
                });
            }
        }
        if let Some(workload) = spec.get("workload") {
            self.at("workload", |found| found.workload(workload, spec.contains_key("handler")));
        }
        if let Some(list) = spec.get("env").and_then(Value::as_array) {
            self.at("env", |found| found.env(list));
        }
    }

    fn workload(&mut self, workload: &Value, short: bool) {
        if let Some(kind) = workload.get("type") {
            self.at("type", |found| match workload.get("kind") {
                Some(other) if other != kind => found.error("and kind must agree; write only kind"),
                _ => found.add(Severity::Warning, "is an older spelling: write kind"),
            });
        }
        let Some(spec) = workload.pointer("/template/spec").filter(|spec| spec.is_object()) else {
            if workload.get("template").is_some_and(Value::is_object) && !short {
                self.at("template", |found| found.error("field \"spec\" is missing"));
            }
            return;
        };
        self.at("template", |found| found.at("spec", |found| found.pod(spec, short)));
    }

    fn pod(&mut self, spec: &Value, short: bool) {
        let named =
            |container: &Value, name: &str| container.get("name").and_then(Value::as_str) == Some(name);
        let mut runtimes = 0;
        for list in ["containers", "initContainers"] {
            for (index, container) in
                spec.get(list).and_then(Value::as_array).into_iter().flatten().enumerate()
            {
                self.path.extend([Step::Key(list.to_owned()), Step::Index(index)]);
                if named(container, SIDECAR_CONTAINER) {
                    self.at("name", |found| {
                        found.error("asya-sidecar is the name of the container that is added");
                    });
                }
                if list == "containers" && named(container, RUNTIME_CONTAINER) {
                    runtimes += 1;
                    self.runtime(container, short, runtimes > 1);
                }
                self.path.truncate(self.path.len() - 2);
            }
        }
        if runtimes == 0 {
            self.error("no container is named asya-runtime: the one that runs the handler must be");
        }
    }

    fn runtime(&mut self, container: &Value, short: bool, again: bool) {
        if again {
            self.at("name", |found| found.error("only one container may be named asya-runtime"));
        }
        if container.get("command").is_some_and(|command| !command.is_null()) {
            self.at("command", |found| {
                found.error("the runtime's container must not set command: it is set to the runtime");
            });
        }
        let env = container.get("env").and_then(Value::as_array);
        if let Some(env) = env {
            self.at("env", |found| found.env(env));
        }
        let has_handler = env.into_iter().flatten().any(|var| var["name"] == "ASYA_HANDLER");
        if !has_handler && !short {
            self.add(
                Severity::Warning,
                "no handler: set the environment variable ASYA_HANDLER (module.function) or spec.handler",
            );
        }
    }

    fn env(&mut self, list: &[Value]) {
        for (index, var) in list.iter().enumerate() {
            self.path.push(Step::Index(index));
            let reserved = ["ASYA_SOCKET_DIR", "ASYA_SOCKET_NAME"];
            if let Some(name) = var.get("name").and_then(Value::as_str).filter(|name| reserved.contains(name))
            {
                self.at("name", |found| found.error(format!("{name} is set by the platform")));
            }
            match var.get("value") {
                Some(Value::String(_) | Value::Null) | None => {}
                Some(other) => self.at("value", |found| {
                    found.error(format!("must be text, not {}; put it in quotes", shown(other)));
                }),
            }
            if var.get("value").is_some() && var.get("valueFrom").is_some() {
                self.error("has both value and valueFrom");
            }
            self.path.pop();
        }
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) | Value::Object(_) => kind_of(value).to_owned(),
        scalar => scalar.to_string(),
    }
}

/// A known field that is at most two letters away, or the same in another case.
fn nearest(name: &str, fields: &[Field]) -> Option<&'static str> {
    let lower = name.to_lowercase();
    fields
        .iter()
        .map(|field| (distance(&lower, &field.name.to_lowercase()), field.name))
        .filter(|(distance, known)| *distance <= 2 && *distance < known.len() / 2 + 1)
        .min()
        .map(|(_, known)| known)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
