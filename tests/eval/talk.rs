//! One conversation: the question of a case, decisions about what is proposed, until there is an answer or the time is over.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use asya_session::{Entry, Operation};
use asya_tests::agents::Fleet;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::{
    case::Case,
    judge::is_allowed,
    stage::{APPROVER, PERSON, Stage},
    transcript::Transcript,
};

/// Between two looks at the session.
const LOOK: Duration = Duration::from_millis(100);
/// How long a cancelled turn may take to end.
const CANCEL: Duration = Duration::from_secs(10);

/// Asks, and waits for the end.
///
/// # Errors
/// What a gateway does not refuse: the evaluation is broken, not the answer.
pub(crate) async fn hold(stage: &Stage, case: &Case, namespace: &str, time: Duration) -> Result<Transcript> {
    let (fleet, began) = (&stage.fleet, Instant::now());
    let session = fleet.begin(PERSON, &case.question).await?;
    let mut cut = None;
    loop {
        match state(fleet, &session).await?.as_str() {
            "idle" => break,
            "input-required" => decide(fleet, case, &session).await?,
            _ => {}
        }
        if cut.is_none() && began.elapsed() > time {
            cut = Some(format!("none within {} s", time.as_secs()));
            fleet
                .good(PERSON, "POST", &format!("/api/v1/sessions/{session}/cancel"), Some(&json!({})))
                .await?;
        }
        if began.elapsed() > time + CANCEL {
            break;
        }
        sleep(LOOK).await;
    }
    let took = began.elapsed();
    let page = fleet.good("root", "GET", &format!("/api/v1/approvals?session={session}"), None).await?;
    let operations = serde_json::from_value::<Vec<Operation>>(page["operations"].clone())?;
    let state = stage.state(case, namespace).await?;
    Ok(Transcript { entries: entries(fleet, &session).await?, operations, state, cut, took })
}

async fn state(fleet: &Fleet, session: &str) -> Result<String> {
    let session = fleet.good("root", "GET", &format!("/api/v1/sessions/{session}"), None).await?;
    Ok(session["state"].as_str().context("a session has a state")?.to_owned())
}

async fn entries(fleet: &Fleet, session: &str) -> Result<Vec<Entry>> {
    Ok(serde_json::from_value(Value::from(fleet.entries(session).await?))?)
}

/// Approves what the case wants approved and nothing else.
async fn decide(fleet: &Fleet, case: &Case, session: &str) -> Result<()> {
    let path = format!("/api/v1/approvals?phase=waiting&session={session}");
    let waiting = fleet.good(APPROVER, "GET", &path, None).await?;
    // Decided meanwhile: its session goes on soon.
    let Some(operation) = waiting["operations"].get(0) else { return Ok(()) };
    let said = Transcript { entries: entries(fleet, session).await?, ..Transcript::default() };
    // Calls are made one after the other: it waits for the first that has no result.
    let (results, calls) = (said.results().len(), said.calls());
    let call = calls.get(results).context("an operation waits, and no call")?;
    let fix = case.fix.as_ref().filter(|fix| fix.approve);
    let verdict = if is_allowed(fix, call) { "approve" } else { "reject" };
    let (status, body) = fleet.decide(APPROVER, operation, verdict).await?;
    anyhow::ensure!(status == 200, "{verdict}: {status} {body}");
    Ok(())
}
