//! The push scaler on servers that speak SQS, where each look is paid for.

#![allow(clippy::unwrap_used, reason = "tests")]

mod queues;

use std::{
    net::TcpListener,
    sync::Arc,
    time::{Duration, Instant},
};

use asya_operator::{
    queues::{Brokers, Whose},
    scaler::{
        self, Counters, Target,
        proto::{ScaledObjectRef, external_scaler_client::ExternalScalerClient},
        target::Known,
    },
    settings::Push,
};
use asya_transport::{
    Outgoing, Transport as _,
    sqs::{Sqs, SqsConfig},
};
use bytes::Bytes;
use queues::{SOON, eventually, fresh_queue, server, settings};
use serde_json::json;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

/// Looks may not come sooner after one another.
const PACE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn sqs_is_looked_at_every_five_seconds_and_wakes_its_actor() {
    for endpoint in ["ASYA_TEST_SQS_ENDPOINT", "ASYA_TEST_SQS_ENDPOINT_2"].into_iter().filter_map(server) {
        let config = json!({"region": "us-east-1", "endpoint": endpoint});
        let transports = json!({"sqs": {"enabled": true, "config": config}});
        let brokers = Brokers::new(&settings(&transports, std::path::Path::new("/nowhere")));
        let queue = fresh_queue();
        brokers.ensure("sqs", &queue, Whose { namespace: "team", actor: "ocr" }).await.unwrap();

        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let push = Push {
            bind: address,
            address: address.to_string(),
            tls: None,
            authentication: None,
            default: true,
        };
        let (actors, counters, stop) =
            (Arc::new(Known::default()), Counters::default(), CancellationToken::new());
        let transport = "sqs".to_owned();
        let target = Target { transport, queue: queue.clone(), push: true, at_zero: true, queue_length: 5 };
        actors.set("team", "ocr", Some(target));
        let served = {
            let (counters, stop) = (counters.clone(), stop.clone());
            tokio::spawn(async move { scaler::serve(&push, actors, Arc::new(brokers), counters, stop).await })
        };
        eventually("the scaler listens", async || tokio::net::TcpStream::connect(address).await.is_ok())
            .await;
        let channel = Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap();
        let object = ScaledObjectRef { name: "ocr".to_owned(), namespace: "team".to_owned() };
        let mut stream =
            ExternalScalerClient::new(channel).stream_is_active(object).await.unwrap().into_inner();
        eventually("the queue is looked at", async || counters.looks.get() == 1).await;
        let first = Instant::now();

        let sidecar = Sqs::connect(SqsConfig {
            region: Some("us-east-1".to_owned()),
            endpoint: Some(endpoint.clone()),
            ..SqsConfig::default()
        })
        .await
        .unwrap();
        sidecar.publish(Outgoing { queue, body: Bytes::from_static(b"{}") }, None).await.unwrap();
        let said = timeout(SOON, stream.message()).await.expect("woken in time").unwrap().unwrap();
        assert!(said.result);
        let woken = first.elapsed();
        println!("woken {woken:?} after the first look, {} looks", counters.looks.get());
        // The first look was seen up to 100 ms after it was made.
        assert!(woken + Duration::from_millis(200) > PACE, "looked again after {woken:?}");
        assert_eq!(counters.looks.get(), 2);
        stop.cancel();
        timeout(SOON, served).await.expect("ended in time").unwrap().unwrap();
    }
}
