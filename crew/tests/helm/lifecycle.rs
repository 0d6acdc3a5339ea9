//! From an install to an uninstall, with all that is looked at in between.

use asya_session::Risk;
use serde_json::json;

use super::world::{HELMS, PASSWORD, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_installed_upgraded_rolled_back_and_uninstalled() {
    for helm in HELMS {
        let Some(world) = World::new(helm).await else { return };
        let actor = world.actor(&[]);
        let values = json!({"auth": {"password": PASSWORD}, "replicas": 2});
        let install =
            world.redis("install", &json!({"chart": "redis", "version": "1.0.0", "values": values}));

        let operation = world.proposed(&actor, &install).await;
        let proposal = &operation.proposal;
        assert!(world.history("redis").is_empty(), "nothing is installed before it is approved");
        assert_eq!((proposal.verb.as_str(), proposal.risk), ("install", Risk::High), "a Secret is not shown");
        assert_eq!(proposal.operation["chart"]["version"], "1.0.0");
        assert!(proposal.operation["chart"]["digest"].as_str().unwrap().starts_with("sha256:"));
        for shown in ["+  replicas: 2", "registry.example/redis:1.0.0", "+kind: Secret", "then: Deployment"] {
            assert!(proposal.diff.contains(shown), "{shown}: {}", proposal.diff);
        }
        assert!(!format!("{}{}", proposal.diff, proposal.summary).contains(PASSWORD), "{}", proposal.diff);
        let reviewed = &proposal.review.reason;
        assert!(
            reviewed.contains("create deployments.apps") && reviewed.contains("create secrets"),
            "{reviewed}"
        );
        let envelope = world.desks.decided(&operation, asya_session::Verdict::Approve).await;
        let told = world.carried(&actor, &envelope, std::time::Duration::ZERO).await;
        assert_eq!(told["done"], true, "{told:#}");
        let first = format!("asya operation {}", operation.proposal.id);
        assert_eq!(world.history("redis"), [(1, "deployed".to_owned(), first)]);
        let held = world.get("v1", "Secret", "redis").await.unwrap();
        assert!(held["data"]["redis-password"].is_string());

        // What is there already is not proposed.
        let same = world.redis("upgrade", &json!({"chart": "own/redis", "version": "1.0.0"}));
        let told = world.told(&actor, &same).await;
        assert!(told["summary"].as_str().unwrap().contains("nothing to change"), "{told:#}");

        // An upgrade keeps the values, the password that nobody sees among them, and shows only what changes.
        let upgrade = world.redis("upgrade", &json!({"chart": "redis", "values": "maxmemory: 128mb"}));
        let mut look = upgrade.clone();
        look["verb"] = "diff".into();
        let told = world.told(&actor, &look).await;
        let diff = told["diff"].as_str().unwrap();
        assert!(diff.contains("-  maxmemory: 64mb") && diff.contains("+  maxmemory: 128mb"), "{diff}");
        assert!(!diff.contains("+  replicas") && !diff.contains("kind: Secret"), "{diff}");
        let operation = world.does(&actor, &upgrade).await;
        assert_eq!((operation.proposal.risk, operation.proposal.diff.as_str()), (Risk::Medium, diff));
        let deployment = world.get("apps/v1", "Deployment", "redis").await.unwrap();
        assert_eq!(deployment["spec"]["replicas"], 2);
        assert_eq!(
            deployment["spec"]["template"]["spec"]["containers"][0]["image"],
            "registry.example/redis:1.1.0"
        );
        let after = world.get("v1", "Secret", "redis").await.unwrap();
        assert_eq!(after["data"], held["data"]);

        // Looks, none of which shows the password or obeys the notes.
        for verb in ["status", "values", "history"] {
            let told = world.told(&actor, &world.redis(verb, &json!({}))).await;
            assert!(told["text"].is_string() && !told.to_string().contains(PASSWORD), "{verb}: {told:#}");
            if verb == "status" {
                assert!(told["text"].as_str().unwrap().contains("Deployment redis"), "{told:#}");
                assert!(told["notes"]["from"].as_str().unwrap().contains("never instructions"), "{told:#}");
                assert!(
                    told["notes"]["text"].as_str().unwrap().starts_with("The password is ***."),
                    "{told:#}"
                );
            }
            if verb == "values" {
                assert!(told["text"].as_str().unwrap().contains("replicas: 2"), "{told:#}");
            }
        }
        let told = world.told(&actor, &json!({"verb": "list", "namespace": world.namespace})).await;
        assert!(told["text"].as_str().unwrap().contains("redis\t2\tdeployed\tredis-1.1.0"), "{told:#}");
        let template =
            json!({"verb": "template", "chart": "redis", "values": {"auth": {"password": PASSWORD}}});
        let told = world.told(&actor, &template).await;
        assert!(told["text"].as_str().unwrap().contains("kind: Deployment"), "{told:#}");
        assert!(!told.to_string().contains(PASSWORD), "{told:#}");

        let operation = world.does(&actor, &world.redis("rollback", &json!({"revision": 1}))).await;
        assert!(operation.proposal.diff.contains("+  maxmemory: 64mb"), "{}", operation.proposal.diff);
        let deployment = world.get("apps/v1", "Deployment", "redis").await.unwrap();
        assert_eq!(
            deployment["spec"]["template"]["spec"]["containers"][0]["image"],
            "registry.example/redis:1.0.0"
        );
        let operation = world.does(&actor, &world.redis("uninstall", &json!({}))).await;
        assert_eq!(operation.proposal.risk, Risk::High);
        assert!(operation.proposal.diff.contains("-kind: Deployment"), "{}", operation.proposal.diff);
        assert!(world.history("redis").is_empty());
        assert_eq!(world.get("v1", "ConfigMap", "redis").await, None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hooks_are_shown_with_everything_else() {
    let Some(world) = World::new("helm4").await else { return };
    let actor = world.actor(&[]);
    let operation = world.proposed(&actor, &world.redis("install", &json!({"chart": "hooked"}))).await;
    let (diff, summary) = (&operation.proposal.diff, &operation.proposal.summary);
    assert!(diff.contains("+kind: Job"), "{diff}");
    assert!(summary.contains("migrate (hook pre-install)"), "{summary}");
    let reviewed = &operation.proposal.review.reason;
    assert!(reviewed.contains("create jobs.batch") && reviewed.contains("delete jobs.batch"), "{reviewed}");
}
