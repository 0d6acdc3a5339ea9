//! The real operator on a real API server: what a person applies comes true, and stays true.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::Duration;

use anyhow::Result;
use asya_tests::{
    cluster::{Cluster, actor},
    operator::{Operator, Settings},
};
use serde_json::json;

/// Long enough for every watch and every look that a change causes.
const QUIET: Duration = Duration::from_secs(5);

macro_rules! cluster {
    ($name:literal) => {
        match Cluster::new($name).await? {
            Some(cluster) => cluster,
            None => return Ok(()),
        }
    };
}

#[tokio::test(flavor = "multi_thread")]
async fn an_applied_actor_naps_with_everything_it_needs() -> Result<()> {
    let cluster = cluster!("applied");
    let operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    cluster.until_word("ocr", "Napping").await?;
    let deployment = cluster.get("Deployment", "ocr").await?.unwrap();
    assert_eq!(deployment["spec"]["replicas"], 0);
    let uid = cluster.get("AsyncActor", "ocr").await?.unwrap()["metadata"]["uid"].clone();
    for (kind, name) in [("Deployment", "ocr"), ("ScaledObject", "ocr")] {
        let object = cluster.get(kind, name).await?.unwrap();
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], uid, "{kind}");
    }
    tokio::time::sleep(QUIET).await;
    let before = operator.writes().await?;
    tokio::time::sleep(QUIET).await;
    assert_eq!(operator.writes().await?, before, "nothing changed, and still it wrote:\n{}", operator.log());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_somebody_else_edits_or_deletes_comes_back() -> Result<()> {
    let cluster = cluster!("drift");
    let _operator = Operator::start(&Settings::of(&cluster)).await?;
    cluster.apply(&actor("ocr").scaling(0..=20).json()).await?;
    cluster.until_word("ocr", "Napping").await?;

    cluster.edit("ScaledObject", "ocr", &json!({"spec": {"maxReplicaCount": 1}})).await?;
    cluster.until("ScaledObject", "ocr", "has its maximum again", |o| o["spec"]["maxReplicaCount"] == 20).await?;
    cluster.edit("ScaledObject", "ocr", &json!({"metadata": {"labels": {"asya.sh/asya": null}}})).await?;
    cluster
        .until("ScaledObject", "ocr", "has its label again", |o| o["metadata"]["labels"]["asya.sh/asya"] == "ocr")
        .await?;
    let patch = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 1}}}});
    cluster.edit("Deployment", "ocr", &patch).await?;
    cluster
        .until("Deployment", "ocr", "has its grace period again", |o| {
            o["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 30
        })
        .await?;

    for kind in ["ScaledObject", "Deployment"] {
        let uid = cluster.get(kind, "ocr").await?.unwrap()["metadata"]["uid"].clone();
        cluster.delete(kind, "ocr").await?;
        cluster.until(kind, "ocr", "is made again", |object| object["metadata"]["uid"] != uid).await?;
    }
    let deployment = cluster.get("Deployment", "ocr").await?.unwrap();
    assert_eq!(deployment["spec"]["replicas"], 0, "made again at zero");
    Ok(())
}
