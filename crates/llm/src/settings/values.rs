//! Texts of variables into values.

use std::time::Duration;

use asya_settings::{Secret, number, positive_duration};

use super::API_KEY;

/// A currency in millionths.
const MILLION: f64 = 1e6;

/// An address of a provider.
pub(super) fn address(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text).map_err(|error| format!("it cannot be read: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err(format!("it must begin with http:// or https://, not {}:", url.scheme()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(format!("it must not hold a user or a password; the key is {API_KEY}"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it must end with its path: no ? and no #".to_owned());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// `Name:value,Name:value`, as K8sGPT writes them. Errors do not hold values.
pub(super) fn headers(text: &str) -> Result<Vec<(String, Secret)>, String> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty()).enumerate();
    pairs
        .map(|(index, pair)| {
            let (name, value) =
                pair.split_once(':').ok_or_else(|| format!("header {}: it must be Name:value", index + 1))?;
            let (name, value) = (name.trim(), value.trim());
            let sent = hyper::header::HeaderName::try_from(name).is_ok()
                && hyper::header::HeaderValue::try_from(value).is_ok();
            if !sent {
                return Err(format!("header {}: it cannot be sent", index + 1));
            }
            Ok((name.to_owned(), Secret::Plain(value.to_owned())))
        })
        .collect()
}

pub(super) fn positive<T: std::str::FromStr<Err: std::fmt::Display> + Default + PartialEq>(
    text: &str,
) -> Result<T, String> {
    let value: T = number(text)?;
    if value == T::default() { Err(format!("{text:?} must be at least 1")) } else { Ok(value) }
}

pub(super) fn within(text: &str, most: f64) -> Result<f64, String> {
    let value: Option<f64> = text.parse().ok().filter(|value| (0.0..=most).contains(value));
    value.ok_or_else(|| format!("{text:?} must be a number from 0 to {most}"))
}

pub(super) fn whole_seconds(text: &str) -> Result<Duration, String> {
    let value = positive_duration(text)?;
    if value.as_secs() == 0 { Err(format!("{text:?} must be at least 1s")) } else { Ok(value) }
}

/// A price or a sum, in millionths.
pub(super) fn money(text: &str) -> Result<u64, String> {
    let value: Option<f64> = text.parse().ok().filter(|value| (0.0..=1e9).contains(value));
    // The range keeps it exact and positive.
    value
        .map(|value| (value * MILLION).round() as u64)
        .ok_or_else(|| format!("{text:?} must be a sum such as 0.15"))
}
