//! The local transport as the suite sees it.

use std::{sync::Arc, time::Duration};

use asya_envelope::Queue;
use asya_transport::{
    conformance::{Client, Harness, Traits, report::unique},
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
        Queue::named(format!("asya-{}", unique()))
    }
}

/// The local transport on a file of its own.
pub(crate) fn harnesses() -> Vec<Arc<dyn Harness>> {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    vec![Arc::new(LocalHarness { directory })]
}
