//! One table, run over the socket and inside the process: every reply must be the same, tracebacks included.

#![allow(clippy::unwrap_used)]

mod support;

use asya_handler::{Handler, Reply};
use support::{LIMIT, embedded, request, socket};

/// Payloads whose meaning a careless decoder changes.
const VALUES: [&str; 21] = [
    "null",
    "true",
    "0",
    "-0",
    "-0.0",
    "1.0",
    "1e2",
    "1e400",
    "1e-400",
    "0.1",
    "3.141592653589793238462643383279",
    "123456789012345678901234567890",
    "9223372036854775808",
    r#""blå \u00e5 \n \u0000 \ud83d\ude00""#,
    r#""\ud800""#,
    r#"["\udc00\ud800"]"#,
    r#"{"a":1,"a":2,"b":{"a":[]}}"#,
    r#"{"":0,"\u0061":1,"\ud800":2}"#,
    "  { \"spaced\" : [ 1 , 2 ] } ",
    "[]",
    "[1,[2,[3]],{\"x\":null}]",
];

async fn transcript(handler: &dyn Handler, payload: &str) -> Vec<String> {
    let mut answer = handler.handle(request(payload, LIMIT));
    let mut told = Vec::new();
    while let Some(reply) = tokio::time::timeout(LIMIT, answer.recv()).await.expect("it answers") {
        match reply {
            Reply::Progress(progress) => told.push(format!("{progress:?}")),
            Reply::Yield(item) => told.push(format!("{item:?}")),
            Reply::End(end) => told.push(format!("{end:?}")),
        }
    }
    told
}

async fn same(name: &str, variables: &[(&str, &str)], payloads: &[&str]) -> usize {
    let (outside, inside) = (socket(name, variables).await, embedded(name, variables).await);
    assert_eq!(outside.handler.capacity().borrow().running, inside.capacity().borrow().running, "{name}");
    for payload in payloads {
        let expected = transcript(&*outside.handler, payload).await;
        let got = transcript(&*inside, payload).await;
        assert!(!expected.is_empty());
        assert_eq!(got, expected, "{name} {variables:?} {payload}");
    }
    inside.close().await;
    outside.handler.close().await;
    payloads.len()
}

fn quoted<const N: usize>(kinds: [&'static str; N]) -> Vec<String> {
    kinds.iter().map(|kind| format!("\"{kind}\"")).collect()
}

fn texts(kinds: &[String]) -> Vec<&str> {
    kinds.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn values_come_back_the_same() {
    let objects: Vec<String> = VALUES.iter().map(|value| format!("{{\"value\":{value}}}")).collect();
    assert_eq!(same("plain", &[], &VALUES).await, VALUES.len());
    same("plain", &[("ASYA_RESULT", "single")], &VALUES).await;
    same("plain", &[], &texts(&objects)).await;
    same("later", &[], &VALUES).await;
    same("batch", &[("ASYA_BATCH_MAX", "4")], &VALUES).await;
}

#[tokio::test]
async fn results_and_exceptions_are_the_same() {
    let kinds = quoted([
        "raise",
        "chained",
        "exit",
        "retry",
        "retry by policy",
        "drop",
        "reject",
        "set",
        "nan",
        "object",
        "surrogate",
        "int keys",
        "big",
        "none",
        "empty",
        "tuple",
        "nested",
        "generator",
        "coroutine",
        "echo",
    ]);
    same("plain", &[], &texts(&kinds)).await;
    same("Counter.add", &[], &["1", "\"x\""]).await;
}

#[tokio::test]
async fn typed_payloads_are_the_same() {
    let orders =
        [r#"{"item":"x","count":3}"#, r#"{"item":"x"}"#, r#"{"count":"x"}"#, r#"{"item":1}"#, "[]", "1e400"];
    same("typed", &[], &orders).await;
}

#[tokio::test]
async fn the_context_is_the_same() {
    let kinds = quoted(["all", "insert", "header", "platform", "progress"]);
    same("asking", &[], &texts(&kinds)).await;
}

#[tokio::test]
async fn generators_are_the_same() {
    same("many", &[], &["0", "1", "2", "3", "4", "100", "\"x\""]).await;
    same("stream", &[], &["0", "1", "3", "100", "\"x\""]).await;
}

#[tokio::test]
async fn async_handlers_are_the_same() {
    let kinds = quoted(["raise", "exit", "echo", "cancel myself"]);
    same("later", &[("ASYA_CONCURRENCY", "3")], &texts(&kinds)).await;
}

#[tokio::test]
async fn batches_are_the_same() {
    let kinds = quoted(["a", "bad", "none", "set", "whole", "short"]);
    same("batch", &[("ASYA_BATCH_MAX", "8")], &texts(&kinds)).await;
}

#[tokio::test]
async fn whole_envelopes_are_the_same() {
    let mode = ("ASYA_HANDLER_MODE", "envelope");
    let kinds = quoted(["echo", "erase", "none", "headers", "text", "two"]);
    same("whole", &[mode], &texts(&kinds)).await;
    same("whole", &[mode, ("ASYA_ENABLE_VALIDATION", "false")], &texts(&kinds)).await;
}
