//! A case: a situation, what a person asks, and what a good answer is. `evals/README.md` says how to write one.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context as _, Result, ensure};
use asya_tests::{process::root, situation::Situation};
use serde::Deserialize;
use serde_json::Value;

use crate::pattern::{CallPattern, Pattern};

/// One case, in one namespace.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    /// The file's name.
    #[serde(skip)]
    pub(crate) name: String,
    /// What is asked, in plain words. It names the namespace, so that no two questions are the same.
    pub(crate) question: String,
    /// A situation of tests/situations.
    situation: Option<String>,
    /// Or its own: steps, as tests/situations/pods.yaml has them.
    #[serde(default)]
    given: Vec<Value>,
    /// What containers have printed, by `pod/container`; `pod/container/previous` for the run before.
    #[serde(default)]
    pub(crate) logs: BTreeMap<String, String>,
    /// What has to be in results of tools before there is an answer: an answer without it is a guess.
    pub(crate) evidence: Vec<Pattern>,
    /// What the lines `Root cause: …` of the answer have to say: one line for each, which all of its patterns are in. Empty: that
    /// nothing is wrong. Missing: nobody asked for causes.
    pub(crate) causes: Option<Vec<Vec<Pattern>>>,
    /// What has to be in the answer.
    #[serde(default)]
    pub(crate) says: Vec<Pattern>,
    /// What must not be in the answer.
    #[serde(default)]
    pub(crate) never: Vec<Pattern>,
    /// Calls that must not be made, beside those that never may.
    #[serde(default)]
    pub(crate) forbidden: Vec<CallPattern>,
    /// What is planted in the cluster and must reach no model, and nobody.
    #[serde(default)]
    pub(crate) secrets: Vec<String>,
    /// The change that is asked for. Without it every change is forbidden.
    pub(crate) fix: Option<Fix>,
}

/// A change that is asked for.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fix {
    /// Calls that propose it: each of them would do.
    pub(crate) allows: Vec<CallPattern>,
    /// Whether it is approved.
    pub(crate) approve: bool,
    /// How the cluster is afterwards.
    pub(crate) then: Vec<Then>,
}

/// A value in the cluster.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Then {
    /// `VERSION/KIND/NAME`, in the case's namespace.
    pub(crate) object: String,
    /// JSON pointer.
    pub(crate) at: String,
    /// What is there.
    pub(crate) is: Value,
}

impl Case {
    /// The case of this name, in `namespace`.
    ///
    /// # Errors
    /// A file that is none, with its name.
    pub(crate) fn read(name: &str, namespace: &str) -> Result<Self> {
        let path = folder("cases").join(format!("{name}.yaml"));
        let read = || {
            let case = Self::parse(&std::fs::read_to_string(&path)?, namespace)?;
            Ok::<_, anyhow::Error>(Self { name: name.to_owned(), ..case })
        };
        read().with_context(|| path.display().to_string())
    }

    /// A case from its file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str, namespace: &str) -> Result<Self> {
        let case: Self = serde_saphyr::from_str(&text.replace("{ns}", namespace))?;
        ensure!(
            case.situation.is_some() == case.given.is_empty(),
            "one of `situation` and `given` says how the cluster is"
        );
        ensure!(case.question.contains(namespace), "the question does not name {{ns}}");
        ensure!(!case.evidence.is_empty(), "without evidence a guess passes");
        let judged = case.causes.is_some() || !case.says.is_empty() || case.fix.is_some();
        ensure!(judged, "neither `causes` nor `says` nor `fix`: every answer would pass");
        if let Some(fix) = &case.fix {
            ensure!(!fix.allows.is_empty() && !fix.then.is_empty(), "a fix has `allows` and `then`");
        }
        Ok(case)
    }

    /// How the cluster is.
    ///
    /// # Errors
    /// There is no such situation.
    pub(crate) fn situation(&self) -> Result<Situation> {
        match &self.situation {
            Some(name) => Situation::named(name),
            None => Ok(Situation::of(&self.name, self.given.clone())),
        }
    }

    /// Whether it expects what another one does, so that an answer to one may be one to the other.
    #[cfg(test)]
    pub(crate) fn expects_nothing(&self) -> bool {
        self.causes.as_ref().is_some_and(Vec::is_empty)
    }
}

/// Names of all files of a folder of evals, in order.
///
/// # Errors
/// The folder cannot be read.
pub(crate) fn names(of: &str) -> Result<Vec<String>> {
    let path = folder(of);
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&path).with_context(|| path.display().to_string())? {
        names.extend(entry?.file_name().to_string_lossy().strip_suffix(".yaml").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// A folder of evals.
pub(crate) fn folder(of: &str) -> std::path::PathBuf {
    root().join(Path::new("evals")).join(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = "question: why in {ns}?\nsituation: x\nevidence: [a]\ncauses: []\n";

    #[test]
    fn a_case_that_could_not_fail_is_none() {
        assert!(Case::parse(LEAST, "n").is_ok());
        for (without, why) in [
            ("situation: x\n", "one of `situation` and `given`"),
            (" in {ns}", "does not name"),
            ("causes: []\n", "every answer would pass"),
        ] {
            let error = Case::parse(&LEAST.replace(without, ""), "n").unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        let error = Case::parse(&LEAST.replace("[a]", "[]"), "n").unwrap_err().to_string();
        assert!(error.contains("a guess passes"), "{error}");
        assert!(Case::parse(&format!("{LEAST}given: [{{a: b}}]"), "n").is_err());
        assert!(Case::parse(&format!("{LEAST}forbiden: []"), "n").is_err());
    }

    #[test]
    fn the_set_is_what_its_page_says() {
        let names = names("cases").unwrap();
        let cases: Vec<_> = names.iter().map(|name| Case::read(name, "eval-x").unwrap()).collect();
        cases.iter().for_each(|case| drop(case.situation().unwrap()));
        let count = |is: fn(&Case) -> bool| cases.iter().filter(|case| is(case)).count();
        assert!(cases.len() >= 30, "{} cases", cases.len());
        assert!(count(|case| case.fix.is_some()) >= 4);
        assert!(count(|case| case.name.starts_with("injection-")) >= 4);
        assert!(count(Case::expects_nothing) >= 3);
        assert!(count(|case| case.causes.as_ref().is_some_and(|causes| causes.len() > 1)) >= 2);
    }
}
