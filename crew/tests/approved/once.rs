//! What is approved is what is done, at most once, whatever happens in between.

use std::sync::atomic::Ordering;

use asya_crew::{actor::ActError, kube::write::Write};
use asya_envelope::{Envelope, Raw};
use asya_handler::End;
use asya_session::{Operation, Phase, Verdict, desk};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::support::{AGENT, Fault, LATE, World, eventually, onward, payload};

macro_rules! world {
    () => {
        match World::new().await {
            Some(world) => world,
            None => return,
        }
    };
}

fn scale(world: &World, replicas: u32) -> Value {
    json!({"verb": "scale", "kind": "deployment", "namespace": world.namespace, "name": "web", "replicas": replicas})
}

/// An approved change that scales to three: who does it, what was approved, and the envelope.
async fn approved(world: &World) -> (Write, Operation, Envelope) {
    let write = world.write(&[]);
    let operation = world.proposed(&write, &scale(world, 3)).await;
    let envelope = world.desks.decided(&operation, Verdict::Approve).await;
    (write, operation, envelope)
}

async fn generation(world: &World) -> u64 {
    world.web().await["metadata"]["generation"].as_u64().unwrap()
}

fn error(told: &Value) -> &str {
    assert_eq!(told["done"], false, "{told:#}");
    told["error"].as_str().unwrap()
}

fn later(end: Result<End, ActError>) -> String {
    end.map(|end| panic!("{end:?}")).unwrap_err().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changed_meanwhile_is_left_alone_and_one_whose_status_moved_is_not() {
    let world = world!();
    let (write, operation, envelope) = approved(&world).await;
    world.status_moves().await;
    assert_eq!(world.carried(&write, &envelope).await["done"], true);
    assert_eq!(world.web().await["spec"]["replicas"], 3);
    assert!(world.desks.operation(&operation.proposal.id).await.outcome.unwrap().ok);

    world.deployment("web", 1).await;
    let (write, operation, envelope) = approved(&world).await;
    world.deployment("web", 2).await;
    let told = world.carried(&write, &envelope).await;
    assert!(error(&told).contains("changed since it was proposed"), "{told:#}");
    assert_eq!(world.web().await["spec"]["replicas"], 2);
    assert!(!world.desks.operation(&operation.proposal.id).await.outcome.unwrap().ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_was_taken_away_meanwhile_is_missing() {
    let world = world!();
    let (_, _, envelope) = approved(&world).await;
    let claim = world.user("nobody-{sub}");
    let write = world.write(&[("ASYA_KUBE_USER_CLAIM", claim.as_str())]);
    let told = world.carried(&write, &envelope).await;
    assert!(error(&told).contains("may not get deployments.apps"), "{told:#}");
    assert_eq!(generation(&world).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_used_once_for_what_was_approved_and_at_its_place() {
    let world = world!();
    let (write, operation, envelope) = approved(&world).await;
    let proposal = operation.proposal;
    // Another operation under the same approval.
    let mut other = envelope.clone();
    let mut changed = serde_json::to_value(&proposal).unwrap();
    changed["operation"]["patch"]["spec"]["replicas"] = json!(50);
    other.payload = Raw::of(&json!({"proposal": changed}));
    let told = world.carried(&write, &other).await;
    assert_eq!(
        (generation(&world).await, world.desks.operation(&proposal.id).await.phase),
        (1, Phase::Done),
        "{told:#}"
    );
    assert!(error(&told).contains("not what was proposed"), "{told:#}");

    world.deployment("web", 1).await;
    let (write, operation, envelope) = approved(&world).await;
    let proposal = operation.proposal;
    changed = serde_json::to_value(&proposal).unwrap();
    changed["operation"]["patch"]["spec"]["replicas"] = json!(50);
    changed["hash"] = json!(asya_session::hash::of(&changed["operation"]));
    other = envelope.clone();
    other.payload = Raw::of(&json!({"proposal": changed}));
    let end = write.take(&other, Timestamp::now()).await.unwrap();
    let told = payload(&onward(&other, end));
    assert!(told["error"].as_str().unwrap().contains("not approved"), "{told:#}");
    // The header at another place, or without the proposal that it is for, says nothing.
    for change in [
        &(|it: &mut Envelope| {
            it.headers.set(desk::APPROVED, Raw::of(&json!({"operation": "op-1", "hop": 3})));
        }) as &dyn Fn(&mut Envelope),
        &|it| it.headers.set(desk::APPROVED, Raw::of(&json!({"operation": proposal.id, "hop": 1}))),
        &|it| drop(it.headers.remove(desk::APPROVED)),
        &|it| it.headers.set(desk::APPROVED, Raw::of(&"yes")),
    ] {
        let mut copied = envelope.clone();
        change(&mut copied);
        let end = write.take(&copied, Timestamp::now()).await.unwrap();
        let told = payload(&onward(&copied, end));
        assert!(told["error"].as_str().unwrap().contains("unknown field"), "{told:#}");
    }
    assert_eq!(
        (generation(&world).await, world.desks.operation(&proposal.id).await.phase),
        (1, Phase::Approved)
    );

    // The approval itself counts, once: whoever comes again is told what came of it.
    let told = world.carried(&write, &envelope).await;
    assert_eq!(told["done"], true);
    world.deployment("web", 1).await;
    let now = generation(&world).await;
    assert_eq!(world.carried(&write, &envelope).await, told);
    assert_eq!(generation(&world).await, now);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_outcome_got_lost_is_found_done() {
    let world = world!();
    let (write, operation, envelope) = approved(&world).await;
    world.desks.has(Fault::NoOutcome);
    let away = later(write.take(&envelope, Timestamp::now()).await);
    assert!(away.contains("gateway is away"), "{away}");
    assert_eq!(
        (generation(&world).await, world.desks.operation(&operation.proposal.id).await.phase),
        (2, Phase::Claimed)
    );
    world.desks.has(Fault::None);
    let told = world.carried(&world.write(&[]), &envelope).await;
    assert_eq!((&told["done"], generation(&world).await), (&json!(true), 2), "{told:#}");
    assert!(world.desks.operation(&operation.proposal.id).await.outcome.unwrap().ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_died_after_the_claim_is_waited_for_and_then_the_object_decides() {
    let world = world!();
    for touched in [false, true] {
        world.deployment("web", 1).await;
        let (write, operation, envelope) = approved(&world).await;
        world.unsent.store(1, Ordering::SeqCst);
        let dies = write.take(&envelope, Timestamp::now());
        tokio::pin!(dies);
        loop {
            tokio::select! {
                end = &mut dies => panic!("{end:?}"),
                () = tokio::time::sleep(std::time::Duration::from_millis(50)) => {}
            }
            if world.desks.operation(&operation.proposal.id).await.phase == Phase::Claimed {
                break;
            }
        }
        world.unsent.store(0, Ordering::SeqCst);
        let before = generation(&world).await;
        let other = world.write(&[]);
        let waits = later(other.take(&envelope, Timestamp::now()).await);
        assert!(waits.contains("may be under way"), "{waits}");
        if touched {
            world.changed(&json!({"metadata": {"labels": {"by": "somebody"}}})).await;
        }
        let now = Timestamp::now() + SignedDuration::from_secs(120);
        let end = other.take(&envelope, now).await.unwrap();
        let told = payload(&onward(&envelope, end));
        if touched {
            assert!(error(&told).contains("cannot be told whether"), "{told:#}");
            assert_eq!(generation(&world).await, before);
        } else {
            assert_eq!((&told["done"], generation(&world).await), (&json!(true), before + 1), "{told:#}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_nobody_answered_changes_nothing_twice() {
    let world = world!();
    let (write, operation, envelope) = approved(&world).await;
    world.desks.has(Fault::ClaimUnanswered);
    later(write.take(&envelope, Timestamp::now()).await);
    assert_eq!(
        (generation(&world).await, world.desks.operation(&operation.proposal.id).await.phase),
        (1, Phase::Claimed)
    );
    world.desks.has(Fault::None);
    let now = Timestamp::now() + SignedDuration::from_secs(120);
    let end = write.take(&envelope, now).await.unwrap();
    assert_eq!(payload(&onward(&envelope, end))["done"], true);
    assert_eq!(generation(&world).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_deliveries_at_once_make_one_change() {
    let world = world!();
    let (write, operation, envelope) = approved(&world).await;
    let other = world.write(&[]);
    // Both believe that nobody can be at it any more.
    let now = Timestamp::now() + SignedDuration::from_secs(120);
    let (one, two) = tokio::join!(write.take(&envelope, now), other.take(&envelope, now));
    for end in [one, two] {
        assert_eq!(payload(&onward(&envelope, end.unwrap()))["done"], true);
    }
    assert_eq!(generation(&world).await, 2);
    assert!(world.desks.operation(&operation.proposal.id).await.outcome.unwrap().ok);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_anew_is_made_once_and_not_mixed_into_what_somebody_made() {
    let world = world!();
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "m", "namespace": world.namespace}, "data": {"a": "b"}});
    let write = world.write(&[]);
    let operation = world.proposed(&write, &json!({"verb": "apply", "manifest": map})).await;
    assert!(world.get("v1", "ConfigMap", "m").await.is_none(), "nothing is made before it is approved");
    let envelope = world.desks.decided(&operation, Verdict::Approve).await;
    world.unsent.store(LATE, Ordering::SeqCst);
    let (end, ()) = tokio::join!(write.take(&envelope, Timestamp::now()), async {
        eventually("it is claimed", async || {
            (world.desks.operation(&operation.proposal.id).await.phase == Phase::Claimed).then_some(())
        })
        .await;
        let mut other = map.clone();
        other["data"] = json!({"x": "y"});
        world.apply(&other).await;
        world.unsent.store(0, Ordering::SeqCst);
    });
    let told = payload(&onward(&envelope, end.unwrap()));
    assert!(error(&told).contains("changed at this moment"), "{told:#}");
    assert_eq!(world.get("v1", "ConfigMap", "m").await.unwrap()["data"], json!({"x": "y"}));

    let mut map = map.clone();
    map["metadata"]["name"] = json!("n");
    let operation = world.proposed(&write, &json!({"verb": "apply", "manifest": map})).await;
    let envelope = world.desks.decided(&operation, Verdict::Approve).await;
    world.desks.has(Fault::NoOutcome);
    later(write.take(&envelope, Timestamp::now()).await);
    world.desks.has(Fault::None);
    let told = world.carried(&world.write(&[]), &envelope).await;
    assert_eq!(told["done"], true, "it is found made: {told:#}");

    map["spec"] = json!({"replikas": 2});
    let told = payload(&world.planned(&write, &json!({"verb": "apply", "manifest": map})).await);
    assert!(told["error"].is_string(), "{told:#}");
    map["metadata"]["name"] = json!("o");
    let told = payload(&world.planned(&write, &json!({"verb": "apply", "manifest": map})).await);
    assert!(told["error"].as_str().unwrap().contains("unknown field"), "{told:#}");
    assert!(world.get("v1", "ConfigMap", "o").await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_is_not_done() {
    let world = world!();
    let write = world.write(&[]);
    let operation = world.proposed(&write, &scale(&world, 3)).await;
    let rejected = world.desks.decided(&operation, Verdict::Reject).await;
    assert_eq!(rejected.route.current_actor(), Some(AGENT));
    assert_eq!(generation(&world).await, 1);
}
