//! An async function as a handler in the sidecar's own process.

use std::sync::Arc;

use asya_handler::{
    Capacity, Code, End, Failure, Fault, Handler, Progress, Readiness, Replies, Reply, ReplySender, Request,
};
use asya_store::StoreError;
use futures::future::BoxFuture;
use tokio::sync::watch;

/// What a platform actor does with one envelope.
pub trait Act: Send + Sync + 'static {
    /// Handles one envelope. Cancelled by dropping the future.
    ///
    /// # Errors
    /// [`ActError`], which says whether a later try can help.
    fn act(&self, request: Request) -> BoxFuture<'_, Result<End, ActError>>;

    /// The same for an actor that can say how far it is.
    ///
    /// # Errors
    /// As [`Act::act`].
    fn act_telling(&self, request: Request, _: Teller) -> BoxFuture<'_, Result<End, ActError>> {
        self.act(request)
    }

    /// Ends what the actor does beside that. Nothing, unless it says otherwise.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Says how far a run is, if anybody listens. Nobody waits for it: what finds no room is left out.
#[derive(Clone, Debug, Default)]
pub struct Teller(Option<ReplySender>);

impl Teller {
    /// `fraction` is from 0 to 1; the words are for a person.
    pub(crate) fn tell(&self, fraction: f64, message: String) {
        if let Some(sender) = &self.0 {
            let _ = sender.try_send(Reply::Progress(Progress { fraction, message }));
        }
    }
}

/// Why a platform actor did not finish.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The state could not be read or written: again, later.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Writing a file failed: again, later.
    #[error("writing {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A record could not be stored: again, later.
    #[error("storing {address}: {reason}")]
    Objects {
        /// Where it was to be.
        address: String,
        /// What the store said.
        reason: String,
    },
    /// The API server did not do what it was asked to: again, later.
    #[error("{doing}: {reason}")]
    Cluster {
        /// What it was asked to do.
        doing: String,
        /// What it said.
        reason: String,
    },
    /// The dead letter could not be handed over: again, later.
    #[error("dead letter: {0}")]
    Letter(String),
    /// What goes on could not be sent: again, later.
    #[error("sending {id:?} on: {reason}")]
    Unsent {
        /// Its id.
        id: String,
        /// What the transport said.
        reason: String,
    },
    /// The gateway did not do what it was asked to: again, later.
    #[error("the gateway is away: {0}")]
    Gateway(String),
    /// The envelope is not one that this actor can handle; no later try can succeed.
    #[error("{0}")]
    Unfit(String),
}

/// A platform actor as a [`Handler`]. Always ready; its capacity never changes.
pub struct InProcess<A> {
    act: Arc<A>,
    capacity: watch::Sender<Capacity>,
    readiness: watch::Sender<Readiness>,
}

impl<A: Act> InProcess<A> {
    /// An actor that works on up to `running` envelopes at the same time.
    pub(crate) fn new(act: A, running: usize) -> Self {
        Self {
            act: Arc::new(act),
            capacity: watch::Sender::new(Capacity { running, look_ahead: running }),
            readiness: watch::Sender::new(Readiness::Ready),
        }
    }
}

impl<A: Act> Handler for InProcess<A> {
    fn handle(&self, request: Request) -> Replies {
        let (sender, replies) = Replies::channel();
        let act = self.act.clone();
        let timeout = request.timeout;
        let teller = Teller(Some(sender.clone()));
        tokio::spawn(async move {
            let end = tokio::select! {
                () = sender.cancelled() => return,
                done = tokio::time::timeout(timeout, act.act_telling(request, teller)) => match done {
                    Ok(Ok(end)) => end,
                    Ok(Err(error)) => End::Failed(failure(&error)),
                    Err(_) => End::Failed(Failure::new(
                        Code::Timeout,
                        Fault::Handler,
                        format!("Runtime timeout exceeded after {timeout:?}"),
                    )),
                },
            };
            sender.send(Reply::End(end)).await;
        });
        replies
    }

    fn capacity(&self) -> watch::Receiver<Capacity> {
        self.capacity.subscribe()
    }

    fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    /// Running work belongs to the deliveries that wait for it.
    fn close(&self) -> BoxFuture<'_, ()> {
        self.act.close()
    }
}

fn failure(error: &ActError) -> Failure {
    let fault = match error {
        ActError::Store(_)
        | ActError::File { .. }
        | ActError::Objects { .. }
        | ActError::Cluster { .. }
        | ActError::Gateway(_)
        | ActError::Letter(_)
        | ActError::Unsent { .. } => Fault::Infrastructure,
        ActError::Unfit(_) => Fault::Final,
    };
    Failure::new(Code::Processing, fault, error.to_string())
}
