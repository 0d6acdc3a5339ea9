//! What `custom` is told, also while it closes what is open.
//!
//! Findings of analyzers that are named no more are closed by `custom` itself, which says at its start which ones there
//! are. So without any it stays for a while, with an empty list.

use std::time::Duration;

use asya_resources::k8sgpt::{K8sGptSpec, spec::CustomAnalyzer};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Wanted, actors, env::Env};
use crate::analysis::subject::is_label;

/// End of the actor's name.
pub const PART: &str = "custom";
/// Annotation of the actor while it has no analyzer: how long it stays at least.
pub const UNTIL: &str = "analysis.asya.sh/until";

/// How long it stays at least: what is not shown yet is closed too, and a pod may take its time to start.
const STAYS: Duration = Duration::from_secs(600);

/// Its environment; `None`: it is not needed.
pub fn env(wanted: &Wanted<'_>) -> Option<Env> {
    let spec = &wanted.subject.spec;
    let analyzers = callable(spec);
    if analyzers.is_empty() && wanted.custom_until.is_none() {
        return None;
    }
    let mut env = Env::default();
    env.plain("ASYA_CUSTOM_ANALYZERS", Value::Array(analyzers).to_string());
    env.plain("ASYA_WATCH_CLUSTER", wanted.subject.cluster());
    // They say themselves what is wrong: nothing is left to analyse.
    env.plain("ASYA_WATCH_ROUTE", actors::route(wanted)[1..].join(","));
    env.plain("ASYA_WATCH_RESYNC", format!("{}s", spec.analysis().interval().as_secs()));
    Some(env)
}

/// The analyzers that can be called.
pub fn callable(spec: &K8sGptSpec) -> Vec<Value> {
    spec.custom_analyzers.iter().filter_map(one).collect()
}

/// An analyzer as the actor takes it: one that it would refuse would stop it for all others.
fn one(analyzer: &CustomAnalyzer) -> Option<Value> {
    let name = analyzer.name.as_deref().filter(|name| name.split('.').all(is_label))?;
    let connection = analyzer.connection.as_ref()?;
    let url = connection.url.as_deref().filter(|url| !url.is_empty())?;
    let port = connection.port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0)?;
    Some(json!({"name": name, "url": url, "port": port}))
}

/// How long an actor that is there stays without an analyzer: until nothing is open, and at least [`STAYS`]. `said` is what
/// its annotation says already.
pub fn until(said: Option<&str>, open: bool, now: Timestamp) -> Option<String> {
    let said = said.and_then(|said| Some((said, said.parse::<Timestamp>().ok()?)));
    let Some((said, until)) = said else {
        let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
        return Some((now + STAYS).to_string());
    };
    (open || now < until).then(|| said.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{
        config::{Config, Options},
        desired::{Watched, tests},
    };

    fn made(spec: Value, custom_until: Option<&str>) -> Vec<Value> {
        let config = Config::read(Options::default()).unwrap();
        let subject = tests::subject(spec);
        Wanted { subject: &subject, config: &config, watched: &Watched::Here, keda: false, custom_until }
            .objects()
    }

    #[test]
    fn without_analyzers_it_stays_with_an_empty_list_for_as_long_as_it_is_told() {
        let time = "2026-11-22T02:00:00Z";
        let objects = made(json!({}), Some(time));
        assert_eq!(tests::variables(&objects, "gpt-custom")["ASYA_CUSTOM_ANALYZERS"], "[]");
        let annotations = &tests::find(&objects, "AsyncActor", "gpt-custom")["metadata"]["annotations"];
        assert_eq!(*annotations, json!({UNTIL: time}));
        assert!(!tests::names(&made(json!({}), None), "AsyncActor").contains(&"gpt-custom".to_owned()));
        let mine =
            json!({"customAnalyzers": [{"name": "mine", "connection": {"url": "mine", "port": 8085}}]});
        let objects = made(mine, None);
        let annotations = &tests::find(&objects, "AsyncActor", "gpt-custom")["metadata"]["annotations"];
        assert_eq!(*annotations, Value::Null);
    }

    #[test]
    fn it_stays_until_nothing_is_open_and_ten_minutes_at_least() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let first = until(None, false, at("2026-11-22T02:00:00.7Z")).unwrap();
        assert_eq!(first, "2026-11-22T02:10:00Z");
        assert_eq!(until(Some("tomorrow"), false, at("2026-11-22T02:00:00Z")).as_ref(), Some(&first));
        let later = |open, now| until(Some(&first), open, at(now));
        assert_eq!(
            later(false, "2026-11-22T02:09:59Z").as_ref(),
            Some(&first),
            "what it says stays the same"
        );
        assert_eq!(later(true, "2026-11-23T00:00:00Z").as_ref(), Some(&first));
        assert_eq!(later(false, "2026-11-22T02:10:00Z"), None);
    }
}
