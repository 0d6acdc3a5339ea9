//! The commands around the queues, with the real binary.

#![allow(clippy::unwrap_used, reason = "a test program")]

mod support;

use std::sync::Arc;

use asya_envelope::Queue;
use asya_transport::{
    Outcome, Outgoing, Queues as _, Transport as _,
    local::{Local, LocalOptions},
};
use support::{Place, lines, text};

const NOTHING: &str = "def handle(n):\n    return n\n";

#[test]
fn validate_shows_the_line_and_fails() {
    let place = Place::with("ocr", NOTHING, "  scaling:\n    minReplica: 1");
    let output = place.run(&["validate", "ocr.yaml"]);
    assert_eq!(output.status.code(), Some(1));
    let shown = text(&output.stdout);
    assert!(shown.starts_with("ocr.yaml:8:5: error: spec.scaling.minReplica: unknown field"), "{shown}");
    let output = place.run(&["validate", "ocr.yaml", "--output", "json"]);
    assert_eq!(lines(&output.stdout)[0]["line"], 8);
}

#[test]
fn a_wrong_command_line_ends_with_64_before_anything_is_sent() {
    let place = Place::with("ocr", NOTHING, "");
    for arguments in [
        &["send", "ocr", "not json", "--create"][..],
        &["send", "OCR", "1", "--create"],
        &["send", "ocr", "1", "--create", "--deadline", "soon"],
        &["send", "ocr", "1"],
        &["nonsense"],
        &["queues", "--transport", "kafka://x"],
        &["up", "nowhere.yaml"],
    ] {
        let output = place.run(arguments);
        assert_eq!(output.status.code(), Some(64), "{arguments:?}: {}", text(&output.stderr));
    }
    assert!(!place.path().join(".asya/queue.db").exists());
}

#[test]
fn an_actor_that_does_not_exist_is_named() {
    let place = Place::with("ocr", NOTHING, "");
    assert!(place.run(&["send", "ocr", "1", "--create"]).status.success());
    let output = place.run(&["send", "orc", "1"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no actor \"orc\""), "{}", text(&output.stderr));
}

#[test]
fn what_send_will_wait_for_is_said() {
    let place = Place::with("ocr", NOTHING, "");
    assert!(place.run(&["send", "ocr", "1", "--create"]).status.success());
    let output = place.run(&["send", "ocr,later", "1"]);
    assert!(output.status.success());
    assert!(text(&output.stderr).contains("no actor \"later\" has run here yet"), "{}", text(&output.stderr));
    let output = place.run(&["send", "ocr", "1", "2", "--wait", "--timeout", "10ms"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("2 of 2 did not end within 10ms"), "{}", text(&output.stderr));
}

#[test]
fn a_broken_line_of_standard_input_is_named_with_what_was_sent_before_it() {
    let place = Place::with("ocr", NOTHING, "");
    assert!(place.run(&["send", "ocr", "1", "--create"]).status.success());
    place.write("lines", "1\n2\nthree\n4\n");
    let input = std::fs::File::open(place.path().join("lines")).unwrap();
    let output = place.command(&["send", "ocr", "-"]).stdin(input).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(told.contains("the 2 before it were sent: line 3 of standard input"), "{told}");
    assert_eq!(place.json(&["queues", "ocr"])[0]["ready"], 3);
}

#[test]
fn a_directory_is_no_queue_file() {
    let place = Place::with("ocr", NOTHING, "");
    let output = place.run(&["queues", "--queue-file", "."]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("is a directory"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn a_dead_letter_is_listed_shown_replayed_and_dropped() {
    let place = Place::with("ocr", NOTHING, "");
    let queue = Queue::named("asya-ocr");
    std::fs::create_dir(place.path().join(".asya")).unwrap();
    let local = Local::open(&place.path().join(".asya/queue.db"), LocalOptions::default()).unwrap();
    local.ensure(&queue).await.unwrap();
    for body in [&br#"{"id":"a"}"#[..], b"{bad"] {
        local.publish(Outgoing { queue: queue.clone(), body: body.into() }, None).await.unwrap();
        bury(&local, &queue).await;
    }
    let list = place.json(&["dlq", "list"]);
    assert_eq!(
        (list.len(), list[0]["id"].as_str(), list[0]["reason"].as_str()),
        (2, Some("a"), Some("too odd"))
    );
    let number = |at: usize| list[at]["number"].as_str().unwrap();
    assert_eq!(place.json(&["dlq", "show", "ocr", number(1)])[0]["body"], "{bad");
    assert_eq!(place.json(&["dlq", "replay", "ocr", number(0)])[0]["replayed"], 1);
    assert_eq!(place.json(&["dlq", "drop", "ocr", "--all"])[0]["dropped"], 1);
    let depth = &place.json(&["queues", "ocr"])[0];
    assert_eq!((depth["ready"].as_i64(), depth["dead"].as_i64()), (Some(1), Some(0)));
    assert_eq!(place.run(&["dlq", "drop", "ocr", "12345"]).status.code(), Some(1));
}

async fn bury(local: &Arc<Local>, queue: &Queue) {
    let mut consumer = local.consume(queue, 1.try_into().unwrap()).await.unwrap();
    let delivery = consumer.next().await.unwrap();
    delivery.settle(Outcome::DeadLetter { reason: "too odd".into() }).await.unwrap();
}

#[test]
fn doctor_says_what_is_wrong_and_how_to_mend_it() {
    let place = Place::with("ocr", NOTHING, "  workload: {pythonExecutable: /no/python, template: {}}");
    let output = place.run(&["doctor", ".", "--output", "json"]);
    let checks = lines(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    let bad = checks.iter().find(|check| check["found"].as_str().unwrap().contains("/no/python")).unwrap();
    assert!(bad["fix"].as_str().unwrap().contains("pythonExecutable"));
}

#[test]
fn every_shell_gets_its_completion() {
    let place = Place::with("ocr", NOTHING, "");
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&place.run(&["completion", shell]).stdout).contains("replay"), "{shell}");
    }
}

#[test]
fn a_purge_deletes_what_waits_and_asks_before() {
    let place = Place::with("ocr", NOTHING, "");
    for number in 0..3 {
        assert!(place.run(&["send", "ocr", &number.to_string(), "--create"]).status.success());
    }
    let output = place.run(&["purge", "ocr"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(text(&output.stderr).contains("3 messages wait in asya-ocr; --yes"), "{}", text(&output.stderr));
    assert_eq!(place.json(&["purge", "ocr", "--yes"])[0]["purged"], 3);
    assert_eq!(place.json(&["queues", "ocr"])[0]["ready"], 0);
    assert_eq!(place.json(&["purge", "ocr"])[0]["purged"], 0, "nothing to ask about");
}

/// Asks for another try once, then lets go.
const LETS_GO: &str = "from asya_runtime import Drop, Retry, context\n\n\ndef handle(n):\n    \
    if context().attempt == 1:\n        raise Retry('busy', after=0.01)\n    raise Drop('too old')\n";

/// Sidecar and gateway as they are: what one says the other takes.
#[test]
fn a_call_whose_handler_asks_for_another_try_and_then_lets_go_ends_and_tells_both() {
    let place = Place::with("old", LETS_GO, "");
    place.write("tools.yaml", "tools: [{name: old, route: [old]}]");
    let up = place.up(&["--gateway", "127.0.0.1:0"]);
    let url = up.gateway();
    let called = place.json(&["call", "old", "--gateway", &url, "--id", "mine", "--timeout", "50s"]);
    assert_eq!((&called[0]["id"], &called[0]["status"]), (&"mine".into(), &"succeeded".into()), "{called:?}");
    let watched = place.json(&["watch", "mine", "--gateway", &url]);
    let steps: Vec<_> = watched.iter().filter_map(|update| update["step"].as_str()).collect();
    assert!(steps.contains(&"retrying") && steps.last() == Some(&"dropped"), "{watched:?}");
    let last = watched.last().unwrap();
    assert!(last["message"].as_str().unwrap().contains("The handler of 'old' let the envelope go"), "{last}");
    assert!(last["result"].is_null(), "{last}");
}
