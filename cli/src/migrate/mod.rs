//! What a team that comes from the Go system must know about each object. Pure: objects in, verdicts out.
//!
//! | module | holds |
//! |---|---|
//! | [`actor`] | AsyncActors |
//! | [`around`] | what the Go operator made for them, and what stands beside |
//! | [`values`], [`schema`] | values files of charts |
//!
//! The invariant: **what is called unchanged is accepted by the API server and the charts, and runs as it did.**

mod actor;
mod around;
mod schema;
mod values;

use std::collections::BTreeMap;

use asya_resources::Step;
use serde::Serialize;
use serde_json::Value;

/// One object or values file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object {
    /// As it is shown: `AsyncActor prod/ocr`.
    pub(crate) title: String,
    pub(crate) value: Value,
}

/// What is to be known about an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    /// Works as it is and does what it did.
    Unchanged,
    /// Works as it is; something is different or better said otherwise.
    Note,
    /// Is refused, or would do something else than it did.
    Change,
}

/// One sentence about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    /// Never [`Verdict::Unchanged`].
    pub(crate) level: Verdict,
    /// Where; empty = the object.
    pub(crate) path: Vec<Step>,
    pub(crate) message: String,
    /// What to write, delete or run.
    pub(crate) edit: Option<String>,
}

impl Advice {
    fn new(level: Verdict, path: &str, message: impl Into<String>, edit: impl Into<String>) -> Self {
        let edit = Some(edit.into()).filter(|edit: &String| !edit.is_empty());
        Self { level, path: steps(path), message: message.into(), edit }
    }

    fn note(path: &str, message: impl Into<String>, edit: impl Into<String>) -> Self {
        Self::new(Verdict::Note, path, message, edit)
    }

    fn change(path: &str, message: impl Into<String>, edit: impl Into<String>) -> Self {
        Self::new(Verdict::Change, path, message, edit)
    }
}

/// The worst of what is said.
pub(crate) fn verdict(advice: &[Advice]) -> Verdict {
    advice.iter().map(|advice| advice.level).max().unwrap_or(Verdict::Unchanged)
}

/// What all objects together say.
#[derive(Debug, Default)]
struct World {
    /// Namespaces of the actors of each name.
    actors: BTreeMap<String, Vec<String>>,
    /// Types of the transports that are configured and enabled, by name; `None`: not known.
    transports: Option<BTreeMap<String, String>>,
    /// Secrets with brokers' credentials.
    secrets: Vec<String>,
    /// Whether queue names hold the namespace; the Go system's do not.
    namespaced: bool,
}

/// Judges every object that means something here; others have no verdict. `running`: the configuration of the operator
/// that runs (`ASYA_TRANSPORT_CONFIG`), and its queue template if it has one.
pub(crate) fn judge(
    objects: &[Object],
    running: Option<&Value>,
    template: Option<&str>,
) -> Vec<Option<Vec<Advice>>> {
    let mut world = World::default();
    for object in objects {
        world.learn(&object.value);
    }
    if let Some(transports) = running.and_then(|config| config.get("transports")) {
        world.transports(transports);
    }
    world.namespaced |= template.is_some_and(|template| template.contains("{namespace}"));
    objects.iter().map(|object| of(&object.value, &world)).collect()
}

fn of(object: &Value, world: &World) -> Option<Vec<Advice>> {
    match object["kind"].as_str() {
        Some("AsyncActor") => Some(actor::advise(object, world)),
        Some(_) => around::advise(object, world),
        None => values::advise(object),
    }
}

impl World {
    fn learn(&mut self, object: &Value) {
        match object["kind"].as_str() {
            Some("AsyncActor") => {
                let name = text(&object["metadata"]["name"]).to_owned();
                self.actors.entry(name).or_default().push(namespace(object).to_owned());
            }
            Some(_) => {}
            None => {
                for values in [object, &object["operator"], &object["asya-operator"]] {
                    self.transports(&values["transports"]);
                    self.namespaced |= text(&values["queues"]["template"]).contains("{namespace}");
                }
            }
        }
    }

    /// Takes in `transports` of values or of an operator's configuration.
    fn transports(&mut self, transports: &Value) {
        for (name, transport) in transports.as_object().into_iter().flatten() {
            let known = self.transports.get_or_insert_with(BTreeMap::new);
            if transport["enabled"] == true {
                let kind = transport["type"].as_str().unwrap_or(name);
                known.insert(name.clone(), kind.to_owned());
            }
            let config = &transport["config"];
            let keys = &config["credentials"];
            let secrets = [
                &config["passwordSecretRef"],
                &keys["accessKeyIdSecretRef"],
                &keys["secretAccessKeySecretRef"],
            ];
            let names =
                secrets.into_iter().map(|secret| text(&secret["name"])).filter(|name| !name.is_empty());
            self.secrets.extend(names.map(str::to_owned));
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn namespace(object: &Value) -> &str {
    text(&object["metadata"]["namespace"])
}

/// A path such as `spec.containers[0].name`.
fn steps(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for key in path.split('.').filter(|key| !key.is_empty()) {
        let (name, indices) = key.split_at(key.find('[').unwrap_or(key.len()));
        if !name.is_empty() {
            steps.push(Step::Key(name.to_owned()));
        }
        steps.extend(indices.split(['[', ']']).filter_map(|index| index.parse().ok()).map(Step::Index));
    }
    steps
}

/// The value at a path.
fn value<'a>(object: &'a Value, path: &[Step]) -> &'a Value {
    path.iter().fold(object, |value, step| match step {
        Step::Key(key) => &value[key.as_str()],
        Step::Index(index) => &value[*index],
    })
}

#[cfg(test)]
mod tests;
