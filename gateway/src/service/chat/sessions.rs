//! What people do in conversations.

use asya_session::{
    Entry, Options, Session,
    session::{MESSAGE, MOST_SHARED},
};
use asya_store::{
    chat::{Deleted, NewSession, Said, SessionFilter, SessionPage, Spoken},
    envelopes::{Creation, Cursor, MAX_ID},
};
use jiff::Timestamp;
use uuid::Uuid;

use super::{Error, Service, no_session, owns, people::Asker};
use crate::{
    agents::Agent,
    auth::{Principal, Role},
    tools::Wrong,
};

/// Longest title that somebody may give, in bytes.
const TITLE: usize = 200;
/// Longest name of a principal, in bytes.
const NAME: usize = 255;

/// A conversation that somebody wants to begin.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// With this agent.
    pub agent: String,
    /// Its name; without one it is what is said first.
    pub title: Option<String>,
    /// What is said first.
    pub message: Option<Message>,
}

/// Something that somebody says.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The words.
    pub text: String,
    /// Wishes for the turns that follow.
    pub options: Options,
    /// An id by which the same message is known when it is sent again.
    pub id: Option<String>,
}

impl Message {
    /// Said by this principal.
    fn said(self, by: &Principal, now: Timestamp) -> Said {
        let Self { text, options, id } = self;
        let asker = serde_json::to_value(Asker::of(by, now)).expect("what is kept has only string keys");
        Said { by: by.name.clone(), text, options, id, asker }
    }
}

/// What somebody wants changed.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The title.
    pub title: Option<String>,
    /// Who else may read it and speak in it.
    pub shared: Option<Vec<String>>,
}

impl Service {
    /// Begins a conversation.
    ///
    /// # Errors
    /// Unknown agents, wrong options, the role [`Role::Chat`] missing, and those of the store.
    pub async fn begin_session(&self, who: &Principal, beginning: Beginning) -> Result<Session, Error> {
        who.needs(Role::Chat)?;
        let Beginning { agent, title, message } = beginning;
        let known = self.chat()?.agent(&agent).ok_or_else(|| self.no_agent(&agent))?;
        if let Some(title) = &title {
            check_title(title)?;
        }
        let id = format!("s-{}", Uuid::now_v7());
        let new = NewSession {
            id: id.clone(),
            title: title.unwrap_or_default(),
            owner: who.name.clone(),
            agent: known.name.clone(),
        };
        let (taken, now) = (|| Error::Unavailable(format!("the id {id} was taken")), Timestamp::now());
        let Some(message) = message else {
            return match self.store.chat_create(&new, now).await? {
                Creation::Created => self.store.chat_session(&id).await?.ok_or_else(|| no_session(&id)),
                Creation::Exists => Err(taken()),
            };
        };
        // A session without the message that it was to begin with helps nobody.
        check(&known, &message)?;
        let begun = self.store.chat_begin(&new, &message.said(who, now), &self.begin()?, now).await?;
        begun.ok_or_else(taken)
    }

    /// Says something. While a turn runs it waits for the end of that.
    ///
    /// # Errors
    /// Unknown sessions, those of others, wrong options, agents that are gone and too many messages that wait
    /// ([`Error::Conflict`]), and those of the store.
    pub async fn say(&self, who: &Principal, id: &str, message: Message) -> Result<Spoken, Error> {
        let session = self.visible(who, id).await?;
        let agent = self.chat()?.agent(&session.agent);
        let agent = agent
            .ok_or_else(|| Error::Conflict(format!("agent {:?} is not there any more", session.agent)))?;
        check(&agent, &message)?;
        let now = Timestamp::now();
        match self.store.chat_say(id, &message.said(who, now), &self.begin()?, now).await? {
            Spoken::Unknown => Err(no_session(id)),
            Spoken::Full => Err(Error::Conflict(
                "too many messages wait for the turn that runs: wait for its end, or cancel it".to_owned(),
            )),
            spoken => Ok(spoken),
        }
    }

    /// Sessions of the principal, and those that are shared with it, by the latest change; with `all` everybody's.
    ///
    /// # Errors
    /// The role [`Role::Chat`] missing, for `all` [`Role::Admin`], and those of the store.
    pub async fn sessions(
        &self,
        who: &Principal,
        filter: SessionFilter,
        all: bool,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<SessionPage, Error> {
        who.needs(if all { Role::Admin } else { Role::Chat })?;
        let principal = (!all).then(|| who.name.clone());
        Ok(self.store.chat_sessions(&SessionFilter { principal, ..filter }, after, limit).await?)
    }

    /// One session.
    ///
    /// # Errors
    /// Unknown sessions, those of others, the role [`Role::Chat`] missing, and those of the store.
    pub async fn session(&self, who: &Principal, id: &str) -> Result<Session, Error> {
        self.visible(who, id).await
    }

    /// Entries of a session from number `from` on; at most `limit`.
    ///
    /// # Errors
    /// Those of [`Service::session`].
    pub async fn entries(
        &self,
        who: &Principal,
        id: &str,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, Error> {
        self.visible(who, id).await?;
        Ok(self.store.chat_entries(id, from, limit).await?)
    }

    /// Changes title, and who else may read a session and speak in it. Only its owner may.
    ///
    /// # Errors
    /// Sessions that are shared with the principal ([`Error::Forbidden`]), and those of [`Service::session`].
    pub async fn change_session(
        &self,
        who: &Principal,
        id: &str,
        changes: Changes,
    ) -> Result<Session, Error> {
        self.owned(who, id).await?;
        let Changes { title, shared } = changes;
        if let Some(title) = &title {
            check_title(title)?;
        }
        check_names(shared.as_deref().unwrap_or_default())?;
        let now = Timestamp::now();
        if let Some(title) = title
            && !self.store.chat_rename(id, &title, &who.name, now).await?
        {
            return Err(no_session(id));
        }
        if let Some(mut shared) = shared {
            shared.sort();
            shared.dedup();
            if !self.store.chat_share(id, &shared, &who.name, now).await? {
                return Err(no_session(id));
            }
        }
        self.store.chat_session(id).await?.ok_or_else(|| no_session(id))
    }

    /// Deletes a session with all that was said in it. Only its owner may, and not while a turn runs.
    ///
    /// # Errors
    /// Those of [`Service::change_session`]; [`Error::Conflict`] while a turn runs.
    pub async fn delete_session(&self, who: &Principal, id: &str) -> Result<(), Error> {
        self.owned(who, id).await?;
        match self.store.chat_delete(id, &who.name, Timestamp::now()).await? {
            Deleted::Done => Ok(()),
            Deleted::Running => {
                Err(Error::Conflict("a turn runs or waits for approval: cancel it first".to_owned()))
            }
            Deleted::Unknown => Err(no_session(id)),
        }
    }

    /// Cancels the turn that runs or waits for approval. Messages that wait come next.
    ///
    /// # Errors
    /// [`Error::Conflict`] where nothing runs, and those of [`Service::session`].
    pub async fn cancel_turn(&self, who: &Principal, id: &str) -> Result<Session, Error> {
        let session = self.visible(who, id).await?;
        let idle = || Error::Conflict("nothing runs in this session".to_owned());
        let envelope = session.envelope.ok_or_else(idle)?;
        self.cancel_for(who, &envelope, "cancelled in its session").await.map_err(|error| match error {
            Error::Conflict(_) | Error::NotFound { .. } => idle(),
            error => error,
        })?;
        self.visible(who, id).await
    }

    async fn owned(&self, who: &Principal, id: &str) -> Result<Session, Error> {
        let session = self.visible(who, id).await?;
        if owns(who, &session) {
            return Ok(session);
        }
        Err(Error::Forbidden(format!("only {:?} may do this to the session", session.owner)))
    }

    fn no_agent(&self, name: &str) -> Error {
        let known = self.chat().map(|chat| chat.agents.borrow().keys().cloned().collect::<Vec<_>>());
        let known = known.unwrap_or_default();
        let reason = match known.as_slice() {
            [] => "this gateway has no agents".to_owned(),
            known => format!("there is no agent {name:?}, but {}", known.join(", ")),
        };
        Error::invalid("agent", reason)
    }
}

/// Refuses what is no message for this agent, every fault of it.
fn check(agent: &Agent, message: &Message) -> Result<(), Error> {
    let mut wrong = agent.wrong(&message.options);
    let mut is = |field: &str, reason: String| {
        wrong.push(Wrong { field: field.to_owned(), reason, missing: false });
    };
    if message.text.trim().is_empty() {
        is("text", "a message has words".to_owned());
    }
    if message.text.len() > MESSAGE {
        is("text", format!("a message has at most {MESSAGE} bytes, and this one has {}", message.text.len()));
    }
    if message.text.contains('\0') {
        is("text", "a message has no character of the number 0".to_owned());
    }
    let unfit = |id: &String| id.is_empty() || id.len() > MAX_ID || id.chars().any(char::is_control);
    if message.id.as_ref().is_some_and(unfit) {
        is("id", format!("an id has 1 to {MAX_ID} bytes and no control characters"));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Error::Invalid(wrong)) }
}

fn check_title(title: &str) -> Result<(), Error> {
    if title.trim().is_empty() || title.len() > TITLE || title.chars().any(char::is_control) {
        return Err(Error::invalid("title", format!("a title has 1 to {TITLE} bytes and is one line")));
    }
    Ok(())
}

/// Refuses what are no names of principals, each with its place.
fn check_names(names: &[String]) -> Result<(), Error> {
    if names.len() > MOST_SHARED {
        return Err(Error::invalid(
            "shared",
            format!("a session is shared with at most {MOST_SHARED} principals"),
        ));
    }
    let unfit = |name: &String| name.is_empty() || name.len() > NAME || name.chars().any(char::is_control);
    let wrong = names.iter().enumerate().filter(|(_, name)| unfit(name)).map(|(at, _)| Wrong {
        field: format!("shared.{at}"),
        reason: format!("the name of a principal has 1 to {NAME} bytes and no control characters"),
        missing: false,
    });
    let wrong: Vec<_> = wrong.collect();
    if wrong.is_empty() { Ok(()) } else { Err(Error::Invalid(wrong)) }
}
