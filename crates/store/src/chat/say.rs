//! A person speaks: what they say becomes an entry with an envelope that carries the turn, or waits for the turn that runs.

use std::sync::Arc;

use asya_session::{Body, Entry, Options, Session, State, session};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    audited, entries,
    sessions::{self, NewSession, Stored},
};
use crate::{
    StoreError,
    envelopes::{Creation, NewEnvelope, create, tracked},
    session::Session as Transaction,
};

/// What a person says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Said {
    /// Who: the name of a principal.
    pub by: String,
    /// The words; at most [`session::MESSAGE`] bytes.
    pub text: String,
    /// Wishes for the turns that follow.
    #[serde(default)]
    pub options: Options,
    /// An id by which it is known when it is said again. [`Begin`] makes the envelope's id of it.
    #[serde(default)]
    pub id: Option<String>,
    /// What else is known of who speaks, for [`Begin`]: a message may wait for long, and nothing signed is kept with it.
    #[serde(default)]
    pub asker: Value,
}

impl Said {
    fn body(&self) -> Body {
        Body::User { by: self.by.clone(), text: self.text.clone(), options: self.options.clone() }
    }
}

/// A turn that begins.
#[derive(Clone, Copy, Debug)]
pub struct Turn<'a> {
    /// The session, as it was before.
    pub session: &'a Session,
    /// Number of the entry that holds what was said.
    pub n: u64,
    /// What was said.
    pub said: &'a Said,
}

/// Makes the envelope that carries a turn, with an id that is new, or follows from that of the message. It is called inside
/// the transaction, perhaps more than once: it must not wait.
pub type Begin = Arc<dyn Fn(&Turn<'_>) -> NewEnvelope + Send + Sync>;

/// Whether a message that has waited in a session is still to be heard, or why not: who said it may be gone since, or may not
/// speak there any more. It is called inside the transaction, perhaps more than once: it must not wait.
pub type Heard = Arc<dyn Fn(&Session, &Said) -> Result<(), String> + Send + Sync>;

/// Code of the notice in the place of a message that is not heard any more.
const NOT_HEARD: &str = "not_heard";

/// What became of what was said.
#[derive(Clone, Debug, PartialEq)]
pub enum Spoken {
    /// It is an entry, and an envelope with this id is on its way.
    Began {
        /// The entry.
        entry: Box<Entry>,
        /// The envelope.
        envelope: String,
    },
    /// A turn runs: it waits, as the one with this number, from 1.
    Waits(usize),
    /// A message with this id was said before, by the same person: nothing has changed.
    Again,
    /// [`session::MOST_WAITING`] messages wait already.
    Full,
    /// There is no such session.
    Unknown,
}

/// Says something in a session.
pub(crate) async fn say(
    tx: &mut impl Transaction,
    id: &str,
    said: &Said,
    begin: &Begin,
    now: Timestamp,
) -> Result<Spoken, StoreError> {
    sessions::check_names([&said.by])?;
    if said.text.len() > session::MESSAGE {
        return Err(StoreError::Refused(format!(
            "a message has at most {} bytes, and this one has {}",
            session::MESSAGE,
            said.text.len()
        )));
    }
    // What waits must be fit to become an entry later.
    entries::encoded(&said.body())?;
    let Some(mut stored) = sessions::hold(tx, id).await? else { return Ok(Spoken::Unknown) };
    if said.id.is_some() && again(tx, &stored, said, begin).await? {
        return Ok(Spoken::Again);
    }
    if stored.session.title.is_empty() {
        stored.session.title = sessions::title(&said.text);
    }
    // What waits was said before: nobody overtakes it.
    if stored.session.envelope.is_none() && stored.waiting.is_empty() {
        return turn(tx, stored, said, begin, now).await;
    }
    if stored.waiting.len() >= session::MOST_WAITING {
        return Ok(Spoken::Full);
    }
    stored.waiting.push(said.clone());
    sessions::save(tx, &stored, now).await?;
    let envelope = stored.session.envelope.as_deref();
    audited::write(tx, &said.by, audited::SAY, envelope, &json!({"session": id, "waits": true}), now).await?;
    Ok(Spoken::Waits(stored.waiting.len()))
}

/// Begins a conversation by saying something in it; `None`: its id is known.
pub(crate) async fn first(
    tx: &mut impl Transaction,
    new: &NewSession,
    said: &Said,
    begin: &Begin,
    now: Timestamp,
) -> Result<Option<Session>, StoreError> {
    if sessions::create(tx, new, now).await? == Creation::Exists {
        return Ok(None);
    }
    say(tx, &new.id, said, begin, now).await?;
    sessions::get(tx, &new.id).await
}

/// Whether a message with this id was said before: it waits, or its envelope is known.
async fn again(
    tx: &mut impl Transaction,
    stored: &Stored,
    said: &Said,
    begin: &Begin,
) -> Result<bool, StoreError> {
    if stored.waiting.iter().any(|other| (&other.by, &other.id) == (&said.by, &said.id)) {
        return Ok(true);
    }
    let new = begin(&Turn { session: &stored.session, n: stored.session.head + 1, said });
    Ok(tracked::glance(tx, &new.id).await?.is_some())
}

/// Begins the turn of the message that waits longest and is still to be heard, if nothing runs; those before it become
/// notices. `None` if no turn begins. Done again it comes to the same.
pub(crate) async fn go_on(
    tx: &mut impl Transaction,
    id: &str,
    heard: &Heard,
    begin: &Begin,
    now: Timestamp,
) -> Result<Option<Spoken>, StoreError> {
    let Some(mut stored) = sessions::hold(tx, id).await? else { return Ok(None) };
    if stored.session.envelope.is_some() || stored.waiting.is_empty() {
        return Ok(None);
    }
    while !stored.waiting.is_empty() {
        let said = stored.waiting.remove(0);
        match heard(&stored.session, &said) {
            Ok(()) => return turn(tx, stored, &said, begin, now).await.map(Some),
            Err(why) => unheard(tx, &mut stored, &said, &why, now).await?,
        }
    }
    sessions::save(tx, &stored, now).await?;
    Ok(None)
}

/// Writes down that a message is not heard any more. Its words are in no entry: no model answers them.
async fn unheard(
    tx: &mut impl Transaction,
    stored: &mut Stored,
    said: &Said,
    why: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let text = format!("What {} said while a turn ran is not answered: {why}.", said.by);
    let notice = Body::Notice { code: NOT_HEARD.to_owned(), text };
    let entry = entries::append(tx, stored, None, notice, now).await?;
    let detail = json!({"session": stored.session.id, "entry": entry.n, "by": said.by, "reason": why});
    audited::write(tx, audited::NOBODY, audited::UNHEARD, None, &detail, now).await
}

/// Begins a turn in a session that the caller holds, and in which nothing runs.
async fn turn(
    tx: &mut impl Transaction,
    mut stored: Stored,
    said: &Said,
    begin: &Begin,
    now: Timestamp,
) -> Result<Spoken, StoreError> {
    let new = begin(&Turn { session: &stored.session, n: stored.session.head + 1, said });
    if create::create(tx, &new, None, now).await? == Creation::Exists {
        return Err(StoreError::Refused(format!(
            "envelope {:?} exists: a turn needs one of its own",
            new.id
        )));
    }
    let id = stored.session.id.clone();
    let sql = "UPDATE envelopes SET session_id = ?2 WHERE id = ?1";
    tx.execute(sql, &[(&new.id).into(), (&id).into()]).await?;
    let entry = entries::append(tx, &mut stored, None, said.body(), now).await?;
    stored.session.state = State::Running;
    stored.session.envelope = Some(new.id.clone());
    sessions::save(tx, &stored, now).await?;
    let detail = json!({"session": id, "entry": entry.n});
    audited::write(tx, &said.by, audited::SAY, Some(&new.id), &detail, now).await?;
    Ok(Spoken::Began { entry: Box::new(entry), envelope: new.id })
}
