//! What the API server's refusals mean, and what to do about them.

use asya_analysis::{GroupKind, Unverified, scrub::scrub};
use asya_cluster::{Fetch, Refusal, Rights, Unread};

use crate::service::Error;

/// The refusal of a question, in words that a model can act on.
///
/// `verb` and `resource` are those of the right that it takes: `list`, `deployments.apps`.
pub(super) fn refused(
    refusal: &Refusal,
    verb: &'static str,
    resource: &str,
    namespace: Option<&str>,
) -> Error {
    match refusal {
        Refusal::Forbidden(said) => {
            let place = namespace.map(str::to_owned);
            let unread = Unread {
                fetch: Fetch::List(GroupKind::new("", ""), place.clone()),
                namespace: place,
                verb,
                resource: resource.to_owned(),
                why: Unverified::Forbidden,
                said: said.clone(),
                wrong: false,
                subject: false,
            };
            let (words, rights) = (unread.words(), Rights::missing(&[unread]));
            Error::Forbidden(format!(
                "the gateway may not {words}. An administrator gives the right with: {}",
                rights.commands().join(" && ")
            ))
        }
        Refusal::NotFound { .. } => Error::NotFound { what: "resource", name: resource.to_owned() },
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
