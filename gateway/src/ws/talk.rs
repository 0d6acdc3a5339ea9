//! What somebody does over a socket: one conversation at a time, by the use cases that every way in has.

use std::sync::Arc;

use asya_session::{Body, Operation, Session};
use asya_store::{StoreError, chat::Spoken};
use axum::http::StatusCode;

use crate::{
    agents::Agent,
    auth::{Auth, Principal},
    rest::api::{Refusal, chat::approvals::Ruling},
    service::{
        Error, Service,
        chat::{
            Following,
            follow::Happening,
            sessions::{Beginning, Message},
        },
    },
};

/// Entries that are looked at for a first answer.
const LOOKED_AT: usize = 200;

/// Somebody who talks.
pub(super) struct Talk {
    service: Service,
    auth: Arc<Auth>,
    who: Principal,
    followed: Option<Followed>,
}

/// The conversation that is followed.
struct Followed {
    id: String,
    agent: String,
    following: Following,
}

impl Talk {
    pub(super) fn new(service: Service, auth: Arc<Auth>, who: Principal) -> Self {
        Self { service, auth, who, followed: None }
    }

    /// Who it is.
    pub(super) fn who(&self) -> &Principal {
        &self.who
    }

    /// The conversation that is followed.
    pub(super) fn session(&self) -> Option<&str> {
        self.followed.as_ref().map(|followed| followed.id.as_str())
    }

    /// Takes one of the requests that may be sent now.
    pub(super) fn pace(&self) -> Result<(), Refusal> {
        self.auth.pace(&self.who).map_err(|refusal| {
            Refusal::new(StatusCode::TOO_MANY_REQUESTS, refusal.code(), refusal.to_string())
        })
    }

    /// Who can be talked with.
    pub(super) fn agents(&self) -> Result<Vec<Arc<Agent>>, Refusal> {
        Ok(self.service.agents(&self.who)?)
    }

    /// The agent of the conversation that is followed, if it is there still.
    pub(super) fn agent(&self) -> Option<Arc<Agent>> {
        let followed = self.followed.as_ref()?;
        self.agents().ok()?.into_iter().find(|agent| agent.name == followed.agent)
    }

    /// Begins a conversation and follows it.
    pub(super) async fn begin(&mut self, beginning: Beginning) -> Result<Session, Refusal> {
        let session = self.service.begin_session(&self.who, beginning).await?;
        self.follow(&session.id, 1).await
    }

    /// Follows a conversation from an entry on, instead of the one before.
    pub(super) async fn follow(&mut self, id: &str, from: u64) -> Result<Session, Refusal> {
        let session = self.service.session(&self.who, known("session", id)?).await?;
        let following = self.service.follow_session(&self.who, id, from).await?;
        self.followed = Some(Followed { id: id.to_owned(), agent: session.agent.clone(), following });
        Ok(session)
    }

    /// Says something in the conversation that is followed.
    pub(super) async fn say(&self, message: Message) -> Result<Spoken, Refusal> {
        Ok(self.service.say(&self.who, self.place()?, message).await?)
    }

    /// Cancels the turn that runs in it.
    pub(super) async fn cancel(&self) -> Result<Session, Refusal> {
        Ok(self.service.cancel_turn(&self.who, self.place()?).await?)
    }

    /// Decides an operation, of whatever conversation.
    pub(super) async fn decide(&self, operation: &str, ruling: Ruling) -> Result<Operation, Refusal> {
        let (verdict, hash, comment) = ruling.checked()?;
        let operation = known("operation", operation)?;
        Ok(self.service.decide(&self.who, operation, verdict, hash, comment).await?)
    }

    /// Whether a conversation has an answer before an entry, among its first ones.
    pub(super) async fn answered(&self, id: &str, before: u64) -> Result<bool, Refusal> {
        let most = usize::try_from(before - 1).unwrap_or(usize::MAX).clamp(1, LOOKED_AT);
        let entries = self.service.entries(&self.who, known("session", id)?, 1, most).await?;
        let answer = |body: &Body| matches!(body, Body::Assistant { calls, .. } if calls.is_empty());
        Ok(entries.iter().any(|entry| entry.n < before && answer(&entry.body)))
    }

    /// What happens next in the conversation that is followed, and in which; nothing where none is. `None`: there is nothing more of
    /// it for this reader, and it is followed no more. Cancel safe.
    pub(super) async fn next(&mut self) -> Result<(String, Option<Happening>), StoreError> {
        let Some(followed) = &mut self.followed else { return std::future::pending().await };
        let happening = followed.following.next().await?;
        let id = followed.id.clone();
        if happening.is_none() {
            self.followed = None;
        }
        Ok((id, happening))
    }

    fn place(&self) -> Result<&str, Refusal> {
        let none = "no session is followed here: begin one, or follow one";
        self.session().ok_or_else(|| Refusal::new(StatusCode::CONFLICT, "conflict", none))
    }
}

/// An id that a database can be asked for.
fn known<'a>(what: &'static str, id: &'a str) -> Result<&'a str, Error> {
    if id.contains('\0') { Err(Error::NotFound { what, name: id.replace('\0', " ") }) } else { Ok(id) }
}
