//! One tool that can be called.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Map, Value};

use super::{
    config::{Defaults, File, Kind, Parameter, RouteEntry, ToolEntry},
    schema,
};

/// Lifetime of an envelope whose tool says nothing.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest lifetime of an envelope.
pub const MAX_TIMEOUT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a call waits for its result when its tool says nothing.
pub const DEFAULT_WAIT: Duration = Duration::from_secs(60);
/// Longest name of a tool.
const MAX_NAME: usize = 128;
/// Deepest nesting of parameters.
const MAX_DEPTH: usize = 16;

/// One tool: checked, with everything that a call needs.
#[derive(Debug)]
pub struct Tool {
    /// Name that callers use.
    pub name: String,
    /// What it does.
    pub description: String,
    /// JSON Schema of its arguments, an object.
    pub schema: Map<String, Value>,
    /// Actors in order, at least one.
    pub route: Vec<String>,
    /// Whether the answer names a stream of updates.
    pub progress: bool,
    /// Lifetime of an envelope.
    pub timeout: Duration,
    /// How long a call waits for the result; `None`: it answers with a handle at once.
    pub wait: Option<Duration>,
    /// How long a call that asks for progress waits.
    pub wait_limit: Duration,
    /// Told to the caller as it is.
    pub metadata: Option<Map<String, Value>>,
    parameters: BTreeMap<String, Parameter>,
    validator: jsonschema::Validator,
}

/// One argument that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Path of the argument: `order.items.0`; empty for the arguments as a whole.
    pub field: String,
    /// What is wrong with it, and what it must be.
    pub reason: String,
    /// True when a required parameter is missing: the Go system's clients know the sentence for it.
    pub missing: bool,
}

impl Tool {
    /// Checks an entry against the routes of all files; every fault is told.
    pub(crate) fn new(
        entry: ToolEntry,
        routes: &BTreeMap<String, Vec<String>>,
        defaults: &Defaults,
    ) -> Result<Self, Vec<String>> {
        let mut faults = Vec::new();
        let name = &entry.name;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(allowed) {
            faults.push(format!(
                "tool name {name:?} must be 1 to {MAX_NAME} of A-Z, a-z, 0-9, '_', '.' and '-'"
            ));
        }
        let mut fault = |text: String| faults.push(format!("tool {name:?}: {text}"));
        let route = match &entry.route {
            RouteEntry::Actors(actors) => actors.clone(),
            RouteEntry::Named(route) => routes.get(route).cloned().unwrap_or_else(|| {
                let known: Vec<_> = routes.keys().map(String::as_str).collect();
                fault(format!("there is no route {route:?}; routes: {}", list(&known)));
                vec![String::new()]
            }),
        };
        check_route(&route, &mut fault);
        let timeout = seconds(entry.timeout.or(defaults.timeout), DEFAULT_TIMEOUT, "timeout", &mut fault);
        let wait_limit = seconds(entry.wait_limit, DEFAULT_WAIT, "wait_limit", &mut fault);
        for (name, parameter) in &entry.parameters {
            check_parameter(name, parameter, 0, &mut fault);
        }
        let schema = schema::object(&entry.parameters, entry.strict);
        let validator = jsonschema::draft202012::new(&Value::Object(schema.clone()));
        let validator = match validator {
            Ok(validator) if faults.is_empty() => validator,
            Ok(_) => return Err(faults),
            Err(error) => {
                faults.push(format!("tool {name:?}: its parameters make no schema: {error}"));
                return Err(faults);
            }
        };
        Ok(Self {
            schema,
            route,
            progress: entry.progress.or(defaults.progress).unwrap_or(false),
            timeout,
            wait: entry.wait.then_some(wait_limit),
            wait_limit,
            metadata: entry.metadata,
            parameters: entry.parameters,
            validator,
            name: entry.name,
            description: entry.description,
        })
    }

    /// Arguments with defaults where they are missing, or everything that is wrong with them.
    ///
    /// # Errors
    /// Every wrong argument by its path.
    pub fn arguments(&self, mut given: Map<String, Value>) -> Result<Value, Vec<Wrong>> {
        schema::apply_defaults(&self.parameters, &mut given);
        let given = Value::Object(given);
        let wrong: Vec<_> = self.validator.iter_errors(&given).map(|error| wrong(&error)).collect();
        if wrong.is_empty() { Ok(given) } else { Err(wrong) }
    }
}

fn wrong(error: &jsonschema::ValidationError<'_>) -> Wrong {
    let mut field = error.instance_path().as_str().trim_start_matches('/').replace('/', ".");
    if let jsonschema::error::ValidationErrorKind::Required { property } = error.kind() {
        let name = property.as_str().unwrap_or_default();
        field = if field.is_empty() { name.to_owned() } else { format!("{field}.{name}") };
        return Wrong { reason: format!("missing required parameter: {field}"), field, missing: true };
    }
    let reason = if field.is_empty() { error.to_string() } else { format!("parameter {field}: {error}") };
    Wrong { field, reason, missing: false }
}

fn check_route(route: &[String], fault: &mut impl FnMut(String)) {
    if route.is_empty() {
        fault("its route has no actor".to_owned());
    }
    for actor in route.iter().filter(|actor| !actor.is_empty()) {
        if let Err(error) = asya_envelope::ActorName::parse(actor) {
            fault(format!("its route: {error}"));
        }
    }
}

fn check_parameter(path: &str, parameter: &Parameter, depth: usize, fault: &mut impl FnMut(String)) {
    if depth == MAX_DEPTH {
        return fault(format!("parameter {path}: nested deeper than {MAX_DEPTH}"));
    }
    let kind = parameter.kind.as_str();
    if !parameter.properties.is_empty() && parameter.kind != Kind::Object {
        fault(format!("parameter {path}: only an object has properties, and this is a {kind}"));
    }
    if parameter.items.is_some() && parameter.kind != Kind::Array {
        fault(format!("parameter {path}: only an array has items, and this is a {kind}"));
    }
    for option in parameter.options.iter().filter(|option| !parameter.kind.holds(option)) {
        fault(format!("parameter {path}: the option {option} is not of type {kind}"));
    }
    if let Some(default) = &parameter.default {
        if !parameter.kind.holds(default) {
            fault(format!("parameter {path}: the default {default} is not of type {kind}"));
        } else if !parameter.options.is_empty() && !parameter.options.contains(default) {
            fault(format!("parameter {path}: the default {default} is none of its options"));
        }
    }
    for (name, member) in &parameter.properties {
        check_parameter(&format!("{path}.{name}"), member, depth + 1, fault);
    }
    if let Some(items) = &parameter.items {
        check_parameter(&format!("{path}[]"), items, depth + 1, fault);
    }
}

impl Kind {
    fn holds(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Number => value.is_number(),
            Self::Integer => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            Self::Boolean => value.is_boolean(),
            Self::Object => value.is_object(),
            Self::Array => value.is_array(),
        }
    }
}

fn seconds(given: Option<f64>, default: Duration, what: &str, fault: &mut impl FnMut(String)) -> Duration {
    let Some(given) = given else { return default };
    match Duration::try_from_secs_f64(given) {
        Ok(duration) if !duration.is_zero() && duration <= MAX_TIMEOUT => duration,
        _ => {
            fault(format!("{what} is {given} s; it must be above 0 and at most {} s", MAX_TIMEOUT.as_secs()));
            default
        }
    }
}

pub(super) fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Everything that files say, put together; every fault with the file it is in.
pub(crate) fn assemble(files: Vec<(String, File)>) -> Result<Vec<Tool>, Vec<String>> {
    let mut faults = Vec::new();
    let mut routes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut defaults = Defaults::default();
    let mut origins: BTreeMap<String, String> = BTreeMap::new();
    for (file, content) in &files {
        for (name, actors) in &content.routes {
            if routes.insert(name.clone(), actors.clone()).is_some() {
                faults.push(format!("{file}: route {name:?} is defined twice"));
            }
        }
        if let Some(given) = &content.defaults {
            defaults = given.clone();
        }
    }
    let mut tools = Vec::new();
    for (file, content) in files {
        for entry in content.tools {
            if let Some(first) = origins.insert(entry.name.clone(), file.clone()) {
                faults.push(format!("{file}: tool {:?} is defined twice, first in {first}", entry.name));
                continue;
            }
            match Tool::new(entry, &routes, &defaults) {
                Ok(tool) => tools.push(tool),
                Err(found) => faults.extend(found.into_iter().map(|fault| format!("{file}: {fault}"))),
            }
        }
    }
    if tools.is_empty() && faults.is_empty() {
        faults.push("no file defines a tool".to_owned());
    }
    if faults.is_empty() { Ok(tools) } else { Err(faults) }
}
