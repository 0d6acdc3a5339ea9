//! Each route does what it says.

use std::time::Duration;

use asya_envelope::{Envelope, ErrorReport, Limits, Raw, Route, Wrapped};
use asya_store::envelopes::{DeadLetter, Ending, Report, Step};
use jiff::Timestamp;

use super::*;
use crate::service::Reporter;

const TRUSTED: Reporter = Reporter { namespace: None, account: None };

fn step(step: Step, current: usize) -> Report {
    Report {
        actors: vec!["split".to_owned(), "read".to_owned()],
        current,
        actor: Some(["split", "read"][current].to_owned()),
        step,
        message: None,
        fraction: None,
        attempt: 1,
        seq: step as u32 + 1,
        duration: (step == Step::Completed).then(|| Duration::from_millis(42)),
        size: None,
        offspring: Default::default(),
    }
}

#[tokio::test]
async fn an_envelope_is_sent_looked_at_and_listed() {
    on_each(async |world| {
    let app = app(&world, &[Role::Admin]);
    let new = json!({"id": "order/7", "route": "split, read", "payload": {"page": 1}, "headers": {"tenant": "t"},
        "timeout_seconds": 60});
    let answer = post(&app, "/envelopes", &new).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{}", answer.text);
    let handle = answer.json();
    assert_eq!(handle["status_url"], "/api/v1/envelopes/order%2F7");
    assert_eq!(post(&app, "/envelopes", &new).await.status, StatusCode::OK, "the same again");
    let other = json!({"id": "order/7", "route": ["split"], "payload": 2});
    assert_eq!(post(&app, "/envelopes", &other).await.status, StatusCode::CONFLICT);
    for (at, current) in [(Step::Received, 0), (Step::Completed, 0), (Step::Received, 1)] {
        world.service.progress(&TRUSTED, "order/7", &step(at, current)).await.unwrap();
    }
    let envelope = get(&app, "/envelopes/order%2F7").await.json();
    assert_eq!(envelope["actors"], json!(["split", "read"]));
    assert_eq!((&envelope["payload"], &envelope["contents"]), (&json!({"page": 1}), &json!(true)));
    assert_eq!(envelope["headers"], json!({"tenant": "t"}));
    assert_eq!(envelope["timeout_seconds"], 60);
    assert_eq!(envelope["children"]["running"], 0);
    let hops = &envelope["hops"];
    assert_eq!((&hops[0]["actor"], &hops[0]["status"]), (&json!("split"), &json!("completed")));
    assert_eq!((&hops[0]["duration_ms"], &hops[0]["attempts"]), (&json!(42), &json!(1)));
    assert_eq!((&hops[1]["actor"], &hops[1]["status"]), (&json!("read"), &json!("received")));
    assert_eq!(hops.as_array().unwrap().len(), 2);
    let updates = get(&app, "/envelopes/order%2F7/updates").await.json();
    let updates = updates["updates"].as_array().unwrap();
    let known = updates[updates.len() - 2]["seq"].as_i64().unwrap();
    let rest = get(&app, &format!("/envelopes/order%2F7/updates?after={known}&limit=5")).await.json();
    assert_eq!(rest["updates"], json!([updates.last().unwrap()]));
    let found = get(&app, "/envelopes?status=running,pending&q=ORDER&actor=read").await.json();
    assert_eq!((&found["envelopes"][0]["id"], &found["next"]), (&json!("order/7"), &Value::Null));
    assert_eq!(get(&app, "/envelopes?status=failed").await.json()["envelopes"], json!([]));
    assert_eq!(get(&app, "/counts").await.json()["running"], 1);

        // The last actor has handled the envelope, even if it never gets to say so.
        let end = Ending::Succeeded { result: None, stored_at: None };
        world.service.finish(&TRUSTED, "order/7", &end).await.unwrap();
        let hops = &get(&app, "/envelopes/order%2F7").await.json()["hops"];
        assert_eq!((&hops[1]["actor"], &hops[1]["status"]), (&json!("read"), &json!("completed")));
        assert!(hops[1]["ended_at"].is_string());
    })
    .await;
}

#[tokio::test]
async fn reports_that_the_end_has_overtaken_are_told_as_the_way_of_the_envelope() {
    on_each(async |world| {
        let app = app(&world, &[Role::Admin]);
        for status in ["succeeded", "failed"] {
            let new = json!({"id": status, "route": "split, read", "payload": 1});
            assert_eq!(post(&app, "/envelopes", &new).await.status, StatusCode::ACCEPTED);
            let path = format!("/envelopes/{status}");
            if status == "succeeded" {
                let end = Ending::Succeeded { result: None, stored_at: None };
                world.service.finish(&TRUSTED, status, &end).await.unwrap();
            } else {
                world.service.progress(&TRUSTED, status, &step(Step::Received, 1)).await.unwrap();
                post(&app, &format!("{path}/cancel"), &json!({})).await;
            }
            let ended = get(&app, &path).await.json();
            assert_eq!(ended["status"], status);
            // The second actor's first.
            for (at, current) in
                [(Step::Received, 1), (Step::Received, 0), (Step::Completed, 0), (Step::Completed, 1)]
            {
                world.service.progress(&TRUSTED, status, &step(at, current)).await.unwrap();
            }
            let mut now = get(&app, &path).await.json();
            let hops = now["hops"].take();
            let told: Vec<_> = hops.as_array().unwrap().iter().map(|hop| &hop["actor"]).collect();
            assert_eq!(told, ["split", "read"]);
            assert_eq!((&hops[0]["status"], &hops[0]["duration_ms"]), (&json!("completed"), &json!(42)));
            let second = if status == "failed" { "failed" } else { "completed" };
            assert_eq!(hops[1]["status"], second);
            let mut before = ended;
            before["hops"].take();
            assert_eq!(now, before, "nothing else has changed");
            let updates = get(&app, &format!("{path}/updates")).await.json();
            let late = updates["updates"].as_array().unwrap().iter().filter(|update| update["late"] == true);
            assert_eq!(late.count(), 4);
        }
    })
    .await;
}

#[tokio::test]
async fn pages_repeat_nothing_while_new_envelopes_come() {
    on_each(async |world| {
        let app = app(&world, &[Role::Admin]);
        let mut first = Vec::new();
        for number in 0..25 {
            first.push(sent(&app, &json!(number)).await);
        }
        let (mut seen, mut path) = (Vec::new(), "/envelopes?limit=10".to_owned());
        loop {
            let page = get(&app, &path).await.json();
            seen.extend(
                page["envelopes"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|one| one["id"].as_str().unwrap().to_owned()),
            );
            sent(&app, &json!("while pages are read")).await;
            let Some(next) = page["next"].as_str() else { break };
            path = format!("/envelopes?limit=10&after={next}");
        }
        first.reverse();
        assert_eq!(seen, first);
    })
    .await;
}

#[tokio::test]
async fn contents_are_shown_to_those_who_may_see_them() {
    on_each(async |world| {
        let id = sent(&app(&world, &[Role::Admin]), &json!("secret")).await;
        let end = Ending::Succeeded { result: Some(Raw::of(&"secret")), stored_at: None };
        world.service.finish(&TRUSTED, &id, &end).await.unwrap();
        let reader = app(&world, &[Role::Read]);
        for path in ["", "/updates", "/events"] {
            let answer = get(&reader, &format!("/envelopes/{id}{path}")).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(!answer.text.contains("secret"), "{}", answer.text);
        }
        assert_eq!(get(&reader, &format!("/envelopes/{id}")).await.json()["contents"], false);
        let may = app(&world, &[Role::Read, Role::Payload]);
        for path in ["", "/updates", "/events"] {
            assert!(get(&may, &format!("/envelopes/{id}{path}")).await.text.contains("secret"));
        }
    })
    .await;
}

#[tokio::test]
async fn an_envelope_is_cancelled_and_sent_again() {
    on_each(async |world| {
        let app = app(&world, &[Role::Read, Role::Send]);
        let id = sent(&app, &json!(1)).await;
        let cancelled = post(&app, &format!("/envelopes/{id}/cancel"), &json!({"reason": "wrong one"})).await;
        assert_eq!(cancelled.json(), json!({"cancelled": [id]}));
        let again = post(&app, &format!("/envelopes/{id}/cancel"), &Value::Null).await;
        assert_eq!((again.status, &again.json()["code"]), (StatusCode::CONFLICT, &json!("conflict")));
        let request = Request::post(format!("/api/v1/envelopes/{id}/resubmit")).body(Body::empty()).unwrap();
        let plain = ask(&app, request).await;
        assert_eq!(plain.status, StatusCode::ACCEPTED, "{}", plain.text);
        let changed = json!({"payload": null, "route": ["read"]});
        let changed = post(&app, &format!("/envelopes/{id}/resubmit"), &changed).await.json();
        let new =
            world.service.record(&Principal::anonymous(), changed["id"].as_str().unwrap()).await.unwrap();
        assert_eq!((new.payload.unwrap().as_str(), &*new.summary.actors), ("null", &["read".to_owned()][..]));
        assert_eq!(
            get(&app, &format!("/envelopes?resubmit_of={id}")).await.json()["envelopes"][1]["id"],
            plain.json()["id"]
        );
    })
    .await;
}

#[tokio::test]
async fn tools_are_listed_and_called() {
    on_each(async |world| {
        let app = app(&world, &[Role::Admin]);
        let tools = get(&app, "/tools").await.json();
        assert_eq!(tools["tools"][0], get(&app, "/tools/ocr").await.json());
        assert_eq!(
            (&tools["tools"][0]["route"], &tools["tools"][0]["wait"]),
            (&json!(["split", "read"]), &Value::Null)
        );
        assert_eq!(tools["tools"][0]["input_schema"]["required"], json!(["page"]));
        let call = json!({"arguments": {"page": 1}});
        assert_eq!(post(&app, "/tools/ocr", &call).await.status, StatusCode::ACCEPTED);
        // Not ended by then: the handle.
        let late = post(&app, "/tools/ocr?wait=0", &call).await;
        assert_eq!(late.status, StatusCode::ACCEPTED);
        let waiting = tokio::spawn({
            let (app, call) = (app.clone(), json!({"arguments": {"page": 1}, "id": "waited"}));
            async move { post(&app, "/tools/ocr?wait=30", &call).await }
        });
        let stored = async {
            while world.service.active("waited").await.unwrap().is_none() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), stored).await.unwrap();
        let end = Ending::Succeeded { result: Some(Raw::of(&42)), stored_at: None };
        world.service.finish(&TRUSTED, "waited", &end).await.unwrap();
        let answer = waiting.await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
        let answer = answer.json();
        assert_eq!(
            (&answer["id"], &answer["status"], &answer["result"]),
            (&json!("waited"), &json!("succeeded"), &json!(42))
        );
    })
    .await;
}

#[tokio::test]
async fn who_may_not_wait_sends_nothing() {
    let world = world().await;
    let sender = app(&world, &[Role::Send]);
    let answer = post(&sender, "/tools/ocr?wait=1", &json!({"arguments": {"page": 1}})).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(get(&app(&world, &[Role::Admin]), "/envelopes").await.json()["envelopes"], json!([]));
}

async fn bury(world: &World, id: &str, actor: &str) {
    let mut failed = Envelope::new(id, Route::new(["split", "read"]), Raw::of(&"secret"));
    failed.route.current = 1;
    let report = ErrorReport::new("processing_error", "no", actor, 3, Timestamp::now());
    let Wrapped::Whole(body) = report.wrap(&failed, &Limits::default()) else { panic!("it is small") };
    let letter = DeadLetter {
        id: id.to_owned(),
        envelope: id.to_owned(),
        actor: actor.to_owned(),
        code: "processing_error".to_owned(),
        error: format!("{id} said no"),
        attempts: 3,
        body,
        detail: None,
        since: Timestamp::now(),
        replayed_as: None,
        replayed: None,
    };
    world.service.store().bury(&letter).await.unwrap();
}

#[tokio::test]
async fn dead_letters_are_paged_grouped_replayed_and_deleted() {
    on_each(async |world| {
        let app = app(&world, &[Role::Admin]);
        for (id, actor) in [("1", "read"), ("2", "read"), ("3", "split")] {
            bury(&world, id, actor).await;
        }
        let first = get(&app, "/dead-letters?limit=2&source=store").await.json();
        let ids = |page: &Value| -> Vec<String> {
            page["letters"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["id"].as_str().unwrap().to_owned())
                .collect()
        };
        bury(&world, "4", "split").await;
        let next = get(&app, &format!("/dead-letters?limit=2&after={}", first["next"].as_str().unwrap()))
            .await
            .json();
        assert_eq!((ids(&first), ids(&next)), (vec!["3".to_owned(), "2".to_owned()], vec!["1".to_owned()]));
        assert_eq!(next["next"], Value::Null);
        let groups = get(&app, "/dead-letters/groups").await.json();
        assert_eq!(
            (&groups["groups"][0]["actor"], &groups["groups"][0]["count"]),
            (&json!("read"), &json!(2))
        );
        assert_eq!(groups["groups"][0]["sample"], "2 said no");
        let letter = get(&app, "/dead-letters/1").await;
        assert!(letter.text.contains("secret") && letter.json()["source"] == "store", "{}", letter.text);
        let reader = super::app(&world, &[Role::Read]);
        assert!(!get(&reader, "/dead-letters/1").await.text.contains("secret"));
        assert!(!get(&app, "/dead-letters").await.text.contains("secret"), "lists have no contents");
        let done = post(&app, "/dead-letters/replay", &json!({"filter": {"actor": "read"}, "payload": 1}))
            .await
            .json();
        assert_eq!((&done["replayed"], &done["refused"]), (&json!(2), &json!([])));
        let new = get(&app, &format!("/envelopes/{}", done["ids"][0].as_str().unwrap())).await.json();
        assert_eq!((&new["payload"], &new["resubmit_of"]), (&json!(1), &json!("1")));
        assert_eq!(ids(&get(&app, "/dead-letters?replayed=true&actor=read").await.json()).len(), 2);
        let gone = post(&app, "/dead-letters/delete", &json!({"ids": ["3", "nobody"]})).await;
        assert_eq!(gone.json(), json!({"deleted": 1}));
        assert_eq!(ids(&get(&app, "/dead-letters").await.json()), ["4"]);
        let log = get(&app, "/audit?limit=2").await.json();
        assert_eq!(
            (&log["entries"][0]["action"], &log["entries"][0]["who"]),
            (&json!("delete"), &json!("ann"))
        );
        let rest = get(&app, &format!("/audit?after={}", log["next"].as_str().unwrap())).await.json();
        assert_eq!((&rest["entries"][0]["action"], &rest["next"]), (&json!("replay"), &Value::Null));
    })
    .await;
}

#[tokio::test]
async fn actors_and_the_gateway_tell_who_they_are() {
    let world = world().await;
    let app = app(&world, &[Role::Read, Role::Send]);
    let actors = get(&app, "/actors").await.json();
    assert_eq!(
        (&actors["actors"][1]["name"], &actors["actors"][1]["next"]),
        (&json!("split"), &json!(["read"]))
    );
    let info = get(&app, "/info").await.json();
    assert_eq!(info["principal"], json!({"name": "ann", "roles": ["read", "send"]}));
    assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
}
