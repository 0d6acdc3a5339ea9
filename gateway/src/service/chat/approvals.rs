//! What approvers do.
//!
//! Who may approve sees every operation, whoever's session it is of, and no session. Who may talk with agents sees those
//! of its own sessions and decides none.

use std::sync::Arc;

use asya_envelope::{Budget, Headers, Raw, envelope::parse_headers, headers};
use asya_session::{Operation, Phase, Verdict, desk::SUBJECT};
use asya_store::{
    chat::{Decided, OperationFilter, OperationPage, Renew, Ruling},
    envelopes::Cursor,
};
use jiff::Timestamp;

use super::{Chat, Error, Service, no_operation};
use crate::auth::{Principal, Role};

/// Operations that one step of a sweep lets go.
const BATCH: usize = 100;
/// Why an operation is rejected although somebody approves it.
const SIGN_IN: &str =
    "the person who asked is not known to be there any more: they must sign in and ask again";

impl Service {
    /// Operations, newest first: all of them for who may approve, else those of the principal's sessions.
    ///
    /// # Errors
    /// The roles [`Role::Approve`] and [`Role::Chat`] both missing, and those of the store.
    pub async fn operations(
        &self,
        who: &Principal,
        phase: Option<Phase>,
        session: Option<String>,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<OperationPage, Error> {
        let principal = (!approver(who)?).then(|| who.name.clone());
        let filter = OperationFilter { phase, session, principal };
        Ok(self.store.operations(&filter, after, limit).await?)
    }

    /// One operation.
    ///
    /// # Errors
    /// Unknown operations, those of others for who may not approve, and those of [`Service::operations`].
    pub async fn operation(&self, who: &Principal, id: &str) -> Result<Operation, Error> {
        let all = approver(who)?;
        let operation = self.store.operation(id).await?.ok_or_else(|| no_operation(id))?;
        if !all {
            self.visible(who, &operation.proposal.session).await.map_err(|error| match error {
                Error::NotFound { .. } => no_operation(id),
                error => error,
            })?;
        }
        Ok(operation)
    }

    /// Decides an operation that waits, by one who has seen what has this hash; the envelope goes on by it.
    ///
    /// An approval of what somebody asked for more than a day ago counts only while they are known to be there
    /// ([`super::People`]); else it is a rejection, and [`Error::Conflict`].
    ///
    /// # Errors
    /// Unknown operations; those that were decided, have expired or are not what was seen ([`Error::Conflict`]); one's own
    /// that need somebody else ([`Error::Forbidden`]); the role [`Role::Approve`] missing; those of the store.
    pub async fn decide(
        &self,
        who: &Principal,
        id: &str,
        verdict: Verdict,
        hash: String,
        comment: String,
    ) -> Result<Operation, Error> {
        who.needs(Role::Approve)?;
        let chat = self.chat()?;
        let operation = self.store.operation(id).await?.ok_or_else(|| no_operation(id))?;
        let mut ruling = Ruling { verdict, by: who.name.clone(), hash, comment };
        let gone = verdict == Verdict::Approve
            && operation.phase == Phase::Waiting
            && !chat.people.may_chat(&operation.requester, Some(who))
            && !self.is_fresh(chat, &operation).await?;
        if gone {
            ruling.verdict = Verdict::Reject;
            SIGN_IN.clone_into(&mut ruling.comment);
        }
        let renew = renew(chat, Some(who.clone()));
        match self.store.operation_decide(id, &ruling, &renew, Timestamp::now()).await? {
            Decided::Now(_) if gone => Err(Error::Conflict(format!("rejected: {SIGN_IN}"))),
            Decided::Now(operation) => Ok(operation),
            Decided::Before(operation) => Err(Error::Conflict(before(&operation))),
            Decided::Changed(operation) => Err(Error::Conflict(format!(
                "what waits has the hash {}: look at it again",
                operation.proposal.hash
            ))),
            Decided::Late(_) => Err(Error::Conflict("it has expired: nobody decided in time".to_owned())),
            Decided::Own(_) => {
                Err(Error::Forbidden("somebody else than who asked for it must approve it".to_owned()))
            }
            Decided::Unknown => Err(no_operation(id)),
        }
    }

    /// Lets operations go that nobody has decided in time.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn expire_operations(&self) -> Result<(), Error> {
        let Some(chat) = &self.chat else { return Ok(()) };
        let renew = renew(chat, None);
        while self.store.operation_expire_due(&renew, Timestamp::now(), BATCH).await?.len() == BATCH {}
        Ok(())
    }

    /// Whether what the turn's envelope began with still says who asked.
    async fn is_fresh(&self, chat: &Chat, operation: &Operation) -> Result<bool, Error> {
        let session = self.store.chat_session(&operation.proposal.session).await?;
        let Some(envelope) = session.and_then(|session| session.envelope) else { return Ok(false) };
        let tracked = self.store.get(&envelope).await?;
        let headers = tracked.and_then(|tracked| parse_headers(&tracked.headers?).ok());
        let token = headers.and_then(|headers| headers.get_text(SUBJECT)).unwrap_or_default();
        Ok(chat.subjects.verify(&token, Timestamp::now()).is_ok())
    }
}

/// Whether a principal may approve; refuses who may not even talk with agents.
fn approver(who: &Principal) -> Result<bool, Error> {
    if who.roles.has(Role::Approve) {
        return Ok(true);
    }
    if who.roles.has(Role::Chat) { Ok(false) } else { who.needs(Role::Approve).map(|()| true) }
}

/// What became of an operation that is decided.
fn before(operation: &Operation) -> String {
    let phase = operation.phase.as_str();
    match operation.decision.as_ref().filter(|decision| !decision.by.is_empty()) {
        Some(decision) => format!("it is {phase}: {} has decided", decision.by),
        None => format!("it is {phase}"),
    }
}

/// Makes the headers of an envelope good again that has waited: the waiting does not count as time of its turn, and who
/// asked is signed once more while they are known to be there.
fn renew(chat: &Arc<Chat>, here: Option<Principal>) -> Renew {
    let chat = Arc::clone(chat);
    Arc::new(move |operation, headers| {
        let now = Timestamp::now();
        put_off(headers, operation.created, now);
        let token = headers.get_text(SUBJECT).unwrap_or_default();
        // It was good when the operation was proposed.
        let Ok(claims) = chat.subjects.verify(&token, operation.created) else { return };
        if chat.people.may_chat(&claims.sub, here.as_ref())
            && let Ok(token) = chat.subjects.sign(&claims.sub, &claims.session, &claims.root, now)
        {
            headers.set(SUBJECT, Raw::of(&token));
        }
    })
}

/// Puts the end of a budget off by the time from `since` to `now`.
fn put_off(headers: &mut Headers, since: Timestamp, now: Timestamp) {
    let Ok(Some(mut budget)) = Budget::of(headers) else { return };
    budget.until = budget.until.and_then(|until| until.checked_add(now.duration_since(since)).ok());
    headers.set(headers::BUDGET, budget.to_raw());
}
