//! What is accepted while databases are away or full, and what is answered meanwhile; and callers in too much of a hurry.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use asya_envelope::Naming;
use asya_store::testing::server;
use asya_transport::{
    Queues,
    local::{Local, LocalOptions},
};
use serde_json::{Value, json};
use tokio::{
    process::Command,
    time::{sleep, timeout},
};

use crate::support::{LIMIT, TOKEN, ask, body, free, get, in_folder, post, serving, until};

/// What is wrong, as answers say it: the status, the kind of the body, and its code.
fn refusal(answer: &str) -> (&str, bool, Value) {
    let status = answer.get(9..12).unwrap_or_default();
    (status, answer.contains("content-type: application/problem+json"), body(answer)["code"].clone())
}

async fn call(address: std::net::SocketAddr, id: &str, who: &str) -> String {
    post(address, "/api/v1/tools/hello?wait=0", &json!({"id": id, "arguments": {"who": who}})).await
}

#[tokio::test]
async fn who_asks_too_often_is_told_when_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let address = free().await;
    let mut command = in_folder(folder.path(), address);
    let _child = serving(command.env("ASYA_GATEWAY_RATE_LIMIT", "1"), address).await;
    let mut answers = Vec::new();
    for _ in 0..20 {
        answers.push(get(address, "/api/v1/info").await);
    }
    assert!(answers[0].starts_with("HTTP/1.1 200"), "{}", answers[0]);
    let refused = answers.iter().find(|answer| answer.starts_with("HTTP/1.1 429")).unwrap();
    assert_eq!(refusal(refused), ("429", true, json!("too_many_requests")));
    let after = refused.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
    let after = Duration::from_secs(after.parse().unwrap());
    assert!(after <= Duration::from_secs(2), "{refused}");
    // Probes are asked as often as anybody likes.
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
    sleep(after).await;
    until("it is let in again", async || get(address, "/api/v1/info").await.starts_with("HTTP/1.1 200"))
        .await;
}

#[tokio::test]
async fn who_guesses_tokens_is_put_off_and_who_has_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let address = free().await;
    let mut command = in_folder(folder.path(), address);
    command.env("ASYA_GATEWAY_TOKEN", TOKEN).env("ASYA_GATEWAY_FAILURE_LIMIT", "3");
    let _child = serving(&mut command, address).await;
    let come = async |token: &str| {
        let header = format!("authorization: Bearer {token}\r\naccept: application/problem+json\r\n");
        ask(address, "GET", "/api/v1/info", &header, "").await
    };
    assert!(come(TOKEN).await.starts_with("HTTP/1.1 200"));
    for guess in 0..3 {
        assert_eq!(refusal(&come(&format!("guess-{guess}")).await), ("401", true, json!("unauthenticated")));
    }
    let refused = come("guess-3").await;
    assert_eq!(refusal(&refused), ("429", true, json!("too_many_requests")));
    let after = refused.lines().find_map(|line| line.strip_prefix("retry-after: ")).unwrap();
    assert!((1..=20).contains(&after.parse::<u64>().unwrap()), "{refused}");
    assert!(come(TOKEN).await.starts_with("HTTP/1.1 200"), "it was good before");
    let open = ask(address, "GET", "/healthz", "", "").await;
    assert!(open.starts_with("HTTP/1.1 200"), "{open}");
}

/// A PostgreSQL of this test's own, which it may stop.
struct Server {
    script: String,
    state: tempfile::TempDir,
}

impl Server {
    async fn run(&self, command: &str) -> String {
        let mut script = Command::new(&self.script);
        script.arg(command).env("ASYA_TEST_STATE", self.state.path()).stderr(Stdio::inherit());
        let output = script.output().await.unwrap();
        assert!(output.status.success(), "{command}");
        String::from_utf8(output.stdout).unwrap()
    }

    async fn start(&self) -> String {
        let environment = self.run("start").await;
        environment.lines().find_map(|line| line.strip_prefix("ASYA_TEST_POSTGRES_URL=")).unwrap().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut script = std::process::Command::new(Path::new(&self.script));
        drop(script.arg("purge").env("ASYA_TEST_STATE", self.state.path()).status());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_goes_away_loses_no_accepted_call_and_says_so_meanwhile() {
    let Some(script) = server("ASYA_TEST_POSTGRES_CTL") else { return };
    let server = Server { script, state: tempfile::tempdir().unwrap() };
    let url = server.start().await;
    let folder = tempfile::tempdir().unwrap();
    let local = Local::open(&folder.path().join("queue.db"), LocalOptions::default()).unwrap();
    let queue = Naming::bare().queue("greet");
    local.ensure(&queue).await.unwrap();
    let address = free().await;
    let mut command = in_folder(folder.path(), address);
    let _child = serving(command.env("ASYA_DATABASE_URL", &url), address).await;

    let (mut accepted, mut refused) = (Vec::new(), 0);
    let mut attempt = async |id: String| {
        let answer = timeout(LIMIT, call(address, &id, "Ada")).await.unwrap();
        if answer.starts_with("HTTP/1.1 20") {
            accepted.push(id);
        } else {
            assert_eq!(refusal(&answer), ("503", true, json!("unavailable")), "{answer}");
            refused += 1;
        }
    };
    for number in 0..10 {
        attempt(format!("before-{number}")).await;
    }
    // Without a word of goodbye, as when its machine is gone.
    server.run("kill").await;
    for number in 0..10 {
        attempt(format!("meanwhile-{number}")).await;
    }
    assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"), "no reason to restart the gateway");
    assert_eq!(refusal(&get(address, "/api/v1/counts").await), ("503", true, json!("unavailable")));
    assert_eq!(server.start().await, url);
    until("it is ready", async || get(address, "/readyz").await.starts_with("HTTP/1.1 200")).await;
    for number in 0..10 {
        attempt(format!("meanwhile-{number}")).await;
    }
    assert_eq!((refused, accepted.len()), (10, 20));
    for id in &accepted {
        let answer = get(address, &format!("/api/v1/envelopes/{id}")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{id} was accepted and is lost: {answer}");
    }
    let all = accepted.len() as u64;
    until("all are sent", async || local.depth(&queue).await.unwrap().ready >= all).await;
}

/// A gateway whose database is on a small disk that only it sees. `None`: this system allows no such disk.
async fn on_a_small_disk(
    folder: &Path,
    address: std::net::SocketAddr,
) -> Option<(tokio::process::Child, PathBuf)> {
    let disk = folder.join("disk");
    std::fs::create_dir(&disk).unwrap();
    let mount = "mount -t tmpfs -o size=4m tmpfs \"$0\" && head -c 2M /dev/zero >\"$0/filler\"";
    let alone = |namespaces: &str, then: &str| {
        let mut command = Command::new("unshare");
        command.args([namespaces, "sh", "-c", &format!("{mount} && {then}")]).arg(&disk);
        command
    };
    // As somebody who is root in a user namespace; else as root, where there are no user namespaces.
    let mut namespaces = None;
    for way in ["-rm", "-m"] {
        let tried = alone(way, "true").stderr(Stdio::null()).status().await;
        if tried.is_ok_and(|status| status.success()) {
            namespaces = Some(way);
            break;
        }
    }
    let Some(namespaces) = namespaces else {
        eprintln!(
            "\n=== NOT TESTED: a full disk; this process may not mount one (unshare; mount -t tmpfs) ===\n"
        );
        // The second RabbitMQ of the gate mounts too, so CI can.
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must test a full disk");
        return None;
    };
    let gateway = in_folder(folder, address);
    let mut command = alone(namespaces, "exec \"$1\"");
    command.arg(gateway.as_std().get_program()).kill_on_drop(true);
    command.envs(gateway.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
    let child = serving(command.env("ASYA_DATABASE_URL", disk.join("gateway.db")), address).await;
    // The disk as the gateway sees it.
    let seen = format!("/proc/{}/root{}", child.id().unwrap(), disk.display());
    Some((child, PathBuf::from(seen)))
}

#[tokio::test]
async fn a_full_disk_refuses_what_finds_no_room_and_keeps_what_was_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let local = Local::open(&folder.path().join("queue.db"), LocalOptions::default()).unwrap();
    let queue = Naming::bare().queue("greet");
    local.ensure(&queue).await.unwrap();
    let address = free().await;
    let Some((_child, disk)) = on_a_small_disk(folder.path(), address).await else { return };
    let long = "x".repeat(20_000);
    let mut accepted = Vec::new();
    let refused = loop {
        let id = format!("call-{}", accepted.len());
        let answer = call(address, &id, &long).await;
        if !answer.starts_with("HTTP/1.1 20") {
            break answer;
        }
        accepted.push(id);
        assert!(accepted.len() < 500, "two megabytes hold no ten");
    };
    assert_eq!(refusal(&refused), ("503", true, json!("unavailable")), "{refused}");
    assert!(!accepted.is_empty() && body(&refused)["detail"].as_str().unwrap().contains("full"), "{refused}");
    // What is there can be read, and the gateway stays up.
    assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
    for id in &accepted {
        let answer = get(address, &format!("/api/v1/envelopes/{id}")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{id} was accepted and is lost: {answer}");
    }
    std::fs::remove_file(disk.join("filler")).unwrap();
    until("there is room again", async || call(address, "later", "Ada").await.starts_with("HTTP/1.1 20"))
        .await;
    let all = accepted.len() as u64 + 1;
    until("all are sent", async || local.depth(&queue).await.unwrap().ready >= all).await;
}
