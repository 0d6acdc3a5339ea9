//! The gateway's own tools: who sees them, and what they answer where there is no cluster.

use std::sync::Arc;

use asya_gateway::{auth::Role, cluster::Look};
use serde_json::json;

use super::support::{World, connect, person, text, tool, versions, world};

/// A gateway with a look into a cluster that is not there.
async fn looking() -> World {
    let mut world = world().await;
    world.cluster = Some(Arc::new(Look::default()));
    world
}

async fn names(world: &World, roles: &[Role]) -> Vec<String> {
    let address = world.gateway(person(roles)).await;
    let (client, _told) = connect(&address, &versions()[3]).await;
    let listed = client.list_all_tools().await.unwrap();
    listed.into_iter().map(|tool| tool.name.into_owned()).collect()
}

#[tokio::test]
async fn everybody_sees_the_tools_that_they_may_call() {
    let world = looking().await;
    let looks = [
        "analyze",
        "list-resources",
        "get-resource",
        "list-events",
        "get-logs",
        "cluster-info",
        "list-namespaces",
        "list-filters",
    ];
    assert_eq!(names(&world, &[Role::Cluster]).await, looks, "nothing of the pipelines");
    assert_eq!(names(&world, &[Role::Send]).await, ["brief", "ocr", "wait"]);
    assert_eq!(names(&world, &[Role::Read]).await, ["brief", "ocr", "wait", "list-findings"]);
    assert_eq!(names(&world, &[Role::Admin]).await.len(), 3 + 1 + looks.len());
    assert_eq!(names(&super::support::world().await, &[Role::Admin]).await, ["brief", "ocr", "wait"], "off");
}

#[tokio::test]
async fn a_call_without_the_role_says_which_is_missing_in_every_version() {
    let world = looking().await;
    for version in versions() {
        let address = world.gateway(person(&[Role::Read, Role::Send, Role::Payload])).await;
        let (client, _told) = connect(&address, &version).await;
        let answer = client.call_tool(tool("list-namespaces", json!({}))).await.unwrap();
        assert_eq!(answer.is_error, Some(true));
        assert!(text(&answer).contains("Cluster"), "{}", text(&answer));
        assert_eq!(answer.structured_content.unwrap()["code"], "denied");
        let findings = client.call_tool(tool("list-findings", json!({"limit": 5}))).await.unwrap();
        assert_eq!(findings.structured_content.unwrap(), json!({"findings": [], "next": null}));
    }
}

#[tokio::test]
async fn a_pipeline_of_the_same_name_comes_first() {
    let world = looking().await;
    world.change_tools("tools: [{name: analyze, route: [read]}]");
    let address = world.gateway(person(&[Role::Admin])).await;
    let (client, _told) = connect(&address, &versions()[3]).await;
    let listed = client.list_all_tools().await.unwrap();
    assert_eq!(listed.iter().filter(|tool| tool.name == "analyze").count(), 1);
    let handle = client.call_tool(tool("analyze", json!({}))).await.unwrap().structured_content.unwrap();
    assert!(handle["envelope_id"].is_string(), "{handle}");
}
