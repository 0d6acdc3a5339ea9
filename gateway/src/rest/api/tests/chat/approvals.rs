//! Decisions: by whom, of what, how often, and what goes on.

use asya_session::{Phase, desk::APPROVED};

use super::*;
use crate::service::tests::chat;

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

#[tokio::test]
async fn an_approval_of_what_nobody_stands_for_any_more_is_a_rejection_that_says_so() {
    let mut world = world().await;
    // Zoe came by an identity provider, ann has a token that was handed out.
    let mut operations = Vec::new();
    for name in ["zoe", "ann"] {
        let app = of(&world, name, &[Role::Chat]);
        let begun = post(&app, "/sessions", &json!({"agent": "helper", "message": "scale it"})).await;
        assert_eq!(begun.status, StatusCode::CREATED, "{}", begun.text);
        operations.push(operation(&Actor::take(&world).await.propose(|_| {}).await));
    }
    // What was signed does not count any more: as after a day, so with another key.
    let folder = tempfile::tempdir().unwrap();
    world.service = world.service.clone().with_chat(chat(folder.path()));
    let app = boss(&world);
    let refused = decide(&app, &operations[0], "approve").await;
    assert_eq!(refused.status, StatusCode::CONFLICT, "{}", refused.text);
    assert!(refused.text.contains("sign in"), "{}", refused.text);
    let path = format!("/approvals/{}", operations[0].proposal.id);
    let now = operation(&get(&app, &path).await);
    assert_eq!(now.phase, Phase::Rejected);
    assert!(now.decision.unwrap().comment.contains("sign in"));
    assert_eq!(decide(&app, &operations[1], "approve").await.status, StatusCode::OK);
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
