//! A crash loop is one finding of the workload too, and of its Service.

use super::*;
use crate::finding::{Change, Finding, Observation, Sequence};

const MINUTE: i64 = 60_000;

fn crashing(started: Option<i64>) -> Object {
    let state = started.map_or(
        json!({"waiting": {"reason": "CrashLoopBackOff"}}),
        |minute| json!({"running": {"startedAt": at(minute * MINUTE).to_string()}}),
    );
    object(
        "v1",
        "Pod",
        "web-0",
        json!({"metadata": {"labels": {"app": "web"}, "creationTimestamp": "1969-12-31T00:00:00Z"},
            "spec": {"containers": []},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": started.map_or("False", |_| "True")}],
                "containerStatuses": [{"name": "c", "image": "i", "imageID": "", "ready": started.is_some(),
                    "restartCount": 3, "state": state, "lastState": {"terminated": {"exitCode": 1}}}]}}),
    )
}

fn subject(kind: &str, ready: i64) -> Object {
    let selector = json!({"matchLabels": {"app": "web"}});
    let rest = match kind {
        "DaemonSet" => json!({"spec": {"selector": selector, "template": {}},
            "status": {"desiredNumberScheduled": 1, "currentNumberScheduled": 1, "numberMisscheduled": 0, "numberReady": ready}}),
        "Service" => {
            return object(
                "v1",
                kind,
                "web",
                json!({"spec": {"selector": {"app": "web"}, "clusterIP": "10.0.0.1"}}),
            );
        }
        _ => json!({"spec": {"replicas": 1, "serviceName": "", "selector": selector, "template": {}},
            "status": {"replicas": 1, "availableReplicas": ready, "readyReplicas": ready}}),
    };
    object("apps/v1", kind, "web", rest)
}

fn slice(ready: bool) -> Object {
    object(
        "discovery.k8s.io/v1",
        "EndpointSlice",
        "web-x",
        json!({"metadata": {"labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4", "ports": [],
            "endpoints": [{"addresses": ["10.0.0.9"], "conditions": {"ready": ready, "serving": ready},
                "targetRef": {"kind": "Pod", "name": "web-0", "namespace": "shop"}}]}),
    )
}

/// The changes of the finding while the pod crashes twice and then goes on.
fn told(kind: &str, settle: SignedDuration) -> Vec<Change> {
    let mut planner =
        Planner::new(Selection::new(&[kind], &[], &[]).unwrap(), Duration::ZERO).settling(settle);
    for kind in ["Pod", "Event", "Secret", "ConfigMap", "PersistentVolumeClaim", "Service"] {
        planner.listed(&GroupKind::new("", kind), None, Ok(BTreeSet::new()), at(0));
    }
    for (group, kind) in [("discovery.k8s.io", "EndpointSlice"), ("storage.k8s.io", "StorageClass")] {
        planner.listed(&GroupKind::new(group, kind), None, Ok(BTreeSet::new()), at(0));
    }
    let (mut stored, mut changes) = (None, Vec::new());
    let mut number = 0;
    for (minute, runs) in [(0, false), (5, true), (6, false), (12, true), (13, true), (22, true)] {
        let started = runs.then_some(if minute < 12 { 5 } else { 12 });
        let now = at(minute * MINUTE);
        planner.put(&crashing(started), now);
        planner.put(&slice(runs), now);
        planner.put(&subject(kind, i64::from(runs)), now);
        while let Some(step) = planner.next(now) {
            let Step::Look(looked) = step else { continue };
            number += 1;
            let sequence = Sequence { at: 1, number };
            let seen = Observation::Evaluated(looked.evaluation);
            let (next, change) =
                Finding::take(stored.as_ref(), "here", &seen, sequence, now, SignedDuration::ZERO, |_| true);
            stored = next.or(stored);
            if !matches!(change, Change::Seen | Change::Nothing) {
                changes.push(change);
            }
        }
    }
    changes
}

#[test]
fn a_crash_loop_is_one_finding_of_its_workload_and_of_its_service() {
    for kind in ["Deployment", "StatefulSet", "DaemonSet", "Service"] {
        let once = [Change::Opened, Change::Resolved];
        assert_eq!(told(kind, SignedDuration::from_mins(10)), once, "{kind}");
        let each = [Change::Opened, Change::Resolved, Change::Opened, Change::Resolved];
        assert_eq!(told(kind, SignedDuration::ZERO), each, "{kind} with no time to settle");
    }
}

#[test]
fn the_pods_of_a_workload_that_is_well_are_not_read() {
    let mut planner = Planner::new(Selection::new(&["Deployment"], &[], &[]).unwrap(), Duration::ZERO)
        .settling(SignedDuration::from_mins(10));
    planner.put(&subject("Deployment", 1), at(0));
    let Some(Step::Look(looked)) = planner.next(at(0)) else { panic!("nothing is told") };
    assert_eq!(looked.snapshot.reads().count(), 0);
}
