//! What actors ask of the gateway in a person's name.
//!
//! Each call shows two things: that an actor makes it that may ([`Reporter`]), and in whose name, for which session and
//! envelope (a signed subject). It reaches only that session.

use asya_session::{
    Operation, Outcome, Phase,
    desk::{APPROVED, Append, Begin, Claimed, Delta, PAGE, Propose, SUBJECT, Transcript},
    hash,
    operation::CALL,
};
use asya_store::chat::{Appended, Claiming, Proposed, Recorded};
use asya_subject::Claims;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Error, Service, no_operation, no_session};
use crate::service::Reporter;

/// Longest piece of an answer, in bytes.
const PIECE: usize = 16 * 1024;
/// Longest that an operation may wait.
const MOST_WAIT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long after it was claimed an operation's outcome is taken in a name that has expired meanwhile: what was done is known
/// to nobody else.
const LATE: SignedDuration = SignedDuration::from_mins(15);

/// An actor, and in whose name it asks.
#[derive(Clone, Debug)]
pub struct Acting {
    account: String,
    token: String,
    claims: Claims,
}

impl Service {
    /// Who an actor is, and in whose name it acts by what its envelope shows.
    ///
    /// # Errors
    /// [`Error::Forbidden`]: an account that may not act for agents; a subject that is missing, not genuine or too old.
    pub fn acting(&self, from: &Reporter, token: Option<&str>) -> Result<Acting, Error> {
        self.may_act(from)?;
        self.acting_at(from, token, Timestamp::now())
    }

    /// The same, for the one who brings the outcome of an operation: its name may have expired since it was claimed.
    ///
    /// # Errors
    /// As [`Service::acting`].
    pub async fn acting_late(
        &self,
        from: &Reporter,
        token: Option<&str>,
        operation: &str,
    ) -> Result<Acting, Error> {
        let now = match self.acting(from, token) {
            Err(now @ Error::Forbidden(_)) => now,
            known => return known,
        };
        self.may_act(from)?;
        let claimed = self.store.operation(operation).await?.and_then(|operation| operation.claimed);
        let claimed = claimed.filter(|claimed| Timestamp::now().duration_since(*claimed) <= LATE);
        claimed.map_or(Err(now), |claimed| self.acting_at(from, token, claimed))
    }

    /// Whose sidecar it is, and in whose name its actor is called: each may begin what its own actor was approved for.
    ///
    /// # Errors
    /// [`Error::Forbidden`]: a namespace that may not report, and as [`Service::acting`].
    pub fn beginning(&self, from: &Reporter, token: Option<&str>) -> Result<Acting, Error> {
        self.may_ask(from)?;
        self.acting_at(from, token, Timestamp::now())
    }

    fn acting_at(&self, from: &Reporter, token: Option<&str>, at: Timestamp) -> Result<Acting, Error> {
        let token = token.ok_or_else(|| Error::Forbidden(format!("the header {SUBJECT} is missing")))?;
        let claims = self.chat()?.subjects.verify(token, at);
        let claims = claims.map_err(|error| Error::Forbidden(error.to_string()))?;
        let account = match (&from.namespace, &from.account) {
            (Some(namespace), Some(account)) => format!("system:serviceaccount:{namespace}:{account}"),
            _ => "sidecar".to_owned(),
        };
        Ok(Acting { account, token: token.to_owned(), claims })
    }

    /// The keys that subjects are checked with, as a JWK Set. They are public: who only wants to know who asked needs no
    /// account that may act for agents.
    ///
    /// # Errors
    /// [`Error::Forbidden`]: a namespace that may not report.
    pub fn subject_keys(&self, from: &Reporter) -> Result<Value, Error> {
        self.may_ask(from)?;
        Ok(self.chat()?.subjects.keys())
    }

    /// A session and its entries from number `from` on, at most [`PAGE`].
    ///
    /// # Errors
    /// Another session than the subject's ([`Error::Forbidden`]), one that is gone, and those of the store.
    pub async fn transcript(&self, acting: &Acting, id: &str, from: u64) -> Result<Transcript, Error> {
        acting.in_session(id)?;
        self.store.chat_transcript(id, from, PAGE).await?.ok_or_else(|| no_session(id))
    }

    /// Appends entry `n`. Where a turn ends by it, the next message that waits begins its own.
    ///
    /// # Errors
    /// Another session or envelope than the subject's ([`Error::Forbidden`]), entries that are no actor's or too large, and
    /// those of the store.
    pub async fn append(
        &self,
        acting: &Acting,
        id: &str,
        n: u64,
        append: &Append,
    ) -> Result<Appended, Error> {
        acting.in_session(id)?;
        acting.in_envelope(&append.place.envelope)?;
        let appended = self.store.chat_append(id, n, append, Timestamp::now()).await?;
        if matches!(appended, Appended::New { .. } | Appended::Repeated(_)) {
            self.chat()?.deltas.stored(id, n);
        }
        match appended {
            Appended::Unknown => return Err(no_session(id)),
            Appended::New { waits: true, .. } => {
                if let Err(error) = self.begin_next(id).await {
                    tracing::warn!(%error, session = id, "the next message waits for a sweep");
                }
            }
            Appended::New { .. } | Appended::Repeated(_) | Appended::Behind(_) => {}
        }
        Ok(appended)
    }

    /// Shows a piece of an answer to whoever watches the session here. It may get lost.
    ///
    /// # Errors
    /// Another session than the subject's ([`Error::Forbidden`]), and pieces that are too large.
    pub fn stream(&self, acting: &Acting, id: &str, delta: Delta) -> Result<(), Error> {
        acting.in_session(id)?;
        if delta.text.len() > PIECE {
            return Err(Error::TooLarge { what: "the piece", size: delta.text.len(), limit: PIECE });
        }
        self.chat()?.deltas.tell(id, delta);
        Ok(())
    }

    /// Keeps an operation, and the envelope that goes on when it is decided; answers whether it is new.
    ///
    /// # Errors
    /// What is not of the subject's session and envelope ([`Error::Forbidden`]), what is not as it must be, a turn that is
    /// over and an id that is taken ([`Error::Conflict`]), and those of the store.
    pub async fn propose(
        &self,
        acting: &Acting,
        id: &str,
        mut propose: Propose,
    ) -> Result<(Operation, bool), Error> {
        let proposal = &propose.proposal;
        if proposal.id != id {
            return Err(Error::invalid("proposal.id", format!("it is not {id:?}, as the path says")));
        }
        acting.in_session(&proposal.session)?;
        acting.in_envelope(propose.envelope["id"].as_str().unwrap_or_default())?;
        if propose.envelope["headers"][SUBJECT] != *acting.token {
            return Err(Error::Forbidden("the envelope that goes on is in another name".to_owned()));
        }
        let now = Timestamp::now();
        if proposal.expires.duration_since(now) > MOST_WAIT {
            let reason = format!("an operation waits at most {} hours", MOST_WAIT.as_hours());
            return Err(Error::invalid("proposal.expires", reason));
        }
        // Only a decision says that something is approved.
        if let Some(headers) = propose.envelope["headers"].as_object_mut() {
            headers.remove(APPROVED);
        }
        let session = &propose.proposal.session;
        let session = self.store.chat_session(session).await?.ok_or_else(|| no_session(session))?;
        // Without its file nobody knows how strict it is.
        let agent = self.chat()?.agent(&session.agent).ok_or_else(|| {
            Error::Unavailable(format!("the agent {:?} is not known here any more", session.agent))
        })?;
        agent.approval.tighten(&mut propose.proposal, now);
        let Acting { account, claims, .. } = acting;
        match self.store.operation_propose(&propose, &claims.sub, account, now).await? {
            Proposed::New(operation) => Ok((operation, true)),
            Proposed::Before(operation) => Ok((operation, false)),
            Proposed::Conflict(_) => Err(Error::Conflict(format!("the id {id} was given to something else"))),
            Proposed::Over => Err(Error::Conflict("the turn of this envelope is over".to_owned())),
            Proposed::Unknown => Err(no_session(&propose.proposal.session)),
        }
    }

    /// An operation of the subject's session.
    ///
    /// # Errors
    /// Unknown operations, those of other sessions ([`Error::Forbidden`]), and those of the store.
    pub async fn operation_of(&self, acting: &Acting, id: &str) -> Result<Operation, Error> {
        let operation = self.store.operation(id).await?.ok_or_else(|| no_operation(id))?;
        acting.in_session(&operation.proposal.session)?;
        Ok(operation)
    }

    /// Claims an operation that was approved, to do what has this hash.
    ///
    /// # Errors
    /// What was not approved, and another hash ([`Error::Conflict`]), and those of [`Service::operation_of`].
    pub async fn claim(&self, acting: &Acting, id: &str, hash: &str) -> Result<Claimed, Error> {
        self.operation_of(acting, id).await?;
        let Acting { account, claims, .. } = acting;
        match self.store.operation_claim(id, hash, &claims.session, account, Timestamp::now()).await? {
            Claiming::Granted(claimed) => Ok(claimed),
            Claiming::Changed(_) => {
                Err(Error::Conflict("what would be done is not what was approved".to_owned()))
            }
            Claiming::Refused(operation) => Err(Error::Conflict(match operation.phase {
                Phase::Waiting => "nobody has approved it".to_owned(),
                phase => format!("it is {}", phase.as_str()),
            })),
            Claiming::Unknown => Err(no_operation(id)),
        }
    }

    /// Begins the call of an ordinary actor that was approved, once: whoever comes again cannot know what the first one did.
    ///
    /// # Errors
    /// Other arguments than those that were approved, what was begun before ([`Error::Conflict`]), and those of
    /// [`Service::claim`].
    pub async fn begin_call(&self, acting: &Acting, id: &str, begin: &Begin) -> Result<(), Error> {
        let operation = self.operation_of(acting, id).await?;
        if operation.proposal.verb != CALL {
            return Err(Error::Conflict("its tool claims it for itself".to_owned()));
        }
        let Begin { actor, arguments } = begin;
        let hash = hash::of(&json!({"actor": actor, "arguments": arguments}));
        if self.claim(acting, id, &hash).await?.again {
            return Err(Error::Conflict(
                "it was begun before, and an approval counts for one run: whether that one did it is not known here"
                    .to_owned(),
            ));
        }
        Ok(())
    }

    /// Writes down what came of an operation that was claimed. The first outcome stays.
    ///
    /// # Errors
    /// What nobody has claimed ([`Error::Conflict`]), and those of [`Service::operation_of`].
    pub async fn outcome(&self, acting: &Acting, id: &str, outcome: &Outcome) -> Result<Operation, Error> {
        self.operation_of(acting, id).await?;
        let Acting { account, claims, .. } = acting;
        match self.store.operation_outcome(id, outcome, &claims.session, account, Timestamp::now()).await? {
            Recorded::Now(operation) | Recorded::Before(operation) => Ok(operation),
            Recorded::Refused(operation) => Err(Error::Conflict(format!(
                "it is {}: nobody has claimed it to carry it out",
                operation.phase.as_str()
            ))),
            Recorded::Unknown => Err(no_operation(id)),
        }
    }
}

impl Acting {
    fn in_session(&self, id: &str) -> Result<(), Error> {
        if self.claims.session == id {
            return Ok(());
        }
        Err(Error::Forbidden(format!("the subject of this request is of another session than {id:?}")))
    }

    fn in_envelope(&self, id: &str) -> Result<(), Error> {
        if self.claims.root == id {
            return Ok(());
        }
        Err(Error::Forbidden(format!("the subject of this request is of another envelope than {id:?}")))
    }
}
