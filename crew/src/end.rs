//! `happy-end` and `error-end`: the last stop of every envelope.

use std::collections::HashSet;

use asya_envelope::{Envelope, lineage};
use asya_handler::{End, Request};
use futures::future::BoxFuture;

use crate::{
    InProcess,
    actor::{Act, ActError},
    gap,
    record::{ERRORS, RESULTS, Recorder, Status},
};

/// Envelopes that one end actor works on at the same time: enough to fill the group commits of the local transport.
const RUNNING: usize = 64;

/// Records what succeeded.
pub struct HappyEnd;

/// Records what failed.
pub struct ErrorEnd;

impl HappyEnd {
    /// The actor, with the names of the fan-in actors that may wait for parts that end early.
    #[allow(clippy::new_ret_no_self, reason = "the names of the actors are what users look for")]
    pub fn new(recorder: Recorder, fan_ins: HashSet<String>) -> InProcess<EndActor> {
        InProcess::new(EndActor { table: RESULTS, status: Status::Succeeded, recorder, fan_ins }, RUNNING)
    }
}

impl ErrorEnd {
    /// The actor, with the names of the fan-in actors that may wait for parts that failed.
    #[allow(clippy::new_ret_no_self, reason = "the names of the actors are what users look for")]
    pub fn new(recorder: Recorder, fan_ins: HashSet<String>) -> InProcess<EndActor> {
        InProcess::new(EndActor { table: ERRORS, status: Status::Failed, recorder, fan_ins }, RUNNING)
    }
}

/// What both end actors do.
pub struct EndActor {
    table: &'static str,
    status: Status,
    recorder: Recorder,
    fan_ins: HashSet<String>,
}

impl EndActor {
    async fn end(&self, envelope: &Envelope) -> Result<End, ActError> {
        let notice = gap::notice(envelope, &self.fan_ins);
        // Item 0 of a fan-out lends its id to the joined result: its own failure is recorded beside that id.
        let (key, status) = match lineage::parts_of(&envelope.headers).last() {
            Some(part) if notice.is_some() && part.index == 0 => {
                (format!("{}#part-0", envelope.id), Status::PartFailed)
            }
            _ => (envelope.id.clone(), self.status),
        };
        let writes = self.recorder.record(self.table, &key, status, envelope).await?;
        Ok(End::Platform { envelopes: notice.into_iter().collect(), writes })
    }
}

impl Act for EndActor {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { self.end(&request.envelope).await })
    }
}
