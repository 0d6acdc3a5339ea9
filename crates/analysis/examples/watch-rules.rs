//! Prints the rules of a role that lets a watcher see all that the analyzers read, as YAML.

use asya_analysis::rights;

fn main() {
    println!("# Made by `make generate` from crates/analysis/src/rights.rs; never edited by hand.");
    let verbs = rights::VERBS.join(", ");
    for (group, resources) in rights::by_group() {
        let group = if group.is_empty() { "\"\"" } else { &group };
        println!("- apiGroups: [{group}]");
        println!("  resources: [{}]", resources.into_iter().collect::<Vec<_>>().join(", "));
        println!("  verbs: [{verbs}]");
    }
}
