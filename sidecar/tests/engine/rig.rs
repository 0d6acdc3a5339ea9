//! An engine on a queue file of its own, what is sent to it and what comes out.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use asya_envelope::{ActorName, Naming, Raw};
use asya_handler::{
    Capacity, Code, End, Failure, Fault, Handler, Item, Readiness, Replies, Reply, ReplySender, Request,
};
use asya_sidecar::{Ended, Engine, EngineConfig, EngineError, Observers, RetryPolicy, Stats};
use asya_transport::{
    Consumer, DeadLetters, Outcome, Outgoing, Queues, Transport,
    local::{Local, LocalOptions},
};
use futures::future::BoxFuture;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    sync::{Mutex, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Nothing here takes longer unless it is broken.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
/// The actor of all rigs.
pub(crate) const ACTOR: &str = "ocr";

type Script = Box<dyn Fn(Request, ReplySender) -> BoxFuture<'static, ()> + Send + Sync>;

/// A handler that does as it is told.
pub(crate) struct Scripted {
    script: Script,
    capacity: watch::Sender<Capacity>,
    readiness: watch::Sender<Readiness>,
    events: Events,
    never_closes: AtomicBool,
}

/// What happened, in order.
#[derive(Clone, Default)]
pub(crate) struct Events(Arc<std::sync::Mutex<Vec<String>>>);

impl Events {
    pub(crate) fn note(&self, event: impl Into<String>) {
        self.0.lock().unwrap().push(event.into());
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Scripted {
    pub(crate) fn new<F, R>(script: F) -> Arc<Self>
    where
        F: Fn(Request, ReplySender) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        Arc::new(Self {
            script: Box::new(move |request, replies| Box::pin(script(request, replies))),
            capacity: watch::Sender::new(Capacity { running: 8, look_ahead: 8 }),
            readiness: watch::Sender::new(Readiness::Ready),
            events: Events::default(),
            never_closes: AtomicBool::new(false),
        })
    }

    /// Answers each request at once with the end that `answer` makes of it.
    pub(crate) fn ending(answer: impl Fn(&Request) -> End + Send + Sync + 'static) -> Arc<Self> {
        Self::new(move |request, replies| {
            let end = answer(&request);
            async move {
                replies.send(Reply::End(end)).await;
            }
        })
    }

    /// Returns the payload as it came.
    pub(crate) fn echo() -> Arc<Self> {
        Self::ending(|request| End::Done(vec![Item::payload(request.envelope.payload.clone())]))
    }

    pub(crate) fn events(&self) -> Events {
        self.events.clone()
    }

    /// From now on closing it never ends.
    pub(crate) fn hang_on_close(&self) {
        self.never_closes.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_readiness(&self, readiness: Readiness) {
        self.readiness.send_replace(readiness);
    }
}

impl Handler for Scripted {
    fn handle(&self, request: Request) -> Replies {
        let (sender, replies) = Replies::channel();
        self.events.note(format!("handle {}", request.envelope.id));
        let (run, watch) = ((self.script)(request, sender.clone()), sender);
        tokio::spawn(async move {
            tokio::select! { () = run => {} () = watch.cancelled() => {} }
        });
        replies
    }

    fn capacity(&self) -> watch::Receiver<Capacity> {
        self.capacity.subscribe()
    }

    fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.subscribe()
    }

    fn shutdown(&self) -> BoxFuture<'_, bool> {
        self.events.note("handler told to end");
        Box::pin(async { true })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            if self.never_closes.load(Ordering::Relaxed) {
                std::future::pending::<()>().await;
            }
            self.events.note("handler closed");
        })
    }
}

/// A handler's own failure.
pub(crate) fn raised(type_name: &str) -> End {
    let mut failure = Failure::new(Code::Processing, Fault::Handler, "it broke");
    failure.type_name = Some(type_name.to_owned());
    failure.mro = vec![format!("builtins.{type_name}"), "builtins.Exception".to_owned()];
    failure.traceback = Some("Traceback: it broke".to_owned());
    End::Failed(failure)
}

/// A failure that is not the handler's.
pub(crate) fn infrastructure() -> End {
    End::Failed(Failure::new(Code::Connection, Fault::Infrastructure, "no runtime"))
}

/// One item with this JSON payload.
pub(crate) fn item(payload: &str) -> Item {
    Item::payload(json(payload))
}

pub(crate) fn json(text: &str) -> Raw {
    Raw::parse(text.to_owned().into()).unwrap()
}

/// Queues in a file; no engine yet.
pub(crate) struct Bench {
    _folder: TempDir,
    pub(crate) local: Arc<Local>,
    pub(crate) config: EngineConfig,
    pub(crate) observers: Observers,
}

impl Bench {
    /// With queues for the actor, `next` and both ends, short pauses, and no retry.
    pub(crate) async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let local = Local::open(&folder.path().join("queues.db"), LocalOptions::default()).unwrap();
        for actor in [ACTOR, "next", "happy-end", "error-end"] {
            local.ensure(&Naming::bare().queue(actor)).await.unwrap();
        }
        let retry = RetryPolicy {
            initial: Duration::from_millis(20),
            max: Duration::from_millis(100),
            ..RetryPolicy::default()
        };
        let config = EngineConfig {
            retry,
            unroutable_grace: Duration::from_millis(300),
            grace: LIMIT,
            ..EngineConfig::new(ActorName::parse(ACTOR).unwrap())
        };
        Self { _folder: folder, local, config, observers: Observers::default() }
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut EngineConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Starts an engine with this handler.
    pub(crate) fn start(self, handler: Arc<Scripted>) -> Rig {
        let transport = Arc::clone(&self.local) as Arc<dyn Transport>;
        self.start_on(transport, handler)
    }

    /// Starts an engine on a transport that stands before the file.
    pub(crate) fn start_on(self, transport: Arc<dyn Transport>, handler: Arc<Scripted>) -> Rig {
        let engine = Engine::new(self.config.clone(), transport, handler, self.observers.clone());
        let (stats, stop) = (engine.stats(), CancellationToken::new());
        let running = tokio::spawn(engine.run(stop.clone()));
        Rig { bench: self, stats, stop, running, consumers: Mutex::default() }
    }
}

/// A running engine.
pub(crate) struct Rig {
    bench: Bench,
    pub(crate) stats: Arc<Stats>,
    pub(crate) stop: CancellationToken,
    pub(crate) running: JoinHandle<Result<Ended, EngineError>>,
    consumers: Mutex<HashMap<String, Box<dyn Consumer>>>,
}

impl Rig {
    pub(crate) fn local(&self) -> &Arc<Local> {
        &self.bench.local
    }

    /// Puts a body on the actor's queue.
    pub(crate) async fn send(&self, body: impl AsRef<[u8]>) {
        let queue = Naming::bare().queue(self.bench.config.actor.as_str());
        let body = body.as_ref().to_vec().into();
        self.bench.local.publish(Outgoing { queue, body }, None).await.unwrap();
    }

    /// An envelope for the route `ocr -> next`.
    pub(crate) async fn send_envelope(&self, id: &str, payload: &str) {
        self.send(envelope(id, payload)).await;
    }

    /// The next body on an actor's queue, removed from it.
    pub(crate) async fn take_body(&self, actor: &str) -> String {
        // One consumer per queue: what one that is dropped gives back would come out of order.
        let mut consumers = self.consumers.lock().await;
        if !consumers.contains_key(actor) {
            let queue = Naming::bare().queue(actor);
            let consumer = self.bench.local.consume(&queue, 1.try_into().unwrap()).await.unwrap();
            consumers.insert(actor.to_owned(), consumer);
        }
        let consumer = consumers.get_mut(actor).expect("it was just put there");
        let delivery = timeout(LIMIT, consumer.next()).await;
        let delivery = delivery.unwrap_or_else(|_| panic!("nothing came to {actor}")).unwrap();
        let body = String::from_utf8(delivery.body.to_vec()).unwrap();
        delivery.settle(Outcome::forward(Vec::new())).await.map_err(|(error, _)| error).unwrap();
        body
    }

    pub(crate) async fn take(&self, actor: &str) -> Value {
        serde_json::from_str(&self.take_body(actor).await).unwrap()
    }

    /// Messages on an actor's queue, in hand included.
    pub(crate) async fn count(&self, actor: &str) -> u64 {
        let depth = self.bench.local.depth(&Naming::bare().queue(actor)).await.unwrap();
        depth.ready + depth.in_flight + depth.delayed
    }

    /// Reasons of the actor's dead letters.
    pub(crate) async fn dead(&self) -> Vec<String> {
        let queue = Naming::bare().queue(self.bench.config.actor.as_str());
        let letters = DeadLetters::list(&*self.bench.local, &queue, 100).await.unwrap();
        letters.into_iter().map(|letter| format!("{letter:?}")).collect()
    }

    /// Waits until nothing is left on the actor's queue or in hand.
    pub(crate) async fn settled(&self) {
        self.until("the engine has nothing left to do", async || {
            self.count(self.bench.config.actor.as_str()).await == 0 && self.stats.in_flight() == 0
        })
        .await;
    }

    /// Waits for a condition.
    pub(crate) async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let wait = async {
            while !condition().await {
                sleep(Duration::from_millis(5)).await;
            }
        };
        timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("it never came true that {what}"));
    }

    /// Stops the engine and waits for the end of its drain.
    pub(crate) async fn stopped(self) -> Bench {
        self.stop.cancel();
        timeout(LIMIT, self.running).await.expect("the drain ends").unwrap().unwrap();
        self.bench
    }
}

/// An envelope for the route `ocr -> next`.
pub(crate) fn envelope(id: &str, payload: &str) -> String {
    format!(r#"{{"id":"{id}","route":{{"actors":["ocr","next"],"current":0}},"payload":{payload}}}"#)
}
