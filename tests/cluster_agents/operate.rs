//! Conversations that change the cluster, with everything killed between every two steps.

use anyhow::{Context, Result, ensure};
use asya_tests::{
    agents::{AGENT, Fleet, GATEWAY},
    bare::Bare,
    script::{Heard, Script, Words},
};
use serde_json::{Value, json};

/// `web` in `shop`, with one replica; alice may change Deployments there, bob may not.
pub(crate) async fn shop(bare: &Bare, image: &str) -> Result<()> {
    bare.namespace("shop").await?;
    bare.apply(&web(image)).await?;
    for (name, verbs) in [("alice", json!(["get", "list", "patch"])), ("bob", json!(["get", "list"]))] {
        let rules = json!([
            {"apiGroups": ["apps"], "resources": ["deployments", "deployments/scale"], "verbs": verbs},
            {"apiGroups": [""], "resources": ["pods", "pods/log", "events"], "verbs": ["get", "list"]},
        ]);
        let metadata = json!({"name": name, "namespace": "shop"});
        let group = "rbac.authorization.k8s.io";
        bare.apply(&json!({"apiVersion": format!("{group}/v1"), "kind": "Role", "metadata": metadata, "rules": rules}))
            .await?;
        bare.apply(&json!({"apiVersion": format!("{group}/v1"), "kind": "RoleBinding", "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": name}]}))
            .await?;
    }
    Ok(())
}

fn web(image: &str) -> Value {
    let container = json!({"name": "web", "image": image, "env": [{"name": "DB_PASSWORD", "value": "hunter2-very-secret"}]});
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}}})
}

/// Looks, changes by this call, and says how it went.
pub(crate) fn changes(call: Value) -> impl Fn(&Heard) -> Words + Send + Sync + 'static {
    move |heard| match heard.results().as_slice() {
        [] => Words::call(
            "k8s_read",
            json!({"verb": "get", "kind": "Deployment", "name": call["name"], "namespace": call["namespace"]}),
        ),
        [_] => Words::call("k8s_write", call.clone()),
        [.., last] if ["not done", "refused", "may not"].iter().any(|word| last.contains(word)) => {
            Words::text(&format!("It was not done: {last}"))
        }
        [..] => Words::text("It is done."),
    }
}

pub(crate) fn scale(replicas: u32) -> Value {
    json!({"verb": "scale", "kind": "Deployment", "name": "web", "namespace": "shop", "replicas": replicas})
}

pub(crate) async fn replicas(bare: &Bare) -> Result<Value> {
    Ok(bare.get(&web("")).await?["spec"]["replicas"].clone())
}

/// Kinds of the entries, with names of tools.
pub(crate) fn outline(entries: &[Value]) -> Vec<String> {
    let said = |entry: &Value| match entry["kind"].as_str() {
        Some("assistant") if entry["calls"].as_array().is_some_and(|calls| !calls.is_empty()) => {
            format!("calls {}", entry["calls"][0]["name"].as_str().unwrap_or_default())
        }
        Some("tool") => format!("tool {}", entry["name"].as_str().unwrap_or_default()),
        kind => kind.unwrap_or_default().to_owned(),
    };
    entries.iter().map(said).collect()
}

pub(crate) const SCALED: [&str; 6] =
    ["user", "calls k8s_read", "tool k8s_read", "calls k8s_write", "tool k8s_write", "assistant"];

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_scaled_after_approval_and_not_before() -> Result<()> {
    let Some(bare) = Bare::start().await? else { return Ok(()) };
    shop(&bare, "registry.example/web:1").await?;
    let script = Script::start(changes(scale(3))).await?;
    let mut fleet = Fleet::new(&bare.kubeconfig, &script.url).await?;
    fleet.start().await?;
    let session = fleet.begin("alice", "scale web to three").await?;
    fleet.becomes(&session, "input-required").await?;
    ensure!(replicas(&bare).await? == 1, "it was changed without approval");

    // What is shown to whoever decides.
    let operation = fleet.waiting(&session).await?;
    ensure!(operation["requester"] == "alice" && operation["verb"] == "scale", "{operation}");
    let diff = operation["diff"].as_str().context("a diff")?;
    ensure!(diff.contains("-  replicas: 1") && diff.contains("+  replicas: 3"), "{diff}");
    ensure!(operation["review"]["person"] == true && operation["review"]["tool"] == true, "{operation}");

    // Who may not decide does not, nor does who saw something else.
    ensure!(fleet.decide("alice", &operation, "approve").await?.0 == 403);
    let mut other = operation.clone();
    other["hash"] = "0".repeat(64).into();
    ensure!(fleet.decide("carol", &other, "approve").await?.0 == 409);
    ensure!(replicas(&bare).await? == 1);

    let (status, decided) = fleet.decide("carol", &operation, "approve").await?;
    ensure!(status == 200, "{decided}");
    fleet.becomes(&session, "idle").await?;
    ensure!(replicas(&bare).await? == 3);
    ensure!(fleet.decide("carol", &operation, "reject").await?.0 == 409, "it was decided twice");
    let entries = fleet.entries(&session).await?;
    ensure!(outline(&entries) == SCALED, "{entries:?}");
    ensure!(entries[5]["text"] == "It is done.", "{entries:?}");
    ensure!(script.heard().len() == 3, "the model was asked {} times", script.heard().len());

    // Who did what.
    let audit = fleet.good("root", "GET", "/api/v1/audit?limit=100", None).await?;
    let audit = audit["entries"].as_array().context("entries")?;
    let did =
        |action: &str| audit.iter().find(|entry| entry["action"] == action).map(|entry| entry["who"].clone());
    ensure!(did("session.say") == Some("alice".into()), "{audit:?}");
    ensure!(did("operation.approve") == Some("carol".into()), "{audit:?}");
    for action in ["session.create", "operation.propose", "operation.claim", "operation.outcome"] {
        ensure!(did(action).is_some(), "{action} is not in {audit:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rejected_is_not_done_and_the_conversation_goes_on() -> Result<()> {
    let Some(bare) = Bare::start().await? else { return Ok(()) };
    shop(&bare, "registry.example/web:1").await?;
    let script = Script::start(changes(scale(3))).await?;
    let mut fleet = Fleet::new(&bare.kubeconfig, &script.url).await?;
    fleet.start().await?;
    let session = fleet.begin("alice", "scale web to three").await?;
    fleet.becomes(&session, "input-required").await?;
    let operation = fleet.waiting(&session).await?;
    ensure!(fleet.decide("carol", &operation, "reject").await?.0 == 200);
    fleet.becomes(&session, "idle").await?;
    ensure!(replicas(&bare).await? == 1);
    let entries = fleet.entries(&session).await?;
    ensure!(
        entries[5]["text"].as_str().is_some_and(|text| text.starts_with("It was not done")),
        "{entries:?}"
    );

    // And by whom the cluster does not allow it, it is not even proposed.
    let session = fleet.begin("bob", "scale web to three").await?;
    fleet.becomes(&session, "idle").await?;
    let entries = fleet.entries(&session).await?;
    ensure!(entries[4]["text"].as_str().is_some_and(|text| text.contains("bob")), "{entries:?}");
    let all = fleet.good("root", "GET", "/api/v1/approvals?phase=waiting", None).await?;
    ensure!(all["operations"] == json!([]), "{all}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_survives_the_death_of_everything_between_every_two_steps() -> Result<()> {
    let Some(bare) = Bare::start().await? else { return Ok(()) };
    shop(&bare, "registry.example/web:1").await?;
    let image = json!({"verb": "set-image", "kind": "Deployment", "name": "web", "namespace": "shop", "container": "web",
        "image": "registry.example/web:2"});
    let script = Script::start(changes(image)).await?;
    let mut fleet = Fleet::new(&bare.kubeconfig, &script.url).await?;
    fleet.start().await?;
    let session = fleet.begin("alice", "web does not start, mend it").await?;
    // Whatever it is doing: everything dies as soon as something more was said or done.
    for entries in 1..=4 {
        fleet
            .until("something more was said", async || {
                Ok(fleet.entries(&session).await.is_ok_and(|now| now.len() >= entries))
            })
            .await?;
        fleet.kill_all()?;
        fleet.start().await?;
    }
    fleet.becomes(&session, "input-required").await?;
    // Nothing runs and nothing is in a queue while somebody thinks; and after a night it goes on.
    fleet.kill_all()?;
    ensure!(
        bare.get(&web("")).await?["spec"]["template"]["spec"]["containers"][0]["image"]
            == "registry.example/web:1"
    );
    fleet.start().await?;
    let operation = fleet.waiting(&session).await?;
    ensure!(fleet.decide("carol", &operation, "approve").await?.0 == 200);
    // Not k8s-write: one that died over a claimed change waits a minute and a half before it looks again.
    fleet.kill(&[GATEWAY, AGENT])?;
    fleet.start().await?;
    fleet.becomes(&session, "idle").await?;
    let deployment = bare.get(&web("")).await?;
    ensure!(
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/web:2",
        "{deployment}"
    );
    let entries = fleet.entries(&session).await?;
    ensure!(outline(&entries) == SCALED, "{entries:?}");
    let changed = deployment["metadata"]["generation"].as_u64().context("a generation")?;
    ensure!(changed == 2, "it was changed {} times", changed - 1);
    Ok(())
}
