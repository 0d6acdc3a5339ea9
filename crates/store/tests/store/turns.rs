//! Turns of conversations: who speaks when, repeats, and what the end of an envelope does.

use std::{sync::Arc, time::Duration};

use asya_session::{
    Body, Place, State, Usage,
    desk::{self, Append, Behind},
    session,
};
use asya_store::{
    EnvelopeStore, StoreError,
    chat::{Appended, Begin, Heard, Said, Spoken},
    envelopes::{Creation, Offspring},
};
use serde_json::json;

use crate::{
    support::{Home, SOON, at, envelope, failed, on_each, succeeded},
    talk::{Seen, Talk, answer, begin, calls, check_chain, heard, result, said},
};

#[tokio::test]
async fn what_is_said_is_an_entry_with_an_envelope_and_an_answer_ends_the_turn() {
    on_each(async |store, _| {
        let talk = Talk::begin(&store, "s-1").await;
        assert_eq!(talk.session().await.state, State::Idle);
        let id = talk.ask("\n  why is checkout slow?\nsince noon", 1).await;
        let session = talk.session().await;
        assert_eq!((session.state, session.envelope.as_deref()), (State::Running, Some(&*id)));
        assert_eq!((session.title.as_str(), session.updated), ("why is checkout slow?", at(1)));
        let sent = talk.sent().await;
        assert_eq!(sent.len(), 1);
        assert_eq!(
            (sent[0].0.as_str(), &sent[0].1["payload"]),
            ("helper", &json!({"session": "s-1", "turn": 1}))
        );
        assert_eq!(store.get(&id).await.unwrap().unwrap().summary.sender, None);

        talk.write(0, calls(&["k8s_read", "k8s_read"]), 2).await;
        assert_eq!(talk.session().await.state, State::Running);
        talk.write(2, result(0, "a log"), 3).await;
        talk.write(4, result(1, "events"), 4).await;
        let (entry, waits) = talk.write(4 + 1, answer("the database is"), 5).await;
        assert_eq!((entry.n, entry.at, waits), (5, at(5), false));
        let session = talk.session().await;
        assert_eq!((session.state, session.envelope.as_deref()), (State::Idle, None));
        assert_eq!(session.usage, Usage { calls: 2, input: 20, output: 6 });
        let entries = talk.entries().await;
        check_chain(&session, &entries);
        assert_eq!(entries[2].place, Some(Place { envelope: id.clone(), hop: 2, step: 0 }));
        assert_eq!(store.chat_entries("s-1", 4, 1).await.unwrap(), entries[3..4]);
        // The envelope's own end changes nothing any more.
        store.end(&id, &succeeded("{\"text\":\"…\"}"), at(6)).await.unwrap();
        assert_eq!(talk.session().await, session);
        assert_eq!(talk.entries().await, entries);
    })
    .await;
}

#[tokio::test]
async fn a_delivery_that_comes_again_gets_what_is_stored_and_an_old_one_nothing() {
    on_each(async |store, _| {
        let talk = Talk::begin(&store, "s-1").await;
        let id = talk.ask("hello", 1).await;
        let (n, first) = talk.next(0, calls(&["k8s_read"])).await;
        let Appended::New { entry: stored, .. } = talk.append(n, &first, 2).await else { panic!() };
        let now = talk.session().await;
        let behind = Appended::Behind(Behind { head: now.head, hash: now.hash.clone() });
        // The model says something else the second time: what is stored counts.
        let again = Append { body: answer("something else"), ..first.clone() };
        assert_eq!(talk.append(n, &again, 3).await, Appended::Repeated(stored));
        let place = |envelope: &str, hop, step| Place { envelope: envelope.to_owned(), hop, step };
        for (n, before, place) in [
            (3, "0000", place(&id, 2, 0)),         // did not see the last entry
            (4, &*now.hash, place(&id, 2, 0)),     // leaves a gap
            (1, "", place(&id, 2, 0)),             // a person's entry
            (2, &*first.before, place(&id, 2, 0)), // somebody else's number
            (3, &*now.hash, place("other", 9, 0)), // another envelope
            (3, &*now.hash, place(&id, 0, 0)),     // an entry of the same place is there already
            (0, "", place(&id, 2, 0)),
        ] {
            let append = Append { before: before.to_owned(), place, body: result(0, "x") };
            assert_eq!(talk.append(n, &append, 4).await, behind, "{n} {append:?}");
        }
        assert_eq!(talk.session().await, now);
        // Two entries from one place, told apart by their step.
        let next = Append { before: now.hash, place: place(&id, 2, 0), body: result(0, "x") };
        assert!(matches!(talk.append(3, &next, 5).await, Appended::New { .. }));
        let before = talk.session().await.hash;
        let last = Append { before, place: place(&id, 2, 1), body: answer("done") };
        assert!(matches!(talk.append(4, &last, 5).await, Appended::New { .. }));
        // The turn is over and its last delivery comes again.
        assert!(matches!(talk.append(4, &last, 6).await, Appended::Repeated(entry) if entry.n == 4));
        let late =
            Append { before: talk.session().await.hash, place: place(&id, 3, 0), body: answer("more") };
        assert!(matches!(talk.append(5, &late, 6).await, Appended::Behind(_)));
        assert_eq!(store.chat_append("s-0", 1, &late, at(6)).await.unwrap(), Appended::Unknown);
        check_chain(&talk.session().await, &talk.entries().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_append_at_once_one_is_behind_or_sees_the_others() {
    on_each(async |store, home| {
        let other = home.open().await;
        for number in 0..10 {
            let talk = Talk::begin(&store, &format!("s-{number}")).await;
            talk.ask("hello", 1).await;
            let (n, one) = talk.next(0, answer("one")).await;
            let mut two = Append { body: answer("two"), ..one.clone() };
            let same = number % 2 == 0;
            if !same {
                two.place.hop = 1;
            }
            let there = talk.on(&other);
            let (one, two) = tokio::join!(talk.append(n, &one, 2), there.append(n, &two, 2));
            let entries = talk.entries().await;
            assert_eq!(entries.len(), 2);
            check_chain(&talk.session().await, &entries);
            let new = |one: &Appended| matches!(one, Appended::New { entry, .. } if *entry == entries[1]);
            let lost = |one: &Appended| match one {
                Appended::Repeated(entry) => same && *entry == entries[1],
                Appended::Behind(_) => !same,
                _ => false,
            };
            assert!((new(&one) && lost(&two)) || (new(&two) && lost(&one)), "{one:?} {two:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_said_meanwhile_waits_in_order_and_nothing_of_it_is_lost() {
    on_each(async |store, home| {
        let talk = Talk::begin(&store, "s-1").await;
        talk.ask("first", 1).await;
        assert_eq!(talk.say("second", 2).await, Spoken::Waits(1));
        let bob = said("bob", "third");
        assert_eq!(store.chat_say("s-1", &bob, &begin(), at(3)).await.unwrap(), Spoken::Waits(2));
        assert_eq!(talk.session().await.waiting, ["second", "third"]);
        // Nothing begins while the turn runs.
        assert_eq!(store.chat_continue("s-1", &heard(), &begin(), at(4)).await.unwrap(), None);
        assert_eq!(store.chat_waiting(10).await.unwrap(), Vec::<String>::new());
        let (_, waits) = talk.write(0, answer("one"), 5).await;
        assert!(waits);
        // Whoever should begin the next turn dies here, and somebody says more.
        drop(talk);
        let store = if store.kind() == "sqlite" {
            drop(store);
            home.open().await
        } else {
            store
        };
        let talk = Talk { store: store.clone(), id: "s-1".to_owned() };
        assert_eq!(talk.say("fourth", 6).await, Spoken::Waits(3));
        assert_eq!(store.chat_waiting(10).await.unwrap(), ["s-1"]);
        // Two find it at once, and each message begins one turn.
        let other = home.open().await;
        let (mine, begin, all) = (store.clone(), begin(), heard());
        let (one, two) = tokio::join!(
            mine.chat_continue("s-1", &all, &begin, at(7)),
            other.chat_continue("s-1", &all, &begin, at(7))
        );
        let mut begun = [one.unwrap(), two.unwrap()].into_iter().flatten();
        let (begun, none) = (begun.next(), begun.next());
        assert!(matches!(&begun, Some(Spoken::Began { entry, .. }) if entry.n == 3), "{begun:?}");
        assert_eq!(none, None);
        talk.write(0, answer("two"), 8).await;
        let seen: Seen<serde_json::Value> = Seen::default();
        let asks: Begin = Arc::new({
            let (seen, begin) = (seen.clone(), begin.clone());
            move |turn| {
                seen.lock().unwrap().push(turn.said.asker.clone());
                begin(turn)
            }
        });
        store.chat_continue("s-1", &heard(), &asks, at(9)).await.unwrap().unwrap();
        assert_eq!(seen.lock().unwrap().last(), Some(&json!({"groups": ["bob"]})));
        talk.write(0, answer("three"), 10).await;
        store.chat_continue("s-1", &heard(), &begin, at(11)).await.unwrap().unwrap();
        talk.write(0, answer("four"), 12).await;
        assert_eq!(store.chat_continue("s-1", &heard(), &begin, at(13)).await.unwrap(), None);
        assert_eq!(store.chat_waiting(10).await.unwrap(), Vec::<String>::new());
        let entries = talk.entries().await;
        let people: Vec<_> = entries
            .iter()
            .filter_map(|entry| match &entry.body {
                Body::User { by, text, .. } => Some((by.as_str(), text.as_str())),
                _ => None,
            })
            .collect();
        assert_eq!(people, [("alice", "first"), ("alice", "second"), ("bob", "third"), ("alice", "fourth")]);
        assert_eq!(talk.sent().await.len(), 4);
        check_chain(&talk.session().await, &entries);
    })
    .await;
}

#[tokio::test]
async fn who_is_gone_is_not_heard_any_more_and_who_waits_behind_them_is() {
    on_each(async |store, _| {
        let talk = Talk::begin(&store, "s-1").await;
        talk.ask("first", 1).await;
        for (who, text) in [("bob", "drop all"), ("bob", "and the rest"), ("alice", "second")] {
            store.chat_say("s-1", &said(who, text), &begin(), at(2)).await.unwrap();
        }
        talk.write(0, answer("one"), 3).await;
        let known: Heard = Arc::new(|session, said| {
            assert_eq!(session.id, "s-1");
            if said.by == "bob" { Err("bob is not there".to_owned()) } else { Ok(()) }
        });
        let begun = store.chat_continue("s-1", &known, &begin(), at(4)).await.unwrap();
        assert!(matches!(&begun, Some(Spoken::Began { entry, .. }) if entry.n == 5), "{begun:?}");
        talk.write(0, answer("two"), 5).await;
        // With nobody behind them the session is idle, and nothing waits.
        store.chat_say("s-1", &said("alice", "third"), &begin(), at(6)).await.unwrap();
        store.chat_say("s-1", &said("bob", "once more"), &begin(), at(7)).await.unwrap();
        talk.write(0, answer("three"), 8).await;
        assert_eq!(store.chat_continue("s-1", &known, &begin(), at(9)).await.unwrap(), None);
        assert_eq!(store.chat_waiting(10).await.unwrap(), Vec::<String>::new());
        let entries = talk.entries().await;
        let notices: Vec<_> = entries
            .iter()
            .filter_map(|entry| match &entry.body {
                Body::Notice { code, text } => {
                    Some((entry.n, code.as_str(), text.contains("bob is not there")))
                }
                _ => None,
            })
            .collect();
        assert_eq!(notices, [(3, "not_heard", true), (4, "not_heard", true), (9, "not_heard", true)]);
        assert_eq!(talk.sent().await.len(), 3, "no envelope is made in bob's name");
        let session = talk.session().await;
        assert!(session.state == State::Idle && session.waiting.is_empty(), "{session:?}");
        check_chain(&session, &entries);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_speak_at_once_one_begins_and_the_rest_wait_up_to_the_bound() {
    on_each(async |store, home| {
        let other = home.open().await;
        let talk = Talk::begin(&store, "s-1").await;
        let speakers = (0..20).map(|number| {
            let store = if number % 2 == 0 { store.clone() } else { other.clone() };
            tokio::spawn(async move {
                let said = said("alice", &format!("message {number}"));
                store.chat_say("s-1", &said, &begin(), at(1)).await.unwrap()
            })
        });
        let mut spoken = Vec::new();
        for speaker in speakers.collect::<Vec<_>>() {
            spoken.push(speaker.await.unwrap());
        }
        assert_eq!(spoken.iter().filter(|one| matches!(one, Spoken::Began { .. })).count(), 1);
        let mut places: Vec<_> = spoken
            .iter()
            .filter_map(|one| if let Spoken::Waits(place) = one { Some(*place) } else { None })
            .collect();
        places.sort_unstable();
        assert_eq!(places, (1..=session::MOST_WAITING).collect::<Vec<_>>());
        assert_eq!(spoken.iter().filter(|one| **one == Spoken::Full).count(), 3);
        assert_eq!(talk.session().await.waiting.len(), session::MOST_WAITING);
        assert_eq!((talk.entries().await.len(), talk.sent().await.len()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_stored_is_refused_and_changes_nothing() {
    on_each(async |store, _| {
        let talk = Talk::begin(&store, "s-1").await;
        store.create(&envelope("taken"), at(0)).await.unwrap();
        let before = talk.session().await;
        let refused =
            |result: Result<Spoken, StoreError>| assert!(matches!(result, Err(StoreError::Refused(_))));
        let taken: Begin = Arc::new(|_| envelope("taken"));
        refused(store.chat_say("s-1", &said("alice", "x"), &taken, at(1)).await);
        let long = "x".repeat(session::MESSAGE + 1);
        refused(store.chat_say("s-1", &said("alice", &long), &begin(), at(1)).await);
        refused(store.chat_say("s-1", &said("", "x"), &begin(), at(1)).await);
        assert_eq!(talk.session().await, before);
        assert!(talk.entries().await.is_empty());

        // Within its bound as it was said, and not as it would be stored.
        let odd = "\u{1}".repeat(session::MESSAGE);
        refused(store.chat_say("s-1", &said("alice", &odd), &begin(), at(1)).await);
        talk.ask(&long[1..], 1).await;
        // Nor does it wait until it is in the way of all that follow.
        refused(store.chat_say("s-1", &said("alice", &odd), &begin(), at(1)).await);
        let (n, append) = talk.next(0, answer(&"x".repeat(desk::ENTRY))).await;
        let error = store.chat_append("s-1", n, &append, at(2)).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
        let (n, append) = talk
            .next(0, Body::User { by: "alice".to_owned(), text: "x".to_owned(), options: Default::default() })
            .await;
        let error = store.chat_append("s-1", n, &append, at(2)).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused(_)), "{error}");
        // Whatever a text holds comes back as it was.
        let odd = "\0 \u{7f} \u{fffd} 🦀 \" \\ \u{202e}";
        talk.write(0, answer(odd), 3).await;
        let last = talk.entries().await.pop().unwrap();
        assert!(matches!(&last.body, Body::Assistant { text, .. } if text == odd), "{last:?}");
        check_chain(&talk.session().await, &talk.entries().await);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_up_waiting_leaves_a_whole_turn_or_none() {
    on_each(async |store, _| {
        for number in 0..40_u64 {
            let talk = Talk::begin(&store, &format!("s-{number:02}")).await;
            // Dropped at some point of it.
            let patience = Duration::from_micros(number * 60);
            let spoken = tokio::time::timeout(patience, talk.say("hello", 1)).await;
            // What was handed over may be done a little later: looked at as it is at one moment.
            let (session, entries, known) = loop {
                let session = talk.session().await;
                let entries = talk.entries().await;
                let known = store.get(&format!("{}-turn-1", talk.id)).await.unwrap();
                if talk.session().await == session {
                    break (session, entries, known);
                }
            };
            check_chain(&session, &entries);
            let running = session.state == State::Running;
            assert_eq!((entries.len(), known.is_some()), (usize::from(running), running), "{session:?}");
            assert!(running || spoken.is_err());
            // Said again (by whoever saw no answer), it is a turn or waits.
            talk.say("hello", 2).await;
            assert_eq!(talk.session().await.state, State::Running);
        }
    })
    .await;
}

#[tokio::test]
async fn a_full_disk_leaves_a_whole_turn_or_none() {
    let home = Home::sqlite();
    let small = asya_store::StoreOptions { max_bytes: Some(1024 * 1024), ..Default::default() };
    let store = asya_store::EnvelopeStore::open(&home.url, small).await.unwrap();
    let mut talks = Vec::new();
    let error = loop {
        let talk = Talk { store: store.clone(), id: format!("s-{}", talks.len()) };
        let new = asya_store::chat::NewSession {
            id: talk.id.clone(),
            title: String::new(),
            owner: "alice".to_owned(),
            agent: "helper".to_owned(),
        };
        assert!(talks.len() < 100, "a megabyte holds no hundred of them");
        match store.chat_create(&new, at(0)).await {
            Ok(created) => assert_eq!(created, Creation::Created),
            Err(error) => break error,
        }
        talks.push(talk);
        let text = "x".repeat(40_000);
        let said = said("alice", &text);
        if let Err(error) = store.chat_say(&talks[talks.len() - 1].id, &said, &begin(), at(1)).await {
            break error;
        }
    };
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    for talk in &talks {
        let (session, entries) = (talk.session().await, talk.entries().await);
        check_chain(&session, &entries);
        assert_eq!(entries.len(), usize::from(session.state == State::Running));
        assert_eq!(store.get(&format!("{}-turn-1", talk.id)).await.unwrap().is_some(), !entries.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_a_session_hears_of_it_on_every_replica() {
    on_each(async |store, home| {
        // Another process on the same file is heard of by a reader's own look, seconds later.
        let other = if store.kind() == "sqlite" { store.clone() } else { home.open().await };
        let talk = Talk::begin(&store, "s-1").await;
        let mut watch = other.chat_watch("s-1");
        let read = async |n| other.chat_session("s-1").await.unwrap().is_some_and(|now| now.head >= n);
        talk.ask("hello", 1).await;
        let heard = async |watch: &mut asya_store::chat::Watch, n| {
            while !read(n).await {
                watch.changed().await;
            }
        };
        tokio::time::timeout(SOON, heard(&mut watch, 1)).await.unwrap();
        let id = talk.session().await.envelope.unwrap();
        store.end_part(&id, &failed("x"), &Offspring::default(), at(2)).await.unwrap();
        tokio::time::timeout(SOON, heard(&mut watch, 2)).await.unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_with_an_id_is_said_once_also_by_two_at_once_and_while_it_waits() {
    on_each(async |store, home| {
        let other = home.open().await;
        let talk = Talk::begin(&store, "s-1").await;
        // The envelope's id follows from that of the message.
        let begin: Begin = Arc::new(|turn| {
            let id = format!("{}-{}", turn.said.by, turn.said.id.as_deref().unwrap_or("none"));
            envelope(&id)
        });
        let say = async |store: &EnvelopeStore, by: &str, id: &str| {
            let said = Said { id: Some(id.to_owned()), ..said(by, "hello") };
            store.chat_say("s-1", &said, &begin, at(1)).await.unwrap()
        };
        let (one, two) = tokio::join!(say(&store, "alice", "a"), say(&other, "alice", "a"));
        let began = [&one, &two].into_iter().filter(|spoken| matches!(spoken, Spoken::Began { .. })).count();
        assert_eq!((began, [one, two].contains(&Spoken::Again)), (1, true));
        // It waits now, once for each who says it.
        for (by, id, expected) in [
            ("alice", "b", Spoken::Waits(1)),
            ("alice", "b", Spoken::Again),
            ("bob", "b", Spoken::Waits(2)),
            ("alice", "a", Spoken::Again),
        ] {
            assert_eq!(say(&store, by, id).await, expected, "{by} {id}");
        }
        let session = talk.session().await;
        assert_eq!((session.head, session.waiting.len()), (1, 2));
    })
    .await;
}
