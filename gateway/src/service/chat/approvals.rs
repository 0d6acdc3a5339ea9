//! What approvers do.
//!
//! Who may approve sees every operation, whoever's session it is of, and no session. Who may talk with agents sees those
//! of its own sessions and decides none.

use std::sync::Arc;

use asya_envelope::{Budget, Envelope, Headers, Raw, headers};
use asya_session::{Operation, Phase, Verdict, desk::SUBJECT};
use asya_store::{
    chat::{Decided, OperationFilter, OperationPage, Renew, Renewed, Ruling},
    envelopes::Cursor,
};
use jiff::Timestamp;

use super::{Chat, Error, Service, no_operation};
use crate::auth::{Principal, Role};

/// Operations that one step of a sweep lets go.
const BATCH: usize = 100;

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
    /// What somebody asked for more than a day ago is approved only while they are known to be there ([`super::People`]);
    /// else it waits on until they come ([`Service::renew_operation`]), and is [`Error::Conflict`].
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
        let ruling = Ruling { verdict, by: who.name.clone(), hash, comment };
        let renew = renew(self.chat()?, Some(who.clone()));
        match self.store.operation_decide(id, &ruling, &renew, Timestamp::now()).await? {
            Decided::Now(operation) => Ok(operation),
            Decided::Nameless(operation) => Err(Error::Conflict(format!(
                "{0} asked for it too long ago, and is not known to be there any more. Have them sign in and renew it (POST \
                 /api/v1/approvals/{id}/renew, or `asya approvals renew {id}`); then it can be approved until {1}",
                operation.requester, operation.proposal.expires
            ))),
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

    /// Who asked for an operation that waits says so once more: it can be approved for another day then, as long as it waits.
    ///
    /// # Errors
    /// Unknown operations; those that were decided ([`Error::Conflict`]); those of others ([`Error::Forbidden`]); the role
    /// [`Role::Chat`] missing; those of the store.
    pub async fn renew_operation(&self, who: &Principal, id: &str) -> Result<Operation, Error> {
        who.needs(Role::Chat)?;
        self.operation(who, id).await?;
        let (chat, here) = (Arc::clone(self.chat()?), who.clone());
        let sign: Renew = Arc::new(move |operation, envelope| sign(&chat, operation, envelope, Some(&here)));
        match self.store.operation_renew(id, &who.name, &sign, Timestamp::now()).await? {
            Renewed::Now(operation) => Ok(operation),
            Renewed::Before(operation) => Err(Error::Conflict(before(&operation))),
            Renewed::Other(operation) => {
                Err(Error::Forbidden(format!("only {}, who asked for it, may renew it", operation.requester)))
            }
            Renewed::Unknown => Err(no_operation(id)),
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

/// Makes an envelope good again that has waited: the waiting does not count as time of its turn, and who asked is signed
/// once more while they are known to be there.
fn renew(chat: &Arc<Chat>, here: Option<Principal>) -> Renew {
    let chat = Arc::clone(chat);
    Arc::new(move |operation, envelope| {
        put_off(&mut envelope.headers, operation.created, Timestamp::now());
        sign(&chat, operation, envelope, here.as_ref())
    })
}

/// Signs who asked once more, if they are known to be there; answers whether the envelope says so then. Who they are was
/// checked when they asked.
fn sign(chat: &Chat, operation: &Operation, envelope: &mut Envelope, here: Option<&Principal>) -> bool {
    let now = Timestamp::now();
    let (who, session) = (&operation.requester, &operation.proposal.session);
    let token = envelope.headers.get_text(SUBJECT).unwrap_or_default();
    let is_fresh = chat.subjects.verify(&token, now).is_ok();
    let Some(known) = chat.people.known(who, here) else { return is_fresh };
    match chat.subjects.sign((who, &known.groups), session, &envelope.id, now) {
        Ok(token) => {
            envelope.headers.set(SUBJECT, Raw::of(&token));
            true
        }
        Err(_) => is_fresh,
    }
}

/// Puts the end of a budget off by the time from `since` to `now`.
fn put_off(headers: &mut Headers, since: Timestamp, now: Timestamp) {
    let Ok(Some(mut budget)) = Budget::of(headers) else { return };
    budget.until = budget.until.and_then(|until| until.checked_add(now.duration_since(since)).ok());
    headers.set(headers::BUDGET, budget.to_raw());
}
