//! One request as the sidecar sees it: who waits for it, how long, and how it ends.
//!
//! | state | event | becomes |
//! |---|---|---|
//! | waiting | Python takes it | running; its clock starts |
//! | waiting | nobody waits for it any more | gone, never run |
//! | running | Python answers and lets go | gone, ended as answered |
//! | running | its time runs out, async | cancelling; a last answer still counts |
//! | running | its time runs out, sync | cancelling, ended as timeout |
//! | cancelling | Python lets go | gone, ended as answered or as timeout |
//! | cancelling | patience runs out | hung, ended as timeout; the handler is stuck |
//! | hung | Python lets go after all | gone; the handler is not stuck any more |

use std::{future::pending, sync::Arc, time::Duration};

use asya_handler::{Code, End, Failure, Fault, Reply, ReplySender};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep_until, timeout_at},
};

use crate::{
    call::{Event, Job},
    handler::Shared,
};

/// How long a cancelled handler may take to end, as in the socket protocol.
const PATIENCE: Duration = Duration::from_secs(1);
/// Stands for no limit where a limit cannot be added to the clock.
const NEVER: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Running,
    Cancelling,
    Hung,
}

/// Attends to one request until Python lets go of it.
pub(crate) async fn attend(
    shared: Arc<Shared>,
    job: Arc<Job>,
    mut events: UnboundedReceiver<Event>,
    sender: ReplySender,
    limit: Duration,
) {
    let mut phase = Phase::Waiting;
    let mut sender = Some(sender);
    let mut started = None;
    let mut deadline: Option<Instant> = None;
    let timed_out = || {
        let message = format!("the handler took longer than {limit:?}");
        Reply::End(End::Failed(Failure::new(Code::Timeout, Fault::Handler, message)))
    };
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Started) => {
                    phase = Phase::Running;
                    started = Some(Instant::now());
                    deadline = Some(Instant::now() + limit.min(NEVER));
                }
                Some(Event::Reply(reply)) => {
                    let end = matches!(reply, Reply::End(_));
                    if let Some(to) = &sender {
                        let until = deadline.filter(|_| !end).unwrap_or_else(|| Instant::now() + NEVER);
                        // What found no room in time is lost with the request, which ends as timeout.
                        let _ = timeout_at(until, to.send(reply)).await;
                    }
                    if end {
                        sender = None;
                    }
                    if job.took() {
                        shared.inlet.room(&job);
                    }
                }
                Some(Event::Done) | None => break,
            },
            () = gone(sender.as_ref()) => {
                sender = None;
                if shared.inlet.withdraw(&job) {
                    return;
                }
                shared.inlet.cancel(&job);
            }
            () = at(deadline) => {
                if phase == Phase::Running {
                    phase = Phase::Cancelling;
                    deadline = Some(Instant::now() + PATIENCE);
                    if shared.inlet.is_async() {
                        shared.inlet.interrupt(&job);
                        continue;
                    }
                    // Only a generator that is at a yield will hear of it.
                    shared.inlet.cancel(&job);
                } else {
                    phase = Phase::Hung;
                    deadline = None;
                    shared.hung(limit);
                }
                if let Some(sender) = sender.take() {
                    sender.send(timed_out()).await;
                }
            }
        }
    }
    // Without an answer and without a reason the seam says that there was none.
    if let Some(sender) = sender.filter(|_| phase == Phase::Cancelling) {
        sender.send(timed_out()).await;
    }
    if phase == Phase::Hung {
        shared.came_back();
    }
    if let Some(started) = started {
        shared.ran(started.elapsed());
    }
}

async fn gone(sender: Option<&ReplySender>) {
    match sender {
        Some(sender) => sender.cancelled().await,
        None => pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
