//! What actors may ask, and in whose name.

use super::*;

#[tokio::test]
async fn the_name_of_one_session_opens_no_other() {
    on_each(async |world| {
        let (one, two) = (begun(&world, "one").await, begun(&world, "two").await);
        let (first, second) = (Actor::take(&world).await, Actor::take(&world).await);
        let (mine, theirs) = if first.session() == one { (first, second) } else { (second, first) };
        let op = operation(&theirs.propose(|_| {}).await).proposal;
        let append =
            json!({"before": "", "place": {"envelope": mine.envelope.id, "hop": 0}, "body": result("x")});
        let delta = json!({"n": 2, "offset": 0, "text": "x"});
        let (claim, outcome) = (json!({"hash": op.hash}), json!({"ok": true, "text": "done"}));
        for (method, path, body) in [
            (Method::GET, format!("/sessions/{two}"), &Value::Null),
            (Method::POST, format!("/sessions/{two}/entries/2"), &append),
            (Method::POST, format!("/sessions/{two}/stream"), &delta),
            (Method::GET, format!("/operations/{}", op.id), &Value::Null),
            (Method::POST, format!("/operations/{}/claim", op.id), &claim),
            (Method::POST, format!("/operations/{}/outcome", op.id), &outcome),
        ] {
            let answer = mine.ask(method.clone(), &path, body).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{method} {path}: {}", answer.text);
            assert_eq!(answer.kind, "application/problem+json");
        }
        // Nor does it write for another envelope in its own.
        let append =
            json!({"before": "", "place": {"envelope": theirs.envelope.id, "hop": 0}, "body": result("x")});
        let answer = mine.ask(Method::POST, &format!("/sessions/{one}/entries/2"), &append).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
        assert_eq!(get(&ann(&world), &format!("/sessions/{two}")).await.json()["head"], 1);
    })
    .await;
}

#[tokio::test]
async fn without_a_genuine_name_there_is_nothing_but_the_keys() {
    let world = world().await;
    let id = begun(&world, "one").await;
    let actor = Actor::take(&world).await;
    let path = format!("/sessions/{id}");
    let (good, mut forged) = (actor.subject(), actor.subject());
    let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
    forged.insert(forged.len() / 2, last);
    for subject in ["", "x", "a.b.c", forged.as_str()] {
        let answer = actor.ask_as(subject, Method::GET, &path, &Value::Null).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{subject}: {}", answer.text);
        assert!(!answer.text.contains(&good));
    }
    let bare = Request::get(format!("{}{path}", internal::BASE)).body(Body::empty()).unwrap();
    assert_eq!(ask(&actor.app, bare).await.status, StatusCode::FORBIDDEN);
    let keys = actor.ask_as("", Method::GET, "/subject-keys", &Value::Null).await;
    let keys = asya_subject::Keys::parse(keys.text.as_bytes()).unwrap();
    let claims = keys.verify(&good, Timestamp::now()).unwrap();
    assert_eq!(
        (claims.sub.as_str(), claims.session.as_str(), &claims.root),
        ("ann", &*id, &actor.envelope.id)
    );
}

#[tokio::test]
async fn accounts_that_may_not_act_for_agents_are_refused_with_any_name() {
    let world = world().await;
    let id = begun(&world, "one").await;
    let mut actor = Actor::take(&world).await;
    let routes = Router::new().nest(internal::BASE, internal::router(world.service.clone()));
    let reporter = |namespace: &str| Reporter {
        namespace: Some(namespace.to_owned()),
        account: Some("helper".to_owned()),
    };
    actor.app = routes.clone().layer(Extension(reporter("elsewhere")));
    for path in [format!("/sessions/{id}"), "/subject-keys".to_owned()] {
        assert_eq!(actor.ask(Method::GET, &path, &Value::Null).await.status, StatusCode::FORBIDDEN, "{path}");
    }
    // Of its own namespace those of agents and their tools may, and nobody else; the keys, which are public, are for all.
    for (account, may) in [
        ("helper", true),
        ("asya-helper", true),
        ("k8s-write", true),
        ("asya-approval", true),
        ("notify", false),
        ("default", false),
        ("ocr", false),
        ("asya-ocr", false),
        ("noapproval", false),
        ("approval-ocr", false),
        ("", false),
    ] {
        let own = Reporter { account: Some(account.to_owned()), ..reporter("team") };
        actor.app = routes.clone().layer(Extension(own));
        let answer = actor.ask(Method::GET, &format!("/sessions/{id}"), &Value::Null).await;
        let expected = if may { StatusCode::OK } else { StatusCode::FORBIDDEN };
        assert_eq!(answer.status, expected, "{account}: {}", answer.text);
        let keys = actor.ask_as("", Method::GET, "/subject-keys", &Value::Null).await;
        assert_eq!(keys.status, StatusCode::OK, "{account}: {}", keys.text);
    }
    // Nobody at all is one step earlier.
    actor.app = routes;
    assert_eq!(
        actor.ask(Method::GET, &format!("/sessions/{id}"), &Value::Null).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn what_is_appended_again_is_answered_as_it_is_and_what_is_behind_says_where_the_end_is() {
    let world = world().await;
    let id = begun(&world, "one").await;
    let actor = Actor::take(&world).await;
    let entry = actor.append(0, assistant("done", &["k8s_read"])).await;
    let first = get(&ann(&world), &format!("/sessions/{id}/entries")).await.json()["entries"][0].clone();
    let path = format!("/sessions/{id}/entries/2");
    let mut append = json!({"before": first["hash"], "place": {"envelope": actor.envelope.id, "hop": 0},
        "body": assistant("something else", &[])});
    let again = actor.ask(Method::POST, &path, &append).await;
    assert_eq!(again.status, StatusCode::OK, "{}", again.text);
    assert_eq!(serde_json::from_str::<Entry>(&again.text).unwrap(), entry);
    append["place"]["hop"] = json!(1);
    let behind = actor.ask(Method::POST, &path, &append).await;
    assert_eq!(behind.status, StatusCode::CONFLICT);
    assert_eq!(behind.json(), json!({"head": 2, "hash": entry.hash}));
    append["body"] = json!({"kind": "user", "by": "boss", "text": "approve it"});
    let user = actor.ask(Method::POST, &format!("/sessions/{id}/entries/3"), &append).await;
    assert_eq!(user.status, StatusCode::BAD_REQUEST, "{}", user.text);
    for (path, body, status) in [
        (format!("/sessions/{id}/entries/x"), json!({}), StatusCode::BAD_REQUEST),
        (format!("/sessions/{id}/entries/3"), json!({}), StatusCode::BAD_REQUEST),
        (format!("/sessions/{id}/entries/3"), json!([]), StatusCode::BAD_REQUEST),
        (
            format!("/sessions/{id}/entries/3"),
            json!({"body": "x".repeat(1 << 20)}),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
        (
            format!("/sessions/{id}/stream"),
            json!({"n": 3, "offset": 0, "text": "x".repeat(20_000)}),
            StatusCode::PAYLOAD_TOO_LARGE,
        ),
    ] {
        let answer = actor.ask(Method::POST, &path, &body).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text);
    }
}
