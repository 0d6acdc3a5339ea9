//! End actors and fan-in on a real store: what each envelope leaves behind, and what goes on.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

use std::{collections::HashSet, sync::Arc, time::Duration};

use asya_crew::{ERRORS, ErrorEnd, FanIn, HappyEnd, Patience, RESULTS, Record, Recorder, Status};
use asya_envelope::{
    Envelope, ErrorReport, Limits, Raw, Route, Wrapped,
    headers::{ATTEMPT, FAN, GAPS},
    lineage::{Lineage, parts_of},
};
use asya_handler::{End, Handler, Reply, Request};
use asya_store::{Store, StoreError, sqlite::SqliteStore, testing::on_each_home};
use proptest::prelude::*;
use tempfile::TempDir;

struct World {
    store: Arc<dyn Store>,
    happy: Box<dyn Handler>,
    error: Box<dyn Handler>,
    join: Box<dyn Handler>,
}

impl World {
    fn on(store: Arc<dyn Store>) -> Self {
        let recorder = || Recorder::Tables(store.clone());
        let fan_ins = || HashSet::from(["join".to_owned()]);
        Self {
            happy: Box::new(HappyEnd::new(recorder(), fan_ins())),
            error: Box::new(ErrorEnd::new(recorder(), fan_ins())),
            join: Box::new(FanIn::new(store.clone(), Patience::default())),
            store,
        }
    }

    /// A file of actors' records alone, gone when the first of the answer is dropped.
    fn in_a_file() -> (TempDir, Self) {
        let directory = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(&directory.path().join("state.db")).unwrap();
        (directory, Self::on(Arc::new(store)))
    }

    /// Handles one envelope and commits what it writes, as a transport does; again after a conflict.
    async fn give(&self, actor: &dyn Handler, envelope: &Envelope) -> Vec<Envelope> {
        loop {
            let (envelopes, writes) = match ask(actor, envelope).await {
                End::Platform { envelopes, writes, .. } => (envelopes, writes),
                other => panic!("{other:?}"),
            };
            match self.store.commit(writes).await {
                Ok(()) => return envelopes,
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn record(&self, table: &'static str, key: &str) -> Option<Record> {
        let record = self.store.get(table, key).await.unwrap()?;
        Some(serde_json::from_slice(&record.value).unwrap())
    }
}

/// Runs one test wherever actors keep records: a file of their own, and the gateway's database of each kind.
async fn on_each(test: impl AsyncFn(World)) {
    let (_directory, world) = World::in_a_file();
    test(world).await;
    on_each_home(async |home| test(World::on(home.open().await.records())).await).await;
}

async fn ask(actor: &dyn Handler, envelope: &Envelope) -> End {
    let request = Request {
        envelope: envelope.clone(),
        body: envelope.encode(),
        actor: "test".to_owned(),
        attempt: 1,
        timeout: Duration::from_secs(10),
    };
    match actor.handle(request).recv().await {
        Some(Reply::End(end)) => end,
        other => panic!("{other:?}"),
    }
}

fn envelope(id: &str) -> Envelope {
    Envelope::new(id, Route::new(["split", "work", "join", "render"]), Raw::of(&0))
}

/// The items of a fan-out at `split`, as they arrive at `join`, with their index as payload.
fn parts(id: &str, count: u64) -> Vec<Envelope> {
    let input = envelope(id);
    let lineage = Lineage::of(&input);
    (0..count)
        .map(|index| {
            let mut item = input.clone();
            item.payload = Raw::of(&index);
            lineage.assign(&mut item, index, Some(count));
            item.route.current = 2;
            item
        })
        .collect()
}

fn failed(part: &Envelope) -> Envelope {
    let mut at_work = part.clone();
    at_work.route.current = 1;
    let report = ErrorReport::new("processing_error", "it is empty", "work", 1, jiff::Timestamp::UNIX_EPOCH);
    let Wrapped::Whole(body) = report.wrap(&at_work, &Limits::default()) else { panic!("it fits") };
    Envelope::parse(body).unwrap()
}

#[tokio::test]
async fn an_end_is_recorded_under_its_id_with_the_whole_envelope() {
    on_each(async |world| {
        let mut done = envelope("job/../7");
        done.route.current = 4;
        assert!(world.give(&*world.happy, &done).await.is_empty());
        let record = world.record(RESULTS, "job/../7").await.unwrap();
        assert_eq!(record.status, Status::Succeeded);
        assert_eq!(record.envelope.unwrap().get().as_bytes(), done.encode());
    })
    .await;
}

#[tokio::test]
async fn of_two_copies_the_one_from_the_later_run_is_kept() {
    on_each(async |world| {
        let copy = |attempt: u64, payload: u64| {
            let mut copy = envelope("a");
            copy.headers.set(ATTEMPT, Raw::of(&attempt));
            copy.payload = Raw::of(&payload);
            copy
        };
        for (attempt, payload) in [(1, 10), (3, 30), (2, 20)] {
            world.give(&*world.happy, &copy(attempt, payload)).await;
        }
        let record = world.record(RESULTS, "a").await.unwrap();
        assert_eq!(
            (record.attempt, record.envelope.unwrap().get()),
            (3, &*String::from_utf8_lossy(&copy(3, 30).encode()))
        );
    })
    .await;
}

#[tokio::test]
async fn a_directory_holds_the_same_records_one_file_each() {
    let directory = tempfile::tempdir().unwrap();
    let happy = HappyEnd::new(Recorder::Directory(directory.path().to_owned()), HashSet::new());
    let End::Platform { writes, .. } = ask(&happy, &envelope("../a")).await else {
        panic!("a platform actor")
    };
    assert!(writes.is_empty(), "the file is written before the delivery is settled");
    let file = directory.path().join("results/%2e.%2fa.json");
    let record: Record = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(record.status, Status::Succeeded);
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_of_one_id_that_are_recorded_at_once_do_not_mix() {
    let directory = tempfile::tempdir().unwrap();
    let happy = HappyEnd::new(Recorder::Directory(directory.path().to_owned()), HashSet::new());
    let copies: Vec<_> =
        (0..32).map(|n| Envelope::new("a", Route::new(["x"]), Raw::of(&"y".repeat(n * 10_000)))).collect();
    let ends = futures::future::join_all(copies.iter().map(|copy| ask(&happy, copy))).await;
    assert!(ends.iter().all(|end| matches!(end, End::Platform { .. })), "{ends:?}");
    let files: Vec<_> = std::fs::read_dir(directory.path().join(RESULTS)).unwrap().collect();
    assert_eq!(files.len(), 1, "nothing is left beside the record");
    let record: Record =
        serde_json::from_slice(&std::fs::read(files[0].as_ref().unwrap().path()).unwrap()).unwrap();
    let whole = record.envelope.unwrap();
    assert!(copies.iter().any(|copy| copy.encode() == whole.get().as_bytes()));
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_an_infrastructure_failure() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("results"), "a file where the table should be").unwrap();
    let happy = HappyEnd::new(Recorder::Directory(directory.path().to_owned()), HashSet::new());
    let End::Failed(failure) = ask(&happy, &envelope("a")).await else { panic!("it cannot succeed") };
    assert_eq!(failure.fault, asya_handler::Fault::Infrastructure);
    assert!(failure.message.contains("results"), "{}", failure.message);
}

#[tokio::test]
async fn a_fan_in_of_something_that_was_not_split_is_refused_for_good() {
    on_each(async |world| {
        let End::Failed(failure) = ask(&*world.join, &envelope("a")).await else {
            panic!("it cannot succeed")
        };
        assert_eq!(failure.fault, asya_handler::Fault::Final);
        assert!(failure.message.contains("not part of a fan-out"), "{}", failure.message);
    })
    .await;
}

#[tokio::test]
async fn parts_join_in_order_under_the_id_that_was_split() {
    on_each(async |world| {
        let parts = parts("a", 4);
        let mut joined = Vec::new();
        for at in [2, 0, 3, 1] {
            joined.extend(world.give(&*world.join, &parts[at]).await);
        }
        let [joined] = &joined[..] else { panic!("one envelope goes on, not {}", joined.len()) };
        assert_eq!((joined.id.as_str(), joined.parent_id.as_deref()), ("a", None));
        assert_eq!((joined.route.current_actor(), joined.payload.as_str()), (Some("render"), "[0,1,2,3]"));
        assert!(joined.headers.get(FAN).is_none() && joined.headers.get(GAPS).is_none());
        assert_eq!(joined.headers.get_u64("x-asya-children"), Some(3), "child numbers stay used");
        for id in ["a-1", "a-2", "a-3"] {
            assert_eq!(world.record(RESULTS, id).await.unwrap().status, Status::Joined);
        }
    })
    .await;
}

#[tokio::test]
async fn a_generator_that_sent_more_before_it_was_tried_again_is_joined_all_the_same() {
    // The run that failed had sent items 1 to 4; the one that succeeded had three in all.
    let (more, fewer) = (parts("a", 5), parts("a", 3));
    for order in [[1, 2, 3, 4, 0], [4, 3, 2, 0, 1], [0, 4, 3, 1, 2], [3, 0, 4, 2, 1]] {
        on_each(async |world| {
            let mut joined = Vec::new();
            for at in order {
                joined.extend(world.give(&*world.join, if at == 0 { &fewer[0] } else { &more[at] }).await);
            }
            let [joined] = &joined[..] else {
                panic!("{order:?}: one envelope goes on, not {}", joined.len())
            };
            assert_eq!((joined.id.as_str(), joined.payload.as_str()), ("a", "[0,1,2]"));
        })
        .await;
    }
}

#[tokio::test]
async fn a_failed_part_leaves_a_gap_and_does_not_hold_the_others() {
    for broken in 0..3 {
        on_each(async |world| {
            let parts = parts("a", 3);
            let mut joined = Vec::new();
            for (at, part) in parts.iter().enumerate() {
                let arriving = if at == broken {
                    let notice = world.give(&*world.error, &failed(part)).await;
                    let [notice] = &notice[..] else { panic!("the fan-in is told once") };
                    assert_eq!(notice.route.current_actor(), Some("join"));
                    notice.clone()
                } else {
                    part.clone()
                };
                joined.extend(world.give(&*world.join, &arriving).await);
            }
            let [joined] = &joined[..] else { panic!("one envelope goes on, not {}", joined.len()) };
            let expected: Vec<usize> = (0..3).filter(|at| *at != broken).collect();
            assert_eq!(joined.payload.as_str(), serde_json::to_string(&expected).unwrap());
            assert_eq!(joined.id, "a");
            let gaps: serde_json::Value =
                serde_json::from_str(joined.headers.get(GAPS).unwrap().as_str()).unwrap();
            assert_eq!((&gaps[0]["index"], &gaps[0]["message"]), (&broken.into(), &"it is empty".into()));
            let (key, status) = if broken == 0 {
                ("a#part-0".to_owned(), Status::PartFailed)
            } else {
                (format!("a-{broken}"), Status::Failed)
            };
            assert_eq!(world.record(ERRORS, &key).await.unwrap().status, status);
            assert!(world.record(ERRORS, "a").await.is_none(), "the id lives on in the joined envelope");
        })
        .await;
    }
}

#[tokio::test]
async fn a_part_that_ends_early_leaves_a_gap_too() {
    on_each(async |world| {
        let parts = parts("a", 2);
        let mut early = parts[1].clone();
        early.route.current = 1;
        let notice = world.give(&*world.happy, &early).await;
        assert!(world.give(&*world.join, &notice[0]).await.is_empty());
        let joined = world.give(&*world.join, &parts[0]).await;
        assert_eq!(joined[0].payload.as_str(), "[0]");
        assert!(joined[0].headers.get(GAPS).unwrap().as_str().contains("ended_early"));
    })
    .await;
}

#[tokio::test]
async fn a_failure_after_or_at_the_join_is_an_end_like_any_other() {
    on_each(async |world| {
        let mut at_join = failed(&parts("a", 2)[0]);
        at_join.route.current = 2;
        assert!(world.give(&*world.error, &at_join).await.is_empty());
        assert_eq!(world.record(ERRORS, "a").await.unwrap().status, Status::Failed);
    })
    .await;
}

#[tokio::test]
async fn a_redelivered_last_part_sends_the_same_envelope_again() {
    on_each(async |world| {
        let parts = parts("a", 2);
        world.give(&*world.join, &parts[0]).await;
        let joined = world.give(&*world.join, &parts[1]).await;
        assert_eq!(world.give(&*world.join, &parts[1]).await, joined, "it completed the group");
        assert!(world.give(&*world.join, &parts[0]).await.is_empty(), "it did not");
    })
    .await;
}

#[tokio::test]
async fn nested_fan_outs_join_from_the_inside() {
    on_each(async |world| {
        let outer = parts("a", 2);
        let mut joined = Vec::new();
        for part in &outer {
            let mut split_again = part.clone();
            split_again.route = Route::new(["split", "again", "join", "join", "end"]);
            split_again.route.current = 2;
            let lineage = Lineage::of(&split_again);
            for index in [1, 0] {
                let mut inner = split_again.clone();
                inner.payload = Raw::of(&format!("{}.{index}", part.payload.as_str()));
                lineage.assign(&mut inner, index, Some(2));
                for back in world.give(&*world.join, &inner).await {
                    assert_eq!((back.id.as_str(), parts_of(&back.headers).len()), (part.id.as_str(), 1));
                    joined.extend(world.give(&*world.join, &back).await);
                }
            }
        }
        let [joined] = &joined[..] else { panic!("one envelope goes on, not {}", joined.len()) };
        assert_eq!(joined.payload.as_str(), r#"[["0.0","0.1"],["1.0","1.1"]]"#);
        assert_eq!((joined.id.as_str(), joined.route.current_actor()), ("a", Some("end")));
    })
    .await;
}

#[tokio::test]
async fn parts_that_arrive_at_several_replicas_at_the_same_time_join_once() {
    on_each(async |world| {
        for round in 0..4 {
            let parts = parts(&format!("round-{round}"), 12);
            let given = parts.iter().map(|part| world.give(&*world.join, part));
            let joined: Vec<_> = futures::future::join_all(given).await.into_iter().flatten().collect();
            let [joined] = &joined[..] else { panic!("one envelope goes on, not {}", joined.len()) };
            assert_eq!(joined.payload.as_str(), "[0,1,2,3,4,5,6,7,8,9,10,11]");
        }
    })
    .await;
}

/// Dead letters in the gateway's own store.
#[cfg(feature = "store")]
mod letters {
    use asya_crew::{Failures, Letter, Letters};
    use asya_store::{EnvelopeStore, StoreOptions, envelopes::DeadFilter};

    use super::*;

    struct Buried {
        _directory: TempDir,
        store: EnvelopeStore,
        error: Box<dyn Handler>,
    }

    async fn world(recorder: Recorder) -> Buried {
        let directory = tempfile::tempdir().unwrap();
        let url = directory.path().join("gateway.db").display().to_string();
        let store = EnvelopeStore::open(&url, StoreOptions::default()).await.unwrap();
        let failures = Failures { letters: Some(Arc::new(store.clone())), ..Failures::default() };
        let error = Box::new(ErrorEnd::with(recorder, HashSet::new(), failures));
        Buried { _directory: directory, store, error }
    }

    fn failed_at(seconds: i64) -> Envelope {
        let time = jiff::Timestamp::from_second(seconds).unwrap();
        let report = ErrorReport::new("processing_error", "it is empty", "split", 3, time);
        let Wrapped::Whole(body) = report.wrap(&envelope("a"), &Limits::default()) else { panic!("it fits") };
        Envelope::parse(body).unwrap()
    }

    #[tokio::test]
    async fn a_failure_is_one_letter_however_often_its_message_comes_and_the_next_failure_another() {
        let world = world(Recorder::Nowhere).await;
        for seconds in [10, 10, 20] {
            let end = ask(&*world.error, &failed_at(seconds)).await;
            assert!(matches!(end, End::Platform { .. }), "{end:?}");
        }
        let letters = world.store.dead_letters(&DeadFilter::default(), None, 10).await.unwrap().letters;
        let seen: Vec<_> = letters
            .iter()
            .map(|letter| {
                (letter.envelope.as_str(), letter.actor.as_str(), letter.code.as_str(), letter.attempts)
            })
            .collect();
        assert_eq!(seen, [("a", "split", "processing_error", 3); 2]);
        let oldest = world.store.dead_letter(&letters[1].id).await.unwrap().unwrap();
        assert_eq!(oldest.body, failed_at(10).encode());
        assert!(letters[0].detail.as_ref().unwrap().as_str().contains("\"class\":\"retryable\""));
    }

    #[tokio::test]
    async fn a_letter_that_the_store_will_never_take_stays_on_the_dead_letter_queue_unless_there_is_a_record()
    {
        let mut long = failed_at(10);
        long.id = "x".repeat(10_000);
        let end = ask(&*world(Recorder::Nowhere).await.error, &long).await;
        assert!(
            matches!(&end, End::Failed(failure) if failure.fault == asya_handler::Fault::Final),
            "{end:?}"
        );
        let directory = tempfile::tempdir().unwrap();
        let kept = world(Recorder::Directory(directory.path().to_owned())).await;
        assert!(matches!(ask(&*kept.error, &long).await, End::Platform { .. }));
    }

    /// A store that is away.
    struct Away;

    impl Letters for Away {
        fn bury<'a>(
            &'a self,
            _letter: &'a Letter,
        ) -> futures::future::BoxFuture<'a, Result<asya_crew::Buried, String>> {
            Box::pin(async { Err("database is away".to_owned()) })
        }
    }

    #[tokio::test]
    async fn a_letter_that_cannot_be_stored_now_keeps_the_message() {
        let failures = Failures { letters: Some(Arc::new(Away)), ..Failures::default() };
        let error = ErrorEnd::with(Recorder::Nowhere, HashSet::new(), failures);
        let End::Failed(failure) = ask(&error, &failed_at(10)).await else { panic!("it must not succeed") };
        assert_eq!(failure.fault, asya_handler::Fault::Infrastructure);
        assert!(failure.message.contains("database is away"), "{}", failure.message);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever the order, and however often parts come again, one envelope goes on and it holds each part once.
    #[test]
    fn any_order_with_redeliveries_joins_once(
        order in Just((0..6_usize).collect::<Vec<_>>()).prop_shuffle(), again in prop::collection::vec(0..6_usize, 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (_directory, world) = World::in_a_file();
            let parts = parts("a", 6);
            let mut seen = Vec::new();
            let mut joined = Vec::new();
            for (step, at) in order.iter().enumerate() {
                seen.push(*at);
                joined.extend(world.give(&*world.join, &parts[*at]).await);
                if let Some(again) = again.get(step).filter(|again| seen.contains(again) && step < 5) {
                    joined.extend(world.give(&*world.join, &parts[*again]).await);
                }
            }
            assert_eq!(joined.len(), 1);
            assert_eq!(joined[0].payload.as_str(), "[0,1,2,3,4,5]");
        });
    }
}
