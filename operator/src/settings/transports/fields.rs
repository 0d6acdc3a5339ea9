//! A JSON object that is read field by field, so that every error is found and each names its path.

use serde_json::{Map, Value};

/// The fields of one object that have not been read yet.
pub(super) struct Fields {
    path: String,
    left: Map<String, Value>,
    errors: Vec<String>,
}

impl Fields {
    /// The fields of a value; `null` has none.
    ///
    /// # Errors
    /// A sentence, if the value is no object.
    pub(super) fn of(path: impl Into<String>, value: Value) -> Result<Self, String> {
        let path = path.into();
        match value {
            Value::Object(left) => Ok(Self { path, left, errors: Vec::new() }),
            Value::Null => Ok(Self { path, left: Map::new(), errors: Vec::new() }),
            other => Err(format!("{path}: must be an object, not {}", named(&other))),
        }
    }

    /// The path of a field.
    pub(super) fn path(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Whether the field is there, be it `null`.
    pub(super) fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    /// Notes an error that names its path itself.
    pub(super) fn note(&mut self, error: String) {
        self.errors.push(error);
    }

    /// Notes what is wrong with a field.
    pub(super) fn wrong(&mut self, name: &str, why: &str) {
        self.errors.push(format!("{}: {why}", self.path(name)));
    }

    /// Takes a field as it is; `null` counts as absent.
    pub(super) fn value(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    fn read<T>(&mut self, name: &str, wanted: &str, read: impl FnOnce(&Value) -> Option<T>) -> Option<T> {
        let value = self.value(name)?;
        let read = read(&value);
        if read.is_none() {
            self.wrong(name, &format!("must be {wanted}, not {}", named(&value)));
        }
        read
    }

    /// Takes a text; an empty one counts as absent.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.read(name, "a text", |value| value.as_str().map(|text| text.trim().to_owned()))
            .filter(|text| !text.is_empty())
    }

    /// Takes a truth value.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        self.read(name, "true or false", Value::as_bool)
    }

    /// Takes a whole number between two bounds, both included.
    pub(super) fn number(&mut self, name: &str, least: u32, most: u32) -> Option<u32> {
        self.read(name, &format!("a whole number from {least} to {most}"), |value| {
            let number = u32::try_from(value.as_u64()?).ok()?;
            (least..=most).contains(&number).then_some(number)
        })
    }

    /// Takes a list of texts.
    pub(super) fn texts(&mut self, name: &str) -> Vec<String> {
        let texts = self.read(name, "a list of texts", |value| {
            let items = value.as_array()?.iter();
            items.map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<_>>>()
        });
        texts.unwrap_or_default()
    }

    /// Takes an object; its errors come back by [`close`](Self::close).
    pub(super) fn object(&mut self, name: &str) -> Option<Self> {
        let value = self.value(name)?;
        match Self::of(self.path(name), value) {
            Ok(fields) => Some(fields),
            Err(error) => {
                self.errors.push(error);
                None
            }
        }
    }

    /// Takes over the errors of an inner object that has been read, its unknown fields included.
    pub(super) fn close(&mut self, inner: Self) {
        self.errors.extend(inner.end());
    }

    /// All errors; a field that nobody took is one.
    pub(super) fn end(mut self) -> Vec<String> {
        let unknown: Vec<_> = self.left.keys().map(|name| self.path(name)).collect();
        self.errors.extend(unknown.into_iter().map(|path| format!("{path}: unknown field")));
        self.errors
    }
}

/// A value as an error shows it.
fn named(value: &Value) -> String {
    match value {
        Value::Object(_) => "an object".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        other => other.to_string(),
    }
}
