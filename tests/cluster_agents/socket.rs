//! The same over sockets: somebody asks as the ThothScript operator's page does, somebody else decides over `asya.v1`.

use anyhow::{Context, Result, ensure};
use asya_tests::{agents::Fleet, bare::Bare, script::Script, socket::Socket};
use serde_json::json;

use crate::operate::{changes, replicas, scale, shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_of_the_reference_scales_after_an_approval_over_the_versioned_form() -> Result<()> {
    let Some(bare) = Bare::start().await? else { return Ok(()) };
    shop(&bare, "registry.example/web:1").await?;
    let script = Script::start(changes(scale(3))).await?;
    let mut fleet = Fleet::new(&bare.kubeconfig, &script.url).await?;
    fleet.start().await?;

    let mut alice = Socket::open(&fleet, "alice", "asya.v0").await?;
    alice.say(&json!({"type": "ping"})).await?;
    alice.until(|told| told["type"] == "pong").await?;
    let config = json!({"maxTokens": 1000, "modelName": "larger", "temperature": 0.7, "chat": true});
    alice
        .say(&json!({"id": 1, "author": "User", "input": "scale web to three", "toolConfig": config}))
        .await?;
    let answered = alice.until(|told| told["output"]["event"] == "CallFinish").await?;
    ensure!(answered["output"]["message"]["name"] == "k8s_read", "{answered}");
    let told = alice.until(|told| told["output"]["message"]["type"] == "operation").await?;
    let operation = told["output"]["message"]["operation"].clone();
    ensure!(told["output"]["event"] == "CallContinue" && operation["phase"] == "waiting", "{told}");
    ensure!(replicas(&bare).await? == 1, "nothing is changed before somebody approves");

    let decide = json!({"type": "decide", "ref": 1, "operation": operation["id"], "verdict": "approve",
        "hash": operation["hash"]});
    let mut bob = Socket::open(&fleet, "bob", "asya.v1").await?;
    bob.say(&decide).await?;
    let refused = bob.until(|told| told["ref"] == 1).await?;
    ensure!(refused["data"]["code"] == "denied", "{refused}");
    // Who approves and talks with nobody has a socket too.
    let mut carol = Socket::open(&fleet, "carol", "asya.v1").await?;
    carol.say(&decide).await?;
    let decided = carol.until(|told| told["ref"] == 1).await?;
    ensure!(decided["type"] == "decided" && decided["data"]["phase"] == "approved", "{decided}");

    let last = alice.until(|told| told["output"]["event"] == "Initial").await?;
    ensure!(last["output"]["message"] == "It is done.", "{last}");
    ensure!(replicas(&bare).await? == 3);
    let session = last["session"].as_str().context("a session")?;
    let sessions = fleet.asya("alice", &["sessions"]).await?;
    ensure!(String::from_utf8_lossy(&sessions.stdout).contains(session), "{sessions:?}");
    let entries = fleet.entries(session).await?;
    ensure!(entries[0]["options"]["model"] == "larger", "{entries:?}");
    Ok(())
}
