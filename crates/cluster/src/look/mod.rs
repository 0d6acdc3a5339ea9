//! Looks into a cluster, for models: bounded, and without what looks like a secret.
//!
//! | module | holds |
//! |---|---|
//! | this | [`Error`]: why there is nothing to be seen |
//! | [`arguments`] | what models write, read strictly |
//! | [`kinds`] | which kind somebody means |
//! | [`list`] | objects of a kind, as `kubectl get` shows them |
//! | [`object`] | one object |
//! | [`events`] | the newest events |
//! | [`logs`] | the end of a container's log |
//! | [`analysis`] | what is broken |
//!
//! Whoever offers this as a tool adds its names and its own words of what to do next. The invariant: **nothing that looks
//! like a secret is given to the caller**, and everything that is read has a bound: an [`Api`](crate::Api) that reads at
//! most so many bytes, and here so many pages and objects.

pub mod analysis;
pub mod arguments;
pub mod events;
pub mod kinds;
pub mod list;
pub mod logs;
pub mod object;

use asya_analysis::{GroupKind, Unverified};
use serde::Deserialize;

use crate::{Api, Fetch, Refusal, Rights, Served, Unread};

/// Why there is nothing to be seen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An argument is not what it should be.
    #[error("{reason}")]
    Argument {
        /// Its name; empty where it is none in particular.
        field: String,
        /// What is wrong, with the name.
        reason: String,
    },
    /// The cluster serves no such kind.
    #[error("the cluster serves no {name:?}")]
    NoKind {
        /// As somebody called it.
        name: String,
    },
    /// Objects of this kind are in namespaces, and none was said.
    #[error("a {kind} is in a namespace")]
    NoNamespace {
        /// The kind.
        kind: String,
    },
    /// There is no such namespace.
    #[error("no namespace {name}")]
    NotThere {
        /// As somebody called it.
        name: String,
    },
    /// There is no such object.
    #[error("no {} {name}", served.kind)]
    NoObject {
        /// Its kind.
        served: Box<Served>,
        /// Its namespace.
        namespace: Option<String>,
        /// As somebody called it.
        name: String,
    },
    /// The API server understands no such label selector; its words.
    #[error("{0}")]
    Selector(String),
    /// There is no such log; the API server's words, which name the containers.
    #[error("{0}")]
    NoLog(String),
    /// An answer was refused.
    #[error("{refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
        /// The verb of the right that it takes.
        verb: &'static str,
        /// The resource of that right: `deployments.apps`.
        resource: String,
        /// Where.
        namespace: Option<String>,
    },
}

impl Error {
    /// What makes an error of a refusal; `verb` and `resource` are those of the right that the question takes.
    pub fn refused(
        verb: &'static str,
        resource: &str,
        namespace: Option<&str>,
    ) -> impl Fn(Refusal) -> Self + use<> {
        let (resource, namespace) = (resource.to_owned(), namespace.map(str::to_owned));
        move |refusal| Self::Refused {
            refusal,
            verb,
            resource: resource.clone(),
            namespace: namespace.clone(),
        }
    }

    /// The right that is missing in words, and the commands that give it, if it is a right that is missing.
    #[must_use]
    pub fn missing_right(&self) -> Option<(String, Vec<String>)> {
        let Self::Refused { refusal: Refusal::Forbidden(said), verb, resource, namespace } = self else {
            return None;
        };
        let unread = Unread {
            fetch: Fetch::List(GroupKind::new("", ""), namespace.clone()),
            namespace: namespace.clone(),
            verb,
            resource: resource.clone(),
            why: Unverified::Forbidden,
            said: said.clone(),
            wrong: false,
            subject: false,
        };
        Some((unread.words(), Rights::missing(&[unread]).commands()))
    }
}

/// What the API server says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Its version: `v1.33.1`.
    pub git_version: String,
    /// What it runs on: `linux/amd64`.
    #[serde(default)]
    pub platform: String,
}

/// The version of the cluster.
///
/// # Errors
/// [`Error::Refused`].
pub async fn version(api: &Api) -> Result<Version, Error> {
    api.json("/version").await.map_err(Error::refused("get", "/version", None))
}
