//! A hundred thousand envelopes.

use std::time::{Duration, Instant};

use asya_store::envelopes::{Filter, Status};

use crate::support::{on_each, sql};

const ENVELOPES: u64 = 100_000;
/// Longest a page may take here: on two busy cores it takes a tenth of it, with a sort of all rows much more.
const PAGE_TIME: Duration = Duration::from_secs(2);

/// One row for the number `n`, whose time is `{time}`.
const ROW: &str = "SELECT 'e' || n, CASE n % 10 WHEN 0 THEN 'failed' WHEN 1 THEN 'running' ELSE 'succeeded' END, \
     '{actors}', 0, {time}, {time}, 'actor' || (n % 50), 'tool' || (n % 20), \
     CASE WHEN n % 7 = 0 THEN 'e' || (n / 7) END, CASE n % 10 WHEN 0 THEN 'error number ' || n END, \
     CASE n % 10 WHEN 0 THEN 'processing_error' END, CASE n % 10 WHEN 1 THEN NULL ELSE {time} END";
const INTO: &str = "INSERT INTO envelopes (id, status, route_actors, route_current, created_at, updated_at, \
     current_actor_name, tool, parent_id, error, code, ended_at)";

#[tokio::test]
async fn among_a_hundred_thousand_every_filter_is_answered_from_an_index() {
    on_each(async |store, home| {
        if store.kind() == "sqlite" {
            let row = ROW.replace("{actors}", "[\"a\"]").replace("{time}", "1767225600000000 + n");
            let numbers = format!("n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {ENVELOPES})");
            let connection = rusqlite::Connection::open(&home.url).unwrap();
            connection.execute_batch(&format!("{INTO} WITH RECURSIVE {numbers} {row} FROM n")).unwrap();
            connection.execute_batch("ANALYZE").unwrap();
        } else {
            let time = "timestamptz '2026-01-01T00:00:00Z' + n * interval '1 microsecond'";
            let row = ROW.replace("{actors}", "{a}").replace("{time}", time);
            sql(
                &home.url,
                &format!("{INTO} {row} FROM generate_series(1, {ENVELOPES}) n; ANALYZE envelopes"),
            )
            .await;
        }
        let some = |text: &str| Some(text.to_owned());
        let all = Filter::default();
        let filters = [
            all.clone(),
            Filter { statuses: vec![Status::Failed], ..all.clone() },
            Filter { statuses: vec![Status::Running, Status::Pending], ..all.clone() },
            Filter { actor: some("actor7"), ..all.clone() },
            Filter { tool: some("tool7"), ..all.clone() },
            Filter { parent: some("e77"), ..all.clone() },
            Filter { resubmit_of: some("e77"), ..all.clone() },
            Filter { code: some("processing_error"), ..all.clone() },
            Filter { actor: some("actor10"), statuses: vec![Status::Failed], ..all.clone() },
            // The last of all, by a part of its error: the worst case, all rows are looked at.
            Filter { text: some("error number 10"), ..all },
        ];
        for filter in filters {
            let began = Instant::now();
            let page = store.list(&filter, None, 50).await.unwrap();
            let took = began.elapsed();
            let rare = filter.parent.is_some() || filter.resubmit_of.is_some();
            // Rows of several states, or of a state at an actor, are found by an index and may then be sorted.
            let sorted =
                rare || filter.statuses.len() > 1 || filter.actor.is_some() && !filter.statuses.is_empty();
            assert_eq!(page.next.is_none(), rare, "{filter:?}");
            // From the middle on, as a later page.
            let cursor = asya_store::envelopes::Cursor::parse("1767225600050000.x").unwrap();
            for after in [None, Some(&cursor)] {
                let plan = store.explain(&filter, after, 50).await.unwrap();
                eprintln!("{took:?} {filter:?}\n{plan}");
                let indexed = plan.contains("USING INDEX") || plan.contains("Index Scan");
                assert!(indexed && !plan.contains("Seq Scan"), "{filter:?}: {plan}");
                assert!(
                    sorted || !(plan.contains("TEMP B-TREE") || plan.contains("Sort")),
                    "{filter:?}: {plan}"
                );
            }
            assert!(took < PAGE_TIME, "{filter:?} took {took:?}");
        }
        let counts = store.counts().await.unwrap();
        assert_eq!(counts.running + counts.failed + counts.succeeded, ENVELOPES);
    })
    .await;
}
