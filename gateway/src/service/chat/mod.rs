//! Conversations with agents, and operations of theirs that wait for approval.
//!
//! | module | holds |
//! |---|---|
//! | [`sessions`] | what people do: begin, say, read, share, cancel, delete |
//! | [`follow`] | [`Following`]: a session as it happens |
//! | [`export`] | a session as Markdown |
//! | [`approvals`] | what approvers do |
//! | [`desk`] | what actors ask of the gateway in a person's name |
//! | [`turns`] | the envelope that carries a turn, and messages that wait for theirs |
//! | [`deltas`] | pieces of answers on their way to who watches |
//! | [`people`] | whether somebody may still talk with agents |
//!
//! Nothing of a conversation is held here: any replica answers, and one that is started again goes on.

pub mod approvals;
pub mod deltas;
pub mod desk;
pub mod export;
pub mod follow;
pub mod people;
pub mod sessions;
pub mod turns;

use std::sync::Arc;

use asya_session::Session;
use tokio::sync::watch;

pub use deltas::Deltas;
pub use follow::Following;
pub use people::People;

use super::{Error, Service};
use crate::{
    agents::{Agent, AgentSet},
    auth::{Principal, Role},
    subjects::Subjects,
};

/// What conversations need besides the store.
#[derive(Debug)]
pub struct Chat {
    agents: watch::Receiver<Arc<AgentSet>>,
    subjects: Subjects,
    people: People,
    deltas: Arc<Deltas>,
}

impl Chat {
    /// Conversations with these agents as they change.
    pub fn new(agents: watch::Receiver<Arc<AgentSet>>, subjects: Subjects, people: People) -> Self {
        Self { agents, subjects, people, deltas: Arc::default() }
    }

    fn agent(&self, name: &str) -> Option<Arc<Agent>> {
        self.agents.borrow().get(name).cloned()
    }
}

impl Service {
    /// The same use cases, with conversations.
    #[must_use]
    pub fn with_chat(self, chat: Chat) -> Self {
        Self { chat: Some(Arc::new(chat)), ..self }
    }

    fn chat(&self) -> Result<&Arc<Chat>, Error> {
        self.chat.as_ref().ok_or_else(|| Error::Unavailable("this gateway has no conversations".to_owned()))
    }

    /// The agents that there are, by name.
    ///
    /// # Errors
    /// The role [`Role::Chat`] missing.
    pub fn agents(&self, who: &Principal) -> Result<Vec<Arc<Agent>>, Error> {
        who.needs(Role::Chat)?;
        Ok(self.chat()?.agents.borrow().values().cloned().collect())
    }

    /// Whether somebody who came a while ago may still talk with agents.
    fn stays(&self, who: &Principal) -> bool {
        self.chat.as_ref().is_some_and(|chat| chat.people.stays(who, jiff::Timestamp::now()))
    }

    /// Whether an agent runs as a service account of this name.
    pub(super) fn runs_agents(&self, account: &str) -> bool {
        let Some(chat) = &self.chat else { return false };
        chat.agents.borrow().values().any(|agent| agent.runs_as(account))
    }

    /// A token of this gateway, made at a time.
    #[cfg(test)]
    pub(crate) fn signed(&self, name: &str, session: &str, root: &str, at: jiff::Timestamp) -> String {
        self.chat.as_ref().unwrap().subjects.sign((name, &[]), session, root, at).unwrap()
    }

    /// A session that a principal may read; others there are not.
    async fn visible(&self, who: &Principal, id: &str) -> Result<Session, Error> {
        who.needs(Role::Chat)?;
        let session = self.store.chat_session(id).await?.filter(|session| sees(who, session));
        session.ok_or_else(|| no_session(id))
    }
}

/// Whether a session is the principal's, is shared with it, or everything is.
fn sees(who: &Principal, session: &Session) -> bool {
    owns(who, session) || session.shared.contains(&who.name)
}

fn owns(who: &Principal, session: &Session) -> bool {
    session.owner == who.name || who.roles.has(Role::Admin)
}

fn no_session(id: &str) -> Error {
    Error::NotFound { what: "session", name: id.to_owned() }
}

fn no_operation(id: &str) -> Error {
    Error::NotFound { what: "operation", name: id.to_owned() }
}
