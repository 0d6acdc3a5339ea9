//! What helm is told, read into types. All errors are found before any is reported.

use std::{path::PathBuf, time::Duration};

use asya_settings::{Reader, list, positive_duration};

use super::repository::{self, Repository};
use crate::{
    kube::consent::{rules::Rules, settings::Consent},
    shipped::Variables,
};

/// The variables that say what may be changed.
const VARIABLES: [&str; 2] = ["ASYA_HELM_NAMESPACES", "ASYA_HELM_KINDS"];
/// Guarded kinds that nearly every chart has. Whoever approves is told: of a Secret that its values are not shown, and of the
/// account what pods get by it.
const USUAL: [&str; 2] = ["core/Secret", "core/ServiceAccount"];
/// How long one change may take: with what is looked at before it less than the five minutes that an engine gives a run.
const TIMEOUT: Duration = Duration::from_secs(180);

/// What helm is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Where consent is asked for, and who people are.
    pub consent: Consent,
    /// What may be changed at all.
    pub rules: Rules,
    /// Where charts may come from.
    pub repositories: Vec<Repository>,
    /// The program.
    pub program: PathBuf,
    /// Where it may write: each run has a folder of its own in it, which goes with the run.
    pub folder: PathBuf,
    /// The cluster; none: that of the pod.
    pub kubeconfig: Option<PathBuf>,
    /// How long one change may take.
    pub timeout: Duration,
}

impl Settings {
    /// Reads `ASYA_HELM_…`, `ASYA_KUBE_…`, `ASYA_APPROVAL_…` and where the gateway is.
    ///
    /// # Errors
    /// All that is wrong, one sentence each.
    pub fn read(variables: &Variables<'_>) -> Result<Self, Vec<String>> {
        let get = |name: &str| variables.get(name);
        let mut errors = Vec::new();
        let consent = Consent::read(variables).map_err(|more| errors.extend(more)).ok();
        let mut reader = Reader::default();
        let [namespaces, mut kinds] = VARIABLES.map(|name| reader.or(name, get(name), Vec::new(), list));
        kinds.extend(USUAL.map(str::to_owned));
        let rules = Rules::new(namespaces, kinds, get("ASYA_NAMESPACE"), VARIABLES);
        let name = "ASYA_HELM_REPOSITORIES";
        let repositories = reader.or(name, get(name), Vec::new(), repository::read);
        let name = "ASYA_HELM_TIMEOUT";
        let timeout = reader.or(name, get(name), TIMEOUT, positive_duration);
        let file = |name: &str| get(name).map(|path| variables.base.join(path));
        let program = get("ASYA_HELM_PROGRAM").map_or_else(|| "helm".into(), PathBuf::from);
        let folder = file("ASYA_HELM_FOLDER").unwrap_or_else(std::env::temp_dir);
        let kubeconfig = file("KUBECONFIG");
        let read = reader.done(()).map_err(|more| errors.extend(more.0));
        match (consent, read) {
            (Some(consent), Ok(())) => {
                Ok(Self { consent, rules, repositories, program, folder, kubeconfig, timeout })
            }
            _ => Err(errors),
        }
    }
}
