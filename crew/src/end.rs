//! `happy-end` and `error-end`: the last stop of every envelope.

use std::{collections::HashSet, sync::Arc};

use asya_envelope::lineage;
use asya_handler::{End, Fate, Request};
use futures::future::BoxFuture;
use jiff::Timestamp;

use crate::{
    InProcess,
    actor::{Act, ActError},
    failure::{Again, Details, Next},
    gap,
    letter::{Buried, Letter, Letters},
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
        InProcess::new(EndActor { recorder, fan_ins, failures: None }, RUNNING)
    }
}

impl ErrorEnd {
    /// The actor, with the names of the fan-in actors that may wait for parts that failed. It tries nothing again and
    /// has no place for dead letters.
    #[allow(clippy::new_ret_no_self, reason = "the names of the actors are what users look for")]
    pub fn new(recorder: Recorder, fan_ins: HashSet<String>) -> InProcess<EndActor> {
        Self::with(recorder, fan_ins, Failures::default())
    }

    /// The same, with what is to be done about failures.
    pub fn with(recorder: Recorder, fan_ins: HashSet<String>, failures: Failures) -> InProcess<EndActor> {
        InProcess::new(EndActor { recorder, fan_ins, failures: Some(failures) }, RUNNING)
    }
}

/// What error-end does about a failure besides recording it.
#[derive(Clone, Default)]
pub struct Failures {
    /// What is tried again.
    pub again: Again,
    /// Where dead letters go.
    pub letters: Option<Arc<dyn Letters>>,
}

/// What both end actors do.
pub struct EndActor {
    recorder: Recorder,
    fan_ins: HashSet<String>,
    /// Of error-end.
    failures: Option<Failures>,
}

impl EndActor {
    async fn end(&self, request: &Request) -> Result<End, ActError> {
        let envelope = &request.envelope;
        if let Some(failures) = &self.failures {
            let details = Details::of(envelope);
            match failures.again.next(envelope, &details, request.attempt, Timestamp::now()) {
                Next::Bury => {}
                Next::Wait(after) => {
                    let reason = format!("{} at {} is tried again", details.code, details.actor);
                    return Ok(End::Retry { after: Some(after), reason });
                }
                Next::Send(again) => {
                    tracing::info!(id = again.id, code = details.code, actor = details.actor, "trying again");
                    return Ok(End::Platform {
                        envelopes: vec![*again],
                        writes: Vec::new(),
                        fate: Fate::GoesOn,
                    });
                }
            }
        }
        let notice = gap::notice(envelope, &self.fan_ins);
        let (table, status) = match self.failures {
            None => (RESULTS, Status::Succeeded),
            Some(_) => (ERRORS, Status::Failed),
        };
        // Item 0 of a fan-out lends its id to the joined result: its own failure is recorded beside that id, which
        // does not end here.
        let (key, status, goes_on) = match lineage::parts_of(&envelope.headers).last() {
            Some(part) if notice.is_some() && part.index == 0 => {
                (format!("{}#part-0", envelope.id), Status::PartFailed, true)
            }
            _ => (envelope.id.clone(), status, false),
        };
        let recorded = self.recorder.record(table, &key, status, envelope, &request.body).await?;
        if let Some(failures) = &self.failures {
            self.bury(failures, request, recorded.stored.as_deref()).await?;
        }
        let fate = if goes_on { Fate::GoesOn } else { Fate::Ended { stored: recorded.stored } };
        Ok(End::Platform { envelopes: notice.into_iter().collect(), writes: recorded.writes, fate })
    }

    /// Hands the dead letter over, after the record: what is replayed has one.
    async fn bury(
        &self,
        failures: &Failures,
        request: &Request,
        stored: Option<&str>,
    ) -> Result<(), ActError> {
        let Some(letters) = &failures.letters else { return Ok(()) };
        let details = Details::of(&request.envelope);
        let class = failures.again.class(&request.envelope, &details, Timestamp::now());
        let letter = Letter::of(&request.envelope, &details, class, stored, &request.body);
        match letters.bury(&letter).await.map_err(ActError::Letter)? {
            Buried::Kept => Ok(()),
            Buried::Nowhere => {
                tracing::debug!(id = letter.envelope, "the gateway keeps no dead letters");
                Ok(())
            }
            // Without a record of its own the dead-letter queue keeps it.
            Buried::Refused(reason) if matches!(self.recorder, Recorder::Nowhere) => {
                Err(ActError::Unfit(format!("dead letter refused: {reason}")))
            }
            Buried::Refused(reason) => {
                tracing::warn!(
                    id = letter.envelope,
                    reason,
                    "dead letter refused; the record is all there is"
                );
                Ok(())
            }
        }
    }
}

impl Act for EndActor {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move { self.end(&request).await })
    }
}
