//! Pods: what keeps them from being placed, started, ready, and running.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateTerminated, ContainerStatus, Event, Pod, PodStatus,
};

use crate::analyzer::Analyzer;
use crate::analyzers::words::{ending, text_or, told_by};
use crate::event::latest_for;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::reference::items;
use crate::report::Report;
use crate::view::{Lookup, Typed, Unverified, View};

/// Waiting reasons of the kubelet that do not pass by themselves, and what they mean.
const WAITING: [(&str, &str); 11] = [
    ("CrashLoopBackOff", CRASHES),
    ("ImagePullBackOff", "ImagePullFails"),
    ("ErrImagePull", "ImagePullFails"),
    ("ErrImageNeverPull", "ImagePullFails"),
    ("ImageInspectError", "ImagePullFails"),
    ("InvalidImageName", "ImageNameInvalid"),
    ("CreateContainerConfigError", "ContainerConfigInvalid"),
    ("CreateContainerError", "ContainerStartFails"),
    ("RunContainerError", "ContainerStartFails"),
    ("PreCreateHookError", "ContainerHookFails"),
    ("PreStartHookError", "ContainerHookFails"),
];

/// A container that ends and is started again, over and over.
const CRASHES: &str = "ContainerCrashes";
/// One that is killed for that over and over has this code alone.
const OUT_OF_MEMORY: &str = "ContainerOutOfMemory";

/// Restarts from which on a running container counts as restarting, if the last one is recent.
const MANY_RESTARTS: i32 = 5;

/// How long a restart or an out-of-memory kill of a container that runs again is worth telling.
const RECENT: SignedDuration = SignedDuration::from_hours(1);

/// Looks at pods.
pub(crate) struct PodAnalyzer;

impl Analyzer for PodAnalyzer {
    fn name(&self) -> &'static str {
        "Pod"
    }

    fn subject(&self) -> GroupKind {
        GroupKind::of::<Pod>()
    }

    fn analyze(&self, object: &Object, view: &dyn View, report: &mut Report) -> Result<(), Malformed> {
        let pod: Pod = object.typed()?;
        let status = pod.status.as_ref();
        let Some(status) = status else { return Ok(()) };
        let look = Look { object, at: object.reference(), status, view };
        if look.retried_with_success(report) {
            return Ok(());
        }
        look.placing(report);
        if status.reason.as_deref() == Some("Evicted") {
            let text = text_or(status.message.as_deref(), || format!("pod {} was evicted", object.name()));
            report.fail(Failure::new("PodEvicted", Severity::Warning, text).seen(
                &look.at,
                ".status.reason",
                "Evicted".to_owned(),
            ));
        }
        let lists = [
            ("initContainerStatuses", &status.init_container_statuses),
            ("containerStatuses", &status.container_statuses),
            ("ephemeralContainerStatuses", &status.ephemeral_container_statuses),
        ];
        for (list, statuses) in lists {
            for (n, container) in statuses.iter().flatten().enumerate() {
                let path = format!(".status.{list}[{n}]");
                look.container(container, list, &path, report);
            }
        }
        Ok(())
    }
}

struct Look<'a> {
    object: &'a Object,
    at: ObjectRef,
    status: &'a PodStatus,
    view: &'a dyn View,
}

impl Look<'_> {
    fn phase(&self) -> &str {
        self.status.phase.as_deref().unwrap_or_default()
    }

    /// A failed pod of a Job that succeeded in a later try says nothing about now.
    fn retried_with_success(&self, report: &mut Report) -> bool {
        if self.phase() != "Failed" {
            return false;
        }
        let owners = self.object.owners();
        let Some(job) =
            owners.iter().find(|owner| GroupKind::named(&owner.api_version, &owner.kind).is::<Job>())
        else {
            return false;
        };
        let lookup = self.view.get::<Job>(self.object.namespace(), &job.name);
        if let Lookup::Unverified(why) = &lookup {
            report.doubt("*", format!("Job {}", job.name), why.clone());
        }
        matches!(lookup, Lookup::Found(job) if job.status.as_ref().and_then(|status| status.conditions.as_ref()).is_some_and(
            |conditions| conditions.iter().any(|condition| condition.type_ == "Complete" && condition.status == "True")))
    }

    fn placing(&self, report: &mut Report) {
        if self.phase() != "Pending" {
            return;
        }
        for (n, condition) in self.status.conditions.iter().flatten().enumerate() {
            if condition.type_ != "PodScheduled" || condition.status == "True" {
                continue;
            }
            let (code, severity, otherwise) = match condition.reason.as_deref() {
                Some("Unschedulable") => ("PodUnschedulable", Severity::Error, "no node takes the pod"),
                Some("SchedulingGated") => {
                    ("PodSchedulingGated", Severity::Info, "the pod waits for its scheduling gates")
                }
                _ => continue,
            };
            let text = text_or(condition.message.as_deref(), || otherwise.to_owned());
            let path = format!(".status.conditions[{n}].message");
            report.fail(Failure::new(code, severity, text).seen(&self.at, path, condition.message.clone()));
        }
    }

    fn container(&self, container: &ContainerStatus, list: &str, path: &str, report: &mut Report) {
        let state = container.state.as_ref();
        let name = &container.name;
        self.settles(container, list, report);
        if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
            let reason = waiting.reason.as_deref().unwrap_or_default();
            if reason == "ContainerCreating" && self.phase() == "Pending" {
                self.starting(path, report);
            } else if let Some((_, code)) = WAITING.iter().find(|(known, _)| *known == reason) {
                let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
                // One cause has one code, whether the container waits, has just ended or runs again.
                if let Some(last) = last.filter(|last| *code == CRASHES && out_of_memory(last)) {
                    self.killed(name, last, path, report);
                    return;
                }
                let text = match (last, &waiting.message) {
                    (Some(last), _) if *code == CRASHES => format!(
                        "container {name} ends again and again: {}{}",
                        ending(last),
                        last.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default()
                    ),
                    (_, Some(message)) if !message.is_empty() => format!("container {name}: {message}"),
                    _ => format!("container {name} waits: {reason}"),
                };
                let mut failure = Failure::new(code, Severity::Error, text).seen(
                    &self.at,
                    format!("{path}.state.waiting.reason"),
                    reason.to_owned(),
                );
                if let Some(last) = last.filter(|_| *code == CRASHES) {
                    failure = failure.seen(&self.at, format!("{path}.lastState.terminated"), ending(last));
                }
                report.fail(failure);
            }
        } else if let Some(ended) = state.and_then(|state| state.terminated.as_ref()) {
            // A native sidecar is ended by the kubelet when the pod is done, and says so with 143 or 137.
            let done = self.phase() == "Succeeded";
            if ended.exit_code != 0 && !done {
                let text = format!("container {name} ended: {}", ending(ended));
                let code = if out_of_memory(ended) {
                    OUT_OF_MEMORY
                } else if self.restarts(container, list, ended) {
                    CRASHES
                } else {
                    "ContainerEnded"
                };
                let failure = Failure::new(code, Severity::Error, text).seen(
                    &self.at,
                    format!("{path}.state.terminated.exitCode"),
                    ended.exit_code.to_string(),
                );
                report.fail(failure);
            }
        } else if state.and_then(|state| state.running.as_ref()).is_some() {
            self.running(container, list, path, report);
        }
    }

    /// Whether the kubelet starts the container again after it ended like this.
    fn restarts(&self, container: &ContainerStatus, list: &str, ended: &ContainerStateTerminated) -> bool {
        let value = self.object.value();
        let policy = |pointer: &str| value.pointer(pointer).and_then(serde_json::Value::as_str);
        let of_pod = policy("/spec/restartPolicy").unwrap_or("Always");
        let failed = ended.exit_code != 0;
        match list {
            _ if matches!(self.phase(), "Failed" | "Succeeded") => false,
            "containerStatuses" => of_pod == "Always" || (of_pod == "OnFailure" && failed),
            "initContainerStatuses" => {
                let containers = items(value.pointer("/spec/initContainers"));
                let named = |spec: &&serde_json::Value| {
                    spec.get("name").is_some_and(|name| name == container.name.as_str())
                };
                let sidecar = containers.filter(named).any(|spec| spec.get("restartPolicy").is_some());
                sidecar || (of_pod != "Never" && failed)
            }
            _ => false,
        }
    }

    /// Whether the container crashes is in doubt for as long as it has not run for long enough since it ended: one that
    /// crashes again and again runs in between.
    fn settles(&self, container: &ContainerStatus, list: &str, report: &mut Report) {
        let ended =
            |state: &Option<ContainerState>| state.as_ref().and_then(|state| state.terminated.clone());
        let Some(ended) = ended(&container.state).or_else(|| ended(&container.last_state)) else { return };
        let running = container.state.as_ref().and_then(|state| state.running.as_ref());
        let since = running.and_then(|running| running.started_at.as_ref()).or(ended.finished_at.as_ref());
        let again = running.is_some() || self.restarts(container, list, &ended);
        let settle = self.view.settle();
        if again && since.is_some_and(|since| !self.view.is_past(since.0, settle)) {
            report.doubt(CRASHES, format!("container {}", container.name), Unverified::Settling);
        }
    }

    /// A container that is being made: the kubelet says in an event what it waits for.
    fn starting(&self, path: &str, report: &mut Report) {
        let reasons = [
            ("FailedCreatePodSandBox", "PodSandboxFails"),
            ("FailedMount", "VolumeMountFails"),
            ("FailedAttachVolume", "VolumeMountFails"),
        ];
        let Some(events) = self.events("VolumeMountFails", report) else { return };
        if let Some(event) = latest_for(&events, &reasons.map(|(reason, _)| reason)) {
            let code = reasons
                .iter()
                .find(|(reason, _)| Some(*reason) == event.reason.as_deref())
                .map_or("PodSandboxFails", |(_, code)| code);
            report.fail(told_by(
                event,
                code,
                &self.at,
                &format!("{path}.state.waiting.reason"),
                "ContainerCreating",
            ));
        }
    }

    fn running(&self, container: &ContainerStatus, list: &str, path: &str, report: &mut Report) {
        let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let recent = last.and_then(|last| last.finished_at.as_ref()).is_some_and(|at| self.is_recent(at.0));
        let settled = !report.doubts().iter().any(|doubt| doubt.why == Unverified::Settling);
        if let Some(last) = last.filter(|last| recent && out_of_memory(last)) {
            self.killed(&container.name, last, path, report);
        } else if recent && settled && container.restart_count >= MANY_RESTARTS {
            let text = format!(
                "container {} was restarted {} times, last after {}",
                container.name,
                container.restart_count,
                last.map(ending).unwrap_or_default()
            );
            report.fail(Failure::new(CRASHES, Severity::Warning, text).seen(
                &self.at,
                format!("{path}.restartCount"),
                container.restart_count.to_string(),
            ));
        }
        if list == "containerStatuses" && !container.ready && self.phase() == "Running" {
            let Some(events) = self.events("ContainerNotReady", report) else { return };
            if let Some(event) = latest_for(&events, &["Unhealthy", "ProbeError"]) {
                report.fail(told_by(event, "ContainerNotReady", &self.at, &format!("{path}.ready"), "false"));
            }
        }
    }

    fn killed(&self, name: &str, last: &ContainerStateTerminated, path: &str, report: &mut Report) {
        let text =
            format!("container {name} took more memory than its limit and was killed ({})", ending(last));
        report.fail(
            Failure::new(OUT_OF_MEMORY, Severity::Error, text)
                .seen(&self.at, format!("{path}.lastState.terminated.reason"), last.reason.clone())
                .explained_by("pod.spec.containers.resources.limits"),
        );
    }

    fn is_recent(&self, at: Timestamp) -> bool {
        !self.view.is_past(at, RECENT)
    }

    /// The events about the pod. One from before its deletion and making anew has another uid, and is not among them.
    fn events(&self, code: &str, report: &mut Report) -> Option<Vec<Event>> {
        report.listed(code, format!("events of {}", self.at), self.view.events_about(self.object))
    }
}

fn out_of_memory(ended: &ContainerStateTerminated) -> bool {
    ended.reason.as_deref() == Some("OOMKilled")
}

#[cfg(test)]
mod tests;
