//! What every transport promises, tried on all of them: one table, transport x case.
//!
//! The local transport always; RabbitMQ and SQS where tests/servers has started servers for them.

#[path = "../rabbitmq/mod.rs"]
mod brokers;
mod local;
mod rabbitmq;
#[path = "../sqs/mod.rs"]
mod sqs;

use std::sync::Arc;

use asya_transport::conformance::{self, Harness};

#[test]
fn every_transport_keeps_every_promise() {
    let mut harnesses = local::harnesses();
    harnesses.extend(rabbitmq::harnesses());
    harnesses.extend(sqs::servers().into_iter().map(|server| Arc::new(server) as Arc<dyn Harness>));
    conformance::check(harnesses);
}
