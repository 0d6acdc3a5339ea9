//! Who decides on an operation, when, and how its envelope goes on.

use asya_session::{Phase, State, Verdict};
use asya_store::{
    chat::{Claiming, Decided, OperationFilter, Proposed, Ruling},
    envelopes::AuditFilter,
};
use serde_json::json;

use crate::{
    support::{at, on_each},
    talk::{Talk, renew, ruling},
};

const APPROVE: Verdict = Verdict::Approve;
const REJECT: Verdict = Verdict::Reject;

#[tokio::test]
async fn what_is_rejected_goes_past_its_actor_with_the_reason() {
    on_each(async |store, _| {
        for (id, comment) in [("s-1", "not on a Friday"), ("s-2", "")] {
            let talk = Talk::begin(&store, id).await;
            let operation = talk.proposed(0, 1).await;
            let op = &operation.proposal.id;
            let no = Ruling { comment: comment.to_owned(), ..ruling("bob", REJECT, &operation) };
            let decided = store.operation_decide(op, &no, &renew(), at(2)).await.unwrap();
            assert!(matches!(decided, Decided::Now(operation) if operation.phase == Phase::Rejected));
            let sent = talk.sent().await;
            assert_eq!((sent.len(), sent[0].0.as_str()), (1, "helper"));
            assert_eq!(sent[0].1["payload"], json!({"rejected": {"by": "bob", "reason": comment}}));
            assert_eq!(sent[0].1["route"]["current"], json!(3));
            assert_eq!(sent[0].1["headers"], json!({"x-asya-subject": "alice again"}));
            let claim = store.operation_claim(op, &operation.proposal.hash, id, "sa:write", at(3)).await;
            assert!(matches!(claim.unwrap(), Claiming::Refused(_)));
            assert_eq!(talk.session().await.state, State::Running);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_decide_at_once_one_counts_and_the_other_is_told_who() {
    on_each(async |store, home| {
        let other = home.open().await;
        for number in 0..10 {
            let talk = Talk::begin(&store, &format!("s-{number}")).await;
            let operation = talk.proposed(3, 1).await;
            let op = &operation.proposal.id;
            let (yes, no) = (ruling("bob", APPROVE, &operation), ruling("carol", REJECT, &operation));
            let renew = renew();
            let (one, two) = tokio::join!(
                store.operation_decide(op, &yes, &renew, at(2)),
                other.operation_decide(op, &no, &renew, at(2))
            );
            let (phase, by, to) = match (one.unwrap(), two.unwrap()) {
                (Decided::Now(now), Decided::Before(before)) if now == before => {
                    (Phase::Approved, "bob", "k8s-write")
                }
                (Decided::Before(before), Decided::Now(now)) if now == before => {
                    (Phase::Rejected, "carol", "helper")
                }
                other => panic!("{other:?}"),
            };
            let now = store.operation(op).await.unwrap().unwrap();
            assert_eq!((now.phase, now.decision.unwrap().by.as_str()), (phase, by));
            let sent = talk.sent().await;
            assert_eq!((sent.len(), sent[0].0.as_str()), (1, to));
        }
    })
    .await;
}

#[tokio::test]
async fn a_decision_is_on_what_was_seen_by_somebody_who_may_and_in_time() {
    on_each(async |store, _| {
        let talk = Talk::begin(&store, "s-1").await;
        talk.ask("scale it", 1).await;
        let mut propose = talk.proposal(3).await;
        propose.proposal.four_eyes = true;
        let Proposed::New(operation) = store.operation_propose(&propose, "alice", "sa", at(1)).await.unwrap()
        else {
            panic!()
        };
        let op = &operation.proposal.id;
        let decide = async |ruling: Ruling, seconds| {
            store.operation_decide(op, &ruling, &renew(), at(seconds)).await.unwrap()
        };
        let stale = Ruling { hash: "0".repeat(64), ..ruling("bob", APPROVE, &operation) };
        assert_eq!(decide(stale, 2).await, Decided::Changed(operation.clone()));
        assert_eq!(decide(ruling("alice", APPROVE, &operation), 2).await, Decided::Own(operation.clone()));
        talk.sent().await;
        // A second too late: it expires by that.
        let Decided::Late(late) = decide(ruling("bob", APPROVE, &operation), 1000).await else { panic!() };
        assert_eq!(late.phase, Phase::Expired);
        let decision = late.decision.clone().unwrap();
        assert_eq!((decision.verdict, decision.by.as_str()), (REJECT, ""));
        let sent = talk.sent().await;
        assert_eq!((sent.len(), sent[0].0.as_str()), (1, "helper"));
        assert_eq!(sent[0].1["payload"], json!({"rejected": {"by": "", "reason": "nobody decided in time"}}));
        assert_eq!(decide(ruling("bob", APPROVE, &operation), 1001).await, Decided::Before(late));
        let unknown =
            store.operation_decide("op-0", &ruling("bob", APPROVE, &operation), &renew(), at(1)).await;
        assert_eq!(unknown.unwrap(), Decided::Unknown);
        assert_eq!(store.audits(&AuditFilter::default(), 1).await.unwrap()[0].action, "operation.expire");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_decides_in_time_is_rejected_once() {
    on_each(async |store, home| {
        let other = home.open().await;
        let mut talks = Vec::new();
        for number in 0..10 {
            let talk = Talk::begin(&store, &format!("s-{number}")).await;
            talk.proposed(3, 1).await;
            talks.push(talk);
        }
        let renew = renew();
        assert_eq!(store.operation_expire_due(&renew, at(999), 100).await.unwrap(), []);
        let (one, two) = tokio::join!(
            store.operation_expire_due(&renew, at(1000), 100),
            other.operation_expire_due(&renew, at(1000), 100)
        );
        let mut expired: Vec<_> = one
            .unwrap()
            .into_iter()
            .chain(two.unwrap())
            .map(|operation| operation.proposal.session)
            .collect();
        expired.sort();
        assert_eq!(expired, talks.iter().map(|talk| talk.id.clone()).collect::<Vec<_>>());
        let mut sent = 0;
        for talk in &talks {
            assert_eq!(talk.session().await.state, State::Running);
            sent += store
                .operations(
                    &OperationFilter {
                        session: Some(talk.id.clone()),
                        phase: Some(Phase::Expired),
                        ..Default::default()
                    },
                    None,
                    10,
                )
                .await
                .unwrap()
                .operations
                .len();
        }
        assert_eq!(sent, 10);
        assert_eq!(store.outbox_depth().await.unwrap().waiting, 10);
        assert_eq!(store.operation_expire_due(&renew, at(2000), 100).await.unwrap(), []);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_and_a_cancellation_at_once_leave_nothing_half_done() {
    on_each(async |store, home| {
        let other = home.open().await;
        for number in 0..20 {
            let talk = Talk::begin(&store, &format!("s-{number}")).await;
            let operation = talk.proposed(3, 1).await;
            let op = &operation.proposal.id;
            let id = talk.session().await.envelope.unwrap();
            let (yes, renew) = (ruling("bob", APPROVE, &operation), renew());
            let (decided, cancelled) =
                tokio::join!(store.operation_decide(op, &yes, &renew, at(2)), other.cancel(&id, "", at(2)));
            cancelled.unwrap();
            let now = store.operation(op).await.unwrap().unwrap();
            match decided.unwrap() {
                Decided::Now(_) => assert_eq!(now.phase, Phase::Done),
                Decided::Before(before) => assert_eq!((before, now.phase), (now.clone(), Phase::Expired)),
                other => panic!("{other:?}"),
            }
            assert_eq!(talk.sent().await, []);
            let session = talk.session().await;
            assert_eq!((session.state, session.envelope), (State::Idle, None));
        }
    })
    .await;
}
