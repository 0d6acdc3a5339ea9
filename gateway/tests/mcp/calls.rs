//! Calls: handles, progress, results, limits, cancellation, in every version, over HTTP and over a pipe.

use asya_gateway::{
    auth::{Principal, Role},
    mcp,
};
use asya_store::envelopes::{Status, Step};
use rmcp::{
    ClientServiceExt,
    model::{CallToolRequest, CallToolResult, ClientRequest, ProtocolVersion},
    service::PeerRequestOptions,
};
use serde_json::json;
use tokio::time::timeout;

use super::support::{
    Connection, LIMIT, Told, World, client, connect, next, page, person, text, tool, versions, world,
};

/// Lists, calls, gets progress and a result.
async fn a_whole_call(world: &World, connection: &Connection, told: &mut Told) {
    let tools = connection.list_all_tools().await.unwrap();
    let names: Vec<_> = tools.iter().map(|tool| &*tool.name).collect();
    assert_eq!(names, ["brief", "ocr", "wait"]);
    assert_eq!(tools[1].description.as_deref(), Some("Reads a page"));
    let schema = json!({"type": "object", "properties": {"page": {"type": "integer"}}, "required": ["page"]});
    assert_eq!(json!(tools[1].input_schema), schema);
    let calling = connection.call_tool(tool("ocr", page(1)));
    let reporting = async {
        let id = world.envelope().await.id;
        assert_eq!(next(&mut told.progress).await.progress, 0.0);
        world.report(&id, &["split", "read"], 0, Step::Completed).await;
        assert_eq!(next(&mut told.progress).await.progress, 50.0);
        world.report(&id, &["split", "read"], 1, Step::Processing).await;
        let second = next(&mut told.progress).await;
        assert_eq!((second.progress, second.total), (75.0, Some(100.0)));
        assert_eq!(second.message.as_deref(), Some("read works"));
        world.succeed(&id, &json!({"text": "hello"})).await;
        id
    };
    let (answer, id) = timeout(LIMIT, async { tokio::join!(calling, reporting) }).await.unwrap();
    let answer = answer.unwrap();
    assert_eq!(answer.is_error, Some(false));
    assert_eq!(answer.structured_content, Some(json!({"text": "hello"})));
    assert_eq!(text(&answer), r#"{"text":"hello"}"#);
    assert_eq!(answer.meta.unwrap().get("asya.sh/envelope_id"), Some(&json!(id)));
    assert_eq!(next(&mut told.progress).await.progress, 100.0);
}

#[tokio::test]
async fn every_version_lists_calls_follows_and_gets_the_result() {
    for version in versions() {
        let world = world().await;
        let (connection, mut told) = connect(&world.gateway(Principal::anonymous()).await, &version).await;
        a_whole_call(&world, &connection, &mut told).await;
        connection.cancel().await.unwrap();
    }
}

#[tokio::test]
async fn every_version_is_spoken_over_a_pipe() {
    for version in versions() {
        let world = world().await;
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let (input, output) = tokio::io::split(ours);
        let (service, who) = (world.service.clone(), Principal::anonymous());
        let serving = tokio::spawn(mcp::pipe::serve(service, None, who, world.stop.clone(), input, output));
        let (client, lifecycle, mut told) = client(&version);
        let connection = client.serve_with_lifecycle(theirs, lifecycle).await.unwrap();
        a_whole_call(&world, &connection, &mut told).await;
        connection.cancel().await.unwrap();
        timeout(LIMIT, serving).await.unwrap().unwrap().unwrap();
    }
}

/// Begins a call and does not wait for it.
async fn begun(connection: &Connection, name: &str) -> rmcp::service::RequestHandle<rmcp::RoleClient> {
    let request = ClientRequest::CallToolRequest(CallToolRequest::new(tool(name, json!({}))));
    connection.send_cancellable_request(request, PeerRequestOptions::no_options()).await.unwrap()
}

#[tokio::test]
async fn a_cancelled_call_cancels_its_envelope_in_every_version() {
    for version in versions() {
        let world = world().await;
        let (connection, _told) = connect(&world.gateway(Principal::anonymous()).await, &version).await;
        let call = begun(&connection, "wait").await;
        let id = world.envelope().await.id;
        call.cancel(Some("enough".to_owned())).await.unwrap();
        world.cancelled(&id).await;
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_where_the_protocol_says_so() {
    let world = world().await;
    let address = world.gateway(Principal::anonymous()).await;
    let (connection, _told) = connect(&address, &ProtocolVersion::V_2026_07_28).await;
    let _call = begun(&connection, "wait").await;
    let id = world.envelope().await.id;
    drop(connection);
    world.cancelled(&id).await;
}

#[tokio::test]
async fn a_client_that_closes_its_pipe_cancels_its_calls_before_the_server_ends() {
    let world = world().await;
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (input, output) = tokio::io::split(ours);
    let (service, who) = (world.service.clone(), Principal::anonymous());
    let serving = tokio::spawn(mcp::pipe::serve(service, None, who, world.stop.clone(), input, output));
    let (client, lifecycle, _told) = client(&ProtocolVersion::V_2025_11_25);
    let connection = client.serve_with_lifecycle(theirs, lifecycle).await.unwrap();
    let _call = begun(&connection, "wait").await;
    let id = world.envelope().await.id;
    connection.cancel().await.unwrap();
    timeout(LIMIT, serving).await.unwrap().unwrap().unwrap();
    let ended = world.service.store().summary(&id).await.unwrap().unwrap();
    assert_eq!(ended.code.as_deref(), Some("cancelled"));
}

async fn answer(connection: &Connection, name: &str, arguments: serde_json::Value) -> CallToolResult {
    timeout(LIMIT, connection.call_tool(tool(name, arguments))).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_call_that_lasts_longer_than_its_limit_answers_with_the_handle() {
    let world = world().await;
    let (connection, _told) =
        connect(&world.gateway(Principal::anonymous()).await, &ProtocolVersion::V_2026_07_28).await;
    let answer = answer(&connection, "brief", json!({})).await;
    let envelope = world.envelope().await;
    let handle = answer.structured_content.unwrap();
    assert_eq!(handle["envelope_id"], json!(envelope.id));
    assert_eq!(handle["status"], json!(envelope.status));
    assert!(handle["message"].as_str().unwrap().contains("within 0.2 s"), "{handle}");
    assert_eq!(handle["status_url"], json!(format!("/envelopes/{}", envelope.id)));
}

#[tokio::test]
async fn a_failed_envelope_is_an_error_that_names_code_and_actor() {
    let world = world().await;
    let (connection, _told) =
        connect(&world.gateway(Principal::anonymous()).await, &ProtocolVersion::V_2025_11_25).await;
    let failing = async { world.fail(&world.envelope().await.id).await };
    let (answer, ()) = tokio::join!(answer(&connection, "ocr", page(7)), failing);
    assert_eq!(answer.is_error, Some(true));
    assert!(text(&answer).contains("no page 7"), "{answer:?}");
    let told = answer.structured_content.unwrap();
    assert_eq!((&told["code"], &told["actor"]), (&json!("processing_error"), &json!("read")));
}

#[tokio::test]
async fn results_that_are_no_object_are_put_into_one() {
    for (result, as_text) in [(json!("hello"), "hello"), (json!([1, 2]), "[1,2]"), (json!(null), "null")] {
        let world = world().await;
        let (connection, _told) =
            connect(&world.gateway(Principal::anonymous()).await, &ProtocolVersion::V_2025_06_18).await;
        let ending = async { world.succeed(&world.envelope().await.id, &result).await };
        let (answer, ()) = tokio::join!(answer(&connection, "wait", json!({})), ending);
        assert_eq!(answer.structured_content, Some(json!({"result": result})));
        assert_eq!(text(&answer), as_text);
    }
}

#[tokio::test]
async fn wrong_arguments_are_answered_with_the_field() {
    let world = world().await;
    let (connection, _told) =
        connect(&world.gateway(Principal::anonymous()).await, &ProtocolVersion::V_2025_11_25).await;
    for (arguments, sentence) in
        [(json!({}), "missing required parameter: page"), (json!({"page": "one"}), "parameter page")]
    {
        let answer = answer(&connection, "ocr", arguments).await;
        assert_eq!(answer.is_error, Some(true));
        assert!(text(&answer).contains(sentence), "{answer:?}");
        let told = answer.structured_content.unwrap();
        assert_eq!((&told["code"], &told["errors"][0]["field"]), (&json!("invalid"), &json!("page")));
    }
    let error = connection.call_tool(tool("nothing", json!({}))).await.unwrap_err().to_string();
    assert!(error.contains("nothing") && error.contains("-32602"), "{error}");
    assert_eq!(world.service.store().counts().await.unwrap(), asya_store::envelopes::Counts::default());
}

#[tokio::test]
async fn roles_decide_what_a_call_may_do_and_show() {
    let world = world().await;
    let version = ProtocolVersion::V_2025_11_25;
    let (reader, _told) = connect(&world.gateway(person(&[Role::Read])).await, &version).await;
    let refused = answer(&reader, "ocr", page(1)).await;
    assert_eq!(refused.structured_content.unwrap()["code"], "denied");
    assert_eq!(world.service.store().counts().await.unwrap(), asya_store::envelopes::Counts::default());
    // Who may not look gets the handle at once, though the tool waits.
    let (sender, _told) = connect(&world.gateway(person(&[Role::Send])).await, &version).await;
    let handle = answer(&sender, "wait", json!({})).await.structured_content.unwrap();
    assert_eq!(handle["status"], "pending");
    let id = world.envelope().await.id;
    assert_eq!(handle["envelope_id"], json!(id));
    // Who may not see contents is told that it has succeeded.
    world.succeed(&id, &json!("secret")).await;
    let (both, _told) = connect(&world.gateway(person(&[Role::Send, Role::Read])).await, &version).await;
    let ending = async {
        let page = loop {
            let filter =
                asya_store::envelopes::Filter { statuses: vec![Status::Pending], ..Default::default() };
            let page = world.service.store().list(&filter, None, 1).await.unwrap();
            if !page.envelopes.is_empty() {
                break page;
            }
            tokio::task::yield_now().await;
        };
        world.succeed(&page.envelopes[0].id, &json!("secret")).await;
    };
    let (told, ()) = tokio::join!(answer(&both, "wait", json!({})), ending);
    assert!(!format!("{told:?}").contains("secret"));
    assert_eq!(told.structured_content.unwrap()["status"], "succeeded");
}
