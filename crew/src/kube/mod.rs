//! What the tools have in common that work with a cluster: the way to it, where they may, and as whom a person is known there.
//!
//! | module | holds |
//! |---|---|
//! | this | [`client`]; [`Access`]: `ASYA_KUBE_…` |
//! | [`write`] | changes objects, each time with approval (feature `k8s-write`) |
//! | [`consent`] | what tools share that change things, each time with consent |
//! | `users` | [`Users`]: which user of the cluster a person is |
//! | [`looker`] | from an envelope to a way into the cluster that leads as far as whoever asked may go |
//! | [`read`] | the actor `k8s-read` |
//! | [`analyze`] | the actor `analyze` |
//! | `answer` | what a tool answers a model: bounded |
//!
//! The invariant: **a person gets by a tool nothing that the cluster would not give them.** Who they are comes from what the
//! gateway signed; whether they may is the API server's answer, and no answer is a no.

pub mod analyze;
pub(crate) mod answer;
#[cfg(feature = "k8s-write")]
pub mod consent;
pub mod looker;
pub mod read;
mod users;
#[cfg(feature = "k8s-write")]
pub mod write;

use asya_cluster::{introduce, namespaces::Namespaces};
use asya_settings::{Reader, list};
use kube::{Client, Config};

use crate::shipped::Variables;

pub use users::Users;

/// Where a tool may, and for whom.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    /// Which user of the cluster a person is; none: nobody is reviewed.
    pub users: Option<Users>,
    /// The namespaces that may be touched.
    pub namespaces: Namespaces,
}

impl Access {
    /// Reads `ASYA_KUBE_USER_CLAIM`, `ASYA_KUBE_GROUP_CLAIM` and `ASYA_KUBE_NAMESPACES`; without the last the namespaces are
    /// `otherwise`.
    pub fn read(reader: &mut Reader, variables: &Variables<'_>, otherwise: Namespaces) -> Self {
        let get = |name: &str| variables.get(name);
        let (name, group) = ("ASYA_KUBE_USER_CLAIM", "ASYA_KUBE_GROUP_CLAIM");
        let users = reader.or(name, get(name), None, |text| Users::named(text).map(Some));
        let users = reader.or(group, get(group), users.clone(), |text| match users {
            Some(users) => users.in_groups(text).map(Some),
            None => Err(format!("means nothing without {name}")),
        });
        let name = "ASYA_KUBE_NAMESPACES";
        let namespaces = reader.or(name, get(name), otherwise, |text| list(text).map(Namespaces::matching));
        Self { users, namespaces }
    }
}

/// The cluster of `KUBECONFIG`, or else of the service account around this process, asked under the name `agent`, without
/// retries of the client's own.
///
/// # Errors
/// A sentence: there is neither.
pub async fn client(agent: &'static str) -> Result<Client, String> {
    let away =
        |error: &dyn std::fmt::Display| format!("there is no way to the API server of a cluster: {error}");
    let mut config = Config::infer().await.map_err(|error| away(&error))?;
    introduce(&mut config, agent);
    config.default_retry = false;
    Client::try_from(config).map_err(|error| away(&error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Access, String> {
        let find =
            |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let mut reader = Reader::default();
        let access =
            Access::read(&mut reader, &Variables { find: &find, base: Path::new("/") }, Namespaces::none());
        reader.done(access).map_err(|errors| errors.to_string())
    }

    #[test]
    fn what_is_not_said_is_nobody_and_what_the_tool_has_otherwise() {
        assert_eq!(read(&[]).unwrap(), Access { users: None, namespaces: Namespaces::none() });
        let access = read(&[("ASYA_KUBE_NAMESPACES", "shop, team-*")]).unwrap();
        assert!(access.namespaces.contains("team-a") && !access.namespaces.contains("kube-system"));
    }

    #[test]
    fn mistakes_are_named() {
        for (given, told) in [
            (&[("ASYA_KUBE_USER_CLAIM", "everybody")][..], "ASYA_KUBE_USER_CLAIM"),
            (&[("ASYA_KUBE_USER_CLAIM", "system:{sub}")], "system:"),
            (&[("ASYA_KUBE_GROUP_CLAIM", "oidc:{group}")], "ASYA_KUBE_USER_CLAIM"),
            (&[("ASYA_KUBE_USER_CLAIM", "{sub}"), ("ASYA_KUBE_GROUP_CLAIM", "all")], "{group}"),
        ] {
            let error = read(given).unwrap_err();
            assert!(error.contains(told), "{error}");
        }
    }
}
