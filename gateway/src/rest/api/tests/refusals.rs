//! What is wrong is refused as a problem that names the field, and leaves nothing behind.

use super::*;

#[tokio::test]
async fn bodies_are_refused_with_the_name_of_the_field() {
    let world = world().await;
    let app = app(&world, &[Role::Admin]);
    let id = sent(&app, &json!(1)).await;
    for (path, body, field) in [
        ("/envelopes", r#"{"payload": 1}"#, "route"),
        ("/envelopes", r#"{"route": ["split"]}"#, "payload"),
        ("/envelopes", r#"{"route": 7, "payload": 1}"#, "route"),
        ("/envelopes", r#"{"route": ["split", 7], "payload": 1}"#, "route.1"),
        ("/envelopes", r#"{"route": [], "payload": 1}"#, "route"),
        ("/envelopes", r#"{"route": "split,", "payload": 1}"#, "route.1"),
        ("/envelopes", r#"{"route": "UPPER", "payload": 1}"#, "route.0"),
        ("/envelopes", r#"{"route": "split", "payload": 1, "colour": 1}"#, "colour"),
        ("/envelopes", r#"{"route": "split", "payload": 1, "headers": []}"#, "headers"),
        ("/envelopes", r#"{"route": "split", "payload": 1, "timeout_seconds": 0}"#, "timeout_seconds"),
        ("/envelopes", r#"{"route": "split", "payload": 1, "timeout_seconds": -1}"#, "timeout_seconds"),
        ("/envelopes", r#"{"route": "split", "payload": 1, "id": ""}"#, "id"),
        ("/envelopes", r#"{"route": "split", "payload": 1"#, ""),
        ("/envelopes", r#"{"route": "split", "payload": 1} {}"#, ""),
        ("/envelopes", "", ""),
        ("/envelopes", "[1]", ""),
        ("/envelopes/ID/cancel", r#"{"reason": 7}"#, "reason"),
        ("/envelopes/ID/cancel", r#"{"why": "x"}"#, "why"),
        ("/envelopes/ID/resubmit", r#"{"current": 2}"#, "current"),
        ("/envelopes/ID/resubmit", r#"{"current": "2"}"#, "current"),
        ("/tools/ocr", r#"{"arguments": {}}"#, "page"),
        ("/tools/ocr", r#"{"arguments": {"page": "one"}}"#, "page"),
        ("/tools/ocr", r#"{"arguments": [1]}"#, "arguments"),
        ("/tools/ocr?wait=301", r#"{"arguments": {"page": 1}}"#, "wait"),
        ("/tools/ocr?wait=soon", r#"{"arguments": {"page": 1}}"#, "wait"),
        ("/dead-letters/replay", "{}", "ids"),
        ("/dead-letters/replay", r#"{"ids": ["1"], "filter": {}}"#, "ids"),
        ("/dead-letters/delete", r#"{"ids": []}"#, "ids"),
        ("/dead-letters/delete", r#"{"filter": [null, null, null, null, null, null]}"#, "filter"),
        ("/dead-letters/delete", r#"{"filter": {"actr": "read"}}"#, "filter.actr"),
        ("/dead-letters/delete", r#"{"filter": {"since": "yesterday"}}"#, "filter.since"),
    ] {
        let answer = post_text(&app, &path.replace("ID", &id), body.to_owned()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path} {body}: {}", answer.text);
        assert_eq!(answer.kind, "application/problem+json");
        assert_eq!(answer.json()["code"], "invalid");
        assert_eq!(answer.fields(), [field], "{path} {body}: {}", answer.text);
    }
    assert_eq!(get(&app, "/envelopes").await.json()["envelopes"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn queries_are_refused_with_the_name_of_the_key() {
    let world = world().await;
    let app = app(&world, &[Role::Admin]);
    let id = sent(&app, &json!(1)).await;
    for (path, field) in [
        ("/envelopes?colour=red", "colour"),
        ("/envelopes?limit=0", "limit"),
        ("/envelopes?limit=1001", "limit"),
        ("/envelopes?limit=ten", "limit"),
        ("/envelopes?limit=5&limit=6", "limit"),
        ("/envelopes?status=lost", "status"),
        ("/envelopes?status=", "status"),
        ("/envelopes?since=yesterday", "since"),
        ("/envelopes?after=first", "after"),
        ("/envelopes?q=%00", "q"),
        ("/dead-letters?after=eA", "after"),
        ("/dead-letters?replayed=perhaps", "replayed"),
        ("/dead-letters?source=moon", "source"),
        ("/audit?after=x", "after"),
        ("/envelopes/ID/updates?after=-1", "after"),
        ("/envelopes/ID/updates?after=9223372036854775808", "after"),
        ("/envelopes/ID/events?after=x", "after"),
        ("/envelopes/%FF", "id"),
        ("/envelopes/%00", "id"),
    ] {
        let answer = get(&app, &path.replace("ID", &id)).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}: {}", answer.text);
        assert_eq!(answer.fields(), [field], "{path}: {}", answer.text);
    }
}

#[tokio::test]
async fn what_does_not_exist_or_fit_is_a_problem_too() {
    let world = world().await;
    let app = app(&world, &[Role::Admin]);
    for path in ["", "/updates", "/events", "/socket"] {
        let answer = get(&app, &format!("/envelopes/nobody{path}")).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (StatusCode::NOT_FOUND, &json!("not_found")),
            "{path}"
        );
    }
    for path in ["/tools/orc", "/dead-letters/nobody", "/nowhere"] {
        assert_eq!(get(&app, path).await.json()["code"], "not_found", "{path}");
    }
    for path in ["/envelopes/nobody/cancel", "/envelopes/nobody/resubmit", "/tools/orc"] {
        assert_eq!(post(&app, path, &json!({})).await.json()["code"], "not_found", "{path}");
    }
    let id = sent(&app, &json!(1)).await;
    let socket = get(&app, &format!("/envelopes/{id}/socket")).await;
    assert_eq!(
        (socket.status, &socket.json()["code"]),
        (StatusCode::UPGRADE_REQUIRED, &json!("upgrade_required"))
    );
    let method = ask(&app, Request::delete("/api/v1/envelopes").body(Body::empty()).unwrap()).await;
    assert_eq!(method.json()["code"], "method_not_allowed");
    let form = Request::post("/api/v1/envelopes").header("content-type", "application/x-www-form-urlencoded");
    let form = ask(&app, form.body("{}".into()).unwrap()).await;
    assert_eq!(form.json()["code"], "unsupported_media_type");
    let long = json!({"route": "split", "payload": "x".repeat(world.service.rules().limits.max_envelope)});
    let large = post(&app, "/envelopes", &long).await;
    assert_eq!((large.status, &large.json()["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("too_large")));
    let larger = post_text(&app, "/envelopes", long.to_string().repeat(2)).await;
    assert_eq!((larger.status, &larger.json()["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("too_large")));
}

#[tokio::test]
async fn each_route_needs_its_role() {
    let world = world().await;
    let id = sent(&app(&world, &[Role::Admin]), &json!(1)).await;
    let nobody = app(&world, &[]);
    for path in ["", "/updates", "/events", "/socket"]
        .map(|path| format!("/envelopes/{id}{path}"))
        .iter()
        .map(String::as_str)
        .chain([
            "/actors",
            "/envelopes",
            "/counts",
            "/tools",
            "/tools/ocr",
            "/dead-letters",
            "/dead-letters/groups",
        ])
        .chain(["/dead-letters/1", "/audit"])
    {
        let answer = get(&nobody, path).await;
        assert_eq!(
            (answer.status, &answer.json()["code"]),
            (StatusCode::FORBIDDEN, &json!("denied")),
            "{path}"
        );
    }
    let reader = app(&world, &[Role::Read, Role::Payload]);
    for (path, body) in [
        ("/envelopes", json!({"route": "split", "payload": 1})),
        ("/tools/ocr", json!({"arguments": {"page": 1}})),
        (&*format!("/envelopes/{id}/cancel"), json!({})),
        (&*format!("/envelopes/{id}/resubmit"), json!({})),
        ("/dead-letters/replay", json!({"filter": {}})),
        ("/dead-letters/delete", json!({"filter": {}})),
    ] {
        assert_eq!(post(&reader, path, &body).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(get(&reader, "/audit").await.status, StatusCode::FORBIDDEN);
    let sender = app(&world, &[Role::Send]);
    assert_eq!(get(&sender, "/envelopes").await.status, StatusCode::FORBIDDEN);
    for path in ["/tools", "/tools/ocr"] {
        assert_eq!(get(&sender, path).await.status, StatusCode::OK, "{path}");
    }
    assert_eq!(get(&nobody, "/info").await.json()["principal"]["roles"], json!([]));
}

#[tokio::test]
async fn a_request_that_went_through_no_authentication_is_refused() {
    let world = world().await;
    let bare = Router::new().nest("/api/v1", super::super::router(world.service.clone(), Arc::new(Known)));
    let answer = get(&bare, "/envelopes").await;
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (StatusCode::UNAUTHORIZED, &json!("unauthenticated"))
    );
    assert_eq!(get(&bare, "/openapi.json").await.status, StatusCode::OK);
}
