//! What somebody approved is begun once. The header says that it was approved, and where; the gateway knows for what, and
//! whether it was begun before.
//!
//! A handler that has run for an approval does not run for it again, whatever became of that run: nobody here knows how far
//! it came.

use asya_envelope::{Approved, Envelope, headers::SUBJECT};
use asya_transport::Meta;

use crate::{
    failure::{NOT_APPROVED, Refusal},
    gateway::Begun,
    settle::Resolution,
    shared::Shared,
};

impl Shared {
    /// Begins what an envelope was approved for, where the gateway is asked: the run that follows is the only one. None:
    /// nobody is asked, and it runs as any.
    ///
    /// # Errors
    /// What becomes of an envelope that is not to run, or not now.
    pub(crate) async fn begun(&self, input: &Envelope, meta: &Meta) -> Result<Option<Meta>, Resolution> {
        let Some(gateway) = self.observers.approvals.as_ref().filter(|_| self.config.approved_only) else {
            return Ok(None);
        };
        // Without one it has not come here.
        let operation = Approved::here(input).map(|approved| approved.operation).unwrap_or_default();
        let subject = input.headers.get_text(SUBJECT).unwrap_or_default();
        let begun = tokio::select! {
            biased;
            () = self.abort.cancelled() => return Err(Resolution::release()),
            begun = gateway.begin(&subject, &operation, self.actor(), &input.payload) => begun,
        };
        let reason = match begun {
            Begun::Now => return Ok(Some(Meta { last_chance: true, ..meta.clone() })),
            Begun::Refused(reason) => format!("operation {operation:?}: {reason}"),
            Begun::Away(reason) if meta.last_chance || meta.deliveries >= self.config.max_deliveries => {
                format!("operation {operation:?}: the gateway, which knows of it, is away: {reason}")
            }
            Begun::Away(reason) => {
                tracing::warn!(id = input.id, reason, "what was approved waits for the gateway");
                let pause = self.config.retry.pause(meta.deliveries, rand::random());
                return Err(Resolution::retry(pause, meta.attempts, NOT_APPROVED));
            }
        };
        tracing::warn!(id = input.id, reason, "not begun");
        Err(self.refused(input, &Refusal::new(NOT_APPROVED, reason)))
    }
}
