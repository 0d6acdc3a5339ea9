//! Single-machine mode: engines as tasks of this process, Python runtimes as processes, one writer to the queue file.
//!
//! | module | holds |
//! |---|---|
//! | `plan`, `agents` | from manifests to what is to run |
//! | `environment`, `runtime` | the handler's environment, interpreter and runtime |
//! | `sidecar`, `unheard` | what is said to sidecars of a cluster, and what of a manifest has no effect here |
//! | `fleet` | all actors, kept at the number of replicas that `scaler` decides |
//! | `replica`, `process` | one engine, and the process behind it |
//! | `host` | the gateway in this process |
//! | `guard` | ends what a killed `asya up` leaves behind |
//! | `logs`, `view`, `table` | what is seen |
//! | `reload` | changed files |

mod agents;
mod environment;
mod fleet;
pub(crate) mod guard;
mod host;
mod logs;
mod plan;
mod process;
mod reload;
mod replica;
pub(crate) mod runtime;
mod scaler;
pub(crate) mod sidecar;
mod table;
mod unheard;
mod view;

use std::{cell::RefCell, collections::HashSet, path::Path, sync::Arc, time::Duration};

use anyhow::Context as _;
use asya_crew::Recorder;
use asya_payload::settings::STORE;
use asya_transport::TransportError;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::LevelFilter;

use crate::{
    args::Common,
    broker::{Broker, QUEUE_FILE, kept_in, payload_directory, queue_file},
    commands::up::Up,
    exit,
    manifest::{self, Loaded},
};
use agents::Agents;
use fleet::{Fleet, Row};
use guard::Guard;
use host::Host;
use logs::Logs;
use plan::{Place, Plan};
use reload::Watch;
use replica::Ground;
use view::View;

/// How often queues are looked at: not felt by a person, and nothing for a queue file.
const TURN: Duration = Duration::from_millis(200);
/// Turns in a row that must be idle before `--until-idle` ends: what moves between queues is in one of them at any
/// time, and a second look makes sure that both were seen.
const IDLE_TURNS: u32 = 3;
/// Where ends are recorded when the transport is a broker.
const RECORDS: &str = ".asya/records";

/// Why the fleet is to stop.
enum Stop {
    Signal,
    /// Nothing is left but what waits for these actors, which are to have no replica.
    Idle(Vec<String>),
    Stuck(String, String),
}

/// Runs the actors until a signal, or until idle.
pub(crate) async fn run(up: Up, common: Common) -> anyhow::Result<u8> {
    let Up { ref paths, reload, until_idle, max_replicas, payloads, plain, verbose, .. } = up;
    let mut signals = signals()?;
    let loaded = manifest::load(paths);
    loaded.usable()?;
    let common = here(common)?;
    let cap = max_replicas.unwrap_or_else(cpus);
    if payloads {
        keep_payloads(&common)?;
    }
    let broker = Broker::open(&common, true).await?;

    let (logs, lines) = Logs::new();
    logs.subscribe(verbose, &levels(&loaded));
    let sockets = sockets()?;
    let (rows, seen) = watch::channel(Vec::new());
    // What is wrong with them is said with what else is wrong with the plan.
    let known = Agents::of(&loaded).unwrap_or_default().entries;
    let host = Host::start(&up, &broker, seen.clone(), &known, &logs).await?;
    let gateway = host.as_ref().map(|host| &host.reachable);
    let wanted = host::wanted(&up);
    let plan = Plan::of(&loaded, Place { broker: &broker, gateway, wanted, cap })?;
    let said = RefCell::default();
    adopt(&plan, host.as_ref(), &logs, &said)?;
    let kill = CancellationToken::new();
    let ground = Arc::new(Ground {
        recorder: match &broker.local {
            Some(local) => Recorder::Tables(local.store()),
            None => Recorder::Directory(std::env::current_dir()?.join(RECORDS)),
        },
        broker,
        logs: logs.clone(),
        guard: Arc::new(Guard::start().context("starting the guard process")?),
        sockets: sockets.path().to_owned(),
        kill: kill.clone(),
        reporter: host.as_ref().map(|host| host.reporter.clone()).unwrap_or_default(),
    });
    greet(&ground, &plan);
    let sweeper = sweeper(&common, &ground.broker);
    let mut watch = reload.then(|| Watch::start(directories(&loaded))).transpose()?;
    let mut fleet = Fleet::new(Arc::clone(&ground), plan).await?;
    rows.send_replace(fleet.rows());
    let view = tokio::spawn(View::new(lines, seen, logs.clone(), common.output, plain).run());

    let replan = |touched: &Path| {
        logs.note(None, format!("{} changed", touched.display()));
        let place = Place { broker: &ground.broker, gateway, wanted, cap };
        let plan = Plan::of(&manifest::load(paths), place)?;
        adopt(&plan, host.as_ref(), &logs, &said)?;
        Ok(plan)
    };
    let stop = work(&mut fleet, &ground, &rows, &mut signals, watch.as_mut(), replan, until_idle).await;
    let code = finish(&mut fleet, &ground, &rows, &mut signals, stop).await;
    if let Some(sweeper) = sweeper {
        sweeper.abort();
    }
    // Last, for what ended was reported to it.
    if let Some(host) = host {
        host.end(&logs).await;
    }
    drop((rows, fleet, logs, ground));
    // The view ends when everything that it shows has ended.
    let _ = view.await;
    Ok(code)
}

/// Tells the gateway which agents there are, and whoever looks what has no effect or is missing, each of it once.
fn adopt(
    plan: &Plan,
    host: Option<&Host>,
    logs: &Logs,
    said: &RefCell<HashSet<String>>,
) -> anyhow::Result<()> {
    for note in &plan.notes {
        if said.borrow_mut().insert(note.clone()) {
            logs.note(None, note.clone());
        }
    }
    host.map_or(Ok(()), |host| host.tell(&plan.agents)).context("telling the gateway of agents")
}

/// Which lines of engines are to be seen, where manifests say so. What is wrong there is said with the plan.
fn levels(loaded: &Loaded) -> Vec<(&str, LevelFilter)> {
    let level = |manifest| sidecar::Told::of(manifest).ok()?.level();
    loaded.actors.iter().filter_map(|manifest| Some((manifest.name(), level(manifest)?))).collect()
}

/// The loop: look, scale, show.
async fn work(
    fleet: &mut Fleet,
    ground: &Ground,
    rows: &watch::Sender<Vec<Row>>,
    signals: &mut mpsc::Receiver<()>,
    mut watch: Option<&mut Watch>,
    replan: impl Fn(&Path) -> anyhow::Result<Plan>,
    until_idle: bool,
) -> Stop {
    let mut turns = interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut idle, mut away): (u32, Option<String>) = (0, None);
    loop {
        let changed = async {
            match &mut watch {
                Some(watch) => watch.changed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = signals.recv() => return Stop::Signal,
            _ = turns.tick() => {
                let outcome = fleet.turn().await;
                report_outage(ground, outcome.err(), &mut away);
                rows.send_replace(fleet.rows());
                idle = if away.is_none() && fleet.is_idle() { idle + 1 } else { 0 };
                if until_idle && idle >= IDLE_TURNS {
                    return Stop::Idle(fleet.waited_for());
                }
                if until_idle && let Some((actor, reason)) = fleet.stuck() {
                    return Stop::Stuck(actor, reason);
                }
            }
            path = changed => {
                let adopted = match replan(&path) {
                    Ok(plan) => fleet.adopt(plan, Some(&path)).await.map_err(anyhow::Error::from),
                    Err(error) => Err(error),
                };
                if let Err(error) = adopted {
                    ground.logs.error(None, format!("nothing was changed: {error:#}"));
                }
            }
        }
    }
}

/// Says once that the transport is away, and once that it is back.
fn report_outage(ground: &Ground, error: Option<TransportError>, away: &mut Option<String>) {
    let now = error.map(|error| error.to_string());
    if now == *away {
        return;
    }
    match &now {
        Some(reason) => ground.logs.error(None, format!("queues cannot be looked at: {reason}")),
        None => ground.logs.note(None, "queues can be looked at again"),
    }
    *away = now;
}

/// Drains, or ends at once on a second signal; the exit code.
async fn finish(
    fleet: &mut Fleet,
    ground: &Ground,
    rows: &watch::Sender<Vec<Row>>,
    signals: &mut mpsc::Receiver<()>,
    stop: Stop,
) -> u8 {
    let code = match stop {
        Stop::Signal => {
            ground.logs.note(None, "stopping: running work may finish; Ctrl-C again stops at once");
            exit::OK
        }
        Stop::Idle(waited_for) if waited_for.is_empty() => exit::OK,
        Stop::Idle(waited_for) => {
            for actor in waited_for {
                let why = "what is left waits for it: its manifest wants no replica (spec.paused, or spec.workload.replicas: 0)";
                ground.logs.error(Some(&actor.into()), why);
            }
            exit::FAILED
        }
        Stop::Stuck(actor, reason) => {
            ground.logs.error(Some(&actor.into()), format!("does not start, and has work: {reason}"));
            exit::FAILED
        }
    };
    let drained = tokio::select! {
        () = fleet.drain() => true,
        _ = signals.recv() => false,
    };
    if !drained {
        ground.logs.error(None, "stopped at once: what was in hand is delivered again at the next start");
        ground.kill.cancel();
        fleet.drain().await;
        return exit::INTERRUPTED;
    }
    rows.send_replace(fleet.rows());
    code
}

fn greet(ground: &Ground, plan: &Plan) {
    let python = plan.actors.iter().filter(|actor| matches!(actor.runs, plan::Runs::Python(_)));
    let names: Vec<_> = python.map(plan::ActorPlan::name).collect();
    match &ground.broker.local {
        Some(local) => ground.logs.note(None, format!("queue file {}", local.path().display())),
        None => ground
            .logs
            .note(None, format!("transport {}; ends are recorded in {RECORDS}", ground.broker.name)),
    }
    let first = names.first().copied().unwrap_or("ACTOR");
    ground.logs.note(
        None,
        format!(
            "actors {}; next, in another terminal: asya send {first} '{{\"name\": \"Ada\"}}' --wait",
            names.join(", ")
        ),
    );
}

/// The queue file of `asya up` is here, unless told otherwise: the other commands find it from below too.
fn here(mut common: Common) -> anyhow::Result<Common> {
    if common.transport.is_none() {
        common.queue_file = Some(match common.queue_file {
            Some(file) => file,
            None => {
                let found = queue_file(&common)?;
                if found.is_file() { found } else { std::env::current_dir()?.join(QUEUE_FILE) }
            }
        });
    }
    Ok(common)
}

/// Makes the directory for large payloads beside the queue file: whoever opens the file uses it from then on.
fn keep_payloads(common: &Common) -> anyhow::Result<()> {
    if common.transport.is_some() && std::env::var(STORE).map_or(true, |text| text.is_empty()) {
        return Err(exit::misconfigured(format!(
            "--payloads keeps them beside the queue file; with --transport name a store by {STORE}"
        )));
    }
    match &common.queue_file {
        Some(file) => kept_in(&payload_directory(file)).map(drop),
        None => Ok(()),
    }
}

/// Removes old payloads of the directory beside the queue file. Another store has its own rules.
fn sweeper(common: &Common, broker: &Broker) -> Option<tokio::task::JoinHandle<()>> {
    let file = common.queue_file.as_ref().filter(|_| broker.local.is_some())?;
    let directory = payload_directory(file);
    directory
        .is_dir()
        .then(|| kept_in(&directory).ok())
        .flatten()
        .map(|claims| tokio::spawn(claims.sweeper()))
}

fn directories(loaded: &Loaded) -> Vec<std::path::PathBuf> {
    loaded.actors.iter().filter_map(|manifest| std::path::absolute(manifest.directory()).ok()).collect()
}

/// A directory for sockets with a short path: a deep `TMPDIR` leaves no room for their names.
fn sockets() -> anyhow::Result<tempfile::TempDir> {
    const LONGEST: usize = 60;
    let temporary = std::env::temp_dir();
    let base = if temporary.as_os_str().len() <= LONGEST { temporary } else { "/tmp".into() };
    let made = tempfile::Builder::new().prefix("asya-").tempdir_in(&base);
    made.with_context(|| format!("making a directory for sockets in {}", base.display()))
}

fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX))
}

/// Ctrl-C and SIGTERM, each as one message.
fn signals() -> anyhow::Result<mpsc::Receiver<()>> {
    let (sender, receiver) = mpsc::channel(4);
    for kind in [SignalKind::interrupt(), SignalKind::terminate()] {
        let mut stream = signal(kind).context("listening for signals")?;
        let sender = sender.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                // Two are enough; more mean the same.
                let _ = sender.try_send(());
            }
        });
    }
    Ok(receiver)
}
