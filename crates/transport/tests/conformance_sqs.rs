//! The conformance suite against SQS-compatible servers, whose addresses are in `ASYA_TEST_SQS_ENDPOINT` and
//! `ASYA_TEST_SQS_ENDPOINT_2`: two independent ones, as each has gaps of its own.

#![cfg(feature = "sqs")]

mod sqs;

use std::sync::Arc;

use asya_transport::conformance::{self, Harness};

#[test]
fn sqs_conforms() {
    let servers = sqs::servers();
    if servers.is_empty() {
        return;
    }
    conformance::check(servers.into_iter().map(|server| Arc::new(server) as Arc<dyn Harness>).collect());
}
