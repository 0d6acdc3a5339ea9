//! Conversations as they are listed, shared and deleted.

use std::time::Duration;

use asya_session::{State, session};
use asya_store::{
    StoreError,
    chat::{Deleted, NewSession, OperationFilter, SessionFilter, Spoken},
    envelopes::{AuditFilter, Creation, Retention},
};

use crate::{
    support::{at, names, on_each},
    talk::{Talk, answer, begin, calls, said},
};

fn of(principal: &str) -> SessionFilter {
    SessionFilter { principal: Some(principal.to_owned()), ..SessionFilter::default() }
}

#[tokio::test]
async fn everybody_sees_their_own_and_what_is_shared_with_them_and_nothing_else() {
    on_each(async |store, _| {
        for (id, owner, agent) in
            [("s-1", "alice", "helper"), ("s-2", "bob", "helper"), ("s-3", "alice", "other")]
        {
            let new = NewSession {
                id: id.to_owned(),
                title: format!("title of {id}"),
                owner: owner.to_owned(),
                agent: agent.to_owned(),
            };
            assert_eq!(store.chat_create(&new, at(1)).await.unwrap(), Creation::Created);
            let other = NewSession { owner: "mallory".to_owned(), ..new };
            assert_eq!(store.chat_create(&other, at(2)).await.unwrap(), Creation::Exists);
        }
        let list = async |filter: &SessionFilter| {
            let page = store.chat_sessions(filter, None, 10).await.unwrap();
            page.sessions.into_iter().map(|session| session.id).collect::<Vec<_>>()
        };
        assert_eq!(list(&of("alice")).await, ["s-3", "s-1"]);
        assert_eq!(list(&of("bob")).await, ["s-2"]);
        assert_eq!(list(&of("mallory")).await, Vec::<String>::new());
        assert_eq!(list(&SessionFilter::default()).await, ["s-3", "s-2", "s-1"]);
        assert!(store.chat_share("s-1", &names(&["bob", "carol, \"x\""]), "alice", at(3)).await.unwrap());
        assert!(!store.chat_share("s-9", &[], "alice", at(3)).await.unwrap());
        assert_eq!(list(&of("bob")).await, ["s-2", "s-1"]);
        assert_eq!(list(&of("carol, \"x\"")).await, ["s-1"]);
        assert_eq!(list(&of("carol")).await, Vec::<String>::new());
        assert_eq!(store.chat_session("s-1").await.unwrap().unwrap().shared, ["bob", "carol, \"x\""]);
        assert!(store.chat_share("s-1", &[], "alice", at(4)).await.unwrap());
        assert_eq!(list(&of("bob")).await, ["s-2"]);
        let many = vec!["x".to_owned(); session::MOST_SHARED + 1];
        for shared in [many, vec![String::new()], vec!["x".repeat(256)]] {
            let error = store.chat_share("s-1", &shared, "alice", at(5)).await.unwrap_err();
            assert!(matches!(error, StoreError::Refused(_)), "{error}");
        }
        // What changed last comes first, page by page.
        store.chat_say("s-1", &said("alice", "hello"), &begin(), at(9)).await.unwrap();
        assert!(store.chat_rename("s-1", "another", "bob", at(9)).await.unwrap());
        assert!(!store.chat_rename("s-9", "another", "bob", at(9)).await.unwrap());
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = store.chat_sessions(&SessionFilter::default(), after.as_ref(), 1).await.unwrap();
            seen.extend(page.sessions.into_iter().map(|session| (session.id, session.title)));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected = [("s-1", "another"), ("s-3", "title of s-3"), ("s-2", "title of s-2")];
        assert_eq!(seen, expected.map(|(id, title)| (id.to_owned(), title.to_owned())));
        let running = SessionFilter { state: Some(State::Running), ..SessionFilter::default() };
        assert_eq!(list(&running).await, ["s-1"]);
        let other = SessionFilter { agent: Some("other".to_owned()), ..of("alice") };
        assert_eq!(list(&other).await, ["s-3"]);
    })
    .await;
}

#[tokio::test]
async fn a_session_begins_with_what_is_said_in_it_or_not_at_all() {
    on_each(async |store, _| {
        let new = |owner: &str| NewSession {
            id: "s-1".to_owned(),
            title: String::new(),
            owner: owner.to_owned(),
            agent: "helper".to_owned(),
        };
        let too_long = said("alice", &"x".repeat(session::MESSAGE + 1));
        let refused = store.chat_begin(&new("alice"), &too_long, &begin(), at(1)).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
        assert_eq!(store.chat_session("s-1").await.unwrap(), None);

        let begun = store.chat_begin(&new("alice"), &said("alice", "hello"), &begin(), at(2)).await.unwrap();
        let begun = begun.unwrap();
        assert_eq!((begun.state, begun.head, begun.title.as_str()), (State::Running, 1, "hello"));
        assert!(store.get(&begun.envelope.clone().unwrap()).await.unwrap().is_some());
        let taken =
            store.chat_begin(&new("mallory"), &said("mallory", "mine"), &begin(), at(3)).await.unwrap();
        assert_eq!(taken, None);

        // One look sees all of it, as of one moment.
        let found = store.chat_transcript("s-1", 1, 10).await.unwrap().unwrap();
        assert_eq!(found.session, begun);
        assert_eq!(found.entries, store.chat_entries("s-1", 1, 10).await.unwrap());
        assert_eq!(store.chat_transcript("s-2", 1, 10).await.unwrap(), None);
        let talk = Talk { store: store.clone(), id: "s-1".to_owned() };
        talk.write(0, calls(&["k8s_write"]), 4).await;
        let propose = talk.proposal(2).await;
        store.operation_propose(&propose, "alice", "sa:approval", at(4)).await.unwrap();
        let (seen, operations) = store.chat_look("s-1", 2, 10, 5).await.unwrap().unwrap();
        assert_eq!(
            (seen.session.state, seen.entries.first().map(|entry| entry.n)),
            (State::InputRequired, Some(2))
        );
        let page = store.operations(&OperationFilter::default(), None, 5).await.unwrap();
        assert_eq!((operations.len(), operations), (1, page.operations));
        assert_eq!(store.chat_look("s-2", 1, 10, 5).await.unwrap(), None);
    })
    .await;
}

#[tokio::test]
async fn a_session_is_deleted_with_what_it_holds_once_nothing_runs() {
    on_each(async |store, _| {
        let talk = Talk::begin(&store, "s-1").await;
        talk.proposed(3, 1).await;
        assert_eq!(store.chat_delete("s-1", "alice", at(2)).await.unwrap(), Deleted::Running);
        let id = talk.session().await.envelope.unwrap();
        store.cancel(&id, "", at(3)).await.unwrap();
        assert_eq!(store.chat_delete("s-1", "alice", at(4)).await.unwrap(), Deleted::Done);
        assert_eq!(store.chat_delete("s-1", "alice", at(4)).await.unwrap(), Deleted::Unknown);
        assert_eq!(store.chat_session("s-1").await.unwrap(), None);
        assert_eq!(store.chat_entries("s-1", 0, 10).await.unwrap(), []);
        assert_eq!(store.operation("op-s-1-3").await.unwrap(), None);
        assert_eq!(
            store.chat_say("s-1", &said("alice", "x"), &begin(), at(5)).await.unwrap(),
            Spoken::Unknown
        );
        // The envelope and the audit log stay.
        assert!(store.get(&id).await.unwrap().is_some());
        let log = store.audits(&AuditFilter::default(), 10).await.unwrap();
        assert_eq!(log[0].action, "session.delete");
        assert!(log.iter().any(|entry| entry.action == "operation.propose"));
        // The id may be used again.
        let again = Talk::begin(&store, "s-1").await;
        assert_eq!(again.session().await.head, 0);
    })
    .await;
}

#[tokio::test]
async fn a_title_is_made_of_what_is_said_first_and_kept() {
    on_each(async |store, _| {
        for (number, (text, title)) in
            [("hello\nworld", "hello"), ("\n \n", ""), (&*"ü".repeat(100), &*format!("{}…", "ü".repeat(40)))]
                .into_iter()
                .enumerate()
        {
            let talk = Talk::begin(&store, &format!("s-{number}")).await;
            talk.ask(text, 1).await;
            assert_eq!(talk.session().await.title, title);
            talk.write(0, answer("x"), 2).await;
            talk.ask("something else", 3).await;
            let kept = if title.is_empty() { "something else" } else { title };
            assert_eq!(talk.session().await.title, kept);
        }
    })
    .await;
}

#[tokio::test]
async fn old_conversations_are_deleted_if_that_is_asked_for_and_nothing_runs_or_waits() {
    on_each(async |store, _| {
        for id in ["s-idle", "s-running", "s-waiting", "s-fresh"] {
            let talk = Talk::begin(&store, id).await;
            let envelope = talk.ask("hello", if id == "s-fresh" { 900 } else { 1 }).await;
            if id == "s-waiting" {
                talk.say("and this", 2).await;
            }
            if id != "s-running" {
                store.cancel(&envelope, "", at(if id == "s-fresh" { 901 } else { 3 })).await.unwrap();
            }
        }
        let kept = async || {
            let page = store.chat_sessions(&SessionFilter::default(), None, 10).await.unwrap();
            let mut ids: Vec<_> = page.sessions.into_iter().map(|session| session.id).collect();
            ids.sort();
            ids
        };
        store.purge(&Retention::default(), at(1_000_000), 100).await.unwrap();
        assert_eq!(kept().await.len(), 4);
        let asked = Retention { sessions: Some(Duration::from_secs(500)), ..Retention::default() };
        assert_eq!(store.purge(&asked, at(1000), 100).await.unwrap().sessions, 1);
        assert!(store.purge(&asked, at(1000), 100).await.unwrap().is_empty());
        assert_eq!(kept().await, ["s-fresh", "s-running", "s-waiting"]);
        assert_eq!(store.chat_entries("s-idle", 0, 10).await.unwrap(), []);
    })
    .await;
}
