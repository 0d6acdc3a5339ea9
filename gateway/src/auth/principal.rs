//! Who acts, and what they may.

use crate::service::Error;

/// What a principal may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// See envelopes without their contents, queues, tools and streams.
    Read,
    /// Call tools, send envelopes, cancel what it sent itself.
    Send,
    /// See contents: payloads, results, details of errors.
    Payload,
    /// Look into the cluster around the gateway: its objects, events and logs.
    Cluster,
    /// Talk with agents: sessions of one's own, and those that are shared.
    Chat,
    /// See all operations that wait for approval, whoever's session they are of, and decide them.
    Approve,
    /// Everything: cancel and replay what others sent, purge, the audit log.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 7] =
        [Self::Read, Self::Send, Self::Payload, Self::Cluster, Self::Chat, Self::Approve, Self::Admin];

    /// Its name, in settings and tokens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Send => "send",
            Self::Payload => "payload",
            Self::Cluster => "cluster",
            Self::Chat => "chat",
            Self::Approve => "approve",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    ///
    /// # Errors
    /// A sentence with the value.
    pub fn parse(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == name)
            .ok_or_else(|| format!("{name:?} is no role: {}", Self::names()))
    }

    /// The names of all roles, with commas between them.
    pub fn names() -> String {
        Self::ALL.map(Self::as_str).join(", ")
    }
}

/// A set of roles. [`Role::Admin`] contains the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// None at all.
    pub const NONE: Self = Self(0);
    /// Everything.
    pub const ALL: Self = Self(Self::bit(Role::Admin));

    const fn bit(role: Role) -> u8 {
        1 << role as u8
    }

    /// The same set with one more.
    #[must_use]
    pub const fn with(self, role: Role) -> Self {
        Self(self.0 | Self::bit(role))
    }

    /// Both sets together.
    #[must_use]
    pub const fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// Whether the set allows what the role allows.
    pub const fn has(self, role: Role) -> bool {
        self.0 & (Self::bit(role) | Self::bit(Role::Admin)) != 0
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Self::NONE, Self::with)
    }
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Name in the audit log: of a token, of a subject of an identity provider, `anonymous` where nobody is asked.
    pub name: String,
    /// What it may do.
    pub roles: Roles,
}

impl Principal {
    /// Everybody, where authentication is off.
    pub fn anonymous() -> Self {
        Self { name: "anonymous".to_owned(), roles: Roles::ALL }
    }

    /// Refuses what the role would be needed for.
    ///
    /// # Errors
    /// [`Error::Denied`] without the role.
    pub fn needs(&self, role: Role) -> Result<(), Error> {
        if self.roles.has(role) {
            Ok(())
        } else {
            Err(Error::Denied { who: self.name.clone(), needed: role })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_contains_every_role_and_the_others_only_themselves() {
        for own in Role::ALL {
            let roles = Roles::from_iter([own]);
            for role in Role::ALL {
                assert_eq!(roles.has(role), own == role || own == Role::Admin, "{own:?} {role:?}");
            }
            assert_eq!(Role::parse(own.as_str()), Ok(own));
        }
    }
}
