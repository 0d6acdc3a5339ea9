//! mcp-call against servers of the official SDK, at a port and as a program, and against one that does what none should.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod hostile;
mod program;
mod support;

use std::path::Path;

use asya_crew::mcp_call::list;
use asya_handler::{Handler, Progress};
use serde_json::json;

use support::{
    Server, actor, again, answer, call, command, error, free_port, python, run, settings, told, until,
};

/// Everything that is the same for a server at an address and for a program.
async fn speaks(actor: &dyn Handler) {
    assert_eq!(call(actor, "add", json!({"a": 2, "b": 3})).await, json!({"text": "5"}));
    let all = call(actor, "results.all", json!({})).await;
    let text = "one\n[file:///a.txt]\ntwo\n[file file:///a.bin, application/pdf, 3 bytes; not shown]\n\
        [image, image/png, 3 bytes; not shown]";
    assert_eq!(all, json!({"text": text}));
    assert_eq!(call(actor, "structured", json!({})).await, json!({"text": "{\"n\":1}"}));
    let failed = call(actor, "fail", json!({"words": "no such order; password=hunter2hunter2"})).await;
    assert!(error(&failed).starts_with("no such order") && !error(&failed).contains("hunter2"), "{failed}");
    let secret = call(actor, "echo", json!({"words": "AKIAIOSFODNN7EXAMPLE"})).await;
    assert_eq!(secret, json!({"text": "***"}));
    // Whoever is asked for more than it has says so.
    let unknown = call(actor, "nothing", json!({})).await;
    assert!(error(&unknown).contains("nothing"), "{unknown}");
    let wrong = call(actor, "add", json!({"a": "two"})).await;
    assert!(!error(&wrong).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_at_an_address_is_called() {
    let Some(python) = python() else { return };
    let server = Server::start(&python).await;
    let actor = actor(&[("ASYA_MCP_URL", &server.url)]);
    speaks(&actor).await;
    actor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_called() {
    let Some(python) = python() else { return };
    let (name, value) = command(&python);
    let actor = actor(&[(name, &value)]);
    speaks(&actor).await;
    actor.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_calls_share_a_session_and_their_answers_stay_apart() {
    let Some(python) = python() else { return };
    let server = Server::start(&python).await;
    let (name, value) = command(&python);
    for actor in [actor(&[("ASYA_MCP_URL", &server.url)]), actor(&[(name, &value)])] {
        let calls = (0..50).map(|n| {
            let actor = &actor;
            async move { (n, call(actor, "add", json!({"a": n, "b": 1000})).await) }
        });
        for (n, sum) in futures::future::join_all(calls).await {
            assert_eq!(sum, json!({"text": (n + 1000).to_string()}));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_far_a_call_is_is_told_seldom_in_short_and_without_secrets() {
    let Some(python) = python() else { return };
    let server = Server::start(&python).await;
    let (name, value) = command(&python);
    let passed = [("ASYA_MCP_PASS", "TOKEN"), ("TOKEN", "plain-words-only")];
    for actor in
        [actor(&[("ASYA_MCP_URL", &server.url)]), actor(&[&[(name, value.as_str())], &passed[..]].concat())]
    {
        let (progress, answer) = told(&actor, "steps", json!({"count": 3, "pause": 1.3})).await;
        assert_eq!(answer, json!({"text": "done"}));
        let fractions: Vec<_> = progress.iter().map(|progress| (progress.fraction * 3.0).round()).collect();
        assert_eq!(fractions, [1.0, 2.0, 3.0], "{progress:?}");
        for (step, Progress { message, .. }) in progress.iter().enumerate() {
            assert!(message.starts_with(&format!("step {} of 3; token=*** ", step + 1)), "{message}");
            assert!(message.len() <= 200 && !message.contains("plain"), "{message}");
        }
        let (progress, answer) = told(&actor, "steps", json!({"count": 500, "pause": 0})).await;
        assert_eq!(answer, json!({"text": "done"}));
        // One in a second, however long it takes.
        assert!((1..30).contains(&progress.len()), "{}", progress.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tools_that_are_named_are_called() {
    let Some(python) = python() else { return };
    let server = Server::start(&python).await;
    let actor = actor(&[("ASYA_MCP_TOOLS", "add,results.*"), ("ASYA_MCP_URL", &server.url)]);
    assert_eq!(call(&actor, "add", json!({"a": 1, "b": 1})).await, json!({"text": "2"}));
    assert!(call(&actor, "results.all", json!({})).await["text"].is_string());
    for other in ["echo", "add ", "Add", "xresults.all", ""] {
        let refused = call(&actor, other, json!({"words": "x"})).await;
        assert!(error(&refused).ends_with("may not be called here; nothing was done"), "{refused}");
    }
    for payload in [
        json!({}),
        json!({"tool": 7}),
        json!({"tool": "add", "arguments": [1, 2]}),
        json!({"tool": "add", "arguments": {}, "url": "http://127.0.0.1/"}),
        json!("add"),
        json!(null),
    ] {
        let refused = answer(run(&actor, &payload, 1).await);
        assert!(error(&refused).starts_with("the payload must be"), "{payload}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_answer_is_cut_and_says_so() {
    let Some(python) = python() else { return };
    let (name, value) = command(&python);
    let actor = actor(&[(name, &value), ("ASYA_MCP_MAX_ANSWER", "101")]);
    let long = call(&actor, "echo", json!({"words": "é", "times": 500_000})).await;
    assert_eq!((long["text"].as_str().unwrap(), &long["truncated"]), ("é".repeat(50).as_str(), &true.into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_waited_for_and_one_that_forgot_its_session_gets_a_new_one() {
    let Some(python) = python() else { return };
    let port = free_port().await;
    let url = format!("http://127.0.0.1:{port}/mcp");
    let actor = actor(&[("ASYA_MCP_URL", &url)]);
    let payload = json!({"tool": "add", "arguments": {"a": 1, "b": 2}});
    let (_, reason) = again(run(&actor, &payload, 1).await);
    assert!(reason.contains("cannot be reached"), "{reason}");
    let last = answer(run(&actor, &payload, 5).await);
    assert!(error(&last).contains("cannot be reached") && error(&last).contains("5 runs"), "{last}");

    let server = Server::start_at(&python, port).await;
    assert_eq!(call(&actor, "add", json!({"a": 1, "b": 2})).await, json!({"text": "3"}));
    drop(server);
    until("it is away", async || tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err()).await;
    again(run(&actor, &payload, 1).await);
    let _server = Server::start_at(&python, port).await;
    assert_eq!(call(&actor, "add", json!({"a": 2, "b": 2})).await, json!({"text": "4"}));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tools_of_a_server_are_listed_with_what_it_says_of_them() {
    let Some(python) = python() else { return };
    let (name, value) = command(&python);
    let listed = list(&settings(&[(name, &value), ("ASYA_MCP_TOOLS", "*")], Path::new("/"))).await.unwrap();
    let add = listed.iter().find(|tool| tool.name == "add").unwrap();
    assert_eq!((add.description.as_str(), add.reads_only), ("Adds two numbers.", true));
    assert_eq!(add.schema["required"], json!(["a", "b"]));
    assert!(listed.iter().any(|tool| tool.name == "results.all" && !tool.reads_only));
    let away = [("ASYA_MCP_URL", "http://127.0.0.1:1/mcp"), ("ASYA_MCP_TOOLS", "*")];
    assert!(list(&settings(&away, Path::new("/"))).await.unwrap_err().contains("cannot be reached"));
}
