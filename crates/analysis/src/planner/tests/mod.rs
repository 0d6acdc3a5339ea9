#![allow(clippy::unwrap_used, reason = "tests")]
use k8s_openapi::api::core::v1::{Event, Pod};
use serde_json::{Value, json};

use super::*;
use crate::Selector;
use crate::View as _;
use crate::analyzers::testing::{event, object};

mod extent;
mod flapping;

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap()
}

fn planner() -> Planner {
    let mut planner = Planner::new(Selection::new(&["Pod"], &[], &[]).unwrap(), Duration::from_millis(200));
    for kind in [GroupKind::of::<Pod>(), GroupKind::of::<Event>(), GroupKind::new("batch", "Job")] {
        planner.listed(&kind, None, Ok(BTreeSet::new()), at(0));
    }
    assert_eq!(named(planner.next(at(0))), [0_usize; 1], "there is no pod");
    planner
}

/// How many objects each page names, until there is something else.
fn named(step: Option<Step>) -> Vec<usize> {
    match step {
        Some(Step::Live(page)) => vec![page.len()],
        other => panic!("{other:?}"),
    }
}

fn named_pod(name: &str) -> Object {
    object("v1", "Pod", name, json!({"spec": {"containers": []}, "status": {"phase": "Running"}}))
}

/// Takes a list of these, all of one kind, as a watch does.
fn list(planner: &mut Planner, objects: &[Object], at: Timestamp) {
    objects.iter().for_each(|object| planner.put(object, at));
    planner.listed(&objects[0].kind(), None, Ok(objects.iter().map(Object::reference).collect()), at);
}

fn pod(state: &Value) -> Object {
    object(
        "v1",
        "Pod",
        "web",
        json!({"spec": {"containers": []}, "status": {"phase": "Pending", "containerStatuses": [
        {"name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state}]}}),
    )
}

fn waiting(reason: &str) -> Object {
    pod(&json!({"waiting": {"reason": reason, "message": "m"}}))
}

fn looked(step: Option<Step>) -> Vec<String> {
    match step {
        Some(Step::Look(looked)) => {
            looked.evaluation.report.failures().iter().map(|it| it.code.clone()).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn changes_within_the_debounce_are_one_and_none_waits_longer() {
    let mut planner = planner();
    planner.put(&waiting("ContainerCreating"), at(0));
    planner.put(&waiting("ErrImagePull"), at(150));
    assert_eq!(planner.wakes(), Some(at(200)), "the first change counts");
    assert_eq!(planner.next(at(199)), None);
    assert_eq!(looked(planner.next(at(200))), ["ImagePullFails"]);
    assert_eq!(planner.next(at(200)), None);
    assert_eq!(planner.wakes(), None);
}

#[test]
fn what_an_evaluation_read_brings_it_back_when_it_changes() {
    let mut planner = planner();
    let creating = waiting("ContainerCreating");
    planner.put(&creating, at(0));
    assert!(looked(planner.next(at(200))).is_empty());
    planner.put(&event(&creating, "FailedMount", "no such secret", "2026-01-01T00:00:00Z"), at(300));
    assert_eq!(looked(planner.next(at(500))), ["VolumeMountFails"], "an event about it");
    let other = object("v1", "Pod", "other", json!({}));
    planner.put(&event(&other, "FailedMount", "another's", "2026-01-01T00:00:00Z"), at(600));
    assert_eq!(planner.wakes(), None, "an event about another");
}

#[test]
fn what_says_the_same_is_told_once_and_again_on_resync() {
    let mut planner = planner();
    let version = |version: &str| {
        let mut value = waiting("ErrImagePull").value().clone();
        value["metadata"]["resourceVersion"] = json!(version);
        Object::new(value).unwrap()
    };
    planner.put(&version("1"), at(0));
    assert_eq!(looked(planner.next(at(200))), ["ImagePullFails"]);
    planner.put(&version("2"), at(300));
    assert_eq!(planner.next(at(500)), None, "a heartbeat");
    planner.put(&version("2"), at(600));
    assert_eq!(planner.wakes(), None, "the same version");
    planner.resync(at(700), Duration::ZERO);
    assert_eq!(looked(planner.next(at(900))), ["ImagePullFails"]);
    planner.resync(at(1000), Duration::ZERO);
    assert_eq!(looked(planner.next(at(1200))), ["ImagePullFails"]);
}

#[test]
fn an_object_that_goes_is_told_once() {
    let mut planner = planner();
    let pod = waiting("ErrImagePull");
    planner.put(&pod, at(0));
    planner.next(at(200)).unwrap();
    planner.remove(&pod.reference(), at(300));
    assert_eq!(planner.next(at(500)), Some(Step::Gone(pod.reference())));
    planner.remove(&pod.reference(), at(600));
    assert_eq!(planner.wakes(), None);
    planner.put(&pod, at(700));
    planner.next(at(900)).unwrap();
    planner.listed(&GroupKind::of::<Pod>(), None, Ok(BTreeSet::new()), at(1000));
    assert_eq!(
        planner.next(at(1200)),
        Some(Step::Gone(pod.reference())),
        "not in the list after a lost watch"
    );
}

#[test]
fn what_could_not_be_asked_is_looked_at_when_it_can_be() {
    let mut planner = Planner::new(Selection::new(&["Pod"], &[], &[]).unwrap(), Duration::ZERO);
    let creating = waiting("ContainerCreating");
    list(&mut planner, std::slice::from_ref(&creating), at(0));
    assert!(looked(planner.next(at(0))).is_empty());
    assert_eq!(named(planner.next(at(0))), [1]);
    assert_eq!(planner.inventory().take_wanted().len(), 1, "somebody should watch events");
    let mount = event(&creating, "FailedMount", "no such secret", "2026-01-01T00:00:00Z");
    list(&mut planner, &[mount], at(1));
    assert_eq!(looked(planner.next(at(1))), ["VolumeMountFails"]);
    planner.listed(&GroupKind::of::<Event>(), None, Err(Unverified::Forbidden), at(2));
    planner.put(&waiting("ErrImagePull"), at(3));
    assert_eq!(looked(planner.next(at(3))), ["ImagePullFails"]);
    assert_eq!(planner.readers.objects.len(), 0, "nothing is remembered of what is no longer read");
}

#[test]
fn a_pass_ends_when_what_was_listed_was_looked_at_and_what_waited_for_a_list_again() {
    let mut planner = Planner::new(Selection::new(&["Pod"], &[], &[]).unwrap(), Duration::from_millis(200));
    list(&mut planner, &[waiting("ContainerCreating")], at(100));
    assert_eq!(named(planner.next(at(100))), [1]);
    assert_eq!((planner.next(at(299)), planner.passes(at(299))), (None, false), "nobody has looked at it");
    assert_eq!(looked(planner.next(at(300))), Vec::<String>::new(), "its events are not known");
    planner.listed(&GroupKind::of::<Event>(), None, Ok(BTreeSet::new()), at(310));
    assert!(!planner.passes(at(311)), "the pod is to be looked at with its events");
    assert_eq!(planner.pass_ends(), Some(at(510)));
    assert!(matches!(planner.next(at(510)), Some(Step::Look(_))));
    assert!(planner.passes(at(510)) && planner.pass_ends().is_none() && planner.in_doubt() == 0);
}

#[test]
fn which_objects_there_are_is_told_after_each_list_and_each_resync_and_never_of_a_kind_in_doubt() {
    let mut planner = planner();
    list(&mut planner, &[named_pod("a"), named_pod("b")], at(100));
    assert_eq!(planner.wakes(), Some(Timestamp::MIN), "at once");
    assert_eq!(named(planner.next(at(100))), [2]);
    assert_eq!(planner.next(at(100)), None);
    planner.remove(&named_pod("a").reference(), at(150));
    assert_eq!(planner.next(at(400)), Some(Step::Gone(named_pod("a").reference())));
    assert!(looked(planner.next(at(400))).is_empty(), "b");
    planner.resync(at(500), Duration::from_secs(60));
    let Some(Step::Live(page)) = planner.next(at(500)) else { panic!("a page") };
    assert!(page.misses(&named_pod("a").reference()) && !page.misses(&named_pod("b").reference()));
    planner.listed(&GroupKind::of::<Pod>(), None, Err(Unverified::Failed("500".to_owned())), at(600));
    planner.resync(at(700), Duration::ZERO);
    assert!(looked(planner.next(at(1000))).is_empty(), "what is known is looked at");
    assert_eq!(planner.next(at(1000)), None, "and not taken for all that there is");
    planner.listed(&GroupKind::of::<Event>(), None, Ok(BTreeSet::new()), at(1100));
    assert_eq!(planner.next(at(2000)), None, "events are read and not looked at");
}

#[test]
fn a_page_says_what_is_there_when_it_is_sent() {
    let mut planner = planner();
    let long = |n: usize| format!("{}-{n:03}", "x".repeat(200));
    let pods: Vec<Object> = (0..300).map(|n| named_pod(&long(n))).collect();
    list(&mut planner, &pods, at(0));
    while matches!(planner.next(at(200)), Some(Step::Look(_))) {}
    // The first page was taken by the loop.
    planner.put(&named_pod(&long(999)), at(201));
    let mut rest = Vec::new();
    while let Some(Step::Live(page)) = planner.next(at(201)) {
        rest.push(page);
    }
    assert!(!rest.is_empty() && rest.iter().all(|page| !page.misses(&named_pod(&long(999)).reference())));
}

#[test]
fn a_resync_takes_its_time_and_a_change_does_not_wait_for_it() {
    let mut planner = planner();
    for name in ["a", "b", "c", "d"] {
        planner.put(&named_pod(name), at(0));
    }
    while planner.next(at(200)).is_some() {}
    planner.resync(at(1000), Duration::from_secs(4));
    assert_eq!(named(planner.next(at(1000))), [4]);
    let mut told = |millis| {
        let step = planner.next(at(millis));
        assert_eq!(planner.next(at(millis)), None, "one at a time");
        let Some(Step::Look(looked)) = step else { return String::new() };
        looked.object.name().to_owned()
    };
    assert_eq!([told(1199), told(1200), told(2199), told(2200)], ["", "a", "", "b"]);
    let mut changed = named_pod("d").value().clone();
    changed["metadata"]["resourceVersion"] = json!("2");
    planner.put(&Object::new(changed).unwrap(), at(2300));
    let mut told = |millis| match planner.next(at(millis)) {
        Some(Step::Look(looked)) => looked.object.name().to_owned(),
        other => format!("{other:?}"),
    };
    assert_eq!([told(2500), told(3200), told(9000)], ["d", "c", "None"]);
}

#[test]
fn what_is_wrong_by_the_clock_alone_is_looked_at_when_it_is() {
    let selection = Selection::new(&["Deletion/Namespace"], &[], &[]).unwrap();
    let mut planner = Planner::new(selection, Duration::ZERO);
    let mut going = crate::analyzers::testing::cluster_object("v1", "Namespace", "old", json!({}));
    let mut value = going.value().clone();
    value["metadata"]["deletionTimestamp"] = json!("1970-01-01T00:00:00Z");
    going = Object::new(value).unwrap();
    list(&mut planner, &[going], at(0));
    assert!(looked(planner.next(at(0))).is_empty());
    assert_eq!(named(planner.next(at(0))), [1]);
    let patience = i64::try_from(crate::deletion::PATIENCE.as_millis()).unwrap();
    assert_eq!(planner.wakes(), Some(at(patience)));
    assert_eq!(planner.next(at(patience - 1)), None);
    assert_eq!(looked(planner.next(at(patience))), ["DeletionStuck"]);
    assert_eq!(planner.wakes(), None, "nothing more comes by time");
}

#[test]
fn an_object_that_took_the_name_of_another_comes_after_the_end_of_that() {
    let mut planner = planner();
    let of = |uid: &str| {
        let mut value = waiting("ErrImagePull").value().clone();
        value["metadata"]["uid"] = json!(uid);
        Object::new(value).unwrap()
    };
    planner.put(&of("first"), at(0));
    assert_eq!(looked(planner.next(at(200))), ["ImagePullFails"]);
    planner.remove(&of("first").reference(), at(250));
    planner.put(&of("second"), at(300));
    assert_eq!(planner.next(at(500)), Some(Step::Gone(of("first").reference())));
    assert_eq!(looked(planner.next(at(500))), ["ImagePullFails"]);
    assert_eq!(planner.next(at(500)), None);
}

#[test]
fn a_kind_at_which_others_look_too_is_told_with_each_version() {
    let version = |version: &str| {
        let metadata = json!({"name": "web", "namespace": "shop", "resourceVersion": version});
        let pod =
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "status": {"phase": "Running"}});
        Object::new(pod).unwrap()
    };
    for (kinds, told) in [(vec![GroupKind::of::<Pod>()], true), (vec![GroupKind::of::<Event>()], false)] {
        let mut planner = planner().each_version(kinds.into_iter().collect());
        planner.put(&version("1"), at(0));
        assert!(looked(planner.next(at(200))).is_empty());
        planner.put(&version("2"), at(300));
        assert_eq!(planner.next(at(500)).is_some(), told, "the analyzers say the same");
    }
}
