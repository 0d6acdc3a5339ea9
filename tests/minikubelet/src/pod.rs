//! One pod from its binding to the deletion of its object, in the kubelet's order.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::select_all;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container as Spec, Pod, PodCondition, PodStatus};
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tracing::{debug, info, warn};

use crate::container::{Kind, Stop, Supervisor};
use crate::logs::Logs;
use crate::objects::Objects;
use crate::state::{Phase, State};
use crate::status::{View, status};
use crate::volumes;

/// Between two tries of a call or a mount that failed.
const RETRY: Duration = Duration::from_secs(1);
/// Kubernetes' default for a pod that names none, in seconds.
const DEFAULT_GRACE: i64 = 30;

/// What all containers of a pod share.
pub(crate) struct Ground {
    pub(crate) pod: Arc<Pod>,
    /// `NAMESPACE_NAME`, for people and file names.
    pub(crate) name: String,
    pub(crate) ip: String,
    /// The pod's own folder; its volumes are below.
    pub(crate) folder: PathBuf,
    /// Folders of the namespace's volume claims, which outlive the pod.
    pub(crate) claims: PathBuf,
    pub(crate) logs: Logs,
    pub(crate) objects: Objects,
    /// Entry points by container name.
    pub(crate) programs: Arc<HashMap<String, Vec<String>>>,
    pub(crate) guard: Option<PathBuf>,
    /// The first time between two starts of a container that fails.
    pub(crate) back_off: Duration,
    /// Between two looks at the Secrets and ConfigMaps that are mounted.
    pub(crate) refresh: Duration,
}

impl Ground {
    pub(crate) fn restart_policy(&self) -> &str {
        self.pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always")
    }

    pub(crate) fn grace(&self) -> Duration {
        let seconds = self.pod.spec.as_ref().and_then(|spec| spec.termination_grace_period_seconds);
        seconds_of(seconds.unwrap_or(DEFAULT_GRACE))
    }
}

/// A container, started or not.
struct Slot {
    spec: Spec,
    kind: Kind,
    state: watch::Sender<State>,
    stop: watch::Sender<Option<Stop>>,
}

/// Runs one pod.
pub(crate) struct Runner {
    pub(crate) ground: Arc<Ground>,
    pub(crate) api: Api<Pod>,
    /// The pod's object; `None` once it is gone.
    pub(crate) updates: watch::Receiver<Option<Arc<Pod>>>,
}

impl Runner {
    /// Runs the pod to its end and deletes its object once somebody asked for that. Not to be dropped halfway, unless all
    /// its processes may be killed.
    pub(crate) async fn run(mut self) {
        let slots = self.slots();
        let finished = self.ground.pod.status.as_ref().and_then(|status| status.phase.as_deref());
        if !matches!(finished, Some("Succeeded" | "Failed")) && self.mount().await {
            self.attend(&slots).await;
        }
        deletion(&mut self.updates).await;
        self.delete().await;
        if let Err(error) = tokio::fs::remove_dir_all(&self.ground.folder).await {
            debug!(pod = self.ground.name, %error, "nothing to clean up");
        }
    }

    fn slots(&self) -> Vec<Slot> {
        let spec = self.ground.pod.spec.clone().unwrap_or_default();
        let inits =
            spec.init_containers.unwrap_or_default().into_iter().map(|spec| match &spec.restart_policy {
                Some(policy) if policy == "Always" => (Kind::Sidecar, spec),
                _ => (Kind::Init, spec),
            });
        let all: Vec<_> = inits.chain(spec.containers.into_iter().map(|spec| (Kind::Main, spec))).collect();
        let reason = if all.iter().any(|(kind, _)| *kind != Kind::Main) {
            "PodInitializing"
        } else {
            "ContainerCreating"
        };
        let slot = |(kind, spec)| {
            let (state, stop) = (watch::Sender::new(State::waiting(reason, "")), watch::Sender::new(None));
            Slot { spec, kind, state, stop }
        };
        all.into_iter().map(slot).collect()
    }

    /// Makes the volumes, as long as it takes. False when the pod was deleted before that.
    async fn mount(&mut self) -> bool {
        loop {
            let ground = &self.ground;
            let Err(error) =
                volumes::materialise(&ground.pod, &ground.folder, &ground.claims, &ground.objects).await
            else {
                return true;
            };
            warn!(pod = ground.name, "FailedMount: {error:#}");
            tokio::select! {
                _ = deletion(&mut self.updates) => return false,
                () = sleep(RETRY) => {}
            }
        }
    }

    /// From the first container's start to the last one's end; returns with the last status written.
    async fn attend(&mut self, slots: &[Slot]) {
        let start = Timestamp::now();
        let mut states: Vec<_> = slots.iter().map(|slot| slot.state.subscribe()).collect();
        let mut starting = Box::pin(start_in_order(&self.ground, slots));
        let (mut all_started, mut stopping, mut sidecars_told) = (false, false, false);
        let mut shown = PodStatus::default();
        loop {
            // Before the status is written: what changes meanwhile is seen in the next round.
            let ended = !slots.iter().any(alive);
            let over =
                slots.iter().filter(|slot| slot.kind != Kind::Sidecar).all(|slot| slot.state.borrow().done)
                    || slots.iter().any(|slot| slot.kind == Kind::Init && failed(slot));
            let written = self.show(slots, start, &mut shown).await;
            if (stopping || over) && ended && written {
                return;
            }
            if over && !stopping && !sidecars_told {
                // A Job's pod: its work is done, and its sidecars are told so.
                order(slots, |slot| slot.kind == Kind::Sidecar, self.ground.grace());
                sidecars_told = true;
            }
            let again = if written { self.ground.refresh } else { RETRY };
            tokio::select! {
                () = &mut starting, if !all_started && !stopping => all_started = true,
                () = changed(&mut states) => {}
                grace = deletion(&mut self.updates), if !stopping => {
                    info!(pod = self.ground.name, ?grace, "deleted");
                    order(slots, |_| true, grace);
                    stopping = true;
                }
                () = sleep(again) => self.refresh().await,
            }
        }
    }

    async fn refresh(&self) {
        let ground = &self.ground;
        if let Err(error) =
            volumes::materialise(&ground.pod, &ground.folder, &ground.claims, &ground.objects).await
        {
            debug!(pod = ground.name, "not refreshed: {error:#}");
        }
    }

    /// Writes the status if it is not what was written last. False when that failed.
    async fn show<'a>(&self, slots: &'a [Slot], start: Timestamp, shown: &mut PodStatus) -> bool {
        let pod = self.updates.borrow().clone().unwrap_or_else(|| Arc::clone(&self.ground.pod));
        let view =
            |slot: &'a Slot| View { spec: &slot.spec, kind: slot.kind, state: slot.state.borrow().clone() };
        let views: Vec<_> = slots.iter().map(view).collect();
        let before: &[PodCondition] = shown.conditions.as_deref().unwrap_or_default();
        let next = status(&pod, &views, &self.ground.ip, start, before);
        if next == *shown || self.updates.borrow().is_none() {
            return true;
        }
        // The uid keeps the status of this pod from the next one of its name.
        let patch = json!({"metadata": {"uid": pod.metadata.uid}, "status": next});
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        match self.api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => {
                *shown = next;
                true
            }
            Err(kube::Error::Api(error)) if matches!(error.code, 404 | 409) => true,
            Err(error) => {
                warn!(pod = self.ground.name, %error, "status not written");
                false
            }
        }
    }

    async fn delete(&self) {
        let name = self.ground.pod.metadata.name.as_deref().unwrap_or_default();
        let preconditions =
            Preconditions { uid: self.ground.pod.metadata.uid.clone(), resource_version: None };
        let parameters = DeleteParams::default().grace_period(0).preconditions(preconditions);
        while self.updates.borrow().is_some() {
            match self.api.delete(name, &parameters).await {
                Ok(_) => return,
                Err(kube::Error::Api(error)) if matches!(error.code, 404 | 409) => return,
                Err(error) => warn!(pod = self.ground.name, %error, "not deleted"),
            }
            sleep(RETRY).await;
        }
    }
}

/// Init containers one after the other, a sidecar until it has started; then all main containers at once. Ends early
/// when an init container fails for good.
async fn start_in_order(ground: &Arc<Ground>, slots: &[Slot]) {
    for slot in slots {
        let (ground, state, stop) = (Arc::clone(ground), slot.state.clone(), slot.stop.subscribe());
        state.send_modify(|state| {
            state.phase = Phase::Waiting { reason: "ContainerCreating", message: String::new() }
        });
        let mut seen = state.subscribe();
        tokio::spawn(Supervisor { ground, spec: slot.spec.clone(), kind: slot.kind, state, stop }.run());
        let ready = seen.wait_for(|state| match slot.kind {
            Kind::Init => state.done,
            Kind::Sidecar => state.done || state.started,
            Kind::Main => true,
        });
        if ready.await.is_ok() && failed(slot) && slot.kind == Kind::Init {
            return;
        }
    }
}

/// Tells the chosen containers to end: sidecars after the main ones, in the reverse order of their start.
fn order(slots: &[Slot], chosen: impl Fn(&Slot) -> bool, grace: Duration) {
    let deadline = Instant::now() + grace;
    for (at, slot) in slots.iter().enumerate().filter(|(_, slot)| chosen(slot)) {
        let after = if slot.kind == Kind::Sidecar { &slots[at + 1..] } else { &[] };
        let after = after.iter().filter(|other| alive(other)).map(|other| other.state.subscribe()).collect();
        slot.stop.send_replace(Some(Stop { deadline, after }));
    }
}

fn failed(slot: &Slot) -> bool {
    let state = slot.state.borrow();
    state.done && !state.succeeded()
}

/// Started, by its supervisor, which has not ended yet.
fn alive(slot: &Slot) -> bool {
    slot.stop.receiver_count() > 0 && !slot.state.borrow().done
}

async fn changed(states: &mut [watch::Receiver<State>]) {
    select_all(states.iter_mut().map(|state| Box::pin(state.changed()))).await.0.ok();
}

/// Waits until the pod's object is marked for deletion, or gone; the time its containers have.
async fn deletion(updates: &mut watch::Receiver<Option<Arc<Pod>>>) -> Duration {
    let asked =
        |pod: &Option<Arc<Pod>>| pod.as_ref().is_none_or(|pod| pod.metadata.deletion_timestamp.is_some());
    let pod = updates.wait_for(asked).await.ok().and_then(|pod| pod.clone());
    seconds_of(pod.and_then(|pod| pod.metadata.deletion_grace_period_seconds).unwrap_or_default())
}

fn seconds_of(seconds: i64) -> Duration {
    Duration::from_secs(seconds.try_into().unwrap_or_default())
}
