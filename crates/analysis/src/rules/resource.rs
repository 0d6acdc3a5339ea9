//! The analyzer of any kind.

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::analyzer::Analyzer;
use crate::deletion;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object};
use crate::report::Report;
use crate::rules::condition::{Condition, Polarity, conditions, polarity};
use crate::rules::spec::{InvalidRules, KindRules};
use crate::rules::template::{Template, cut, shown};
use crate::view::{Typed, Unverified, View};

/// Where controllers write in one word how it goes.
const PHASES: [&str; 3] = ["/status/phase", "/status/state", "/status/health/status"];

/// Phases that are a failure, in lower case.
const BAD_PHASES: [&str; 8] =
    ["failed", "failure", "error", "degraded", "unhealthy", "lost", "missing", "crashloopbackoff"];

/// Endings of phases that are a failure: `InstallFailed`, `ReconcileError`.
const BAD_ENDINGS: [&str; 3] = ["Failed", "Failure", "Error"];

/// Fields by which a user tells a controller to leave the object alone.
const PAUSES: [&str; 3] = ["/spec/suspend", "/spec/suspended", "/spec/paused"];

/// The longest message of a condition in a text, in characters.
const LONGEST_MESSAGE: usize = 1000;

/// Looks at the objects of a kind by rules.
pub struct ResourceAnalyzer {
    name: String,
    rules: KindRules,
    texts: Vec<Template>,
}

impl ResourceAnalyzer {
    /// Made from the rules of a kind.
    ///
    /// # Errors
    /// [`InvalidRules`] with everything that is wrong with them.
    pub fn new(rules: KindRules) -> Result<Self, InvalidRules> {
        let errors = rules.errors();
        if !errors.is_empty() {
            return Err(InvalidRules(errors));
        }
        let texts: Result<Vec<Template>, String> =
            rules.rules.iter().map(|rule| Template::parse(&rule.text)).collect();
        let texts = texts.map_err(|error| InvalidRules(vec![error]))?;
        Ok(Self { name: rules.name(), rules, texts })
    }
}

impl Analyzer for ResourceAnalyzer {
    fn name(&self) -> &str {
        &self.name
    }

    fn subject(&self) -> GroupKind {
        self.rules.subject()
    }

    fn by_default(&self) -> bool {
        false
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let look = Look { rules: &self.rules, object, view };
        // What is being deleted is taken apart by its controller; its conditions tell of that.
        if self.rules.standard && object.deleted().is_some() {
            let patience = SignedDuration::from_secs(i64::from(self.rules.deletion_seconds));
            deletion::stuck(object, view, patience).into_iter().for_each(|stuck| report.fail(stuck));
        } else if self.rules.standard {
            look.conditions(report);
            look.phase(report);
            look.behind(report);
        }
        self.own(object, view, report);
        Ok(())
    }
}

impl ResourceAnalyzer {
    /// The user's rules.
    fn own(&self, object: &Object, view: &dyn View, report: &mut Report) {
        let at = object.reference();
        for (rule, text) in self.rules.rules.iter().zip(&self.texts) {
            let mut holds = true;
            for check in &rule.when {
                match check.holds(object, view) {
                    Ok(held) => holds &= held,
                    Err(why) => {
                        report.doubt(&rule.code, &at, Unverified::Failed(why));
                        holds = false;
                    }
                }
                if !holds {
                    break;
                }
            }
            if holds {
                let failure = Failure::new(&rule.code, rule.severity, text.render(object));
                report.fail(rule.when.iter().fold(failure, |failure, check| {
                    let value = object.value().pointer(&check.pointer).map(shown);
                    failure.seen(&at, path(&check.pointer), value)
                }));
            }
        }
    }
}

struct Look<'a> {
    rules: &'a KindRules,
    object: &'a Object,
    view: &'a dyn View,
}

impl Look<'_> {
    fn is_patient(&self, since: Option<Timestamp>) -> bool {
        let patience = SignedDuration::from_secs(i64::from(self.rules.patience_seconds));
        since.is_some_and(|since| !self.view.is_past(since, patience))
    }

    fn conditions(&self, report: &mut Report) {
        let generation = self.object.value().pointer("/metadata/generation").and_then(Value::as_i64);
        for condition in conditions(self.object) {
            let says = |list: &[String]| list.iter().any(|name| name == condition.name);
            // One about an older generation is about another specification; that the controller is behind is told below.
            let old = condition.generation.zip(generation).is_some_and(|(seen, now)| seen < now);
            // Knative and Cluster API say so of conditions that bar nothing.
            if says(&self.rules.ignored) || old || condition.severity == "Info" {
                continue;
            }
            let polarity = match () {
                () if says(&self.rules.good) => Polarity::Good,
                () if says(&self.rules.bad) => Polarity::Bad,
                () => polarity(condition.name),
            };
            let (severity, word) = match (polarity, condition.status) {
                (Polarity::Bad, "True") => (Severity::Error, "IsTrue"),
                (Polarity::Good, "False") if !self.is_patient(condition.since) => {
                    (Severity::Error, "IsFalse")
                }
                (Polarity::Good, "Unknown") if !self.is_patient(condition.since) => {
                    (Severity::Warning, "IsUnknown")
                }
                _ => continue,
            };
            let severity = if condition.severity == "Warning" { Severity::Warning } else { severity };
            report.fail(self.told_by(&condition, severity, word));
        }
    }

    fn told_by(&self, condition: &Condition<'_>, severity: Severity, word: &str) -> Failure {
        let at = self.object.reference();
        // The last part of a type such as `example.com/Ready`, as a word.
        let short = condition.name.rsplit('/').next().unwrap_or_default();
        let short: String = short.chars().filter(char::is_ascii_alphanumeric).take(48).collect();
        let text = format!(
            "{at}: condition {} is {}: {}",
            cut(condition.name, 100),
            condition.status,
            cut(&condition.why(), LONGEST_MESSAGE)
        );
        let failure = Failure::new(&format!("{short}{word}"), severity, text).seen(
            &at,
            condition.path("status"),
            condition.status.to_owned(),
        );
        match condition.message {
            "" => failure,
            message => failure.seen(&at, condition.path("message"), cut(message, LONGEST_MESSAGE)),
        }
    }

    fn phase(&self, report: &mut Report) {
        for pointer in PHASES {
            let Some(phase) = self.object.text(pointer) else { continue };
            let says = |list: &[String]| list.iter().any(|name| name.eq_ignore_ascii_case(phase));
            let ends = BAD_ENDINGS.iter().any(|ending| phase.ends_with(ending)) && !phase.starts_with("No");
            let known = BAD_PHASES.contains(&phase.to_ascii_lowercase().as_str());
            if !says(&self.rules.good_phases) && (says(&self.rules.bad_phases) || ends || known) {
                let at = self.object.reference();
                let said = ["/status/message", "/status/reason", "/status/error", "/status/health/message"]
                    .iter()
                    .find_map(|pointer| self.object.text(pointer).filter(|text| !text.is_empty()))
                    .map(|text| format!(": {}", cut(text, LONGEST_MESSAGE)))
                    .unwrap_or_default();
                let phase = cut(phase, 100);
                let text = format!("{at} is {phase}{said}");
                report.fail(Failure::new("PhaseFailed", Severity::Error, text).seen(
                    &at,
                    path(pointer),
                    phase,
                ));
                return;
            }
        }
    }

    /// A controller that has not looked at the object since somebody changed it. When that was, only the fields'
    /// managers tell; where they do not, nobody knows whether it is long ago.
    fn behind(&self, report: &mut Report) {
        let number = |pointer: &str| self.object.value().pointer(pointer).and_then(Value::as_i64);
        let (Some(generation), Some(seen)) =
            (number("/metadata/generation"), number("/status/observedGeneration"))
        else {
            return;
        };
        let paused =
            PAUSES.iter().any(|pointer| self.object.value().pointer(pointer) == Some(&Value::Bool(true)));
        let Some(changed) = self.object.changed() else { return };
        if seen >= generation || paused || self.is_patient(Some(changed)) {
            return;
        }
        let at = self.object.reference();
        let text = format!("{at} was changed at {changed} and its controller has not looked at it since");
        report.fail(
            Failure::new("ControllerBehind", Severity::Warning, text)
                .seen(&at, ".status.observedGeneration", seen.to_string())
                .seen(&at, ".metadata.generation", generation.to_string()),
        );
    }
}

/// A pointer as evidence has paths: `/status/items/0/a.b` is `.status.items[0]["a.b"]`.
fn path(pointer: &str) -> String {
    pointer
        .split('/')
        .skip(1)
        .map(|part| {
            let part = part.replace("~1", "/").replace("~0", "~");
            if part.bytes().all(|c| c.is_ascii_digit()) && !part.is_empty() {
                format!("[{part}]")
            } else if part.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
                format!(".{part}")
            } else {
                format!("[{part:?}]")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::analyzer::Selection;
    use crate::analyzers::testing::{NOW, codes, object};
    use crate::evaluate::{Evaluation, evaluate};
    use crate::inventory::Inventory;

    fn thing(rest: Value) -> Object {
        object("example.com/v1", "Thing", "t", rest)
    }

    fn looked(rules: Value, subject: &Object) -> Evaluation {
        let mut all = json!({"group": "example.com", "kind": "Thing"});
        all.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
        let rules = KindRules::parse(&json!([all]).to_string()).unwrap().remove(0);
        let none = Selection::new(&["Pod"], &[], &[]).unwrap();
        let selection = none.with(Arc::new(ResourceAnalyzer::new(rules).unwrap())).unwrap();
        let inventory = Inventory::new(NOW.parse().unwrap());
        let found = evaluate(subject, &selection, &inventory);
        assert!(found.report.failures().iter().all(|failure| !failure.evidence.is_empty()));
        found
    }

    fn condition(name: &str, status: &str) -> Value {
        json!({"type": name, "status": status, "reason": "Because", "message": "of this",
            "lastTransitionTime": "2026-06-01T11:00:00Z"})
    }

    fn with(extra: Value) -> Object {
        let mut condition = condition("Ready", "False");
        condition.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        thing(json!({"metadata": {"generation": 4}, "status": {"conditions": [condition]}}))
    }

    #[test]
    fn conditions_of_known_polarity_fail_and_unknown_ones_do_not() {
        for (name, status, expected) in [
            ("Ready", "True", None),
            ("Ready", "False", Some("ReadyIsFalse")),
            ("Ready", "Unknown", Some("ReadyIsUnknown")),
            ("example.com/Synced", "False", Some("SyncedIsFalse")),
            ("Degraded", "True", Some("DegradedIsTrue")),
            ("Degraded", "False", None),
            ("Degraded", "Unknown", None),
            ("Whatever", "False", None),
            ("Whatever", "True", None),
            ("Progressing", "False", None),
        ] {
            let subject = thing(
                json!({"status": {"conditions": [condition("Other", "True"), condition(name, status)]}}),
            );
            let found = looked(json!({}), &subject);
            assert_eq!(codes(&found), expected.into_iter().collect::<Vec<_>>(), "{name} {status}");
            if let Some(failure) = found.report.failures().first() {
                assert_eq!(failure.evidence[0].path, ".status.conditions[1].status");
                assert!(failure.text.contains("Because: of this"));
            }
        }
    }

    #[test]
    fn rules_say_what_conditions_and_phases_mean() {
        let subject = |name: &str, status: &str, phase: &str| {
            thing(json!({"status": {"phase": phase, "conditions": [condition(name, status)]}}))
        };
        let none: [&str; 0] = [];
        for (rules, subject, expected) in [
            (json!({"good": ["Tuned"]}), subject("Tuned", "False", "Ok"), &["TunedIsFalse"][..]),
            (json!({"bad": ["Tuned"]}), subject("Tuned", "True", "Ok"), &["TunedIsTrue"]),
            (json!({"ignored": ["Ready"]}), subject("Ready", "False", "Ok"), &none),
            (json!({"badPhases": ["stuck"]}), subject("X", "True", "Stuck"), &["PhaseFailed"]),
            (json!({"goodPhases": ["Failed"]}), subject("X", "True", "Failed"), &none),
        ] {
            assert_eq!(codes(&looked(rules.clone(), &subject)), expected, "{rules}");
        }
    }

    #[test]
    fn what_was_just_made_or_changed_is_given_time() {
        let recent = "2026-06-01T11:58:00Z";
        assert!(codes(&looked(json!({}), &with(json!({"lastTransitionTime": recent})))).is_empty());
        let impatient = looked(json!({"patienceSeconds": 60}), &with(json!({"lastTransitionTime": recent})));
        assert_eq!(codes(&impatient), ["ReadyIsFalse"]);
        assert!(
            codes(&looked(json!({}), &with(json!({"observedGeneration": 3})))).is_empty(),
            "of an older spec"
        );
        assert_eq!(codes(&looked(json!({}), &with(json!({"observedGeneration": 4})))), ["ReadyIsFalse"]);
        assert_eq!(codes(&looked(json!({}), &with(json!({"lastTransitionTime": "soon"})))), ["ReadyIsFalse"]);
    }

    #[test]
    fn a_controller_s_own_word_on_how_bad_it_is_counts() {
        let severity = |word: &str| {
            let found = looked(json!({}), &with(json!({"severity": word})));
            found.report.failures().first().map(|failure| failure.severity)
        };
        assert_eq!(severity("Info"), None);
        assert_eq!(severity("Warning"), Some(Severity::Warning));
        assert_eq!(severity(""), Some(Severity::Error));
    }

    #[test]
    fn phases() {
        for (status, expected) in [
            (json!({"phase": "Failed"}), 1),
            (json!({"phase": "failed", "message": "no room"}), 1),
            (json!({"state": "InstallFailed"}), 1),
            (json!({"health": {"status": "Degraded"}}), 1),
            (json!({"phase": "Error", "state": "Error"}), 1),
            (json!({"phase": "NoError"}), 0),
            (json!({"phase": "Running"}), 0),
            (json!({"phase": 7}), 0),
            (json!({"health": "Degraded"}), 0),
        ] {
            let found = looked(json!({}), &thing(json!({"status": status})));
            assert_eq!(codes(&found).len(), expected, "{status}");
        }
    }

    #[test]
    fn a_controller_that_fell_behind_is_told_when_that_is_known_to_be_long_ago() {
        let behind = |seen: i64, changed: Value, spec: Value| {
            let subject = thing(json!({"metadata": {"generation": 4, "managedFields": changed},
                "spec": spec, "status": {"observedGeneration": seen}}));
            codes(&looked(json!({}), &subject)).len()
        };
        let by = |time: &str| {
            json!([{"manager": "kubectl", "time": time}, {"manager": "operator", "time": NOW,
            "subresource": "status"}])
        };
        let (long_ago, just) = ("2026-06-01T10:00:00Z", "2026-06-01T11:59:00Z");
        assert_eq!(behind(3, by(long_ago), json!({})), 1);
        assert_eq!(behind(4, by(long_ago), json!({})), 0, "not behind");
        assert_eq!(behind(3, by(just), json!({})), 0, "just changed");
        assert_eq!(behind(3, Value::Null, json!({})), 0, "nobody knows when it was changed");
        assert_eq!(behind(3, by(long_ago), json!({"suspend": true})), 0, "told to leave it alone");
    }

    #[test]
    fn a_stuck_deletion_is_told_instead_of_conditions() {
        let subject = thing(json!({"metadata": {"deletionTimestamp": "2026-06-01T11:00:00Z",
            "finalizers": ["example.com/cleanup"]}, "status": {"conditions": [condition("Ready", "False")]}}));
        let found = looked(json!({}), &subject);
        assert_eq!(codes(&found), ["DeletionStuck"]);
        assert!(found.report.failures()[0].text.contains("example.com/cleanup"));
        assert!(codes(&looked(json!({"deletionSeconds": 7200}), &subject)).is_empty());
    }

    #[test]
    fn a_rule_of_the_user_needs_all_its_checks_and_shows_their_fields() {
        let rules = json!({"standard": false, "rules": [{"code": "TooNarrow", "severity": "warning",
            "text": "{kind} {name} has {/status/ready} of {/spec/replicas}", "when": [
                {"pointer": "/status/ready", "is": {"lessThanField": "/spec/replicas"}},
                {"pointer": "/metadata/annotations/a.b~1c", "is": "absent"}]}]});
        let found = looked(
            rules.clone(),
            &thing(json!({"spec": {"replicas": 3}, "status": {"ready": 1, "phase": "Failed"}})),
        );
        let failure = &found.report.failures()[0];
        assert_eq!((failure.code.as_str(), failure.text.as_str()), ("TooNarrow", "Thing t has 1 of 3"));
        assert_eq!(found.report.failures().len(), 1, "standard: false leaves the phase alone");
        assert_eq!(failure.evidence[0].value.as_deref(), Some("1"));
        assert_eq!(failure.evidence[1].path, ".metadata.annotations[\"a.b/c\"]");
        assert!(
            codes(&looked(rules.clone(), &thing(json!({"spec": {"replicas": 3}, "status": {"ready": 3}}))))
                .is_empty()
        );
        let doubted = looked(rules, &thing(json!({"spec": {"replicas": 3}, "status": {"ready": "few"}})));
        assert!(codes(&doubted).is_empty());
        assert_eq!(doubted.report.doubts()[0].code, "TooNarrow");
    }

    #[test]
    fn a_report_of_trivy_with_critical_vulnerabilities_is_told_with_its_workload() {
        let rules = KindRules::trivy().unwrap().remove(0);
        let selection = Selection::new(&["Pod"], &[], &[]).unwrap();
        let selection = selection.with(Arc::new(ResourceAnalyzer::new(rules).unwrap())).unwrap();
        let looked = |critical: u32| {
            let subject = object(
                "aquasecurity.github.io/v1alpha1",
                "VulnerabilityReport",
                "r",
                json!({
                "metadata": {"labels": {"trivy-operator.resource.kind": "ReplicaSet", "trivy-operator.resource.name": "web-1"}},
                "report": {"artifact": {"repository": "library/nginx", "tag": "1.16"}, "summary": {"criticalCount": critical}}}),
            );
            evaluate(&subject, &selection, &Inventory::default())
        };
        assert!(codes(&looked(0)).is_empty());
        assert_eq!(
            looked(3).report.failures()[0].text,
            "image library/nginx:1.16 of ReplicaSet shop/web-1 has 3 critical vulnerabilities"
        );
    }

    #[test]
    fn odd_objects_are_no_failure() {
        for rest in [
            json!({"status": 7}),
            json!({"status": {"conditions": {"type": "Ready"}}}),
            json!({"status": null}),
            json!({"metadata": {"generation": "4"}, "status": {"observedGeneration": []}}),
        ] {
            let found = looked(json!({}), &thing(rest));
            assert!(codes(&found).is_empty() && found.report.doubts().is_empty());
        }
    }

    #[test]
    fn two_analyzers_of_one_name_are_refused() {
        let made = |name: &str| -> Arc<dyn Analyzer> {
            let kind = GroupKind::new("example.com", "Thing");
            let rules = KindRules { name: Some(name.to_owned()), ..KindRules::of(&kind) };
            Arc::new(ResourceAnalyzer::new(rules).unwrap())
        };
        let selection = Selection::standard().with(made("Mine")).unwrap();
        assert!(selection.names().any(|name| name == "Mine"));
        assert!(selection.subjects().contains(&GroupKind::new("example.com", "Thing")));
        assert_eq!(selection.clone().with(made("mine")).err().unwrap().0, "mine");
        assert!(selection.with(made("Pod")).is_err(), "also of one that is built in");
    }
}
