//! Resources, prompts, and tools that change.

use asya_gateway::auth::{Principal, Role};
use rmcp::model::{
    GetPromptRequestParams, ProtocolVersion, ReadResourceRequestParams, ResourceContents, SubscriptionFilter,
};
use serde_json::{Value, json};

use super::support::{Connection, connect, next, page, person, tool, versions, world};

async fn read(connection: &Connection, uri: &str) -> Result<Value, String> {
    let read = connection.read_resource(ReadResourceRequestParams::new(uri)).await;
    let contents = read.map_err(|error| error.to_string())?.contents.remove(0);
    match contents {
        ResourceContents::TextResourceContents { text, .. } => Ok(serde_json::from_str(&text).unwrap()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn envelopes_and_queues_can_be_read_in_every_version() {
    for version in versions() {
        let world = world().await;
        let (connection, _told) = connect(&world.gateway(Principal::anonymous()).await, &version).await;
        let failing = async { world.fail(&world.envelope().await.id).await };
        let (_, ()) = tokio::join!(connection.call_tool(tool("ocr", page(7))), failing);
        let id = world.envelope().await.id;
        let listed = connection.list_all_resources().await.unwrap();
        let uris: Vec<_> = listed.iter().map(|resource| resource.uri.as_str()).collect();
        let uri = format!("asya://envelopes/{id}");
        assert_eq!(uris, [uri.as_str(), "asya://queues/read"]);
        assert_eq!(connection.list_all_resource_templates().await.unwrap().len(), 2);
        let record = read(&connection, &uri).await.unwrap();
        assert_eq!((&record["status"], &record["payload"]), (&json!("failed"), &json!({"page": 7})));
        let last = record["updates"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["status"], &last["error"]), (&json!("failed"), &json!("no page 7")));
        assert_eq!(read(&connection, "asya://queues/read").await.unwrap()["queued"], 7);
        for unknown in
            ["asya://envelopes/none", "asya://queues/none", "asya://queues/", "file:///etc/passwd", ""]
        {
            let error = read(&connection, unknown).await.unwrap_err();
            assert!(error.contains("not found"), "{unknown}: {error}");
        }
        let prompts = connection.list_all_prompts().await.unwrap();
        assert_eq!(prompts[0].name, "diagnose_failure");
        let arguments = serde_json::from_value(json!({"envelope_id": id})).unwrap();
        let asked = GetPromptRequestParams::new("diagnose_failure").with_arguments(arguments);
        let prompt = connection.get_prompt(asked).await.unwrap();
        let text = prompt.messages[0].content.as_text().unwrap().text.clone();
        for told in ["no page 7", "processing_error", "split -> read", "Code:", "next step", &id] {
            assert!(text.contains(told), "{told}: {text}");
        }
        for (name, arguments) in [("other", json!({})), ("diagnose_failure", json!({}))] {
            let asked =
                GetPromptRequestParams::new(name).with_arguments(serde_json::from_value(arguments).unwrap());
            assert!(connection.get_prompt(asked).await.unwrap_err().to_string().contains("-32602"));
        }
    }
}

#[tokio::test]
async fn contents_are_for_those_who_may_see_them() {
    let world = world().await;
    let version = ProtocolVersion::V_2025_11_25;
    let (all, _told) = connect(&world.gateway(Principal::anonymous()).await, &version).await;
    let ending = async { world.succeed(&world.envelope().await.id, &json!("secret")).await };
    let (_, ()) = tokio::join!(all.call_tool(tool("ocr", page(7))), ending);
    let uri = format!("asya://envelopes/{}", world.envelope().await.id);
    let (reader, _told) = connect(&world.gateway(person(&[Role::Read])).await, &version).await;
    let record = read(&reader, &uri).await.unwrap();
    assert_eq!((&record["status"], &record["payload"]), (&json!("succeeded"), &json!(null)));
    assert!(!record.to_string().contains("secret"));
    let (sender, _told) = connect(&world.gateway(person(&[Role::Send])).await, &version).await;
    for uri in [uri.as_str(), "asya://queues/read"] {
        assert!(read(&sender, uri).await.unwrap_err().contains("role Read"));
    }
    assert!(sender.list_all_resources().await.is_err());
    let (nobody, _told) = connect(&world.gateway(person(&[])).await, &version).await;
    assert!(nobody.list_all_tools().await.is_err());
}

#[tokio::test]
async fn clients_are_told_when_tools_change() {
    for version in versions() {
        let world = world().await;
        let (connection, mut told) = connect(&world.gateway(Principal::anonymous()).await, &version).await;
        let filter = SubscriptionFilter::builder().tools_list_changed().build();
        let mut subscription = if version == ProtocolVersion::V_2026_07_28 {
            Some(connection.listen(filter).await.unwrap())
        } else {
            connection.list_all_tools().await.unwrap();
            None
        };
        world.change_tools("tools: [{name: other, route: [read]}]");
        match &mut subscription {
            Some(subscription) => {
                subscription.next().await.unwrap().unwrap();
            }
            None => next(&mut told.changes).await,
        }
        assert_eq!(connection.list_all_tools().await.unwrap()[0].name, "other");
    }
}
