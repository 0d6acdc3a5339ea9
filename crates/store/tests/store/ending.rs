//! How envelopes end.

use asya_store::envelopes::{Creation, Ended, Ending, Reported, Status, Step};

use crate::support::{at, envelope, json, on_each, report};

fn succeeded() -> Ending {
    Ending::Succeeded { result: Some(json("[1.0]")), stored_at: None }
}

#[tokio::test]
async fn an_envelope_that_has_ended_stays_as_it_ended() {
    on_each(async |store, _| {
        assert_eq!(store.create(&envelope("1"), at(0)).await.unwrap(), Creation::Created);
        assert_eq!(
            store.report("1", &report(0, Step::Received), at(1)).await.unwrap(),
            Reported::Applied(3.33)
        );
        assert_eq!(store.end("1", &succeeded(), at(2)).await.unwrap(), Ended::Applied);
        assert_eq!(
            store.report("1", &report(1, Step::Received), at(3)).await.unwrap(),
            Reported::Ended(Status::Succeeded)
        );
        let failed = Ending::Failed {
            error: "late".to_owned(),
            code: None,
            details: None,
            actor: None,
            current: None,
            actors: Vec::new(),
        };
        assert_eq!(store.end("1", &failed, at(4)).await.unwrap(), Ended::Before(Status::Succeeded));
        let ended = store.get("1").await.unwrap().unwrap();
        assert_eq!(ended.result, Some(json("[1.0]")));
        assert_eq!(ended.payload, Some(json("{\"n\":1e400}")));
        assert_eq!((ended.summary.status, ended.summary.percent), (Status::Succeeded, 100.0));
        assert_eq!(ended.summary.ended, Some(at(2)));
    })
    .await;
}
