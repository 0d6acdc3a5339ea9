//! Looks at one object: a pure step, so any number of it run at the same time, in any order.
//!
//! What a custom analyzer answers about an object comes here too, and goes on as an observation under its name.

use asya_analysis::custom::{Asked, answer::HEADER};
use asya_analysis::message::{Observed, Subject, Task};
use asya_analysis::{Evaluation, Observation, Selection, Unverified, evaluate};
use asya_envelope::{Envelope, Raw};
use asya_handler::{End, Fate, Request};
use futures::future::BoxFuture;

use super::{onward, read};
use crate::InProcess;
use crate::actor::{Act, ActError};

/// The actor `k8s-analyze`: a [`Task`] or the answer of a custom analyzer comes, an [`Observed`] goes on.
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
            if let Some(asked) = request.envelope.headers.get(HEADER) {
                let observed = answered(asked, &request.envelope)?;
                let mut onward = onward(&request.envelope, &observed);
                onward.headers.remove(HEADER);
                let envelopes = vec![onward];
                return Ok(End::Platform { envelopes, writes: Vec::new(), fate: Fate::GoesOn });
            }
            let task: Task = read(&request.envelope, "a task of k8s-watch")?;
            let Task { cluster, sequence, analyzers, subject } = task;
            let observation = match subject {
                Subject::Gone(object) => Observation::Gone(object),
                Subject::Found(evaluation) => Observation::Evaluated(*evaluation),
                Subject::Live(live) => Observation::Live(live),
                Subject::Custom(kinds) => Observation::Custom(kinds),
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

/// What a custom analyzer answers, as an observation under its name.
fn answered(asked: &Raw, envelope: &Envelope) -> Result<Observed, ActError> {
    let asked: Asked = serde_json::from_slice(asked.as_bytes())
        .map_err(|error| ActError::Unfit(format!("the header {HEADER} is not of k8s-watch: {error}")))?;
    let (cluster, sequence) = (asked.cluster.clone(), asked.sequence);
    let evaluation = asked.answered(envelope.payload.as_bytes());
    let evaluation = evaluation.map_err(|bad| ActError::Unfit(bad.to_string()))?;
    Ok(Observed { cluster, sequence, observation: Observation::Evaluated(evaluation) })
}
