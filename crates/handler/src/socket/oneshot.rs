//! Runtimes that take one connection per message: one request at a time.

use std::{io, path::Path, time::Duration};

use tokio::{io::AsyncWriteExt, time::Instant};

use super::{
    config::{SOCKET_NAME, SocketConfig},
    connect::{Line, LineError, connect},
    control::frame_cap,
    dispatch::{Dispatcher, Job},
    flight::{NEVER, timed_out},
};
use crate::{
    Code, Fault, Readiness, answer,
    frame::{FrameError, WriteQueue},
};

/// The one slot of a one-shot runtime.
const SLOT: u64 = 0;
/// How often it is looked whether the runtime is still the same.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// Pause before a socket that refuses connections is tried again.
const REFUSED_PAUSE: Duration = Duration::from_millis(20);

/// What became of one exchange.
enum Outcome {
    /// The request has ended and the runtime is free.
    Free,
    /// The request has ended, and the runtime still works on it.
    Busy(Line, Duration),
    /// The runtime is gone; the request had not been sent.
    Gone(Job),
}

/// What identifies a socket file: a restarted runtime makes a new one.
pub(super) fn inode(path: &Path) -> Option<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::metadata(path).ok()?;
    // The same number may be given to the next file; the time of creation tells them apart.
    Some((found.ino(), found.ctime_nsec().unsigned_abs() ^ found.ctime().unsigned_abs() << 30))
}

/// Drives a one-shot runtime until its socket is replaced or removed.
pub(super) async fn run(config: &SocketConfig, dispatcher: &Dispatcher) {
    tracing::info!(actor = config.actor, "runtime speaks the one-shot protocol");
    let path = config.directory.join(SOCKET_NAME);
    let Some(runtime) = inode(&path) else { return };
    let same = || inode(&path) == Some(runtime);
    let wake = dispatcher.add_worker(SLOT, 1);
    let mut jobs = Vec::new();
    loop {
        dispatcher.take_inbox(SLOT, &mut jobs);
        if !same() {
            break;
        }
        let Some(job) = jobs.pop() else {
            // Woken by a request, or to look whether the runtime is still there.
            let _ = tokio::time::timeout(LOOK, wake.notified()).await;
            continue;
        };
        if !job.sender.is_cancelled() {
            match exchange(config, &path, job, same).await {
                Outcome::Free => {}
                Outcome::Busy(line, patience) => wait_until_free(line, patience, dispatcher, same).await,
                Outcome::Gone(job) => {
                    jobs.push(job);
                    break;
                }
            }
        }
        dispatcher.finished(SLOT, 1, 1, &mut jobs);
    }
    jobs.append(&mut dispatcher.remove_worker(SLOT));
    dispatcher.resubmit(jobs.into_iter());
}

async fn exchange(config: &SocketConfig, path: &Path, job: Job, same: impl Fn() -> bool) -> Outcome {
    let limit = job.request.timeout.min(NEVER);
    let deadline = Instant::now() + limit;
    let stream = loop {
        tokio::select! {
            stream = connect(path) => match stream {
                Ok(stream) => break stream,
                Err(_) if !same() => return Outcome::Gone(job),
                Err(error) if Instant::now() >= deadline => {
                    job.fail(Code::Connection, Fault::Infrastructure, format!("cannot connect to the runtime: {error}"));
                    return Outcome::Free;
                }
                // It listens again soon, or its socket will be another.
                Err(_) => tokio::time::sleep(REFUSED_PAUSE).await,
            },
            () = tokio::time::sleep_until(deadline) => {
                job.fail(Code::Connection, Fault::Infrastructure, format!("the runtime accepts no connection within {limit:?}"));
                return Outcome::Free;
            }
            () = job.sender.cancelled() => return Outcome::Free,
        }
    };
    let mut line = Line::new(stream, frame_cap(config), config.budget.clone());
    let mut out = WriteQueue::default();
    out.frame(|out| out.put_shared(&job.request.body));
    let mut sent = false;
    let answer = tokio::select! {
        answer = async {
            line.write(&mut out).await?;
            sent = true;
            line.read().await
        } => answer,
        () = tokio::time::sleep_until(deadline) => {
            job.end(timed_out(limit));
            return Outcome::Busy(line, limit);
        }
        () = job.sender.cancelled() => return Outcome::Busy(line, limit),
    };
    match answer {
        Ok(body) => job.end(answer::one_shot(&body)),
        Err(LineError::Frame(error @ FrameError::TooLarge { .. })) => {
            job.fail(Code::ReplyTooLarge, Fault::Final, error.to_string());
        }
        Err(error) if sent => {
            // Its result cannot be sent (older runtimes close without a word), or its process died of it.
            let message = format!("failed to read response from runtime: {error}");
            job.fail(Code::Connection, Fault::Handler, message);
        }
        Err(error) => {
            let message = format!("failed to send the message to the runtime: {error}");
            job.fail(Code::Connection, Fault::Infrastructure, message);
        }
    }
    Outcome::Free
}

/// Waits until the runtime has closed the connection of a request that has ended, or is another one.
async fn wait_until_free(
    mut line: Line,
    patience: Duration,
    dispatcher: &Dispatcher,
    same: impl Fn() -> bool,
) {
    // Tells it that nobody waits; reading shows when it is done.
    let _ = line.stream.shutdown().await;
    let stuck_at = Instant::now() + patience;
    let mut stuck = false;
    let mut sink = vec![0; 4096];
    loop {
        let look_at = Instant::now() + LOOK;
        let until = if stuck { look_at } else { stuck_at.min(look_at) };
        if tokio::time::timeout_at(until, line.stream.readable()).await.is_ok() {
            match line.stream.try_read(&mut sink) {
                Ok(0) => break,
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        if !same() {
            break;
        }
        if !stuck && Instant::now() >= stuck_at {
            stuck = true;
            let reason =
                format!("the runtime has not come back from a request that timed out {patience:?} ago");
            tracing::error!(reason, "runtime hangs");
            dispatcher.set_readiness(Readiness::Stuck(reason));
        }
    }
    if stuck {
        dispatcher.set_readiness(Readiness::Ready);
    }
}
