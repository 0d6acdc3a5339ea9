//! Pods: what keeps them from being placed, started, ready, and running.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Event, Pod, PodStatus};

use crate::analyzer::Analyzer;
use crate::analyzers::words::{ending, text_or, told_by};
use crate::event::latest_for;
use crate::failure::{Failure, Severity};
use crate::kind::GroupKind;
use crate::object::{Malformed, Object, ObjectRef};
use crate::report::Report;
use crate::view::{Lookup, Typed, View};

/// Waiting reasons of the kubelet that do not pass by themselves, and what they mean.
const WAITING: [(&str, &str); 11] = [
    ("CrashLoopBackOff", "ContainerCrashes"),
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
        if let Some(waiting) = state.and_then(|state| state.waiting.as_ref()) {
            let reason = waiting.reason.as_deref().unwrap_or_default();
            if reason == "ContainerCreating" && self.phase() == "Pending" {
                self.starting(path, report);
            } else if let Some((_, code)) = WAITING.iter().find(|(known, _)| *known == reason) {
                let last = container.last_state.as_ref().and_then(|state| state.terminated.as_ref());
                let text = match (last, &waiting.message) {
                    (Some(last), _) if *code == "ContainerCrashes" => format!(
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
                if let Some(last) = last.filter(|_| *code == "ContainerCrashes") {
                    failure = failure.seen(&self.at, format!("{path}.lastState.terminated"), ending(last));
                }
                report.fail(failure);
                if let Some(last) = last.filter(|last| out_of_memory(last)) {
                    self.killed(name, last, path, report);
                }
            }
        } else if let Some(ended) = state.and_then(|state| state.terminated.as_ref()) {
            // A native sidecar is ended by the kubelet when the pod is done, and says so with 143 or 137.
            let done = self.phase() == "Succeeded";
            if ended.exit_code != 0 && !done {
                let text = format!("container {name} ended: {}", ending(ended));
                let code = if out_of_memory(ended) { "ContainerOutOfMemory" } else { "ContainerEnded" };
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
        if let Some(last) = last.filter(|last| recent && out_of_memory(last)) {
            self.killed(&container.name, last, path, report);
        } else if recent && container.restart_count >= MANY_RESTARTS {
            let text = format!(
                "container {} was restarted {} times, last after {}",
                container.name,
                container.restart_count,
                last.map(ending).unwrap_or_default()
            );
            report.fail(Failure::new("ContainerRestarts", Severity::Warning, text).seen(
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
            Failure::new("ContainerOutOfMemory", Severity::Error, text)
                .seen(&self.at, format!("{path}.lastState.terminated.reason"), last.reason.clone())
                .explained_by("pod.spec.containers.resources.limits"),
        );
    }

    fn is_recent(&self, at: Timestamp) -> bool {
        self.view.now().duration_since(at) < RECENT
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
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use serde_json::{Value, json};

    use super::*;
    use crate::analyzers::testing::{codes, event, look, look_in, object};
    use crate::inventory::Inventory;
    use crate::view::Unverified;

    fn pod(status: Value) -> Object {
        object("v1", "Pod", "web", json!({"spec": {"containers": []}, "status": status}))
    }

    fn with_state(phase: &str, list: &str, state: Value) -> Object {
        let mut container =
            json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 1});
        container.as_object_mut().unwrap().extend(state.as_object().unwrap().clone());
        pod(json!({"phase": phase, list: [container]}))
    }

    #[test]
    fn cases() {
        let waiting = |reason: &str| json!({"state": {"waiting": {"reason": reason, "message": "because"}}});
        let ended = |code: i32| json!({"state": {"terminated": {"exitCode": code, "reason": "Error"}}});
        let oom = json!({"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-06-01T11:50:00Z"});
        let unscheduled = |reason: &str| {
            json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": reason, "message": "0/3 nodes"}]})
        };
        let cases: [(&str, Object, &[&str]); 22] = [
            ("no status yet", object("v1", "Pod", "web", json!({"spec": {"containers": []}})), &[]),
            (
                "healthy",
                with_state("Running", "containerStatuses", json!({"ready": true, "state": {"running": {}}})),
                &[],
            ),
            ("no node", pod(unscheduled("Unschedulable")), &["PodUnschedulable"]),
            ("gated", pod(unscheduled("SchedulingGated")), &["PodSchedulingGated"]),
            ("another reason", pod(unscheduled("WaitForIt")), &[]),
            ("evicted", pod(json!({"phase": "Failed", "reason": "Evicted"})), &["PodEvicted"]),
            (
                "crash loop",
                with_state(
                    "Running",
                    "containerStatuses",
                    json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}}}),
                ),
                &["ContainerCrashes"],
            ),
            (
                "crash loop by memory",
                with_state(
                    "Running",
                    "containerStatuses",
                    json!({"state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": oom}}),
                ),
                &["ContainerCrashes", "ContainerOutOfMemory"],
            ),
            (
                "pull",
                with_state("Pending", "containerStatuses", waiting("ImagePullBackOff")),
                &["ImagePullFails"],
            ),
            (
                "init pull",
                with_state("Pending", "initContainerStatuses", waiting("ErrImagePull")),
                &["ImagePullFails"],
            ),
            (
                "debug container",
                with_state("Running", "ephemeralContainerStatuses", waiting("ErrImagePull")),
                &["ImagePullFails"],
            ),
            (
                "bad name",
                with_state("Pending", "containerStatuses", waiting("InvalidImageName")),
                &["ImageNameInvalid"],
            ),
            (
                "no key",
                with_state("Pending", "containerStatuses", waiting("CreateContainerConfigError")),
                &["ContainerConfigInvalid"],
            ),
            ("init runs first", with_state("Pending", "containerStatuses", waiting("PodInitializing")), &[]),
            ("ended badly", with_state("Failed", "containerStatuses", ended(1)), &["ContainerEnded"]),
            ("ended well", with_state("Succeeded", "containerStatuses", ended(0)), &[]),
            (
                "native sidecar ended with its pod",
                with_state("Succeeded", "initContainerStatuses", ended(143)),
                &[],
            ),
            (
                "killed and runs again",
                with_state(
                    "Running",
                    "containerStatuses",
                    json!({"ready": true, "state": {"running": {}},
                "lastState": {"terminated": oom}}),
                ),
                &["ContainerOutOfMemory"],
            ),
            (
                "killed long ago",
                with_state(
                    "Running",
                    "containerStatuses",
                    json!({"ready": true, "state": {"running": {}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-05-01T00:00:00Z"}}}),
                ),
                &[],
            ),
            (
                "restarts",
                with_state(
                    "Running",
                    "containerStatuses",
                    json!({"ready": true, "restartCount": 7, "state": {"running": {}},
                "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-06-01T11:59:00Z"}}}),
                ),
                &["ContainerRestarts"],
            ),
            (
                "restarts of last month",
                with_state(
                    "Running",
                    "containerStatuses",
                    json!({"ready": true, "restartCount": 7,
                "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-05-01T00:00:00Z"}}}),
                ),
                &[],
            ),
            (
                "not ready, nobody says why",
                with_state("Running", "containerStatuses", json!({"state": {"running": {}}})),
                &[],
            ),
        ];
        for (name, pod, expected) in cases {
            assert_eq!(codes(&look(&["Pod"], &pod, &[])), expected, "{name}");
        }
    }

    #[test]
    fn the_kubelet_tells_in_events_what_it_waits_for() {
        let creating = with_state(
            "Pending",
            "containerStatuses",
            json!({"state": {"waiting": {"reason": "ContainerCreating"}}}),
        );
        let mount = event(&creating, "FailedMount", "secret \"db\" not found", "2026-06-01T11:00:00Z");
        let sandbox = event(&creating, "FailedCreatePodSandBox", "no network", "2026-06-01T11:30:00Z");
        let found = look(&["Pod"], &creating, &[mount.clone(), sandbox]);
        assert_eq!(codes(&found), ["PodSandboxFails"], "the latest");
        assert_eq!(found.report.failures()[0].text, "no network");
        let not_ready = with_state("Running", "containerStatuses", json!({"state": {"running": {}}}));
        let unhealthy = event(&not_ready, "Unhealthy", "Readiness probe failed", "2026-06-01T11:00:00Z");
        assert_eq!(codes(&look(&["Pod"], &not_ready, &[unhealthy])), ["ContainerNotReady"]);
    }

    #[test]
    fn an_event_of_another_object_of_that_name_says_nothing() {
        let creating = with_state(
            "Pending",
            "containerStatuses",
            json!({"state": {"waiting": {"reason": "ContainerCreating"}}}),
        );
        let mut before = creating.value().clone();
        before["metadata"]["uid"] = json!("uid-of-the-pod-before");
        let of_the_pod_before =
            event(&Object::new(before).unwrap(), "FailedMount", "old", "2026-06-01T11:00:00Z");
        let job = object("batch/v1", "Job", "web", json!({}));
        let of_the_job = event(&job, "FailedMount", "the Job's", "2026-06-01T11:00:00Z");
        assert!(codes(&look(&["Pod"], &creating, &[of_the_pod_before, of_the_job])).is_empty());
    }

    #[test]
    fn a_failed_try_of_a_job_that_succeeded_is_not_a_failure() {
        let try_of = |complete: &str| {
            let mut value =
                with_state("Failed", "containerStatuses", json!({"state": {"terminated": {"exitCode": 1}}}))
                    .value()
                    .clone();
            value["metadata"]["ownerReferences"] =
                json!([{"apiVersion": "batch/v1", "kind": "Job", "name": "load", "uid": "j"}]);
            let job = object(
                "batch/v1",
                "Job",
                "load",
                json!({"status": {"conditions": [{"type": "Complete", "status": complete}]}}),
            );
            codes(&look(&["Pod"], &Object::new(value).unwrap(), &[job])).len()
        };
        assert_eq!((try_of("True"), try_of("False")), (0, 1));
    }

    #[test]
    fn events_that_may_not_be_read_leave_a_doubt_and_no_failure() {
        let creating = with_state(
            "Pending",
            "containerStatuses",
            json!({"state": {"waiting": {"reason": "ContainerCreating"}}}),
        );
        let mut inventory = Inventory::of([creating.clone()]);
        inventory.put_list(&GroupKind::of::<Event>(), None, Err(Unverified::Forbidden));
        let found = look_in(&["Pod"], &creating, &inventory);
        assert!(codes(&found).is_empty());
        assert_eq!(found.report.doubts()[0].why, Unverified::Forbidden);
    }
}
