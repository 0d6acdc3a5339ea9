//! What is looked at and what is not: namespaces, labels, kinds.

use k8s_openapi::api::core::v1::Pod;

use super::*;

fn pod_of(namespace: &str, name: &str, team: &str) -> Object {
    object(
        "v1",
        "Pod",
        name,
        json!({"metadata": {"namespace": namespace, "labels": {"team": team}}, "spec": {"containers": []}}),
    )
}

fn limited(extent: Extent) -> Planner {
    let selection = Selection::new(&["Pod"], &[], &[]).unwrap();
    Planner::new(selection, Duration::ZERO).within(extent)
}

/// What is told until nothing is left: objects looked at, objects gone, and pages.
fn told(planner: &mut Planner, at: Timestamp) -> (Vec<String>, Vec<String>, Vec<Live>) {
    let (mut looked, mut gone, mut pages) = (Vec::new(), Vec::new(), Vec::new());
    while let Some(step) = planner.next(at) {
        match step {
            Step::Look(one) => looked.push(one.object.reference().path()),
            Step::Gone(one) => gone.push(one.path()),
            Step::Live(page) => pages.push(page),
        }
    }
    (looked, gone, pages)
}

fn path(namespace: &str, name: &str) -> ObjectRef {
    ObjectRef::of::<Pod>(Some(namespace), name)
}

#[test]
fn what_is_outside_is_not_looked_at_and_what_left_is_told_gone() {
    let extent = Extent {
        without: ["kube-*".to_owned()].into(),
        selector: "team=shop".parse().unwrap(),
        ..Extent::default()
    };
    let mut planner = limited(extent);
    let pods =
        [pod_of("a", "in", "shop"), pod_of("a", "other", "infra"), pod_of("kube-system", "dns", "shop")];
    list(&mut planner, &pods, at(0));
    let (looked, gone, pages) = told(&mut planner, at(1));
    assert_eq!((looked, gone), (vec!["a/in".to_owned()], Vec::new()));
    assert!(!pages[0].misses(&path("a", "in")));
    assert!(pages[0].misses(&path("a", "other")) && pages[0].misses(&path("kube-system", "dns")));
    planner.put(&pod_of("a", "in", "infra"), at(2));
    assert_eq!(told(&mut planner, at(3)).1, ["a/in"], "its labels changed");
    planner.put(&pod_of("a", "other", "shop"), at(4));
    assert_eq!(told(&mut planner, at(5)).0, ["a/other"]);
    planner.remove(&path("kube-system", "dns"), at(6));
    assert_eq!(planner.next(at(7)), None, "nobody was told of it");
    planner.remove(&path("a", "other"), at(8));
    assert_eq!(told(&mut planner, at(9)).1, ["a/other"]);
}

#[test]
fn a_page_says_nothing_of_a_named_namespace_that_could_not_be_listed() {
    let extent = Extent { namespaces: ["pay", "shop"].map(str::to_owned).into(), ..Extent::default() };
    let mut planner = limited(extent);
    let pods = GroupKind::of::<Pod>();
    planner.listed(&pods, None, Err(Unverified::NotRead), at(0));
    planner.listed(&pods, Some("pay"), Err(Unverified::Forbidden), at(0));
    assert_eq!(planner.next(at(1)), None, "nothing is known of any");
    planner.put(&pod_of("shop", "web", ""), at(2));
    planner.listed(&pods, Some("shop"), Ok([path("shop", "web")].into()), at(2));
    let (looked, _, pages) = told(&mut planner, at(3));
    assert_eq!(looked, ["shop/web"]);
    assert!(pages[0].misses(&path("shop", "old")) && pages[0].misses(&path("left", "web")));
    assert!(!pages[0].misses(&path("pay", "web")), "in doubt");
    planner.listed(&pods, Some("pay"), Ok(BTreeSet::new()), at(4));
    let (_, gone, pages) = told(&mut planner, at(5));
    assert!(
        gone.is_empty() && pages[0].misses(&path("pay", "web")) && !pages[0].misses(&path("shop", "web"))
    );
    assert_eq!(planner.inventory().list(&pods, None, &Selector::everything()), Err(Unverified::NotRead));
    assert_eq!(
        planner.inventory().list(&pods, Some("other"), &Selector::everything()),
        Err(Unverified::NotRead)
    );
}

#[test]
fn of_a_kind_that_nobody_looks_at_any_more_an_empty_page_is_told() {
    let config_maps = GroupKind::new("", "ConfigMap");
    let mut planner = limited(Extent::default()).leaving([config_maps.clone(), GroupKind::of::<Pod>()]);
    let map = object("v1", "ConfigMap", "settings", json!({}));
    list(&mut planner, std::slice::from_ref(&map), at(0));
    let (looked, _, pages) = told(&mut planner, at(1));
    assert!(looked.is_empty() && pages.len() == 1, "what others read is still there");
    assert!(pages[0].misses(&map.reference()) && !pages[0].misses(&path("shop", "web")));
    planner.resync(at(2), Duration::ZERO);
    assert_eq!(told(&mut planner, at(3)).2, pages, "and again");
}

#[test]
fn objects_of_a_kind_that_is_not_served_any_more_are_gone() {
    let mut planner = limited(Extent::default());
    let pods = GroupKind::of::<Pod>();
    list(&mut planner, &[pod_of("shop", "web", "")], at(0));
    told(&mut planner, at(1));
    planner.listed(&pods, None, Err(Unverified::NotInstalled), at(2));
    assert!(told(&mut planner, at(3)).2.is_empty(), "said once, that proves nothing");
    planner.uninstalled(&pods, at(4));
    let (_, gone, pages) = told(&mut planner, at(5));
    assert_eq!(gone, ["shop/web"]);
    assert!(pages.len() == 1 && pages[0].misses(&path("shop", "of-another-watcher")));
    planner.uninstalled(&pods, at(6));
    assert_eq!(planner.next(at(7)), None, "told once");
    list(&mut planner, &[pod_of("shop", "web", "")], at(8));
    let (looked, _, pages) = told(&mut planner, at(9));
    assert!(looked == ["shop/web"] && !pages[0].misses(&path("shop", "web")), "it is served again");
}

#[test]
fn a_pass_ends_when_the_last_object_of_it_was_looked_at() {
    let mut planner = limited(Extent::default());
    list(&mut planner, &[pod_of("shop", "a", ""), pod_of("shop", "b", "")], at(0));
    told(&mut planner, at(1));
    assert!(planner.passes(at(1)) && !planner.passes(at(1)), "the first, once");
    assert_eq!(planner.in_doubt(), 0);
    planner.resync(at(100), Duration::from_secs(60));
    told(&mut planner, at(30_100));
    assert!(!planner.passes(at(30_100)), "one of them is to come");
    told(&mut planner, at(60_100));
    assert!(planner.passes(at(60_100)));
}
