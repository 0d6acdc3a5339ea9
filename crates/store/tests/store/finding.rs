//! Lists, filters and pages.

use asya_store::{
    StoreError,
    envelopes::{Counts, Cursor, Filter, NewEnvelope, Status, Step},
};

use crate::support::{at, envelope, failed, on_each, report, succeeded};

fn ids(page: &asya_store::envelopes::Page) -> Vec<&str> {
    page.envelopes.iter().map(|summary| summary.id.as_str()).collect()
}

#[tokio::test]
async fn every_filter_finds_what_it_says_newest_first() {
    on_each(async |store, _| {
        let with = |id: &str, tool: &str, resubmit_of: Option<&str>| NewEnvelope {
            tool: Some(tool.to_owned()),
            sender: Some("alice".to_owned()),
            namespace: Some(format!("ns-{tool}")),
            resubmit_of: resubmit_of.map(str::to_owned),
            ..envelope(id)
        };
        store.create(&with("Job-1", "ocr", None), at(1)).await.unwrap();
        store.create(&with("Job-2", "ocr", None), at(2)).await.unwrap();
        store.create(&with("Job-3", "translate", Some("Job-2")), at(3)).await.unwrap();
        store.create(&envelope("100%"), at(4)).await.unwrap();
        store.report("Job-1", &report(1, Step::Received), at(5)).await.unwrap();
        store.end("Job-2", &failed("No such FILE"), at(6)).await.unwrap();
        store.end("Job-3", &succeeded("1"), at(7)).await.unwrap();
        let found = async |filter: Filter| {
            let page = store.list(&filter, None, 10).await.unwrap();
            assert_eq!(page.next, None);
            ids(&page).join(" ")
        };
        let some = |text: &str| Some(text.to_owned());
        let all = Filter::default();
        assert_eq!(found(all.clone()).await, "100% Job-3 Job-2 Job-1");
        assert_eq!(found(Filter { statuses: vec![Status::Failed], ..all.clone() }).await, "Job-2");
        let two = vec![Status::Failed, Status::Succeeded];
        assert_eq!(found(Filter { statuses: two, ..all.clone() }).await, "Job-3 Job-2");
        assert_eq!(found(Filter { actor: some("b"), ..all.clone() }).await, "Job-2 Job-1");
        assert_eq!(found(Filter { tool: some("ocr"), ..all.clone() }).await, "Job-2 Job-1");
        assert_eq!(found(Filter { namespace: some("ns-translate"), ..all.clone() }).await, "Job-3");
        assert_eq!(found(Filter { resubmit_of: some("Job-2"), ..all.clone() }).await, "Job-3");
        assert_eq!(found(Filter { code: some("processing_error"), ..all.clone() }).await, "Job-2");
        assert_eq!(found(Filter { text: some("such file"), ..all.clone() }).await, "Job-2");
        assert_eq!(found(Filter { text: some("jOB-"), ..all.clone() }).await, "Job-3 Job-2 Job-1");
        assert_eq!(found(Filter { text: some("%"), ..all.clone() }).await, "100%");
        assert_eq!(
            found(Filter { from: Some(at(2)), until: Some(at(4)), ..all.clone() }).await,
            "Job-3 Job-2"
        );
        assert_eq!(found(Filter { actor: some("b"), tool: some("translate"), ..all }).await, "");
        let counts = Counts { pending: 1, running: 1, succeeded: 1, failed: 1, unknown: 0 };
        let got = store.counts().await.unwrap();
        assert_eq!(
            (got.pending + got.running, got.succeeded, got.failed),
            (2, counts.succeeded, counts.failed)
        );
    })
    .await;
}

#[tokio::test]
async fn pages_meet_every_envelope_once_while_others_come_and_go() {
    on_each(async |store, _| {
        for number in 0..25 {
            // Some of one moment: the id decides then.
            store.create(&envelope(&format!("{number:02}")), at(number / 3)).await.unwrap();
        }
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = store.list(&Filter::default(), cursor.as_ref(), 4).await.unwrap();
            seen.extend(page.envelopes.into_iter().map(|summary| summary.id));
            store.create(&envelope(&format!("new {}", seen.len())), at(100)).await.unwrap();
            let Some(next) = page.next else { break };
            cursor = Some(Cursor::parse(&next.to_string()).unwrap());
            assert_eq!(cursor, Some(next));
        }
        let mut expected: Vec<_> = (0..25).map(|number| format!("{number:02}")).collect();
        expected.reverse();
        assert_eq!(seen, expected);
        for wrong in ["", "x", "12", "x.y", "99999999999999999999.a"] {
            assert!(matches!(Cursor::parse(wrong), Err(StoreError::Refused(_))), "{wrong}");
        }
    })
    .await;
}
