//! The rules of a kind as data, and what is wrong with them.

use serde::{Deserialize, Serialize};

use crate::failure::Severity;
use crate::kind::GroupKind;
use crate::rules::check::Check;
use crate::rules::template::Template;

/// The most rules of one kind.
pub const MOST_RULES: usize = 64;

/// The most checks of one rule.
pub const MOST_CHECKS: usize = 8;

/// The most kinds in one text of rules.
pub const MOST_KINDS: usize = 500;

/// The longest text of rules, in bytes.
pub const LONGEST_TEXT: usize = 1024 * 1024;

/// The longest code, in characters; it becomes part of names and labels.
const LONGEST_CODE: usize = 63;

/// What to look at in the objects of a kind.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct KindRules {
    /// The API group; empty for the core group.
    #[serde(default)]
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The analyzer's name; `Resource/<Kind>.<group>` without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether conditions, phase, deletion and observed generation are looked at, beside the rules.
    #[serde(default = "yes")]
    pub standard: bool,
    /// Types of conditions that should be `True`, beside the well-known ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub good: Vec<String>,
    /// Types of conditions that should not be `True`, beside the well-known ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad: Vec<String>,
    /// Types of conditions that are not looked at.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignored: Vec<String>,
    /// Phases that are a failure, beside the well-known ones; in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bad_phases: Vec<String>,
    /// Phases that are none, though their names say so; in any case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub good_phases: Vec<String>,
    /// How many seconds a good condition may be `False` or `Unknown`, and the controller be behind.
    #[serde(default = "patience")]
    pub patience_seconds: u32,
    /// How many seconds a deletion may take.
    #[serde(default = "deletion")]
    pub deletion_seconds: u32,
    /// The user's rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
}

/// A rule: when all its checks hold, the object has a failure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Rule {
    /// The failure's code: a word such as `TopicTooNarrow`, which stays the same while the fault does.
    pub code: String,
    /// How bad it is.
    #[serde(default = "error")]
    pub severity: Severity,
    /// What must hold, all of it.
    pub when: Vec<Check>,
    /// What the failure says: see [`Template`].
    pub text: String,
}

/// What is wrong with rules, all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct InvalidRules(pub Vec<String>);

const fn yes() -> bool {
    true
}

/// Certificates, volumes and databases are made in minutes.
const fn patience() -> u32 {
    300
}

const fn deletion() -> u32 {
    crate::deletion::PATIENCE.as_secs().unsigned_abs() as u32
}

const fn error() -> Severity {
    Severity::Error
}

impl KindRules {
    /// What is looked at in every kind: no rules of one's own.
    #[must_use]
    pub fn of(kind: &GroupKind) -> Self {
        Self {
            group: kind.group.to_string(),
            kind: kind.kind.to_string(),
            name: None,
            standard: true,
            good: Vec::new(),
            bad: Vec::new(),
            ignored: Vec::new(),
            bad_phases: Vec::new(),
            good_phases: Vec::new(),
            patience_seconds: patience(),
            deletion_seconds: deletion(),
            rules: Vec::new(),
        }
    }

    /// Reads a YAML or JSON list of rules, and checks them.
    ///
    /// # Errors
    /// [`InvalidRules`] with the place in the text, or with everything that is wrong.
    pub fn parse(text: &str) -> Result<Vec<Self>, InvalidRules> {
        if text.len() > LONGEST_TEXT {
            return Err(InvalidRules(vec![format!("{} bytes, more than {LONGEST_TEXT}", text.len())]));
        }
        let kinds: Vec<Self> = serde_saphyr::from_str(text)
            .map_err(|error| InvalidRules(vec![error.without_snippet().to_string()]))?;
        if kinds.len() > MOST_KINDS {
            return Err(InvalidRules(vec![format!("{} kinds, more than {MOST_KINDS}", kinds.len())]));
        }
        let mut errors = Vec::new();
        for (n, kind) in kinds.iter().enumerate() {
            errors.extend(kind.errors().into_iter().map(|error| format!("[{n}].{error}")));
            if let Some(same) = kinds.iter().take(n).position(|other| other.name() == kind.name()) {
                errors.push(format!("[{n}]: has the name {} as [{same}] has", kind.name()));
            }
        }
        if errors.is_empty() { Ok(kinds) } else { Err(InvalidRules(errors)) }
    }

    /// The rules for the reports of the Trivy operator.
    ///
    /// # Errors
    /// None: a test reads them.
    pub fn trivy() -> Result<Vec<Self>, InvalidRules> {
        Self::parse(include_str!("trivy.yaml"))
    }

    /// The name of the analyzer.
    #[must_use]
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(|| format!("Resource/{}", self.subject()))
    }

    /// The kind they are for.
    #[must_use]
    pub fn subject(&self) -> GroupKind {
        GroupKind { group: self.group.clone().into(), kind: self.kind.clone().into() }
    }

    /// Everything that is wrong with them, each with its field.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if !is_word(&self.kind) {
            errors.push(format!("kind: {:?} is no kind; write it as in a manifest: Certificate", self.kind));
        }
        let in_group = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.' || c == '-';
        if !self.group.chars().all(in_group) {
            errors.push(format!("group: {:?} is no API group; it goes without the version", self.group));
        }
        if self.name.as_ref().is_some_and(|name| name.trim().is_empty() || name.len() > LONGEST_CODE) {
            errors.push(format!("name: has no letters, or more than {LONGEST_CODE}"));
        }
        if self.rules.len() > MOST_RULES {
            errors.push(format!("rules: {} of them, more than {MOST_RULES}", self.rules.len()));
        }
        if !self.standard && self.rules.is_empty() {
            errors.push("rules: none, and standard is false: nothing is looked at".to_owned());
        }
        for both in self.good.iter().filter(|name| self.bad.contains(name)) {
            errors.push(format!("good: {both} is in bad too"));
        }
        for (n, rule) in self.rules.iter().enumerate() {
            errors.extend(rule.errors().into_iter().map(|error| format!("rules[{n}].{error}")));
            if self.rules.iter().take(n).any(|other| other.code == rule.code && other.text == rule.text) {
                errors.push(format!("rules[{n}].code: {} has this text already", rule.code));
            }
        }
        errors
    }
}

impl Rule {
    fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        if !is_word(&self.code) {
            errors.push(format!("code: {:?} is no code; write it like TopicTooNarrow", self.code));
        }
        if self.when.is_empty() {
            errors.push("when: no check; a rule without one holds for every object".to_owned());
        }
        if self.when.len() > MOST_CHECKS {
            errors.push(format!("when: {} checks, more than {MOST_CHECKS}", self.when.len()));
        }
        for (n, check) in self.when.iter().enumerate() {
            errors.extend(check.errors().into_iter().map(|error| format!("when[{n}].{error}")));
        }
        if let Err(error) = Template::parse(&self.text) {
            errors.push(format!("text: {error}"));
        }
        errors
    }
}

/// An upper-case letter and then letters and digits, at most 63.
pub(crate) fn is_word(text: &str) -> bool {
    text.len() <= LONGEST_CODE
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::json;

    use super::*;

    /// The first YAML in a text or in the comments at the top of a file.
    fn example(text: &str) -> String {
        let lines = text.lines().map(|line| line.strip_prefix("//! ").unwrap_or(line));
        let inside = lines.skip_while(|line| !line.contains("```yaml")).skip(1);
        inside.take_while(|line| !line.contains("```")).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn the_rules_of_the_page_and_those_for_trivy_are_read() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/analysis/rules.md");
        let rules = KindRules::parse(&example(&std::fs::read_to_string(page).unwrap())).unwrap();
        let names: Vec<String> = rules.iter().map(KindRules::name).collect();
        assert_eq!(
            names,
            [
                "Resource/Certificate.cert-manager.io",
                "Resource/Database.example.com",
                "Resource/Deployment.apps"
            ]
        );
        assert_eq!(KindRules::trivy().unwrap().len(), 4);
    }

    #[test]
    fn the_example_of_the_documentation_is_read_as_yaml_and_as_json() {
        let rules = KindRules::parse(&example(include_str!("mod.rs"))).unwrap();
        assert_eq!(rules[0].name(), "Resource/KafkaTopic.kafka.strimzi.io");
        assert_eq!(rules[0].rules[0].severity, Severity::Warning);
        assert!(rules[0].standard && rules[0].patience_seconds == 300 && rules[0].deletion_seconds == 600);
        assert_eq!(KindRules::parse(&serde_json::to_string(&rules).unwrap()).unwrap(), rules);
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once_with_its_field() {
        let error = KindRules::parse(
            &json!([
                {"kind": "certificate", "group": "cert-manager.io/v1"},
                {"kind": "Thing", "good": ["X"], "bad": ["X"], "rules": [
                    {"code": "has spaces", "when": [], "text": ""},
                    {"code": "Fine", "when": [{"pointer": "status", "is": "absent"}], "text": "{nmae}"}]},
                {"kind": "Other", "standard": false},
                {"kind": "Thing"},
            ])
            .to_string(),
        )
        .unwrap_err();
        for told in [
            "[0].kind: \"certificate\"",
            "[0].group: \"cert-manager.io/v1\"",
            "[1].good: X is in bad too",
            "[1].rules[0].code",
            "[1].rules[0].when: no check",
            "[1].rules[0].text: is empty",
            "[1].rules[1].when[0].pointer: \"status\" does not begin with /",
            "[1].rules[1].text: has {nmae} at byte 0",
            "[2].rules: none",
            "[3]: has the name Resource/Thing as [1] has",
        ] {
            assert!(error.0.iter().any(|error| error.starts_with(told)), "{told} in {:#?}", error.0);
        }
        assert_eq!(error.0.len(), 10, "{:#?}", error.0);
    }

    #[test]
    fn a_misspelt_field_is_told_with_its_place() {
        for (text, told) in [
            ("- kind: Thing\n  rule: []\n", "rule"),
            ("- group: a.b\n", "kind"),
            ("- kind: Thing\n  rules: [{code: A, when: [{pointer: /a, is: gone}], text: t}]\n", "gone"),
            ("- kind: Thing\n  rules: [{code: A, severity: fatal, when: [], text: t}]\n", "fatal"),
            ("kind: Thing\n", "sequence"),
        ] {
            let error = KindRules::parse(text).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("line"), "{text}: {error}");
        }
    }

    #[test]
    fn rules_are_bounded() {
        let rule = |code: usize| {
            json!({"code": format!("A{code}"), "when": vec![json!({"pointer": "/a", "is": "absent"}); 9],
            "text": "t"})
        };
        let many: Vec<_> = (0..=MOST_RULES).map(rule).collect();
        let error = KindRules::parse(&json!([{"kind": "Thing", "rules": many}]).to_string()).unwrap_err();
        assert!(error.0[0].contains("65 of them, more than 64"), "{:?}", error.0[0]);
        assert!(error.0[1].contains("9 checks, more than 8"), "{:?}", error.0[1]);
        assert!(
            KindRules::parse(&" ".repeat(LONGEST_TEXT + 1)).unwrap_err().to_string().contains("more than")
        );
    }
}
