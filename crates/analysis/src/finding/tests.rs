#![allow(clippy::unwrap_used, reason = "tests")]
use k8s_openapi::api::core::v1::Pod;

use super::*;
use crate::report::Report;
use crate::view::Unverified;

const NONE: SignedDuration = SignedDuration::ZERO;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const fn sequence(number: u64) -> Sequence {
    Sequence { at: 1, number }
}

fn pod() -> ObjectRef {
    ObjectRef::of::<Pod>(Some("shop"), "web")
}

fn seen(failures: &[(&str, &str)], doubts: &[&str]) -> Observation {
    let mut report = Report::default();
    for (code, text) in failures {
        report.fail(Failure::new(code, Severity::Error, *text));
    }
    for code in doubts {
        report.doubt(code, "something", Unverified::Failed("500".to_owned()));
    }
    Observation::Evaluated(Evaluation {
        object: pod(),
        uid: None,
        resource_version: None,
        parent: None,
        backstage: None,
        report,
    })
}

fn step(stored: &mut Option<Finding>, observation: &Observation, number: u64) -> Change {
    let (next, change) = Finding::take(
        stored.as_ref(),
        "here",
        observation,
        sequence(number),
        at(number.cast_signed()),
        NONE,
        |_| true,
    );
    if next.is_some() {
        *stored = next;
    }
    change
}

#[test]
fn a_finding_opens_once_stays_changes_and_heals() {
    let mut stored = None;
    assert_eq!(step(&mut stored, &seen(&[], &[]), 1), Change::Nothing);
    assert_eq!(step(&mut stored, &seen(&[("A", "a")], &[]), 2), Change::Opened);
    for number in 3..6 {
        assert_eq!(step(&mut stored, &seen(&[("A", "a")], &[]), number), Change::Seen, "identical passes");
    }
    assert_eq!(step(&mut stored, &seen(&[("A", "a"), ("B", "b")], &[]), 6), Change::Changed);
    assert_eq!(stored.as_ref().unwrap().first_seen, at(2));
    assert_eq!(step(&mut stored, &seen(&[], &[]), 7), Change::Resolved);
    assert_eq!(step(&mut stored, &seen(&[], &[]), 8), Change::Nothing, "healed once");
    assert_eq!(step(&mut stored, &seen(&[("A", "a")], &[]), 9), Change::Opened);
    assert_eq!(stored.unwrap().first_seen, at(9), "a new one");
}

#[test]
fn a_late_and_older_answer_neither_closes_nor_opens() {
    let mut stored = None;
    step(&mut stored, &seen(&[("A", "a")], &[]), 5);
    assert_eq!(step(&mut stored, &seen(&[], &[]), 4), Change::Nothing);
    assert_eq!(step(&mut stored, &seen(&[], &[]), 5), Change::Nothing, "the same again");
    assert_eq!(step(&mut stored, &seen(&[], &[]), 6), Change::Resolved);
    assert_eq!(step(&mut stored, &seen(&[("A", "a")], &[]), 5), Change::Nothing);
    assert_eq!(stored.unwrap().lifecycle, Lifecycle::Resolved);
}

#[test]
fn an_object_that_is_well_is_not_opened_by_an_older_answer() {
    let mut stored = None;
    assert_eq!(step(&mut stored, &seen(&[], &[]), 2), Change::Nothing);
    assert_eq!(step(&mut stored, &seen(&[("A", "a")], &[]), 1), Change::Nothing);
    assert_eq!(step(&mut stored, &seen(&[("A", "a")], &[]), 3), Change::Opened);
}

#[test]
fn a_watcher_that_goes_on_after_another_is_heard() {
    let stored = Finding::take(
        None,
        "here",
        &seen(&[("A", "a")], &[]),
        Sequence { at: 1, number: 900 },
        at(1),
        NONE,
        |_| true,
    )
    .0;
    let first_of_next = Sequence { at: 2, number: 1 };
    assert_eq!(
        Finding::take(stored.as_ref(), "here", &seen(&[], &[]), first_of_next, at(2), NONE, |_| true).1,
        Change::Resolved
    );
}

#[test]
fn what_could_not_be_verified_keeps_its_last_state() {
    let mut stored = None;
    step(&mut stored, &seen(&[("A", "a"), ("B", "b")], &[]), 1);
    assert_eq!(step(&mut stored, &seen(&[], &["A", "B"]), 2), Change::Seen, "forbidden closes nothing");
    assert_eq!(
        step(&mut stored, &seen(&[], &["*"]), 3),
        Change::Seen,
        "nor does an object that cannot be understood"
    );
    assert_eq!(step(&mut stored, &seen(&[], &["A"]), 4), Change::Changed, "B was looked for and is healed");
    assert_eq!(stored.as_ref().unwrap().failures.len(), 1);
    assert_eq!(step(&mut stored, &seen(&[], &[]), 5), Change::Resolved);
    let mut none = None;
    assert_eq!(step(&mut none, &seen(&[], &["A"]), 1), Change::Nothing, "a doubt opens nothing");
}

#[test]
fn of_two_places_with_one_code_the_one_in_doubt_stays() {
    let crash = |n: usize| {
        Failure::new("A", Severity::Error, format!("container {n}")).seen(
            &pod(),
            format!(".status.containerStatuses[{n}].state"),
            None,
        )
    };
    let looks = |failures: &[usize], doubt: bool| {
        let mut report = Report::default();
        failures.iter().for_each(|n| report.fail(crash(*n)));
        if doubt {
            report.doubt("A", "container", Unverified::Settling);
        }
        let (uid, resource_version, parent) = (None, None, None);
        Observation::Evaluated(Evaluation {
            object: pod(),
            uid,
            resource_version,
            parent,
            backstage: None,
            report,
        })
    };
    let mut stored = None;
    step(&mut stored, &looks(&[0, 1], false), 1);
    assert_eq!(step(&mut stored, &looks(&[1], true), 2), Change::Seen, "the first runs again, not for long");
    assert_eq!(step(&mut stored, &looks(&[0], true), 3), Change::Seen, "they take turns");
    assert_eq!(stored.as_ref().unwrap().failures.len(), 2);
    assert_eq!(step(&mut stored, &looks(&[0], false), 4), Change::Changed, "the second is well");
}

#[test]
fn an_object_that_is_gone_has_no_finding_whatever_is_in_doubt() {
    let mut stored = None;
    step(&mut stored, &seen(&[("A", "a")], &[]), 1);
    assert_eq!(step(&mut stored, &Observation::Gone(pod()), 2), Change::Resolved);
}

fn of_uid(uid: &str, failures: &[(&str, &str)], doubts: &[&str]) -> Observation {
    let Observation::Evaluated(evaluation) = seen(failures, doubts) else { panic!("evaluated") };
    Observation::Evaluated(Evaluation { uid: Some(uid.to_owned()), ..evaluation })
}

#[test]
fn an_object_made_anew_under_the_same_name_has_a_finding_of_its_own() {
    let mut stored = None;
    step(&mut stored, &of_uid("first", &[("A", "a")], &[]), 1);
    assert_eq!(step(&mut stored, &of_uid("first", &[("A", "a")], &[]), 2), Change::Seen);
    assert_eq!(step(&mut stored, &of_uid("second", &[("A", "a")], &[]), 3), Change::Opened);
    let second = stored.clone().unwrap();
    assert_eq!((second.uid.as_deref(), second.first_seen), (Some("second"), at(3)));
    assert_eq!(step(&mut stored, &seen(&[("A", "a")], &[]), 4), Change::Seen, "nobody says which it is");
    assert_eq!(stored.as_ref().unwrap().uid.as_deref(), Some("second"));
    assert_eq!(
        step(&mut stored, &of_uid("third", &[], &["A"]), 5),
        Change::Resolved,
        "what was wrong with another is not what is in doubt"
    );
}

#[test]
fn what_was_told_of_the_object_before_is_not_lost_in_a_grace_period() {
    let grace = SignedDuration::from_secs(60);
    let take = |stored: Option<&Finding>, uid, second: u64| {
        let broken = of_uid(uid, &[("A", "a")], &[]);
        Finding::take(stored, "here", &broken, sequence(second), at(second.cast_signed()), grace, |_| true)
    };
    let (first, _) = take(None, "first", 1);
    let (waits, change) = take(first.as_ref(), "second", 2);
    assert_eq!(change, Change::Waiting(at(62)), "of the first nobody was told");
    let (second, change) = take(waits.as_ref(), "second", 70);
    assert_eq!(change, Change::Opened);
    let (third, change) = take(second.as_ref(), "third", 80);
    assert_eq!((change, third.unwrap().first_seen), (Change::Opened, at(80)));
}

#[test]
fn nobody_is_told_before_the_grace_period_is_over() {
    let grace = SignedDuration::from_secs(60);
    let (pending, change) =
        Finding::take(None, "here", &seen(&[("A", "a")], &[]), sequence(1), at(0), grace, |_| true);
    let pending = pending.unwrap();
    assert_eq!(change, Change::Waiting(at(60)));
    assert_eq!(pending.due(at(59), grace), None);
    assert_eq!(pending.due(at(60), grace).unwrap().lifecycle, Lifecycle::Created);
    let again =
        Finding::take(Some(&pending), "here", &seen(&[("A", "a")], &[]), sequence(2), at(61), grace, |_| {
            true
        });
    assert_eq!(again.1, Change::Opened, "an observation after it opens it too");
    let (healed, change) =
        Finding::take(Some(&pending), "here", &seen(&[], &[]), sequence(2), at(30), grace, |_| true);
    assert_eq!(change, Change::Nothing, "a rollout that went well tells nobody");
    assert_eq!(healed.unwrap().due(at(90), grace), None);
}

#[test]
fn words_do_not_make_a_new_finding_and_places_do() {
    let of = |text: &str, paths: &[&str]| {
        let mut failure = Failure::new("A", Severity::Error, text);
        for path in paths {
            failure = failure.seen(&pod(), *path, text.to_owned());
        }
        fingerprint("here", &pod(), &[failure])
    };
    let first = of("ErrImagePull: not found", &[".status.containerStatuses[0].state.waiting.reason"]);
    assert_eq!(first, of("back-off 1m20s", &[".status.containerStatuses[0].state.waiting.reason"]));
    assert_eq!(first, of("ended", &[".status.containerStatuses[0].state.terminated.exitCode"]));
    assert_ne!(
        first,
        of("not found", &[".status.containerStatuses[1].state.waiting.reason"]),
        "another container"
    );
    let event = ObjectRef::of::<Event>(Some("shop"), "web.18a2");
    let told = |name: &ObjectRef| {
        fingerprint("here", &pod(), &[Failure::new("A", Severity::Error, "a").seen(name, ".message", None)])
    };
    assert_eq!(
        told(&event),
        told(&ObjectRef::of::<Event>(Some("shop"), "web.18a3")),
        "an event that came again"
    );
    let two = [Failure::new("A", Severity::Error, "a"), Failure::new("B", Severity::Error, "b")];
    let turned = [two[1].clone(), two[0].clone()];
    assert_eq!(
        fingerprint("here", &pod(), &two),
        fingerprint("here", &pod(), &turned),
        "order does not count"
    );
    assert_ne!(fingerprint("here", &pod(), &two), fingerprint("there", &pod(), &two), "the cluster does");
}

#[test]
fn what_gets_worse_is_told() {
    let of = |severity| {
        let mut report = Report::default();
        report.fail(Failure::new("A", severity, "a"));
        let (uid, resource_version, parent) = (None, None, None);
        Observation::Evaluated(Evaluation {
            object: pod(),
            uid,
            resource_version,
            parent,
            backstage: None,
            report,
        })
    };
    let mut stored = None;
    assert_eq!(step(&mut stored, &of(Severity::Warning), 1), Change::Opened);
    assert_eq!(step(&mut stored, &of(Severity::Error), 2), Change::Changed, "2 of 3, then 0 of 3");
    assert_eq!(step(&mut stored, &of(Severity::Warning), 3), Change::Seen);
}

#[test]
fn what_is_not_told_any_more_is_as_good_as_healed() {
    let told = |failure: &Failure| failure.code != "A";
    let open = |observation: &Observation| {
        Finding::take(None, "here", observation, sequence(1), at(1), NONE, |_| true).0.unwrap()
    };
    let both = open(&seen(&[("A", "a"), ("B", "b")], &[]));
    // Neither what is found again nor what is in doubt.
    for observation in [seen(&[("A", "a"), ("B", "b")], &[]), seen(&[("B", "b")], &["A"])] {
        let (next, change) = Finding::take(Some(&both), "here", &observation, sequence(2), at(2), NONE, told);
        let codes: Vec<_> = next.unwrap().failures.into_iter().map(|failure| failure.code).collect();
        assert_eq!((change, codes), (Change::Changed, vec!["B".to_owned()]));
    }
    let one = open(&seen(&[("A", "a")], &[]));
    let (next, change) =
        Finding::take(Some(&one), "here", &seen(&[("A", "a")], &[]), sequence(2), at(2), NONE, told);
    assert_eq!((next.unwrap().lifecycle, change), (Lifecycle::Resolved, Change::Resolved));
    let (next, change) =
        Finding::take(None, "here", &seen(&[("A", "a")], &[]), sequence(1), at(1), NONE, told);
    assert_eq!((next.unwrap().lifecycle, change), (Lifecycle::Resolved, Change::Nothing));
}
