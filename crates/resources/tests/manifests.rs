//! The manifests of examples/ and tests/manifests as `check` sees them, and the generated CRD beside the rules.
//! tests/cluster_crd.rs does the same with a real API server.
#![allow(clippy::unwrap_used, reason = "a test fails by it")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use asya_resources::{AsyncActor, KIND, Severity, check, check::path_text, check_change, rules};
use serde_json::Value;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(Path::new(ROOT).join(directory)).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    assert!(!files.is_empty(), "{directory}");
    files
}

/// Actors of a file.
fn actors(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    documents.into_iter().filter(|document| document["kind"] == KIND).collect()
}

/// What the head of a file of tests/manifests expects `check` to say.
fn expected(path: &Path) -> String {
    line(path, &["# both: ", "# check: "])
}

fn line(path: &Path, starts: &[&str]) -> String {
    let text = fs::read_to_string(path).unwrap();
    let rest = text.lines().find_map(|line| starts.iter().find_map(|start| line.strip_prefix(start)));
    rest.unwrap_or_else(|| panic!("{} has no line {starts:?}", path.display())).to_owned()
}

fn errors(actor: &Value) -> Vec<String> {
    check(actor)
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| format!("{}: {}", path_text(&problem.path), problem.message))
        .collect()
}

#[test]
fn every_example_is_right_and_can_be_read() {
    for path in files("examples/manifests") {
        for actor in actors(&path) {
            assert_eq!(errors(&actor), Vec::<String>::new(), "{}", path.display());
            AsyncActor::read(&actor).unwrap();
        }
    }
}

#[test]
fn every_wrong_manifest_has_one_error_with_its_sentence() {
    for path in files("tests/manifests/refused") {
        let [actor] = &actors(&path)[..] else { panic!("{}: one actor", path.display()) };
        let (errors, expected) = (errors(actor), expected(&path));
        assert!(errors.len() == 1 && errors[0].contains(&expected), "{}: {errors:?}", path.display());
    }
}

#[test]
fn every_wrong_change_is_between_two_right_manifests_and_has_its_sentence() {
    for path in files("tests/manifests/refused-changes") {
        let [old, new] = &actors(&path)[..] else { panic!("{}: two actors", path.display()) };
        assert_eq!((errors(old), errors(new)), (vec![], vec![]), "{}", path.display());
        let found: Vec<_> = check_change(old, new)
            .iter()
            .map(|problem| format!("{}: {}", path_text(&problem.path), problem.message))
            .collect();
        assert_eq!(
            found,
            [format!("{}: {}", line(&path, &["# at: "]), expected(&path))],
            "{}",
            path.display()
        );
        assert_eq!(check_change(old, old), vec![]);
    }
}

#[test]
fn every_rule_has_a_manifest_that_breaks_it() {
    let refused: Vec<Value> = files("tests/manifests/refused").iter().flat_map(|path| actors(path)).collect();
    for rule in rules::rules().filter(|rule| rule.is_in_crd()) {
        assert!(refused.iter().any(|actor| !rule.find(actor).is_empty()), "{}: {}", rule.at, rule.message);
    }
    let changes: Vec<_> = files("tests/manifests/refused-changes").iter().map(|path| actors(path)).collect();
    for change in rules::changes() {
        assert!(changes.iter().any(|pair| change.is_broken(&pair[0], &pair[1])), "{}", change.message);
    }
}

#[test]
fn the_crd_has_exactly_the_rules_of_the_table() {
    let text = fs::read_to_string(Path::new(ROOT).join("crds/asya.sh_asyncactors.yaml")).unwrap();
    let crd: Value = serde_saphyr::from_str(&text).unwrap();
    let mut found = BTreeSet::new();
    collect(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", &mut found);
    let wanted: BTreeSet<_> = rules::validations()
        .map(|wanted| (wanted.at.to_owned(), wanted.rule, wanted.message.to_owned()))
        .collect();
    assert_eq!(found, wanted);
    // And each of the table's is in there, with its sentence.
    for rule in rules::rules().filter(|rule| rule.is_in_crd()) {
        assert!(found.iter().any(|(.., message)| message == rule.message), "{}", rule.message);
    }
    for change in rules::changes() {
        assert!(found.iter().any(|(.., message)| message == change.message), "{}", change.message);
    }
}

fn collect(schema: &Value, at: &str, found: &mut BTreeSet<(String, String, String)>) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        found.insert((at.to_owned(), text(&rule["rule"]), text(&rule["message"])));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let below = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
        collect(field, &below, found);
    }
    if schema["items"].is_object() {
        collect(&schema["items"], &format!("{at}[]"), found);
    }
}
