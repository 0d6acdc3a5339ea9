//! What k8s-write is told, read into types. All errors are found before any is reported.

use asya_settings::{Reader, list};

use crate::{
    kube::consent::{rules::Rules, settings::Consent},
    shipped::Variables,
};

/// The variables that say what may be changed.
const VARIABLES: [&str; 2] = ["ASYA_KUBE_NAMESPACES", "ASYA_KUBE_WRITE_KINDS"];

/// What k8s-write is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where consent is asked for, and who people are.
    pub consent: Consent,
    /// What may be changed at all.
    pub rules: Rules,
}

impl Settings {
    /// Reads `ASYA_KUBE_…`, `ASYA_APPROVAL_…` and where the gateway is.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let mut errors = Vec::new();
        let consent = Consent::read(variables).map_err(|more| errors.extend(more)).ok();
        let mut reader = Reader::default();
        let [namespaces, kinds] =
            VARIABLES.map(|name| reader.or(name, variables.get(name), Vec::new(), list));
        let rules = Rules::new(namespaces, kinds, variables.get("ASYA_NAMESPACE"), VARIABLES);
        let read = reader.done(()).map_err(|more| errors.extend(more.0));
        match (consent, read) {
            (Some(consent), Ok(())) => Ok(Self { consent, rules }),
            _ => Err(errors),
        }
    }
}
