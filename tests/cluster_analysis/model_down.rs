//! The model is away while a cluster breaks: every finding is there meanwhile, none is lost, all are explained afterwards, by one
//! call each; and calls wait for as long as the model asks.
//!
//! The time is scaled: an outage of ten seconds, and a breaker that looks again after half a second instead of fifteen
//! seconds. `ASYA_TEST_OUTAGE=600` is the outage of ten minutes, with the breaker as it is by default.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use asya_tests::{
    analysis::{Actor, Analysis},
    bare::Bare,
    cluster::LIMIT,
    inbox::Inbox,
    model::{Model, Mood},
};
use serde_json::json;
use tokio::time::sleep;

/// Findings.
const PODS: usize = 24;
/// Calls at the same time; so many may be repeated by a crash.
const CONCURRENCY: usize = 4;
/// What the model asks for when it is back and busy, in seconds.
const WAIT: u64 = 4;
/// A call that was under way when the model asked to wait may still come.
const UNDER_WAY: Duration = Duration::from_secs(1);
/// All answers are there: a claim that a dead process held is taken over after a minute, and asked again in the next one.
const EXPLAINED: Duration = Duration::from_secs(180);

fn actors(sink: &str, model: &Model, real: bool) -> Vec<Actor<'static>> {
    let sinks = json!([{"name": "here", "type": "webhook", "url": sink, "batch": {"most": 1}, "late": true}]);
    let mut explain = vec![
        ("ASYA_LLM_BACKEND", "openai-compatible".to_owned()),
        ("ASYA_LLM_BASE_URL", model.url.clone()),
        ("ASYA_LLM_MODEL", "local".to_owned()),
        ("ASYA_LLM_CONCURRENCY", CONCURRENCY.to_string()),
        ("ASYA_LLM_TRIES", "1".to_owned()),
        ("ASYA_EXPLAIN_WAIT", "500ms".to_owned()),
    ];
    if !real {
        explain.push(("ASYA_LLM_BREAK_PAUSE", "500ms".to_owned()));
    }
    vec![
        (
            "k8s-watch",
            vec![
                ("ASYA_WATCH_ROUTE", "k8s-analyze,findings,explain,notify".to_owned()),
                ("ASYA_WATCH_ANALYZERS", "Pod".to_owned()),
            ],
        ),
        ("k8s-analyze", vec![]),
        ("findings", vec![("ASYA_FINDINGS_GRACE", "0s".to_owned())]),
        ("explain", explain),
        ("notify", vec![("ASYA_NOTIFY_SINKS", sinks.to_string())]),
    ]
}

async fn break_pod(bare: &Bare, name: &str) -> Result<()> {
    let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}});
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "shop"},
        "spec": {"containers": [{"name": "c", "image": "registry.example/app:1"}]},
        "status": {"phase": "Pending", "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": false,
            "restartCount": 0, "state": waiting}]}});
    bare.apply(&pod).await
}

/// Waits until `done`, and says what was missing if it does not become so.
async fn until(limit: Duration, what: &str, mut done: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let end = Instant::now() + limit;
    while !done().await? {
        ensure!(Instant::now() < end, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_model_is_away_nothing_is_lost_and_afterwards_each_is_asked_once() -> Result<()> {
    let Some(bare) = Bare::start().await? else { return Ok(()) };
    let given = std::env::var("ASYA_TEST_OUTAGE").ok();
    let outage = Duration::from_secs(given.as_deref().unwrap_or("10").parse()?);
    let model = Model::start(Mood::Down).await?;
    let (inbox, sink) = Inbox::open().await?;
    let mut analysis = Analysis::of(bare.kubeconfig.clone(), &actors(&sink, &model, given.is_some()))?;
    bare.namespace("shop").await?;
    analysis.start()?;

    // Down, from before the first finding until long after the last.
    let began = Instant::now();
    for n in 0..PODS {
        break_pod(&bare, &format!("web-{n}")).await?;
    }
    for n in 0..PODS {
        let object = format!("Pod shop/web-{n}");
        let told = inbox.wait(began, LIMIT, |note| note.object == object).await;
        let told = told.with_context(|| format!("{object} was not told\n{}", analysis.log()))?;
        ensure!(told.change == "opened" && told.body["explanation"].is_null(), "{told:?}");
    }
    let all_told = began.elapsed();
    sleep(outage.saturating_sub(began.elapsed())).await;
    ensure!(analysis.open_findings().await?.len() == PODS, "findings of an outage are lost");
    let while_down = model.calls().len();
    ensure!(while_down > 0, "nobody asked the model");

    // Back, and busy.
    model.becomes(Mood::Waits(WAIT));
    let refused = |model: &Model| {
        model.calls().into_iter().filter(|call| call.mood == Mood::Waits(WAIT)).collect::<Vec<_>>()
    };
    // The longest pause of the breaker is five minutes; that of what is unexplained, one.
    until(Duration::from_secs(420), "the model is asked again", async || Ok(!refused(&model).is_empty()))
        .await?;
    let first = refused(&model)[0].at;
    sleep(Duration::from_secs(WAIT)).await;
    let early: Vec<Duration> = refused(&model)
        .iter()
        .map(|call| call.at - first)
        .filter(|after| *after > UNDER_WAY && *after < Duration::from_secs(WAIT) - Duration::from_millis(100))
        .collect();
    ensure!(early.is_empty(), "asked although it is to wait {WAIT} s: {early:?} after it was told so");

    // Well again; and in the middle the process ends without warning.
    model.becomes(Mood::Answers(Duration::from_millis(200)));
    let back = Instant::now();
    until(EXPLAINED, "the first answers", async || Ok(model.answers().len() >= PODS / 4)).await?;
    analysis.kill()?;
    let at_the_kill: usize = model.answers().values().sum();
    analysis.start()?;
    until(EXPLAINED, "all are explained", async || {
        Ok(analysis.table("analysis_explanations").await?.len() == PODS)
    })
    .await
    .with_context(|| analysis.log())?;
    let all_explained = back.elapsed();

    let answers = model.answers();
    let calls: usize = answers.values().sum();
    ensure!(answers.len() == PODS, "{} questions for {PODS} findings", answers.len());
    ensure!(calls <= PODS + CONCURRENCY, "{calls} answers for {PODS} findings: more than a crash may repeat");
    // And no more for the same: every finding again, and nothing is asked.
    let again = jiff::Timestamp::now();
    analysis.resync()?;
    analysis.passed(again).await?;
    ensure!(model.answers() == answers, "a pass asked again");
    // Each was told by itself, once; the kill may repeat what was on its way, under the same id.
    for n in 0..PODS {
        let object = format!("Pod shop/web-{n}");
        let explained =
            |note: &asya_tests::inbox::Note| note.object == object && !note.body["explanation"].is_null();
        let told = inbox.wait(began, LIMIT, explained).await;
        told.with_context(|| format!("the explanation of {object} was not told\n{}", analysis.log()))?;
        let opened = inbox
            .notes()
            .iter()
            .filter(|note| {
                note.object == object
                    && note.change == "opened"
                    && !note.body["late"].as_bool().unwrap_or_default()
            })
            .count();
        ensure!(opened == 1, "{object} was told to be broken {opened} times");
    }
    println!(
        "model away for {outage:?} (breaker {}): {PODS} findings told in {all_told:.1?}, {while_down} calls meanwhile; \
         back: all explained {all_explained:.1?} later with {calls} calls, a kill after {at_the_kill} of them included",
        if given.is_some() { "as by default" } else { "scaled: 500 ms instead of 15 s" }
    );
    Ok(())
}
