//! Environment variables.

use serde_json::{Value, json};

/// Variables of a container; the first one of a name counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Env(Vec<Value>);

impl Env {
    fn push(&mut self, name: &str, variable: Value) -> bool {
        let free = !self.has(name);
        if free {
            self.0.push(variable);
        }
        free
    }

    /// Whether a variable is set.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|variable| variable["name"] == name)
    }

    /// Sets a variable to a text.
    pub fn plain(&mut self, name: &str, value: impl Into<String>) {
        self.push(name, json!({"name": name, "value": value.into()}));
    }

    /// The same, unless there is no text or an empty one.
    pub fn some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.plain(name, value);
        }
    }

    /// Sets a variable to what a key of a Secret holds; the pod does not start without it.
    pub fn secret(&mut self, name: &str, secret: &str, key: &str) {
        let reference = json!({"name": secret, "key": key});
        self.push(name, json!({"name": name, "valueFrom": {"secretKeyRef": reference}}));
    }

    /// The same, where the key may be missing.
    pub fn optional_secret(&mut self, name: &str, secret: &str, key: &str) {
        let reference = json!({"name": secret, "key": key, "optional": true});
        self.push(name, json!({"name": name, "valueFrom": {"secretKeyRef": reference}}));
    }

    /// Adds those of another that are not set.
    pub fn extend(&mut self, other: Self) {
        for variable in other.0 {
            let name = variable["name"].as_str().unwrap_or_default().to_owned();
            self.push(&name, variable);
        }
    }

    /// As a container has them.
    pub fn json(self) -> Value {
        Value::Array(self.0)
    }
}
