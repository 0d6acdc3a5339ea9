//! Several processes on one queue file, and the end of one of them by SIGKILL.
#![cfg(feature = "local")]
#![allow(clippy::unwrap_used, reason = "a test program")]

use std::{
    collections::BTreeMap,
    env,
    num::NonZeroU16,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use asya_envelope::Queue;
use asya_transport::{
    Consumer, Delivery, Outcome, Outgoing, Queues, Transport,
    local::{Local, LocalOptions},
};
use bytes::Bytes;

/// Set for the other process: the queue file.
const FILE: &str = "ASYA_TEST_FILE";
const LEASE: Duration = Duration::from_secs(2);
/// Far below the interval at which consumers look by themselves (5 s): what comes faster was woken.
const WOKEN: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(60);

fn open(path: &Path) -> Arc<Local> {
    Local::open(path, LocalOptions { lease: LEASE, ..LocalOptions::default() }).unwrap()
}

fn queue(name: &str) -> Queue {
    Queue::named(format!("asya-{name}"))
}

fn message(to: &str, body: &str) -> Outgoing {
    Outgoing { queue: queue(to), body: Bytes::from(body.to_owned()) }
}

fn text(delivery: &Delivery) -> String {
    String::from_utf8(delivery.body.to_vec()).unwrap()
}

async fn consume(local: &Local, name: &str, credit: u16) -> Box<dyn Consumer> {
    local.consume(&queue(name), NonZeroU16::new(credit).unwrap()).await.unwrap()
}

/// Forwards from the first queue to the second, many at a time, for ever.
async fn forward_all(local: &Local) {
    let mut consumer = consume(local, "first", 50).await;
    loop {
        let delivery = consumer.next().await.unwrap();
        tokio::spawn(async move {
            let successor = message("second", &text(&delivery));
            delivery.settle(Outcome::forward(vec![successor])).await.unwrap();
        });
    }
}

/// Another process of this program that runs [`the_other_process`]. Killed with SIGKILL when dropped.
struct Other(Child);

impl Other {
    fn start(file: &Path) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "the_other_process", "--nocapture"])
            .env(FILE, file)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn kill(mut self) {
        assert!(self.0.try_wait().unwrap().is_none(), "the other process ended by itself");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Not a test by itself: what the other process does.
#[test]
fn the_other_process() {
    let Some(file) = env::var_os(FILE) else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { forward_all(&open(Path::new(&file))).await });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_in_the_middle_of_work_loses_and_doubles_nothing() {
    const COUNT: usize = 10_000;
    const KILLS: usize = 4;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("queues.db");
    let local = open(&file);
    for name in ["first", "second"] {
        local.ensure(&queue(name)).await.unwrap();
    }
    let bodies: Vec<_> = (0..COUNT).map(|n| n.to_string()).collect();
    let publishes = bodies.iter().map(|body| local.publish(message("first", body), None));
    futures::future::try_join_all(publishes).await.unwrap();

    let arrived = async || local.depth(&queue("second")).await.unwrap().ready;
    let mut cut_short = 0;
    for _ in 0..KILLS {
        let before = arrived().await;
        let other = Other::start(&file);
        let began = Instant::now();
        while arrived().await == before && began.elapsed() < PATIENCE {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        other.kill();
        cut_short += usize::from(local.depth(&queue("first")).await.unwrap().in_flight > 0);
    }
    assert!(cut_short > 0, "no kill came in the middle of work");

    let rest = Arc::clone(&local);
    let forwarding = tokio::spawn(async move { forward_all(&rest).await });
    let mut consumer = consume(&local, "second", 100).await;
    let mut seen = BTreeMap::<String, usize>::new();
    for _ in 0..COUNT {
        let delivery = tokio::time::timeout(PATIENCE, consumer.next()).await.expect("lost").unwrap();
        *seen.entry(text(&delivery)).or_default() += 1;
        delivery.settle(Outcome::forward(vec![])).await.unwrap();
    }
    forwarding.abort();
    assert_eq!(seen.len(), COUNT);
    assert!(seen.values().all(|times| *times == 1), "forwarded twice");
    let (first, second) =
        (local.depth(&queue("first")).await.unwrap(), local.depth(&queue("second")).await.unwrap());
    assert_eq!((first.ready + first.in_flight, second.ready + second.in_flight), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_wake_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("queues.db");
    let local = open(&file);
    for name in ["first", "second"] {
        local.ensure(&queue(name)).await.unwrap();
    }
    let _other = Other::start(&file);
    let mut consumer = consume(&local, "second", 1).await;
    for n in 0..30 {
        let body = n.to_string();
        local.publish(message("first", &body), None).await.unwrap();
        // The first also waits for the other process to start.
        let patience = if n == 0 { PATIENCE } else { WOKEN };
        let back = tokio::time::timeout(patience, consumer.next()).await.expect("not woken").unwrap();
        assert_eq!(text(&back), body);
        back.settle(Outcome::forward(vec![])).await.unwrap();
    }
}

#[tokio::test]
async fn a_file_in_a_deep_directory_works() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("a-rather-long-name-of-a-directory/".repeat(6));
    std::fs::create_dir_all(&deep).unwrap();
    let file = deep.join("queues.db");
    let (here, there) = (open(&file), open(&file));
    here.ensure(&queue("first")).await.unwrap();
    let mut consumer = consume(&there, "first", 1).await;
    here.publish(message("first", "one"), None).await.unwrap();
    let delivery = tokio::time::timeout(PATIENCE, consumer.next()).await.unwrap().unwrap();
    delivery.settle(Outcome::forward(vec![])).await.unwrap();
    here.publish(message("first", "two"), None).await.unwrap();
    let delivery = tokio::time::timeout(WOKEN, consumer.next()).await.expect("not woken").unwrap();
    delivery.settle(Outcome::forward(vec![])).await.unwrap();
}
