use asya_resources::AsyncActorStatus;
use asya_transport::Depth;
use jiff::{SignedDuration, Timestamp};

use super::{
    Observed, Pod, Replicas, Report, Verdict, Word, conditions, counts::worth_writing, pods::Container,
    report,
};

const NOW: &str = "2026-01-01T12:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

fn good() -> Verdict {
    Verdict::Good("Fine", "all is well".to_owned())
}

fn bad(reason: &'static str) -> Verdict {
    Verdict::Bad(reason, format!("{reason}, in a sentence"))
}

fn replicas(desired: i32, total: i32, ready: i32) -> Option<Replicas> {
    Some(Replicas { desired, total, ready })
}

/// An actor that runs three of three pods.
fn observed(previous: &AsyncActorStatus) -> Observed<'_> {
    Observed {
        generation: 1,
        previous,
        now: now(),
        deleting: None,
        paused: false,
        scaling: true,
        transport: good(),
        workload: good(),
        scaler: good(),
        warnings: Vec::new(),
        update: None,
        stalled: None,
        refused: None,
        replicas: replicas(3, 3, 3),
        pods: &[],
        depth: None,
        workload_ref: None,
        scaled_object_ref: None,
        selector: None,
        queue: None,
        former: Vec::new(),
    }
}

fn pod(containers: Vec<Container>) -> Pod {
    Pod { name: "ocr-1".to_owned(), phase: "Running".to_owned(), containers, ..Pod::default() }
}

fn waiting(name: &str, reason: &str, message: &str) -> Pod {
    pod(vec![Container {
        name: name.to_owned(),
        waiting: Some(reason.to_owned()),
        message: message.to_owned(),
        ..Container::default()
    }])
}

#[test]
fn each_state_has_its_word() {
    let none = AsyncActorStatus::default();
    let long_ago =
        AsyncActorStatus { last_scale_time: Some("2026-01-01T11:00:00Z".to_owned()), ..none.clone() };
    let just_now =
        AsyncActorStatus { last_scale_time: Some("2026-01-01T11:59:00Z".to_owned()), ..none.clone() };
    let crash = |name: &str| waiting(name, "CrashLoopBackOff", "");
    let no_node = Pod { unschedulable: Some("0/3 nodes: Insufficient memory".into()), ..pod(vec![]) };
    let slow = Pod { without_sandbox: Some(now() - SignedDuration::from_mins(3)), ..pod(vec![]) };
    let quick = Pod { without_sandbox: Some(now() - SignedDuration::from_secs(30)), ..pod(vec![]) };
    let failed = Pod { phase: "Failed".into(), reason: "Evicted".into(), ..pod(vec![]) };
    let leaving = Pod { terminating: true, ..crash("asya-runtime") };
    let restarts = pod(vec![Container { name: "asya-runtime".into(), restarts: 6, ..Container::default() }]);
    let image = waiting("asya-runtime", "ImagePullBackOff", "");
    let config = waiting("asya-runtime", "CreateContainerConfigError", "secret \"x\" not found");
    let other = waiting("asya-runtime", "CreateContainerConfigError", "runAsNonRoot and image has root");
    type Change<'a> = Box<dyn Fn(&mut Observed<'a>) + 'a>;
    let at = |desired, total, ready| -> Change<'_> {
        Box::new(move |seen: &mut Observed<'_>| seen.replicas = replicas(desired, total, ready))
    };
    fn with<'a>(pods: &'a Pod) -> Change<'a> {
        Box::new(move |seen: &mut Observed<'a>| seen.pods = std::slice::from_ref(pods))
    }
    let table: Vec<(Word, &AsyncActorStatus, Change<'_>)> = vec![
        (Word::Running, &none, at(3, 3, 3)),
        (Word::Napping, &none, at(0, 0, 0)),
        (Word::Running, &none, Box::new(|seen| (seen.scaling, seen.replicas) = (false, replicas(0, 0, 0)))),
        (Word::Paused, &none, Box::new(|seen| (seen.paused, seen.replicas) = (true, replicas(0, 0, 0)))),
        (Word::Running, &none, Box::new(|seen| seen.paused = true)),
        (Word::ScalingDown, &none, Box::new(|seen| (seen.paused, seen.replicas) = (true, replicas(0, 1, 1)))),
        (Word::Creating, &none, Box::new(|seen| seen.replicas = None)),
        (Word::Terminating, &none, Box::new(|seen| seen.deleting = Some(("Pods", String::new())))),
        (Word::TransportError, &none, Box::new(|seen| seen.transport = bad("InvalidTransport"))),
        (Word::WorkloadError, &none, Box::new(|seen| seen.workload = bad("ValidationError"))),
        (Word::ScalingError, &none, Box::new(|seen| seen.scaler = bad("KedaNotInstalled"))),
        (Word::Running, &none, Box::new(|seen| (seen.scaling, seen.scaler) = (false, bad("Off")))),
        (Word::ScalingUp, &none, at(3, 1, 1)),
        (Word::ScalingUp, &long_ago, at(3, 1, 1)),
        (Word::ScalingUp, &just_now, at(3, 3, 2)),
        (Word::Degraded, &long_ago, at(3, 3, 2)),
        (Word::ScalingDown, &none, at(1, 3, 3)),
        (Word::ScalingDown, &none, at(0, 1, 1)),
        (Word::PendingResources, &none, with(&no_node)),
        (Word::ImagePullError, &none, with(&image)),
        (Word::ConfigError, &none, with(&config)),
        (Word::WorkloadError, &none, with(&other)),
        (Word::VolumeError, &none, with(&slow)),
        (Word::Running, &none, with(&quick)),
        (Word::WorkloadError, &none, with(&failed)),
        (Word::RuntimeError, &none, with(&restarts)),
        (Word::Running, &none, with(&leaving)),
    ];
    for (row, (word, previous, change)) in table.iter().enumerate() {
        let mut seen = observed(previous);
        change(&mut seen);
        assert_eq!(report(&seen).status.status.as_deref(), Some(word.as_str()), "row {row}");
    }
    for (name, word) in [
        ("asya-runtime", Word::RuntimeError),
        ("asya-sidecar", Word::SidecarError),
        ("cache", Word::WorkloadError),
    ] {
        let pods = [crash(name)];
        let seen = Observed { pods: &pods, ..observed(&none) };
        assert_eq!(report(&seen).status.status.as_deref(), Some(word.as_str()), "{name}");
    }
}

#[test]
fn the_worst_pod_speaks_and_names_itself() {
    let pods =
        [waiting("asya-sidecar", "CrashLoopBackOff", ""), waiting("asya-runtime", "ErrImagePull", "denied")];
    let none = AsyncActorStatus::default();
    let status = report(&Observed { pods: &pods, ..observed(&none) }).status;
    let condition = status.condition(conditions::WORKLOAD).unwrap();
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "PodsNotHealthy"));
    assert!(condition.message.contains("asya-runtime") && condition.message.contains("denied"));
    assert_eq!(status.failing_pods, Some(2));
}

#[test]
fn pods_that_are_refused_are_told_in_the_servers_words_and_degrade_the_actor_after_five_minutes() {
    let none = AsyncActorStatus::default();
    let words = "pods \"ocr-1\" is forbidden: exceeded quota: small";
    let refused = |previous| Observed {
        refused: Some(words.to_owned()),
        replicas: replicas(3, 1, 1),
        ..observed(previous)
    };
    let first = report(&refused(&none));
    let condition = first.status.condition(conditions::WORKLOAD).unwrap();
    assert_eq!((condition.status.as_str(), condition.reason.as_str()), ("False", "PodsRefused"));
    assert!(condition.message.contains(words), "{}", condition.message);
    assert_eq!(first.status.status.as_deref(), Some("ScalingUp"));
    assert_eq!(first.events[0].reason, "PodsRefused");
    let later =
        |minutes| Observed { now: now() + SignedDuration::from_mins(minutes), ..refused(&first.status) };
    assert_eq!(report(&later(5)).status.status.as_deref(), Some("ScalingUp"));
    assert_eq!(report(&later(6)).status.status.as_deref(), Some("Degraded"));
    let crash = [waiting("asya-runtime", "CrashLoopBackOff", "")];
    let both = report(&Observed { pods: &crash, ..later(6) });
    assert_eq!(both.status.status.as_deref(), Some("RuntimeError"), "what a pod says is nearer to the cause");
}

#[test]
fn the_same_observation_gives_the_same_status_and_tells_nothing() {
    let none = AsyncActorStatus::default();
    let first = report(&observed(&none)).status;
    let later = Observed { now: now() + SignedDuration::from_hours(1), ..observed(&first) };
    assert_eq!(report(&later), Report { status: first.clone(), events: Vec::new() });
}

#[test]
fn a_reason_that_changes_is_written_and_told_while_the_time_stays() {
    let none = AsyncActorStatus::default();
    let first = report(&Observed { transport: bad("QueueMissing"), ..observed(&none) }).status;
    let later = now() + SignedDuration::from_mins(1);
    let second = report(&Observed { now: later, transport: bad("BrokerUnreachable"), ..observed(&first) });
    let condition = second.status.condition(conditions::TRANSPORT).unwrap();
    assert_eq!(
        (condition.reason.as_str(), condition.last_transition_time.as_str()),
        ("BrokerUnreachable", NOW)
    );
    assert_eq!(second.events.len(), 1);
    let third = report(&Observed { now: later, ..observed(&second.status) });
    assert_eq!(third.events[0].reason, "TransportReadyRecovered");
    assert_eq!(
        third.status.condition(conditions::TRANSPORT).unwrap().last_transition_time,
        "2026-01-01T12:01:00Z"
    );
}

#[test]
fn scaling_is_remembered_as_a_time_and_told_once() {
    let none = AsyncActorStatus::default();
    let napping = report(&Observed { replicas: replicas(0, 0, 0), ..observed(&none) }).status;
    assert_eq!(napping.last_scale_formatted.as_deref(), Some("-"));
    let woken = report(&Observed { replicas: replicas(2, 1, 0), ..observed(&napping) });
    assert_eq!(woken.events[0].reason, "WokeUp");
    assert_eq!(woken.status.last_scale_time.as_deref(), Some(NOW));
    assert_eq!(woken.status.last_scale_direction.as_deref(), Some("up"));
    let settled = report(&Observed { replicas: replicas(2, 2, 2), ..observed(&woken.status) });
    assert_eq!(settled.events, Vec::new());
}

#[test]
fn a_condition_that_has_nothing_to_say_is_absent() {
    let none = AsyncActorStatus::default();
    let status = report(&Observed { scaling: false, ..observed(&none) }).status;
    let types: Vec<&str> = status.conditions.iter().map(|condition| condition.r#type.as_str()).collect();
    assert_eq!(types, [conditions::TRANSPORT, conditions::WORKLOAD]);
    assert_eq!(status.ready_summary.as_deref(), Some("2/2"));
}

#[test]
fn counts_are_written_when_they_tell_something() {
    let depth = |ready, in_flight| Depth { ready, in_flight, ..Depth::default() };
    let early = Some(now() - SignedDuration::from_secs(29));
    let late = Some(now() - SignedDuration::from_secs(31));
    let table = [
        (None, depth(0, 0), None, true, "the first"),
        (Some((0, 0)), depth(1, 0), late, true, "crosses zero"),
        (Some((0, 0)), depth(1, 0), early, false, "too early"),
        (Some((10, 0)), depth(20, 0), late, false, "a factor of two"),
        (Some((10, 0)), depth(21, 0), late, true, "more than a factor of two"),
        (Some((10, 0)), depth(5, 0), late, false, "half"),
        (Some((10, 0)), depth(4, 0), late, true, "less than half"),
        (Some((10, 1)), depth(10, 0), late, true, "nothing in work any more"),
        (Some((10, 3)), depth(10, 3), late, false, "the same"),
    ];
    for (old, new, last, expected, why) in table {
        assert_eq!(worth_writing(old, new, last, now()), expected, "{why}");
    }
}

#[test]
fn a_queue_that_is_left_behind_is_told_of_once_with_its_numbers_and_stays_in_the_status() {
    let queue = asya_resources::FormerQueue {
        transport: "old".to_owned(),
        name: "asya-ocr".to_owned(),
        left_time: NOW.to_owned(),
    };
    let before = AsyncActorStatus::default();
    let mut seen = observed(&before);
    seen.former = vec![super::Former { queue: queue.clone(), found: "with messages on it: 7".to_owned() }];
    seen.warnings = vec![("QueueLeftBehind", "queue asya-ocr was left behind".to_owned())];
    let Report { status, events } = report(&seen);
    assert_eq!(status.former_queues, [queue]);
    let told: Vec<_> = events.iter().filter(|event| event.reason == "QueueLeftBehind").collect();
    assert_eq!(told.len(), 1, "{events:?}");
    assert!(told[0].warning && told[0].message.contains("queue asya-ocr on transport old"), "{told:?}");
    assert!(told[0].message.contains("with messages on it: 7"), "{told:?}");
    let (former, warnings) = (seen.former.clone(), seen.warnings.clone());
    let mut again = observed(&status);
    (again.former, again.warnings) = (former, warnings);
    assert_eq!(report(&again).events, []);
}
