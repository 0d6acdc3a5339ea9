//! What results is told, read into types. All errors are found before any is reported.

use asya_resources::k8sgpt::Backend;
use asya_settings::{Errors, Reader, Secret, boolean};

use crate::shipped::Variables;

/// What results is told: whose Results they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Name of the `K8sGPT`. Two that write into one namespace have two names.
    pub k8sgpt: String,
    /// Where Results are written; none: the pod's own namespace, or that of the kubeconfig.
    pub namespace: Option<String>,
    /// The uid of the `K8sGPT`: with it the Results go when it goes.
    pub uid: Option<String>,
    /// Who explains, for the label that tells it.
    pub backend: Option<Backend>,
    /// Whether a Result gets the label of Backstage of its object.
    pub backstage: bool,
    /// What names are masked with; none: what the database keeps.
    pub secret: Option<Secret>,
}

impl Settings {
    /// Reads `ASYA_RESULTS_…`, and the secret of explain.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let get = |name: &str| variables.get(name);
        let mut reader = Reader::default();
        let name = "ASYA_RESULTS_K8SGPT";
        let k8sgpt = reader.required(name, get(name), |text| Ok(text.to_owned())).unwrap_or_default();
        let name = "ASYA_RESULTS_BACKEND";
        let backend = reader.or(name, get(name), None, |text| {
            let known = Backend::ALL.into_iter().find(|backend| backend.as_str() == text);
            known.map(Some).ok_or_else(|| format!("{text:?} is none of the backends of a K8sGPT"))
        });
        let name = "ASYA_RESULTS_BACKSTAGE";
        let backstage = reader.or(name, get(name), false, boolean);
        let name = "ASYA_EXPLAIN_MASK_SECRET";
        let file = get(&format!("{name}_FILE"));
        let file = file.map(|file| variables.base.join(file).to_string_lossy().into_owned());
        let secret = reader.secret(name, get(name), file);
        let (namespace, uid) = (get("ASYA_RESULTS_NAMESPACE"), get("ASYA_RESULTS_UID"));
        let settings = Self { k8sgpt, namespace, uid, backend, backstage, secret };
        reader.done(settings).map_err(|Errors(errors)| errors)
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
    fn whose_results_they_are_must_be_said_and_nothing_else() {
        let settings = read(&[("ASYA_RESULTS_K8SGPT", "sample")]).unwrap();
        assert_eq!((settings.k8sgpt.as_str(), settings.backend, settings.backstage), ("sample", None, false));
        let all = [
            ("ASYA_RESULTS_K8SGPT", "sample"),
            ("ASYA_RESULTS_NAMESPACE", "analysis"),
            ("ASYA_RESULTS_UID", "u-1"),
            ("ASYA_RESULTS_BACKEND", "localai"),
            ("ASYA_RESULTS_BACKSTAGE", "true"),
        ];
        let settings = read(&all).unwrap();
        assert_eq!((settings.backend, settings.backstage), (Some(Backend::LocalAi), true));
    }

    #[test]
    fn every_mistake_is_named_at_once() {
        let errors =
            read(&[("ASYA_RESULTS_BACKEND", "skynet"), ("ASYA_RESULTS_BACKSTAGE", "perhaps")]).unwrap_err();
        for name in ["K8SGPT", "BACKEND", "BACKSTAGE"] {
            assert!(errors.iter().any(|error| error.contains(name)), "{name} in {errors:?}");
        }
    }
}
