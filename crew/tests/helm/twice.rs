//! What was approved is what is done, at most once, whatever changes or dies in between.

use std::time::Duration;

use asya_session::Phase;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    support::{Fault, eventually},
    world::{HELMS, World},
};

/// Longer than whoever has claimed an operation may be at it.
const LATER: Duration = Duration::from_secs(600);

fn install(world: &World, chart: &str) -> Value {
    world.redis("install", &json!({"chart": chart, "version": "1.0.0"}))
}

fn error(told: &Value) -> &str {
    assert_eq!(told["done"], false, "{told:#}");
    told["error"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_or_a_release_that_changed_meanwhile_is_left_alone() {
    let Some(world) = World::new("helm4").await else { return };
    let actor = world.actor(&[]);
    let (operation, envelope) = world.approved(&actor, &install(&world, "looks")).await;
    world.repository.package("looks", "1.0.0", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n");
    let told = world.carried(&actor, &envelope, Duration::ZERO).await;
    assert!(error(&told).contains("another archive of this version"), "{told:#}");
    assert!(world.history("redis").is_empty());
    assert!(!world.desks.operation(&operation.proposal.id).await.outcome.unwrap().ok);

    world.does(&actor, &install(&world, "redis")).await;
    let upgrade = world.redis("upgrade", &json!({"chart": "redis", "version": "1.1.0"}));
    let (_, envelope) = world.approved(&actor, &upgrade).await;
    let index = world.repository.url.clone();
    let by_hand = world.by_hand(&["upgrade", "redis", "redis", "--repo", &index, "--set", "maxmemory=1gb"]);
    assert!(by_hand.status.success(), "{}", String::from_utf8_lossy(&by_hand.stderr));
    let told = world.carried(&actor, &envelope, Duration::ZERO).await;
    assert!(error(&told).contains("the release has changed"), "{told:#}");
    assert_eq!(world.history("redis").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_would_not_be_what_was_shown_is_not_installed() {
    let Some(world) = World::new("helm4").await else { return };
    let planted =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "planted"}, "data": {"a": "b"}});
    world.apply(&planted).await;
    let actor = world.actor(&[]);
    for (chart, why) in [("looks", "finds in the cluster"), ("random", "something else now")] {
        let (_, envelope) = world.approved(&actor, &install(&world, chart)).await;
        let told = world.carried(&actor, &envelope, Duration::ZERO).await;
        assert!(error(&told).contains(why), "{chart}: {told:#}");
        assert!(world.history("redis").is_empty(), "{chart}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_outcome_got_lost_is_found_done_and_not_made_again() {
    for helm in HELMS {
        let Some(world) = World::new(helm).await else { return };
        let actor = world.actor(&[]);
        let mut revisions = 0;
        for arguments in [
            install(&world, "redis"),
            world.redis("upgrade", &json!({"chart": "redis", "version": "1.1.0"})),
            world.redis("rollback", &json!({"revision": 1})),
            world.redis("uninstall", &json!({})),
        ] {
            let (operation, envelope) = world.approved(&actor, &arguments).await;
            world.desks.has(Fault::NoOutcome);
            let away = actor.take(&envelope, Timestamp::now()).await.unwrap_err().to_string();
            assert!(away.contains("gateway is away"), "{away}");
            world.desks.has(Fault::None);
            revisions = if arguments["verb"] == "uninstall" { 0 } else { revisions + 1 };
            assert_eq!(world.history("redis").len(), revisions, "{arguments}");
            let told = world.carried(&world.actor(&[]), &envelope, Duration::ZERO).await;
            assert_eq!(told["done"], true, "{told:#}");
            // And once more, as a queue may deliver it.
            assert_eq!(world.carried(&actor, &envelope, LATER).await, told);
            assert_eq!(world.history("redis").len(), revisions, "{arguments}");
            assert_eq!(world.desks.operation(&operation.proposal.id).await.phase, Phase::Done);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_nobody_answered_is_waited_for_and_then_carried_out_once() {
    let Some(world) = World::new("helm4").await else { return };
    let actor = world.actor(&[]);
    let (_, envelope) = world.approved(&actor, &install(&world, "redis")).await;
    world.desks.has(Fault::ClaimUnanswered);
    actor.take(&envelope, Timestamp::now()).await.unwrap_err();
    world.desks.has(Fault::None);
    let waits = actor.take(&envelope, Timestamp::now()).await.unwrap_err().to_string();
    assert!(waits.contains("may be under way"), "{waits}");
    assert!(world.history("redis").is_empty());
    assert_eq!(world.carried(&actor, &envelope, LATER).await["done"], true);
    assert_eq!(world.history("redis").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_install_that_does_not_end_is_ended_and_its_next_step_is_said() {
    for helm in HELMS {
        let Some(world) = World::new(helm).await else { return };
        // Nobody runs its hook.
        let actor = world.actor(&[("ASYA_HELM_TIMEOUT", "2s")]);
        let (_, envelope) = world.approved(&actor, &install(&world, "hooked")).await;
        let told = world.carried(&actor, &envelope, Duration::ZERO).await;
        assert!(error(&told).contains("propose uninstall"), "{told:#}");
        world.does(&actor, &world.redis("uninstall", &json!({}))).await;
        assert!(world.history("redis").is_empty());

        // Whoever has the envelope dies in the middle of it: helm goes with it, and nobody installs it again.
        let actor = world.actor(&[]);
        let (_, envelope) = world.approved(&actor, &install(&world, "hooked")).await;
        let begun = {
            let dies = actor.take(&envelope, Timestamp::now());
            let pending = eventually("it is begun", async || world.history("redis").pop());
            tokio::select! {
                end = dies => panic!("{end:?}"),
                begun = pending => begun,
            }
        };
        assert_eq!(begun.1, "pending-install");
        eventually("helm is gone", async || (helms_of(&world).is_empty()).then_some(())).await;
        let told = world.carried(&actor, &envelope, LATER).await;
        assert!(
            error(&told).contains("interrupted") && error(&told).contains("propose uninstall"),
            "{told:#}"
        );
        assert_eq!(world.history("redis").len(), 1);
        let told = world.told(&actor, &world.redis("upgrade", &json!({"chart": "redis"}))).await;
        assert!(told["error"].is_string() || told["done"] == false, "{told:#}");
        world.does(&actor, &world.redis("uninstall", &json!({}))).await;
    }
}

/// Processes that work on this namespace.
fn helms_of(world: &World) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default();
        if line.contains("install") && line.contains(&world.namespace) {
            found.push(line);
        }
    }
    found
}
