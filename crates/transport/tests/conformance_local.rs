//! The behaviour of every transport, shown by the local one.
#![cfg(feature = "local")]

use std::{sync::Arc, time::Duration};

use asya_envelope::Queue;
use asya_transport::{
    conformance::{self, Client, Harness, Traits},
    local::{Local, LocalOptions},
};
use futures::future::BoxFuture;
use tempfile::TempDir;

/// Short, so that the suite can wait for it; long enough for a busy machine to renew in time.
const LEASE: Duration = Duration::from_secs(2);

struct LocalHarness {
    directory: TempDir,
}

impl Harness for LocalHarness {
    fn name(&self) -> String {
        "local".to_owned()
    }

    fn traits(&self) -> Traits {
        Traits {
            delay: Duration::from_millis(200),
            slack: Duration::from_secs(2),
            redelivery: LEASE + Duration::from_secs(10),
            counts_deliveries: true,
            keeps_attempts: true,
            keeps_reason: true,
            exact_depth: true,
            ordered: true,
            atomic: true,
            load: 4000,
        }
    }

    fn client(&self) -> BoxFuture<'_, anyhow::Result<Client>> {
        Box::pin(async {
            let options = LocalOptions { lease: LEASE, ..LocalOptions::default() };
            let local = Local::open(&self.directory.path().join("queues.db"), options)?;
            let severed = Arc::clone(&local);
            Ok(Client {
                transport: local.clone(),
                queues: local.clone(),
                dead_letters: local,
                sever: Box::new(move || Box::pin(async move { severed.close().await })),
            })
        })
    }

    fn fresh_queue(&self) -> Queue {
        Queue::named(format!("asya-{}", conformance::report::unique()))
    }
}

#[test]
fn local_conforms() {
    let directory = tempfile::tempdir().unwrap();
    conformance::check(vec![Arc::new(LocalHarness { directory })]);
}
