//! Families of fan-outs: children that nobody announced, and parents that wait for theirs.

use asya_store::{
    EnvelopeStore,
    envelopes::{
        Cancelled, Ended, NewChild, NewEnvelope, Offspring, Report, Reported, Status, Step, Within, codes,
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

/// Two children go on by themselves.
fn two() -> Offspring {
    Offspring { open: vec![1..=2], joined: false }
}

async fn state(store: &EnvelopeStore, id: &str) -> (Status, Option<String>) {
    let summary = store.summary(id).await.unwrap().unwrap();
    (summary.status, summary.code)
}

#[tokio::test]
async fn an_envelope_without_a_fan_in_ends_with_the_last_of_its_children() {
    on_each(async |store, _| {
        store.create(&envelope("1"), at(0)).await.unwrap();
        let two_children = [child("1-1", "1"), child("1-2", "1")];
        assert_eq!(store.add_children(&two_children, None, at(1)).await.unwrap(), 2);
        assert_eq!(store.add_children(&two_children, None, at(1)).await.unwrap(), 2, "again");
        store.end("1-2", &succeeded("2"), at(2)).await.unwrap();
        // Its own part, reported twice: the sidecar's delivery was lost in between.
        for _ in 0..2 {
            assert_eq!(store.end_part("1", &succeeded("0"), &two(), at(3)).await.unwrap(), Ended::Applied);
        }
        let waiting = store.get("1").await.unwrap().unwrap();
        assert_eq!((waiting.summary.status, waiting.summary.ended), (Status::Running, None));
        assert_eq!(waiting.result, Some(json("0")), "its own part's result can be seen");
        store.end("1-1", &succeeded("1"), at(4)).await.unwrap();
        let ended = store.get("1").await.unwrap().unwrap();
        assert_eq!((ended.summary.status, ended.summary.ended), (Status::Succeeded, Some(at(4))));
        assert_eq!((ended.result, ended.summary.percent), (Some(json("0")), 100.0));
        let finals = store.updates_since("1", 0, 100).await.unwrap();
        assert_eq!(finals.iter().filter(|update| update.status.is_final()).count(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_envelope_fails_by_a_child_that_failed_before_or_after_its_own_part() {
    on_each(async |store, _| {
        for (id, first) in [("early", true), ("late", false)] {
            store.create(&envelope(id), at(0)).await.unwrap();
            let (one, other) = (format!("{id}-1"), format!("{id}-2"));
            store.add_children(&[child(&one, id), child(&other, id)], None, at(1)).await.unwrap();
            if first {
                store.end(&one, &failed("x"), at(2)).await.unwrap();
            }
            store.end_part(id, &succeeded("0"), &two(), at(3)).await.unwrap();
            if !first {
                store.end(&one, &failed("x"), at(4)).await.unwrap();
            }
            assert_eq!(state(&store, id).await.0, Status::Running, "the other one goes on");
            store.end(&other, &succeeded("2"), at(5)).await.unwrap();
            assert_eq!(state(&store, id).await, (Status::Failed, Some(codes::CHILDREN.to_owned())));
            let ended = store.get(id).await.unwrap().unwrap();
            assert_eq!(ended.summary.error.as_deref(), Some("one of its children failed"));
            assert_eq!(ended.result, Some(json("0")));
        }
    })
    .await;
}

#[tokio::test]
async fn children_that_nobody_announced_are_waited_for_all_the_same() {
    on_each(async |store, _| {
        let new = NewEnvelope { sender: Some("ann".to_owned()), deadline: Some(at(60)), ..envelope("1") };
        store.create(&new, at(0)).await.unwrap();
        store.end_part("1", &succeeded("0"), &two(), at(1)).await.unwrap();
        let child_1 = store.summary("1-1").await.unwrap().unwrap();
        assert_eq!((child_1.status, child_1.depth), (Status::Running, 1));
        assert_eq!((child_1.sender.as_deref(), child_1.deadline), (Some("ann"), Some(at(60))));
        // The announcement comes after all.
        store.add_children(&[child("1-1", "1")], None, at(2)).await.unwrap();
        assert_eq!(store.summary("1-1").await.unwrap().unwrap(), child_1);
        store.end("1-1", &succeeded("1"), at(3)).await.unwrap();
        store.end("1-2", &succeeded("2"), at(3)).await.unwrap();
        assert_eq!(state(&store, "1").await.0, Status::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn a_fan_out_within_a_fan_out_ends_from_below() {
    on_each(async |store, _| {
        store.create(&envelope("1"), at(0)).await.unwrap();
        let one = Offspring { open: vec![1..=1], joined: false };
        // Of a parent that nobody has announced yet, found by its name.
        assert_eq!(store.add_children(&[child("1-1-1", "1-1")], None, at(1)).await.unwrap(), 1);
        assert_eq!(store.summary("1-1-1").await.unwrap().unwrap().depth, 2);
        store.end_part("1", &succeeded("0"), &one, at(2)).await.unwrap();
        store.end_part("1-1", &succeeded("0"), &one, at(3)).await.unwrap();
        assert_eq!(state(&store, "1-1").await.0, Status::Running);
        store.end("1-1-1", &failed("x"), at(4)).await.unwrap();
        for id in ["1-1", "1"] {
            assert_eq!(state(&store, id).await, (Status::Failed, Some(codes::CHILDREN.to_owned())), "{id}");
        }
    })
    .await;
}

#[tokio::test]
async fn children_of_strangers_are_not_kept() {
    on_each(async |store, _| {
        let strangers = [child("x-1", "x"), child("x-1-1", "x-1"), child("y", "0193-77"), child("z", "z")];
        assert_eq!(store.add_children(&strangers[..3], None, at(0)).await.unwrap(), 0);
        // Known, but its namespace is another one, or the name is no child's.
        let new = NewEnvelope { namespace: Some("team".to_owned()), ..envelope("1") };
        store.create(&new, at(0)).await.unwrap();
        let of = |namespace: &str, unbound| Within { namespace: namespace.to_owned(), unbound };
        let add = async |children: &[NewChild], within: Within| {
            store.add_children(children, Some(&within), at(1)).await.unwrap()
        };
        assert_eq!(add(&[child("1-1", "1")], of("other", true)).await, 0);
        assert_eq!(add(&[child("2", "1"), child("1-x", "1")], of("team", false)).await, 0);
        assert_eq!(add(&[child("1-1", "1")], of("team", false)).await, 1);
        store.create(&envelope("9"), at(0)).await.unwrap();
        assert_eq!(add(&[child("9-1", "9")], of("team", false)).await, 0, "bound to none");
        assert_eq!(add(&[child("9-1", "9")], of("team", true)).await, 1);
        let long = child(&format!("x-{}", "1".repeat(600)), "x");
        assert!(store.add_children(&[long], None, at(1)).await.is_err(), "an id that nothing can have");
        assert_eq!(store.summary("x-1").await.unwrap(), None);
        let nobodys = NewChild { parent: None, ..strangers[3].clone() };
        assert_eq!(store.add_children(&[nobodys], None, at(0)).await.unwrap(), 0);
    })
    .await;
}

#[tokio::test]
async fn what_a_fan_in_took_has_ended_with_the_joined_envelope_at_the_latest() {
    on_each(async |store, _| {
        for (id, joined) in [("whole", true), ("gaps", false)] {
            store.create(&envelope(id), at(0)).await.unwrap();
            let taken = format!("{id}-1");
            store.add_children(&[child(&taken, id)], None, at(1)).await.unwrap();
            let offspring = Offspring { open: Vec::new(), joined };
            store.end_part(id, &succeeded("0"), &offspring, at(2)).await.unwrap();
            assert_eq!(state(&store, id).await.0, Status::Succeeded);
            let child = state(&store, &taken).await.0;
            assert_eq!(child, if joined { Status::Succeeded } else { Status::Running }, "{id}");
        }
        // An earlier fan-out was joined, a later one was not.
        store.create(&envelope("both"), at(0)).await.unwrap();
        store.add_children(&[child("both-1", "both"), child("both-2", "both")], None, at(1)).await.unwrap();
        let offspring = Offspring { open: vec![2..=2], joined: true };
        store.end_part("both", &succeeded("0"), &offspring, at(2)).await.unwrap();
        assert_eq!(state(&store, "both-1").await.0, Status::Succeeded);
        assert_eq!(state(&store, "both").await.0, Status::Running);
        store.end("both-2", &succeeded("2"), at(3)).await.unwrap();
        assert_eq!(state(&store, "both").await.0, Status::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn an_envelope_whose_handler_let_it_go_waits_for_its_children_too() {
    on_each(async |store, _| {
        store.create(&envelope("1"), at(0)).await.unwrap();
        let dropped = Report { offspring: two(), ..report(2, Step::Dropped) };
        assert_eq!(store.report("1", &dropped, at(1)).await.unwrap(), Reported::Applied(100.0));
        assert_eq!(state(&store, "1").await.0, Status::Running);
        for child in ["1-1", "1-2"] {
            store.end(child, &succeeded("1"), at(2)).await.unwrap();
        }
        assert_eq!(state(&store, "1").await.0, Status::Succeeded);
    })
    .await;
}

#[tokio::test]
async fn an_envelope_that_waits_is_cancelled_with_its_children() {
    on_each(async |store, _| {
        for id in ["1", "2"] {
            store.create(&envelope(id), at(0)).await.unwrap();
        }
        store.end_part("1", &succeeded("0"), &two(), at(1)).await.unwrap();
        let cancelled = store.cancel("1", "", at(2)).await.unwrap();
        assert_eq!(cancelled, Cancelled::Applied(names(&["1", "1-1", "1-2"])));
        // Its own part has failed, and the others go on: they can be cancelled.
        store.add_children(&[child("2-1", "2")], None, at(1)).await.unwrap();
        store.end("2", &failed("x"), at(2)).await.unwrap();
        assert_eq!(store.cancel("2", "", at(3)).await.unwrap(), Cancelled::Applied(names(&["2-1"])));
        assert_eq!(store.cancel("2", "", at(3)).await.unwrap(), Cancelled::Before(Status::Failed));
        // One child alone: its parent learns that it failed.
        store.create(&envelope("3"), at(0)).await.unwrap();
        store.end_part("3", &succeeded("0"), &two(), at(1)).await.unwrap();
        store.cancel("3-1", "", at(2)).await.unwrap();
        store.end("3-2", &succeeded("2"), at(3)).await.unwrap();
        assert_eq!(state(&store, "3").await, (Status::Failed, Some(codes::CHILDREN.to_owned())));
    })
    .await;
}

#[tokio::test]
async fn no_end_of_a_child_is_missed_by_a_parent_that_begins_to_wait() {
    on_each(async |store, home| {
        let other = home.open().await;
        for number in 0..20 {
            let id = number.to_string();
            store.create(&envelope(&id), at(0)).await.unwrap();
            let children = [child(&format!("{id}-1"), &id), child(&format!("{id}-2"), &id)];
            store.add_children(&children, None, at(1)).await.unwrap();
            let (good, offspring) = (succeeded("1"), two());
            let (first, second) = (&children[0].id, &children[1].id);
            let (own, one, two) = tokio::join!(
                store.end_part(&id, &good, &offspring, at(2)),
                other.end(first, &good, at(2)),
                other.end(second, &good, at(2)),
            );
            assert_eq!(
                (own.unwrap(), one.unwrap(), two.unwrap()),
                (Ended::Applied, Ended::Applied, Ended::Applied)
            );
            assert_eq!(state(&store, &id).await.0, Status::Succeeded, "{id}");
        }
    })
    .await;
}
