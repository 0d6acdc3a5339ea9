//! How envelopes end, and that they stay so.

use std::time::Duration;

use asya_store::{
    StoreError,
    envelopes::{
        Cancelled, Creation, Ended, Ending, Filter, NewChild, NewEnvelope, Reported, Status, Step, Update,
        codes,
    },
};

use crate::support::{at, envelope, failed, json, names, on_each, report, succeeded};

fn child(id: &str, parent: &str) -> NewChild {
    NewChild {
        id: id.to_owned(),
        parent: Some(parent.to_owned()),
        actors: names(&["a", "b", "c"]),
        current: 1,
    }
}

#[tokio::test]
async fn an_envelope_that_has_ended_stays_as_it_ended() {
    on_each(async |store, _| {
        assert_eq!(store.create(&envelope("1"), at(0)).await.unwrap(), Creation::Created);
        assert_eq!(
            store.report("1", &report(0, Step::Received), at(1)).await.unwrap(),
            Reported::Applied(3.33)
        );
        assert_eq!(store.end("1", &succeeded("[1.0]"), at(2)).await.unwrap(), Ended::Applied);
        let ended = store.get("1").await.unwrap().unwrap();
        let late = store.report("1", &report(1, Step::Received), at(3)).await.unwrap();
        assert_eq!(late, Reported::Ended(Status::Succeeded));
        assert_eq!(store.end("1", &failed("x"), at(4)).await.unwrap(), Ended::Before(Status::Succeeded));
        assert_eq!(store.cancel("1", "", at(5)).await.unwrap(), Cancelled::Before(Status::Succeeded));
        assert_eq!(store.sweep(at(1_000_000), 10).await.unwrap(), Vec::<String>::new());
        assert_eq!(store.get("1").await.unwrap().unwrap(), ended);
        assert_eq!(ended.result, Some(json("[1.0]")));
        assert_eq!(ended.payload, Some(envelope("1").payload));
        let summary = ended.summary;
        assert_eq!((summary.status, summary.percent, summary.completed), (Status::Succeeded, 100.0, 3));
        assert_eq!((summary.ended, summary.updated), (Some(at(2)), at(2)));
        assert_eq!(summary.message.as_deref(), Some("Envelope completed successfully"));
    })
    .await;
}

#[tokio::test]
async fn reports_that_the_end_has_overtaken_are_in_the_history_and_nowhere_else() {
    on_each(async |store, _| {
        for (id, ending) in [("1", succeeded("1")), ("2", failed("x"))] {
            store.create(&envelope(id), at(0)).await.unwrap();
            store.report(id, &report(0, Step::Received), at(1)).await.unwrap();
            store.end(id, &ending, at(2)).await.unwrap();
            let ended = store.get(id).await.unwrap().unwrap();
            let end = store.updates_since(id, 0, 100).await.unwrap().pop().unwrap();
            let mut completed = report(1, Step::Completed);
            completed.actors = names(&["a", "b", "x", "y", "z"]);
            completed.duration = Some(Duration::from_millis(42));
            for late in [report(0, Step::Completed), report(1, Step::Received), completed] {
                let reported = store.report(id, &late, at(3)).await.unwrap();
                assert_eq!(reported, Reported::Ended(ended.summary.status));
            }
            assert_eq!(store.get(id).await.unwrap().unwrap(), ended);
            let history = store.updates_since(id, end.seq, 100).await.unwrap();
            assert!(!end.is_late() && history.iter().all(Update::is_late));
            let told: Vec<_> =
                history.iter().map(|late| (late.actor.as_deref(), late.step, late.at)).collect();
            let (done, received) = (Some(Step::Completed), Some(Step::Received));
            assert_eq!(
                told,
                [(Some("a"), done, at(3)), (Some("b"), received, at(3)), (Some("b"), done, at(3))]
            );
            assert_eq!((history[2].duration, history[2].percent), (Some(Duration::from_millis(42)), None));
            assert_eq!((history[2].status, &history[2].actors), (ended.summary.status, &None));
            // A stream ends with the end, and who comes back after it hears nothing.
            let mut follow = store.follow(id, 0);
            let mut last = None;
            while let Some(update) = follow.next().await.unwrap() {
                last = Some(update);
            }
            assert_eq!(last, Some(end.clone()));
            assert_eq!(store.follow(id, end.seq).next().await.unwrap(), None);
            assert_eq!(store.follow(id, history[1].seq).next().await.unwrap(), None);
        }
    })
    .await;
}

#[tokio::test]
async fn a_failure_says_where_and_why_as_the_contract_has_it() {
    on_each(async |store, _| {
        store.create(&envelope("1"), at(0)).await.unwrap();
        assert_eq!(store.end("1", &failed("no \0 good"), at(2)).await.unwrap(), Ended::Applied);
        let ended = store.get("1").await.unwrap().unwrap();
        let result = "{\"error\":\"no \\u0000 good\",\"details\":{\"type\":\"ValueError\"},\"failed_actor\":\"b\",\
                      \"failed_actor_idx\":1,\"route\":[\"a\",\"b\",\"c\"]}";
        assert_eq!(ended.result, Some(json(result)));
        let summary = ended.summary;
        assert!(summary.message.unwrap().starts_with("Envelope failed at actor 'b': no"));
        assert_eq!((summary.code.as_deref(), summary.actor.as_deref()), (Some("processing_error"), Some("b")));
    })
    .await;
}

#[tokio::test]
async fn the_word_that_a_sidecar_reports_gives_way_to_what_happened() {
    let told = [
        ("processing_error", r#"{"type":"KeyError","message":"'name'"}"#, "KeyError: 'name'"),
        ("processing_error", r#"{"message":"no such page"}"#, "no such page"),
        ("processing_error", r#"{"type":"ValueError","message":""}"#, "ValueError"),
        ("timeout", "{}", "timeout"),
        ("timeout", "[7]", "timeout"),
        ("timeout", r#"{"message":7}"#, "timeout"),
        ("a sentence of its own", r#"{"type":"KeyError","message":"'name'"}"#, "a sentence of its own"),
    ];
    on_each(async |store, _| {
        for (number, (error, details, reason)) in told.into_iter().enumerate() {
            let id = number.to_string();
            store.create(&envelope(&id), at(0)).await.unwrap();
            let ending = Ending::Failed {
                error: error.to_owned(),
                code: None,
                details: Some(json(details)),
                actor: Some("b".to_owned()),
                current: None,
                actors: Vec::new(),
            };
            store.end(&id, &ending, at(2)).await.unwrap();
            let ended = store.get(&id).await.unwrap().unwrap();
            assert_eq!(ended.summary.error.as_deref(), Some(reason), "{error} {details}");
            assert_eq!(ended.summary.message.unwrap(), format!("Envelope failed at actor 'b': {reason}"));
            assert!(ended.result.unwrap().as_str().contains(&format!("{{\"error\":\"{error}\"")));
        }
    })
    .await;
}

#[tokio::test]
async fn of_two_who_race_to_end_an_envelope_one_wins() {
    on_each(async |store, home| {
        let other = home.open().await;
        for number in 0..20 {
            let id = number.to_string();
            store.create(&envelope(&id), at(0)).await.unwrap();
            let (good, bad) = (succeeded("1"), failed("x"));
            let (one, two) = tokio::join!(store.end(&id, &good, at(1)), other.end(&id, &bad, at(1)));
            let (one, two) = (one.unwrap(), two.unwrap());
            let status = store.summary(&id).await.unwrap().unwrap().status;
            match status {
                Status::Succeeded => assert_eq!((one, two), (Ended::Applied, Ended::Before(status))),
                _ => assert_eq!((one, two), (Ended::Before(status), Ended::Applied)),
            }
            let ends = store.updates_since(&id, 0, 100).await.unwrap();
            assert_eq!(ends.iter().filter(|update| update.status.is_final()).count(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn cancelling_ends_descendants_and_takes_back_what_was_not_sent() {
    on_each(async |store, _| {
        store.create(&envelope("1"), at(0)).await.unwrap();
        for (id, parent) in [("1-1", "1"), ("1-2", "1"), ("1-1-1", "1-1")] {
            assert_eq!(store.add_child(&child(id, parent), at(1)).await.unwrap(), Creation::Created);
            assert_eq!(store.add_child(&child(id, parent), at(2)).await.unwrap(), Creation::Exists);
        }
        store.end("1-2", &succeeded("1"), at(3)).await.unwrap();
        let cancelled = store.cancel("1", "by a person", at(4)).await.unwrap();
        assert_eq!(cancelled, Cancelled::Applied(names(&["1", "1-1", "1-1-1"])));
        let summary = store.summary("1-1-1").await.unwrap().unwrap();
        assert_eq!((summary.status, summary.code.as_deref()), (Status::Failed, Some(codes::CANCELLED)));
        assert_eq!(summary.error.as_deref(), Some("Envelope cancelled: by a person"));
        assert!(!summary.is_active(at(4)));
        assert_eq!(store.summary("1-2").await.unwrap().unwrap().status, Status::Succeeded);
        assert_eq!(store.claim(at(5), Duration::from_secs(1), 10).await.unwrap(), []);
        // Its sidecar announces a child after that.
        store.add_child(&child("1-3", "1"), at(6)).await.unwrap();
        assert_eq!(store.summary("1-3").await.unwrap().unwrap().code.as_deref(), Some(codes::CANCELLED));
        assert_eq!(store.cancel("unheard of", "", at(7)).await.unwrap(), Cancelled::Unknown);
        let counts = store.children("1").await.unwrap();
        assert_eq!((counts.succeeded, counts.failed, counts.running), (1, 2, 0));
    })
    .await;
}

#[tokio::test]
async fn a_deadline_ends_its_envelope_and_its_children_once() {
    on_each(async |store, home| {
        let other = home.open().await;
        for number in 0..30 {
            let id = format!("{number:02}");
            store.create(&NewEnvelope { deadline: Some(at(10)), ..envelope(&id) }, at(0)).await.unwrap();
        }
        store.add_child(&child("child", "00"), at(1)).await.unwrap();
        store.end("29", &succeeded("1"), at(2)).await.unwrap();
        assert_eq!(store.sweep(at(9), 100).await.unwrap(), Vec::<String>::new());
        let (mut one, two) = tokio::join!(store.sweep(at(10), 100), other.sweep(at(10), 100));
        let ended = one.as_mut().unwrap();
        ended.extend(two.unwrap());
        // Rows that one of them held were passed over by the other: each id came once, and none is left.
        ended.extend(store.sweep(at(10), 100).await.unwrap());
        ended.sort();
        let mut expected: Vec<_> = (0..29).map(|number| format!("{number:02}")).collect();
        expected.push("child".to_owned());
        assert_eq!(*ended, expected);
        let summary = store.summary("00").await.unwrap().unwrap();
        assert_eq!((summary.status, summary.code.as_deref()), (Status::Failed, Some(codes::DEADLINE)));
        assert_eq!(summary.error.as_deref(), Some("envelope timed out"));
    })
    .await;
}

#[tokio::test]
async fn rows_that_have_the_former_name_of_the_deadline_are_found_by_either() {
    on_each(async |store, _| {
        // What a report says is written as it is, so this row is like one of an earlier version.
        for (id, code) in [("old", "deadline_exceeded"), ("new", "deadline"), ("other", "timeout")] {
            store.create(&envelope(id), at(0)).await.unwrap();
            let Ending::Failed { error, details, actor, current, actors, .. } = failed("late") else {
                unreachable!("it failed");
            };
            let ending =
                Ending::Failed { error, code: Some(code.to_owned()), details, actor, current, actors };
            store.end(id, &ending, at(1)).await.unwrap();
        }
        assert_eq!(store.summary("old").await.unwrap().unwrap().code.as_deref(), Some("deadline"));
        for code in ["deadline", "deadline_exceeded"] {
            let filter = Filter { code: Some(code.to_owned()), ..Filter::default() };
            let page = store.list(&filter, None, 10).await.unwrap();
            let mut ids: Vec<_> = page.envelopes.iter().map(|summary| summary.id.as_str()).collect();
            ids.sort_unstable();
            assert_eq!(ids, ["new", "old"], "{code}");
            assert!(page.envelopes.iter().all(|summary| summary.code.as_deref() == Some("deadline")));
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_unknown_is_said_to_be_and_what_is_too_long_is_refused() {
    on_each(async |store, _| {
        assert_eq!(store.report("?", &report(0, Step::Received), at(1)).await.unwrap(), Reported::Unknown);
        assert_eq!(store.end("?", &succeeded("1"), at(1)).await.unwrap(), Ended::Unknown);
        assert_eq!(store.get("?").await.unwrap(), None);
        for id in [String::new(), "x".repeat(513)] {
            let refused = store.create(&envelope(&id), at(0)).await;
            assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
        }
        // Names and texts come from anywhere: they are cut, and nothing fails for them.
        store.create(&envelope(&"ü".repeat(256)), at(0)).await.unwrap();
        let mut long = report(0, Step::Received);
        (long.actor, long.message) = (Some("ü".repeat(10_000)), Some("ü".repeat(100_000)));
        long.current = usize::MAX;
        let id = "ü".repeat(256);
        assert!(matches!(store.report(&id, &long, at(1)).await.unwrap(), Reported::Applied(_)));
        assert_eq!(store.end(&id, &failed(&"ü".repeat(100_000)), at(2)).await.unwrap(), Ended::Applied);
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        store.create(&envelope("deep"), at(3)).await.unwrap();
        assert_eq!(store.end("deep", &succeeded(&deep), at(4)).await.unwrap(), Ended::Applied);
        assert_eq!(store.get("deep").await.unwrap().unwrap().result, Some(json(&deep)));
    })
    .await;
}
