//! Retry, batches, time limits, workers.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

/// How long one run may take unless told otherwise, in seconds: the contract's default.
pub const DEFAULT_PROCESSING: u64 = 300;
/// How long a drain may take unless told otherwise, in seconds: the contract's default.
pub const DEFAULT_GRACEFUL_SHUTDOWN: u64 = 30;
/// How long a batch waits for more unless told otherwise, in milliseconds: not felt, and enough to fill one under load.
pub const DEFAULT_BATCH_WAIT_MS: u64 = 10;

/// Growth of pauses above which a manifest is surely wrong.
#[cfg(feature = "schema")]
const MAX_MULTIPLIER: f64 = 1000.0;

/// How long a run and a drain may take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Timeout {
    /// Seconds that one run of the handler may take before it counts as failed.
    #[cfg_attr(feature = "schema", schemars(transform = crate::schema::checked_by_rule))]
    pub processing: u64,
    /// Seconds that running work may go on after a pod is told to stop. What is not done by then goes back to the queue.
    #[cfg_attr(feature = "schema", schemars(transform = crate::schema::checked_by_rule))]
    pub graceful_shutdown: u64,
    /// Seconds that the runtime may take to load the handler. Absent means as long as the startup probe allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(transform = crate::schema::checked_by_rule))]
    pub startup: Option<u64>,
}

impl Default for Timeout {
    fn default() -> Self {
        Self { processing: DEFAULT_PROCESSING, graceful_shutdown: DEFAULT_GRACEFUL_SHUTDOWN, startup: None }
    }
}

/// Calls the handler with lists of payloads instead of one at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// Most payloads of one call.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max: u32,
    /// Milliseconds that the first payload waits for more.
    #[serde(default = "default_batch_wait")]
    pub wait_ms: u64,
}

fn default_batch_wait() -> u64 {
    DEFAULT_BATCH_WAIT_MS
}

/// Which failures of the handler are tried again. What is absent is left to the sidecar's defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Retry {
    /// Runs in all, the first included.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub attempts: Option<u32>,
    /// Pause before the second run: seconds, or text such as 500ms, 2s, 5m, 1h.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<Delay>,
    /// Longest pause: seconds, or text such as 500ms, 2s, 5m, 1h.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delay: Option<Delay>,
    /// Growth from one pause to the next, at least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1.0, max = MAX_MULTIPLIER)))]
    pub multiplier: Option<f64>,
    /// Share of a pause that is left to chance, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    pub jitter: Option<f64>,
    /// Exception types that no retry helps, as ValueError or package.module.Type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub non_retryable: Vec<String>,
}

/// Worker processes per replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Workers {
    /// So many.
    Count(u32),
    /// `auto`: as many as there are CPUs.
    Auto(String),
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Auto(word) => word.fmt(f),
        }
    }
}

/// Text forms of [`Delay`], for the schema. The length keeps what it reads within a `Duration`.
pub const DELAY_PATTERN: &str = r"^([0-9]+\.?[0-9]*|\.[0-9]+)(ms|s|m|h)$";
/// Most characters of such a text.
pub const DELAY_LENGTH: usize = 16;
/// Text form of [`Workers`], for the schema.
pub const WORKERS_PATTERN: &str = "^auto$";
/// Most processes of one replica: what a machine has CPUs for, with room to spare.
pub const MAX_WORKERS: u32 = 1024;

/// A duration in a manifest: whole seconds, or text such as `500ms`, `2s`, `5m`, `1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay(pub Duration);

impl Delay {
    /// Reads the text form.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a duration such as \"500ms\", \"2s\", \"5m\" or \"1h\"");
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let seconds = match unit {
            "ms" => number / 1000.0,
            "s" => number,
            "m" => number * 60.0,
            "h" => number * 3600.0,
            _ => return Err(wrong()),
        };
        Duration::try_from_secs_f64(seconds).map(Self).map_err(|_| wrong())
    }
}

impl Serialize for Delay {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}ms", self.0.as_millis()))
    }
}

impl<'de> Deserialize<'de> for Delay {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Seconds(u64),
            Text(String),
        }
        match Form::deserialize(deserializer)? {
            Form::Seconds(seconds) => Ok(Self(Duration::from_secs(seconds))),
            Form::Text(text) => Self::parse(&text).map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit_and_nothing_else() {
        let read = |text| Delay::parse(text).map(|delay| delay.0.as_millis());
        assert_eq!(
            ["500ms", "2s", "1.5m", "1h"].map(|text| read(text).unwrap()),
            [500, 2_000, 90_000, 3_600_000]
        );
        for bad in ["", "5", "s", "-1s", "1 s", "1d", "1e400s", "9999999999999999999999h"] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert_eq!(serde_json::from_str::<Delay>("3").unwrap().0, Duration::from_secs(3));
    }
}
