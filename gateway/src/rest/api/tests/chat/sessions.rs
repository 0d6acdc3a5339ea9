//! What people may do with which sessions, and what is no request.

use asya_session::State;

use super::*;

#[tokio::test]
async fn only_the_role_chat_opens_sessions_and_only_approve_decides() {
    let world = world().await;
    let id = begun(&world, "hello").await;
    let actor = Actor::take(&world).await;
    let op = operation(&actor.propose(|_| {}).await).proposal;
    let paths = ["/agents".to_owned(), "/sessions".to_owned(), format!("/sessions/{id}")];
    let roles = Role::ALL;
    for role in roles {
        let app = of(&world, "ann", &[role]);
        let talks = matches!(role, Role::Chat | Role::Admin);
        let decides = matches!(role, Role::Approve | Role::Admin);
        for path in &paths {
            let status = get(&app, path).await.status;
            assert_eq!(status == StatusCode::OK, talks, "{role:?} {path} {status}");
            assert!(talks || status == StatusCode::FORBIDDEN, "{role:?} {path} {status}");
        }
        let begin = post(&app, "/sessions", &json!({"agent": "helper"})).await.status;
        assert_eq!(begin == StatusCode::CREATED, talks, "{role:?} {begin}");
        for path in ["/approvals".to_owned(), format!("/approvals/{}", op.id)] {
            let status = get(&app, &path).await.status;
            assert_eq!(status == StatusCode::OK, talks || decides, "{role:?} {path} {status}");
        }
        // With another hash nothing is decided: who may is told so.
        let decision = json!({"verdict": "reject", "hash": "0"});
        let status = post(&app, &format!("/approvals/{}", op.id), &decision).await.status;
        let expected = if decides { StatusCode::CONFLICT } else { StatusCode::FORBIDDEN };
        assert_eq!(status, expected, "{role:?}");
    }
}

#[tokio::test]
async fn sessions_of_others_are_unknown_until_they_are_shared_and_stay_their_owners() {
    on_each(async |world| {
        let id = begun(&world, "hello").await;
        let (ann, bob) = (ann(&world), of(&world, "bob", &[Role::Chat]));
        let session = format!("/sessions/{id}");
        let say = json!({"text": "let me in"});
        let everything = [
            (Method::GET, session.clone(), Value::Null),
            (Method::GET, format!("{session}/entries"), Value::Null),
            (Method::GET, format!("{session}/events"), Value::Null),
            (Method::GET, format!("{session}/export"), Value::Null),
            (Method::POST, format!("{session}/messages"), say.clone()),
            (Method::POST, format!("{session}/cancel"), json!({})),
            (Method::PATCH, session.clone(), json!({"shared": ["bob"]})),
            (Method::DELETE, session.clone(), Value::Null),
        ];
        for (method, path, body) in &everything {
            let answer = send(&bob, method.clone(), path, body).await;
            assert_eq!(answer.status, StatusCode::NOT_FOUND, "{method} {path}: {}", answer.text);
            assert_eq!(answer.json()["code"], "not_found");
        }
        assert_eq!(get(&bob, "/sessions").await.json()["sessions"], json!([]));
        let shared =
            send(&ann, Method::PATCH, &session, &json!({"shared": ["bob", "bob"], "title": "ours"})).await;
        assert_eq!((&shared.json()["shared"], &shared.json()["title"]), (&json!(["bob"]), &json!("ours")));
        assert_eq!(get(&bob, "/sessions").await.json()["sessions"][0]["id"], json!(id));
        assert_eq!(post(&bob, &format!("{session}/messages"), &say).await.status, StatusCode::ACCEPTED);
        for (method, body) in [(Method::PATCH, json!({"title": "mine"})), (Method::DELETE, Value::Null)] {
            assert_eq!(send(&bob, method, &session, &body).await.status, StatusCode::FORBIDDEN);
        }
        // Who may do everything sees all, where it asks for all.
        let admin = of(&world, "root", &[Role::Admin]);
        assert_eq!(get(&admin, "/sessions").await.json()["sessions"], json!([]));
        assert_eq!(get(&admin, "/sessions?all=true").await.json()["sessions"][0]["id"], json!(id));
        assert_eq!(get(&ann, "/sessions?all=true").await.status, StatusCode::FORBIDDEN);
    })
    .await;
}

#[tokio::test]
async fn what_is_no_request_is_refused_by_the_name_of_its_field_and_leaves_nothing() {
    let world = world().await;
    let app = ann(&world);
    let long = "x".repeat(64 * 1024 + 1);
    for (body, field) in [
        (json!({"agent": "nobody"}), "agent"),
        (json!({"agent": "helper", "colour": "red"}), "colour"),
        (json!({"message": "hello"}), "agent"),
        (json!({"agent": "helper", "title": ""}), "title"),
        (json!({"agent": "helper", "title": "two\nlines"}), "title"),
        (json!({"agent": "helper", "message": " "}), "text"),
        (json!({"agent": "helper", "message": long}), "text"),
        (json!({"agent": "helper", "options": {}}), "options"),
        (json!({"agent": "helper", "message": "a", "options": {"model": "x/two"}}), "options.model"),
        (json!({"agent": "helper", "message": "a", "options": {"temperature": 3}}), "options.temperature"),
        (json!({"agent": "helper", "message": "a", "options": {"top_p": 1}}), "options.top_p"),
    ] {
        let answer = post(&app, "/sessions", &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
        assert_eq!(answer.fields(), [field], "{}", answer.text);
    }
    assert_eq!(get(&app, "/sessions").await.json()["sessions"], json!([]));
    let id = begun(&world, "hello").await;
    let messages = format!("/sessions/{id}/messages");
    for (text, status) in [
        ("{".to_owned(), StatusCode::BAD_REQUEST),
        ("[\"hello\"]".to_owned(), StatusCode::BAD_REQUEST),
        (json!({"text": "a", "id": ""}).to_string(), StatusCode::BAD_REQUEST),
        (json!({"text": "x".repeat(8 << 20)}).to_string(), StatusCode::PAYLOAD_TOO_LARGE),
    ] {
        let answer = post_text(&app, &messages, text).await;
        assert_eq!(
            (answer.status, answer.kind.as_str()),
            (status, "application/problem+json"),
            "{}",
            answer.text
        );
    }
    for query in [
        "entries?from=0",
        "entries?limit=0",
        "entries?limit=201",
        "entries?from=x",
        "events?from=-1",
        "entries?x=1",
    ] {
        assert_eq!(
            get(&app, &format!("/sessions/{id}/{query}")).await.status,
            StatusCode::BAD_REQUEST,
            "{query}"
        );
    }
    for shared in [json!([""]), json!(["x".repeat(256)]), json!("bob")] {
        let answer = send(&app, Method::PATCH, &format!("/sessions/{id}"), &json!({"shared": shared})).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{}", answer.text);
    }
    let many: Vec<_> = (0..65).map(|number| format!("p{number}")).collect();
    let answer = send(&app, Method::PATCH, &format!("/sessions/{id}"), &json!({"shared": many})).await;
    assert_eq!((answer.status, answer.fields()), (StatusCode::BAD_REQUEST, vec!["shared".to_owned()]));
}

#[tokio::test]
async fn a_message_is_said_once_waits_while_a_turn_runs_and_comes_next() {
    on_each(async |world| {
        let app = ann(&world);
        let id = begun(&world, "one").await;
        let messages = format!("/sessions/{id}/messages");
        let first = Actor::take(&world).await;
        let two = json!({"text": "two", "id": "m-2", "options": {"model": "x/one"}});
        let answer = post(&app, &messages, &two).await;
        assert_eq!(
            (answer.status, answer.json()),
            (StatusCode::ACCEPTED, json!({"fate": "waiting", "waiting": 1}))
        );
        assert_eq!(post(&app, &messages, &two).await.json(), json!({"fate": "known"}));
        for number in 0..15 {
            assert_eq!(
                post(&app, &messages, &json!({"text": number.to_string()})).await.status,
                StatusCode::ACCEPTED
            );
        }
        let full = post(&app, &messages, &json!({"text": "too much"})).await;
        assert_eq!(full.status, StatusCode::CONFLICT, "{}", full.text);
        first.append(0, assistant("first", &[])).await;
        // Its turn has begun without anybody asking.
        let second = Actor::take(&world).await;
        assert_ne!(second.envelope.id, first.envelope.id);
        let entries = get(&app, &format!("/sessions/{id}/entries")).await.json()["entries"].clone();
        let texts: Vec<_> = entries.as_array().unwrap().iter().map(|entry| &entry["text"]).collect();
        assert_eq!(texts, ["one", "first", "two"]);
        assert_eq!(entries[2]["options"]["model"], "x/one");
        assert_eq!(post(&app, &messages, &two).await.json(), json!({"fate": "known"}));
        let session = get(&app, &format!("/sessions/{id}")).await.json();
        assert_eq!((&session["head"], session["waiting"].as_array().unwrap().len()), (&json!(3), 15));
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_is_cancelled_ends_with_a_notice_and_what_waits_is_begun_by_a_sweep() {
    on_each(async |world| {
        let app = ann(&world);
        let id = begun(&world, "one").await;
        let first = Actor::take(&world).await;
        post(&app, &format!("/sessions/{id}/messages"), &json!({"text": "two"})).await;
        let busy = send(&app, Method::DELETE, &format!("/sessions/{id}"), &Value::Null).await;
        assert_eq!(busy.status, StatusCode::CONFLICT, "{}", busy.text);
        let answer = post(&app, &format!("/sessions/{id}/cancel"), &json!({})).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        assert_eq!(answer.json()["state"], json!(State::Idle));
        // The handler that still runs learns it as any does, and its words come too late.
        assert!(world.service.is_cancelled(&first.envelope.id).await.unwrap());
        let late = json!({"before": answer.json()["hash"], "place": {"envelope": first.envelope.id, "hop": 0},
            "body": assistant("late", &[])});
        let path = format!("/sessions/{id}/entries/{}", answer.json()["head"].as_u64().unwrap() + 1);
        assert_eq!(first.ask(Method::POST, &path, &late).await.status, StatusCode::CONFLICT);
        world.service.begin_waiting().await.unwrap();
        world.service.begin_waiting().await.unwrap();
        let second = Actor::take(&world).await;
        second.append(0, assistant("done", &[])).await;
        let entries = get(&app, &format!("/sessions/{id}/entries")).await.json()["entries"].clone();
        let kinds: Vec<_> = entries.as_array().unwrap().iter().map(|entry| &entry["kind"]).collect();
        assert_eq!(kinds, ["user", "notice", "user", "assistant"]);
        assert_eq!(entries[1]["code"], "cancelled");
        let idle = post(&app, &format!("/sessions/{id}/cancel"), &json!({})).await;
        assert_eq!(idle.status, StatusCode::CONFLICT, "{}", idle.text);
        let gone = send(&app, Method::DELETE, &format!("/sessions/{id}"), &Value::Null).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT);
        assert_eq!(get(&app, &format!("/sessions/{id}")).await.status, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test]
async fn a_session_is_exported_as_markdown_however_long_it_is() {
    let world = world().await;
    let id = begun(&world, "how are you?").await;
    let actor = Actor::take(&world).await;
    for hop in 0..20 {
        actor.append(2 * hop, assistant("", &["k8s_read"])).await;
        actor.append(2 * hop + 1, result(&format!("answer {hop}"))).await;
    }
    let answer = get(&ann(&world), &format!("/sessions/{id}/export")).await;
    assert_eq!(answer.kind, "text/markdown; charset=utf-8");
    assert!(answer.text.starts_with("# how are you?\n"), "{}", answer.text);
    assert!(answer.text.contains("## 1. ann, ") && answer.text.contains("> how are you?"));
    for number in 0..20 {
        assert_eq!(answer.text.matches(&format!("\nanswer {number}\n")).count(), 1);
    }
}
