//! A whole turn, as an actor walks it.

use asya_session::Phase;

use super::*;

#[tokio::test]
async fn a_turn_goes_from_a_question_by_an_approval_to_an_answer_and_the_audit_log_knows_all() {
    on_each(async |world| {
        let (ann, boss) = (ann(&world), of(&world, "boss", &[Role::Approve]));
        let id = begun(&world, "scale web to three").await;
        let agent = Actor::take(&world).await;
        assert_eq!(agent.envelope.route.actors, ["helper"]);
        assert_eq!(agent.session(), id);
        agent.append(0, assistant("", &["k8s_write"])).await;
        // k8s-write has planned, approval hands over and is done.
        let op = operation(&agent.propose(|_| {}).await);
        let path = format!("/operations/{}", op.proposal.id);
        let hash = json!({"hash": op.proposal.hash});
        let early = agent.ask(Method::POST, &format!("{path}/claim"), &hash).await;
        assert_eq!(early.status, StatusCode::CONFLICT, "{}", early.text);
        let session = get(&ann, &format!("/sessions/{id}")).await.json();
        assert_eq!(session["state"], "input-required");

        let decision = json!({"verdict": "approve", "hash": op.proposal.hash});
        let decided = post(&boss, &format!("/approvals/{}", op.proposal.id), &decision).await;
        assert_eq!(operation(&decided).phase, Phase::Approved, "{}", decided.text);
        let writer = Actor::with(&world, world.published("k8s-write").await);
        let claim = async |body: &Value| writer.ask(Method::POST, &format!("{path}/claim"), body).await;
        assert_eq!(claim(&json!({"hash": "0"})).await.status, StatusCode::CONFLICT, "nothing else is done");
        assert_eq!(claim(&hash).await.json()["again"], false);
        assert_eq!(claim(&hash).await.json()["again"], true, "it is done once");
        let outcome = json!({"ok": true, "text": "scaled"});
        for _ in 0..2 {
            let told = writer.ask(Method::POST, &format!("{path}/outcome"), &outcome).await;
            assert_eq!(operation(&told).phase, Phase::Done, "{}", told.text);
        }
        agent.append(4, result("scaled")).await;
        agent.append(4 + 1, assistant("web has three replicas", &[])).await;

        let session = get(&ann, &format!("/sessions/{id}")).await.json();
        assert_eq!((&session["state"], &session["usage"]["output"]), (&json!("idle"), &json!(4)));
        let known = get(&ann, &format!("/approvals/{}", op.proposal.id)).await;
        assert_eq!(operation(&known).outcome.unwrap().text, "scaled");
        let audit = get(&of(&world, "root", &[Role::Admin]), "/audit").await.json();
        let mut told: Vec<_> = audit["entries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| (entry["action"].as_str().unwrap(), entry["who"].as_str().unwrap()))
            .collect();
        told.reverse();
        let account = "system:serviceaccount:team:helper";
        assert_eq!(
            told,
            [
                ("session.create", "ann"),
                ("session.say", "ann"),
                ("operation.propose", account),
                ("operation.approve", "boss"),
                ("operation.claim", account),
                ("operation.outcome", account),
            ]
        );
    })
    .await;
}
