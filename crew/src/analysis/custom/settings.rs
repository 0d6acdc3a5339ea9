//! What `custom` is told, read into types. All errors are found before any is reported.

use std::{collections::HashSet, net::Ipv6Addr, time::Duration};

use asya_settings::units;
use serde::Deserialize;

use crate::shipped::Variables;

/// How often an analyzer is asked: a call of a program near by costs little, and nobody is told of an outage much later.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(60);
/// How long it may take.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// A shorter one is a load test.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(10);
/// Analyzers of one process, each with a call under way at times. Their names fit on one page.
const MOST: usize = 100;
const ROUTE: &str = "findings";

/// What `custom` is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How the cluster is called in findings.
    pub cluster: String,
    /// Where answers go.
    pub route: Vec<String>,
    /// Whom it asks. None at all is a setting too: it closes the findings of those that there were.
    pub analyzers: Vec<Analyzer>,
    /// The pause between two questions.
    pub interval: Duration,
    /// How long an answer may take, the connection included.
    pub timeout: Duration,
}

/// One analyzer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Analyzer {
    /// Its name: a subdomain of DNS, as K8sGPT wants it.
    pub name: String,
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Analyzer {
    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        let Self { host, port, .. } = self;
        if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    url: String,
    port: Port,
}

/// K8sGPT's own configuration has it as a string, its resource as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum Port {
    Number(u16),
    Text(String),
}

impl Settings {
    /// Reads `ASYA_CUSTOM_…`, and of `ASYA_WATCH_…` what all have who look at a cluster: its name, the route, the resync.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let mut time = |name: &str, least: Duration, otherwise: Duration| {
            let given = variables.get(name).map_or(Ok(otherwise), |text| units::duration(&text));
            match given {
                Ok(given) if given >= least => given,
                Ok(_) => {
                    errors.push(format!("{name}: at least {least:?}"));
                    otherwise
                }
                Err(error) => {
                    errors.push(format!("{name}: {error}"));
                    otherwise
                }
            }
        };
        let interval = time("ASYA_WATCH_RESYNC", SHORTEST_INTERVAL, DEFAULT_INTERVAL);
        let timeout = time("ASYA_CUSTOM_TIMEOUT", Duration::from_millis(1), DEFAULT_TIMEOUT);
        let cluster = variables.get("ASYA_WATCH_CLUSTER").unwrap_or_else(|| "default".to_owned());
        if cluster.contains('/') {
            errors.push(format!(
                "ASYA_WATCH_CLUSTER: {cluster:?} has a slash, which separates the parts of a finding's key"
            ));
        }
        let route = variables.get("ASYA_WATCH_ROUTE").unwrap_or_else(|| ROUTE.to_owned());
        let route: Vec<String> =
            route.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if route.is_empty() {
            errors.push("ASYA_WATCH_ROUTE: names no actor".to_owned());
        }
        let name = "ASYA_CUSTOM_ANALYZERS";
        let file = variables.get(&format!("{name}_FILE"));
        let text = match (variables.get(name), file) {
            (Some(_), Some(_)) => Err(format!("{name} and {name}_FILE: only one of them can count")),
            (Some(text), None) => Ok(text),
            (None, Some(file)) => std::fs::read_to_string(variables.base.join(&file))
                .map_err(|error| format!("{name}_FILE: {file}: {error}")),
            (None, None) => Err(format!(
                "{name}: names no analyzer; [{{\"name\": \"disk\", \"url\": \"disk.tools\", \"port\": 8085}}], or [] for none"
            )),
        };
        let analyzers = text.map_err(|error| vec![error]).and_then(|text| parse(name, &text));
        let analyzers = analyzers.unwrap_or_else(|more| {
            errors.extend(more);
            Vec::new()
        });
        if errors.is_empty() {
            Ok(Self { cluster, route, analyzers, interval, timeout })
        } else {
            Err(errors)
        }
    }
}

fn parse(variable: &str, text: &str) -> Result<Vec<Analyzer>, Vec<String>> {
    let entries: Vec<Entry> =
        serde_json::from_str(text).map_err(|error| vec![format!("{variable}: {error}")])?;
    let mut errors = Vec::new();
    if entries.len() > MOST {
        errors.push(format!("{variable}: {} analyzers, more than {MOST}", entries.len()));
    }
    let (mut names, mut addresses) = (HashSet::new(), HashSet::new());
    let mut analyzers = Vec::new();
    for (n, Entry { name, url, port }) in entries.into_iter().enumerate() {
        let mut wrong = |field: &str, why: String| errors.push(format!("{variable}[{n}].{field}: {why}"));
        if !is_subdomain(&name) {
            wrong(
                "name",
                format!("{name:?} is no name: lower-case letters, digits, dashes and dots, as of a host"),
            );
        }
        let port = match port {
            Port::Number(port) => Some(port),
            Port::Text(text) => text.parse().ok(),
        };
        let Some(port) = port.filter(|port| *port > 0) else {
            wrong("port", "is no port: 1 to 65535".to_owned());
            continue;
        };
        let host = url.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.parse::<Ipv6Addr>().is_err() && !is_subdomain(&host.to_ascii_lowercase()) {
            wrong(
                "url",
                format!("{url:?} is no host; it is called without a scheme and a path: disk.tools.svc"),
            );
        }
        let analyzer = Analyzer { name, host, port };
        if !names.insert(analyzer.name.clone()) {
            wrong("name", format!("{} is there already", analyzer.name));
        }
        if !addresses.insert(analyzer.address()) {
            wrong("url", format!("{} is asked already", analyzer.address()));
        }
        analyzers.push(analyzer);
    }
    if errors.is_empty() { Ok(analyzers) } else { Err(errors) }
}

/// RFC 1123: labels with dots between them.
fn is_subdomain(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(known)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let find =
            |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Settings::read(&Variables { find: &find, base: Path::new("/") })
    }

    fn analyzers(text: &str) -> Result<Vec<String>, String> {
        let settings = read(&[("ASYA_CUSTOM_ANALYZERS", text)]).map_err(|errors| errors.join("\n"))?;
        Ok(settings
            .analyzers
            .iter()
            .map(|analyzer| format!("{} {}", analyzer.name, analyzer.address()))
            .collect())
    }

    #[test]
    fn analyzers_are_read_as_both_forms_of_k8sgpt_say_them() {
        let text = r#"[{"name": "disk", "url": "disk.tools.svc", "port": 8085},
            {"name": "host.checker", "url": "10.0.0.1", "port": "8086"}, {"name": "six", "url": "[::1]", "port": 1}]"#;
        let read = analyzers(text);
        assert_eq!(read.unwrap(), ["disk disk.tools.svc:8085", "host.checker 10.0.0.1:8086", "six [::1]:1"]);
        assert!(analyzers("[]").unwrap().is_empty(), "that closes the findings of those that there were");
    }

    #[test]
    fn every_mistake_is_named_at_once_with_its_place() {
        for (text, why) in [
            ("", "names no analyzer"),
            ("[{", "ASYA_CUSTOM_ANALYZERS: EOF"),
            ("{}", "expected a sequence"),
            (r#"[{"name": "a", "url": "h", "port": 1, "tls": true}]"#, "unknown field `tls`"),
            (r#"[{"name": "A_b", "url": "h", "port": 1}]"#, "[0].name"),
            (r#"[{"name": "", "url": "h", "port": 1}]"#, "[0].name"),
            (r#"[{"name": "a", "url": "http://h/", "port": 1}]"#, "[0].url"),
            (r#"[{"name": "a", "url": "", "port": 1}]"#, "[0].url"),
            (r#"[{"name": "a", "url": "h:2", "port": 1}]"#, "[0].url"),
            (r#"[{"name": "a", "url": "h", "port": 0}]"#, "[0].port"),
            (r#"[{"name": "a", "url": "h", "port": "x"}]"#, "[0].port"),
            (
                r#"[{"name": "a", "url": "h", "port": 1}, {"name": "a", "url": "h", "port": 1}]"#,
                "[1].name: a is there",
            ),
            (
                r#"[{"name": "a", "url": "h", "port": 1}, {"name": "b", "url": "h", "port": 1}]"#,
                "[1].url: h:1 is asked",
            ),
        ] {
            let said = analyzers(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
        let errors = read(&[
            ("ASYA_WATCH_CLUSTER", "a/b"),
            ("ASYA_WATCH_ROUTE", ","),
            ("ASYA_WATCH_RESYNC", "1s"),
            ("ASYA_CUSTOM_TIMEOUT", "soon"),
            ("ASYA_CUSTOM_ANALYZERS_FILE", "none.json"),
        ])
        .unwrap_err();
        for name in ["CLUSTER", "ROUTE", "RESYNC", "TIMEOUT", "none.json"] {
            assert!(errors.iter().any(|error| error.contains(name)), "{name} in {errors:?}");
        }
    }
}
