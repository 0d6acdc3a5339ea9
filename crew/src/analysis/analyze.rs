//! Looks at one object: a pure step, so any number of it run at the same time, in any order.

use asya_analysis::message::{Observed, Subject, Task};
use asya_analysis::{Evaluation, Observation, Selection, Unverified, evaluate};
use asya_handler::{End, Fate, Request};
use futures::future::BoxFuture;

use super::{onward, read};
use crate::InProcess;
use crate::actor::{Act, ActError};

/// The actor `k8s-analyze`: a [`Task`] comes, an [`Observed`] goes on.
pub struct Analyze;

impl Analyze {
    /// The actor, working on up to `running` envelopes at the same time.
    pub fn handler(running: usize) -> InProcess<Self> {
        InProcess::new(Self, running)
    }
}

impl Act for Analyze {
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>> {
        Box::pin(async move {
            let task: Task = read(&request.envelope, "a task of k8s-watch")?;
            let Task { cluster, sequence, analyzers, subject } = task;
            let observation = match subject {
                Subject::Gone(object) => Observation::Gone(object),
                Subject::Found(evaluation) => Observation::Evaluated(*evaluation),
                Subject::Live(live) => Observation::Live(live),
                Subject::TooLarge(object) => {
                    let why = Unverified::Failed("it is too large for a message".to_owned());
                    Observation::Evaluated(Evaluation::doubtful(object, why))
                }
                Subject::Look { object, snapshot } => {
                    let selection = Selection::new(&analyzers, &[], &[])
                        .map_err(|unknown| ActError::Unfit(unknown.to_string()))?;
                    Observation::Evaluated(evaluate(&object, &selection, &snapshot))
                }
            };
            let observed = Observed { cluster, sequence, observation };
            let envelopes = vec![onward(&request.envelope, &observed)];
            Ok(End::Platform { envelopes, writes: Vec::new(), fate: Fate::GoesOn })
        })
    }
}
