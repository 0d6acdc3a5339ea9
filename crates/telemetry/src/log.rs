//! How log lines look and which are written: for people on a terminal, JSON otherwise.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

impl Format {
    /// Reads `human` or `json`; `auto` and nothing mean human on a terminal and JSON otherwise.
    ///
    /// # Errors
    /// A sentence with the value.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "" | "auto" if stderr().is_terminal() => Ok(Self::Human),
            "" | "auto" | "json" => Ok(Self::Json),
            "human" | "text" => Ok(Self::Human),
            other => Err(format!("{other:?} must be auto, human or json")),
        }
    }
}

/// Reads a level (`INFO`, `debug`, `warning`) or a filter such as `info,asya_sidecar=debug`.
///
/// # Errors
/// A sentence with the value.
pub fn filter(text: &str) -> Result<EnvFilter, String> {
    let text = match text.trim().to_ascii_lowercase().as_str() {
        "" => return filter("info"),
        "warning" => return filter("warn"),
        "critical" | "fatal" => return filter("error"),
        // Broker clients report each of their own retries, which the transport's health says once, and lapin writes
        // returned messages with their bodies, which do not belong in logs; rmcp tells each message, with its session.
        level @ ("info" | "warn" | "error") => {
            let rmcp = if level == "error" { level } else { "warn" };
            format!("{level},lapin=off,aws_config=warn,hyper_util=warn,rmcp={rmcp}")
        }
        _ => text.trim().to_owned(),
    };
    EnvFilter::try_new(&text).map_err(|error| format!("{text:?} is not a log level: {error}"))
}

/// Sends log lines of this process to standard error. Only the first call counts.
pub fn init(filter: EnvFilter, format: Format) {
    let registry = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(stderr);
    let outcome = match format {
        Format::Human => registry.with(lines.with_target(false).with_ansi(stderr().is_terminal())).try_init(),
        Format::Json => registry.with(lines.json().flatten_event(true).with_current_span(false)).try_init(),
    };
    if outcome.is_err() {
        tracing::debug!("logging was already set up by the program that hosts this one");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_the_go_and_python_worlds_are_understood() {
        for level in ["", "INFO", "debug", "WARNING", "error", "critical", "info,asya_sidecar=debug"] {
            assert!(filter(level).is_ok(), "{level}");
        }
        assert!(filter("=loud=").is_err());
        assert!(Format::parse("xml").unwrap_err().contains("xml"));
    }
}
