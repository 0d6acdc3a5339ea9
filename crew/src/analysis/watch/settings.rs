//! What a watcher is told.

use std::collections::BTreeSet;
use std::time::Duration;

use asya_analysis::rules::KindRules;
use asya_analysis::{Extent, Selection, Selector};
use asya_cluster::{WatchOptions, lease::OwnerReference};
use asya_settings::units;

use crate::analysis::also::Also;
use crate::shipped::Variables;

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// How the cluster is called in findings.
    pub cluster: String,
    /// Where what it sends goes.
    pub route: Vec<String>,
    /// Names of analyzers; empty: those that run by default.
    pub analyzers: Vec<String>,
    /// How changes of one object are collected, in milliseconds.
    pub debounce: Duration,
    /// How often everything is sent again.
    pub resync: Duration,
    /// How long what crashes must run before it counts as healed.
    pub settle: Duration,
    /// Whether Secrets are watched.
    pub secrets: bool,
    /// Which objects are looked at.
    pub extent: Extent,
    /// Actors that look at objects too.
    pub also: Also,
    /// Rules of the user, for kinds with and without analyzers.
    pub rules: Vec<KindRules>,
    /// The Lease that says which of several watches, in the pod's own namespace and nowhere else; none: it is not asked.
    pub lease: Option<String>,
    /// The `K8sGPT` with which the Lease goes.
    pub owner: Option<OwnerReference>,
}

impl Settings {
    /// Reads `ASYA_WATCH_…`.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let list = |name: &str| -> Option<Vec<String>> {
            let text = variables.get(name)?;
            Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
        };
        let mut time =
            |name: &str, otherwise: Duration| match variables.get(name).map(|text| units::duration(&text)) {
                None => otherwise,
                Some(Ok(given)) => given,
                Some(Err(error)) => {
                    errors.push(format!("{name}: {error}"));
                    otherwise
                }
            };
        let usual = WatchOptions::default();
        let debounce = time("ASYA_WATCH_DEBOUNCE", usual.debounce);
        let resync = time("ASYA_WATCH_RESYNC", usual.resync);
        let settle = time("ASYA_WATCH_SETTLE", usual.settle);
        if resync < SHORTEST_RESYNC {
            errors.push(format!(
                "ASYA_WATCH_RESYNC: at least {SHORTEST_RESYNC:?}; changes are seen without it"
            ));
        }
        let cluster = variables.get("ASYA_WATCH_CLUSTER").unwrap_or_else(|| "default".to_owned());
        if cluster.contains('/') {
            errors.push(format!(
                "ASYA_WATCH_CLUSTER: {cluster:?} has a slash, which separates the parts of a finding's key"
            ));
        }
        let route = list("ASYA_WATCH_ROUTE").unwrap_or_else(|| ROUTE.map(str::to_owned).to_vec());
        if route.is_empty() {
            errors.push("ASYA_WATCH_ROUTE: names no actor".to_owned());
        }
        let analyzers = list("ASYA_WATCH_ANALYZERS").unwrap_or_default();
        let mut also = Also::default();
        let mut rules = Vec::new();
        match Selection::new(&analyzers, &[], &[]) {
            Err(unknown) => errors.push(format!("ASYA_WATCH_ANALYZERS: {unknown}")),
            Ok(selection) => {
                errors.extend(selection.reading_logs().map(|name| {
                    format!(
                        "ASYA_WATCH_ANALYZERS: {name} reads logs, which k8s-watch does not: nobody tells of their \
                         changes; `asya analyze --filter {name}` reads them once"
                    )
                }));
                let ruled = rules_of(variables).and_then(|read| {
                    rules.clone_from(&read);
                    selection.clone().ruled(read).map_err(|error| error.to_string())
                });
                let ruled = ruled.map_err(|error| errors.push(format!("ASYA_WATCH_RULES_FILE: {error}")));
                also = Also::read(variables, &ruled.unwrap_or(selection).subjects(), &mut errors);
            }
        }
        let lease = match variables.get("ASYA_WATCH_LEASE") {
            None => Some(lease_of(&cluster)),
            Some(none) if none == "none" => None,
            Some(name) => Some(name),
        };
        let owner = match (variables.get("ASYA_WATCH_K8SGPT"), variables.get("ASYA_WATCH_UID")) {
            (None, None) => None,
            (Some(name), Some(uid)) => Some(owned_by(name, uid)),
            (_, None) => {
                errors.push("ASYA_WATCH_UID: is required with ASYA_WATCH_K8SGPT".to_owned());
                None
            }
            (None, _) => {
                errors.push("ASYA_WATCH_K8SGPT: is required with ASYA_WATCH_UID".to_owned());
                None
            }
        };
        let secrets = match variables.get("ASYA_WATCH_SECRETS").as_deref() {
            None | Some("none") => false,
            Some("metadata") => true,
            Some(other) => {
                errors.push(format!("ASYA_WATCH_SECRETS: {other:?} is neither none nor metadata"));
                false
            }
        };
        let mut namespaces = |name: &str| -> BTreeSet<String> {
            let patterns = list(name).unwrap_or_default();
            let wrong = patterns.iter().find(|pattern| !is_namespace(pattern));
            errors.extend(
                wrong.map(|pattern| format!("{name}: {pattern:?} is no namespace, nor several by `*`")),
            );
            patterns.into_iter().collect()
        };
        let mut extent = Extent {
            namespaces: namespaces("ASYA_WATCH_NAMESPACES"),
            without: namespaces("ASYA_WATCH_EXCLUDE_NAMESPACES"),
            selector: Selector::everything(),
        };
        match variables.get("ASYA_WATCH_SELECTOR").unwrap_or_default().parse() {
            Ok(selector) => extent.selector = selector,
            Err(error) => errors.push(format!("ASYA_WATCH_SELECTOR: {error}")),
        }
        if extent.named().is_some_and(|named| named.is_empty()) {
            errors.push("ASYA_WATCH_EXCLUDE_NAMESPACES: leaves none of ASYA_WATCH_NAMESPACES".to_owned());
        }
        if errors.is_empty() {
            Ok(Self {
                cluster,
                route,
                analyzers,
                debounce,
                resync,
                settle,
                secrets,
                extent,
                also,
                rules,
                lease,
                owner,
            })
        } else {
            Err(errors)
        }
    }
}

/// The user's rules, if a file is named.
fn rules_of(variables: &Variables<'_>) -> Result<Vec<KindRules>, String> {
    let Some(file) = variables.get("ASYA_WATCH_RULES_FILE") else { return Ok(Vec::new()) };
    if file == TRIVY {
        return KindRules::trivy().map_err(|error| error.to_string());
    }
    let text =
        std::fs::read_to_string(variables.base.join(&file)).map_err(|error| format!("{file}: {error}"))?;
    KindRules::parse(&text).map_err(|error| format!("{file}: {error}"))
}

/// Whether a name can be that of a namespace, or of several by `*`.
fn is_namespace(pattern: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-*".contains(letter);
    pattern.len() <= 63 && pattern.chars().all(fits)
}

/// The name of the Lease for a cluster that is called like this: lower-case letters, digits and dashes.
fn owned_by(name: String, uid: String) -> OwnerReference {
    OwnerReference {
        api_version: asya_resources::k8sgpt::API_VERSION.to_owned(),
        kind: asya_resources::k8sgpt::KIND.to_owned(),
        name,
        uid,
        ..OwnerReference::default()
    }
}

fn lease_of(cluster: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = cluster.chars().map(plain).collect();
    format!("k8s-watch-{}", name.trim_matches('-'))
}

/// Where what is seen goes, unless settings say otherwise.
const ROUTE: [&str; 2] = ["k8s-analyze", "findings"];
/// Stands for the built-in rules instead of a file; a file of that name is `./trivy`.
const TRIVY: &str = "trivy";
/// A shorter one is a poll by another name.
const SHORTEST_RESYNC: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let find =
            |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Settings::read(&Variables { find: &find, base: Path::new("/") })
    }

    #[test]
    fn nothing_has_to_be_said() {
        let settings = read(&[]).expect("defaults");
        assert_eq!(
            (settings.cluster.as_str(), settings.route, settings.secrets),
            ("default", ROUTE.map(str::to_owned).to_vec(), false)
        );
        assert_eq!(settings.lease.as_deref(), Some("k8s-watch-default"));
        let lease = |name, value| read(&[(name, value)]).expect("a lease").lease;
        assert_eq!(lease("ASYA_WATCH_CLUSTER", "Prod_EU.1-").as_deref(), Some("k8s-watch-prod-eu-1"));
        assert_eq!(lease("ASYA_WATCH_LEASE", "mine").as_deref(), Some("mine"));
        assert_eq!(lease("ASYA_WATCH_LEASE", "none"), None);
        assert!(read(&[("ASYA_WATCH_K8SGPT", "gpt")]).expect_err("whose?")[0].contains("ASYA_WATCH_UID"));
        let owner = read(&[("ASYA_WATCH_K8SGPT", "gpt"), ("ASYA_WATCH_UID", "u-1")]).expect("an owner").owner;
        assert_eq!(owner.map(|owner| (owner.kind, owner.uid)), Some(("K8sGPT".to_owned(), "u-1".to_owned())));
    }

    #[test]
    fn namespaces_and_labels_are_read() {
        let extent = read(&[
            ("ASYA_WATCH_NAMESPACES", "shop, pay"),
            ("ASYA_WATCH_EXCLUDE_NAMESPACES", "kube-*"),
            ("ASYA_WATCH_SELECTOR", "tier in (front,back),!legacy"),
        ])
        .expect("an extent")
        .extent;
        assert_eq!(extent.named().map(|named| named.len()), Some(2));
        assert!(extent.without.contains("kube-*"));
        assert_eq!(extent.selector.to_string(), "tier in (back,front),!legacy");
        assert_eq!(read(&[]).expect("defaults").extent, Extent::default());
    }

    #[test]
    fn rules_and_actors_that_look_too_are_read_and_checked_together() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rules.yaml"), "- {group: example.com, kind: Database}").unwrap();
        let read = |given: &[(&str, &str)]| {
            let find = |name: &str| {
                given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
            };
            Settings::read(&Variables { find: &find, base: folder.path() })
        };
        let (rules, also, kinds) = ("ASYA_WATCH_RULES_FILE", "ASYA_WATCH_ALSO", "ASYA_WATCH_ALSO_KINDS");
        let given =
            [(rules, "rules.yaml"), (also, "mine, other"), (kinds, "Database.example.com,Deployment.apps")];
        let settings = read(&given).unwrap();
        assert_eq!(
            (settings.rules.len(), settings.also.analyzers.len(), settings.also.kinds.len()),
            (1, 2, 2)
        );
        assert_eq!(read(&[(rules, "trivy")]).unwrap().rules.len(), 4);
        for (given, why) in [
            (
                vec![(also, "mine"), (kinds, "Database.example.com")],
                "no analyzer looks at Database.example.com",
            ),
            (vec![(also, "mine")], "only one of them"),
            (vec![(kinds, "Pod")], "only one of them"),
            (vec![(also, "My_Actor"), (kinds, "Pod")], "My_Actor"),
            (vec![(also, "a,a"), (kinds, "Pod")], "a is named twice"),
            (vec![(rules, "none.yaml")], "none.yaml"),
        ] {
            let errors = read(&given).unwrap_err().join("\n");
            assert!(errors.contains(why), "{errors}");
        }
    }

    #[test]
    fn an_analyzer_that_reads_logs_is_refused_with_what_reads_them() {
        let errors = read(&[("ASYA_WATCH_ANALYZERS", "Pod,Log")]).expect_err("logs");
        assert!(errors.len() == 1 && errors[0].contains("asya analyze --filter Log"), "{errors:?}");
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let errors = read(&[
            ("ASYA_WATCH_CLUSTER", "a/b"),
            ("ASYA_WATCH_ROUTE", ","),
            ("ASYA_WATCH_ANALYZERS", "Pod,Pods"),
            ("ASYA_WATCH_SECRETS", "yes"),
            ("ASYA_WATCH_DEBOUNCE", "soon"),
            ("ASYA_WATCH_RESYNC", "1s"),
            ("ASYA_WATCH_NAMESPACES", "Shop"),
            ("ASYA_WATCH_EXCLUDE_NAMESPACES", "a.b"),
            ("ASYA_WATCH_SELECTOR", "app in"),
        ])
        .expect_err("mistakes");
        let names = ["CLUSTER", "ROUTE", "ANALYZERS", "SECRETS", "DEBOUNCE", "RESYNC", "NAMESPACES"];
        for name in names.into_iter().chain(["EXCLUDE_NAMESPACES", "SELECTOR"]) {
            assert!(
                errors.iter().any(|error| error.starts_with(&format!("ASYA_WATCH_{name}"))),
                "{name} in {errors:?}"
            );
        }
    }
    #[test]
    fn a_scope_without_a_namespace_is_a_mistake() {
        let of = |without| {
            read(&[("ASYA_WATCH_NAMESPACES", "shop-a"), ("ASYA_WATCH_EXCLUDE_NAMESPACES", without)])
        };
        assert!(of("shop-*").expect_err("nothing is left")[0].contains("leaves none"));
        assert!(of("shop-b").is_ok());
    }
}
