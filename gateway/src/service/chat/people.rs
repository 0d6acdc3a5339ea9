//! Whether somebody may still talk with agents, asked while they are not there.

use asya_session::Session;
use asya_store::chat::Said;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::sees;
use crate::auth::{Principal, Role, Roles, Tokens, oidc};

/// How long what an identity provider has said of somebody counts for messages that wait, if its token lasts longer.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// Whoever this gateway knows without their being there: holders of tokens that were handed out. Of people of an identity
/// provider it knows nothing until they come.
#[derive(Debug)]
pub struct People {
    /// Nobody is asked, and everybody may do everything.
    pub open: bool,
    /// Tokens that were handed out.
    pub tokens: watch::Receiver<Tokens>,
}

/// What is kept of somebody beside a message that waits.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Asker {
    /// The groups they were in.
    pub(super) groups: Vec<String>,
    /// Until when they may be taken to be who they were; nobody has said so without it.
    until: Option<Timestamp>,
    /// Whether every session was theirs to speak in.
    admin: bool,
}

impl Asker {
    /// What is kept of who speaks now.
    pub(super) fn of(who: &Principal, now: Timestamp) -> Self {
        let longest = now.checked_add(LONGEST).unwrap_or(Timestamp::MAX);
        let until = who.until.map_or(longest, |until| until.min(longest));
        Self { groups: who.groups.clone(), until: Some(until), admin: who.roles.has(Role::Admin) }
    }

    /// The same, from what was kept; of what was written otherwise nothing counts.
    pub(super) fn kept(said: &Said) -> Self {
        serde_json::from_value(said.asker.clone()).unwrap_or_default()
    }
}

impl People {
    /// The principal of this name if it may talk with agents, as far as is known while `here` is there.
    pub fn known(&self, name: &str, here: Option<&Principal>) -> Option<Principal> {
        let here = here.filter(|here| here.name == name).cloned();
        let open = || self.open.then(|| Principal::named(name, Roles::ALL));
        let known = here.or_else(open).or_else(|| self.tokens.borrow().named(name).cloned());
        known.filter(|known| known.roles.has(Role::Chat))
    }

    /// Whether somebody who came with a token is still known by it, and may talk with agents.
    pub(super) fn stays(&self, who: &Principal, now: Timestamp) -> bool {
        who.until.map_or_else(|| self.known(&who.name, None).is_some(), |until| now < until)
    }

    /// Refuses a message that has waited and whose speaker may not say it any more.
    ///
    /// # Errors
    /// Why, for the others of the session.
    pub(super) fn still_heard(&self, session: &Session, said: &Said, now: Timestamp) -> Result<(), String> {
        let by = &said.by;
        let asker = Asker::kept(said);
        let then = || {
            // Only of these nothing is known here: of others it is known that they are gone.
            let stands = by.starts_with(oidc::PREFIX) && asker.until.is_some_and(|until| now < until);
            let role = if asker.admin { Role::Admin } else { Role::Chat };
            stands.then(|| Principal::named(by, Roles::from_iter([role])))
        };
        let Some(who) = self.known(by, None).or_else(then) else {
            return Err(format!("{by} is not known to be there any more, or to have the role chat"));
        };
        if sees(&who, session) {
            Ok(())
        } else {
            Err(format!("the session is not shared with {by} any more"))
        }
    }
}
