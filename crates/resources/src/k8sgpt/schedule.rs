//! How often everything is looked at, and how long a problem must last.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Form of an interval: the original's.
pub const INTERVAL_PATTERN: &str = "^[0-9]+[smh]$";
/// Time between two looks at everything unless told otherwise. Changes are seen at once; this only finds what was missed.
pub const DEFAULT_INTERVAL: &str = "10m";
/// The shortest time between two looks at everything; more often costs and finds nothing.
pub const MIN_INTERVAL: Duration = Duration::from_secs(60);
/// The longest: what is written above it is surely meant as never.
pub const MAX_INTERVAL: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a problem must last unless told otherwise: an ordinary rollout passes through worse for a shorter time.
pub const DEFAULT_GRACE: &str = "30s";
/// The longest grace period: what is broken for longer is broken.
pub const MAX_GRACE: Duration = Duration::from_secs(24 * 3600);

/// How often everything is looked at, and how long a problem must last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct Analysis {
    /// Time between two looks at everything, as 90s, 10m or 1h. Changes are looked at when they happen. Less than 1m counts
    /// as 1m.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = INTERVAL_PATTERN)))]
    pub interval: String,
    /// The same as interval, and wins over it: for manifests that also another operator reads.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = INTERVAL_PATTERN)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resync: Option<String>,
    /// How long a problem must last before it becomes a Result, as 30s; 0s means at once. Rollouts pass within it.
    #[cfg_attr(feature = "schema", schemars(regex(pattern = INTERVAL_PATTERN)))]
    pub grace: String,
    /// What may be known of Secrets.
    pub secrets: Secrets,
}

/// What may be known of Secrets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Secrets {
    /// Nothing: whether a Secret exists that something refers to is unverified.
    #[default]
    None,
    /// Their names and keys. Kubernetes gives the right to list them only together with their data.
    Metadata,
}

impl Default for Analysis {
    fn default() -> Self {
        Self {
            interval: DEFAULT_INTERVAL.to_owned(),
            resync: None,
            grace: DEFAULT_GRACE.to_owned(),
            secrets: Secrets::default(),
        }
    }
}

/// Reads a time such as 90s, 10m or 1h; one that no number holds is the longest there is. `None` for anything else.
pub fn interval(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let factor = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = number.parse().unwrap_or(u64::MAX);
    Some(Duration::from_secs(number.saturating_mul(factor)))
}

impl Analysis {
    /// Time between two looks at everything, within its bounds. What is no time counts as the default.
    pub fn interval(&self) -> Duration {
        let asked = interval(self.asked_interval()).unwrap_or(Duration::from_secs(600));
        asked.clamp(MIN_INTERVAL, MAX_INTERVAL)
    }

    /// What the manifest says about it.
    pub fn asked_interval(&self) -> &str {
        self.resync.as_deref().unwrap_or(&self.interval)
    }

    /// Whether the manifest says something that is not done as it stands there.
    pub fn is_interval_changed(&self) -> bool {
        interval(self.asked_interval()) != Some(self.interval())
    }

    /// How long a problem must last. What is no time counts as the default.
    pub fn grace(&self) -> Duration {
        interval(&self.grace).unwrap_or(Duration::from_secs(30)).min(MAX_GRACE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(text: &str) -> Analysis {
        Analysis { interval: text.to_owned(), ..Analysis::default() }
    }

    #[test]
    fn an_interval_is_digits_and_one_unit() {
        let seconds = |text| interval(text).map(|time| time.as_secs());
        assert_eq!(["90s", "10m", "1h", "0s"].map(seconds), [Some(90), Some(600), Some(3600), Some(0)]);
        for wrong in ["", "s", "10", "1d", "1.5h", "-1s", "+1s", " 1s", "1h30m", "10ms", "10µ", "1S"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
        assert_eq!(seconds("99999999999999999999999h"), Some(u64::MAX));
    }

    #[test]
    fn a_shorter_interval_than_a_minute_is_a_minute_and_said_to_be_changed() {
        let thirty = every("30s");
        assert_eq!((thirty.interval(), thirty.is_interval_changed()), (MIN_INTERVAL, true));
        assert_eq!((every("0h").interval(), every("9999999h").interval()), (MIN_INTERVAL, MAX_INTERVAL));
        let usual = Analysis::default();
        assert_eq!((usual.interval(), usual.is_interval_changed()), (Duration::from_secs(600), false));
        assert!(!every("60s").is_interval_changed());
    }

    #[test]
    fn resync_wins_over_interval() {
        let both = Analysis { resync: Some("30m".to_owned()), ..every("30s") };
        assert_eq!((both.interval(), both.is_interval_changed()), (Duration::from_secs(1800), false));
    }

    #[test]
    fn the_defaults_as_text_and_as_time_are_the_same() {
        assert_eq!(interval(DEFAULT_INTERVAL), Some(every("nonsense").interval()));
        let nonsense = Analysis { grace: "soon".to_owned(), ..Analysis::default() };
        assert_eq!(interval(DEFAULT_GRACE), Some(nonsense.grace()));
    }
}
