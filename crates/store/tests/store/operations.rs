//! Changes that are proposed, decided and carried out once.

use std::sync::Arc;

use asya_session::{Outcome, Phase, State, Verdict, desk::Claimed};
use asya_store::{
    StoreError,
    chat::{Appended, Claiming, Decided, OperationFilter, Proposed, Recorded, Renew, Ruling},
    envelopes::AuditFilter,
};
use serde_json::json;

use crate::{
    support::{at, failed, names, on_each},
    talk::{Talk, answer, calls, check_chain, renew, result, ruling},
};

const APPROVE: Verdict = Verdict::Approve;
const REJECT: Verdict = Verdict::Reject;

#[tokio::test]
async fn a_turn_with_an_approval_goes_from_the_question_to_the_answer() {
    on_each(async |store, _| {
        let talk = Talk::begin(&store, "s-1").await;
        let operation = talk.proposed(3, 1).await;
        let op = operation.proposal.id.as_str();
        assert_eq!(talk.session().await.state, State::InputRequired);
        // Nothing is on its way while it waits.
        assert_eq!(talk.sent().await, []);
        let waiting = OperationFilter { phase: Some(Phase::Waiting), ..OperationFilter::default() };
        assert_eq!(
            store.operations(&waiting, None, 10).await.unwrap().operations,
            std::slice::from_ref(&operation)
        );
        let claim = store.operation_claim(op, &operation.proposal.hash, "s-1", "sa:write", at(2)).await;
        assert_eq!(claim.unwrap(), Claiming::Refused(operation.clone()));

        let yes = Ruling { comment: "go ahead".to_owned(), ..ruling("bob", APPROVE, &operation) };
        let Decided::Now(approved) = store.operation_decide(op, &yes, &renew(), at(3)).await.unwrap() else {
            panic!()
        };
        assert_eq!(approved, store.operation(op).await.unwrap().unwrap());
        assert_eq!((approved.phase, approved.requester.as_str()), (Phase::Approved, "alice"));
        let decision = approved.decision.unwrap();
        assert_eq!(
            (decision.by.as_str(), decision.comment.as_str(), decision.at),
            ("bob", "go ahead", at(3))
        );
        assert_eq!(talk.session().await.state, State::Running);
        let sent = talk.sent().await;
        assert_eq!(sent.len(), 1);
        let (actor, message) = &sent[0];
        assert_eq!((actor.as_str(), &message["route"]["current"]), ("k8s-write", &json!(2)));
        assert_eq!(message["headers"]["x-asya-approved"], json!({"operation": op, "hop": 2}));
        assert_eq!(message["headers"]["x-asya-subject"], json!("alice again"));
        assert_eq!(message["payload"]["proposal"]["id"], json!(op));

        let hash = &operation.proposal.hash;
        let Claiming::Granted(Claimed { again: false, operation: claimed }) =
            store.operation_claim(op, hash, "s-1", "sa:write", at(4)).await.unwrap()
        else {
            panic!()
        };
        assert_eq!((claimed.phase, claimed.claimed), (Phase::Claimed, Some(at(4))));
        let outcome = Outcome { ok: true, text: "scaled".to_owned() };
        let Recorded::Now(done) =
            store.operation_outcome(op, &outcome, "s-1", "sa:write", at(5)).await.unwrap()
        else {
            panic!()
        };
        assert_eq!((done.phase, done.outcome.as_ref()), (Phase::Done, Some(&outcome)));
        talk.write(3, result(0, "scaled"), 6).await;
        talk.write(4, answer("it runs three now"), 7).await;
        let session = talk.session().await;
        assert_eq!(session.state, State::Idle);
        check_chain(&session, &talk.entries().await);

        let mut log = store.audits(&AuditFilter::default(), 100).await.unwrap();
        log.reverse();
        let told: Vec<_> = log.iter().map(|entry| (entry.who.as_str(), entry.action.as_str())).collect();
        assert_eq!(
            told,
            [
                ("alice", "session.create"),
                ("alice", "session.say"),
                ("sa:approval", "operation.propose"),
                ("bob", "operation.approve"),
                ("sa:write", "operation.claim"),
                ("sa:write", "operation.outcome"),
            ]
        );
        let envelope = log[1].envelope.clone();
        assert!(envelope.is_some() && log[2..].iter().all(|entry| entry.envelope == envelope));
        let detail: serde_json::Value =
            serde_json::from_str(log[3].detail.as_ref().unwrap().as_str()).unwrap();
        assert_eq!(detail["summary"], json!("scale Deployment shop/web to 3"));
        assert_eq!((&detail["requester"], &detail["reason"]), (&json!("alice"), &json!("go ahead")));
        assert_eq!((&detail["hash"], &detail["operation"]), (&json!(hash), &json!(op)));
    })
    .await;
}

#[tokio::test]
async fn an_outcome_of_an_ordinary_actor_needs_no_claim_and_one_that_nobody_tells_is_not_known() {
    on_each(async |store, _| {
        for (n, claims, tells) in [(0, false, true), (1, true, true), (2, true, false), (3, false, false)] {
            let id = format!("s-{n}");
            let talk = Talk::begin(&store, &id).await;
            let envelope = talk.ask("pay it back", 1).await;
            talk.write(0, calls(&["refund"]), 1).await;
            let mut propose = talk.proposal(1).await;
            propose.proposal.verb = "call".to_owned();
            let Proposed::New(operation) =
                store.operation_propose(&propose, "alice", "sa:approval", at(2)).await.unwrap()
            else {
                panic!()
            };
            let (op, hash) = (&operation.proposal.id, &operation.proposal.hash);
            let outcome = Outcome { ok: true, text: "paid".to_owned() };
            let early = store.operation_outcome(op, &outcome, &id, "sa:agent", at(3)).await.unwrap();
            assert!(matches!(early, Recorded::Refused(_)), "{early:?}");
            store.operation_decide(op, &ruling("bob", APPROVE, &operation), &renew(), at(4)).await.unwrap();
            if claims {
                let first = store.operation_claim(op, hash, &id, "sa:refund", at(5)).await.unwrap();
                assert!(matches!(first, Claiming::Granted(Claimed { again: false, .. })), "{first:?}");
            }
            if tells {
                let told = store.operation_outcome(op, &outcome, &id, "sa:agent", at(6)).await.unwrap();
                assert!(matches!(told, Recorded::Now(_)), "{told:?}");
            }
            store.end(&envelope, &failed("x"), at(7)).await.unwrap();
            let last = store.operation(op).await.unwrap().unwrap();
            let text = last.outcome.unwrap().text;
            let expected = match (claims, tells) {
                (_, true) => "paid",
                (true, false) => "It was begun.",
                (false, false) => "It was approved.",
            };
            assert!(last.phase == Phase::Done && text.starts_with(expected), "{text}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_proposal_that_comes_again_changes_nothing_and_another_under_its_id_is_refused() {
    on_each(async |store, home| {
        let other = home.open().await;
        let talk = Talk::begin(&store, "s-1").await;
        talk.ask("scale it", 1).await;
        talk.write(0, calls(&["k8s_write"]), 1).await;
        let propose = talk.proposal(3).await;
        let (one, two) = tokio::join!(
            store.operation_propose(&propose, "alice", "sa:approval", at(2)),
            other.operation_propose(&propose, "alice", "sa:approval", at(2))
        );
        let (one, two) = (one.unwrap(), two.unwrap());
        let new = [&one, &two].into_iter().filter(|one| matches!(one, Proposed::New(_))).count();
        let before = [&one, &two].into_iter().filter(|one| matches!(one, Proposed::Before(_))).count();
        assert_eq!((new, before), (1, 1), "{one:?} {two:?}");
        let mut changed = talk.proposal(4).await;
        changed.proposal.id.clone_from(&propose.proposal.id);
        let conflict = store.operation_propose(&changed, "alice", "sa:approval", at(3)).await.unwrap();
        assert!(matches!(conflict, Proposed::Conflict(operation) if operation.proposal == propose.proposal));
        let op = &propose.proposal.id;
        let operation = store.operation(op).await.unwrap().unwrap();
        store.operation_decide(op, &ruling("bob", APPROVE, &operation), &renew(), at(4)).await.unwrap();
        // The delivery that proposed it comes again after the decision: nothing waits, nothing is sent again.
        let again = store.operation_propose(&propose, "alice", "sa:approval", at(5)).await.unwrap();
        assert!(matches!(again, Proposed::Before(operation) if operation.phase == Phase::Approved));
        assert_eq!(talk.session().await.state, State::Running);
        assert_eq!(talk.sent().await.iter().filter(|(actor, _)| actor == "k8s-write").count(), 1);
    })
    .await;
}

#[tokio::test]
async fn what_could_not_go_on_is_no_proposal() {
    on_each(async |store, _| {
        let talk = Talk::begin(&store, "s-1").await;
        talk.ask("scale it", 1).await;
        let good = talk.proposal(3).await;
        let mut wrong = Vec::new();
        let mut change = |change: &dyn Fn(&mut asya_session::desk::Propose)| {
            let mut propose = good.clone();
            change(&mut propose);
            wrong.push(propose);
        };
        change(&|it| it.proposal.operation = json!({"verb": "delete"}));
        change(&|it| it.proposal.hash = "0".repeat(64));
        change(&|it| it.proposal.id.clear());
        change(&|it| it.envelope = json!("no envelope"));
        change(&|it| it.envelope["route"]["current"] = json!(1));
        change(&|it| it.envelope["route"]["current"] = json!(4));
        change(&|it| it.envelope["route"]["actors"] = json!(["helper", "approval", "k8s-write"]));
        change(&|it| it.proposal.diff = "x".repeat(1024 * 1024));
        for propose in wrong {
            let error = store.operation_propose(&propose, "alice", "sa", at(2)).await.unwrap_err();
            assert!(matches!(error, StoreError::Refused(_)), "{error}");
        }
        let mut foreign = good.clone();
        foreign.envelope["id"] = json!("another envelope");
        let over = store.operation_propose(&foreign, "alice", "sa", at(2)).await.unwrap();
        assert_eq!(over, Proposed::Over);
        let mut nowhere = good.clone();
        nowhere.proposal.session = "s-9".to_owned();
        let unknown = store.operation_propose(&nowhere, "alice", "sa", at(2)).await.unwrap();
        assert_eq!(unknown, Proposed::Unknown);
        assert_eq!(talk.session().await.state, State::Running);
        assert_eq!(store.operations(&OperationFilter::default(), None, 10).await.unwrap().operations, []);
    })
    .await;
}

#[tokio::test]
async fn a_late_copy_of_a_call_that_is_answered_proposes_nothing() {
    on_each(async |store, _| {
        let talk = Talk::begin(&store, "s-1").await;
        talk.ask("scale both", 1).await;
        talk.write(0, calls(&["k8s_write", "k8s_write"]), 1).await;
        talk.write(4, result(0, "scaled"), 2).await;
        let late = store.operation_propose(&talk.proposal(3).await, "alice", "sa", at(3)).await.unwrap();
        assert_eq!(late, Proposed::Over);
        assert_eq!(talk.session().await.state, State::Running);
        talk.write(8, result(1, "scaled"), 4).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_is_used_once_and_who_comes_again_is_told_so() {
    on_each(async |store, home| {
        let other = home.open().await;
        for number in 0..10 {
            let id = format!("s-{number}");
            let talk = Talk::begin(&store, &id).await;
            let operation = talk.proposed(3, 1).await;
            let (op, hash) = (&operation.proposal.id, &operation.proposal.hash);
            store.operation_decide(op, &ruling("bob", APPROVE, &operation), &renew(), at(2)).await.unwrap();
            let outcome = Outcome { ok: false, text: "x".repeat(20_000) };
            let early = store.operation_outcome(op, &outcome, &id, "sa", at(3)).await.unwrap();
            assert!(matches!(early, Recorded::Refused(_)));
            let changed = store.operation_claim(op, &"0".repeat(64), &id, "sa", at(3)).await.unwrap();
            assert!(matches!(changed, Claiming::Changed(_)));
            let foreign = store.operation_claim(op, hash, "s-other", "sa", at(3)).await.unwrap();
            assert_eq!(foreign, Claiming::Unknown);
            let (one, two) = tokio::join!(
                store.operation_claim(op, hash, &id, "sa", at(4)),
                other.operation_claim(op, hash, &id, "sa", at(4))
            );
            let again: Vec<_> = [one.unwrap(), two.unwrap()]
                .into_iter()
                .map(|claiming| match claiming {
                    Claiming::Granted(claimed) => claimed.again,
                    other => panic!("{other:?}"),
                })
                .collect();
            assert!(again == [true, false] || again == [false, true], "{again:?}");
            let foreign = store.operation_outcome(op, &outcome, "s-other", "sa", at(5)).await.unwrap();
            assert_eq!(foreign, Recorded::Unknown);
            let Recorded::Now(done) = store.operation_outcome(op, &outcome, &id, "sa", at(5)).await.unwrap()
            else {
                panic!()
            };
            assert_eq!(done.outcome.as_ref().unwrap().text.len(), 16 * 1024);
            let better = Outcome { ok: true, text: "done".to_owned() };
            let before = store.operation_outcome(op, &better, &id, "sa", at(6)).await.unwrap();
            assert_eq!(before, Recorded::Before(done.clone()));
            let last = store.operation_claim(op, hash, &id, "sa", at(7)).await.unwrap();
            assert_eq!(last, Claiming::Granted(Claimed { again: true, operation: done }));
            let log = store.audits(&AuditFilter::default(), 100).await.unwrap();
            let of_this = |entry: &&asya_store::envelopes::AuditEntry| {
                entry.action == "operation.claim"
                    && entry.detail.as_ref().unwrap().as_str().contains(&format!("{op}\""))
            };
            assert_eq!(log.iter().filter(of_this).count(), 1);
        }
    })
    .await;
}

#[tokio::test]
async fn a_turn_that_ends_takes_its_operations_with_it() {
    on_each(async |store, _| {
        let talk = Talk::begin(&store, "s-1").await;
        let waiting = talk.proposed(3, 1).await;
        let id = talk.session().await.envelope.unwrap();
        // An actor cannot go on beside an operation that waits.
        let (n, append) = talk.next(9, answer("done anyway")).await;
        assert!(matches!(talk.append(n, &append, 2).await, Appended::Behind(_)));
        store.cancel(&id, "by alice", at(3)).await.unwrap();
        let expired = store.operation(&waiting.proposal.id).await.unwrap().unwrap();
        assert_eq!(expired.phase, Phase::Expired);
        assert_eq!(expired.decision.as_ref().unwrap().comment, "the turn was cancelled");
        let yes = ruling("bob", APPROVE, &waiting);
        let decided = store.operation_decide(&waiting.proposal.id, &yes, &renew(), at(4)).await.unwrap();
        assert_eq!(decided, Decided::Before(expired));
        assert_eq!(store.operation_expire_due(&renew(), at(5000), 10).await.unwrap(), []);
        assert_eq!(talk.sent().await, []);
        assert_eq!(talk.session().await.state, State::Idle);

        // One that was approved and not begun is not begun any more; one that was begun ends as it ends.
        for (claimed, phase) in [(false, Phase::Done), (true, Phase::Claimed)] {
            let operation = talk.proposed(if claimed { 5 } else { 4 }, 5).await;
            let (op, hash) = (&operation.proposal.id, &operation.proposal.hash);
            store.operation_decide(op, &ruling("bob", APPROVE, &operation), &renew(), at(6)).await.unwrap();
            if claimed {
                store.operation_claim(op, hash, "s-1", "sa", at(7)).await.unwrap();
            }
            store.cancel(&talk.session().await.envelope.unwrap(), "", at(8)).await.unwrap();
            let now = store.operation(op).await.unwrap().unwrap();
            assert_eq!((now.phase, now.outcome.is_some_and(|outcome| !outcome.ok)), (phase, !claimed));
            let claim = store.operation_claim(op, hash, "s-1", "sa", at(9)).await.unwrap();
            assert!(matches!(claim, Claiming::Granted(Claimed { again: true, .. })));
            let outcome = Outcome { ok: true, text: "scaled".to_owned() };
            let recorded = store.operation_outcome(op, &outcome, "s-1", "sa", at(10)).await.unwrap();
            assert_eq!(matches!(recorded, Recorded::Now(_)), claimed);
        }
        check_chain(&talk.session().await, &talk.entries().await);
    })
    .await;
}

#[tokio::test]
async fn operations_are_listed_for_those_who_may_see_their_session() {
    on_each(async |store, _| {
        for number in 1..=3 {
            let talk = Talk::begin(&store, &format!("s-{number}")).await;
            let operation = talk.proposed(number, i64::from(number)).await;
            if number == 2 {
                let no = ruling("bob", REJECT, &operation);
                store.operation_decide(&operation.proposal.id, &no, &renew(), at(9)).await.unwrap();
            }
        }
        store.chat_share("s-1", &names(&["bob"]), "alice", at(9)).await.unwrap();
        let list = async |phase, session: Option<&str>, principal: Option<&str>| {
            let filter = OperationFilter {
                phase,
                session: session.map(str::to_owned),
                principal: principal.map(str::to_owned),
            };
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = store.operations(&filter, after.as_ref(), 1).await.unwrap();
                seen.extend(page.operations.into_iter().map(|operation| operation.proposal.session));
                after = page.next;
                if after.is_none() {
                    break seen;
                }
            }
        };
        assert_eq!(list(None, None, None).await, ["s-3", "s-2", "s-1"]);
        assert_eq!(list(Some(Phase::Waiting), None, Some("alice")).await, ["s-3", "s-1"]);
        assert_eq!(list(None, None, Some("bob")).await, ["s-1"]);
        assert_eq!(list(Some(Phase::Rejected), Some("s-2"), Some("bob")).await, Vec::<String>::new());
        assert_eq!(list(Some(Phase::Rejected), Some("s-2"), None).await, ["s-2"]);
        // What a gateway signs anew is asked for on every envelope that goes on, and on no other.
        let never: Renew = Arc::new(|_, _| panic!("nothing goes on"));
        assert_eq!(store.operation_expire_due(&never, at(999), 10).await.unwrap(), []);
    })
    .await;
}
