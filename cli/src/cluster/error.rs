//! What goes wrong on the way to an object, in sentences that say what to do.

use std::error::Error as _;

use kube::{client::UpgradeConnectionError, core::Status};

use super::Resource;

/// What was asked of the API server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// As in a role: `get`, `list`, `patch`.
    pub(crate) verb: &'static str,
    pub(crate) resource: Resource,
    /// As in a role, after the resource: `log`.
    pub(crate) subresource: Option<&'static str>,
    /// `None`: in all namespaces, or in none.
    pub(crate) namespace: Option<&'a str>,
}

impl Asked<'_> {
    fn resource(self) -> String {
        let name = self.resource.full_name();
        match self.subresource {
            Some(part) => format!("{name}/{part}"),
            None => name,
        }
    }

    fn place(self) -> String {
        match self.namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None if self.resource.namespaced => "in all namespaces".to_owned(),
            None => "in the cluster".to_owned(),
        }
    }
}

/// Why an object could not be read or written.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ClusterError {
    /// A right is missing.
    #[error("{0}")]
    Forbidden(String),
    /// The API server does not know the resource: its CRD is not installed.
    #[error("{0}")]
    Uninstalled(String),
    /// Somebody else changed it in between, or owns the field.
    #[error("{0}")]
    Conflict(String),
    /// The API server refused what was written.
    #[error("{0}")]
    Refused(String),
    /// No answer, or none that can be read.
    #[error("{0}")]
    Unreachable(String),
}

impl ClusterError {
    /// What an error of the client means.
    pub(crate) fn of(error: &kube::Error, asked: Asked<'_>) -> Self {
        match error {
            kube::Error::Api(status) => Self::answered(status, asked),
            error => Self::Unreachable(format!("the API server does not answer: {}", root(error))),
        }
    }

    /// The same for a connection that is to become another kind of one, where only the status of an answer is known.
    pub(crate) fn of_upgrade(error: &kube::Error, asked: Asked<'_>) -> Self {
        let kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(status)) = error else {
            return Self::of(error, asked);
        };
        let reason = if status.as_u16() == 403 { "" } else { "Refused" };
        let message = format!("{} answers {status}", asked.resource());
        let status =
            Status { code: status.as_u16(), message, reason: reason.to_owned(), ..Status::default() };
        Self::answered(&status, asked)
    }

    fn answered(status: &Status, asked: Asked<'_>) -> Self {
        let (verb, resource, place) = (asked.verb, asked.resource(), asked.place());
        match status.code {
            401 => Self::Forbidden(
                "the API server does not accept the credentials of this context; log in again, or choose another one \
                 with --context"
                    .to_owned(),
            ),
            403 if status.reason != "Forbidden" || is_about_rights(&status.message) => {
                let scope = if asked.namespace.is_some() { "Role" } else { "ClusterRole" };
                let group = if asked.resource.group.is_empty() { "\"\"" } else { asked.resource.group };
                let name = resource.split_once('.').map_or(resource.as_str(), |_| asked.resource.plural);
                let name = asked.subresource.map_or(name.to_owned(), |part| format!("{}/{part}", asked.resource.plural));
                Self::Forbidden(format!(
                    "you may not {verb} {resource} {place}; ask for a {scope} with apiGroups [{group}], resources \
                     [{name}], verbs [{verb}]"
                ))
            }
            // Of a subresource it is the object, or its node, that is gone.
            404 if asked.subresource.is_none() => Self::Uninstalled(uninstalled(asked.resource)),
            409 => Self::Conflict(status.message.clone()),
            _ => Self::Refused(format!("the API server refused to {verb} {resource} {place}: {}", status.message)),
        }
    }

    /// No answer in time.
    pub(crate) fn late(asked: Asked<'_>) -> Self {
        Self::Unreachable(format!(
            "the API server did not answer within {:?} when asked to {} {} {}",
            super::PATIENCE,
            asked.verb,
            asked.resource(),
            asked.place()
        ))
    }
}

/// Admission refuses with the same code as a missing right, in words of its own.
fn is_about_rights(message: &str) -> bool {
    message.contains(" cannot ") || message.is_empty()
}

fn uninstalled(resource: Resource) -> String {
    let (kind, group) = (resource.kind, resource.group);
    match group {
        "asya.sh" => format!(
            "the API server does not know {kind} ({group}): install charts/asya-operator, which brings the CRD, or choose \
             another cluster with --context"
        ),
        "keda.sh" => format!("the API server does not know {kind} ({group}): KEDA is not installed"),
        _ => format!("the API server does not know {kind} ({group}/{})", resource.version),
    }
}

/// The innermost words of an error: `connection refused` rather than what was being done.
pub(crate) fn root(error: &kube::Error) -> String {
    let mut deepest = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        deepest = source.to_string();
        next = source.source();
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::{super::resource, *};

    fn asked(namespace: Option<&str>) -> Asked<'_> {
        Asked { verb: "list", resource: resource::ACTORS, subresource: None, namespace }
    }

    fn answer(code: u16, message: &str) -> kube::Error {
        let status = Status { code, message: message.to_owned(), reason: String::new(), ..Status::default() };
        kube::Error::Api(status.boxed())
    }

    #[test]
    fn a_refusal_names_the_right_that_is_missing() {
        let refused = answer(403, "asyncactors.asya.sh is forbidden: User \"alice\" cannot list resource");
        let words = ClusterError::of(&refused, asked(Some("prod"))).to_string();
        assert_eq!(
            words,
            "you may not list asyncactors.asya.sh in namespace prod; ask for a Role with apiGroups [asya.sh], resources \
             [asyncactors], verbs [list]"
        );
        let words = ClusterError::of(&refused, asked(None)).to_string();
        assert!(words.contains("in all namespaces; ask for a ClusterRole"), "{words}");
        let log = Asked { resource: resource::PODS, subresource: Some("log"), ..asked(Some("prod")) };
        let words = ClusterError::of(&refused, log).to_string();
        assert!(
            words.contains("list pods/log in") && words.contains("[\"\"], resources [pods/log]"),
            "{words}"
        );
    }

    #[test]
    fn an_unknown_resource_says_what_to_install() {
        let unknown = answer(404, "the server could not find the requested resource");
        let words = ClusterError::of(&unknown, asked(None)).to_string();
        assert!(words.contains("install charts/asya-operator"), "{words}");
    }

    #[test]
    fn what_admission_says_is_not_taken_for_a_missing_right() {
        let status = Status {
            code: 403,
            message: "pods \"x\" is forbidden: exceeded quota".to_owned(),
            reason: "Forbidden".to_owned(),
            ..Status::default()
        };
        let error = ClusterError::of(&kube::Error::Api(status.boxed()), asked(Some("prod")));
        assert!(
            matches!(&error, ClusterError::Refused(words) if words.contains("exceeded quota")),
            "{error}"
        );
    }
}
