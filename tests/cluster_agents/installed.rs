//! The two conversations of an operator's day on a cluster as people have it: one scales, one diagnoses and mends, and both outlive
//! whatever dies.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use asya_tests::{
    cluster::Cluster,
    installed::{ACTORS, GATEWAY, Installed, OPERATOR},
    people::AGENT,
    script::Script,
};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    diagnosis,
    kills::{Decides, Survived, through},
    operate::{SCALED, changes, outline},
};

/// How long the operator may collect what it writes.
const SETTLES: Duration = Duration::from_secs(3);
/// Longer than it leaves an agent alone whose pods were started again so often.
const REST: Duration = Duration::from_secs(11);

/// `web`, whose program wants a number for its port; alice may change Deployments, and look at everything but Secrets.
async fn opens(it: &mut Installed, port: &str) -> Result<()> {
    it.open_shop()?;
    let shop = &it.shop;
    let serves = "case $PORT in (*[!0-9]*) echo \"fatal: PORT is no number: $PORT\" >&2; exit 78;; esac; exec sleep 3600";
    let container = json!({"name": "web", "image": "registry.example/web:1", "command": ["sh", "-c", serves],
        "env": [{"name": "PORT", "value": port}]});
    let labels = json!({"app": "web"});
    shop.apply(&json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]}}}}))
        .await?;
    shop.apply(&json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8080}]}}))
        .await?;
    let verbs = json!(["get", "create", "patch"]);
    may(shop, "alice", &json!([{"apiGroups": ["apps"], "resources": ["deployments"], "verbs": verbs}])).await
}

/// Gives somebody these rights in the shop, and that to look at everything but Secrets.
pub(crate) async fn may(shop: &Cluster, who: &str, rules: &Value) -> Result<()> {
    let group = "rbac.authorization.k8s.io";
    let version = format!("{group}/v1");
    shop.apply(&json!({"apiVersion": version, "kind": "Role", "metadata": {"name": who}, "rules": rules}))
        .await?;
    for (name, kind, role) in [(who.to_owned(), "Role", who), (format!("{who}-looks"), "ClusterRole", "view")]
    {
        shop.apply(&json!({"apiVersion": version, "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": kind, "name": role},
            "subjects": [{"apiGroup": group, "kind": "User", "name": who}]}))
            .await?;
    }
    Ok(())
}

async fn web(it: &Installed) -> Result<Value> {
    it.shop.get("Deployment", "web").await?.context("web is there")
}

/// Waits until all replicas of `web` are new and ready.
async fn well(it: &Installed, replicas: u64) -> Result<Value> {
    it.shop
        .until("Deployment", "web", "is well", |web| {
            let is = |field: &str| web["status"][field] == replicas;
            is("replicas")
                && is("updatedReplicas")
                && is("readyReplicas")
                && web["status"]["observedGeneration"] == web["metadata"]["generation"]
        })
        .await
}

/// The field manager's part of an object.
fn managed<'a>(object: &'a Value, manager: &str) -> Option<&'a Value> {
    let fields = object["metadata"]["managedFields"].as_array()?;
    fields.iter().find(|entry| entry["manager"] == manager).map(|entry| &entry["fieldsV1"])
}

/// Actions of the audit log with who did them, the oldest first, and that all of a turn are of one envelope and one operation.
async fn audited(it: &Installed, session: &str) -> Result<Vec<(String, String)>> {
    let audit = it.people.good("root", "GET", "/api/v1/audit?limit=200", None).await?;
    let rows = audit["entries"].as_array().context("entries")?.iter().rev();
    let rows: Vec<_> = rows.filter(|row| row["detail"]["session"] == session).collect();
    let said = rows.iter().find(|row| row["action"] == "session.say").context("somebody spoke")?;
    let operations: Vec<_> = rows.iter().filter(|row| !row["detail"]["operation"].is_null()).collect();
    for row in &operations {
        let same = |field: &str| row["detail"][field] == operations[0]["detail"][field];
        ensure!(same("operation") && same("hash") && row["envelope"] == said["envelope"], "{row}");
    }
    ensure!(operations[0]["detail"]["requester"] == "alice", "{}", operations[0]);
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    Ok(rows.into_iter().map(|row| (text(row, "action"), text(row, "who"))).collect())
}

/// What the audit log has of a session in which one change was asked for and approved. Actors show a common token here.
const AUDITED: [(&str, &str); 6] = [
    ("session.create", "alice"),
    ("session.say", "alice"),
    ("operation.propose", "sidecar"),
    ("operation.approve", "carol"),
    ("operation.claim", "sidecar"),
    ("operation.outcome", "sidecar"),
];

/// What is so after each conversation: it was said once, asked for as often as it was killed, done once, by approval.
async fn survived(it: &Installed, session: &str, survived: &Survived, outlined: &[&str]) -> Result<()> {
    let Survived { entries, rounds, turns, asked } = survived;
    ensure!(outline(entries) == outlined, "{entries:#?}");
    let numbers: Vec<_> = entries.iter().filter_map(|entry| entry["n"].as_u64()).collect();
    ensure!(numbers.into_iter().eq(1..=entries.len() as u64), "{entries:?}");
    ensure!(
        *turns == outlined.iter().filter(|kind| **kind == "assistant" || kind.starts_with("calls")).count()
    );
    for name in [GATEWAY, OPERATOR, AGENT] {
        ensure!(
            it.kills.get(name).is_some_and(|kills| kills >= rounds),
            "{name} was not killed {rounds} times: {:?}",
            it.kills
        );
    }
    let audited = audited(it, session).await?;
    ensure!(audited.iter().map(|(action, who)| (&**action, &**who)).eq(AUDITED), "{audited:?}");
    eprintln!(
        "{} entries survived {rounds} rounds of kills: {:?}; {turns} answers were asked for {asked} times",
        entries.len(),
        it.kills
    );
    Ok(())
}

/// Carol, after others have tried.
async fn carol_approves(it: &Installed, operation: &Value) -> Result<()> {
    let (status, said) = it.people.decide("alice", operation, "approve").await?;
    ensure!(status == 403, "{said}");
    let (status, said) = it.people.decide("carol", operation, "approve").await?;
    ensure!(status == 200, "{said}");
    let (status, said) = it.people.decide("carol", operation, "reject").await?;
    ensure!(status == 409, "{said}");
    Ok(())
}

/// Approves, and changes the agent while nobody has decided.
struct Changes;

impl Decides for Changes {
    /// The operator dies between a change of the Agent and what it makes of it: the next one makes it.
    async fn meanwhile(&self, it: &mut Installed) -> Result<()> {
        let (_, before) = it.standing(AGENT).await?;
        it.operator().signal(Signal::STOP)?;
        it.home.edit("Agent", AGENT, &json!({"spec": {"budgets": {"turns": 29}}})).await?;
        it.kill_operator().await?;
        ensure!(it.told().await?.0["budget"]["turns"] == 30, "nobody was there to tell it");
        it.start_operator().await?;
        it.people
            .until("gateways are told", async || Ok(it.told().await?.0["budget"]["turns"] == 29))
            .await?;
        it.people
            .until("the agent has new pods", async || {
                let (_, now) = it.standing(AGENT).await?;
                Ok(now.len() == 1 && now != before)
            })
            .await?;
        it.people
            .until("the gateway knows", async || {
                let agents = it.people.good("alice", "GET", "/api/v1/agents", None).await?;
                Ok(agents["agents"][0]["budget"]["turns"] == 29)
            })
            .await
    }

    async fn decides(&self, it: &Installed, operation: &Value) -> Result<()> {
        ensure!(web(it).await?["spec"]["replicas"] == 1, "it was scaled without approval");
        ensure!(operation["verb"] == "scale" && operation["requester"] == "alice", "{operation}");
        carol_approves(it, operation).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_is_scaled_while_gateway_operator_and_agent_are_killed_at_every_step() -> Result<()> {
    let script = Script::held_back(|heard| {
        let shop = heard.asked().rsplit(' ').next().unwrap_or_default();
        let call =
            json!({"verb": "scale", "kind": "Deployment", "name": "web", "namespace": shop, "replicas": 3});
        changes(call)(heard)
    })
    .await?;
    let Some(mut it) = Installed::new("agents-scale", &script.url).await? else { return Ok(()) };
    opens(&mut it, "8080").await?;
    well(&it, 1).await?;
    let session = it.people.begin("alice", &format!("scale web to three in {}", it.shop.namespace)).await?;
    let done = through(&mut it, &script, &session, &Changes).await?;
    survived(&it, &session, &done, &SCALED).await?;
    let web = well(&it, 3).await?;
    ensure!(web["metadata"]["generation"] == 2, "it was changed more than once: {web}");
    let fields = managed(&web, "asya-k8s-write").with_context(|| web.to_string())?;
    ensure!(*fields == json!({"f:spec": {"f:replicas": {}}}), "{fields}");
    it.end().await
}

/// Approves what mends.
struct Mends;

impl Decides for Mends {
    async fn decides(&self, it: &Installed, operation: &Value) -> Result<()> {
        ensure!(web(it).await?["metadata"]["generation"] == 1, "it was changed without approval");
        let diff = operation["diff"].as_str().context("a diff")?;
        ensure!(diff.contains("80a80") && diff.contains("8080"), "{operation}");
        carol_approves(it, operation).await
    }

    async fn afterwards(&self, it: &Installed) -> Result<()> {
        well(it, 1).await.map(drop)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_deployment_is_diagnosed_and_mended_while_gateway_operator_and_agent_are_killed()
-> Result<()> {
    let script = Script::held_back(diagnosis::says).await?;
    let Some(mut it) = Installed::new("agents-mend", &script.url).await? else { return Ok(()) };
    opens(&mut it, "80a80").await?;
    diagnosis::breaks(&it).await?;
    let mut before = Vec::new();
    for actor in ACTORS {
        before.push(it.standing(actor).await?);
    }
    let told = it.told().await?;

    let session =
        it.people.begin("alice", &format!("web does not answer, mend it in {}", it.shop.namespace)).await?;
    let done = through(&mut it, &script, &session, &Mends).await?;
    survived(&it, &session, &done, &diagnosis::OUTLINE).await?;

    let web = well(&it, 1).await?;
    ensure!(web["metadata"]["generation"] == 2, "it was changed more than once: {web}");
    let port = &web["spec"]["template"]["spec"]["containers"][0]["env"][0];
    ensure!(*port == json!({"name": "PORT", "value": "8080"}), "{web}");
    let fields = managed(&web, "asya-k8s-write").with_context(|| web.to_string())?;
    ensure!(
        fields.to_string().contains(r#"k:{\"name\":\"PORT\"}"#) && !fields.to_string().contains("f:replicas"),
        "{fields}"
    );
    let markdown = it.people.asya("alice", &["sessions", "export", &session]).await?;
    diagnosis::is_told(&String::from_utf8(markdown.stdout)?)?;

    // The operator was started again as often, and moved nothing.
    for (actor, before) in ACTORS.into_iter().zip(before) {
        ensure!(it.standing(actor).await? == before, "{actor} was rolled");
    }
    ensure!(it.told().await? == told, "what gateways are told was written again");
    for name in [AGENT, GATEWAY] {
        it.people
            .until("all kills were of running pods", async || {
                Ok(it.restarts(name).await? == it.kills[name] as u64)
            })
            .await?;
    }
    it.operator().rests(SETTLES).await?;
    let versions = it.versions().await?;
    it.kill_operator().await?;
    it.start_operator().await?;
    it.operator().rests(REST).await?;
    ensure!(
        it.versions().await? == versions,
        "something was written though nothing had changed: {}",
        it.operator().log()
    );
    it.end().await
}
