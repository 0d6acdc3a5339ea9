//! Progress goes forward.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use asya_store::envelopes::{Ended, Reported, Status, Step, Update};
use proptest::{prelude::*, test_runner::TestRunner};

use crate::support::{at, envelope, names, on_each, report, succeeded};

#[tokio::test]
async fn percentages_are_those_of_the_actor_that_reports() {
    on_each(async |store, _| {
        store.create(&envelope("1"), at(0)).await.unwrap();
        let expected = [3.33, 16.67, 33.33, 36.67, 50.0, 66.67, 70.0, 83.33, 100.0];
        let mut got = Vec::new();
        for current in 0..3 {
            for step in [Step::Received, Step::Processing, Step::Completed] {
                match store.report("1", &report(current, step), at(1)).await.unwrap() {
                    Reported::Applied(percent) => got.push(percent),
                    other => panic!("{other:?}"),
                }
                let summary = store.summary("1").await.unwrap().unwrap();
                assert_eq!(summary.current, current);
                assert_eq!(summary.actor, report(current, step).actor);
                assert_eq!(summary.completed, current + usize::from(step == Step::Completed));
                assert_eq!(summary.status, Status::Running);
            }
        }
        assert_eq!(got, expected);
    })
    .await;
}

#[tokio::test]
async fn the_go_systems_completed_counts_for_the_actor_that_is_done() {
    on_each(async |store, _| {
        store.create(&envelope("1"), at(0)).await.unwrap();
        for (current, step) in [(0, Step::Received), (0, Step::Processing), (1, Step::Completed)] {
            let go =
                asya_store::envelopes::Report { actor: None, attempt: 0, seq: 0, ..report(current, step) };
            store.report("1", &go, at(1)).await.unwrap();
        }
        let summary = store.summary("1").await.unwrap().unwrap();
        assert_eq!((summary.percent, summary.completed), (33.33, 1));
        assert_eq!((summary.current, summary.actor.as_deref()), (0, Some("a")));
    })
    .await;
}

#[tokio::test]
async fn a_longer_route_replaces_a_shorter_one_and_a_fraction_fills_the_gap() {
    on_each(async |store, _| {
        store.create(&envelope("1"), at(0)).await.unwrap();
        store.report("1", &report(0, Step::Completed), at(1)).await.unwrap();
        let mut longer = report(1, Step::Processing);
        longer.actors = names(&["a", "b", "x", "c"]);
        longer.fraction = Some(0.5);
        longer.duration = Some(Duration::from_millis(1500));
        longer.size = Some(2048);
        assert_eq!(store.report("1", &longer, at(2)).await.unwrap(), Reported::Applied(43.75));
        // A shorter one comes late: the route stays.
        store.report("1", &report(1, Step::Completed), at(3)).await.unwrap();
        let summary = store.summary("1").await.unwrap().unwrap();
        assert_eq!((summary.actors, summary.percent), (names(&["a", "b", "x", "c"]), 50.0));
        let updates = store.updates_since("1", 0, 100).await.unwrap();
        let update = updates.iter().find(|update| update.actors.is_some()).unwrap();
        assert_eq!(update.actors, Some(names(&["a", "b", "x", "c"])));
        assert_eq!((update.duration, update.size), (Some(Duration::from_millis(1500)), Some(2048)));
        assert_eq!((update.step, update.attempt, update.at), (Some(Step::Processing), 1, at(2)));
    })
    .await;
}

#[tokio::test]
async fn a_report_that_comes_late_or_again_moves_nothing_back() {
    on_each(async |store, _| {
        store.create(&envelope("1"), at(0)).await.unwrap();
        store.report("1", &report(1, Step::Processing), at(1)).await.unwrap();
        let before = store.summary("1").await.unwrap().unwrap();
        for (current, step) in [(0, Step::Completed), (1, Step::Received), (1, Step::Processing)] {
            let late = store.report("1", &report(current, step), at(2)).await.unwrap();
            assert_eq!(late, Reported::Late(before.percent));
            let after = store.summary("1").await.unwrap().unwrap();
            assert_eq!((after.current, &after.actor, &after.message), (1, &before.actor, &before.message));
        }
        // Another run of the handler is news, and no progress.
        let mut again = report(1, Step::Received);
        again.attempt = 2;
        assert_eq!(store.report("1", &again, at(3)).await.unwrap(), Reported::Applied(50.0));
        assert_eq!(store.summary("1").await.unwrap().unwrap().attempt, 2);
    })
    .await;
}

#[tokio::test]
async fn what_is_tried_again_or_fails_is_told_and_moves_nothing_back() {
    on_each(async |store, _| {
        store.create(&envelope("1"), at(0)).await.unwrap();
        store.report("1", &report(1, Step::Processing), at(1)).await.unwrap();
        let before = store.summary("1").await.unwrap().unwrap();
        for step in [Step::Retrying, Step::Failed] {
            assert_eq!(
                store.report("1", &report(1, step), at(2)).await.unwrap(),
                Reported::Applied(before.percent)
            );
            let after = store.summary("1").await.unwrap().unwrap();
            assert_eq!((after.status, after.percent), (Status::Running, before.percent));
            assert_eq!((after.completed, after.message), (1, report(1, step).message));
        }
        let told = store.updates_since("1", 0, 100).await.unwrap().split_off(2);
        let steps: Vec<_> = told.iter().map(|update| (update.step, update.actor.as_deref())).collect();
        assert_eq!(steps, [(Some(Step::Retrying), Some("b")), (Some(Step::Failed), Some("b"))]);
        // The next run, and the end that the error end reports.
        let mut again = report(1, Step::Received);
        again.attempt = 2;
        assert_eq!(store.report("1", &again, at(3)).await.unwrap(), Reported::Applied(before.percent));
        assert_eq!(store.end("1", &crate::support::failed("no"), at(4)).await.unwrap(), Ended::Applied);
    })
    .await;
}

#[tokio::test]
async fn an_envelope_that_its_handler_lets_go_has_ended_there_once_without_a_result() {
    on_each(async |store, _| {
        store.create(&envelope("1"), at(0)).await.unwrap();
        store.report("1", &report(1, Step::Processing), at(1)).await.unwrap();
        // A copy of it that an actor before handled again.
        let earlier = store.report("1", &report(0, Step::Dropped), at(2)).await.unwrap();
        assert!(matches!(earlier, Reported::Late(_)), "{earlier:?}");
        let dropped = report(1, Step::Dropped);
        assert_eq!(store.report("1", &dropped, at(3)).await.unwrap(), Reported::Applied(100.0));
        let ended = store.get("1").await.unwrap().unwrap();
        let summary = &ended.summary;
        assert_eq!((summary.status, summary.percent, summary.ended), (Status::Succeeded, 100.0, Some(at(3))));
        assert_eq!((summary.current, summary.actor.as_deref(), summary.completed), (1, Some("b"), 2));
        assert!(summary.message.as_deref().unwrap().contains("The handler of 'b' let the envelope go"));
        assert_eq!((&summary.error, &ended.result), (&None, &None));
        let told = async || {
            let updates = store.updates_since("1", 0, 100).await.unwrap();
            updates.into_iter().filter(|update| !update.is_late()).collect::<Vec<_>>()
        };
        let before = told().await;
        let [.., said, last] = &before[..] else { panic!("{before:?}") };
        assert_eq!(
            (said.status, said.step, said.actor.as_deref()),
            (Status::Running, Some(Step::Dropped), Some("b"))
        );
        assert_eq!((last.status, last.step, last.percent), (Status::Succeeded, None, Some(100.0)));
        // Again, and another word of the end: it stays.
        let again = store.report("1", &dropped, at(4)).await.unwrap();
        assert_eq!(again, Reported::Ended(Status::Succeeded));
        let other = store.end("1", &crate::support::failed("no"), at(5)).await.unwrap();
        assert_eq!(other, Ended::Before(Status::Succeeded));
        assert_eq!(store.get("1").await.unwrap().unwrap(), ended);
        assert_eq!(told().await, before);
    })
    .await;
}

/// What may happen to an envelope, in any order.
#[derive(Clone, Debug)]
enum Event {
    Claim,
    Report { current: usize, step: Step, attempt: u32, seq: u32, named: bool },
    End(bool),
    Cancel,
    Sweep,
}

fn event() -> impl Strategy<Value = Event> {
    let step = proptest::sample::select(&Step::ALL[..]);
    prop_oneof![
        8 => (0..5_usize, step, 0..3_u32, 0..4_u32, any::<bool>()).prop_map(
            |(current, step, attempt, seq, named)| Event::Report { current, step, attempt, seq, named }
        ),
        1 => Just(Event::Claim),
        1 => any::<bool>().prop_map(Event::End),
        1 => Just(Event::Cancel),
        1 => Just(Event::Sweep),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn in_any_order_of_events_status_and_progress_only_go_forward() {
    on_each(async |store, _| {
        let mut runner = TestRunner::new(ProptestConfig { cases: 24, ..ProptestConfig::default() });
        let number = AtomicU32::new(0);
        let events = || proptest::collection::vec(event(), 1..24);
        let handle = tokio::runtime::Handle::current();
        let run = runner.run(&events(), |events| {
            let id = format!("p{}", number.fetch_add(1, Ordering::Relaxed));
            tokio::task::block_in_place(|| handle.block_on(forward(&store, &id, &events)))
        });
        run.unwrap();
    })
    .await;
}

async fn forward(store: &asya_store::EnvelopeStore, id: &str, events: &[Event]) -> Result<(), TestCaseError> {
    let rank = |status: Status| match status {
        Status::Pending => 0,
        Status::Running | Status::Unknown => 1,
        Status::Succeeded | Status::Failed => 2,
    };
    let mut new = envelope(id);
    new.deadline = Some(at(10));
    store.create(&new, at(0)).await.unwrap();
    let mut before = store.get(id).await.unwrap().unwrap();
    for event in events {
        let ended = match event {
            Event::Claim => {
                store.claim(at(1), Duration::from_secs(60), 100).await.unwrap();
                None
            }
            Event::Report { current, step, attempt, seq, named } => {
                let mut report = report(*current, *step);
                (report.attempt, report.seq) = (*attempt, *seq);
                report.actor = report.actor.filter(|_| *named);
                let reported = store.report(id, &report, at(2)).await.unwrap();
                Some(*step == Step::Dropped && matches!(reported, Reported::Applied(_)))
            }
            Event::End(well) => {
                let ending = if *well { succeeded("1") } else { crate::support::failed("x") };
                Some(store.end(id, &ending, at(3)).await.unwrap() == Ended::Applied)
            }
            Event::Cancel => {
                let cancelled = store.cancel(id, "", at(3)).await.unwrap();
                Some(matches!(cancelled, asya_store::envelopes::Cancelled::Applied(_)))
            }
            Event::Sweep => Some(store.sweep(at(10), 1000).await.unwrap().iter().any(|ended| ended == id)),
        };
        let after = store.get(id).await.unwrap().unwrap();
        if before.summary.status.is_final() {
            prop_assert_eq!(&after, &before);
            prop_assert_ne!(ended, Some(true));
        } else {
            prop_assert_eq!(after.summary.status.is_final(), ended == Some(true));
        }
        prop_assert!(rank(after.summary.status) >= rank(before.summary.status));
        prop_assert!(after.summary.percent >= before.summary.percent);
        prop_assert!(after.summary.current >= before.summary.current);
        prop_assert!(after.summary.completed >= before.summary.completed);
        prop_assert!(after.summary.actors.len() >= before.summary.actors.len());
        before = after;
    }
    let updates = store.updates_since(id, 0, 1000).await.unwrap();
    prop_assert!(updates.is_sorted_by(|a, b| a.seq < b.seq && rank(a.status) <= rank(b.status)));
    let (late, told): (Vec<_>, Vec<_>) = updates.into_iter().partition(Update::is_late);
    prop_assert!(told.is_sorted_by(|a, b| a.percent <= b.percent));
    prop_assert!(told.iter().filter(|update| update.status.is_final()).count() <= 1);
    prop_assert!(late.iter().all(|late| late.percent.is_none() && late.status == before.summary.status));
    Ok(())
}

#[tokio::test]
async fn what_actors_have_handled_lately_is_counted_by_actor_whether_or_not_the_end_has_overtaken_it() {
    on_each(async |store, _| {
        for (id, second) in [("1", 1), ("2", 20), ("3", 30)] {
            store.create(&envelope(id), at(0)).await.unwrap();
            for step in [Step::Received, Step::Processing, Step::Completed] {
                store.report(id, &report(0, step), at(second)).await.unwrap();
            }
        }
        store.end("3", &succeeded("1"), at(31)).await.unwrap();
        store.report("3", &report(1, Step::Completed), at(32)).await.unwrap();
        let handled = store.handled_since(at(20)).await.unwrap();
        assert_eq!(handled.into_iter().collect::<Vec<_>>(), [("a".to_owned(), 2), ("b".to_owned(), 1)]);
        assert!(store.handled_since(at(33)).await.unwrap().is_empty());
    })
    .await;
}
