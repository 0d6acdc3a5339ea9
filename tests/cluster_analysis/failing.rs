//! What the API server does not say closes nothing: rights that are missing, errors and silence, also over restarts of the
//! watcher; and when it speaks again, what has healed meanwhile is told.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use asya_tests::{
    analysis::{Actor, Analysis},
    bare::Bare,
    cluster::{LIMIT, eventually},
    faulty::{Fault, Faulty},
    inbox::Inbox,
};
use serde_json::{Value, json};

/// What is broken, by kind as the API server's paths have it.
const BROKEN: [(&str, &str); 5] = [
    ("pods", "Pod shop/web"),
    ("services", "Service shop/web"),
    ("configmaps", "ConfigMap shop/settings"),
    ("jobs", "Job shop/load"),
    ("ingresses", "Ingress shop/web"),
];

struct Rig {
    bare: Bare,
    analysis: Analysis,
    inbox: Inbox,
}

impl Rig {
    /// A node that breaks is told: the watcher has looked at all that it could see.
    async fn has_looked(&mut self, name: &str) -> Result<()> {
        let condition = json!([{"type": "Ready", "status": "False", "reason": "KubeletNotReady"}]);
        let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"conditions": condition}});
        let since = Instant::now();
        self.bare.apply(&node).await?;
        let object = format!("Node {name}");
        let told =
            self.inbox.wait(since, LIMIT, |note| note.object == object && note.change == "opened").await;
        told.with_context(|| format!("{name} was not told\n{}", self.analysis.log()))?;
        Ok(())
    }

    /// All that was broken is open, and nobody was told otherwise.
    async fn all_are_open(&mut self) -> Result<()> {
        let open = self.analysis.open_findings().await?;
        for (_, object) in BROKEN {
            let (kind, name) = object.split_once("shop/").context("a name")?;
            let is = |finding: &&Value| {
                finding["object"]["name"] == name && finding["object"]["kind"] == kind.trim_end()
            };
            ensure!(open.iter().any(|finding| is(&finding)), "{object} was closed\n{}", self.analysis.log());
        }
        let other: Vec<_> = self.inbox.notes().into_iter().filter(|note| note.change != "opened").collect();
        ensure!(other.is_empty(), "told: {other:?}\n{}", self.analysis.log());
        Ok(())
    }
}

fn actors(sink: &str) -> Vec<Actor<'static>> {
    let sinks = json!([{"name": "here", "type": "webhook", "url": sink, "batch": {"most": 1}}]);
    vec![
        ("k8s-watch", vec![("ASYA_WATCH_ROUTE", "k8s-analyze,findings,notify".to_owned())]),
        ("k8s-analyze", vec![]),
        ("findings", vec![("ASYA_FINDINGS_GRACE", "0s".to_owned())]),
        ("notify", vec![("ASYA_NOTIFY_SINKS", sinks.to_string())]),
    ]
}

/// One object of each kind, all broken.
async fn break_all(bare: &Bare) -> Result<()> {
    bare.namespace("shop").await?;
    let waiting = json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}});
    let of = |version: &str, kind: &str, name: &str, rest: Value| {
        let mut object =
            json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}});
        for (field, value) in rest.as_object().into_iter().flatten() {
            object[field] = value.clone();
        }
        object
    };
    let containers = json!([{"name": "c", "image": "registry.example/app:1"}]);
    let failed = json!([{"type": "FailureTarget", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": "2026-01-01T00:00:00Z"},
        {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "lastTransitionTime": "2026-01-01T00:00:00Z"}]);
    for object in [
        of(
            "v1",
            "Pod",
            "web",
            json!({"spec": {"containers": containers}, "status": {"phase": "Pending", "containerStatuses":
            [{"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": waiting}]}}),
        ),
        of("v1", "Service", "web", json!({"spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}})),
        of("v1", "ConfigMap", "settings", json!({"data": {}})),
        of(
            "batch/v1",
            "Job",
            "load",
            json!({"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": containers}}},
            "status": {"startTime": "2026-01-01T00:00:00Z", "conditions": failed}}),
        ),
        of(
            "networking.k8s.io/v1",
            "Ingress",
            "web",
            json!({"spec": {"ingressClassName": "nginx",
            "defaultBackend": {"resource": {"apiGroup": "example.com", "kind": "Bucket", "name": "b"}}}}),
        ),
    ] {
        bare.apply(&object).await?;
    }
    Ok(())
}

/// Everything is well, or gone.
async fn heal_all(bare: &Bare) -> Result<()> {
    let of = |version: &str, kind: &str, name: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "shop"}});
    bare.delete(&of("v1", "Pod", "web")).await?;
    bare.delete(&of("v1", "Service", "web")).await?;
    bare.patch(&of("v1", "ConfigMap", "settings"), &json!({"data": {"a": "b"}})).await?;
    bare.delete(&of("batch/v1", "Job", "load")).await?;
    let mut class = of("networking.k8s.io/v1", "IngressClass", "nginx");
    class["metadata"] = json!({"name": "nginx"});
    class["spec"] = json!({"controller": "example.com/nginx"});
    bare.apply(&class).await
}

/// The right to see everything that is broken but pods and ConfigMaps.
async fn grant(bare: &Bare, user: &str) -> Result<()> {
    let groups = [
        "apps",
        "batch",
        "networking.k8s.io",
        "discovery.k8s.io",
        "storage.k8s.io",
        "admissionregistration.k8s.io",
    ];
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": user}, "rules": [
        {"apiGroups": [""], "resources": ["services", "nodes", "events", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": groups, "resources": ["*"], "verbs": ["list", "watch"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": user},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": user}});
    bare.apply(&role).await?;
    bare.apply(&binding).await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_server_does_not_say_closes_no_finding() -> Result<()> {
    let Some(bare) = Bare::start().await? else { return Ok(()) };
    let faulty = Faulty::before(&bare).await?;
    let (inbox, sink) = Inbox::open().await?;
    let analysis = Analysis::of(faulty.kubeconfig.clone(), &actors(&sink))?;
    let mut rig = Rig { bare, analysis, inbox };
    break_all(&rig.bare).await?;
    let begun = Instant::now();
    rig.analysis.start()?;
    for (_, object) in BROKEN {
        let told = rig.inbox.wait(begun, LIMIT, |note| note.object == object).await;
        told.with_context(|| format!("{object} was not told\n{}", rig.analysis.log()))?;
    }

    // A new watcher without the right to list pods and ConfigMaps.
    let user = rig.bare.user("watcher").await?;
    grant(&rig.bare, "watcher").await?;
    rig.analysis.kill()?;
    rig.analysis.look_through(user);
    rig.analysis.start()?;
    rig.has_looked("without-rights").await?;
    rig.all_are_open().await?;

    // The server fails under a watcher that has seen everything, and under one that has seen nothing.
    rig.analysis.kill()?;
    rig.analysis.look_through(faulty.kubeconfig.clone());
    rig.analysis.start()?;
    rig.has_looked("before-the-faults").await?;
    let faults = [
        ("pods", Fault::Answers(500)),
        ("services", Fault::Hangs),
        ("configmaps", Fault::Answers(403)),
        ("jobs", Fault::Answers(504)),
        ("ingressclasses", Fault::Answers(503)),
        ("endpointslices", Fault::Hangs),
    ];
    for restart in [false, true] {
        faulty.fail(&faults);
        if restart {
            rig.analysis.kill()?;
            rig.analysis.start()?;
        }
        // Whose Service is not known, its EndpointSlices are not asked for.
        for (kind, _) in faults.into_iter().filter(|(kind, _)| *kind != "endpointslices") {
            let what = format!("{kind} are asked for");
            eventually(&what, async || Ok((faulty.met(kind) > 0).then_some(()))).await?;
        }
        rig.analysis.resync()?;
        rig.has_looked(if restart { "after-a-restart" } else { "during-the-faults" }).await?;
        rig.all_are_open().await?;
    }

    // It was not deaf: what healed meanwhile is told as soon as the server says it.
    heal_all(&rig.bare).await?;
    rig.has_looked("while-all-heals").await?;
    let closed: Vec<_> = rig.inbox.notes().into_iter().filter(|note| note.change == "resolved").collect();
    ensure!(closed.is_empty(), "told before the server said so: {closed:?}");
    let lifted = Instant::now();
    faulty.fail(&[]);
    for (_, object) in BROKEN {
        let told =
            rig.inbox.wait(begun, LIMIT, |note| note.object == object && note.change == "resolved").await;
        told.with_context(|| format!("{object} is well and was not told so\n{}", rig.analysis.log()))?;
    }
    println!("all that healed during the faults was told {:.1?} after their end", lifted.elapsed());
    Ok(())
}
