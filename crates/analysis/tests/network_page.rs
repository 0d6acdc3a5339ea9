//! The pages of docs/analysis name the codes that there are.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "../../docs/analysis/network.md";

/// The files whose failures the page explains.
const FILES: [&str; 9] = [
    "gateway",
    "gateway_class",
    "http_route",
    "ingress",
    "network_policy",
    "policy_report",
    "scaled_object",
    "service",
    "webhook",
];

/// How their codes begin.
const BEGINNINGS: [&str; 9] = [
    "Gateway",
    "Ingress",
    "Listener",
    "NetworkPolicy",
    "Policy",
    "Route",
    "ScaledObject",
    "Service",
    "Webhook",
];

/// Names of kinds that begin so too.
const KINDS: [&str; 6] =
    ["Gateway", "GatewayClass", "Ingress", "NetworkPolicy", "PolicyReport", "ScaledObject"];

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Words in backticks in the first cells of the tables of the page.
fn explained() -> BTreeSet<String> {
    let page = fs::read_to_string(here(PAGE)).unwrap();
    let first_cells = page.lines().filter_map(|line| line.strip_prefix("| ")?.split('|').next());
    first_cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Texts in quotes before the tests of a file.
fn quoted(file: &str) -> BTreeSet<String> {
    let source = fs::read_to_string(here(&format!("src/analyzers/{file}.rs"))).unwrap();
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_code_on_the_page_is_in_the_sources() {
    let mut said = BTreeSet::new();
    for file in fs::read_dir(here("src/analyzers")).unwrap() {
        said.extend(quoted(file.unwrap().path().file_stem().unwrap().to_str().unwrap()));
    }
    let unknown: Vec<String> = explained().into_iter().filter(|code| !said.contains(code)).collect();
    assert!(unknown.is_empty(), "{PAGE} explains what no analyzer says: {unknown:?}");
}

#[test]
fn every_code_of_these_analyzers_is_on_the_page() {
    let is_code = |text: &String| {
        let a_word = text.chars().all(|letter| letter.is_ascii_alphanumeric());
        let begins =
            BEGINNINGS.iter().any(|beginning| text.len() > beginning.len() && text.starts_with(beginning));
        a_word && begins && !KINDS.contains(&text.as_str())
    };
    let codes: BTreeSet<String> = FILES.iter().flat_map(|file| quoted(file)).filter(is_code).collect();
    assert!(codes.len() > 40, "only {} codes found", codes.len());
    let explained = explained();
    let missing: Vec<&String> = codes.iter().filter(|code| !explained.contains(*code)).collect();
    assert!(missing.is_empty(), "{PAGE} does not explain {missing:?}");
}
