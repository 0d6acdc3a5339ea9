//! The same from a terminal: `asya chat`, `asya approvals`, `asya sessions`.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use asya_tests::{agents::Fleet, bare::Bare, script::Script};

use crate::operate::{changes, replicas, scale, shop};

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_talks_somebody_else_approves_and_the_answer_is_read_later() -> Result<()> {
    let Some(bare) = Bare::start().await? else { return Ok(()) };
    shop(&bare, "registry.example/web:1").await?;
    let script = Script::start(changes(scale(3))).await?;
    let mut fleet = Fleet::new(&bare.kubeconfig, &script.url).await?;
    fleet.start().await?;

    let asked = fleet.asya("alice", &["chat", "--message", "scale web to three"]).await?;
    let (_, steps) = said(&asked);
    ensure!(asked.status.code() == Some(0), "{steps}");
    for step in [
        "-> k8s_read",
        "<- k8s_read",
        "-> k8s_write",
        "approval needed: ",
        "+  replicas: 3",
        "asya approvals approve op-",
    ] {
        ensure!(steps.contains(step), "{step:?} is not in {steps}");
    }
    let session = steps.split("`asya chat ").nth(1).and_then(|rest| rest.split([' ', '`']).next());
    let session = session.with_context(|| steps.clone())?.to_owned();

    // Who may not decide is told so, and nothing happens.
    let operation = fleet.waiting(&session).await?["id"].as_str().context("an id")?.to_owned();
    let refused = fleet.asya("alice", &["approvals", "approve", &operation]).await?;
    ensure!(refused.status.code() == Some(1) && said(&refused).1.contains("role"), "{refused:?}");
    ensure!(replicas(&bare).await? == 1);

    let (list, _) = said(&fleet.asya("carol", &["approvals"]).await?);
    ensure!(list.contains(&operation) && list.contains("alice"), "{list}");
    let (shown, _) = said(&fleet.asya("carol", &["approvals", "show", &operation]).await?);
    ensure!(shown.contains("-  replicas: 1") && shown.contains("asked for by alice"), "{shown}");
    let other = fleet.asya("carol", &["approvals", "approve", &operation, "--hash", "0000"]).await?;
    ensure!(other.status.code() == Some(1) && said(&other).1.contains("nothing was decided"), "{other:?}");
    let approved = fleet.asya("carol", &["approvals", "approve", &operation]).await?;
    ensure!(approved.status.success() && said(&approved).0.starts_with("approved: scale"), "{approved:?}");
    fleet.becomes(&session, "idle").await?;
    ensure!(replicas(&bare).await? == 3);

    let (sessions, _) = said(&fleet.asya("alice", &["sessions"]).await?);
    ensure!(sessions.contains(&session) && sessions.contains("idle"), "{sessions}");
    let (markdown, _) = said(&fleet.asya("alice", &["sessions", "export", &session]).await?);
    ensure!(markdown.contains("scale web to three") && markdown.contains("It is done."), "{markdown}");
    let foreign = fleet.asya("bob", &["sessions", "export", &session]).await?;
    ensure!(foreign.status.code() == Some(1) && said(&foreign).0.is_empty(), "{foreign:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_goes_to_standard_output_alone_and_events_are_json() -> Result<()> {
    let Some(bare) = Bare::start().await? else { return Ok(()) };
    bare.namespace("shop").await?;
    let script =
        Script::start(|heard| asya_tests::script::Words::text(&format!("You said: {}", heard.asked())))
            .await?;
    let mut fleet = Fleet::new(&bare.kubeconfig, &script.url).await?;
    fleet.start().await?;
    let asked = fleet.asya("alice", &["chat", "--agent", "ops", "-m", "good morning"]).await?;
    let (answer, beside) = said(&asked);
    ensure!(answer == "You said: good morning\n", "{answer:?} {beside}");
    let session = beside.split("`asya chat ").nth(1).and_then(|rest| rest.split([' ', '`']).next());
    let session = session.with_context(|| beside.clone())?.to_owned();
    let again = fleet.asya("alice", &["chat", &session, "-m", "and good night", "--output", "json"]).await?;
    let events: Vec<serde_json::Value> =
        said(&again).0.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let last = events.iter().rfind(|event| event["event"] == "entry").context("an entry")?;
    ensure!(last["data"]["text"] == "You said: and good night", "{events:?}");
    let nobody = fleet.asya("alice", &["chat", "--agent", "cook", "-m", "x"]).await?;
    ensure!(nobody.status.code() == Some(64) && said(&nobody).1.contains("there are: ops"), "{nobody:?}");
    Ok(())
}
