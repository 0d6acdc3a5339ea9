//! docs/analysis/configuration.md names the codes that there are.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The files whose failures the page explains.
const FILES: [&str; 15] = [
    "analyzers/config_map.rs",
    "analyzers/deletion.rs",
    "analyzers/olm_catalog.rs",
    "analyzers/olm_extension.rs",
    "analyzers/olm_operator.rs",
    "analyzers/olm_subscription.rs",
    "analyzers/prometheus_config.rs",
    "analyzers/prometheus_relabel.rs",
    "analyzers/security_account.rs",
    "analyzers/security_binding.rs",
    "analyzers/security_pod.rs",
    "analyzers/storage_claim.rs",
    "analyzers/storage_class.rs",
    "analyzers/storage_volume.rs",
    "deletion.rs",
];

/// Words in these files that look like codes: kinds, analyzers, conditions, phases and other values of fields.
const OTHERS: [&str; 26] = [
    "BundleUnpackFailed",
    "CatalogProvided",
    "CatalogSource",
    "CatalogSourcesUnhealthy",
    "ClusterCatalog",
    "ClusterExtension",
    "ClusterRole",
    "ClusterServiceVersion",
    "ConfigMap",
    "InstallPlan",
    "InstallPlanMissing",
    "MultipleOperatorGroup",
    "OperatorGroup",
    "OperatorGroups",
    "PrometheusConfigRelabelReport",
    "PrometheusConfigValidate",
    "RequiresApproval",
    "ResolutionFailed",
    "RoleBindings",
    "SelfCertified",
    "ServiceAccount",
    "StorageClasses",
    "UpgradeAvailable",
    "UpgradeFailed",
    "UpgradePending",
    "WaitForFirstConsumer",
];

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A word of two capitals and nothing else: `ClaimLost`.
fn is_code(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphabetic())
        && text.starts_with(|c: char| c.is_ascii_uppercase())
        && text.chars().filter(char::is_ascii_uppercase).count() > 1
        && text.chars().any(|c| c.is_ascii_lowercase())
        && !OTHERS.contains(&text)
}

#[test]
fn the_page_names_the_codes_that_there_are_and_no_others() {
    // The second cell of each row has the codes; text elsewhere names fields and kinds.
    let page = read("../../docs/analysis/configuration.md");
    let cells = page.lines().filter(|line| line.starts_with('|')).filter_map(|line| line.split('|').nth(2));
    let explained: BTreeSet<&str> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    let sources: Vec<String> = FILES.iter().map(|file| read(&format!("src/{file}"))).collect();
    let said: BTreeSet<&str> = sources
        .iter()
        .filter_map(|source| source.split("#[cfg(test)]").next())
        .flat_map(str::lines)
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .filter(|text| is_code(text))
        .collect();
    assert!(said.len() > 50, "only {} codes found", said.len());
    assert_eq!(explained.difference(&said).collect::<Vec<_>>(), Vec::<&&str>::new(), "no analyzer says it");
    assert_eq!(
        said.difference(&explained).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "the page does not explain it"
    );
}
