#![allow(clippy::unwrap_used, reason = "tests")]
use serde_json::{Value, json};

use super::*;
use crate::analyzers::testing::{codes, event, look, look_in, object};
use crate::finding::{Change, Finding, Observation, Sequence};
use crate::inventory::Inventory;

fn pod(status: Value) -> Object {
    object("v1", "Pod", "web", json!({"spec": {"containers": []}, "status": status}))
}

fn with_state(phase: &str, list: &str, state: Value) -> Object {
    let mut container = json!({"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 1});
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
            &["ContainerOutOfMemory"],
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
            &["ContainerCrashes"],
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
fn a_kill_for_memory_and_many_restarts_are_seen_though_the_container_runs_and_is_ready() {
    let running = |restarts: u32, last: Value| {
        let state = json!({"ready": true, "restartCount": restarts, "state": {"running": {}}, "lastState": {"terminated": last}});
        codes(&look(&["Pod"], &with_state("Running", "containerStatuses", state), &[])).join(",")
    };
    let ended =
        |reason: &str| json!({"exitCode": 137, "reason": reason, "finishedAt": "2026-06-01T11:55:00Z"});
    assert_eq!(running(1, ended("OOMKilled")), "ContainerOutOfMemory");
    assert_eq!(running(MANY_RESTARTS.unsigned_abs(), ended("Error")), "ContainerCrashes");
    assert_eq!(running(MANY_RESTARTS.unsigned_abs() - 1, ended("Error")), "", "a few");
}

#[test]
fn init_and_debug_containers_are_looked_at_as_the_others_are() {
    let waiting =
        json!({"state": {"waiting": {"reason": "CreateContainerConfigError", "message": "no key"}}});
    for list in ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"] {
        let found = look(&["Pod"], &with_state("Pending", list, waiting.clone()), &[]);
        assert_eq!(codes(&found), ["ContainerConfigInvalid"], "{list}");
        let path = format!(".status.{list}[0].state.waiting.reason");
        assert_eq!(found.report.failures()[0].evidence[0].path, path);
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

#[test]
fn whether_a_container_that_ended_is_started_again_is_said_by_its_policy() {
    let ended = |list: &str, spec: Value, exit: i32| {
        let mut value = with_state("Running", list, json!({"state": {"terminated": {"exitCode": exit}}}));
        value = object("v1", "Pod", "web", json!({"spec": spec, "status": value.value()["status"]}));
        codes(&look(&["Pod"], &value, &[])).join(",")
    };
    let pods = "containerStatuses";
    let init = "initContainerStatuses";
    for (list, spec, exit, expected) in [
        (pods, json!({}), 1, "ContainerCrashes"),
        (pods, json!({"restartPolicy": "OnFailure"}), 1, "ContainerCrashes"),
        (pods, json!({"restartPolicy": "Never"}), 1, "ContainerEnded"),
        (pods, json!({"restartPolicy": "Always"}), 0, ""),
        (init, json!({"restartPolicy": "OnFailure"}), 1, "ContainerCrashes"),
        (init, json!({"restartPolicy": "Never"}), 1, "ContainerEnded"),
        (
            init,
            json!({"restartPolicy": "Never", "initContainers": [{"name": "c", "restartPolicy": "Always"}]}),
            1,
            "ContainerCrashes",
        ),
        ("ephemeralContainerStatuses", json!({"restartPolicy": "Always"}), 1, "ContainerEnded"),
    ] {
        assert_eq!(ended(list, spec.clone(), exit), expected, "{list} {spec} {exit}");
    }
}

/// What is told of a container that ends after every run, with so long to settle: changes of one finding.
fn told_of_a_loop(last: Value, settle: SignedDuration) -> Vec<Change> {
    let crash = |phase: &str, restarts: u32, state: Value, at: &str| {
        let containers = json!([{"name": "c", "image": "i", "imageID": "", "ready": phase == "running",
            "restartCount": restarts, "state": state, "lastState": {"terminated": last}}]);
        (pod(json!({"phase": "Running", "containerStatuses": containers})), at.parse::<Timestamp>().unwrap())
    };
    let waiting = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
    let running = json!({"running": {"startedAt": "2026-06-01T12:02:00Z"}});
    let steps = [
        crash("ended", 2, json!({"terminated": last}), "2026-06-01T12:00:01Z"),
        crash("waiting", 3, waiting.clone(), "2026-06-01T12:00:20Z"),
        crash("running", 4, running.clone(), "2026-06-01T12:02:01Z"),
        crash("ended", 4, json!({"terminated": last}), "2026-06-01T12:02:10Z"),
        crash("waiting", 5, waiting, "2026-06-01T12:02:20Z"),
        crash("running", 6, running.clone(), "2026-06-01T12:04:00Z"),
        crash("running", 6, running.clone(), "2026-06-01T12:13:00Z"),
        crash("running", 6, running, "2026-06-01T13:30:00Z"),
    ];
    let mut stored = None;
    let mut changes = Vec::new();
    for (n, (pod, now)) in steps.into_iter().enumerate() {
        let mut inventory = Inventory::of([pod.clone()]);
        inventory.set_now(now);
        inventory.set_settle(settle);
        let seen = Observation::Evaluated(look_in(&["Pod"], &pod, &inventory));
        let sequence = Sequence { at: 1, number: n as u64 + 1 };
        let grace = SignedDuration::ZERO;
        let (next, change) = Finding::take(stored.as_ref(), "here", &seen, sequence, now, grace, |_| true);
        stored = next.or(stored);
        changes.push(change);
    }
    changes
}

#[test]
fn one_crash_loop_is_one_finding_that_heals_when_the_container_goes_on() {
    let crash = json!({"exitCode": 1, "reason": "Error", "finishedAt": "2026-06-01T12:00:00Z"});
    let killed = json!({"exitCode": 137, "reason": "OOMKilled", "finishedAt": "2026-06-01T12:00:00Z"});
    let ended = json!({"exitCode": 0, "reason": "Completed", "finishedAt": "2026-06-01T12:00:00Z"});
    let minutes = SignedDuration::from_mins(10);
    let once = [Change::Opened, Change::Seen, Change::Seen, Change::Seen, Change::Seen, Change::Seen];
    for last in [&crash, &killed] {
        let told = told_of_a_loop(last.clone(), minutes);
        assert_eq!(told[..6], once, "{last}");
        assert_eq!(told[6..], [Change::Seen, Change::Resolved], "{last}: recent, and then not any more");
    }
    let told = told_of_a_loop(ended, minutes);
    assert_eq!(told[..2], [Change::Nothing, Change::Opened], "an end without a fault is none");
    assert_eq!(told[2..6], once[2..], "and one that comes again and again is");
    let told = told_of_a_loop(crash, SignedDuration::ZERO);
    assert_eq!(told[2], Change::Resolved, "with no time to settle it is well as soon as it runs");
}

#[test]
fn a_crash_that_did_not_come_again_heals_by_the_clock() {
    let pod = with_state(
        "Running",
        "containerStatuses",
        json!({"ready": true, "state": {"running": {"startedAt": "2026-06-01T12:00:00Z"}},
            "lastState": {"terminated": {"exitCode": 1, "finishedAt": "2026-06-01T11:59:00Z"}}}),
    );
    let mut inventory = Inventory::of([pod.clone()]);
    inventory.set_now("2026-06-01T12:01:00Z".parse().unwrap());
    inventory.set_settle(SignedDuration::from_mins(10));
    let found = look_in(&["Pod"], &pod, &inventory);
    assert_eq!((codes(&found).len(), &found.report.doubts()[0].why), (0, &Unverified::Settling));
    assert_eq!(inventory.take_wake(), "2026-06-01T12:10:00Z".parse().ok());
    inventory.set_now("2026-06-01T12:10:00Z".parse().unwrap());
    assert!(look_in(&["Pod"], &pod, &inventory).report.doubts().is_empty());
}
