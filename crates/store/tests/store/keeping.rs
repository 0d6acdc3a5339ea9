//! Dead letters, the audit log, retention and records.

use std::{sync::Arc, time::Duration};

use asya_store::{
    Expect, Store, StoreError, Write,
    due::Due,
    envelopes::{AuditEntry, AuditFilter, DeadFilter, DeadLetter, NewEnvelope, Retention, Settling, Step},
};
use bytes::Bytes;

use crate::support::{at, envelope, json, names, on_each, report, succeeded};

const LEASE: Duration = Duration::from_secs(60);

fn letter(id: &str, actor: &str, code: &str, since: i64) -> DeadLetter {
    DeadLetter {
        id: id.to_owned(),
        envelope: format!("envelope of {id}"),
        actor: actor.to_owned(),
        code: code.to_owned(),
        error: format!("{actor} said {code}"),
        attempts: 1,
        body: Bytes::from_static(b"{\"payload\":\0}"),
        detail: Some(json("{\"retryable\": false}")),
        since: at(since),
        replayed_as: None,
        replayed: None,
    }
}

#[tokio::test]
async fn dead_letters_are_grouped_taken_by_one_and_replayed_with_their_new_envelope() {
    on_each(async |store, home| {
        let other = home.open().await;
        for (number, (actor, code)) in
            [("a", "timeout"), ("a", "timeout"), ("b", "oom"), ("a", "oom")].iter().enumerate()
        {
            let letter = letter(&number.to_string(), actor, code, i64::try_from(number).unwrap());
            store.bury(&letter).await.unwrap();
            // The same failure, delivered again.
            store.bury(&DeadLetter { error: "again".to_owned(), ..letter }).await.unwrap();
        }
        let all = DeadFilter::default();
        let listed = store.dead_letters(&all, None, 3).await.unwrap();
        let bodiless = |letter: DeadLetter| DeadLetter { body: Bytes::new(), ..letter };
        assert_eq!(listed.letters[1], bodiless(letter("2", "b", "oom", 2)));
        let rest = store.dead_letters(&all, listed.next.as_ref(), 3).await.unwrap();
        assert_eq!((rest.letters, rest.next), (vec![bodiless(letter("0", "a", "timeout", 0))], None));
        assert_eq!(store.dead_letter("2").await.unwrap(), Some(letter("2", "b", "oom", 2)));
        assert_eq!(store.dead_letter("4").await.unwrap(), None);
        let groups = store.dead_groups(&all).await.unwrap();
        let counted: Vec<_> = groups.iter().map(|g| (g.actor.as_str(), g.code.as_str(), g.count)).collect();
        assert_eq!(counted, [("a", "timeout", 2), ("a", "oom", 1), ("b", "oom", 1)]);
        assert_eq!((groups[0].oldest, groups[0].newest), (at(0), at(1)));
        assert_eq!(groups[0].sample, "a said timeout");

        let of_a = DeadFilter { actor: Some("a".to_owned()), ..all.clone() };
        let (one, two) =
            tokio::join!(store.take(&of_a, at(10), LEASE, 10), other.take(&of_a, at(10), LEASE, 10));
        let mut taken: Vec<_> =
            one.unwrap().into_iter().chain(two.unwrap()).map(|letter| letter.id).collect();
        taken.sort();
        assert_eq!(taken, ["0", "1", "3"]);
        let replay = NewEnvelope {
            replays: Some("0".to_owned()),
            resubmit_of: Some("envelope of 0".to_owned()),
            ..envelope("second try")
        };
        store.create(&replay, at(11)).await.unwrap();
        store.settle("1", &Settling::Released, at(11)).await.unwrap();
        let again = store.take(&of_a, at(12), LEASE, 10).await.unwrap();
        assert_eq!(again, [letter("1", "a", "timeout", 1)]);
        // Its taker has gone: it is free when the time is over.
        assert_eq!(store.take(&of_a, at(71), LEASE, 10).await.unwrap().len(), 1);
        store.settle("3", &Settling::Deleted, at(71)).await.unwrap();
        store.settle("2", &Settling::Replayed("elsewhere".to_owned()), at(71)).await.unwrap();
        let open: Vec<_> =
            store.dead_letters(&all, None, 10).await.unwrap().letters.into_iter().map(|l| l.id).collect();
        assert_eq!(open, ["1"]);
        let ids = DeadFilter { ids: names(&["0", "3"]), replayed: true, ..all.clone() };
        let done = store.dead_letters(&ids, None, 10).await.unwrap().letters;
        assert_eq!((done[0].replayed_as.as_deref(), done[0].replayed), (Some("second try"), Some(at(11))));
        // It failed again, after more attempts: open again.
        store.bury(&DeadLetter { attempts: 2, ..letter("0", "a", "oom", 80) }).await.unwrap();
        let text = DeadFilter { text: Some("SAID OOM".to_owned()), ..all };
        assert_eq!(store.dead_letters(&text, None, 10).await.unwrap().letters[0].attempts, 2);
    })
    .await;
}

#[tokio::test]
async fn who_sent_an_envelope_is_stored_with_it_and_once() {
    on_each(async |store, _| {
        let by = |who: &str| AuditEntry {
            number: 0,
            at: at(1),
            who: who.to_owned(),
            action: "call".to_owned(),
            envelope: Some("1".to_owned()),
            detail: None,
        };
        store.create_by(&envelope("1"), Some(by("alice")), at(1)).await.unwrap();
        store.create_by(&envelope("1"), Some(by("bob")), at(2)).await.unwrap();
        let entries = store.audits(&AuditFilter::default(), 10).await.unwrap();
        let who: Vec<_> = entries.iter().map(|entry| (entry.who.as_str(), entry.at)).collect();
        assert_eq!(who, [("alice", at(1))]);
    })
    .await;
}

#[tokio::test]
async fn the_audit_log_says_who_did_what_when() {
    on_each(async |store, _| {
        for (number, (who, action)) in
            [("alice", "send"), ("bob", "cancel"), ("alice", "replay")].iter().enumerate()
        {
            let entry = AuditEntry {
                number: 0,
                at: at(i64::try_from(number).unwrap()),
                who: (*who).to_owned(),
                action: (*action).to_owned(),
                envelope: Some(number.to_string()),
                detail: (number == 1).then(|| json("{\"role\":\"send\"}")),
            };
            store.audit(&entry).await.unwrap();
        }
        let all = store.audits(&AuditFilter::default(), 2).await.unwrap();
        assert_eq!(
            (all[0].action.as_str(), all[1].detail.clone()),
            ("replay", Some(json("{\"role\":\"send\"}")))
        );
        let before = AuditFilter { before: Some(all[1].number), ..AuditFilter::default() };
        assert_eq!(store.audits(&before, 10).await.unwrap().len(), 1);
        let alice = AuditFilter { who: Some("alice".to_owned()), ..AuditFilter::default() };
        assert_eq!(store.audits(&alice, 10).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn retention_deletes_what_has_ended_and_is_old_and_nothing_else() {
    on_each(async |store, _| {
        for id in ["old", "fresh", "open"] {
            store.create(&envelope(id), at(0)).await.unwrap();
            store.report(id, &report(0, Step::Received), at(0)).await.unwrap();
        }
        store.end("old", &succeeded("1"), at(10)).await.unwrap();
        store.end("fresh", &succeeded("1"), at(100)).await.unwrap();
        store.bury(&letter("x", "a", "oom", 0)).await.unwrap();
        let keep = |secs| Some(Duration::from_secs(secs));
        let now = at(110);
        let updates = Retention { updates: keep(50), ..Retention::default() };
        let purged = store.purge(&updates, now, 100).await.unwrap();
        assert_eq!((purged.updates, purged.envelopes, purged.dead), (3, 0, 0));
        assert_eq!(store.updates_since("fresh", 0, 10).await.unwrap().len(), 3);
        assert!(store.purge(&updates, now, 100).await.unwrap().is_empty());
        // One who follows it all the same is told that it has ended.
        assert_eq!(store.follow("old", 0).next().await.unwrap(), None);
        let all = Retention {
            envelopes: keep(50),
            updates: keep(0),
            replayed: keep(0),
            dead: keep(200),
            audit: keep(0),
            sessions: None,
        };
        let purged = store.purge(&all, now, 100).await.unwrap();
        assert_eq!((purged.envelopes, purged.dead), (1, 0));
        assert_eq!(store.get("old").await.unwrap(), None);
        assert_eq!(store.counts().await.unwrap().succeeded, 1);
        let dead = Retention { dead: keep(100), ..all };
        assert_eq!(store.purge(&dead, now, 100).await.unwrap().dead, 1);
        assert!(store.get("open").await.unwrap().is_some());
    })
    .await;
}

fn write(key: &str, value: Option<&'static str>, expect: Expect) -> Write {
    Write { table: "parked", key: key.to_owned(), value: value.map(Bytes::from), expect }
}

fn is_conflict(result: &Result<(), StoreError>, key: &str) -> bool {
    matches!(result, Err(StoreError::Conflict { table, key: at }) if table == "parked" && at == key)
}

#[tokio::test]
async fn records_are_compared_and_set_together_or_not_at_all() {
    on_each(async |store, _| {
        let records = store.records();
        records.commit(vec![write("a", Some("1"), Expect::Absent)]).await.unwrap();
        for wrong in [Expect::Absent, Expect::Version(2)] {
            let both = vec![write("b", Some("1"), Expect::Anything), write("a", Some("2"), wrong)];
            assert!(is_conflict(&records.commit(both).await, "a"));
            assert!(is_conflict(&records.commit(vec![write("a", None, wrong)]).await, "a"));
        }
        assert_eq!(records.get("parked", "b").await.unwrap(), None);
        records.commit(vec![write("a", Some("2"), Expect::Version(1))]).await.unwrap();
        records.commit(vec![write("a", Some("3"), Expect::Anything)]).await.unwrap();
        let record = records.get("parked", "a").await.unwrap().unwrap();
        assert_eq!((&record.value[..], record.version), (&b"3"[..], 3));
        records
            .commit(vec![write("a", None, Expect::Version(3)), write("z", None, Expect::Absent)])
            .await
            .unwrap();
        records.commit(vec![write("a", None, Expect::Anything)]).await.unwrap();
        assert_eq!(records.get("parked", "a").await.unwrap(), None);
        for key in ["a%", "a%1", "ab", "a_", "b", "ä-1", "ä-2"] {
            records.commit(vec![write(key, Some("{}"), Expect::Absent)]).await.unwrap();
        }
        let keys = async |prefix: &str, limit| {
            let listed = records.list("parked", prefix, limit).await.unwrap();
            listed.into_iter().map(|record| record.key).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(keys("a%", 10).await, "a% a%1");
        assert_eq!(keys("a", 3).await, "a% a%1 a_");
        assert_eq!(keys("ä", 10).await, "ä-1 ä-2");
        assert_eq!(keys("", 10).await, "a% a%1 a_ ab b ä-1 ä-2");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_compare_and_set_one_record_at_once_none_is_lost() {
    on_each(async |store, _| {
        let records = store.records();
        let count = async |records: Arc<dyn Store>| {
            for _ in 0..10 {
                loop {
                    let now = records.get("parked", "n").await.unwrap();
                    let (value, expect) = match &now {
                        Some(record) => (record.value[0] + 1, Expect::Version(record.version)),
                        None => (1, Expect::Absent),
                    };
                    let value = Some(Bytes::from(vec![value]));
                    let write = Write { table: "parked", key: "n".to_owned(), value, expect };
                    match records.commit(vec![write]).await {
                        Ok(()) => break,
                        Err(StoreError::Conflict { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
            }
        };
        tokio::join!(count(records.clone()), count(records.clone()), count(records.clone()));
        let record = records.get("parked", "n").await.unwrap().unwrap();
        assert_eq!((record.value[0], record.version), (30, 30));
    })
    .await;
}

#[tokio::test]
async fn a_deadline_is_written_with_its_record_and_found_when_due() {
    on_each(async |store, _| {
        let records = store.records();
        let time = |secs: u64| std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + secs);
        let park = |key: &str, due| {
            vec![write(key, Some("{}"), Expect::Absent), Due::enter("parked_due", time(due), key)]
        };
        for (key, due) in [("late", 30), ("a/b", 10), ("soon", 20)] {
            records.commit(park(key, due)).await.unwrap();
        }
        let due = Due::by(&*records, "parked_due", time(20), 10).await.unwrap();
        let keys: Vec<_> = due.iter().map(|due| due.key.as_str()).collect();
        assert_eq!(keys, ["a/b", "soon"]);
        // The event came first: the entry goes with the record.
        let done = vec![write("a/b", None, Expect::Version(1)), Due::remove("parked_due", due[0].at, "a/b")];
        records.commit(done).await.unwrap();
        assert_eq!(Due::by(&*records, "parked_due", time(20), 10).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn an_entry_that_is_put_off_makes_room_for_later_ones_and_counts_its_tries() {
    on_each(async |store, _| {
        let records = store.records();
        let time = |secs: u64| std::time::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + secs);
        for (key, at) in [("stuck", 1), ("later", 2)] {
            records.commit(vec![Due::enter("off_due", time(at), key)]).await.unwrap();
        }
        let first = async |at: u64| {
            let due = Due::by(&*records, "off_due", time(at), 1).await.unwrap();
            due.into_iter().next().unwrap()
        };
        for (at, to) in [(5, 10), (12, 20)] {
            let stuck = first(at).await;
            assert_eq!(stuck.key, "stuck");
            records.commit(stuck.put_off("off_due", time(to), stuck.tries + 1).into()).await.unwrap();
            if at == 5 {
                let later = first(at).await;
                assert_eq!((later.key.as_str(), later.tries), ("later", 0));
                records.commit(vec![Due::remove("off_due", later.at, "later")]).await.unwrap();
            }
        }
        assert_eq!(Due::by(&*records, "off_due", time(19), 10).await.unwrap(), []);
        let stuck = first(20).await;
        assert_eq!((stuck.at, stuck.tries), (time(20), 2));
        // To the time that it has: it stays.
        records.commit(stuck.put_off("off_due", stuck.at, 3).into()).await.unwrap();
        assert_eq!(first(20).await.tries, 3);
    })
    .await;
}
