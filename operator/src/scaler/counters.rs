//! What the scaler counts; names and meanings are in `asya_telemetry::operator`.

use asya_telemetry::operator as names;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Counters of the scaler; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// `active=true` that were sent.
    pub activations: Counter,
    /// Queues that were looked at.
    pub looks: Counter,
    /// Streams that are open.
    pub streams: Gauge,
}

impl Counters {
    /// Registers them, in a registry with the operator's prefix.
    pub fn register(&self, registry: &mut Registry) {
        let name = &names::SCALER_ACTIVATIONS;
        registry.register(name.registered(), name.help, self.activations.clone());
        let name = &names::SCALER_LOOKS;
        registry.register(name.registered(), name.help, self.looks.clone());
        let name = &names::SCALER_STREAMS;
        registry.register(name.registered(), name.help, self.streams.clone());
    }
}
