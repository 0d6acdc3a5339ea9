//! Values of a chart: data that a model writes, or that a release holds and nobody else is to see.

use asya_analysis::scrub::{HIDDEN, scrub_value};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::kube::consent::refused::{Refused, refuse, shortened};

/// Largest values, in bytes as JSON.
const LARGEST: usize = 64 * 1024;
/// Deepest nesting.
const DEEPEST: usize = 32;
/// Secrets shorter than this are not looked for in what helm says: they are part of any sentence.
const SHORTEST: usize = 4;
/// Names of values that say how something is run, and no secret. What is called otherwise is not shown, whatever it is.
const SHOWN: [&str; 32] = [
    "accessmode",
    "apiversion",
    "architecture",
    "class",
    "cpu",
    "effect",
    "fullnameoverride",
    "host",
    "hostname",
    "image",
    "ingressclassname",
    "kind",
    "loglevel",
    "memory",
    "mode",
    "name",
    "nameoverride",
    "namespace",
    "operator",
    "path",
    "pathtype",
    "policy",
    "pullpolicy",
    "registry",
    "repository",
    "schedule",
    "size",
    "storageclass",
    "tag",
    "timezone",
    "type",
    "version",
];

/// Values as a model wrote them: a tree without anything that a chart could run as a template.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Values(pub(super) Map<String, Value>);

impl Values {
    /// Reads an object, or one document of YAML in a text.
    pub(super) fn read(given: Option<Value>) -> Result<Self, Refused> {
        let read = match given {
            None => return Ok(Self::default()),
            Some(Value::String(text)) if text.len() > LARGEST => {
                return refuse(format!("the values have more than {LARGEST} bytes"));
            }
            Some(Value::String(text)) => {
                let mut documents: Vec<Value> = serde_saphyr::from_multiple(&text).map_err(|error| {
                    let said = error.to_string();
                    Refused(format!(
                        "the values are no YAML: {}",
                        shortened(said.lines().next().unwrap_or_default())
                    ))
                })?;
                if documents.len() > 1 {
                    return refuse("the values are more than one document");
                }
                documents.pop().unwrap_or_default()
            }
            Some(other) => other,
        };
        let fields = match read {
            Value::Object(fields) => fields,
            Value::Null => return Ok(Self::default()),
            _ => return refuse("the values must be an object"),
        };
        let values = Self(fields);
        values.check()?;
        Ok(values)
    }

    /// Whether they are within bounds, and data only: values may have been written down elsewhere.
    pub(super) fn check(&self) -> Result<(), Refused> {
        let all = Value::Object(self.0.clone());
        if depth(&all) > DEEPEST {
            return refuse(format!("the values are nested more than {DEEPEST} deep"));
        }
        if all.to_string().len() > LARGEST {
            return refuse(format!("the values have more than {LARGEST} bytes"));
        }
        if is_template(&all) {
            return refuse(
                "the values hold {{: a chart may run that as a template, which can read the cluster. Write what it would give",
            );
        }
        Ok(())
    }

    /// What a release gets: these over those that it has.
    pub(super) fn over(&self, held: &Value) -> Value {
        let mut all = held.as_object().cloned().unwrap_or_default();
        merge(&mut all, &self.0);
        Value::Object(all)
    }
}

/// Nested further than this is not looked at: [`DEEPEST`] is exceeded already.
fn depth(value: &Value) -> usize {
    match value {
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or_default(),
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

fn is_template(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.iter().any(|(name, field)| name.contains("{{") || is_template(field)),
        Value::Array(items) => items.iter().any(is_template),
        Value::String(text) => text.contains("{{"),
        _ => false,
    }
}

fn merge(all: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (name, field) in over {
        match (all.get_mut(name), field) {
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            _ => drop(all.insert(name.clone(), field.clone())),
        }
    }
}

/// Values as whoever asks may see them: their names, what switches something, and texts that are called after what is no
/// secret. Of all else that there is something.
pub(super) fn shown(values: &Value) -> Value {
    hidden("", values, &mut |_, _| ())
}

/// Texts of values that nobody is to see, longest first.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    /// All that [`shown`] leaves out: for what is said in passing, as errors are.
    pub(super) all: Vec<String>,
    /// Those of them that are called after a secret or look like one: for what somebody has to see, as diffs are.
    pub(super) sure: Vec<String>,
}

impl Secrets {
    /// Those of these values.
    pub(super) fn of(values: &Value) -> Self {
        let mut secrets = Self::default();
        secrets.add(values);
        secrets
    }

    /// Those of these values, too.
    pub(super) fn add(&mut self, values: &Value) {
        let Self { all, sure } = self;
        hidden("", values, &mut |text, is_sure| {
            // A text of several lines is quoted line by line.
            for part in [text].into_iter().chain(text.lines()).filter(|part| part.len() >= SHORTEST) {
                all.push(part.to_owned());
                if is_sure {
                    sure.push(part.to_owned());
                }
            }
        });
        for list in [all, sure] {
            list.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
            list.dedup();
        }
    }
}

/// A text without these secrets.
pub(super) fn without(text: &str, secrets: &[String]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), HIDDEN))
}

fn hidden(name: &str, value: &Value, hides: &mut dyn FnMut(&str, bool)) -> Value {
    let text = match value {
        Value::Object(fields) => {
            let shown = fields.iter().map(|(name, field)| (name.clone(), hidden(name, field, hides)));
            return Value::Object(shown.collect());
        }
        Value::Array(items) => return items.iter().map(|item| hidden(name, item, hides)).collect(),
        Value::Null | Value::Bool(_) => return value.clone(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => text.clone(),
    };
    let is_sure = scrub_value(name, &text) != text;
    let known = value.is_number() || SHOWN.contains(&name.to_ascii_lowercase().as_str());
    if text.is_empty() || (known && !is_sure) {
        return value.clone();
    }
    hides(&text, is_sure);
    HIDDEN.into()
}
