//! Messages that wait for a turn, and whose speakers are gone, or may not speak any more, when it begins.

use super::*;
use crate::{auth::Principal, service::chat::sessions::Message};

fn principal(name: &str, role: Role, until: Option<Timestamp>) -> Principal {
    Principal { until, groups: vec!["sre".to_owned()], ..Principal::named(name, Roles::from_iter([role])) }
}

/// A session of ann's with a turn that runs, shared with these.
async fn shared(world: &World, with: &[&str]) -> (String, Actor) {
    let id = begun(world, "hello").await;
    let shared = send(&ann(world), Method::PATCH, &format!("/sessions/{id}"), &json!({"shared": with})).await;
    assert_eq!(shared.status, StatusCode::OK, "{}", shared.text);
    (id, Actor::take(world).await)
}

async fn says(world: &World, who: &Principal, id: &str, text: &str) {
    let message = Message { text: text.to_owned(), ..Message::default() };
    world.service.say(who, id, message).await.unwrap();
}

/// Kinds of the entries from number `from` on.
async fn kinds(world: &World, id: &str, from: u64) -> Vec<String> {
    let entries = get(&ann(world), &format!("/sessions/{id}/entries?from={from}")).await.json();
    let kind = |entry: &Value| entry["code"].as_str().or(entry["kind"].as_str()).unwrap().to_owned();
    entries["entries"].as_array().unwrap().iter().map(kind).collect()
}

#[tokio::test]
async fn a_message_that_waited_is_heard_only_from_who_may_still_say_it() {
    let hour = SignedDuration::from_hours(1);
    let soon = Some(Timestamp::now() + hour);
    let now = Some(Timestamp::now());
    for (name, role, until, heard) in [
        // Known here, by a token that is still there.
        ("ann", Role::Chat, None, true),
        // Known here, once; it has no token any more.
        ("carl", Role::Chat, None, false),
        ("oidc:zoe", Role::Chat, soon, true),
        ("oidc:zoe", Role::Chat, now, false),
        // Not shared with them, and only administrators need not that.
        ("oidc:eve", Role::Admin, soon, true),
        ("oidc:eve", Role::Admin, now, false),
    ] {
        let world = world().await;
        let (id, actor) = shared(&world, &["carl", "oidc:zoe"]).await;
        says(&world, &principal(name, role, until), &id, "go on").await;
        actor.append(0, assistant("done", &[])).await;
        world.service.begin_waiting().await.unwrap();
        let found = kinds(&world, &id, 3).await;
        assert_eq!(found, [if heard { "user" } else { "not_heard" }], "{name} {role:?} {until:?}");
        if heard {
            let claims = Actor::take(&world).await.claims();
            assert_eq!(claims["sub"], name);
            // Of people of an identity provider the groups are those of when they spoke, of others those of now.
            let groups = if name == "ann" { json!([]) } else { json!(["sre"]) };
            assert_eq!(claims["groups"], groups, "{name}");
        }
    }
}

#[tokio::test]
async fn with_whom_a_session_is_not_shared_any_more_is_not_heard() {
    let world = world().await;
    let (id, actor) = shared(&world, &["oidc:zoe"]).await;
    let soon = Some(Timestamp::now() + SignedDuration::from_hours(1));
    says(&world, &principal("oidc:zoe", Role::Chat, soon), &id, "drop it all").await;
    says(&world, &principal("ann", Role::Chat, None), &id, "no, wait").await;
    send(&ann(&world), Method::PATCH, &format!("/sessions/{id}"), &json!({"shared": []})).await;
    actor.append(0, assistant("done", &[])).await;
    world.service.begin_waiting().await.unwrap();
    assert_eq!(kinds(&world, &id, 3).await, ["not_heard", "user"]);
    assert_eq!(Actor::take(&world).await.claims()["sub"], "ann");
}
