//! What findings tells nobody: what is suppressed, and what is not bad enough.
//!
//! It is asked at each observation. So a rule that is added later closes what it covers, and one that has ended opens it.

use asya_analysis::{Failure, ObjectRef, Severity};
use asya_resources::k8sgpt::{
    Suppression,
    suppress::{MAX_EXPRESSION, Told},
};
use jiff::Timestamp;
use regex::Regex;

use crate::shipped::Variables;

/// What is told to nobody; by default everything is told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mute {
    rules: Vec<Rule>,
    least: Option<Severity>,
}

/// A suppression that can be asked quickly.
#[derive(Clone, Debug)]
struct Rule {
    suppression: Suppression,
    text: Option<Regex>,
    until: Option<Timestamp>,
}

impl PartialEq for Rule {
    /// The rest is made of it.
    fn eq(&self, other: &Self) -> bool {
        self.suppression == other.suppression
    }
}

impl Mute {
    /// Reads `ASYA_FINDINGS_SUPPRESS`, or the file of it, and `ASYA_FINDINGS_MIN_SEVERITY`.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let least = variables.get("ASYA_FINDINGS_MIN_SEVERITY").and_then(|text| {
            let least = Severity::ALL.into_iter().find(|severity| severity.as_str() == text);
            if least.is_none() {
                let names = Severity::ALL.map(Severity::as_str).join(", ");
                errors.push(format!("ASYA_FINDINGS_MIN_SEVERITY: {text:?} is none of {names}"));
            }
            least
        });
        let name = "ASYA_FINDINGS_SUPPRESS";
        let file = format!("{name}_FILE");
        let (name, text) = match (variables.get(name), variables.get(&file)) {
            (Some(_), Some(_)) => {
                errors.push(format!("{name} and {file}: only one of them can count"));
                (name, None)
            }
            (Some(text), None) => (name, Some(text)),
            (None, Some(path)) => match std::fs::read_to_string(variables.base.join(&path)) {
                Ok(text) => (file.as_str(), Some(text)),
                Err(error) => {
                    errors.push(format!("{file}: {path}: {error}"));
                    (name, None)
                }
            },
            (None, None) => (name, None),
        };
        let mut rules = Vec::new();
        match serde_json::from_str::<Vec<Suppression>>(text.as_deref().unwrap_or("[]")) {
            Ok(suppressions) => {
                for (n, suppression) in suppressions.into_iter().enumerate() {
                    match Rule::of(suppression) {
                        Ok(rule) => rules.push(rule),
                        Err(error) => errors.push(format!("{name}: [{n}]: {error}")),
                    }
                }
            }
            Err(error) => errors.push(format!("{name}: {error}")),
        }
        if errors.is_empty() { Ok(Self { rules, least }) } else { Err(errors) }
    }

    /// Whether nobody is told of this failure of this object at this time.
    pub fn covers(&self, object: &ObjectRef, failure: &Failure, now: Timestamp) -> bool {
        let told = Told {
            kind: &object.kind.kind,
            namespace: object.namespace.as_deref(),
            name: &object.name,
            analyzer: failure.analyzer.as_deref().unwrap_or_default(),
            text: &failure.text,
        };
        self.least.is_some_and(|least| failure.severity < least)
            || self.rules.iter().any(|rule| rule.covers(&told, now))
    }
}

impl Rule {
    fn of(suppression: Suppression) -> Result<Self, String> {
        if suppression.is_empty() {
            return Err("it names nothing, so it would suppress everything".to_owned());
        }
        let text = suppression.text.as_deref();
        if text.is_some_and(|text| text.chars().count() > MAX_EXPRESSION) {
            return Err(format!("text: more than {MAX_EXPRESSION} characters"));
        }
        let text = text.map(Regex::new).transpose().map_err(|error| format!("text: {error}"))?;
        let until = suppression.until.as_ref().map(|until| {
            // What is no time is past, as in a K8sGPT: it is better to hear of something twice than never.
            until.parse().unwrap_or_else(|error| {
                tracing::warn!(until, %error, "a suppression ends at a time that is none; it counts as past");
                Timestamp::MIN
            })
        });
        Ok(Self { suppression, text, until })
    }

    fn covers(&self, told: &Told<'_>, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
            && self
                .suppression
                .covers(told, |_, text| self.text.as_ref().is_some_and(|found| found.is_match(text)))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use k8s_openapi::api::core::v1::Pod;

    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Mute, Vec<String>> {
        let find =
            |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Mute::read(&Variables { find: &find, base: Path::new("/") })
    }

    fn suppressing(rules: &str) -> Mute {
        read(&[("ASYA_FINDINGS_SUPPRESS", rules)]).unwrap()
    }

    fn failure() -> Failure {
        let failure = Failure::new("Evicted", Severity::Warning, "the pod was Evicted: disk");
        Failure { analyzer: Some("Pod".to_owned()), ..failure }
    }

    fn covers(mute: &Mute, now: &str) -> bool {
        mute.covers(&ObjectRef::of::<Pod>(Some("shop"), "web-1"), &failure(), now.parse().unwrap())
    }

    const NOW: &str = "2026-06-01T00:00:00Z";

    #[test]
    fn a_rule_covers_what_all_of_it_fits() {
        for rule in [
            r#"[{"kind": "Pod", "namespace": "sh*", "name": "web-*"}]"#,
            r#"[{"name": "other"}, {"text": "(?i)evicted.*disk$"}]"#,
            r#"[{"analyzer": "Pod"}]"#,
        ] {
            assert!(covers(&suppressing(rule), NOW), "{rule}");
        }
        for rule in [r#"[{"text": "^Evicted"}]"#, r#"[{"analyzer": "Log", "kind": "Pod"}]"#, "[]"] {
            assert!(!covers(&suppressing(rule), NOW), "{rule}");
        }
    }

    #[test]
    fn a_rule_ends_when_it_says() {
        let mute = suppressing(r#"[{"kind": "Pod", "until": "2026-06-01T02:00:00+02:00"}]"#);
        assert!(covers(&mute, "2026-05-31T23:59:59Z"));
        assert!(!covers(&mute, NOW));
        assert!(!covers(
            &suppressing(r#"[{"kind": "Pod", "until": "2026-02-30T00:00:00Z"}]"#),
            "2026-01-01T00:00:00Z"
        ));
    }

    #[test]
    fn what_is_less_bad_than_asked_for_is_covered() {
        let least = |severity: &str| read(&[("ASYA_FINDINGS_MIN_SEVERITY", severity)]).unwrap();
        assert!(!covers(&least("info"), NOW) && !covers(&least("warning"), NOW));
        assert!(covers(&least("error"), NOW) && covers(&least("critical"), NOW));
        assert!(!covers(&Mute::default(), NOW));
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let errors = read(&[
            ("ASYA_FINDINGS_SUPPRESS", r#"[{"text": "("}, {"reason": "noise"}, {"kind": "Pod"}]"#),
            ("ASYA_FINDINGS_MIN_SEVERITY", "fatal"),
        ])
        .unwrap_err();
        for word in ["[0]: text: regex parse error", "[1]: it names nothing", "none of info, warning"] {
            assert!(errors.iter().any(|error| error.contains(word)), "{word} in {errors:?}");
        }
        for given in [
            [("ASYA_FINDINGS_SUPPRESS", "{}"), ("A", "")],
            [("ASYA_FINDINGS_SUPPRESS", r#"[{"text": 1}]"#), ("A", "")],
            [("ASYA_FINDINGS_SUPPRESS_FILE", "/none/at/all"), ("A", "")],
            [("ASYA_FINDINGS_SUPPRESS_FILE", "/x"), ("ASYA_FINDINGS_SUPPRESS", "[]")],
        ] {
            assert_eq!(read(&given).unwrap_err().len(), 1, "{given:?}");
        }
    }
}
