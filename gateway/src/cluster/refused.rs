//! Why there is nothing to be seen, and what to do about it.

use asya_analysis::scrub::scrub;
use asya_cluster::{
    Refusal,
    look::{self, kinds},
};

use crate::service::Error;

impl From<look::Error> for Error {
    /// In words that a model can act on, by the tools and arguments that it has here.
    fn from(error: look::Error) -> Self {
        if let Some((words, commands)) = error.missing_right() {
            let commands = commands.join(" && ");
            return Self::Forbidden(format!(
                "the gateway may not {words}. An administrator gives the right with: {commands}"
            ));
        }
        match error {
            look::Error::Argument { field, reason } => Self::invalid(field, reason),
            look::Error::NoKind { name } => {
                let known = kinds::names().collect::<Vec<_>>().join(", ");
                Self::invalid(
                    "resourceType",
                    format!(
                        "resourceType: the cluster serves no {name:?}; there are {known}, and the kinds of its \
                         CustomResourceDefinitions, as asyncactors or asyncactors.asya.sh"
                    ),
                )
            }
            look::Error::NoNamespace { kind } => {
                let reason = format!("namespace: a {kind} is in one; list-resources says in which");
                Self::invalid("namespace", reason)
            }
            look::Error::NotThere { name } => {
                let name = format!("{name}; list-namespaces shows which there are");
                Self::NotFound { what: "namespace", name }
            }
            look::Error::NoObject { served, namespace, name } => {
                let place = namespace.map(|namespace| format!(" in namespace {namespace}"));
                let place = place.unwrap_or_default();
                let next =
                    format!("list-resources with resourceType {} shows which there are", served.plural);
                Self::NotFound { what: "object", name: format!("{} {name}{place}; {next}", served.kind) }
            }
            look::Error::Selector(said) => {
                let reason = format!("labelSelector: {said}; such as app=web,tier!=test");
                Self::invalid("labelSelector", reason)
            }
            look::Error::NoLog(said) => Self::invalid("container", said),
            look::Error::Refused { refusal, resource, .. } => refused(&refusal, resource),
        }
    }
}

fn refused(refusal: &Refusal, resource: String) -> Error {
    match refusal {
        Refusal::Forbidden(said) | Refusal::Denied(said) => Error::Forbidden(scrub(said)),
        Refusal::NotFound { .. } => Error::NotFound { what: "resource", name: resource },
        Refusal::Expired => Error::Unavailable("the list changed while it was read: call again".to_owned()),
        Refusal::Wrong(said) => Error::invalid("", scrub(said)),
        Refusal::TooMuch(bytes) => Error::invalid(
            "",
            format!(
                "more than {} MiB would have to be read: ask for one namespace, for a label, or for fewer",
                bytes >> 20
            ),
        ),
        Refusal::Failed(said) => Error::Unavailable(scrub(said)),
    }
}
