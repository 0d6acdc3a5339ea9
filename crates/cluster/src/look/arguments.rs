//! Arguments, read strictly: what a model makes up is told to it, and nothing of it becomes a part of a path unchecked.

use asya_envelope::name::MAX_ACTOR_NAME as MAX_LABEL;
use serde::{Deserialize, Deserializer, de::DeserializeOwned, de::Error as _};
use serde_json::{Map, Value};

use super::Error;

/// Objects of a list that nobody gave a length.
const DEFAULT_LIMIT: usize = 100;
/// Most objects of a list.
pub const MAX_LIMIT: usize = 1000;
/// Longest name of an object.
const MAX_NAME: usize = 253;
/// Longest label selector.
const MAX_SELECTOR: usize = 4096;

/// The arguments as what they should be. An argument that is `null` counts as not given.
///
/// # Errors
/// [`Error::Argument`], which names the field.
pub fn read<T: DeserializeOwned>(mut arguments: Map<String, Value>) -> Result<T, Error> {
    arguments.retain(|_, value| !value.is_null());
    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| {
        let field = error.path().to_string();
        let field = if field == "." { String::new() } else { field };
        let reason = error.into_inner().to_string();
        let reason = if field.is_empty() { reason } else { format!("{field}: {reason}") };
        Error::Argument { field, reason }
    })
}

/// The name of an object, or of a kind of objects: no part of a path can end in it.
#[derive(Clone, Debug)]
pub struct Name(pub String);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:@".contains(&byte);
        if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(fits) || name.starts_with('.') {
            return Err(D::Error::custom(format!(
                "{:?} can be no name: 1 to {MAX_NAME} of a-z, 0-9, '-' and '.'",
                shortened(&name)
            )));
        }
        Ok(Self(name))
    }
}

/// A namespace; an empty text is all of them, as K8sGPT has it.
#[derive(Clone, Debug, Default)]
pub struct Namespace(pub Option<String>);

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = String::deserialize(from)?;
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.len() > MAX_LABEL || !name.bytes().all(fits) {
            return Err(D::Error::custom(format!(
                "{:?} can be no namespace: at most {MAX_LABEL} of a-z, 0-9 and '-'",
                shortened(&name)
            )));
        }
        Ok(Self(Some(name).filter(|name| !name.is_empty())))
    }
}

/// A label selector, as kubectl's `-l` takes it. Whether it is one the API server says.
#[derive(Clone, Debug, Default)]
pub struct Labels(pub String);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text.len() > MAX_SELECTOR || text.chars().any(char::is_control) {
            return Err(D::Error::custom("this can be no label selector, such as app=web,tier!=test"));
        }
        Ok(Self(text))
    }
}

/// How many objects: more than [`MAX_LIMIT`] are as many.
#[derive(Clone, Copy, Debug)]
pub struct Limit(pub usize);

impl Default for Limit {
    fn default() -> Self {
        Self(DEFAULT_LIMIT)
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let limit = Count::deserialize(from)?.0;
        if limit == 0 {
            return Err(D::Error::custom(format!("a limit is 1 to {MAX_LIMIT}")));
        }
        Ok(Self(usize::try_from(limit).unwrap_or(MAX_LIMIT).min(MAX_LIMIT)))
    }
}

/// A whole number that is not negative. Models write 100.0 and "100" too.
#[derive(Clone, Copy, Debug)]
pub struct Count(pub u64);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(from)?;
        let text = match &value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let whole = text.split_once('.').filter(|(_, rest)| rest.bytes().all(|digit| digit == b'0'));
        let digits = whole.map_or(text.as_str(), |(whole, _)| whole);
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
            return Err(D::Error::custom(format!(
                "{} must be a whole number, not negative",
                shortened(&text)
            )));
        }
        // What has more digits than the largest number is larger than every bound.
        Ok(Self(digits.parse().unwrap_or(u64::MAX)))
    }
}

/// So much of a text as an answer repeats.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}
