//! A server that is a program: what it is told, and how it ends.

use std::{path::Path, time::Duration};

use asya_handler::Handler as _;
use rustix::process::{Pid, test_kill_process};
use serde_json::{Value, json};

use super::support::{Logs, actor, again, answer, approved, call, command, ended, error, python, run, until};

fn lives(process: &Value) -> bool {
    let id = Pid::from_raw(i32::try_from(process.as_i64().unwrap()).unwrap()).unwrap();
    test_kill_process(id).is_ok()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_gets_the_variables_that_are_named_and_no_credential_of_it_is_shown() {
    let Some(python) = python() else { return };
    let (name, value) = command(&python);
    let token = "plain-words-only";
    let values = [(name, value.as_str()), ("ASYA_MCP_PASS", "TOKEN"), ("TOKEN", token), ("OTHER", "other")];
    let actor = actor(&[&values[..], &[("ASYA_MCP_MAX_ANSWER", "90Ki")]].concat());
    let told = call(&actor, "environment", json!({})).await;
    let told: Value = serde_json::from_str(told["text"].as_str().unwrap()).unwrap();
    let mut names: Vec<_> = told.as_object().unwrap().keys().map(String::as_str).collect();
    // What the interpreter sets by itself.
    names.retain(|name| !["LC_CTYPE", "__CF_USER_TEXT_ENCODING"].contains(name));
    for name in names {
        assert!(["PATH", "HOME", "LANG", "TMPDIR", "TOKEN"].contains(&name), "{told}");
    }
    assert_eq!(told["TOKEN"], "***");
    let echoed = call(&actor, "fail", json!({"words": format!("{token} is not valid")})).await;
    assert_eq!(error(&echoed), "*** is not valid");
}

#[tokio::test]
async fn what_looks_like_a_secret_in_its_arguments_is_in_no_answer_and_no_log() {
    let Some(python) = python() else { return };
    let logs = Logs::start();
    let (name, value) = command(&python);
    let mut words: Vec<String> = serde_json::from_str(&value).unwrap();
    words.extend(["--api-key", "plain-words-only", "--dsn=postgres://u:other-words@db/x"].map(str::to_owned));
    let actor = actor(&[(name, &json!(words).to_string())]);
    let said = call(&actor, "fail", json!({"words": "plain-words-only, other-words are no good"})).await;
    assert_eq!(error(&said), "***, *** are no good");
    until("its errors are logged", async || logs.text().contains("arguments that are not")).await;
    assert!(logs.text().contains("--api-key"), "{}", logs.text());
    assert!(!logs.text().contains("plain-words") && !logs.text().contains("other-words"), "{}", logs.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_dies_over_a_call_is_started_again_and_the_call_is_not_made_twice() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let notes = folder.path().join("notes");
    let (name, value) = command(&python);
    let actor = actor(&[(name, &value)]);
    let first = call(&actor, "processes", json!({})).await;
    let first: Value = serde_json::from_str(first["text"].as_str().unwrap()).unwrap();
    let lost = call(&actor, "die", json!({"path": notes})).await;
    assert!(error(&lost).contains("its answer was lost") && error(&lost).contains("may have been"), "{lost}");
    assert_eq!(call(&actor, "add", json!({"a": 1, "b": 1})).await, json!({"text": "2"}));
    assert_eq!(read(&notes), "called\n");
    until("what the first one started has ended", async || !lives(&first[1])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_takes_too_long_is_cancelled_at_the_server() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (name, value) = command(&python);
    let actor = actor(&[(name, &value), ("ASYA_MCP_TIMEOUT", "20s")]);
    let other = folder.path().join("other");
    // Somebody who no longer waits: the request is dropped.
    let dropped = {
        let payload = json!({"tool": "slow", "arguments": {"path": other}});
        tokio::select! {
            end = run(&actor, &payload, 1) => panic!("{end:?}"),
            () = until("it has begun", async || read(&other) == "begun") => other,
        }
    };
    until("it is cancelled", async || read(&dropped) == "cancelled").await;
    let notes = folder.path().join("notes");
    let late = call(&actor, "slow", json!({"path": notes})).await;
    assert!(error(&late).contains("did not answer within 20s. It may have been carried out"), "{late}");
    until("it is cancelled", async || read(&notes) == "cancelled").await;
    // The session goes on.
    assert_eq!(call(&actor, "add", json!({"a": 1, "b": 1})).await, json!({"text": "2"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_program_is_left_when_the_actor_ends() {
    let Some(python) = python() else { return };
    let (name, value) = command(&python);
    for closes in [true, false] {
        let actor = actor(&[(name, &value)]);
        let started = call(&actor, "processes", json!({})).await;
        let started: Value = serde_json::from_str(started["text"].as_str().unwrap()).unwrap();
        assert!(lives(&started[0]) && lives(&started[1]));
        if closes {
            tokio::time::timeout(Duration::from_secs(20), actor.close()).await.unwrap();
        }
        drop(actor);
        until("both have ended", async || !lives(&started[0]) && !lives(&started[1])).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_none_or_says_nothing_begins_no_session() {
    let missing = actor(&[("ASYA_MCP_COMMAND", r#"["/no/such/program"]"#)]);
    let refused = call(&missing, "add", json!({})).await;
    assert!(error(&refused).contains("/no/such/program cannot be run"), "{refused}");
    for words in [r#"["false"]"#, r#"["echo", "hello"]"#, r#"["sleep", "600"]"#] {
        let actor = actor(&[("ASYA_MCP_COMMAND", words), ("ASYA_MCP_TIMEOUT", "2s")]);
        let (_, reason) = again(run(&actor, &json!({"tool": "add"}), 1).await);
        assert!(reason.contains("no session"), "{words}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approved_call_that_cannot_be_made_is_answered_for_an_approval_counts_once() {
    let actor = actor(&[("ASYA_MCP_COMMAND", r#"["false"]"#)]);
    let told = answer(ended(&actor, approved(&json!({"tool": "add"}))).await);
    assert!(error(&told).ends_with("nothing was done, and it needs a new approval"), "{told}");
}
