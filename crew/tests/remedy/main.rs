//! remedy on a real API server: what is proposed, who approves, what is applied and what is taken back.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod support;

use std::sync::atomic::Ordering;

use asya_analysis::{Finding, ObjectRef};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use tokio::sync::RwLock;

use self::support::{Fault, LIMIT, NAME, PASSWORD, World, container, eventually, policy, without_policy};

/// The policy is one for the whole cluster: whoever takes it away is alone.
static POLICY: RwLock<()> = RwLock::const_new(());

const WRONG: &str = "registry.example/shop/wep:1.2";
const RIGHT: &str = "registry.example/shop/web:1.2";

macro_rules! world {
    ($($more:expr),*) => {
        match World::new(&[$($more),*]).await {
            Some(world) => world,
            None => return,
        }
    };
}

fn message(mutation: &Value) -> &str {
    mutation["status"]["message"].as_str().unwrap()
}

/// A world with a proposal that waits.
async fn proposed(world: &mut World) -> (Finding, Value) {
    let finding = world.broken(NAME).await;
    world.told(&finding, true).await;
    let mutation = world.until(6).await;
    assert!(message(&mutation).contains("waits for approval"), "{mutation:#}");
    (finding, mutation)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_image_is_mended_once_somebody_approves_who_may() {
    let _policy = POLICY.read().await;
    let mut world = world!();
    let (finding, mutation) = proposed(&mut world).await;
    let diff = mutation["spec"]["diff"].as_str().unwrap();
    let lines: Vec<&str> = diff.lines().filter(|line| line.contains("image: ")).collect();
    assert!(lines.len() == 2 && lines[0].starts_with('-') && lines[0].ends_with(WRONG), "{diff}");
    assert!(lines[1].starts_with('+') && lines[1].ends_with(RIGHT), "{diff}");
    assert_eq!(mutation["spec"]["resource"]["name"], NAME, "mended at the owner at the top");
    let [asked] = &world.server.asked()[..] else { panic!("{:?}", world.server.asked()) };
    for hidden in [NAME, PASSWORD, &world.namespace] {
        assert!(!asked.contains(hidden), "{hidden} in {asked}");
    }
    assert!(!mutation.to_string().contains(PASSWORD), "{mutation:#}");

    for _ in 0..5 {
        world.look().await;
    }
    assert_eq!(world.image(NAME).await, (WRONG.to_owned(), 1), "nobody has approved it");
    let refused = world.approve("eve", &mutation, Some("eve")).await.unwrap_err().to_string();
    assert!(refused.contains("only who has the verb approve"), "{refused}");
    let refused = world.approve("alice", &mutation, Some("eve")).await.unwrap_err().to_string();
    assert!(refused.contains("the name of the user who sets it"), "{refused}");
    world.look().await;
    assert_eq!(world.image(NAME).await, (WRONG.to_owned(), 1), "nobody has approved it who may");

    world.approve("alice", &mutation, Some("alice")).await.unwrap();
    let applied = world.until(2).await;
    assert!(message(&applied).contains("approved by alice"), "{applied:#}");
    assert_eq!(world.image(NAME).await, (RIGHT.to_owned(), 2));
    let deployment = world.deployment(NAME).await;
    let fields = deployment["metadata"]["managedFields"].as_array().unwrap();
    let own = fields.iter().find(|entry| entry["manager"] == "asya-remedy").unwrap();
    let own = own["fieldsV1"].to_string();
    assert!(own.contains("f:image") && !own.contains("f:env") && !own.contains("f:replicas"), "{own}");

    // Another pod of it that is still broken: it has not helped yet.
    let other = ObjectRef::of::<Pod>(Some(&world.namespace), "checkout-api-7f-zzzzz");
    let other = Finding { object: other, ..finding.clone() };
    world.found(&other).await;
    world.healed(&finding).await;
    world.now += SignedDuration::from_secs(120);
    world.look().await;
    assert_eq!(world.mutations().await[0]["status"]["phase"], 2);
    world.healed(&other).await;
    let done = world.until(3).await;
    assert!(message(&done).contains("alice") && message(&done).contains("helped"), "{done:#}");
    assert_eq!((world.image(NAME).await.1, world.server.asked().len()), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unexplained_or_not_to_be_changed_is_not_asked_about() {
    let _policy = POLICY.read().await;
    let mut world = world!(("ASYA_REMEDY_KINDS", "Service"));
    let finding = world.broken(NAME).await;
    world.told(&finding, true).await;
    world.look().await;
    let mut world = world!();
    let finding = world.broken(NAME).await;
    world.told(&finding, false).await;
    world.look().await;
    // One that healed before anybody asked, or that another database has.
    world.told(&Finding { fingerprint: "of-yesterday".to_owned(), ..finding }, true).await;
    world.look().await;
    assert!(world.server.asked().is_empty() && world.mutations().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_approves_expires() {
    let _policy = POLICY.read().await;
    let mut world = world!();
    let (finding, mutation) = proposed(&mut world).await;
    world.now += SignedDuration::from_hours(25);
    let aborted = world.until(5).await;
    assert!(message(&aborted).contains("nobody has approved"), "{aborted:#}");
    world.approve("alice", &mutation, Some("alice")).await.unwrap();
    world.told(&finding, true).await;
    for _ in 0..3 {
        world.look().await;
    }
    assert_eq!(world.image(NAME).await, (WRONG.to_owned(), 1));
    assert_eq!(world.server.asked().len(), 1, "the same is not proposed again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_heals_by_itself_is_not_changed_any_more() {
    let _policy = POLICY.read().await;
    let mut world = world!();
    let (finding, mutation) = proposed(&mut world).await;
    world.approve("alice", &mutation, Some("alice")).await.unwrap();
    world.healed(&finding).await;
    let aborted = world.until(5).await;
    assert!(message(&aborted).contains("healed"), "{aborted:#}");
    assert_eq!(world.image(NAME).await, (WRONG.to_owned(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_changed_is_left_alone_and_proposed_anew() {
    let _policy = POLICY.read().await;
    let mut world = world!();
    let (_, mutation) = proposed(&mut world).await;
    world.scale(NAME, 3).await;
    world.approve("alice", &mutation, Some("alice")).await.unwrap();
    let aborted = world.until(5).await;
    assert!(message(&aborted).contains("is not what was shown"), "{aborted:#}");
    assert_eq!(world.image(NAME).await, (WRONG.to_owned(), 2));
    let again = world.until(6).await;
    assert_ne!(again["metadata"]["name"], mutation["metadata"]["name"]);
    world.look().await;
    assert_eq!(world.image(NAME).await, (WRONG.to_owned(), 2), "that one nobody has approved");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_different_is_never_applied() {
    let _policy = POLICY.read().await;
    let mut world = world!(("ASYA_REMEDY_SIMILARITY", "99.99"));
    let finding = world.broken(NAME).await;
    world.told(&finding, true).await;
    let aborted = world.until(5).await;
    assert!(message(&aborted).contains("have to be 99.99 %"), "{aborted:#}");
    world.approve("alice", &aborted, Some("alice")).await.unwrap();
    for _ in 0..3 {
        world.look().await;
    }
    assert_eq!(world.image(NAME).await, (WRONG.to_owned(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proposal_that_was_changed_is_not_applied() {
    let _policy = POLICY.read().await;
    let mut world = world!();
    let (_, mutation) = proposed(&mut world).await;
    world.respec(&mutation, &json!({"diff": "- harmless"})).await;
    world.approve("alice", &mutation, Some("alice")).await.unwrap();
    let aborted = world.until(5).await;
    assert!(message(&aborted).contains("changed afterwards"), "{aborted:#}");
    assert_eq!(world.image(NAME).await, (WRONG.to_owned(), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_answers_come_to_nothing() {
    let _policy = POLICY.read().await;
    let mut world = world!();
    let answers: [fn(Value) -> String; 12] = [
        |mut it| {
            it["metadata"]["namespace"] = json!("kube-system");
            support::mended(it)
        },
        |mut it| {
            it["kind"] = json!("DaemonSet");
            support::mended(it)
        },
        |mut it| {
            it["metadata"]["name"] = json!("masked-bcfghjlnpqrt");
            support::mended(it)
        },
        |mut it| {
            container(&mut it)["securityContext"] = json!({"privileged": true});
            support::mended(it)
        },
        |mut it| {
            container(&mut it)["image"] = json!("evil.example/shop/web:1.2");
            it.to_string()
        },
        |mut it| {
            let password = container(&mut it)["env"][0]["value"].clone();
            it["metadata"]["labels"] = json!({"leak": password});
            support::mended(it)
        },
        |mut it| {
            it["spec"]["template"]["spec"]["serviceAccountName"] = json!("admin");
            support::mended(it)
        },
        |it| format!("Here is the fix:\n{}", support::mended(it)),
        |it| format!("{0}\n---\n{0}", support::mended(it)),
        |mut it| {
            container(&mut it)["image"] = json!(format!("registry.example/shop/web:{}", "x".repeat(100_000)));
            it.to_string()
        },
        |mut it| {
            it["metadata"]["annotations"] = json!({"huge": "x".repeat(100_000)});
            support::mended(it)
        },
        |it| it.to_string(),
    ];
    let many = answers.len();
    for (number, script) in answers.into_iter().enumerate() {
        let name = format!("{NAME}-{number}");
        world.server.says(script);
        let finding = world.broken(&name).await;
        world.told(&finding, true).await;
        let key = format!("here/Deployment.apps/{}/{name}", world.namespace);
        let began = std::time::Instant::now();
        while !world.remedy(&key).await.contains("ended") {
            assert!(began.elapsed() < LIMIT, "{number}: {}", world.remedy(&key).await);
            world.look().await;
        }
        assert_eq!(world.image(&name).await, (WRONG.to_owned(), 1), "{number}");
    }
    assert_eq!((world.mutations().await, world.server.asked().len()), (Vec::new(), many));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_help_is_taken_back() {
    let _policy = POLICY.read().await;
    let mut world = world!();
    let (_, mutation) = proposed(&mut world).await;
    world.approve("alice", &mutation, Some("alice")).await.unwrap();
    world.until(2).await;
    assert_eq!(world.image(NAME).await, (RIGHT.to_owned(), 2));
    world.now += SignedDuration::from_secs(660);
    let back = world.until(7).await;
    assert!(message(&back).contains("taken back"), "{back:#}");
    assert!(
        back["status"]["appliedTime"].is_string() && back["status"]["rolledBackTime"].is_string(),
        "{back:#}"
    );
    assert_eq!(world.image(NAME).await, (WRONG.to_owned(), 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_help_and_was_changed_since_stays() {
    let _policy = POLICY.read().await;
    let mut world = world!();
    let (_, mutation) = proposed(&mut world).await;
    world.approve("alice", &mutation, Some("alice")).await.unwrap();
    world.until(2).await;
    world.scale(NAME, 2).await;
    world.now += SignedDuration::from_secs(660);
    let left = world.until(4).await;
    assert!(message(&left).contains("left as it is"), "{left:#}");
    assert_eq!(world.image(NAME).await, (RIGHT.to_owned(), 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_record_and_change_applies_it_once() {
    let _policy = POLICY.read().await;
    for fault in [Fault::Unsent, Fault::Unanswered] {
        let mut world = world!();
        let (_, mutation) = proposed(&mut world).await;
        // Nothing else writes to the Deployment: its controller has said what it has to.
        world.settled(NAME).await;
        world.approve("alice", &mutation, Some("alice")).await.unwrap();
        world.fault.store(fault as u8, Ordering::SeqCst);
        let key = format!("here/Deployment.apps/{}/{NAME}", world.namespace);
        world.now += SignedDuration::from_secs(60);
        {
            let crash = world.mender.look(world.now);
            let mut crash = std::pin::pin!(crash);
            let began = eventually("it is being applied", async || {
                world.remedy(&key).await.contains("\"applying\"").then_some(())
            });
            let reached = async {
                began.await;
                // Long enough for the change to be done, where it is sent at all.
                if matches!(fault, Fault::Unanswered) {
                    eventually("it is applied", async || (world.image(NAME).await.1 == 2).then_some(()))
                        .await;
                }
            };
            tokio::select! {
                done = &mut crash => panic!("it did not hang: {done:?}"),
                () = reached => {}
            }
        }
        world.mender = world.another();
        world.look().await;
        assert!(world.remedy(&key).await.contains("\"applying\""), "the other one may still live");
        world.now += SignedDuration::from_secs(600);
        let applied = world.until(2).await;
        assert!(message(&applied).contains("approved by alice"), "{applied:#}");
        assert_eq!(world.image(NAME).await, (RIGHT.to_owned(), 2), "applied once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_ask_once_and_apply_once() {
    let _policy = POLICY.read().await;
    let mut world = world!();
    let finding = world.broken(NAME).await;
    world.told(&finding, true).await;
    let other = world.another();
    let began = std::time::Instant::now();
    let mut approved = false;
    loop {
        world.now += SignedDuration::from_secs(6);
        let (one, two) = futures::join!(world.mender.look(world.now), other.look(world.now));
        one.and(two).unwrap();
        let mutations = world.mutations().await;
        assert!(mutations.len() <= 1, "{mutations:#?}");
        match mutations.first().map(|mutation| mutation["status"]["phase"].clone()) {
            Some(phase) if phase == 6 && !approved => {
                world.approve("alice", &mutations[0], Some("alice")).await.unwrap();
                approved = true;
            }
            Some(phase) if phase == 2 => world.healed(&finding).await,
            Some(phase) if phase == 3 => break,
            _ => {}
        }
        assert!(began.elapsed() < LIMIT, "{mutations:#?}");
    }
    assert_eq!(world.image(NAME).await, (RIGHT.to_owned(), 2));
    assert_eq!(world.server.asked().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_policy_nothing_is_applied_and_the_mutation_says_so() {
    let _policy = POLICY.write().await;
    let mut world = world!();
    without_policy(&world.client).await;
    let finding = world.broken(NAME).await;
    world.told(&finding, true).await;
    let mutation = world.until(6).await;
    assert!(message(&mutation).contains("there is no ValidatingAdmissionPolicyBinding"), "{mutation:#}");
    // Now everybody who may write can approve.
    let eve = async || world.approve("eve", &mutation, Some("eve")).await.ok();
    eventually("the policy is out of force", eve).await;
    for _ in 0..3 {
        world.look().await;
    }
    policy(&world.client).await;
    let began = std::time::Instant::now();
    while !message(&world.until(6).await).contains("remove asya.sh/approve") {
        assert!(began.elapsed() < LIMIT);
        world.look().await;
    }
    assert_eq!(world.image(NAME).await, (WRONG.to_owned(), 1), "approved by somebody who may not");
    world.approve("alice", &mutation, None).await.unwrap();
    world.look().await;
    world.look().await;
    world.approve("alice", &mutation, Some("alice")).await.unwrap();
    world.until(2).await;
    assert_eq!(world.image(NAME).await, (RIGHT.to_owned(), 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_changed_in_an_hour_than_may_be() {
    let _policy = POLICY.read().await;
    let mut world = world!(("ASYA_REMEDY_PER_HOUR", "1"));
    for name in ["checkout-api-a", "checkout-api-b"] {
        let finding = world.broken(name).await;
        world.told(&finding, true).await;
    }
    let began = std::time::Instant::now();
    while world.mutations().await.iter().filter(|mutation| mutation["status"]["phase"] == 6).count() < 2 {
        assert!(began.elapsed() < LIMIT);
        world.look().await;
    }
    for mutation in world.mutations().await {
        world.approve("alice", &mutation, Some("alice")).await.unwrap();
    }
    world.until(2).await;
    for _ in 0..3 {
        world.look().await;
    }
    let (a, b) = (world.image("checkout-api-a").await.1, world.image("checkout-api-b").await.1);
    assert_eq!(a + b, 3, "one of them");
    let waits = world.until(6).await;
    assert!(message(&waits).contains("1 changes an hour"), "{waits:#}");
}
