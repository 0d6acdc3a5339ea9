//! Who acts, and what they may.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::service::Error;

/// Most groups of one principal: they travel with each envelope that it asks for.
const MOST_GROUPS: usize = 100;
/// Longest name of a group, in bytes.
const LONGEST_GROUP: usize = 255;
/// All of them as JSON, in bytes: the subject of an envelope has room for these beside the longest name.
const GROUPS: usize = 3 * 1024;
/// What groups begin with that a cluster calls its own.
const SYSTEM: &str = "system:";

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

/// A set of roles. [`Role::Admin`] contains the others. Written down as their names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(from = "Vec<Role>", into = "Vec<Role>")]
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

impl From<Vec<Role>> for Roles {
    fn from(roles: Vec<Role>) -> Self {
        roles.into_iter().collect()
    }
}

impl From<Roles> for Vec<Role> {
    fn from(roles: Roles) -> Self {
        Role::ALL.into_iter().filter(|role| roles.0 & Roles::bit(*role) != 0).collect()
    }
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Principal {
    /// Name in the audit log: of a token, of a subject of an identity provider, `anonymous` where nobody is asked.
    pub name: String,
    /// What it may do.
    pub roles: Roles,
    /// Groups that it is in, for those who ask what it may elsewhere: [`groups`].
    pub groups: Vec<String>,
    /// Until when this is known, where somebody else has said so; what is known here is known while it stands here.
    pub until: Option<Timestamp>,
}

/// Why a name is none of a group that is told.
pub(super) fn wrong_group(name: &str) -> Option<&'static str> {
    if name.is_empty() || name.len() > LONGEST_GROUP || name.chars().any(char::is_control) {
        return Some("a group has 1 to 255 bytes and no control characters");
    }
    name.starts_with(SYSTEM).then_some("groups that begin with system: are a cluster's own")
}

/// The groups of these that are told of a principal: each once, in order of their names, as many as there is room for. To be
/// in fewer groups allows less.
pub(super) fn groups(names: impl IntoIterator<Item = String>) -> Vec<String> {
    let fit: BTreeSet<_> = names.into_iter().filter(|name| wrong_group(name).is_none()).collect();
    let mut size = 0;
    let within = |name: &String| {
        size += serde_json::Value::from(name.as_str()).to_string().len() + 1;
        size <= GROUPS
    };
    fit.into_iter().take(MOST_GROUPS).take_while(within).collect()
}

impl Principal {
    /// Who is known here by this name, in no groups.
    pub fn named(name: &str, roles: Roles) -> Self {
        Self { name: name.to_owned(), roles, groups: Vec::new(), until: None }
    }

    /// Everybody, where authentication is off.
    pub fn anonymous() -> Self {
        Self::named("anonymous", Roles::ALL)
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
            assert_eq!(serde_json::to_value(roles).unwrap(), serde_json::json!([own.as_str()]));
            assert_eq!(Roles::from(Vec::from(roles)), roles);
        }
    }

    #[test]
    fn groups_are_few_and_short_and_none_is_a_clusters_own() {
        let told = |names: &[&str]| groups(names.iter().map(|name| (*name).to_owned()));
        assert_eq!(told(&["sre", "dev", "sre", "", "system:masters", "a\nb", "x y"]), ["dev", "sre", "x y"]);
        assert_eq!(told(&[&"x".repeat(256)]), Vec::<String>::new());
        assert_eq!(groups((0..500).map(|n| format!("g{n:03}"))).len(), MOST_GROUPS);
        // Each is longer as JSON than it is.
        let long = groups((0..100).map(|n| format!("{n:03}{}", "\"".repeat(100))));
        assert!(
            serde_json::to_string(&long).unwrap().len() <= GROUPS + 2 && !long.is_empty(),
            "{}",
            long.len()
        );
    }
}
