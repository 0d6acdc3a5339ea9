//! A pod's status from the states of its containers, by the kubelet's rules. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, HostIP, Pod, PodCondition, PodIP, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt as _;

use crate::container::Kind;
use crate::state::{Phase, State};

/// One container and what is known of it.
pub(crate) struct View<'a> {
    pub(crate) spec: &'a Container,
    pub(crate) kind: Kind,
    pub(crate) state: State,
}

/// What the API shows of the pod. `before` is what it showed last: a condition that did not change keeps its time.
pub(crate) fn status(
    pod: &Pod,
    views: &[View<'_>],
    ip: &str,
    start: Timestamp,
    before: &[PodCondition],
) -> PodStatus {
    let uid = pod.uid().unwrap_or_default();
    let of = |main: bool| {
        let wanted = views.iter().filter(move |view| (view.kind == Kind::Main) == main);
        wanted.map(|view| view.state.status(view.spec, &uid)).collect::<Vec<_>>()
    };
    let policy = pod.spec.as_ref().and_then(|spec| spec.restart_policy.as_deref()).unwrap_or("Always");
    let phase = phase(views, policy);
    PodStatus {
        phase: Some(phase.to_owned()),
        conditions: Some(conditions(pod, views, phase, before)),
        container_statuses: Some(of(true)),
        init_container_statuses: Some(of(false)).filter(|statuses| !statuses.is_empty()),
        host_ip: Some("127.0.0.1".to_owned()),
        host_ips: Some(vec![HostIP { ip: "127.0.0.1".to_owned() }]),
        pod_ip: Some(ip.to_owned()),
        pod_ips: Some(vec![PodIP { ip: ip.to_owned() }]),
        start_time: Some(Time(start)),
        observed_generation: pod.metadata.generation,
        ..PodStatus::default()
    }
}

/// Pending until every main container has been started once; then by who runs and how the others ended.
pub(crate) fn phase(views: &[View<'_>], policy: &str) -> &'static str {
    let failed = |state: &State| state.done && !state.succeeded();
    let mut inits = views.iter().filter(|view| view.kind == Kind::Init);
    if inits.any(|view| failed(&view.state) && policy == "Never") {
        return "Failed";
    }
    let mains = || views.iter().filter(|view| view.kind == Kind::Main).map(|view| &view.state);
    let never_started = |state: &State| matches!(state.phase, Phase::Waiting { .. }) && state.last.is_none();
    if mains().any(never_started) {
        return "Pending";
    }
    // A pod is not finished before its sidecars are.
    let accompanied = views
        .iter()
        .any(|view| view.kind == Kind::Sidecar && !view.state.done && !never_started(&view.state));
    match (mains().all(|state| state.done) && !accompanied, mains().all(State::succeeded)) {
        (false, _) => "Running",
        (true, true) => "Succeeded",
        (true, false) => "Failed",
    }
}

fn conditions(pod: &Pod, views: &[View<'_>], phase: &str, before: &[PodCondition]) -> Vec<PodCondition> {
    let finished = matches!(phase, "Succeeded" | "Failed");
    let initialized = views.iter().all(|view| match view.kind {
        Kind::Init => view.state.succeeded(),
        Kind::Sidecar => view.state.started || finished,
        Kind::Main => true,
    });
    let unready: Vec<&str> = views
        .iter()
        .filter(|view| view.kind != Kind::Init && !(view.state.running() && view.state.ready))
        .map(|view| view.spec.name.as_str())
        .collect();
    let (reason, message) = if phase == "Succeeded" {
        ("PodCompleted", String::new())
    } else {
        ("ContainersNotReady", format!("containers with unready status: [{}]", unready.join(" ")))
    };
    let ready = (unready.is_empty(), reason, message);
    let scheduled = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let scheduled = scheduled.filter(|condition| condition.type_ == "PodScheduled").cloned();
    let yes = || (true, "", String::new());
    let named = [
        ("PodReadyToStartContainers", (!finished, "", String::new())),
        ("Initialized", if initialized { yes() } else { (false, "ContainersNotInitialized", String::new()) }),
        ("ContainersReady", if ready.0 { yes() } else { ready.clone() }),
        ("Ready", if ready.0 { yes() } else { ready }),
    ];
    let named = named.map(|(type_, (holds, reason, message))| {
        let status = if holds { "True" } else { "False" };
        let same = before.iter().find(|old| old.type_ == type_ && old.status == status);
        PodCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()).filter(|reason| !reason.is_empty()),
            message: Some(message).filter(|message| !message.is_empty()),
            last_transition_time: same
                .and_then(|old| old.last_transition_time.clone())
                .or_else(|| Some(Time(Timestamp::now()))),
            observed_generation: pod.metadata.generation,
            ..PodCondition::default()
        }
    });
    scheduled.chain(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::End;

    fn ended(code: i32, done: bool) -> State {
        let end = End { code, since: Timestamp::UNIX_EPOCH, at: Timestamp::UNIX_EPOCH };
        State { phase: Phase::Ended(end), done, ..State::waiting("", "") }
    }

    fn running(ready: bool) -> State {
        let phase = Phase::Running { since: Timestamp::UNIX_EPOCH };
        State { phase, started: true, ready, ..State::waiting("", "") }
    }

    fn crashing() -> State {
        let end = End { code: 1, since: Timestamp::UNIX_EPOCH, at: Timestamp::UNIX_EPOCH };
        State { last: Some(end), restarts: 3, ..State::waiting("CrashLoopBackOff", "") }
    }

    #[test]
    fn a_phase_follows_from_who_runs() {
        use Kind::{Init, Main, Sidecar};
        let spec = Container::default();
        for (states, policy, expected) in [
            (vec![(Main, State::waiting("ContainerCreating", ""))], "Always", "Pending"),
            (vec![(Main, running(true)), (Main, State::waiting("ErrImagePull", ""))], "Always", "Pending"),
            (vec![(Main, running(false))], "Always", "Running"),
            (vec![(Main, crashing())], "Always", "Running"),
            (vec![(Main, ended(1, false))], "OnFailure", "Running"),
            (vec![(Sidecar, running(true)), (Main, ended(0, true))], "Never", "Running"),
            (vec![(Sidecar, ended(143, true)), (Main, ended(0, true))], "Never", "Succeeded"),
            (vec![(Main, ended(0, true)), (Main, ended(1, true))], "Never", "Failed"),
            (vec![(Init, ended(1, true)), (Main, State::waiting("PodInitializing", ""))], "Never", "Failed"),
            (vec![(Init, crashing()), (Main, State::waiting("PodInitializing", ""))], "Always", "Pending"),
        ] {
            let views: Vec<_> =
                states.into_iter().map(|(kind, state)| View { spec: &spec, kind, state }).collect();
            assert_eq!(phase(&views, policy), expected);
        }
    }

    #[test]
    fn a_pod_is_ready_when_its_sidecar_is_too_and_keeps_the_time_of_that() {
        let (spec, pod) = (Container::default(), Pod::default());
        let ready = |state| {
            let views = [(Kind::Sidecar, state), (Kind::Main, running(true))];
            let views = views.map(|(kind, state)| View { spec: &spec, kind, state });
            conditions(&pod, &views, "Running", &[]).pop().filter(|condition| condition.type_ == "Ready")
        };
        assert_eq!(ready(running(false)).map(|condition| condition.status).as_deref(), Some("False"));
        let first = ready(running(true)).into_iter().collect::<Vec<_>>();
        assert_eq!(first.first().map(|condition| condition.status.as_str()), Some("True"));
        let views = [View { spec: &spec, kind: Kind::Main, state: running(true) }];
        let again = conditions(&pod, &views, "Running", &first).pop();
        assert_eq!(
            again.map(|condition| condition.last_transition_time),
            first.first().map(|c| c.last_transition_time.clone())
        );
    }
}
