//! Export of spans, where this program has it.

#[cfg(feature = "otlp")]
pub(super) use asya_telemetry::otlp::Export;

/// Begins to export to `endpoint`.
#[cfg(feature = "otlp")]
pub(super) fn export(endpoint: Option<&str>) -> Option<Export> {
    let outcome = Export::start(endpoint?, "gateway");
    outcome.inspect_err(|reason| tracing::error!(reason, "spans are not exported")).ok()
}

#[cfg(not(feature = "otlp"))]
pub(super) fn export(endpoint: Option<&str>) -> Option<Export> {
    if endpoint.is_some() {
        tracing::error!("spans are not exported: this program was built without it (feature \"otlp\")");
    }
    None
}

/// Stands where an export would be.
#[cfg(not(feature = "otlp"))]
pub(super) enum Export {}

#[cfg(not(feature = "otlp"))]
impl Export {
    pub(super) fn sender(&self) -> crate::rest::traces::Spans {
        match *self {}
    }

    pub(super) async fn flush(self, _limit: std::time::Duration) {
        match self {}
    }
}
