//! Conversations.

use super::*;
use crate::{
    rest::api::tests::chat::{Actor, assistant, operation, result},
    service::tests::on_each,
    ws::door::ASYA_V0,
};
use axum::http::Method;

/// What the reference's page sends with each message.
fn shipped(input: &str) -> Value {
    json!({"id": 1, "author": "User", "input": input, "toolConfig": {"maxTokens": 1000, "modelName": "gpt-4o",
        "temperature": 0.7, "chat": true, "runOpts": {"workspace": "/"}}})
}

/// A piece of the entry that is being written.
async fn piece(actor: &Actor, n: u64, offset: u64, text: &str) {
    let path = format!("/sessions/{}/stream", actor.session());
    let delta = json!({"n": n, "offset": offset, "text": text});
    actor.ask(Method::POST, &path, &delta).await;
}

#[tokio::test]
async fn what_the_reference_says_is_a_session_like_every_other() {
    on_each(async |world| {
        let house = House::new(world, Kind::default()).await;
        let mut socket = house.as_who("anna", "/ws/", "").await;
        assert_eq!(socket.form, "");
        socket.is_there().await;
        socket.say(&shipped("why is the shop slow?")).await;
        let (first, second) = (socket.event("CallProgress").await, socket.event("CallProgress").await);
        let notice = |told: &Value| told["output"]["message"]["text"].as_str().unwrap().to_owned();
        assert!(notice(&first).contains("gpt-4o") && notice(&second).contains("runOpts"), "{first} {second}");
        let id = first["session"].as_str().unwrap().to_owned();

        let actor = Actor::take(&house.world).await;
        assert_eq!(actor.session(), id);
        actor.append(0, assistant("I look.", &["k8s_read"])).await;
        let calls = socket.event("CallContinue").await;
        assert_eq!(calls["output"]["message"]["calls"][0]["name"], "k8s_read", "{calls}");
        actor.append(1, result("three of four pods are not ready")).await;
        let answer = socket.event("CallFinish").await;
        assert_eq!(answer["output"]["message"]["text"], "three of four pods are not ready");
        piece(&actor, 4, 0, "It has").await;
        let delta = socket.until(|told| told["output"]["message"]["type"] == "delta").await;
        assert_eq!(delta["output"]["message"]["text"], "It has");
        actor.append(2, assistant("It has no memory.", &[])).await;
        let initial = socket.event("Initial").await;
        assert_eq!(initial["output"]["message"], "It has no memory.");
        assert_eq!((&initial["author"], &initial["entry"]), (&json!("System"), &json!(4)));
        assert!(initial["id"].as_i64().is_some_and(|id| id > 1_600_000_000_000), "{initial}");

        socket.say(&shipped("and now?")).await;
        let actor = Actor::take(&house.world).await;
        actor.append(0, assistant("Now it has some.", &[])).await;
        assert_eq!(socket.event("Next").await["output"]["message"], "Now it has some.");
        let (_, sessions) = house.ask("anna", "GET /api/v1/sessions").await;
        assert_eq!(sessions["sessions"][0]["id"], id.as_str());
        assert_eq!(sessions["sessions"][0]["owner"], "anna");
        let (_, entries) = house.ask("anna", &format!("GET /api/v1/sessions/{id}/entries")).await;
        let options = &entries["entries"][0]["options"];
        assert_eq!(options, &json!({"max_tokens": 1000, "temperature": 0.7}), "the model is not taken");
    })
    .await;
}

#[tokio::test]
async fn who_comes_back_gets_what_was_missed_and_nobody_else_does() {
    let house = House::new(crate::service::tests::world().await, Kind::default()).await;
    let mut socket = house.as_who("anna", "/ws/?agent=helper", ASYA_V0).await;
    socket.say(&json!({"input": "one", "toolConfig": {}})).await;
    let id = socket.event("CallProgress").await["session"].as_str().unwrap().to_owned();
    drop(socket);
    let actor = Actor::take(&house.world).await;
    actor.append(0, assistant("first", &[])).await;
    // Nobody looked: it is there all the same.
    let mut socket = house.as_who("anna", &format!("/ws/?session={id}&from=2"), ASYA_V0).await;
    assert_eq!(socket.event("Initial").await["output"]["message"], "first");
    socket.say(&json!({"input": "two"})).await;
    Actor::take(&house.world).await.append(0, assistant("second", &[])).await;
    assert_eq!(socket.event("Next").await["entry"], 4);
    let mut socket = house.as_who("anna", &format!("/ws/?session={id}&from=4"), ASYA_V0).await;
    assert_eq!(socket.event("Next").await["output"]["message"], "second");
    for wrong in
        [format!("/ws/?session={id}"), "/ws/?session=s-none".to_owned(), "/ws/?session=%00".to_owned()]
    {
        let bearer = format!("Bearer {}", token("benn"));
        let (status, _) = house.dial(&wrong, &[("authorization", &bearer)]).await.err().unwrap();
        assert!([404, 400].contains(&status), "{wrong}: {status}");
    }
    // It is deleted: the client is told, and may begin another.
    assert_eq!(house.ask("anna", &format!("DELETE /api/v1/sessions/{id}")).await.0, 204);
    assert_eq!(socket.event("Close").await["session"], id.as_str());
    socket.say(&json!({"input": "three"})).await;
    let other = socket.event("CallProgress").await["session"].as_str().unwrap().to_owned();
    assert_ne!(other, id);
}

#[tokio::test]
async fn the_versioned_form_has_all_of_a_turn_an_approval_and_a_place_to_go_on_from() {
    on_each(async |world| {
        let house = House::new(world, Kind::default()).await;
        let (mut anna, mut carl) = (house.v1("anna").await, house.v1("carl").await);
        assert_eq!(anna.form, ASYA_V1);
        let none = anna.answer(json!({"type": "say", "text": "hello?"}), "0").await;
        assert_eq!((&none["type"], &none["data"]["code"]), (&json!("error"), &json!("conflict")));
        let begin = json!({"type": "begin", "agent": "helper", "message": "scale web", "title": "web"});
        let begun = anna.answer(begin, "1").await;
        assert_eq!((&begun["type"], &begun["data"]["title"]), (&json!("begun"), &json!("web")));
        let id = begun["data"]["id"].as_str().unwrap().to_owned();
        assert_eq!(anna.until(|told| told["type"] == "entry").await["data"]["n"], 1);
        // The same message is said once, and waits for the turn that runs.
        let say = json!({"type": "say", "text": "and db", "id": "x"});
        assert_eq!(anna.answer(say.clone(), "2").await["data"]["fate"], "waiting");
        let actor = Actor::take(&house.world).await;
        actor.append(0, assistant("", &["k8s_write"])).await;
        let op = operation(&actor.propose(|_| {}).await).proposal;
        let told = anna.until(|told| told["type"] == "operation").await;
        assert_eq!((&told["data"]["id"], &told["data"]["phase"]), (&json!(op.id), &json!("waiting")));
        anna.until(|told| told["type"] == "session" && told["data"]["state"] == "input-required").await;

        let decide = |hash: &str| {
            json!({"type": "decide", "operation": op.id, "verdict": "approve", "hash": hash, "comment": "fine"})
        };
        let may_not = anna.answer(decide(&op.hash), "3").await;
        assert_eq!(may_not["data"]["code"], "denied", "{may_not}");
        assert_eq!(carl.answer(decide("00"), "1").await["data"]["code"], "conflict");
        let decided = carl.answer(decide(&op.hash), "2").await;
        assert_eq!((&decided["type"], &decided["data"]["phase"]), (&json!("decided"), &json!("approved")));
        anna.until(|told| told["type"] == "operation" && told["data"]["phase"] == "approved").await;
        // The connection breaks, and somebody comes back to where it was.
        drop(anna);
        actor.append(3, result("scaled")).await;
        let mut anna = house.v1("anna").await;
        let follow = json!({"type": "follow", "session": id, "from": 3});
        assert_eq!(anna.answer(follow, "1").await["type"], "following");
        let entry = anna.until(|told| told["type"] == "entry").await;
        assert_eq!((&entry["data"]["n"], &entry["data"]["text"]), (&json!(3), &json!("scaled")));
        anna.until(|told| told["type"] == "session").await;
        piece(&actor, 4, 0, "Do").await;
        let delta = anna.until(|told| told["type"] == "delta").await;
        assert_eq!(delta["data"], json!({"n": 4, "offset": 0, "text": "Do"}));
        actor.append(4, assistant("Done", &[])).await;
        assert_eq!(anna.until(|told| told["type"] == "entry").await["data"]["n"], 4);
        // What waited is the next turn; it is cancelled.
        assert_eq!(anna.until(|told| told["type"] == "entry").await["data"]["text"], "and db");
        assert_eq!(anna.answer(json!({"type": "cancel"}), "2").await["type"], "cancelled");
        let notice = anna.until(|told| told["data"]["kind"] == "notice").await;
        assert_eq!(notice["data"]["n"], 6, "{notice}");
        let stranger = carl.answer(json!({"type": "follow", "session": id}), "3").await;
        assert_eq!(stranger["data"]["code"], "not_found");
    })
    .await;
}
