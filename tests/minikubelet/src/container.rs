//! One container as a process: started, probed, started again with back-off, ended in the kubelet's way.

use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Container as Spec;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::{info, warn};

use crate::action::Action;
use crate::environment::Environment;
use crate::paths::Paths;
use crate::pod::Ground;
use crate::state::{End, Phase, State};
use crate::{environment, probes, volumes};

/// The kubelet gives a container at least this long between SIGTERM and SIGKILL, however long its hook took.
const LEAST_GRACE: Duration = Duration::from_secs(2);
/// The kubelet's longest time between two starts.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(300);
/// A run this long makes the next back-off short again.
const GOOD_RUN: Duration = Duration::from_secs(600);
/// Between two looks at a Secret or ConfigMap that is missing.
const CONFIG_RETRY: Duration = Duration::from_secs(1);
/// What a shell reports for a program that ended by a signal, and so does the kubelet.
const SIGNAL_BASE: i32 = 128;

/// Which of a pod's lists it is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    Main,
}

/// The order to end.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    /// When it is killed at the latest, but for [`LEAST_GRACE`].
    pub(crate) deadline: Instant,
    /// Who has to be gone before SIGTERM; the hook runs at once.
    pub(crate) after: Vec<watch::Receiver<State>>,
}

/// What a process of a container needs of this machine.
pub(crate) struct Surroundings {
    pub(crate) environment: Environment,
    pub(crate) paths: Paths,
    pub(crate) ip: String,
    pub(crate) folder: PathBuf,
    /// `setpriv` where it exists: no process outlives this one, however it ends.
    pub(crate) guard: Option<PathBuf>,
}

impl Surroundings {
    /// A process in the container, of a process group of its own.
    pub(crate) fn command(&self, line: &[String]) -> Command {
        let mut command = match &self.guard {
            Some(guard) => {
                let mut guarded = Command::new(guard);
                guarded.args(["--pdeathsig", "KILL", "--"]).args(line);
                guarded
            }
            None => {
                let mut plain = Command::new(line.first().map_or("", String::as_str));
                plain.args(line.iter().skip(1));
                plain
            }
        };
        command.env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.folder).stdin(Stdio::null()).process_group(0).kill_on_drop(true);
        command
    }
}

/// Keeps one container as it should be until it is done or told to stop.
pub(crate) struct Supervisor {
    pub(crate) ground: Arc<Ground>,
    pub(crate) spec: Spec,
    pub(crate) kind: Kind,
    pub(crate) state: watch::Sender<State>,
    pub(crate) stop: watch::Receiver<Option<Stop>>,
}

enum Verdict {
    Exited(std::io::Result<ExitStatus>),
    Unhealthy(String),
    Told(Stop),
}

impl Supervisor {
    /// Runs until the container is done; its last state says how.
    pub(crate) async fn run(mut self) {
        self.keep().await;
        self.ground.logs.close(&self.ground.name, &self.spec.name);
    }

    async fn keep(&mut self) {
        let mut back_off = Duration::ZERO;
        loop {
            let since = Timestamp::now();
            let began = Instant::now();
            let code = match self.prepare().await {
                Ok(Some((around, child))) => self.attend(&around, child, since).await,
                // As with an image that cannot be pulled: it never starts, and waiting does not help.
                Ok(None) => {
                    let message = format!("no program is given for the container {}", self.spec.name);
                    self.wait("ErrImagePull", message, None).await;
                    return;
                }
                Err(error) => {
                    if self.wait("CreateContainerConfigError", format!("{error:#}"), Some(CONFIG_RETRY)).await
                    {
                        return;
                    }
                    continue;
                }
            };
            let end = End { code, since, at: Timestamp::now() };
            let done = self.stop.borrow().is_some() || !self.again(code);
            self.state.send_modify(|state| {
                (state.started, state.ready, state.done) =
                    (false, self.kind == Kind::Init && code == 0, done);
                state.phase = Phase::Ended(end.clone());
            });
            if done {
                return;
            }
            back_off = if began.elapsed() > GOOD_RUN { Duration::ZERO } else { back_off };
            let message = format!("back-off {back_off:?} restarting failed container={}", self.spec.name);
            self.state.send_modify(|state| state.last = Some(end));
            // The first restart is at once, the second after the back-off, each next one after twice as long.
            let reason = if back_off.is_zero() { "ContainerCreating" } else { "CrashLoopBackOff" };
            if self.wait(reason, message, Some(back_off)).await {
                return;
            }
            back_off =
                if back_off.is_zero() { self.ground.back_off } else { (back_off * 2).min(LONGEST_BACK_OFF) };
            self.state.send_modify(|state| state.restarts += 1);
        }
    }

    fn again(&self, code: i32) -> bool {
        match (self.kind, self.ground.restart_policy()) {
            (Kind::Sidecar, _) => true,
            (_, "Never") => false,
            (Kind::Init, _) | (_, "OnFailure") => code != 0,
            _ => true,
        }
    }

    /// Shows a reason and waits, for ever without a time. True when it was told to stop, and is done then.
    async fn wait(&mut self, reason: &'static str, message: String, time: Option<Duration>) -> bool {
        self.state.send_modify(|state| state.phase = Phase::Waiting { reason, message });
        let over = async {
            match time {
                Some(time) => sleep(time).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = told(&mut self.stop) => {}
            () = over => return false,
        }
        self.state.send_modify(|state| state.done = true);
        true
    }

    /// Resolves everything and starts the process; `None` when there is no program for it.
    async fn prepare(&self) -> Result<Option<(Surroundings, Child)>> {
        let ground = &self.ground;
        let paths = volumes::mounts(&ground.pod, &self.spec, &ground.folder, &ground.claims);
        let environment =
            environment::resolve(&self.spec, &ground.pod, &ground.ip, &ground.objects, &paths).await?;
        let entry_point = ground.programs.get(&self.spec.name).map(Vec::as_slice);
        let Some(line) = environment::command(&self.spec, entry_point, &environment, &paths) else {
            return Ok(None);
        };
        let folder = self.spec.working_dir.as_deref().and_then(|path| paths.at(path));
        let folder = folder.map_or_else(|| ground.folder.clone(), ToOwned::to_owned);
        let guard = ground.guard.clone();
        let around = Surroundings { environment, paths, ip: ground.ip.clone(), folder, guard };
        let first = self.state.borrow().last.is_none();
        let log = ground.logs.write(&ground.name, &self.spec.name, first)?;
        info!(pod = ground.name, container = self.spec.name, ?line, "starting");
        let child = around.command(&line).stdout(log.try_clone()?).stderr(log).spawn();
        Ok(Some((around, child.with_context(|| format!("starting {line:?}"))?)))
    }

    /// Stays with the process until it is gone, and returns its exit code.
    async fn attend(&mut self, around: &Surroundings, mut child: Child, since: Timestamp) -> i32 {
        self.state.send_modify(|state| state.phase = Phase::Running { since });
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(hook) = self.spec.lifecycle.as_ref().and_then(|hooks| hooks.post_start.as_ref())
            && let Some(action) = Action::of_hook(hook, &self.spec, around)
            && let Err(said) = action.run(around, self.ground.grace()).await
        {
            warn!(container = self.spec.name, said, "postStart failed");
        }
        let verdict = tokio::select! {
            status = child.wait() => Verdict::Exited(status),
            said = probes::watch(&self.spec, around, &self.state) => Verdict::Unhealthy(said),
            told = told(&mut self.stop) => Verdict::Told(told),
        };
        let status = match verdict {
            Verdict::Exited(status) => status,
            Verdict::Unhealthy(said) => {
                warn!(pod = self.ground.name, "{said}");
                let stop = Stop { deadline: Instant::now() + self.ground.grace(), after: Vec::new() };
                self.end(around, &mut child, group, stop).await
            }
            Verdict::Told(stop) => self.end(around, &mut child, group, stop).await,
        };
        // As with a real container: when its first process is gone, all are.
        if let Some(group) = group {
            kill_process_group(group, Signal::KILL).ok();
        }
        let code = status.map_or(SIGNAL_BASE, code);
        info!(pod = self.ground.name, container = self.spec.name, code, "ended");
        code
    }

    /// The hook at once, then SIGTERM in its turn, then SIGKILL.
    async fn end(
        &self,
        around: &Surroundings,
        child: &mut Child,
        group: Option<Pid>,
        stop: Stop,
    ) -> std::io::Result<ExitStatus> {
        let mut turn = Box::pin(async {
            if let Some(hook) = self.spec.lifecycle.as_ref().and_then(|hooks| hooks.pre_stop.as_ref())
                && let Some(action) = Action::of_hook(hook, &self.spec, around)
            {
                let limit = stop.deadline.saturating_duration_since(Instant::now());
                info!(pod = self.ground.name, container = self.spec.name, "preStop");
                if let Err(said) = action.run(around, limit).await {
                    warn!(pod = self.ground.name, container = self.spec.name, said, "preStop failed");
                }
            }
            for mut other in stop.after {
                timeout_at(stop.deadline, other.wait_for(|state| state.done)).await.ok();
            }
        });
        tokio::select! {
            status = child.wait() => return status,
            () = &mut turn => {}
        }
        if let Some(group) = group {
            info!(pod = self.ground.name, container = self.spec.name, "SIGTERM");
            kill_process(group, Signal::TERM).ok();
        }
        let end = stop.deadline.max(Instant::now() + LEAST_GRACE);
        tokio::select! {
            status = child.wait() => return status,
            () = sleep_until(end) => {}
        }
        if let Some(group) = group {
            info!(pod = self.ground.name, container = self.spec.name, "SIGKILL");
            kill_process_group(group, Signal::KILL).ok();
        }
        child.wait().await
    }
}

async fn told(stop: &mut watch::Receiver<Option<Stop>>) -> Stop {
    match stop.wait_for(Option::is_some).await.map(|stop| (*stop).clone()) {
        Ok(Some(stop)) => stop,
        // Whoever could have told is gone: this program is ending.
        Ok(None) | Err(_) => Stop { deadline: Instant::now(), after: Vec::new() },
    }
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().or_else(|| status.signal().map(|signal| SIGNAL_BASE + signal)).unwrap_or(SIGNAL_BASE)
}
