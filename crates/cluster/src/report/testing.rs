//! A report with everything in it, for tests of its forms.

use asya_analysis::{GroupKind, Inventory, Report as Found, evaluate::Evaluation};
use k8s_openapi::api::core::v1::{Event, Node, Pod, Secret};

use super::*;
use crate::{collect::Unread, fetch::Fetch};

/// A place.
pub fn place() -> Place {
    Place {
        context: "prod".to_owned(),
        server: "https://10.0.0.1:6443".to_owned(),
        version: "v1.33.1".to_owned(),
        scope: "all namespaces".to_owned(),
    }
}

fn evaluation(object: ObjectRef, parent: Option<ObjectRef>, report: Found) -> Evaluation {
    let (uid, resource_version) = (Some("u-1".to_owned()), Some("7".to_owned()));
    Evaluation { object, uid, resource_version, parent, backstage: None, report }
}

/// A node that is not ready, a pod with two failures and names that attack terminals and browsers, and doubts.
pub fn collected() -> Collected {
    let node = ObjectRef::of::<Node>(None, "worker-3");
    let mut not_ready = Found::default();
    not_ready.fail(
        Failure::new("NodeNotReady", Severity::Critical, "node worker-3 is not ready")
            .seen(&node, ".status.conditions[3].status", "False".to_owned())
            .hides(["worker-3"]),
    );
    let pod = ObjectRef::of::<Pod>(Some("shop"), "web-1");
    let event = ObjectRef::of::<Event>(Some("shop"), "web-1.17");
    let text = "<script>alert(\"x\")</script> & 'y'\n\u{1b}[31msecond line";
    let mut broken = Found::default();
    broken.fail(
        Failure::new("ContainerRestarts", Severity::Warning, "container c was restarted 7 times").seen(
            &pod,
            ".status.containerStatuses[0].restartCount",
            "7".to_owned(),
        ),
    );
    broken.fail(
        Failure::new("VolumeMountFails", Severity::Error, text)
            .seen(&pod, ".status.containerStatuses[0].state.waiting.reason", "ContainerCreating".to_owned())
            .seen(&event, ".message", text.to_owned())
            .explained_by("pod.spec.volumes"),
    );
    broken.doubt("SecretMissing", "Secret shop/db", Unverified::NotRead);
    let mut doubtful = Found::default();
    doubtful.doubt("VolumeMountFails", "events of Pod pay/p", Unverified::Forbidden);
    let owner = ObjectRef {
        kind: GroupKind::new("apps", "Deployment"),
        namespace: Some("shop".to_owned()),
        name: "web".to_owned(),
    };
    let unread = |fetch: Fetch, verb, resource: &str, why, said: &str, subject| Unread {
        namespace: fetch.namespace().map(str::to_owned),
        fetch,
        verb,
        resource: resource.to_owned(),
        why,
        said: said.to_owned(),
        wrong: false,
        subject,
    };
    Collected {
        evaluations: vec![
            evaluation(pod, Some(owner), broken),
            evaluation(ObjectRef::of::<Pod>(Some("pay"), "p"), None, doubtful),
            evaluation(node, None, not_ready),
        ],
        unread: vec![
            unread(
                Fetch::List(GroupKind::of::<Event>(), Some("pay".to_owned())),
                "list",
                "events",
                Unverified::Forbidden,
                "events is forbidden: User \"alice\" cannot list resource \"events\"",
                false,
            ),
            unread(
                Fetch::List(GroupKind::of::<Secret>(), None),
                "list",
                "jobs.batch",
                Unverified::Failed("etcd timed out".to_owned()),
                "etcd timed out",
                true,
            ),
        ],
        absent: BTreeSet::new(),
        skipped: BTreeSet::new(),
        inventory: Inventory::default(),
        rounds: 2,
    }
}

/// The report of [`collected`].
pub fn report() -> Report {
    let time = "2026-06-01T12:00:00Z".parse().expect("a time");
    let mut report =
        Report::new(place(), time, vec!["Node".to_owned(), "Pod".to_owned()], collected(), Severity::Info);
    report.requests = 9;
    report
}

/// Of a cluster without any failure, read to the end.
pub fn healthy() -> Report {
    let mut collected = collected();
    collected.unread.clear();
    collected.evaluations.truncate(2);
    collected.evaluations.iter_mut().for_each(|evaluation| evaluation.report = Found::default());
    let time = "2026-06-01T12:00:00Z".parse().expect("a time");
    Report::new(place(), time, vec!["Pod".to_owned()], collected, Severity::Info)
}
