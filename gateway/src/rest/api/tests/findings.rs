//! What the actors of the cluster analysis have written, as the API shows it.

use asya_analysis::{
    Failure, Finding, GroupKind, Lifecycle, ObjectRef, Sequence, Severity,
    finding::fingerprint,
    message::Explanation,
    record::{EXPLANATIONS, Explained, FINDINGS, Kept, OPEN, key},
};
use asya_store::{Expect, Write};
use bytes::Bytes;
use jiff::Timestamp;

use super::*;

fn finding(cluster: &str, kind: GroupKind, name: &str, severity: Severity) -> Finding {
    let namespace = (kind.kind != "Node").then(|| "shop".to_owned());
    let object = ObjectRef { kind, namespace, name: name.to_owned() };
    let failures = vec![Failure::new("ImagePullFailed", severity, "the image cannot be pulled").seen(
        &object,
        ".status.phase",
        "Pending".to_owned(),
    )];
    Finding {
        cluster: cluster.to_owned(),
        uid: None,
        parent: None,
        backstage: None,
        fingerprint: fingerprint(cluster, &object, &failures),
        object,
        failures,
        lifecycle: Lifecycle::Created,
        first_seen: Timestamp::UNIX_EPOCH,
        last_seen: Timestamp::UNIX_EPOCH,
        sequence: Sequence { at: 1, number: 1 },
    }
}

fn pod() -> GroupKind {
    GroupKind::new("", "Pod")
}

/// Writes it as the actor `findings` does.
async fn keep(world: &World, finding: &Finding) {
    let at = key(&finding.cluster, &finding.object);
    let open =
        (finding.lifecycle != Lifecycle::Resolved).then(|| serde_json::to_vec(&finding.object).unwrap());
    let kept = Kept { finding: finding.clone(), told: None, waits: None };
    let write = |table, value: Option<Vec<u8>>| Write {
        table,
        key: at.clone(),
        value: value.map(Bytes::from),
        expect: Expect::Anything,
    };
    let writes = vec![write(FINDINGS, Some(serde_json::to_vec(&kept).unwrap())), write(OPEN, open)];
    world.service.store().records().commit(writes).await.unwrap();
}

async fn explain(world: &World, finding: &Finding, fingerprint: &str) {
    let explanation = Explanation {
        text: "The tag does not exist [e1].".to_owned(),
        provider: "ollama".to_owned(),
        model: "m".to_owned(),
        language: "english".to_owned(),
        at: Timestamp::UNIX_EPOCH,
        evidence: Vec::new(),
        invented: Vec::new(),
        cut: false,
    };
    let explained =
        Explained { fingerprint: fingerprint.to_owned(), sequence: finding.sequence, explanation };
    let (table, key) = (EXPLANATIONS, key(&finding.cluster, &finding.object));
    let value = Some(Bytes::from(serde_json::to_vec(&explained).unwrap()));
    let write = Write { table, key, value, expect: Expect::Anything };
    world.service.store().records().commit(vec![write]).await.unwrap();
}

fn names(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    let findings = answer.json()["findings"].as_array().cloned().unwrap();
    findings.iter().map(|finding| finding["object"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_is_open_is_listed_with_its_explanation_and_what_is_not_is_not() {
    on_each(async |world| {
        let app = app(&world, &[Role::Read]);
        assert_eq!(get(&app, "/findings").await.json(), json!({"findings": [], "next": null}));
        let open = finding("here", pod(), "open", Severity::Error);
        let mut pending = finding("here", pod(), "pending", Severity::Error);
        pending.lifecycle = Lifecycle::Pending;
        let mut healed = finding("here", pod(), "healed", Severity::Error);
        healed.lifecycle = Lifecycle::Resolved;
        for finding in [&open, &pending, &healed] {
            keep(&world, finding).await;
        }
        explain(&world, &open, &open.fingerprint).await;
        let answer = get(&app, "/findings").await;
        assert_eq!(names(&answer), ["open"]);
        let found = &answer.json()["findings"][0];
        assert_eq!((&found["severity"], &found["state"]), (&json!("error"), &json!("created")));
        assert_eq!(found["object"], json!({"kind": "Pod", "namespace": "shop", "name": "open"}));
        assert_eq!(found["failures"][0]["evidence"][0]["value"], "Pending");
        assert_eq!(found["explanation"]["text"], "The tag does not exist [e1].");
        let id = found["id"].as_str().unwrap();
        assert_eq!(get(&app, &format!("/findings/{id}")).await.json(), *found);
        // Of what was wrong before.
        explain(&world, &open, "another").await;
        assert_eq!(get(&app, "/findings").await.json()["findings"][0].get("explanation"), None);
        let mut closed = open.clone();
        closed.lifecycle = Lifecycle::Resolved;
        keep(&world, &closed).await;
        assert_eq!(names(&get(&app, "/findings").await), [""; 0]);
        assert_eq!(get(&app, &format!("/findings/{id}")).await.json()["state"], "resolved");
    })
    .await;
}

#[tokio::test]
async fn filters_choose_and_pages_follow_each_other() {
    on_each(async |world| {
        let app = app(&world, &[Role::Read]);
        let deployment = GroupKind::new("apps", "Deployment");
        for finding in [
            finding("here", pod(), "a", Severity::Warning),
            finding("here", pod(), "b", Severity::Error),
            finding("here", deployment, "c", Severity::Critical),
            finding("here", GroupKind::new("", "Node"), "d", Severity::Critical),
            finding("there", pod(), "e", Severity::Info),
        ] {
            keep(&world, &finding).await;
        }
        for (query, expected) in [
            ("", vec!["c", "d", "a", "b", "e"]),
            ("?cluster=here", vec!["c", "d", "a", "b"]),
            ("?cluster=her", vec![]),
            ("?kind=pod", vec!["a", "b", "e"]),
            ("?kind=Deployment.apps", vec!["c"]),
            ("?kind=deployment&cluster=there", vec![]),
            ("?namespace=shop&severity=error", vec!["c", "b"]),
            ("?severity=critical", vec!["c", "d"]),
        ] {
            assert_eq!(names(&get(&app, &format!("/findings{query}")).await), expected, "{query}");
        }
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = get(&app, &format!("/findings?limit=2{after}")).await;
            seen.extend(names(&page));
            let Some(next) = page.json()["next"].as_str().map(str::to_owned) else { break };
            after = format!("&after={next}");
        }
        assert_eq!(seen, ["c", "d", "a", "b", "e"]);
    })
    .await;
}

#[tokio::test]
async fn wrong_questions_and_missing_roles_are_refused() {
    let world = world().await;
    let reader = app(&world, &[Role::Read]);
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("severity=bad", "severity"),
        ("after=%00", "after"),
        ("after=!!", "after"),
        ("sort=name", ""),
    ] {
        let answer = get(&reader, &format!("/findings?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}: {}", answer.text);
        assert!(field.is_empty() || answer.fields() == [field], "{query}: {}", answer.text);
    }
    for id in ["none", "!!", "..%2f..", "aGVyZS9Qb2Qvc2hvcC9h"] {
        let answer = get(&reader, &format!("/findings/{id}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{id}: {}", answer.text);
    }
    let sender = app(&world, &[Role::Send, Role::Cluster]);
    assert_eq!(get(&sender, "/findings").await.status, StatusCode::FORBIDDEN);
}
