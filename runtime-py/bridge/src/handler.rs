//! The handler seam over one Python thread.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use asya_handler::{Capacity, Handler, Readiness, Replies, Request, frame::MARGIN, message::Mode};
use futures::future::BoxFuture;
use pyo3::prelude::*;
use tokio::sync::{mpsc, watch};

use crate::{
    attend::attend,
    call::Job,
    inlet::{Inlet, PyInlet, Setup},
    interpreter,
};

/// Handlers faster than this are given requests ahead, as over the socket.
const FAST: Duration = Duration::from_millis(1);
/// Requests that a fast sync handler has ahead.
const AHEAD: usize = 15;
/// Weight of the newest run in the mean.
const WEIGHT: f64 = 0.1;
/// How long Python may take for its exit functions after the last request.
const FAREWELL: Duration = Duration::from_secs(1);

/// What an embedded handler is told beside what the environment says: `ASYA_HANDLER` and the other variables of the
/// runtime.
#[derive(Clone, Debug)]
pub struct EmbeddedConfig {
    /// Largest reply of one request in bytes, all its items together.
    pub max_reply: usize,
    /// Folders that are searched for modules before all others, as by `PYTHONPATH`.
    pub path: Vec<PathBuf>,
    /// Set in Python's `os.environ` before the handler is loaded, over what the process has.
    pub variables: Vec<(String, String)>,
}

impl Default for EmbeddedConfig {
    fn default() -> Self {
        Self { max_reply: asya_envelope::limits::DEFAULT_MAX_REPLY, path: Vec::new(), variables: Vec::new() }
    }
}

/// Why there is no handler. The program ends with this: waiting mends none of it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StartError {
    /// No interpreter, or not one that fits.
    #[error("{0}")]
    Python(String),
    /// A variable has a value that it cannot have.
    #[error("the configuration is wrong: {0}")]
    Configuration(String),
    /// The handler cannot be imported or constructed.
    #[error("the handler cannot be loaded: {0}")]
    Handler(String),
    /// The thread that runs Python has ended by itself.
    #[error("Python has ended: {0}")]
    Ended(String),
}

/// Python handlers in this process. One thread runs Python: sync handlers one request after the other, async ones side
/// by side on an event loop.
pub struct EmbeddedHandler(Arc<Shared>);

/// What the handler, its thread and the tasks of its requests share.
pub(crate) struct Shared {
    pub(crate) inlet: Arc<Inlet>,
    config: EmbeddedConfig,
    ids: AtomicU64,
    capacity: watch::Sender<Capacity>,
    readiness: watch::Sender<Readiness>,
    /// Tasks that attend to a request that has not ended.
    busy: watch::Sender<usize>,
    failed: watch::Sender<Option<StartError>>,
    ended: watch::Sender<bool>,
    pace: Mutex<Pace>,
}

/// How the runs go.
struct Pace {
    mean: f64,
    hung: usize,
}

impl EmbeddedHandler {
    /// Starts the interpreter, if it does not run in this process yet, and loads the handler, both on a thread of their
    /// own: [`Handler::readiness`] says when it is done, [`EmbeddedHandler::failed`] that it never will be.
    ///
    /// # Panics
    /// If the system has no thread or socket left.
    pub fn start(config: EmbeddedConfig) -> Arc<Self> {
        let shared = Arc::new(Shared {
            inlet: Arc::new(Inlet::new().expect("a process that starts may open two sockets")),
            config,
            ids: AtomicU64::new(1),
            capacity: watch::Sender::new(Capacity::ONE),
            readiness: watch::Sender::new(Readiness::NotReady("the handler is being loaded".to_owned())),
            busy: watch::Sender::new(0),
            failed: watch::Sender::new(None),
            ended: watch::Sender::new(false),
            pace: Mutex::new(Pace { mean: FAST.as_secs_f64(), hung: 0 }),
        });
        let python = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("python".to_owned())
            // Deep recursion in handlers gets what a main thread has.
            .stack_size(8 * 1024 * 1024)
            .spawn(move || python.run())
            .expect("a process that starts may have a thread");
        Arc::new(Self(shared))
    }

    /// Waits until it is clear that requests will never be handled (any more). Cancel safe.
    pub async fn failed(&self) -> StartError {
        let mut failed = self.0.failed.subscribe();
        let seen = failed.wait_for(Option::is_some).await.expect("the sender lives in self");
        seen.clone().expect("waited for it")
    }
}

impl Handler for EmbeddedHandler {
    fn handle(&self, request: Request) -> Replies {
        let (sender, replies) = Replies::channel();
        let (events, received) = mpsc::unbounded_channel();
        let id = self.0.ids.fetch_add(1, Ordering::Relaxed);
        let timeout = request.timeout;
        let job = Arc::new(Job::new(id, request, self.0.config.max_reply, events));
        self.0.inlet.push(Arc::clone(&job));
        let shared = Arc::clone(&self.0);
        shared.busy.send_modify(|count| *count += 1);
        tokio::spawn(async move {
            attend(Arc::clone(&shared), job, received, sender, timeout).await;
            shared.busy.send_modify(|count| *count -= 1);
        });
        replies
    }

    fn capacity(&self) -> watch::Receiver<Capacity> {
        self.0.capacity.subscribe()
    }

    fn readiness(&self) -> watch::Receiver<Readiness> {
        self.0.readiness.subscribe()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.0.inlet.close();
            let mut readiness = self.0.readiness.subscribe();
            let mut busy = self.0.busy.subscribe();
            tokio::select! {
                _ = busy.wait_for(|count| *count == 0) => {}
                // What hangs has ended for the sidecar; nobody waits for it.
                _ = readiness.wait_for(|now| matches!(now, Readiness::Stuck(_))) => return,
            }
            let mut ended = self.0.ended.subscribe();
            drop(tokio::time::timeout(FAREWELL, ended.wait_for(|ended| *ended)).await);
        })
    }
}

impl Shared {
    /// The Python thread.
    fn run(&self) {
        if let Err(error) = self.python() {
            self.readiness.send_replace(Readiness::Stuck(error.to_string()));
            self.failed.send_replace(Some(error));
        }
        self.inlet.abandon();
        self.ended.send_replace(true);
    }

    fn python(&self) -> Result<(), StartError> {
        interpreter::start().map_err(StartError::Python)?;
        Python::attach(|py| {
            let embedded = self.load(py)?;
            let inlet = PyInlet(Arc::clone(&self.inlet));
            // Attached for the whole life of the thread, so that it keeps its identity and its thread-local data.
            embedded
                .call_method1("serve", (inlet, self.config.max_reply + MARGIN))
                .map_err(|error| StartError::Ended(told(py, &error)))?;
            Ok(())
        })
    }

    fn load<'py>(&self, py: Python<'py>) -> Result<Bound<'py, PyAny>, StartError> {
        self.surroundings(py).map_err(|error| StartError::Python(told(py, &error)))?;
        let module = py.import("asya_runtime.embedded").map_err(|error| {
            StartError::Python(format!(
                "{}: install the package asya-runtime of this version for {}, or set PYTHONPATH",
                told(py, &error),
                py.import("sys")
                    .and_then(|sys| sys.getattr("executable"))
                    .map_or_else(|_| "the interpreter".to_owned(), |executable| executable.to_string()),
            ))
        })?;
        let embedded = module.call_method0("prepare").map_err(|error| {
            let name = error.get_type(py).name().map(|name| name.to_string()).unwrap_or_default();
            match name.as_str() {
                "ConfigError" => StartError::Configuration(error.value(py).to_string()),
                "LoadError" => StartError::Handler(error.value(py).to_string()),
                _ => StartError::Handler(told(py, &error)),
            }
        })?;
        let setup = setup(&embedded).map_err(|error| StartError::Python(told(py, &error)))?;
        self.inlet.prepare(setup);
        self.capacity.send_replace(Capacity { running: setup.running, look_ahead: 0 });
        self.readiness.send_replace(Readiness::Ready);
        Ok(embedded)
    }

    fn surroundings(&self, py: Python<'_>) -> PyResult<()> {
        let environ = py.import("os")?.getattr("environ")?;
        for (name, value) in &self.config.variables {
            environ.set_item(name, value)?;
        }
        let path = py.import("sys")?.getattr("path")?;
        for folder in self.config.path.iter().rev() {
            path.call_method1("insert", (0, folder.as_os_str()))?;
        }
        Ok(())
    }

    /// A run is over its time and cannot be ended.
    pub(crate) fn hung(&self, limit: Duration) {
        self.pace().hung += 1;
        let reason =
            format!("the handler has not come back after its {limit:?}, and cannot be ended in this process");
        self.readiness.send_replace(Readiness::Stuck(reason));
    }

    /// It has come back after all.
    pub(crate) fn came_back(&self) {
        let mut pace = self.pace();
        pace.hung -= 1;
        if pace.hung == 0 && self.failed.borrow().is_none() {
            self.readiness.send_replace(Readiness::Ready);
        }
    }

    /// A run took this long: fast sync handlers are given more ahead.
    pub(crate) fn ran(&self, took: Duration) {
        let setup = self.inlet.setup();
        if setup.is_async || setup.running > 1 {
            return;
        }
        let mut pace = self.pace();
        pace.mean += (took.as_secs_f64() - pace.mean) * WEIGHT;
        let look_ahead = if pace.mean < FAST.as_secs_f64() { AHEAD } else { 0 };
        drop(pace);
        self.capacity
            .send_if_modified(|now| std::mem::replace(&mut now.look_ahead, look_ahead) != look_ahead);
    }

    fn pace(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().expect("nothing panics while it counts")
    }
}

fn setup(embedded: &Bound<'_, PyAny>) -> PyResult<Setup> {
    let envelope: bool = embedded.getattr("envelope_mode")?.extract()?;
    Ok(Setup {
        mode: if envelope { Mode::Envelope } else { Mode::Payload },
        is_async: embedded.getattr("is_async")?.extract()?,
        running: embedded.getattr("running")?.extract::<usize>()?.max(1),
    })
}

/// An exception in one line.
fn told(py: Python<'_>, error: &PyErr) -> String {
    let value = error.value(py);
    error.get_type(py).name().map_or_else(|_| value.to_string(), |name| format!("{name}: {value}"))
}
