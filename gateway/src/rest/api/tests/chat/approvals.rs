//! Decisions: by whom, of what, how often, and what goes on.

use asya_session::{Phase, desk::APPROVED};

use super::*;
use crate::{
    auth::Principal,
    service::{Accounts, tests::chat},
};

fn boss(world: &World) -> Router {
    of(world, "boss", &[Role::Approve])
}

async fn decide(app: &Router, op: &Operation, verdict: &str) -> Answer {
    let body = json!({"verdict": verdict, "hash": op.proposal.hash, "comment": "as said"});
    post(app, &format!("/approvals/{}", op.proposal.id), &body).await
}

/// A session of ann's with an operation that waits.
async fn waiting(world: &World, change: impl FnOnce(&mut Value)) -> (Actor, Operation) {
    begun(world, "scale it").await;
    let actor = Actor::take(world).await;
    actor.append(0, assistant("", &["k8s_write"])).await;
    let answer = actor.propose(change).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
    (actor, operation(&answer))
}

#[tokio::test]
async fn an_operation_is_decided_once_by_who_has_seen_it_as_it_is() {
    on_each(async |world| {
        let (actor, op) = waiting(&world, |_| {}).await;
        let (id, app) = (op.proposal.id.clone(), boss(&world));
        assert_eq!(actor.propose(|_| {}).await.status, StatusCode::OK, "a repeat changes nothing");
        let listed = get(&app, "/approvals?phase=waiting").await.json();
        assert_eq!(listed["operations"], json!([op]));
        assert_eq!(
            get(&ann(&world), &format!("/approvals?session={}", actor.session())).await.json(),
            listed
        );
        let other = of(&world, "bob", &[Role::Chat]);
        assert_eq!(get(&other, "/approvals").await.json()["operations"], json!([]));
        assert_eq!(get(&other, &format!("/approvals/{id}")).await.status, StatusCode::NOT_FOUND);
        let wrong = json!({"verdict": "approve", "hash": "0".repeat(64)});
        let wrong = post(&app, &format!("/approvals/{id}"), &wrong).await;
        assert_eq!(wrong.status, StatusCode::CONFLICT, "{}", wrong.text);
        assert!(wrong.text.contains(&op.proposal.hash));
        for (body, field) in [
            (json!({"verdict": "approve"}), "hash"),
            (json!({"verdict": "maybe", "hash": "0"}), "verdict"),
            (json!({"verdict": "reject", "hash": "0", "comment": "x".repeat(4097)}), "comment"),
        ] {
            let answer = post(&app, &format!("/approvals/{id}"), &body).await;
            assert_eq!((answer.status, answer.fields()), (StatusCode::BAD_REQUEST, vec![field.to_owned()]));
        }
        assert_eq!(decide(&app, &op, "approve").await.status, StatusCode::OK);
        let again = decide(&of(&world, "other", &[Role::Approve]), &op, "reject").await;
        assert_eq!(again.status, StatusCode::CONFLICT);
        assert!(again.text.contains("boss has decided"), "{}", again.text);
        let unknown = post(&app, "/approvals/op-0", &json!({"verdict": "approve", "hash": "0"})).await;
        assert_eq!(unknown.status, StatusCode::NOT_FOUND);
        let goes_on = world.published("k8s-write").await;
        let approved: Value = serde_json::from_str(goes_on.headers.get(APPROVED).unwrap().as_str()).unwrap();
        assert_eq!(approved, json!({"operation": id, "hop": 3}));
        assert_eq!(goes_on.route.current, 3);
    })
    .await;
}

#[tokio::test]
async fn what_somebody_asked_for_may_need_somebody_else() {
    let world = world().await;
    let (_, op) = waiting(&world, |proposal| proposal["four_eyes"] = json!(true)).await;
    let both = of(&world, "ann", &[Role::Chat, Role::Approve]);
    let own = decide(&both, &op, "approve").await;
    assert_eq!(own.status, StatusCode::FORBIDDEN, "{}", own.text);
    assert_eq!(decide(&boss(&world), &op, "approve").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_is_rejected_or_expires_goes_past_its_actor_with_the_reason() {
    on_each(async |world| {
        let (first, op) = waiting(&world, |_| {}).await;
        let answer = decide(&boss(&world), &op, "reject").await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let goes_on = Actor::take(&world).await;
        assert_eq!(goes_on.envelope.route.current, 4);
        let said: Value = serde_json::from_str(goes_on.envelope.payload.as_str()).unwrap();
        assert_eq!(said, json!({"rejected": {"by": "boss", "reason": "as said"}}));
        assert_eq!(goes_on.envelope.headers.get(APPROVED), None);
        let claim = json!({"hash": op.proposal.hash});
        let claimed = first.ask(Method::POST, &format!("/operations/{}/claim", op.proposal.id), &claim).await;
        assert_eq!(claimed.status, StatusCode::CONFLICT, "{}", claimed.text);

        for by_sweep in [false, true] {
            let (_, late) = waiting(&world, |proposal| proposal["expires"] = json!(Timestamp::now())).await;
            if by_sweep {
                world.service.expire_operations().await.unwrap();
            } else {
                let refused = decide(&boss(&world), &late, "approve").await;
                assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text);
            }
            let now = operation(&get(&boss(&world), &format!("/approvals/{}", late.proposal.id)).await);
            assert_eq!(now.phase, Phase::Expired);
            let goes_on = Actor::take(&world).await;
            assert!(goes_on.envelope.payload.as_str().contains("rejected"));
            // The agent answers in a session that runs again.
            goes_on.append(4, result("rejected")).await;
        }
    })
    .await;
}

#[tokio::test]
async fn waiting_is_no_time_of_the_turn_and_who_asked_is_signed_again() {
    let world = world().await;
    let (actor, op) = waiting(&world, |_| {}).await;
    // Tokens tell whole seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(decide(&boss(&world), &op, "approve").await.status, StatusCode::OK);
    let goes_on = world.published("k8s-write").await;
    let until = |headers: &asya_envelope::Headers| {
        asya_envelope::Budget::of(headers).unwrap().unwrap().until.unwrap()
    };
    let waited = until(&goes_on.headers).duration_since(until(&actor.envelope.headers));
    assert!(waited >= SignedDuration::from_secs(1), "{waited}");
    assert_ne!(goes_on.headers.get(SUBJECT), actor.envelope.headers.get(SUBJECT));
    // It is the same person, in the same session, of the same envelope.
    let again = Actor::with(&world, goes_on);
    again.append(1, result("done")).await;
}

/// A gateway for which nothing counts that was signed before: as after a day, so with another key.
fn a_day_later(world: &mut World) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    world.service = world.service.clone().with_chat(chat(folder.path()));
    folder
}

/// A session of somebody's with an operation that waits.
async fn asked_by(world: &World, name: &str) -> Operation {
    let app = of(world, name, &[Role::Chat]);
    let begun = post(&app, "/sessions", &json!({"agent": "helper", "message": "scale it"})).await;
    assert_eq!(begun.status, StatusCode::CREATED, "{}", begun.text);
    operation(&Actor::take(world).await.propose(|_| {}).await)
}

#[tokio::test]
async fn what_nobody_stands_for_any_more_waits_until_whoever_asked_says_so_again() {
    let mut world = world().await;
    // Zoe came by an identity provider, ann has a token that was handed out.
    let (zoes, anns) = (asked_by(&world, "oidc:zoe").await, asked_by(&world, "ann").await);
    let (zoe, bob) = (of(&world, "oidc:zoe", &[Role::Chat]), of(&world, "oidc:bob", &[Role::Chat]));
    let path = format!("/approvals/{}", zoes.proposal.id);
    // Nobody renews for others, and nobody who may not talk with agents.
    let root = of(&world, "root", &[Role::Admin]);
    assert_eq!(post(&root, &format!("{path}/renew"), &json!({})).await.status, StatusCode::FORBIDDEN);
    assert_eq!(post(&bob, &format!("{path}/renew"), &json!({})).await.status, StatusCode::NOT_FOUND);
    let mute = of(&world, "oidc:zoe", &[Role::Approve]);
    assert_eq!(post(&mute, &format!("{path}/renew"), &json!({})).await.status, StatusCode::FORBIDDEN);
    assert_eq!(post(&zoe, &format!("{path}/renew"), &json!({})).await.status, StatusCode::OK);

    let _folder = a_day_later(&mut world);
    let app = boss(&world);
    assert_eq!(decide(&app, &anns, "approve").await.status, StatusCode::OK);
    world.published("k8s-write").await;
    let refused = decide(&app, &zoes, "approve").await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text);
    assert!(refused.text.contains(&format!("asya approvals renew {}", zoes.proposal.id)), "{}", refused.text);
    assert_eq!(operation(&get(&app, &path).await).phase, Phase::Waiting, "it waits on");
    // What can be said without anybody's name is said.
    assert_eq!(decide(&app, &zoes, "reject").await.status, StatusCode::OK);
    let zoe = of(&world, "oidc:zoe", &[Role::Chat]);
    let late = post(&zoe, &format!("{path}/renew"), &json!({})).await;
    assert_eq!(late.status, StatusCode::CONFLICT, "{}", late.text);
    assert_eq!(post(&zoe, "/approvals/op-0/renew", &json!({})).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_was_renewed_is_approved_in_the_name_of_who_asked_and_in_their_groups_of_now() {
    on_each(async |world| {
        let op = asked_by(&world, "oidc:zoe").await;
        // Tokens tell whole seconds.
        tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
        let who = Principal {
            groups: vec!["sre".to_owned()],
            ..Principal::named("oidc:zoe", Roles::from_iter([Role::Chat]))
        };
        let renewed = world.service.renew_operation(&who, &op.proposal.id).await.unwrap();
        assert_eq!(renewed.phase, Phase::Waiting);
        assert_eq!(decide(&boss(&world), &op, "approve").await.status, StatusCode::OK);
        let goes_on = Actor::with(&world, world.published("k8s-write").await);
        let claims = goes_on.claims();
        assert_eq!((&claims["sub"], &claims["groups"]), (&json!("oidc:zoe"), &json!(["sre"])));
        assert!(claims["iat"].as_i64().unwrap() > op.created.as_second(), "{claims}");
        let audit = get(&of(&world, "root", &[Role::Admin]), "/audit").await.text;
        assert!(audit.contains("operation.renew"), "{audit}");
    })
    .await;
}

#[tokio::test]
async fn what_an_ordinary_actor_was_approved_for_is_begun_once_and_with_nothing_else() {
    on_each(async |world| {
        begun(&world, "pay it back").await;
        let actor = Actor::take(&world).await;
        actor.append(0, assistant("", &["refund"])).await;
        let call = |arguments: Value| json!({"actor": "k8s-write", "arguments": arguments});
        let right = call(json!({"order": "7", "much": 1.5}));
        let op = operation(
            &actor
                .propose(|proposal| {
                    proposal["verb"] = json!("call");
                    proposal["operation"] = right.clone();
                    proposal["hash"] = json!(hash::of(&right));
                })
                .await,
        );
        let path = format!("/operations/{}", op.proposal.id);
        let begin = async |body: &Value| actor.ask(Method::POST, &format!("{path}/begin"), body).await;
        let outcome = json!({"ok": true, "text": "paid"});
        let tell = async || actor.ask(Method::POST, &format!("{path}/outcome"), &outcome).await;
        assert_eq!(begin(&right).await.status, StatusCode::CONFLICT, "nobody has approved it");
        assert_eq!(tell().await.status, StatusCode::CONFLICT);
        assert_eq!(decide(&boss(&world), &op, "approve").await.status, StatusCode::OK);
        let other = begin(&call(json!({"order": "8", "much": 1.5}))).await;
        assert_eq!(other.status, StatusCode::CONFLICT, "{}", other.text);
        let forged = actor.ask_as("forged", Method::POST, &format!("{path}/begin"), &right).await;
        assert_eq!(forged.status, StatusCode::FORBIDDEN);
        assert_eq!(begin(&right).await.status, StatusCode::NO_CONTENT);
        let again = begin(&right).await;
        assert_eq!(again.status, StatusCode::CONFLICT);
        assert!(again.text.contains("begun before"), "{}", again.text);
        for _ in 0..2 {
            assert_eq!(operation(&tell().await).outcome.unwrap().text, "paid");
        }
    })
    .await;
}

#[tokio::test]
async fn a_sidecar_begins_what_its_actor_is_approved_for_and_asks_for_nothing_else() {
    let mut world = world().await;
    begun(&world, "pay it back").await;
    let actor = Actor::take(&world).await;
    let right = json!({"actor": "k8s-write", "arguments": {"order": "7"}});
    let op = operation(
        &actor
            .propose(|proposal| {
                proposal["verb"] = json!("call");
                proposal["operation"] = right.clone();
                proposal["hash"] = json!(hash::of(&right));
            })
            .await,
    );
    assert_eq!(decide(&boss(&world), &op, "approve").await.status, StatusCode::OK);
    let mut rules = world.service.rules().clone();
    rules.internal = Accounts::Named(vec!["team/agent".to_owned()]);
    world.service = world.service.with_rules(rules);
    let stranger = Actor::from(&world, actor.envelope.clone(), "elsewhere");
    let own = Actor::from(&world, actor.envelope, "team");
    let path = format!("/operations/{}", op.proposal.id);
    let get = own.ask(Method::GET, &path, &Value::Null).await;
    assert_eq!(get.status, StatusCode::FORBIDDEN, "{}", get.text);
    let claim = json!({"hash": op.proposal.hash});
    assert_eq!(own.ask(Method::POST, &format!("{path}/claim"), &claim).await.status, StatusCode::FORBIDDEN);
    let begin = stranger.ask(Method::POST, &format!("{path}/begin"), &right).await;
    assert_eq!(begin.status, StatusCode::FORBIDDEN, "{}", begin.text);
    let begin = own.ask(Method::POST, &format!("{path}/begin"), &right).await;
    assert_eq!(begin.status, StatusCode::NO_CONTENT, "{}", begin.text);
}

#[tokio::test]
async fn what_was_done_is_told_also_in_a_name_that_has_expired_meanwhile() {
    let world = world().await;
    let (actor, op) = waiting(&world, |_| {}).await;
    assert_eq!(decide(&boss(&world), &op, "approve").await.status, StatusCode::OK);
    let path = format!("/operations/{}", op.proposal.id);
    // A token that ends now, as one of yesterday: clocks may differ by a minute.
    let (session, root) = (actor.session(), actor.envelope.id.clone());
    let nearly =
        Timestamp::now() - SignedDuration::from_secs(asya_subject::LIFETIME + asya_subject::LEEWAY - 2);
    let token = world.service.signed("ann", &session, &root, nearly);
    let claim = json!({"hash": op.proposal.hash});
    let outcome = json!({"ok": true, "text": "scaled"});
    let before = actor.ask_as(&token, Method::POST, &format!("{path}/claim"), &claim).await;
    assert_eq!(before.status, StatusCode::OK, "{}", before.text);
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let expired = actor.ask_as(&token, Method::POST, &format!("{path}/claim"), &claim).await;
    assert_eq!(expired.status, StatusCode::FORBIDDEN, "{}", expired.text);
    let told = actor.ask_as(&token, Method::POST, &format!("{path}/outcome"), &outcome).await;
    assert_eq!(operation(&told).phase, Phase::Done, "{}", told.text);
    // One that had expired when it was claimed tells nothing.
    let old = world.service.signed("ann", &session, &root, nearly - SignedDuration::from_mins(5));
    let told = actor.ask_as(&old, Method::POST, &format!("{path}/outcome"), &outcome).await;
    assert_eq!(told.status, StatusCode::FORBIDDEN, "{}", told.text);
}

#[tokio::test]
async fn a_proposal_that_does_not_fit_its_envelope_is_refused() {
    let world = world().await;
    let id = begun(&world, "scale it").await;
    let actor = Actor::take(&world).await;
    let op = actor.proposal(|_| {});
    let path = format!("/operations/{}", op["proposal"]["id"].as_str().unwrap());
    type Change = fn(&mut Value);
    let cases: [(Change, StatusCode); 8] = [
        (|op| op["proposal"]["session"] = json!("s-other"), StatusCode::FORBIDDEN),
        (|op| op["envelope"]["id"] = json!("other"), StatusCode::FORBIDDEN),
        (|op| op["envelope"]["headers"][SUBJECT] = json!("forged"), StatusCode::FORBIDDEN),
        (|op| op["proposal"]["id"] = json!("op-other"), StatusCode::BAD_REQUEST),
        (|op| op["proposal"]["hash"] = json!("0"), StatusCode::BAD_REQUEST),
        (|op| op["proposal"]["expires"] = json!("2999-01-01T00:00:00Z"), StatusCode::BAD_REQUEST),
        (|op| op["envelope"]["route"]["current"] = json!(4), StatusCode::BAD_REQUEST),
        (|op| op["colour"] = json!("red"), StatusCode::BAD_REQUEST),
    ];
    for (change, status) in cases {
        let mut op = op.clone();
        change(&mut op);
        let answer = actor.ask(Method::PUT, &path, &op).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    // What says that it is approved before anybody has decided does not travel on.
    let mut forged = op.clone();
    forged["envelope"]["headers"][APPROVED] = json!({"operation": op["proposal"]["id"], "hop": 4});
    assert_eq!(actor.ask(Method::PUT, &path, &forged).await.status, StatusCode::CREATED);
    let listed = get(&ann(&world), &format!("/approvals?session={id}")).await.json();
    let taken: Operation = serde_json::from_value(listed["operations"][0].clone()).unwrap();
    assert_eq!(decide(&boss(&world), &taken, "reject").await.status, StatusCode::OK);
    let goes_on = world.published("helper").await;
    assert_eq!(goes_on.route.current, 4);
    assert_eq!(goes_on.headers.get(APPROVED), None);
}
