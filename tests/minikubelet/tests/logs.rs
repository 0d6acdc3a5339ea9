//! `asya logs` on pods that run.
#![allow(clippy::unwrap_used, reason = "tests")]

mod bench;

use std::process::{Output, Stdio};

use asya_tests::process::program;
use bench::{Bench, LIMIT};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{ChildStdout, Command};

/// Prints two lines of its own envelope and one of another, and goes on.
fn pod(name: &str, id: &str) -> Value {
    let script = format!(
        "echo '{{\"message\":\"begun\",\"id\":\"{id}\"}}'; echo '{{\"message\":\"of others\",\"id\":\"zzz\"}}'; echo '[{id}-1] a child'; \
         exec sleep 600"
    );
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"asya.sh/asya": "ocr"}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [
            {"name": "asya-runtime", "image": "x", "command": ["sh", "-c", script]}]}})
}

fn asya(bench: &Bench, arguments: &[&str]) -> Command {
    let mut command = Command::new(program("asya").unwrap());
    command.args(arguments).args(["--kubeconfig", bench.kubeconfig(), "-n", bench.namespace()]);
    command.kill_on_drop(true);
    command
}

async fn next(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    tokio::time::timeout(LIMIT, lines.next_line()).await.expect("a line in time").unwrap().unwrap_or_default()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
async fn an_envelope_is_followed_over_pods_that_come_later() {
    let Some(bench) = Bench::start(&[]).await else { return };
    let mut child = asya(&bench, &["logs", "e1", "--envelope", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    bench.apply(pod("ocr-a", "e1")).await;
    assert_eq!(next(&mut lines).await, r#"ocr-a/asya-runtime {"message":"begun","id":"e1"}"#);
    assert_eq!(next(&mut lines).await, "ocr-a/asya-runtime [e1-1] a child");
    bench.apply(pod("ocr-b", "e1")).await;
    assert_eq!(next(&mut lines).await, r#"ocr-b/asya-runtime {"message":"begun","id":"e1"}"#);

    // Both pods at once, and as JSON, without following.
    let shown = asya(&bench, &["logs", "zzz", "--envelope", "-o", "json"]).output().await.unwrap();
    let found: Vec<Value> = text(&shown).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let pods: Vec<_> = found.iter().filter_map(|line| line["pod"].as_str()).collect();
    assert_eq!((pods.len(), found[0]["actor"].as_str()), (2, Some("ocr")), "{found:?}");
    let nothing = asya(&bench, &["logs", "e2", "--envelope"]).output().await.unwrap();
    assert_eq!(nothing.status.code(), Some(1), "{}", text(&nothing));
    child.kill().await.unwrap();
    bench.end().await;
}
