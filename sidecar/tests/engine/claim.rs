//! Large payloads beside the queue: whole for handlers, by reference on queues, and nothing lost when the store is
//! away or has lost one.

use std::{path::Path, sync::Arc, time::Duration};

use asya_envelope::{ActorName, Envelope, Headers, Raw, original::original};
use asya_handler::{End, Fate, Item, Reply};
use asya_payload::{Claims, Options, Reference, reference::HEADER, store::directory};
use serde_json::Value;
use tempfile::TempDir;

use crate::rig::{Bench, Rig, Scripted, envelope, json, raised};

fn claims(folder: &Path) -> Claims {
    Claims::new(directory(folder).unwrap(), Options { threshold: 1000, ..Options::default() })
}

async fn bench(folder: &TempDir) -> Bench {
    let payloads = claims(folder.path());
    Bench::new().await.with(|config| config.payloads = Some(payloads))
}

/// A JSON string of 3 MiB, over what a message may have.
fn large() -> Raw {
    json(&format!("\"{}\"", "x".repeat(3 << 20)))
}

/// The message of an envelope whose payload was checked in for `owner`.
async fn checked_in(claims: &Claims, id: &str, owner: &str, payload: &Raw) -> Envelope {
    let mut sent = Envelope::parse(envelope(id, "null").into()).unwrap();
    claims.check_in(owner, payload).await.unwrap().expect("it is large").stand_in(&mut sent);
    sent
}

async fn taken(rig: &Rig, actor: &str) -> Envelope {
    Envelope::parse(rig.take_body(actor).await.into()).unwrap()
}

async fn payload_of(folder: &TempDir, envelope: &Envelope) -> Raw {
    let reference = Reference::of(envelope).expect("its payload is by reference");
    claims(folder.path()).redeem(&envelope.id, &reference).await.unwrap()
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Removes what the store holds.
fn lose(folder: &TempDir) {
    files(folder.path()).iter().for_each(|file| std::fs::remove_file(file).unwrap());
}

#[tokio::test]
async fn a_large_answer_leaves_by_reference_and_the_next_handler_gets_it_whole() {
    let folder = tempfile::tempdir().unwrap();
    let rig = bench(&folder).await.start(Scripted::ending(|_| End::Done(vec![Item::payload(large())])));
    rig.send_envelope("a", "1").await;
    let sent = taken(&rig, "next").await;
    assert!(sent.encode().len() < 2000);
    rig.stopped().await;

    let next = bench(&folder).await.with(|config| config.actor = ActorName::parse("next").unwrap()).start(
        Scripted::ending(|request| {
            let (given, body) = (&request.envelope, Envelope::parse(request.body.clone()).unwrap());
            assert_eq!((given, given.headers.get(HEADER)), (&body, None));
            End::Done(vec![Item::payload(Raw::of(&(given.payload == large())))])
        }),
    );
    next.send(sent.encode()).await;
    let ended = taken(&next, "happy-end").await;
    assert_eq!((ended.payload.as_str(), ended.headers.get(HEADER)), ("true", None));
}

#[tokio::test]
async fn small_payloads_travel_and_nothing_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let rig = bench(&folder).await.start(Scripted::echo());
    rig.send_envelope("a", "[1]").await;
    assert_eq!(taken(&rig, "next").await.payload.as_str(), "[1]");
    assert_eq!(files(folder.path()).len(), 0);
}

#[tokio::test]
async fn children_with_one_payload_share_one_object_and_each_redeems_it() {
    let folder = tempfile::tempdir().unwrap();
    let items = || (0..3).map(|_| Item::payload(json(&format!("\"{}\"", "y".repeat(5000))))).collect();
    let rig = bench(&folder).await.start(Scripted::ending(move |_| End::Done(items())));
    for _redelivered in 0..2 {
        rig.send_envelope("a", "1").await;
        for _ in 0..3 {
            let child = taken(&rig, "next").await;
            assert_eq!(payload_of(&folder, &child).await.as_bytes().len(), 5002, "{}", child.id);
        }
    }
    assert_eq!(files(folder.path()).len(), 1);
}

#[tokio::test]
async fn what_a_generator_yields_is_checked_in_as_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let rig = bench(&folder).await.start(Scripted::new(|_, replies| async move {
        for letter in ["a", "b"] {
            replies.send(Reply::Yield(Item::payload(json(&format!("\"{}\"", letter.repeat(5000)))))).await;
        }
        replies.send(Reply::End(End::Done(Vec::new()))).await;
    }));
    rig.send_envelope("g", "1").await;
    let (second, first) = (taken(&rig, "next").await, taken(&rig, "next").await);
    assert_eq!((first.id.as_str(), second.id.as_str()), ("g", "g-1"));
    assert!(payload_of(&folder, &first).await.as_str().starts_with("\"aa"));
    assert!(payload_of(&folder, &second).await.as_str().starts_with("\"bb"));
}

#[tokio::test]
async fn a_handler_forges_no_reference() {
    let folder = tempfile::tempdir().unwrap();
    let theirs = checked_in(&claims(folder.path()), "secret", "secret", &large()).await;
    let (payload, header) = (theirs.payload.clone(), theirs.headers.get(HEADER).unwrap().clone());
    let rig = bench(&folder).await.start(Scripted::ending(move |_| {
        let mut item = Item::payload(payload.clone());
        item.headers = Some(Headers::from_pairs([(HEADER.to_owned(), header.clone())]));
        End::Done(vec![item])
    }));
    rig.send_envelope("a", "1").await;
    assert_eq!(Reference::of(&taken(&rig, "next").await), None);
    // Nor does one who can write the header: it is not this envelope's.
    let stolen = Envelope { id: "a".to_owned(), ..theirs };
    rig.send(stolen.encode()).await;
    let failed = rig.take("error-end").await;
    assert_eq!(failed["payload"]["details"]["code"], "payload_invalid", "{failed}");
}

#[tokio::test]
async fn a_header_that_travels_beside_another_payload_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut sent = checked_in(&claims(folder.path()), "a", "a", &large()).await;
    sent.payload = json("[7]");
    let rig = bench(&folder).await.start(Scripted::echo());
    rig.send(sent.encode()).await;
    let next = taken(&rig, "next").await;
    assert_eq!((next.payload.as_str(), next.headers.get(HEADER)), ("[7]", None));
}

#[tokio::test]
async fn what_the_store_has_lost_goes_to_the_error_end_once_and_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let sent = checked_in(&claims(folder.path()), "a", "a", &large()).await;
    lose(&folder);
    let rig = bench(&folder).await.start(Scripted::echo());
    rig.send(sent.encode()).await;
    let failed = rig.take("error-end").await;
    assert_eq!(failed["payload"]["details"]["code"], "payload_missing", "{failed}");
    rig.settled().await;
    assert_eq!((rig.stats.retried(), rig.stats.handled()), (0, 0));
}

#[tokio::test]
async fn without_a_store_a_reference_is_refused_and_no_handler_sees_it() {
    let folder = tempfile::tempdir().unwrap();
    let sent = checked_in(&claims(folder.path()), "a", "a", &large()).await;
    let rig = Bench::new().await.start(Scripted::echo());
    rig.send(sent.encode()).await;
    let failed = rig.take("error-end").await;
    assert_eq!(failed["payload"]["details"]["code"], "payload_no_store", "{failed}");
    assert_eq!(rig.stats.handled(), 0);
}

#[tokio::test]
async fn what_failed_is_replayed_with_its_payload() {
    let folder = tempfile::tempdir().unwrap();
    let sent = checked_in(&claims(folder.path()), "a", "a", &large()).await;
    let rig = bench(&folder).await.start(Scripted::ending(|_| raised("ValueError")));
    rig.send(sent.encode()).await;
    let failed = taken(&rig, "error-end").await;
    assert!(failed.encode().len() < 4000, "the error envelope holds the reference, not the payload");
    let replayed = original(failed).unwrap();
    assert_eq!(payload_of(&folder, &replayed).await, large());
}

#[tokio::test]
async fn a_store_that_is_away_costs_no_message() {
    let folder = tempfile::tempdir().unwrap();
    let sent = checked_in(&claims(folder.path()), "a", "a", &large()).await;
    let file = files(folder.path()).remove(0);
    let aside = folder.path().join("aside");
    // What cannot be read: a directory where the file was.
    std::fs::rename(&file, &aside).unwrap();
    std::fs::create_dir(&file).unwrap();
    let rig = bench(&folder).await.start(Scripted::ending(|request| {
        End::Done(vec![Item::payload(Raw::of(&request.envelope.payload.as_bytes().len()))])
    }));
    rig.send(sent.encode()).await;
    rig.until("it was tried again", async || rig.stats.retried() >= 2).await;
    assert_eq!(rig.stats.handled(), 0);
    std::fs::remove_dir(&file).unwrap();
    std::fs::rename(&aside, &file).unwrap();
    assert_eq!(taken(&rig, "next").await.payload.as_str(), (large().as_bytes().len()).to_string());
}

#[tokio::test]
async fn an_answer_waits_for_a_store_that_is_away_without_another_run() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("a");
    std::fs::write(&in_the_way, "a file where a folder should be").unwrap();
    let handler = Scripted::ending(|_| End::Done(vec![Item::payload(large())]));
    let events = handler.events();
    let rig = bench(&folder).await.start(handler);
    rig.send_envelope("a", "1").await;
    rig.until("it was handled", async || events.all().len() == 1).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(rig.count("next").await, 0);
    std::fs::remove_file(&in_the_way).unwrap();
    assert_eq!(payload_of(&folder, &taken(&rig, "next").await).await, large());
    assert_eq!(events.all(), ["handle a"]);
}

#[tokio::test]
async fn an_end_actor_records_the_whole_and_reports_what_a_message_could_hold() {
    use asya_sidecar::{Ends, Final};
    use futures::future::BoxFuture;

    struct Told(std::sync::Mutex<Vec<Raw>>);
    impl Ends for Told {
        fn ended<'a>(&'a self, end: &'a Final) -> BoxFuture<'a, Result<(), String>> {
            self.0.lock().unwrap().push(end.envelope.payload.clone());
            Box::pin(async { Ok(()) })
        }
    }

    let folder = tempfile::tempdir().unwrap();
    let told = Arc::new(Told(std::sync::Mutex::default()));
    let recorded = Arc::new(std::sync::Mutex::new(Vec::new()));
    let notes = Arc::clone(&recorded);
    let mut bench = bench(&folder).await.with(|config| config.actor = ActorName::parse("happy-end").unwrap());
    bench.observers.ends = Some(told.clone());
    let rig = bench.start(Scripted::ending(move |request| {
        notes.lock().unwrap().push(request.envelope.payload.clone());
        End::Platform {
            envelopes: Vec::new(),
            writes: Vec::new(),
            fate: Fate::Ended { stored: Some("file:///x".to_owned()) },
        }
    }));
    let medium = json(&format!("\"{}\"", "z".repeat(5000)));
    for payload in [large(), medium.clone()] {
        let mut sent = checked_in(&claims(folder.path()), "a", "a", &payload).await;
        sent.route.current = 2;
        rig.send(sent.encode()).await;
        rig.settled().await;
    }
    assert_eq!(*recorded.lock().unwrap(), [large(), medium.clone()]);
    let told = told.0.lock().unwrap();
    assert!(Reference::in_stub(&told[0]).is_some());
    assert_eq!(told[1], medium);
}

#[tokio::test]
async fn an_end_whose_payload_is_gone_is_a_dead_letter_and_not_a_loop() {
    let folder = tempfile::tempdir().unwrap();
    let mut sent = checked_in(&claims(folder.path()), "a", "a", &large()).await;
    sent.route.current = 2;
    lose(&folder);
    let rig = bench(&folder)
        .await
        .with(|config| config.actor = ActorName::parse("happy-end").unwrap())
        .start(Scripted::echo());
    rig.send(sent.encode()).await;
    rig.until("it is a dead letter", async || rig.stats.dead_lettered() == 1).await;
    assert!(rig.dead().await[0].contains("payload_missing"));
}

#[tokio::test]
async fn what_is_over_the_limit_of_the_store_is_refused_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { threshold: 1000, most: 2000, ..Options::default() };
    let payloads = Claims::new(directory(folder.path()).unwrap(), options);
    let rig = Bench::new()
        .await
        .with(|config| config.payloads = Some(payloads))
        .start(Scripted::ending(|_| End::Done(vec![Item::payload(large())])));
    rig.send_envelope("a", "1").await;
    let failed: Value = rig.take("error-end").await;
    assert_eq!(failed["payload"]["details"]["code"], "too_large", "{failed}");
    assert_eq!(files(folder.path()).len(), 0);
}
