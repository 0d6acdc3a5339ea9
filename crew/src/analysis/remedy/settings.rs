//! What remedy is told, read into types. All errors are found before any is reported.

use std::{num::NonZeroU32, time::Duration};

use asya_resources::k8sgpt::{
    AutoRemediation, TargetNamespaces,
    ai::{DEFAULT_CHANGES_PER_HOUR, DEFAULT_PENDING_CHANGES},
};
use asya_settings::{Reader, Secret, number, positive_duration};

use super::kinds::Mendable;
use crate::{analysis::explain, shipped::Variables};

/// How long a proposal waits for approval: whoever is on call has seen it by then.
pub const DEFAULT_EXPIRY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a finding has to heal after the change: as long as Kubernetes gives a rollout.
pub const DEFAULT_VERIFY: Duration = Duration::from_secs(600);
/// How long it must stay healed: what crashes at its start does so within that.
pub const DEFAULT_SETTLE: Duration = Duration::from_secs(60);
/// How long what is over can be looked at.
pub const DEFAULT_KEEP: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// What remedy is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The model; none: everything goes on and nothing is proposed.
    pub model: Option<asya_llm::Settings>,
    /// What names are masked with, as of explain.
    pub secret: Option<Secret>,
    /// The K8sGPT whose proposals these are.
    pub k8sgpt: String,
    /// Its uid: with it the proposals go when it goes.
    pub uid: Option<String>,
    /// Where proposals are written; none: in the pod's own namespace.
    pub namespace: Option<String>,
    /// Kinds that may be changed.
    pub kinds: Vec<String>,
    /// How alike old and new manifest must be, in percent.
    pub similarity: f64,
    /// Most changes in an hour.
    pub per_hour: u32,
    /// Most proposals that wait at a time.
    pub pending: u32,
    /// Namespaces in which something may be changed.
    pub namespaces: TargetNamespaces,
    /// How long a proposal waits for approval.
    pub expiry: Duration,
    /// How long a finding has to heal after the change.
    pub verify: Duration,
    /// How long it must stay healed.
    pub settle: Duration,
    /// How long what is over is kept.
    pub keep: Duration,
}

impl Settings {
    /// Reads `ASYA_REMEDY_…`, `ASYA_LLM_…` and what explain masks with.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let get = |name: &str| variables.get(name);
        let list = |name: &str| -> Option<Vec<String>> {
            let text = get(name)?;
            Some(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
        };
        // The model and the masks are those of explain.
        let mut errors = Vec::new();
        let asked = explain::Settings::read(variables).map_err(|more| errors.extend(more)).ok();
        let (model, secret) = asked.map(|asked| (asked.model, asked.secret)).unwrap_or_default();
        let mut reader = Reader::default();
        let name = "ASYA_REMEDY_K8SGPT";
        let k8sgpt = reader.required(name, get(name), |text| Ok::<_, String>(text.to_owned()));
        let usual = AutoRemediation::default();
        let kinds = list("ASYA_REMEDY_KINDS").unwrap_or(usual.resources);
        for kind in kinds.iter().filter(|kind| Mendable::named(kind).is_none()) {
            tracing::warn!(kind, "objects of this kind are not changed: it is not known how");
        }
        let similarity = get("ASYA_REMEDY_SIMILARITY").unwrap_or(usual.similarity_requirement);
        let similarity =
            AutoRemediation { similarity_requirement: similarity, ..AutoRemediation::default() }.similarity();
        let mut many = |name: &str, otherwise| {
            reader.or(name, get(name), otherwise, |text| number::<NonZeroU32>(text).map(u32::from))
        };
        let per_hour = many("ASYA_REMEDY_PER_HOUR", DEFAULT_CHANGES_PER_HOUR);
        let pending = many("ASYA_REMEDY_PENDING", DEFAULT_PENDING_CHANGES);
        let mut time = |name: &str, otherwise| reader.or(name, get(name), otherwise, positive_duration);
        let expiry = time("ASYA_REMEDY_EXPIRY", DEFAULT_EXPIRY);
        let verify = time("ASYA_REMEDY_VERIFY", DEFAULT_VERIFY);
        let settle = time("ASYA_REMEDY_SETTLE", DEFAULT_SETTLE);
        let keep = time("ASYA_REMEDY_KEEP", DEFAULT_KEEP);
        let settings = Self {
            model,
            secret,
            k8sgpt: k8sgpt.unwrap_or_default(),
            uid: get("ASYA_REMEDY_UID"),
            namespace: get("ASYA_REMEDY_NAMESPACE"),
            kinds,
            similarity,
            per_hour,
            pending,
            namespaces: TargetNamespaces {
                include: list("ASYA_REMEDY_NAMESPACES").unwrap_or_default(),
                exclude: list("ASYA_REMEDY_EXCLUDE_NAMESPACES").unwrap_or_default(),
            },
            expiry,
            verify,
            settle,
            keep,
        };
        match reader.done(settings) {
            Ok(settings) if errors.is_empty() => Ok(settings),
            Ok(_) => Err(errors),
            Err(asya_settings::Errors(more)) => {
                errors.extend(more);
                Err(errors)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::path::Path;

    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Settings, Vec<String>> {
        let find =
            |name: &str| given.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Settings::read(&Variables { find: &find, base: Path::new("/") })
    }

    #[test]
    fn whose_proposals_they_are_has_to_be_said_and_nothing_else() {
        let settings = read(&[("ASYA_REMEDY_K8SGPT", "prod")]).unwrap();
        assert_eq!(settings.kinds, ["Pod", "Deployment", "Service", "Ingress"]);
        assert_eq!((settings.similarity, settings.per_hour, settings.pending), (90.0, 5, 20));
        assert!(settings.namespaces.contains("any") && settings.model.is_none());
        let strict = read(&[("ASYA_REMEDY_K8SGPT", "prod"), ("ASYA_REMEDY_SIMILARITY", "high")]).unwrap();
        assert_eq!(strict.similarity, 100.0, "what is no number lets nothing pass but the same");
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let errors = read(&[
            ("ASYA_REMEDY_PER_HOUR", "0"),
            ("ASYA_REMEDY_EXPIRY", "soon"),
            ("ASYA_REMEDY_SETTLE", "0s"),
            ("ASYA_LLM_BACKEND", "skynet"),
        ])
        .unwrap_err();
        for name in ["K8SGPT", "PER_HOUR", "EXPIRY", "SETTLE", "LLM_BACKEND"] {
            assert!(errors.iter().any(|error| error.contains(name)), "{name} in {errors:?}");
        }
    }
}
