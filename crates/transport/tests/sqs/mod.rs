//! The servers that the tests of SQS run on, and clients of them.

#![allow(dead_code, reason = "each test program uses a part of it")]

mod cable;
pub(crate) mod scripted;

use std::{sync::Arc, time::Duration};

use asya_envelope::Queue;
use asya_transport::{
    conformance::{Client, Harness, Traits, report::unique},
    sqs::{Sqs, SqsConfig},
};
use futures::future::BoxFuture;

use cable::Cable;

/// Short, so that renewals and redeliveries can be waited for.
pub(crate) const VISIBILITY: Duration = Duration::from_secs(4);

/// One server.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) endpoint: String,
    load: usize,
    gaps: Gaps,
}

/// What a server is known not to do, and SQS does. Measured; the cases that find it ask less of that server.
#[derive(Clone, Copy)]
pub(crate) struct Gaps {
    /// Two receives at once may be answered with the same message: 5 of 3,000 messages with 8 receivers. (SQS promises
    /// at least once, too, but does it seldom.)
    delivers_twice: bool,
}

/// The servers named by the environment. Without any: says so, or fails where everything must run.
pub(crate) fn servers() -> Vec<Server> {
    let named = [
        ("ASYA_TEST_SQS_ENDPOINT", "elasticmq", 1000, Gaps { delivers_twice: false }),
        ("ASYA_TEST_SQS_ENDPOINT_2", "moto", 200, Gaps { delivers_twice: true }),
    ];
    let servers: Vec<_> = named
        .into_iter()
        .filter_map(|(variable, name, load, gaps)| {
            let endpoint = std::env::var(variable).ok().filter(|endpoint| !endpoint.is_empty())?;
            Some(Server { name, endpoint, load, gaps })
        })
        .collect();
    if servers.len() < named.len() {
        eprintln!(
            "\n=== SQS: {} of {} SQS-compatible servers are tested; start them with tests/servers/sqs.sh and set \
             ASYA_TEST_SQS_ENDPOINT and ASYA_TEST_SQS_ENDPOINT_2 ===\n",
            servers.len(),
            named.len()
        );
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must test against both SQS servers");
    }
    servers
}

impl Server {
    pub(crate) fn config(&self) -> SqsConfig {
        SqsConfig {
            region: Some("us-east-1".to_owned()),
            endpoint: Some(self.endpoint.clone()),
            visibility_timeout: VISIBILITY,
            wait_time: Duration::from_secs(2),
            ..SqsConfig::default()
        }
    }

    pub(crate) async fn connect(&self, config: SqsConfig) -> anyhow::Result<Arc<Sqs>> {
        Ok(Sqs::connect(config).await?)
    }

    /// The service's own client, for what no transport would do.
    pub(crate) async fn raw(&self) -> aws_sdk_sqs::Client {
        use aws_smithy_http_client::{Builder, tls};
        let http = Builder::new()
            .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
            .build_https();
        let config = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
            .http_client(http)
            .region("us-east-1")
            .endpoint_url(&self.endpoint)
            .load()
            .await;
        aws_sdk_sqs::Client::new(&config)
    }
}

impl Harness for Server {
    fn name(&self) -> String {
        format!("sqs {}", self.name)
    }

    fn traits(&self) -> Traits {
        Traits {
            delay: Duration::from_secs(1),
            slack: Duration::from_secs(5),
            redelivery: VISIBILITY * 2 + Duration::from_secs(15),
            counts_deliveries: true,
            keeps_attempts: false,
            keeps_reason: true,
            exact_depth: false,
            ordered: false,
            atomic: false,
            load: self.load,
        }
    }

    fn client(&self) -> BoxFuture<'_, anyhow::Result<Client>> {
        Box::pin(async move {
            let cable = Cable::to(&self.endpoint).await?;
            let endpoint = Some(cable.endpoint());
            let sqs = self.connect(SqsConfig { endpoint, ..self.config() }).await?;
            Ok(Client {
                transport: Arc::clone(&sqs) as _,
                queues: Arc::clone(&sqs) as _,
                dead_letters: sqs,
                sever: Box::new(move || Box::pin(async move { cable.cut() })),
            })
        })
    }

    fn fresh_queue(&self) -> Queue {
        Queue::named(format!("asya-t-{}", unique()))
    }

    fn delivers_once(&self) -> bool {
        !self.gaps.delivers_twice
    }
}
