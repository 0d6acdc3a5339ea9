//! What every such tool is told, read into types. All errors are found before any is reported.

use std::time::Duration;

use asya_cluster::{namespaces::Namespaces, review::Person};
use asya_envelope::ActorName;
use asya_settings::{Reader, boolean, positive_duration};

use super::refused::Refused;
use crate::{
    approval,
    asked::{Asked, Source},
    desk,
    kube::{Access, Users},
    shipped::Variables,
};

/// Where consent is asked for, and who people are.
#[derive(Clone, Debug, PartialEq)]
pub struct Consent {
    /// Where approvals are kept.
    pub gateway: desk::Settings,
    /// Where the keys are by which it is known who asked.
    pub subjects: Source,
    /// Which user of the cluster a person is; none: nothing is changed.
    pub users: Option<Users>,
    /// The actor that waits for approval.
    pub approval: String,
    /// How long somebody may take to decide.
    pub timeout: Duration,
    /// Whether somebody else than who asked must decide.
    pub four_eyes: bool,
}

impl Consent {
    /// Reads `ASYA_KUBE_USER_CLAIM`, `ASYA_KUBE_GROUP_CLAIM`, `ASYA_APPROVAL_…` and where the gateway is.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let get = |name: &str| variables.get(name);
        let mut errors = Vec::new();
        let gateway = desk::Settings::read(variables).map_err(|more| errors.extend(more)).ok();
        let subjects = Source::read(variables).ok();
        let mut reader = Reader::default();
        let Access { users, .. } = Access::read(&mut reader, variables, Namespaces::none());
        let name = "ASYA_APPROVAL_ACTOR";
        let approval = reader.or(name, get(name), approval::NAME.to_owned(), |text| {
            ActorName::parse(text).map(|name| name.as_str().to_owned()).map_err(|error| error.to_string())
        });
        let name = "ASYA_APPROVAL_TIMEOUT";
        let timeout = reader.or(name, get(name), approval::DEFAULT_TIMEOUT, positive_duration);
        let name = "ASYA_APPROVAL_FOUR_EYES";
        let four_eyes = reader.or(name, get(name), false, boolean);
        let read = reader.done(()).map_err(|more| errors.extend(more.0));
        match (gateway, subjects, read) {
            (Some(gateway), Some(subjects), Ok(())) => {
                Ok(Self { gateway, subjects, users, approval, timeout, four_eyes })
            }
            _ => Err(errors),
        }
    }

    /// The user of the cluster who asks.
    pub(crate) fn person(&self, asked: &Asked) -> Result<Person, Refused> {
        let users = self.users.as_ref().ok_or_else(|| {
            Refused(
                "nothing is changed, because it is not known which user of the cluster a person is. Whoever runs this tool \
                 can say it with ASYA_KUBE_USER_CLAIM"
                    .to_owned(),
            )
        })?;
        users.person(&asked.claims.sub, &asked.claims.groups).map_err(Refused)
    }
}
