//! Texts into types; all errors are found before any is reported.

use std::{fmt::Display, str::FromStr, time::Duration};

use crate::{Secret, units};

/// Everything that is wrong, one sentence each.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is wrong:\n  {}", .0.join("\n  "))]
pub struct Errors(pub Vec<String>);

/// Collects what is wrong, under the names of the variables.
#[derive(Debug, Default)]
pub struct Reader(Vec<String>);

impl Reader {
    /// A value that must be there; `None` after an error.
    pub fn required<T>(
        &mut self,
        name: &str,
        value: Option<String>,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        match filled(value) {
            Some(text) => self.parsed(name, &text, parse),
            None => {
                self.wrong(name, "is required");
                None
            }
        }
    }

    /// A value that has a default, which also stands for a wrong one until the errors are reported.
    pub fn or<T>(
        &mut self,
        name: &str,
        value: Option<String>,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        filled(value).and_then(|text| self.parsed(name, &text, parse)).unwrap_or(default)
    }

    /// A secret from the variable `name`, or from the file that `name` with `_FILE` names; not from both.
    pub fn secret(&mut self, name: &str, plain: Option<String>, file: Option<String>) -> Option<Secret> {
        match (filled(plain), filled(file)) {
            (Some(_), Some(_)) => {
                self.wrong(name, &format!("is set, and {name}_FILE as well; only one of them can count"));
                None
            }
            (Some(text), None) => Some(Secret::Plain(text)),
            (None, Some(path)) => Some(Secret::File(path.into())),
            (None, None) => None,
        }
    }

    /// Something is wrong with the variable `name`.
    pub fn wrong(&mut self, name: &str, what: &str) {
        self.0.push(format!("{name}: {what}"));
    }

    /// `settings`, unless something was wrong.
    ///
    /// # Errors
    /// All that was.
    pub fn done<T>(self, settings: T) -> Result<T, Errors> {
        if self.0.is_empty() { Ok(settings) } else { Err(Errors(self.0)) }
    }

    fn parsed<T>(
        &mut self,
        name: &str,
        text: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        parse(text).map_err(|error| self.wrong(name, &error)).ok()
    }
}

/// An empty variable counts as not set, as in the Go system.
pub fn filled(value: Option<String>) -> Option<String> {
    value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// A whole number.
///
/// # Errors
/// A sentence with the value, as all of these functions.
pub fn number<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("{text:?} must be a whole number: {error}"))
}

/// A duration above zero.
///
/// # Errors
/// A sentence with the value.
pub fn positive_duration(text: &str) -> Result<Duration, String> {
    let value = units::duration(text)?;
    if value.is_zero() { Err(format!("{text:?} must be longer than nothing")) } else { Ok(value) }
}

/// True or false, in the words of the Go system.
///
/// # Errors
/// A sentence with the value.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("{text:?} must be true or false")),
    }
}

/// Words with commas between them.
///
/// # Errors
/// None; it has the form of the others.
pub fn list(text: &str) -> Result<Vec<String>, String> {
    Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
}
