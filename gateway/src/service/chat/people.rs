//! Whether somebody may still talk with agents, asked while they are not there.

use tokio::sync::watch;

use crate::auth::{Principal, Role, Tokens};

/// Whoever this gateway knows without their being there: holders of tokens that were handed out. Of people of an identity
/// provider it knows nothing until they come.
#[derive(Debug)]
pub struct People {
    /// Nobody is asked, and everybody may do everything.
    pub open: bool,
    /// Tokens that were handed out.
    pub tokens: watch::Receiver<Tokens>,
}

impl People {
    /// Whether the principal of this name may talk with agents, as far as is known while `here` is there.
    pub fn may_chat(&self, name: &str, here: Option<&Principal>) -> bool {
        let here = here.is_some_and(|here| here.name == name && here.roles.has(Role::Chat));
        here || self.open || self.tokens.borrow().named(name).is_some_and(|one| one.roles.has(Role::Chat))
    }
}
