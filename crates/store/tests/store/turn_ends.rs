//! What the end of an envelope does to the turn that it carries.

use std::{sync::Arc, time::Duration};

use asya_session::{Body, State, desk::Append};
use asya_store::{
    chat::{Appended, Begin, Spoken},
    envelopes::{Cancelled, NewEnvelope, Step, codes},
};

use crate::{
    support::{at, failed, on_each, report, succeeded},
    talk::{Talk, answer, begin, calls, check_chain, heard, result, said},
};

#[tokio::test]
async fn however_an_envelope_ends_without_an_answer_its_turn_ends_with_a_notice() {
    on_each(async |store, _| {
        for (number, (how, code)) in [
            ("cancel", codes::CANCELLED),
            ("failed", "processing_error"),
            ("succeeded", "no_answer"),
            ("deadline", codes::DEADLINE),
            ("not sent", codes::NOT_SENT),
            ("dropped", "no_answer"),
        ]
        .into_iter()
        .enumerate()
        {
            let talk = Talk::begin(&store, &format!("s-{number}")).await;
            let due: Begin = Arc::new(|turn| NewEnvelope { deadline: Some(at(50)), ..(begin())(turn) });
            let spoken = store.chat_say(&talk.id, &said("alice", "go"), &due, at(1)).await.unwrap();
            let Spoken::Began { envelope: id, .. } = spoken else { panic!("{spoken:?}") };
            talk.write(0, calls(&["k8s_read"]), 2).await;
            let (_, late) = talk.next(2, result(0, "late")).await;
            assert_eq!(talk.say("and this", 3).await, Spoken::Waits(1));
            match how {
                "cancel" => {
                    let cancelled = store.cancel(&id, "by alice", at(4)).await.unwrap();
                    assert_eq!(cancelled, Cancelled::Applied(vec![id.clone()]));
                }
                "failed" => drop(store.end(&id, &failed("no model"), at(4)).await.unwrap()),
                "succeeded" => drop(store.end(&id, &succeeded("1"), at(4)).await.unwrap()),
                "deadline" => assert_eq!(store.sweep(at(60), 10).await.unwrap(), std::slice::from_ref(&id)),
                "not sent" => {
                    let claimed = store.claim(at(4), Duration::from_secs(1), 100).await.unwrap();
                    let entry = claimed.iter().find(|entry| entry.id == id).unwrap();
                    store.abandon(entry, "no such queue", at(4)).await.unwrap();
                }
                _ => drop(store.report(&id, &report(0, Step::Dropped), at(4)).await.unwrap()),
            }
            let session = talk.session().await;
            assert_eq!((session.state, session.envelope.clone()), (State::Idle, None), "{how}");
            let entries = talk.entries().await;
            check_chain(&session, &entries);
            let Some(Body::Notice { code: noted, text }) = entries.last().map(|entry| &entry.body) else {
                panic!("{how}: {entries:?}")
            };
            assert_eq!((noted.as_str(), entries.len()), (code, 3), "{how}: {text}");
            let why = match how {
                "cancel" => "was cancelled. ",
                "failed" => "answer: no model. ",
                "deadline" => "answer: envelope timed out. ",
                "not sent" => "answer: failed to send envelope: no such queue. ",
                _ => "without an answer. ",
            };
            assert!(text.contains(why), "{how}: {text}");
            // The actor that was at it comes too late, also one that has read the notice.
            assert!(matches!(talk.append(3, &late, 5).await, Appended::Behind(_)), "{how}");
            let append = Append { before: session.hash.clone(), ..late };
            assert!(matches!(talk.append(4, &append, 5).await, Appended::Behind(_)), "{how}");
            // What waited goes on.
            assert!(store.chat_waiting(10).await.unwrap().contains(&talk.id), "{how}");
            let next = store.chat_continue(&talk.id, &heard(), &begin(), at(6)).await.unwrap();
            assert!(matches!(next, Some(Spoken::Began { entry, .. }) if entry.n == 4), "{how}");
            // The end of the old envelope cannot come again.
            store.end(&id, &succeeded("1"), at(7)).await.unwrap();
            assert_eq!(talk.session().await.state, State::Running, "{how}");
            talk.write(0, answer("done"), 8).await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_agent_that_notes_why_there_is_no_answer_is_not_talked_over() {
    on_each(async |store, _| {
        let notice = || Body::Notice { code: "budget_exceeded".to_owned(), text: "that was all".to_owned() };
        for (id, ending, notices) in [("s-1", succeeded("1"), 1), ("s-2", failed("and it broke"), 2)] {
            let talk = Talk::begin(&store, id).await;
            let envelope = talk.ask("go", 1).await;
            talk.write(0, notice(), 2).await;
            assert_eq!(talk.session().await.state, State::Running);
            store.end(&envelope, &ending, at(3)).await.unwrap();
            assert_eq!(talk.session().await.state, State::Idle);
            assert_eq!(talk.entries().await.len(), 1 + notices, "{id}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_copy_that_is_let_go_ends_no_turn_that_has_gone_on() {
    on_each(async |store, _| {
        let talk = Talk::begin(&store, "s-1").await;
        talk.ask("why?", 1).await;
        talk.write(0, calls(&["k8s_write"]), 1).await;
        let id = talk.session().await.envelope.unwrap();
        // The reports of the later actors were lost.
        talk.write(2, result(0, "scaled"), 2).await;
        store.report(&id, &report(0, Step::Dropped), at(3)).await.unwrap();
        assert_eq!(talk.session().await.state, State::Running);
        store.report(&id, &report(2, Step::Dropped), at(4)).await.unwrap();
        assert_eq!(talk.session().await.state, State::Idle);
    })
    .await;
}
