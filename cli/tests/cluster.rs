//! The cluster's half without a cluster: what the command line takes, and what it says when it gets nowhere.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::{
    net::TcpListener,
    process::Output,
    time::{Duration, Instant},
};

use support::{Place, text};

const NOTHING: &str = "def handle(n):\n    return n\n";

/// Runs without a home, so that no kubeconfig of this machine is found.
fn run(place: &Place, arguments: &[&str]) -> Output {
    let mut command = place.command(arguments);
    command.env_remove("KUBECONFIG").env_remove("KUBERNETES_SERVICE_HOST").env("HOME", place.path());
    command.output().unwrap()
}

/// A kubeconfig with the contexts `here`, the current one, and `there`.
fn kubeconfig(place: &Place, server: &str) {
    place.write(
        "config",
        &format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: here\nclusters: [{{name: c, cluster: {{server: \"{server}\"}}}}]\n\
             users: [{{name: u, user: {{}}}}]\ncontexts:\n- {{name: here, context: {{cluster: c, user: u}}}}\n\
             - {{name: there, context: {{cluster: c, user: u}}}}\n"
        ),
    );
}

#[test]
fn without_a_kubeconfig_every_command_says_how_to_name_one() {
    let place = Place::with("ocr", NOTHING, "");
    for arguments in [
        &["explain", "actor", "ocr"][..],
        &["logs", "ocr"],
        &["pause", "ocr"],
        &["resume", "--all"],
        &["purge", "ocr", "-n", "prod"],
        &["doctor", "--cluster"],
        &["analyze"],
    ] {
        let output = run(&place, arguments);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {told}");
        assert!(told.contains("no kubeconfig") && told.contains("--kubeconfig"), "{arguments:?}: {told}");
    }
}

#[test]
fn a_context_that_does_not_exist_lists_those_that_do() {
    let place = Place::with("ocr", NOTHING, "");
    kubeconfig(&place, "http://127.0.0.1:1");
    let output = run(&place, &["logs", "ocr", "--kubeconfig", "config", "--context", "prod"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("no context prod; choose one with --context: here, there"));
    // A profile names it as well.
    place.write("asya/config.yaml", "profiles: {p: {context: prod}, q: {context: there}}\n");
    let mut command = place.command(&["pause", "ocr", "--profile", "p"]);
    let output = command.env("KUBECONFIG", place.path().join("config")).output().unwrap();
    assert!(text(&output.stderr).contains("no context prod"), "{}", text(&output.stderr));
    let mut command = place.command(&["pause", "ocr", "--profile", "q"]);
    let output = command.env("KUBECONFIG", place.path().join("config")).output().unwrap();
    assert!(text(&output.stderr).contains("context there"), "{}", text(&output.stderr));
}

#[test]
fn an_api_server_that_refuses_or_is_silent_is_named_within_seconds() {
    let place = Place::with("ocr", NOTHING, "");
    kubeconfig(&place, "http://127.0.0.1:1");
    let output = run(&place, &["explain", "actor", "ocr", "--kubeconfig", "config"]);
    let told = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(
        told.contains("http://127.0.0.1:1 does not answer") && told.contains("kubectl --context here"),
        "{told}"
    );

    // Takes connections and says nothing, as behind a firewall.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    kubeconfig(&place, &format!("http://{}", silent.local_addr().unwrap()));
    let begun = Instant::now();
    let output = run(&place, &["doctor", "--cluster", "--kubeconfig", "config", "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).starts_with("{\"error\":"), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("did not answer within 5s"), "{}", text(&output.stderr));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[test]
fn wrong_command_lines_are_refused_before_a_cluster_is_asked() {
    let place = Place::with("ocr", NOTHING, "");
    for arguments in [
        &["pause"][..],
        &["pause", "ocr", "--all"],
        &["resume", "ocr", "--timeout", "soon"],
        &["logs"],
        &["logs", "ocr", "--since", "yesterday"],
        &["logs", "ocr", "-f", "--previous"],
        &["explain", "queue", "ocr"],
        &["doctor", "--cluster", "manifests"],
    ] {
        let output = run(&place, arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("kubeconfig:"), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn beside_a_queue_file_logs_says_that_none_are_kept() {
    let place = Place::with("ocr", NOTHING, "");
    assert!(run(&place, &["send", "ocr", "1", "--create"]).status.success());
    let output = run(&place, &["logs", "ocr"]);
    assert_eq!(output.status.code(), Some(64));
    let told = text(&output.stderr);
    assert!(told.contains("asya status ID") && told.contains("add -n NAMESPACE"), "{told}");
}

#[test]
fn every_help_has_examples_and_the_clusters_options() {
    let place = Place::with("ocr", NOTHING, "");
    for arguments in [
        &["explain", "actor", "--help"][..],
        &["logs", "--help"],
        &["pause", "--help"],
        &["resume", "--help"],
        &["purge", "--help"],
        &["doctor", "--help"],
        &["analyze", "--help"],
    ] {
        let help = text(&run(&place, arguments).stdout);
        for part in ["Examples:", "--context", "--namespace", "--kubeconfig", "Cluster:"] {
            assert!(help.contains(part), "{arguments:?} has no {part}:\n{help}");
        }
    }
}

#[test]
fn analyzers_are_listed_without_a_cluster_and_a_misspelt_one_is_no_healthy_cluster() {
    let place = Place::with("ocr", NOTHING, "");
    let listed = run(&place, &["analyze", "--list-filters"]);
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    assert!(text(&listed.stdout).lines().any(|line| line.starts_with("Pod ")), "{}", text(&listed.stdout));
    // The option of all commands stands before this one's, too.
    for arguments in
        [&["-o", "json", "analyze", "--list-filters"][..], &["analyze", "--list-filters", "-o", "json"]]
    {
        let output = run(&place, arguments);
        let told = text(&output.stdout);
        let first: serde_json::Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
        assert!(first["name"].is_string() && first["default"].is_boolean(), "{told}");
    }
    for (arguments, words) in [
        (&["analyze", "--filter", "Pods"][..], "\"Pods\""),
        (&["analyze", "--disable", "pod,nonsense"], "\"nonsense\""),
        (&["analyze", "--filter", "Pod", "--disable", "pod"], "no analyzer is left"),
        (&["analyze", "-A", "-n", "shop"], "--all-namespaces"),
        (&["analyze", "--exclude-namespace", "kube-system"], "--all-namespaces"),
        (&["analyze", "--max-concurrency", "0"], "1..=100"),
        (&["analyze", "--explain"], "ASYA_LLM_BACKEND"),
        (&["analyze", "--explain", "--prompts", "nowhere"], "--prompts: nowhere"),
        (&["analyze", "--language", "german"], "--explain"),
        (&["analyze", "--output", "xml"], "sarif, html"),
        (&["explain", "actor", "ocr", "--output", "sarif"], "human, json"),
    ] {
        let output = run(&place, arguments);
        let told = text(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {told}");
        assert!(told.contains(words), "{arguments:?}: {told}");
    }
}
