//! Payloads on a server that speaks S3.
#![allow(clippy::unwrap_used, reason = "a test says by panicking what went wrong")]

mod support;

use asya_objects::{Place, S3};
use asya_payload::{ClaimError, store::objects};
use object_store::signer::Method;
use support::{claims, conforms, payload};

fn place(endpoint: String, bucket: &str) -> Place {
    Place::S3(S3 {
        bucket: bucket.to_owned(),
        endpoint: Some(endpoint),
        key: Some(("test".to_owned(), "test".to_owned())),
        region: None,
    })
}

#[tokio::test]
async fn s3_is_a_store_and_a_bucket_that_is_not_there_is_unavailable() {
    let Some(endpoint) = std::env::var("ASYA_TEST_S3_ENDPOINT").ok().filter(|text| !text.is_empty()) else {
        eprintln!(
            "\n=== NOT TESTED: S3; start a server with tests/servers/sqs.sh and set ASYA_TEST_S3_ENDPOINT ===\n"
        );
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must test against an S3 server");
        return;
    };
    let place = place(endpoint, &format!("asya-payload-{}", std::process::id()));
    let store = objects(&place, "claims/here").unwrap();
    let refused = claims(store.clone()).check_in("a", &payload(100)).await.unwrap_err();
    assert!(matches!(&refused, ClaimError::Unavailable { .. }), "{refused}");
    place.open().unwrap().bucket.unwrap().make(Method::PUT).await.unwrap();
    conforms(store).await;
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let claims = claims(objects(&place(format!("http://{address}"), "b"), "").unwrap());
    let refused = claims.check_in("a", &payload(100)).await.unwrap_err();
    assert!(matches!(&refused, ClaimError::Unavailable { store, .. } if store == "s3://b"), "{refused}");
}
